"""One posterior out of an ensemble's members, for every planet, usable or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from arielflow.models import load_estimator
from arielflow.posterior import mix
from arielflow.provenance import derived_seed
from arielflow.schema import is_usable, posterior_dataset


def prior_samples(planets: xr.Dataset, n_samples: int, seed: int) -> np.ndarray:
    """Uniform draws (planet, sample, target) from every planet's prior box."""
    low = planets["prior_low"].values[:, None, :]
    high = planets["prior_high"].values[:, None, :]
    shape = (planets.sizes["planet"], n_samples, planets.sizes["target"])
    return low + (high - low) * np.random.default_rng(seed).random(shape)


def sample_ensemble(
    members: Sequence[str | Path],
    planets: xr.Dataset,
    n_samples: int,
    *,
    seed: int,
    device: str = "auto",
) -> xr.Dataset:
    """Sample every member and mix them with equal shares.

    A planet whose data are unusable, or for which a member fails to give finite samples, gets
    draws from its prior.

    Parameters
    ----------
    members
        Folders of the trained members.
    planets
        Planets dataset.
    n_samples
        Samples a planet of the mixture.
    seed, device
        Of the sampling.
    """
    theta = prior_samples(planets, n_samples, derived_seed(seed, "prior"))
    usable = np.flatnonzero(is_usable(planets))
    good = planets.isel(planet=usable)
    posteriors = (
        [
            load_estimator(path).sample(
                good, n_samples, seed=derived_seed(seed, "sample", number), device=device
            )
            for number, path in enumerate(members)
        ]
        if len(usable)
        else []
    )
    for row, position in enumerate(usable):
        samples = [(p["theta"].values[row], p["weight"].values[row]) for p in posteriors]
        if all(np.isfinite(member).all() for member, _ in samples):
            theta[position] = mix(samples, n_samples, derived_seed(seed, "mix", int(position)))
    return posterior_dataset(planets, theta)


def ensemble_log_prob(
    members: Sequence[str | Path], planets: xr.Dataset, theta: np.ndarray
) -> np.ndarray | None:
    """Natural log-density (planet,) of the mixture at one point (planet, target) a planet.

    None if the members have no density; NaN for planets whose data are unusable.
    """
    estimators = [load_estimator(path) for path in members]
    if not all(estimator.has_log_prob for estimator in estimators):
        return None
    usable = is_usable(planets)
    result = np.full(planets.sizes["planet"], np.nan)
    good, points = planets.isel(planet=usable), theta[usable][:, None, :]
    densities = np.stack([e.log_prob(good, points)[:, 0] for e in estimators])
    result[usable] = np.logaddexp.reduce(densities, axis=0) - np.log(len(estimators))
    return result
