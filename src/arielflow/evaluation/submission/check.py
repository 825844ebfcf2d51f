"""The rules of a submission: what breaks them, and what follows them but is implausible.

Faults are what is no number or breaks a rule; warnings are what is formally right and implausible
(:mod:`arielflow.evaluation.submission.plausibility`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from arielflow.core.errors import ArielflowError
from arielflow.core.hdf5 import PlainFile, open_plain
from arielflow.core.readers import listed, regular_file, shown
from arielflow.core.samples import WeightedSamples
from arielflow.core.tables import numeric_column, read_csv
from arielflow.editions import Edition
from arielflow.editions.official_files import (
    AUXILIARY_TABLE,
    quartile_columns,
    read_table,
    split_folder,
)
from arielflow.evaluation.submission.plausibility import Outline, implausibilities
from arielflow.evaluation.submission.verdict import Fault, Verdict, pairing_faults, refused

REMEDY = "check the path, or write the submission again"
DATASETS = ("tracedata", "weights")
_WEIGHT_SUM_TOLERANCE = 1e-6
_MOST_ROW_BYTES = 4_096


def check_submission(path: str | Path, edition: Edition, test_folder: str | Path) -> list[str]:
    """Every fault of a submission against the rules, one line each; none if it is valid.

    Parameters and errors are those of :func:`review_submission`.
    """
    return review_submission(path, edition, test_folder).fault_lines


def review_submission(path: str | Path, edition: Edition, test_folder: str | Path) -> Verdict:
    """Faults of a submission against the rules, and what is implausible about it.

    Parameters
    ----------
    path
        Regular-track HDF5 file, or light-track CSV where the edition has one.
    edition
        Whose rules.
    test_folder
        Folder of the test data, which names the planets.

    Raises
    ------
    ArielflowError
        The test data cannot be read.
    """
    return review_planets(path, edition, planets_to_submit(test_folder))


def planets_to_submit(test_folder: str | Path) -> list[str]:
    """Identifiers of the test planets, in the order of their table.

    Raises
    ------
    ArielflowError
        The test data cannot be read.
    """
    return list(read_table(split_folder(test_folder, "test") / AUXILIARY_TABLE, ()).index)


def review_planets(
    path: str | Path,
    edition: Edition,
    identifiers: Sequence[str],
    *,
    ordered: bool = True,
    source: str = "the test data",
) -> Verdict:
    """Do the same as :func:`review_submission` for planets of these identifiers.

    Parameters
    ----------
    path, edition
        The submission, and the edition it is for.
    identifiers
        Names of the planets that the file must hold.
    ordered
        They are in the order of the test data, so that a planet's attribute ID is its position;
        otherwise the IDs must only be 0, 1, 2 … in any order.
    source
        Where the identifiers come from, for the messages.
    """
    path = Path(path)
    suffixes = {suffix: track for track, suffix in edition.tracks.items()}
    if path.suffix not in suffixes:
        takes = " or ".join(suffixes) or "no submissions"
        kind = shown(path.suffix or "none")
        return refused(f"{path}: file type {kind}, edition {edition.name} takes {takes}")
    try:
        if suffixes[path.suffix] == "light":
            return _review_light(path, edition, identifiers, source)
        return _review_regular(path, edition, identifiers, ordered, source)
    except ArielflowError as error:
        return refused(str(error))


def _review_regular(
    path: Path, edition: Edition, identifiers: Sequence[str], ordered: bool, source: str
) -> Verdict:
    groups = [edition.group(identifier) for identifier in identifiers]
    positions: dict[str, int] = {}
    outlines = {}
    with open_plain(path, REMEDY) as file:
        found = file.names()
        faults = pairing_faults(found, groups, source, edition)
        present = set(found)
        for row, group in enumerate(groups):
            if group not in present:
                continue
            own: list[str] = []
            expected = f"the integer {row}" if ordered else "one integer"
            with _noting(own, path, group):
                positions[group] = _position(file, group, expected)
                if ordered and positions[group] != row:
                    own.append(f"attribute ID is {positions[group]}, expected {row}")
            with _noting(own, path, group):
                own += _name_faults(file, group)
            samples = _noted_samples(own, file, group, edition)
            if samples is not None:
                outlines[group] = Outline.of_samples(*samples)
            # A group that cannot be opened is noted by each of the three.
            faults += [Fault(group, what) for what in dict.fromkeys(own)]
    if not ordered:
        faults += _position_faults(positions, len(groups))
    return Verdict(faults, implausibilities(outlines, edition))


@contextmanager
def _noting(faults: list[str], path: Path, group: str) -> Iterator[None]:
    """Note what a reader finds wrong with a group, without repeating the names."""
    try:
        yield
    except ArielflowError as error:
        what = str(error).removeprefix(f"{path}: ")
        faults.append(what.removeprefix(f"{shown(group)} ").replace(f"{group}/", "", 1))


def _position(file: PlainFile, group: str, expected: str) -> int:
    position = file.integer(group, "ID", f"expected {expected}")
    if position is None:
        raise ArielflowError(f"attribute ID is missing, expected {expected}")
    return position


def _position_faults(positions: dict[str, int], count: int) -> list[Fault]:
    """Faults of IDs that are not 0, 1, 2 …, each once."""
    taken: dict[int, str] = {}
    faults = []
    for group, position in positions.items():
        if not 0 <= position < count:
            what = f"attribute ID is {position}, expected 0 to {count - 1}"
            faults.append(Fault(group, what))
        elif position in taken:
            what = f"attribute ID is {position} like that of another planet, expected each once"
            faults.append(Fault(group, what))
        taken.setdefault(position, group)
    return faults


def _name_faults(file: PlainFile, group: str) -> list[str]:
    names = file.names(group)
    surplus = [name for name in names if name not in DATASETS]
    faults = [f"dataset {name} is missing" for name in DATASETS if name not in names]
    if surplus:
        faults.append(f"holds {listed(surplus)}, expected {' and '.join(DATASETS)} alone")
    return faults


def _noted_samples(
    faults: list[str], file: PlainFile, group: str, edition: Edition
) -> WeightedSamples | None:
    """A planet's samples; None, and why in ``faults``, if they break a rule."""
    n_before = len(faults)
    with _noting(faults, file.path, group):
        if all(file.holds(group, name) for name in DATASETS):
            faults += declared_faults(file, group, edition, edition.sample_limits)
            if len(faults) == n_before:
                theta, weight = samples_of(file, group)
                faults += number_faults(theta, weight, _WEIGHT_SUM_TOLERANCE)
                if len(faults) == n_before:
                    return theta, weight
    return None


def declared_faults(
    file: PlainFile, group: str, edition: Edition, limits: tuple[int, int]
) -> list[str]:
    """What is wrong with the declared shapes of a planet's datasets, before they are read.

    Raises
    ------
    ArielflowError
        A dataset is missing or holds no plain numbers.
    """
    n_targets = len(edition.targets)
    theta, weight = (file.shape(f"{group}/{name}") for name in DATASETS)
    faults = []
    if len(theta) != 2 or theta[1] != n_targets:
        faults.append(
            f"tracedata has shape {shown(theta)}, edition {edition.name} expects (n, {n_targets})"
        )
    n_samples = theta[0] if theta else 0
    fewest, most = limits
    if not fewest <= n_samples <= most:
        faults.append(f"{n_samples} samples, expected {fewest} to {most}")
    if weight != (n_samples,):
        faults.append(f"weights have shape {shown(weight)}, expected ({n_samples},)")
    return faults


def samples_of(file: PlainFile, group: str) -> WeightedSamples:
    """A planet's samples and weights, whose shapes were found right.

    Raises
    ------
    ArielflowError
        They are not readable.
    """
    theta, weight = (file.numbers(f"{group}/{name}") for name in DATASETS)
    return theta, weight


def number_faults(theta: np.ndarray, weight: np.ndarray, tolerance: float) -> list[str]:
    """What is wrong with samples (n, target) and their weights (n,), whose sum must be one."""
    faults = []
    if not np.isfinite(theta).all():
        faults.append(f"{int((~np.isfinite(theta)).sum())} values of tracedata are not finite")
    if not np.isfinite(weight).all():
        return [*faults, f"{int((~np.isfinite(weight)).sum())} weights are not finite"]
    if (weight < 0).any():
        faults.append(f"{int((weight < 0).sum())} weights are negative")
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not abs(total - 1) <= tolerance:
        faults.append(f"weights sum to {total:.6g}, expected 1")
    return faults


def _review_light(path: Path, edition: Edition, identifiers: Sequence[str], source: str) -> Verdict:
    most = _MOST_ROW_BYTES * (len(identifiers) + 1)
    if regular_file(path, REMEDY).stat().st_size > most:
        raise ArielflowError(
            f"{path}: {path.stat().st_size} bytes, expected at most {most} for "
            f"{len(identifiers)} planets; {REMEDY}"
        )
    table = read_csv(path, REMEDY)
    missing = [n for n in ("planet_ID", *quartile_columns(edition)) if n not in table]
    if missing:
        raise ArielflowError(
            f"{path}: column {listed(missing)} is missing, found {listed(list(table.columns))}; "
            "check the edition"
        )
    table["planet_ID"] = table["planet_ID"].str.strip()
    names = list(table["planet_ID"])
    faults = [
        Fault(name, "occurs more than once")
        for name, count in table["planet_ID"].value_counts(sort=False).items()
        if count > 1
    ]
    faults += pairing_faults(list(dict.fromkeys(names)), identifiers, source, edition)
    columns = []
    for target in edition.targets:
        values = _quartiles(path, table, target.quartile_prefix, faults)
        columns.append(values)
        if values is not None:
            faults += _quartile_faults(names, target.name, values)
    if faults:
        return Verdict(faults, [])
    quartiles = np.stack([values for values in columns if values is not None], axis=2)
    outlines = {n: Outline.of_quartiles(q) for n, q in zip(names, quartiles, strict=True)}
    return Verdict([], _surplus_columns(table, edition) + implausibilities(outlines, edition))


def _quartiles(
    path: Path, table: pd.DataFrame, prefix: str, faults: list[Fault]
) -> np.ndarray | None:
    """A target's quartiles (planet, 3); None, and why in ``faults``, if a cell is no number."""
    columns = []
    for q in (1, 2, 3):
        try:
            columns.append(numeric_column(path, table, f"{prefix}_q{q}", "planet_ID", REMEDY))
        except ArielflowError as error:
            faults.append(Fault("", str(error).removeprefix(f"{path}: ")))
    return np.stack(columns, axis=1) if len(columns) == 3 else None


def _quartile_faults(names: Sequence[str], target: str, values: np.ndarray) -> Iterator[Fault]:
    for name, row in zip(names, values, strict=True):
        if not np.isfinite(row).all():
            yield Fault(name, f"a quartile of {target} is not finite")
        elif (row[1:] < row[:-1]).any():
            yield Fault(name, f"the quartiles of {target} do not ascend")


def _surplus_columns(table: pd.DataFrame, edition: Edition) -> list[str]:
    surplus = [n for n in table if n not in ("planet_ID", *quartile_columns(edition))]
    return [f"column {listed(surplus)} is not looked at"] if surplus else []


def read_quartiles(path: str | Path, edition: Edition) -> dict[str, np.ndarray]:
    """Quartiles (3, target) of every planet of a light-track file, by identifier.

    Raises
    ------
    ArielflowError
        The file is unreadable, or a cell is no number.
    """
    table = read_csv(path, REMEDY)
    columns = [
        numeric_column(path, table, name, "planet_ID", REMEDY) for name in quartile_columns(edition)
    ]
    quartiles = np.stack(columns, axis=1).reshape(len(table), -1, 3).swapaxes(1, 2)
    return dict(zip(table["planet_ID"].str.strip(), quartiles, strict=True))
