"""Calibration of a trained model on fresh simulated planets, and recalibration fitted to some."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import is_usable
from arielflow.core.seeds import derived_seed
from arielflow.evaluation.calibration.covariates import planet_groups
from arielflow.evaluation.calibration.groups import Band
from arielflow.evaluation.calibration.recalibration import Recalibration, recalibrate_posterior
from arielflow.evaluation.diagnostics import rank_statistics
from arielflow.models.features import noisy_copies
from arielflow.physics.forward import ForwardModel
from arielflow.retrieval.amortised import Sampler
from arielflow.settings.calibration import CalibrationSettings

log = logging.getLogger(__name__)

_CHUNK = 250


class Measured(NamedTuple):
    """What posteriors of fresh planets say.

    Attributes
    ----------
    planets : xr.Dataset
        Those that have a posterior, their spectra with noise.
    ranks : np.ndarray
        Of the truths (planet, target), between 0 and 1.
    theta_mean : np.ndarray
        Means of the posteriors (planet, target).
    """

    planets: xr.Dataset
    ranks: np.ndarray
    theta_mean: np.ndarray


def fresh_posteriors(
    model: Sampler, planets: xr.Dataset, n_samples: int, *, seed: int
) -> Iterator[tuple[xr.Dataset, xr.Dataset]]:
    """Fresh planets with noise and their posteriors, some at a time.

    Unusable planets, and those that the model fails for, are left out.

    Parameters
    ----------
    model
        Trained model.
    planets
        Simulated planets; spectra stored without noise get one draw of it.
    n_samples
        Samples per planet.
    seed
        Of noise and samples.

    Raises
    ------
    ArielflowError
        No planet is left.
    """
    usable = planets.isel(planet=is_usable(planets))
    noisy = noisy_copies(usable, derived_seed(seed, "noise"))
    left = 0
    for number, start in enumerate(range(0, noisy.sizes["planet"], _CHUNK)):
        part = noisy.isel(planet=slice(start, start + _CHUNK))
        posterior = model.sample(part, n_samples, seed=derived_seed(seed, "sample", number))
        if "retrieved" in posterior:
            kept = posterior["retrieved"].values == 1
            part, posterior = part.isel(planet=kept), posterior.isel(planet=kept)
        left += part.sizes["planet"]
        log.info("posteriors: %d of %d planets", left, noisy.sizes["planet"])
        if part.sizes["planet"]:
            yield part, posterior
    if not left:
        raise ArielflowError(
            f"calibration: none of {planets.sizes['planet']} simulated planets has a posterior; "
            "check the opacities, or train again"
        )


def measure(
    model: Sampler,
    planets: xr.Dataset,
    n_samples: int,
    *,
    seed: int,
    recalibration: Recalibration | None = None,
) -> Measured:
    """Ranks of the truths of fresh planets in a model's posteriors.

    Parameters
    ----------
    model, planets, n_samples, seed
        As of :func:`fresh_posteriors`.
    recalibration
        Applied to the posteriors.
    """
    parts, ranks, means = [], [], []
    found = fresh_posteriors(model, planets, n_samples, seed=seed)
    for number, (part, posterior) in enumerate(found):
        if recalibration is not None:
            posterior = recalibrate_posterior(posterior, part, recalibration)
        own_seed = derived_seed(seed, "rank", number)
        ranks.append(posterior_ranks(posterior, part["theta"].values, own_seed))
        means.append(np.einsum("ps,pst->pt", posterior["weight"].values, posterior["theta"].values))
        parts.append(part)
    return Measured(_together(parts), np.concatenate(ranks), np.concatenate(means))


def _together(parts: list[xr.Dataset]) -> xr.Dataset:
    return xr.concat(parts, "planet", data_vars="minimal", coords="minimal", compat="override")


def posterior_ranks(posterior: xr.Dataset, theta_true: np.ndarray, seed: int) -> np.ndarray:
    """Ranks (planet, target) of true parameters among a posterior dataset's samples."""
    pairs = zip(posterior["theta"].values, posterior["weight"].values, strict=True)
    return rank_statistics(list(pairs), theta_true, seed)


def calibrate_groups(
    model: Sampler,
    planets: xr.Dataset,
    forward: Callable[[xr.Dataset], ForwardModel],
    settings: CalibrationSettings,
    *,
    seed: int,
    clusters: Callable[[xr.Dataset], np.ndarray] | None = None,
    recalibration: Recalibration | None = None,
) -> pd.DataFrame:
    """Calibration of a model by groups of fresh planets.

    Parameters
    ----------
    model, planets, recalibration
        As of :func:`measure`; the planets are drawn from the retrieval prior.
    forward
        Makes the forward model of a planets dataset.
    settings
        Numbers of samples and groups.
    seed
        Of noise, samples and ranks, and of the band.
    clusters
        Gives planets the numbers of their clusters (planet,).

    Returns
    -------
    pandas.DataFrame
        See :meth:`arielflow.evaluation.calibration.groups.Band.cells`.
    """
    measured = measure(model, planets, settings.n_samples, seed=seed, recalibration=recalibration)
    groupings = planet_groups(
        measured.planets,
        measured.theta_mean,
        forward(measured.planets),
        n_groups=settings.n_groups,
        clusters=None if clusters is None else clusters(measured.planets),
    )
    band = Band(groupings, seed=derived_seed(seed, "band"))
    names = [str(name) for name in measured.planets["target"].values]
    return band.cells(measured.ranks, names)


def fit_recalibration(
    model: Sampler, planets: xr.Dataset, n_samples: int, *, seed: int
) -> Recalibration:
    """Fit the maps of a model's quantiles to fresh planets.

    Parameters are those of :func:`measure`.
    """
    measured = measure(model, planets, n_samples, seed=seed)
    names = [str(name) for name in measured.planets["target"].values]
    return Recalibration.fitted(measured.ranks, names, resolution=1 / n_samples)
