"""Flux-conserving binning from an opacity grid to an instrument's wavelength bins."""

from __future__ import annotations

import numpy as np

from arielflow.core.errors import ArielflowError


def grid_edges(grid: np.ndarray) -> np.ndarray:
    """Edges (n + 1,) of the cells around ascending grid points: midpoints, ends mirrored."""
    middle = 0.5 * (grid[1:] + grid[:-1])
    return np.concatenate([[2 * grid[0] - middle[0]], middle, [2 * grid[-1] - middle[-1]]])


def binning_matrix(
    wavenumber_cm1: np.ndarray, wavelength_um: np.ndarray, wavelength_width_um: np.ndarray
) -> np.ndarray:
    """Weights that average a spectrum on a wavenumber grid over wavelength bins.

    Each native cell counts with its overlap with the bin, measured in wavenumber. The cells are
    those of TauREx 3's flux binner, centred on their points and as wide as the distance between
    the neighbouring midpoints: on a grid of growing steps they overlap by a hair, where midpoints
    as edges would partition the axis (up to 2.6 ppm of depth apart at a resolving power of 300).

    Parameters
    ----------
    wavenumber_cm1
        Ascending native grid, shape (native,) [cm-1].
    wavelength_um, wavelength_width_um
        Bin centres and full widths, shape (wavelength,) [um].

    Returns
    -------
    numpy.ndarray
        Shape (wavelength, native); every row sums to one.

    Raises
    ------
    ArielflowError
        A bin is not covered by the native grid.
    """
    half_width = 0.5 * np.diff(grid_edges(wavenumber_cm1))
    cell_low, cell_high = wavenumber_cm1 - half_width, wavenumber_cm1 + half_width
    low = 1e4 / (wavelength_um + 0.5 * wavelength_width_um)
    high = 1e4 / (wavelength_um - 0.5 * wavelength_width_um)
    outside = (low < cell_low[0]) | (high > cell_high[-1])
    if outside.any():
        raise ArielflowError(
            f"opacity grid covers {1e4 / cell_high[-1]:.3f}-{1e4 / cell_low[0]:.3f} um, the bin at "
            f"{wavelength_um[outside][0]:.3f} um reaches beyond it; use tables that cover all bins"
        )
    overlap = np.minimum(high[:, None], cell_high) - np.maximum(low[:, None], cell_low)
    overlap = np.clip(overlap, 0, None)
    return overlap / overlap.sum(axis=1, keepdims=True)
