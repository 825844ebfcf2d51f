"""Widths of bins: full or half, told from how the bins touch, or derived where there are none.

Bins that touch are as wide as their centres lie apart: of two neighbours the mean of the full
widths over that distance is 1, of half widths 1/2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import shown
from arielflow.data.spectra.columns import Layout
from arielflow.data.spectra.spectrum import Widths
from arielflow.data.spectra.table import SourceTable, is_number

_TOUCHING = {"full": (0.9, 1.1), "half": (0.45, 0.55)}
_MOST, _FEW = 0.5, 0.2
_PLAUSIBLE = (0.2, 1.5)
_GAP = 1.5


def told_by_spacing(
    centres: np.ndarray, widths: np.ndarray, labels: Sequence[str]
) -> tuple[Widths | None, float]:
    """Whether widths are full or half, None if the bins do not tell; and the median ratio.

    Parameters
    ----------
    centres, widths
        Of the bins (row,), in one unit and in the file's order.
    labels
        Instrument of each row: only bins of one instrument touch.
    """
    ratios = _ratios(centres, widths, labels)
    if len(ratios) < 2:
        return None, float("nan")
    shares = {
        kind: float(np.mean((ratios > low) & (ratios < high)))
        for kind, (low, high) in _TOUCHING.items()
    }
    median = float(np.median(ratios))
    if shares["full"] >= _MOST and shares["half"] <= _FEW:
        return "full", median
    if shares["half"] >= _MOST and shares["full"] <= _FEW:
        return "half", median
    return None, median


def _ratios(centres: np.ndarray, widths: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Mean width of neighbours over their distance, for rows that follow each other."""
    names, found = np.asarray(labels), []
    for name in dict.fromkeys(labels):
        part = (names == name) & np.isfinite(centres) & np.isfinite(widths)
        apart = np.abs(np.diff(centres[part]))
        mean = (widths[part][1:] + widths[part][:-1]) / 2
        found.append(mean[apart > 0] / apart[apart > 0])
    return np.concatenate(found) if found else np.empty(0)


def from_neighbours(where: str, wavelength_um: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Full widths [um] (point,) of bins that reach half-way to their neighbours.

    Where one neighbour is much farther than the other, as beside a gap, the nearer one counts.

    Raises
    ------
    ArielflowError
        An instrument has a single point, so that nothing tells its width.
    """
    widths = np.empty_like(wavelength_um)
    for name in np.unique(labels):
        part = np.flatnonzero(labels == name)
        centres, back = np.unique(wavelength_um[part], return_inverse=True)
        if len(centres) < 2:
            raise ArielflowError(
                f"{where}: no column of widths, and {shown(name)} has a point at "
                f"{centres[0]:g} um alone, without a neighbour to derive a width from; add a "
                "column of widths"
            )
        apart = np.diff(centres)
        left, right = np.append(apart[0], apart), np.append(apart, apart[-1])
        near = np.minimum(left, right)
        mean = (left + right) / 2
        widths[part] = np.where(np.maximum(left, right) > _GAP * near, near, mean)[back]
    return widths


def layout_without_names(table: SourceTable) -> tuple[Layout, str]:
    """Which column is which in a table without a header, told from the numbers.

    Three columns are wavelength, depth and error. Of four there are three orders in use: width
    last (TauREx), width second (POSEIDON, petitRADTRANS), lower and upper edge first (PLATON).

    Returns
    -------
    layout : Layout
    words : str
        What was understood.

    Raises
    ------
    ArielflowError
        The numbers do not tell, or there are too few or too many columns.
    """
    texts = [
        place
        for place, column in enumerate(table.cells)
        if not isinstance(column, np.ndarray) and not all(is_number(str(cell)) for cell in column)
    ]
    n_columns = len(table.cells)
    instrument = n_columns - 1 if texts == [n_columns - 1] and n_columns in (4, 5) else None
    count = n_columns - (instrument is not None)
    ask = "begin the file with a line such as: # wavelength_um width_um depth_ppm error_ppm"
    if count == 2:
        raise ArielflowError(
            f"{table.path}: two columns without a header, expected wavelength, depth and error; a "
            "model or a filter has no errors and is no observed spectrum"
        )
    if count not in (3, 4):
        raise ArielflowError(
            f"{table.path}: {n_columns} columns without a header, expected 3 or 4 of a spectrum; "
            f"if it is one, {ask}"
        )
    columns = [table.numbers(place) for place in range(count)]
    if count == 3:
        return Layout(0, 1, 2, 2, "depth", instrument=instrument), "wavelength, depth, error"
    labels = (
        table.texts(instrument) if instrument is not None else table.labels or [""] * len(table)
    )
    fitting = [(one, words) for one, words, fits in _orders(columns, labels, instrument) if fits]
    if len(fitting) != 1:
        raise ArielflowError(
            f"{table.path}: four columns without a header, and the numbers do not tell which is "
            f"the width; {ask}, in the order of its columns"
        )
    return fitting[0]


def _orders(
    columns: Sequence[np.ndarray], labels: Sequence[str], instrument: int | None
) -> list[tuple[Layout, str, bool]]:
    """The orders of four columns, in words, and whether the numbers fit each."""
    first, second, third, last = columns

    def most(test: np.ndarray) -> bool:
        return bool(np.mean(test) > _MOST)

    def as_widths(widths: np.ndarray) -> bool:
        low, high = _PLAUSIBLE
        ratios = _ratios(first, widths, labels)
        return bool(len(ratios)) and low <= float(np.median(ratios)) <= high

    with np.errstate(invalid="ignore"):
        edges = bool(np.all((second > first) & (second < 3 * first)))
        return [
            (
                Layout(None, 2, 3, 3, "depth", edges=(0, 1), instrument=instrument),
                "lower edge, upper edge, depth, error",
                edges and most(last < third),
            ),
            (
                Layout(0, 2, 3, 3, "depth", width=1, instrument=instrument),
                "wavelength, width, depth, error",
                not edges and most(last < third) and as_widths(second),
            ),
            (
                Layout(0, 1, 2, 2, "depth", width=3, instrument=instrument),
                "wavelength, depth, error, width",
                not edges and most(third < second) and as_widths(last),
            ),
        ]
