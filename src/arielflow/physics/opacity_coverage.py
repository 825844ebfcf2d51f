"""Which bins and temperatures opacity tables cover."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.physics.binning import SAME_EDGE
from arielflow.physics.opacity import OpacityTable

MUST_COVER_K = (500.0, 2500.0)
"""Temperatures [K] that a table has to hold; beyond its own edges it is clamped."""


def reach_cm1(table: OpacityTable) -> tuple[float, float]:
    """Lowest and highest wavenumber that a table covers: its points', or its cells' [cm-1]."""
    if table.cell_bounds_cm1 is None:
        return float(table.wavenumber_cm1[0]), float(table.wavenumber_cm1[-1])
    return float(table.cell_bounds_cm1[0, 0]), float(table.cell_bounds_cm1[-1, 1])


def covered(
    tables: Mapping[str, OpacityTable], wavelength_um: np.ndarray, width_um: np.ndarray
) -> np.ndarray:
    """Which bins all of the tables cover whole, shape (wavelength,).

    Parameters
    ----------
    tables
        By molecule.
    wavelength_um, width_um
        Bin centres and full widths, shape (wavelength,) [um].
    """
    low_um, high_um = wavelength_um - 0.5 * width_um, wavelength_um + 0.5 * width_um
    found = np.ones(len(wavelength_um), dtype=bool)
    for table in tables.values():
        low, high = reach_cm1(table)
        found &= (low <= 1e4 / high_um * (1 + SAME_EDGE)) & (1e4 / low_um * (1 - SAME_EDGE) <= high)
        if table.cell_bounds_cm1 is not None:
            found &= ~_in_gaps(table.cell_bounds_cm1, 1e4 / high_um, 1e4 / low_um)
    return found


def gaps_after(bounds: np.ndarray) -> np.ndarray:
    """After which cells, but the last, there is a gap; ``bounds`` as in :class:`OpacityTable`."""
    return bounds[1:, 0] - bounds[:-1, 1] > SAME_EDGE * bounds[1:, 0]


def _in_gaps(bounds: np.ndarray, low_cm1: np.ndarray, high_cm1: np.ndarray) -> np.ndarray:
    """Which bins reach into a gap between channels."""
    below, above = bounds[:-1, 1], bounds[1:, 0]
    gap = gaps_after(bounds)
    margin = SAME_EDGE * above[gap]
    reaches = (low_cm1[:, None] < above[gap] - margin) & (high_cm1[:, None] > below[gap] + margin)
    return reaches.any(axis=1)


def temperature_doubt(table: OpacityTable) -> str | None:
    """What to say of a table whose temperatures span less than usual, None of the others."""
    cold, hot = table.temperature_k[[0, -1]]
    if cold <= MUST_COVER_K[0] and hot >= MUST_COVER_K[1]:
        return None
    return (
        f"covers {cold:g}-{hot:g} K, usual are {MUST_COVER_K[0]:g}-{MUST_COVER_K[1]:g} K; beyond "
        "its ends it is taken there"
    )


def check_coverage(
    path: str | Path, table: OpacityTable, wavelength_um: np.ndarray, width_um: np.ndarray
) -> None:
    """Refuse a table that leaves part of the bins or of the usual temperatures uncovered.

    Raises
    ------
    ArielflowError
        With the file, what it covers and what is needed.
    """
    low, high = (1e4 / end for end in reach_cm1(table)[::-1])
    needed = (wavelength_um - 0.5 * width_um).min(), (wavelength_um + 0.5 * width_um).max()
    if low > needed[0] or high < needed[1]:
        as_um = table.wavenumber_cm1[[0, -1]]
        swapped = as_um[0] <= needed[0] and needed[1] <= as_um[1] < 1e3
        hint = "use a table that covers all bins"
        if swapped:
            hint = "its grid looks like wavelengths: say so in the attribute units"
        raise ArielflowError(
            f"{path}: covers {low:.3f}-{high:.3f} um, the bins need {needed[0]:.3f}-"
            f"{needed[1]:.3f} um; {hint}"
        )
    inside = covered({table.molecule: table}, wavelength_um, width_um)
    if table.cell_bounds_cm1 is not None and not inside.all():
        raise ArielflowError(
            f"{path}: its channels leave gaps, the bin at {wavelength_um[~inside][0]:.3f} um "
            "reaches into one; use a table that covers all bins"
        )
    if temperature_doubt(table) is not None:
        cold, hot = table.temperature_k[[0, -1]]
        raise ArielflowError(
            f"{path}: covers {cold:g}-{hot:g} K, needed are {MUST_COVER_K[0]:g}-"
            f"{MUST_COVER_K[1]:g} K; use a table with a wider range"
        )
