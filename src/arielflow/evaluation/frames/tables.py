"""Tables with a spectrum per planet: labels, and submissions with their standard deviations.

The organisers' functions go by position: what stands in a column is taken for what should stand
there. A table whose columns are not exactly the edition's is therefore refused.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed, regular_file, shown
from arielflow.core.tables import cell_numbers, read_csv
from arielflow.editions import FrameEdition
from arielflow.editions.frames import planet_name
from arielflow.evaluation.submission.verdict import Fault

log = logging.getLogger(__name__)

KEY = "planet_id"
LARGEST = 1e6
"""No transit depth in any unit is larger: the whole star, in parts per million."""
_MOST_BYTES = 1 << 28


class Labels(NamedTuple):
    """True spectra.

    Attributes
    ----------
    planet_ids : list[str]
    spectrum : np.ndarray
        Transit depths (planet, channel).
    """

    planet_ids: list[str]
    spectrum: np.ndarray

    def of(self, planets: Iterable[str]) -> Labels:
        """Those of these planets, in their order; planets without labels are left out."""
        rows = {name: row for row, name in enumerate(self.planet_ids)}
        own = [name for name in planets if name in rows]
        return Labels(own, self.spectrum[[rows[name] for name in own]])


def read_labels(path: str | Path, edition: FrameEdition, *, skip: bool = False) -> Labels:
    """True spectra of a table in the format of the edition's training labels.

    Parameters
    ----------
    path
        Of the table.
    edition
        Whose labels.
    skip
        Leave out planets with a fault, and log them, so that one does not sink a run.

    Raises
    ------
    ArielflowError
        The file is unreadable, has other columns or no planets; a value is no transit depth or a
        planet occurs twice, of all planets where these are left out.
    """
    remedy = f"give labels of edition {edition.name}, such as its {edition.labels_table}"
    planet_ids, values, faults = read_rows(path, [KEY, *edition.spectrum_columns], remedy)
    faults += value_faults(planet_ids, edition.spectrum_columns, values, most=1.0)
    bad = {fault.planet for fault in faults}
    kept = [row for row, name in enumerate(planet_ids) if name not in bad]
    if faults and not (skip and kept):
        raise ArielflowError(f"{path}: {counted(faults)}; {remedy}")
    for fault in faults:
        log.warning("%s: %s; left out", path, fault)
    return Labels([planet_ids[row] for row in kept], values[kept])


def labels_table(labels: Labels, edition: FrameEdition) -> pd.DataFrame:
    """A table of labels in the format of the edition's training labels."""
    table = pd.DataFrame(labels.spectrum, columns=edition.spectrum_columns)
    table.insert(0, KEY, labels.planet_ids)
    return table


def read_rows(
    path: str | Path, columns: Sequence[str], remedy: str
) -> tuple[list[str], np.ndarray, list[Fault]]:
    """A table with an identifier and numbers in each row, and what is wrong with its cells.

    Parameters
    ----------
    path
        Of the table.
    columns
        All its columns in order, the identifier first.
    remedy
        Ends the message of an error.

    Returns
    -------
    planet_ids : list[str]
    values : numpy.ndarray
        Numbers (planet, column), NaN where a cell holds none.
    faults : list[Fault]
        Identifiers that are missing or occur more than once, cells that hold words.

    Raises
    ------
    ArielflowError
        The file is unreadable or far too large, has other columns, or holds no planets.
    """
    size = regular_file(path, remedy).stat().st_size
    if size > _MOST_BYTES:
        raise ArielflowError(
            f"{path}: {size} bytes, expected at most {_MOST_BYTES} for a table of spectra; {remedy}"
        )
    table = read_csv(path, remedy)
    _check_columns(path, list(table.columns), columns, remedy)
    if table.empty:
        raise ArielflowError(f"{path}: holds no planets, expected a row for each; {remedy}")
    planet_ids = [planet_name(text) for text in table[KEY]]
    cells = table[list(columns[1:])].to_numpy(dtype=object)
    values, words = (part.reshape(cells.shape) for part in cell_numbers(pd.Series(cells.ravel())))
    faults = id_faults(planet_ids) + [
        Fault(
            planet_ids[row],
            f"column {columns[1:][column]} holds {shown(repr(cells[row, column]))}, expected a "
            f"number{_such(count, 'cells')}",
        )
        for row, column, count in _first_by_row(words)
    ]
    values[words] = 0.0  # told once, not as missing again
    return planet_ids, values, faults


def _check_columns(
    path: str | Path, found: Sequence[str], expected: Sequence[str], remedy: str
) -> None:
    """Refuse other columns than those expected, or another order."""
    missing = [name for name in expected if name not in set(found)]
    surplus = [name for name in found if name not in set(expected)]
    faults = [f"column {listed(missing)} is missing"] * bool(missing)
    if surplus:
        index = " (the index of a data frame?)" if surplus[0] == "unnamed 0" else ""
        faults.append(f"column {listed(surplus)} is surplus{index}")
    if faults:
        raise ArielflowError(
            f"{path}: {' and '.join(faults)}, expected {len(expected)} columns: "
            f"{_outline(expected)}; {remedy}"
        )
    for number, (name, right) in enumerate(zip(found, expected, strict=True), 1):
        if name != right:
            raise ArielflowError(
                f"{path}: column {number} is {name}, expected {right}: scores go by position; "
                f"put the columns in the order {_outline(expected)}"
            )


def _outline(columns: Sequence[str]) -> str:
    """A long list of columns in brief: the first and last of each kind."""
    kinds: dict[str, list[str]] = {}
    for name in columns:
        kinds.setdefault(name.rstrip("0123456789"), []).append(name)
    ends = (f"{names[0]} to {names[-1]}" if names[1:] else names[0] for names in kinds.values())
    return ", ".join(ends)


def id_faults(planet_ids: Sequence[str]) -> list[Fault]:
    """Identifiers that are missing or occur more than once."""
    counts: dict[str, int] = {}
    for name in planet_ids:
        counts[name] = counts.get(name, 0) + 1
    missing = counts.pop("", 0)
    faults = [Fault("", f"{missing} rows have no {KEY}, expected one in each")] * bool(missing)
    return faults + [
        Fault(name, f"occurs {count} times, expected once")
        for name, count in counts.items()
        if count > 1
    ]


def value_faults(
    planet_ids: Sequence[str],
    columns: Sequence[str],
    values: np.ndarray,
    *,
    positive: bool = False,
    most: float = LARGEST,
) -> list[Fault]:
    """What is wrong with numbers (planet, column) that are depths or standard deviations.

    Parameters
    ----------
    planet_ids, columns
        Name rows and columns.
    values
        The numbers.
    positive
        Zero is wrong too.
    most
        Largest number that is right.
    """
    what = "a positive number" if positive else "a number of at least 0"
    low = values <= 0 if positive else values < 0
    faults = []
    for wrong, expected in (
        (~np.isfinite(values), "a finite number"),
        (low & np.isfinite(values), what),
        ((values > most) & np.isfinite(values), f"at most {most:g}: depths are fractions"),
    ):
        for row, column, count in _first_by_row(wrong):
            found = f"column {columns[column]} is {values[row, column]:.6g}"
            faults.append(
                Fault(planet_ids[row], f"{found}, expected {expected}{_such(count, 'values')}")
            )
    return faults


def _first_by_row(wrong: np.ndarray) -> list[tuple[int, int, int]]:
    """Of every row with something wrong its number, the first such column and their count."""
    rows = np.flatnonzero(wrong.any(axis=1))
    return [(int(row), int(wrong[row].argmax()), int(wrong[row].sum())) for row in rows]


def _such(count: int, what: str) -> str:
    return f" ({count} such {what})" if count > 1 else ""


def counted(faults: Sequence[Fault]) -> str:
    """The first of some faults, and how many there are."""
    more = f" ({len(faults)} faults in all)" if len(faults) > 1 else ""
    return f"{'planet ' if faults[0].planet else ''}{faults[0]}{more}"
