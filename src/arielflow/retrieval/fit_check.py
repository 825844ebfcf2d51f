"""Whether a retrieved posterior has met the spectrum, and where the prior holds it back."""

from __future__ import annotations

import numpy as np
import xarray as xr

from arielflow.core.schema import describe
from arielflow.physics.forward import ForwardModel

POOR_FIT = 4.0
"""Chi-square per bin above which the model is said not to fit: residuals of two error bars."""

_CANDIDATES = 200
# A posterior that ends at an edge has more than the prior's own share in the outermost per cent.
_EDGE, _EDGE_WEIGHT = 0.01, 0.05


def with_fit_check(posterior: xr.Dataset, forward: ForwardModel) -> xr.Dataset:
    """Add how well each planet's best sample meets its spectrum.

    Parameters
    ----------
    posterior
        Retrieved posteriors, with ``retrieved``, equally weighted samples.
    forward
        Forward model of the same planets, in the same order; some hundred spectra per planet are
        computed.

    Returns
    -------
    xarray.Dataset
        With ``chi_square_per_bin``, ``worst_bin`` [um] and ``worst_bin_residual`` [error bars] of
        the best of the first 200 samples, each (planet,) and NaN without a retrieval, and
        ``at_prior_edge`` (planet, target): 1 where over 5 % of the samples lie in the outermost
        per cent of the prior.
    """
    systems, count = forward.systems, posterior.sizes["planet"]
    fit = np.full((3, count), np.nan)
    edge = np.zeros((count, posterior.sizes["target"]), dtype=np.int8)
    for row in np.flatnonzero(posterior["retrieved"].values):
        theta = posterior["theta"].values[row]
        model = forward.spectra(row, theta[:_CANDIDATES])
        residual = (systems.depth[row] - model) / systems.error[row]
        used = systems.valid_bins(row)
        chi_square = np.mean(residual[:, used] ** 2, axis=1)
        if np.isfinite(chi_square).any():
            best = int(np.nanargmin(chi_square))
            worst = int(np.nanargmax(np.where(used, np.abs(residual[best]), np.nan)))
            fit[:, row] = chi_square[best], systems.wavelength_um[worst], residual[best, worst]
        low, high = systems.prior[:, row]
        margin = _EDGE * (high - low)
        outside = np.stack([theta < low + margin, theta > high - margin])
        edge[row] = (outside.mean(axis=1) > _EDGE_WEIGHT).any(axis=0)
    return describe(
        posterior.assign(
            chi_square_per_bin=("planet", fit[0]),
            worst_bin=("planet", fit[1]),
            worst_bin_residual=("planet", fit[2]),
            at_prior_edge=(("planet", "target"), edge),
        )
    )
