"""Flux-conserving binning from an opacity grid to an instrument's wavelength bins."""

from __future__ import annotations

import numpy as np

from arielflow.core.errors import ArielflowError

SAME_EDGE = 1e-6
"""Ends of cells this close, relative to themselves, are one: files hold single precision."""
_ROUNDING = 1e-3


def grid_edges(grid: np.ndarray) -> np.ndarray:
    """Edges (n + 1,) of the cells around ascending grid points: midpoints, ends mirrored."""
    middle = 0.5 * (grid[1:] + grid[:-1])
    return np.concatenate([[2 * grid[0] - middle[0]], middle, [2 * grid[-1] - middle[-1]]])


def cells_of(wavenumber_cm1: np.ndarray, bounds_cm1: np.ndarray | None = None) -> np.ndarray:
    """Lower and upper end of every cell of a grid, shape (native, 2) [cm-1].

    Parameters
    ----------
    wavenumber_cm1
        Ascending grid, shape (native,) [cm-1].
    bounds_cm1
        The ends, where they are known. Otherwise the cells are those of TauREx 3's flux binner,
        centred on their points and as wide as the distance between the neighbouring midpoints.
    """
    if bounds_cm1 is not None:
        return bounds_cm1
    half_width = 0.5 * np.diff(grid_edges(wavenumber_cm1))
    return np.stack([wavenumber_cm1 - half_width, wavenumber_cm1 + half_width], axis=1)


def binning_matrix(
    wavenumber_cm1: np.ndarray,
    wavelength_um: np.ndarray,
    wavelength_width_um: np.ndarray,
    bounds_cm1: np.ndarray | None = None,
) -> np.ndarray:
    """Weights that average a spectrum on a wavenumber grid over wavelength bins.

    Each native cell counts with its overlap with the bin, measured in wavenumber. Where the cells'
    ends are not known they are those of TauREx 3, see :func:`cells_of`: on a grid of growing steps
    they overlap by a hair, where midpoints as edges would partition the axis (up to 2.6 ppm of
    depth apart at a resolving power of 300).

    Parameters
    ----------
    wavenumber_cm1
        Ascending native grid, shape (native,) [cm-1].
    wavelength_um, wavelength_width_um
        Bin centres and full widths, shape (wavelength,) [um].
    bounds_cm1
        Ends of the native cells, shape (native, 2) [cm-1], where they are known; they may leave
        gaps, but not inside of a bin.

    Returns
    -------
    numpy.ndarray
        Shape (wavelength, native); every row sums to one.

    Raises
    ------
    ArielflowError
        A bin is not covered by the native grid.
    """
    cells = cells_of(wavenumber_cm1, bounds_cm1)
    low, high = _ends(wavelength_um, wavelength_width_um)
    outside = (low < cells[0, 0] * (1 - SAME_EDGE)) | (high > cells[-1, 1] * (1 + SAME_EDGE))
    overlap = _overlaps(cells, low, high)
    covered = overlap.sum(axis=1)
    if bounds_cm1 is not None:
        outside |= covered < (high - low) - SAME_EDGE * high
    if outside.any():
        gaps = "" if bounds_cm1 is None else " or into a gap between its channels"
        raise ArielflowError(
            f"opacity grid covers {1e4 / cells[-1, 1]:.3f}-{1e4 / cells[0, 0]:.3f} um, the bin at "
            f"{wavelength_um[outside][0]:.3f} um reaches beyond it{gaps}; use tables that cover "
            "all bins"
        )
    return overlap / covered[:, None]


def cells_per_bin(
    wavenumber_cm1: np.ndarray,
    wavelength_um: np.ndarray,
    wavelength_width_um: np.ndarray,
    bounds_cm1: np.ndarray | None = None,
) -> np.ndarray:
    """How many native cells every bin holds, parts included, shape (wavelength,).

    Below one the bin lies inside of a single cell, or of parts of two; zero where the grid does
    not reach. Parameters as in :func:`binning_matrix`.
    """
    cells = cells_of(wavenumber_cm1, bounds_cm1)
    overlap = _overlaps(cells, *_ends(wavelength_um, wavelength_width_um))
    return (overlap / (cells[:, 1] - cells[:, 0])).sum(axis=1)


def coarser_than_bins(
    wavenumber_cm1: np.ndarray,
    wavelength_um: np.ndarray,
    wavelength_width_um: np.ndarray,
    bounds_cm1: np.ndarray | None = None,
) -> np.ndarray:
    """Which bins hold less than one native cell, so that neighbours share their value.

    Shape (wavelength,), False where the grid does not reach. Parameters as in
    :func:`binning_matrix`.
    """
    count = cells_per_bin(wavenumber_cm1, wavelength_um, wavelength_width_um, bounds_cm1)
    return (count > 0) & (count < 1 - _ROUNDING)


def cells_as_bins(
    wavenumber_cm1: np.ndarray, bounds_cm1: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A grid's own cells as bins: centres and full widths, ascending, shape (native,) [um]."""
    ends_um = 1e4 / cells_of(wavenumber_cm1, bounds_cm1)[::-1]
    return ends_um.mean(axis=1), ends_um[:, 0] - ends_um[:, 1]


def _ends(wavelength_um: np.ndarray, wavelength_width_um: np.ndarray) -> tuple:
    """Lower and upper ends of bins, each of shape (wavelength,) [cm-1]."""
    low = 1e4 / (wavelength_um + 0.5 * wavelength_width_um)
    return low, 1e4 / (wavelength_um - 0.5 * wavelength_width_um)


def _overlaps(cells: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Length that every bin shares with every cell, shape (wavelength, native) [cm-1]."""
    overlap = np.minimum(high[:, None], cells[:, 1]) - np.maximum(low[:, None], cells[:, 0])
    return np.clip(overlap, 0, None)
