"""Flux-conserving binning from an opacity grid to an instrument's wavelength bins."""

from __future__ import annotations

import numpy as np

from arielflow.errors import ArielflowError


def grid_edges(grid: np.ndarray) -> np.ndarray:
    """Edges (n + 1,) of the cells around ascending grid points: midpoints, ends mirrored."""
    middle = 0.5 * (grid[1:] + grid[:-1])
    return np.concatenate([[2 * grid[0] - middle[0]], middle, [2 * grid[-1] - middle[-1]]])


def binning_matrix(
    wavenumber_cm1: np.ndarray, wavelength_um: np.ndarray, wavelength_width_um: np.ndarray
) -> np.ndarray:
    """Weights that average a spectrum on a wavenumber grid over wavelength bins.

    Each native cell counts with its overlap with the bin, measured in wavenumber, as in TauREx 3's
    flux binner.

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
    edges = grid_edges(wavenumber_cm1)
    low = 1e4 / (wavelength_um + 0.5 * wavelength_width_um)
    high = 1e4 / (wavelength_um - 0.5 * wavelength_width_um)
    outside = (low < edges[0]) | (high > edges[-1])
    if outside.any():
        raise ArielflowError(
            f"opacity grid covers {1e4 / edges[-1]:.3f}-{1e4 / edges[0]:.3f} um, the bin at "
            f"{wavelength_um[outside][0]:.3f} um reaches beyond it; use tables that cover all bins"
        )
    overlap = np.minimum(high[:, None], edges[1:]) - np.maximum(low[:, None], edges[:-1])
    overlap = np.clip(overlap, 0, None)
    return overlap / overlap.sum(axis=1, keepdims=True)
