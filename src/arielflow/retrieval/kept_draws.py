"""Weighted draws that a posterior keeps beside its samples, with the likelihood of every bin.

Equally weighted samples are what most readers want, but leaving a bin out asks how the posterior's
own draws are weighted, and how likely each makes the bin. A thousand draws tell, if their weights
are kept; a bin's log-likelihoods are rounded, which saves more than half of their space.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from arielflow.core.samples import choose_weighted
from arielflow.core.schema import describe
from arielflow.core.seeds import derived_seed
from arielflow.physics.forward import ForwardModel
from arielflow.retrieval.likelihood import log_likelihood_by_bin
from arielflow.retrieval.method import WeightedResult

# Rounded to parts of a unit of log-likelihood; a power of two, whose multiples compress well.
_PARTS = 256


class KeptDraws(NamedTuple):
    """Weighted draws of one planet.

    ``theta`` (draw, target), ``weight`` (draw,) that sum to one, and natural log-likelihoods
    ``log_likelihood`` (draw, wavelength) of single bins, NaN in those without a value.
    """

    theta: np.ndarray
    weight: np.ndarray
    log_likelihood: np.ndarray


def keep_draws(
    results: Mapping[int, WeightedResult | str], forward: ForwardModel, n_draws: int, seed: int
) -> dict[int, KeptDraws]:
    """A choice of every result's weighted draws, and the log-likelihood of their bins.

    Parameters
    ----------
    results
        By planets' positions: weighted draws, or why there are none.
    forward
        Forward model of the planets; a spectrum a draw is computed.
    n_draws
        The most draws to keep of each, see :func:`arielflow.core.samples.choose_weighted`; 0 for
        none.
    seed
        Of the choice; it changes no sample of the results.
    """
    kept = {}
    for row, result in results.items():
        if n_draws and not isinstance(result, str):
            name = forward.systems.names[row]
            rng = np.random.default_rng(derived_seed(seed, f"kept draws/{name}"))
            chosen, weight = choose_weighted(result.weight, n_draws, rng)
            found = log_likelihood_by_bin(forward, row, result.theta[chosen])
            kept[row] = KeptDraws(result.theta[chosen], weight, np.round(found * _PARTS) / _PARTS)
    return kept


def with_kept_draws(
    posterior: xr.Dataset, kept: Mapping[int, KeptDraws], n_draws: int, wavelength_um: np.ndarray
) -> xr.Dataset:
    """Add weighted draws to a posterior dataset, in single precision; its samples stay as they are.

    Parameters
    ----------
    posterior
        Posterior dataset.
    kept
        Draws by planets' positions.
    n_draws
        The most that a planet has: the size of the dimension ``draw``.
    wavelength_um
        Centres of the bins (wavelength,) [um].

    Returns
    -------
    xarray.Dataset
        With ``draw_theta`` (planet, draw, target), ``draw_weight`` (planet, draw) and
        ``draw_log_likelihood`` (planet, draw, wavelength), see :mod:`arielflow.core.schema`.
    """
    shape = posterior.sizes["planet"], n_draws
    theta = np.full((*shape, posterior.sizes["target"]), np.nan, dtype=np.float32)
    weight = np.zeros(shape, dtype=np.float32)
    log_likelihood = np.full((*shape, len(wavelength_um)), np.nan, dtype=np.float32)
    for row, draws in kept.items():
        part = row, slice(len(draws.weight))
        theta[part], weight[part], log_likelihood[part] = draws
    return describe(
        posterior.assign(
            draw_theta=(("planet", "draw", "target"), theta),
            draw_weight=(("planet", "draw"), weight),
            draw_log_likelihood=(("planet", "draw", "wavelength"), log_likelihood),
        ).assign_coords(wavelength=("wavelength", wavelength_um))
    )


def kept_draws(posterior: xr.Dataset, planet: str) -> KeptDraws | None:
    """Weighted draws that a posterior dataset keeps of one planet; None if it keeps none."""
    if "draw_weight" not in posterior or planet not in posterior["planet"].values:
        return None
    names = ("draw_theta", "draw_weight", "draw_log_likelihood")
    own = posterior[list(names)].sel(planet=planet).load()
    theta, weight, log_likelihood = (own[name].values.astype(float) for name in names)
    found = weight > 0
    if not found.any():
        return None
    return KeptDraws(theta[found], weight[found] / weight.sum(), log_likelihood[found])
