"""One posterior out of an ensemble's members, for every planet, usable or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from arielflow.errors import ArielflowError
from arielflow.features import noisy_copies
from arielflow.models import load_members
from arielflow.posterior import mix
from arielflow.provenance import derived_seed
from arielflow.schema import ALEATORIC, EPISTEMIC, describe, is_usable, posterior_dataset

_STACKING_STEPS = 500


def prior_samples(planets: xr.Dataset, n_samples: int, seed: int) -> np.ndarray:
    """Uniform draws (planet, sample, target) from every planet's prior box."""
    low = planets["prior_low"].values[:, None, :]
    high = planets["prior_high"].values[:, None, :]
    shape = (planets.sizes["planet"], n_samples, planets.sizes["target"])
    return low + (high - low) * np.random.default_rng(seed).random(shape)


def spread_parts(posteriors: Sequence[xr.Dataset], shares: np.ndarray) -> dict[str, np.ndarray]:
    """Standard deviations within and between the networks of a mixture, by total variance.

    The variance of a mixture is the mean of its parts' variances (*aleatoric*) and the variance of
    their means (*epistemic*). Members that split their own variance, such as Bayesian networks,
    add theirs to either part. The variance between members is freed of what the finite number of
    samples adds to it.

    Parameters
    ----------
    posteriors
        Posterior dataset of every member, of the same planets.
    shares
        Share of every member, summing to one.

    Returns
    -------
    dict
        ``aleatoric`` and ``epistemic`` (planet, target), target units; empty for one member that
        does not split its variance.
    """
    if len(posteriors) == 1 and EPISTEMIC not in posteriors[0]:
        return {}
    means, variances, noise, own = [], [], 0.0, 0.0
    for posterior, share in zip(posteriors, shares, strict=True):
        theta, weight = posterior["theta"].values, posterior["weight"].values[..., None]
        mean = (weight * theta).sum(axis=1)
        variance = (weight * (theta - mean[:, None]) ** 2).sum(axis=1)
        noise = noise + share * (1 - share) * variance * (weight**2).sum(axis=1)
        if EPISTEMIC in posterior:
            variance = posterior[ALEATORIC].values ** 2
            own = own + share * posterior[EPISTEMIC].values ** 2
        means.append(mean)
        variances.append(variance)
    within = np.average(variances, axis=0, weights=shares)
    deviations = means - np.average(means, axis=0, weights=shares)
    between = np.average(deviations**2, axis=0, weights=shares)
    return {ALEATORIC: np.sqrt(within), EPISTEMIC: np.sqrt(own + np.maximum(between - noise, 0))}


class Ensemble:
    """Trained members of one model and their shares of the mixture.

    Parameters
    ----------
    members
        Folders of the members; those whose training failed are left out.
    shares
        Share of each member that is left, summing to one; equal if left out.
    device
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    ArielflowError
        The shares are not one a member, or no member is left.
    """

    def __init__(
        self,
        members: Sequence[str | Path],
        shares: Sequence[float] | None = None,
        *,
        device: str = "auto",
    ) -> None:
        self.estimators = load_members(members)
        self.device = device
        equal = np.full(len(self.estimators), 1 / len(self.estimators))
        self.shares = equal if shares is None else np.atleast_1d(shares)
        if self.shares.shape != equal.shape or not np.isclose(self.shares.sum(), 1):
            raise ArielflowError(
                f"ensemble: shares {list(self.shares)} for {len(equal)} members; give one share "
                "a member, summing to one"
            )

    @property
    def has_log_prob(self) -> bool:
        """Every member has a density."""
        return all(estimator.has_log_prob for estimator in self.estimators)

    def sample(self, planets: xr.Dataset, n_samples: int, *, seed: int) -> np.ndarray:
        """Samples (planet, sample, target) of the mixture; planets must be usable.

        A planet for which a member fails to give finite samples gets draws from its prior.
        """
        return self.sample_with_parts(planets, n_samples, seed=seed)[0]

    def sample_with_parts(
        self, planets: xr.Dataset, n_samples: int, *, seed: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Samples as of :meth:`sample`, and the parts of their spread, see :func:`spread_parts`."""
        theta = prior_samples(planets, n_samples, derived_seed(seed, "prior"))
        posteriors = [
            estimator.sample(
                planets, n_samples, seed=derived_seed(seed, "sample", number), device=self.device
            )
            for number, estimator in enumerate(self.estimators)
        ]
        for row in range(planets.sizes["planet"]):
            samples = [(p["theta"].values[row], p["weight"].values[row]) for p in posteriors]
            if all(np.isfinite(member).all() for member, _ in samples):
                theta[row] = mix(samples, n_samples, derived_seed(seed, "mix", row), self.shares)
        return theta, spread_parts(posteriors, self.shares)

    def log_prob(self, planets: xr.Dataset, theta: np.ndarray) -> np.ndarray:
        """Natural log-density (planet, sample) of the mixture at theta (planet, sample, target)."""
        with np.errstate(divide="ignore"):
            log_shares = np.log(self.shares)
        densities = [
            estimator.log_prob(planets, theta, device=self.device) + log_share
            for estimator, log_share in zip(self.estimators, log_shares, strict=True)
        ]
        return np.logaddexp.reduce(densities, axis=0)


def sample_ensemble(
    members: Sequence[str | Path],
    planets: xr.Dataset,
    n_samples: int,
    *,
    seed: int,
    device: str = "auto",
    shares: Sequence[float] | None = None,
) -> xr.Dataset:
    """Sample every member and mix them.

    A planet whose data are unusable, or for which a member fails to give finite samples, gets
    draws from its prior. Where the members or their number tell, the posterior has the standard
    deviations ``aleatoric`` and ``epistemic`` (:func:`spread_parts`), NaN for unusable planets.

    Parameters
    ----------
    members
        Folders of the members; those whose training failed are left out.
    planets
        Planets dataset.
    n_samples
        Samples a planet of the mixture.
    seed, device
        Of the sampling.
    shares
        Share of each member; equal if left out. Kept as the attribute ``shares``.
    """
    theta = prior_samples(planets, n_samples, derived_seed(seed, "prior"))
    usable = is_usable(planets)
    ensemble = Ensemble(members, shares, device=device)
    parts: dict[str, np.ndarray] = {}
    if usable.any():
        theta[usable], parts = ensemble.sample_with_parts(
            planets.isel(planet=usable), n_samples, seed=seed
        )
    posterior = posterior_dataset(planets, theta)
    for name, values in parts.items():
        deviation = np.full((planets.sizes["planet"], planets.sizes["target"]), np.nan)
        deviation[usable] = values
        posterior[name] = (("planet", "target"), deviation)
    posterior.attrs["shares"] = ensemble.shares
    return describe(posterior)


def ensemble_log_prob(
    members: Sequence[str | Path],
    planets: xr.Dataset,
    theta: np.ndarray,
    shares: Sequence[float] | None = None,
    *,
    device: str = "auto",
) -> np.ndarray | None:
    """Natural log-density (planet,) of the mixture at one point (planet, target) a planet.

    None if the members have no density; NaN for planets whose data are unusable.
    """
    ensemble = Ensemble(members, shares, device=device)
    if not ensemble.has_log_prob:
        return None
    usable = is_usable(planets)
    result = np.full(planets.sizes["planet"], np.nan)
    points = theta[usable][:, None, :]
    result[usable] = ensemble.log_prob(planets.isel(planet=usable), points)[:, 0]
    return result


def stacking_shares(
    members: Sequence[str | Path], valid: xr.Dataset, *, seed: int, device: str = "auto"
) -> np.ndarray:
    """Shares (member,) that maximise the mixture's mean log-density on validation planets.

    Stacking of predictive densities (Yao et al. 2018, Bayesian Analysis 13, 917); the concave
    problem is solved by expectation maximisation.

    Parameters
    ----------
    members
        Folders of the trained members.
    valid
        Validation planets that no member was trained on, with theta.
    seed
        Of the noise that the spectra get where they are stored without.

    Raises
    ------
    ArielflowError
        The members have no density.
    """
    ensemble = Ensemble(members, device=device)
    if not ensemble.has_log_prob:
        raise ArielflowError("mixing by stacking: the members have no density; choose uniform")
    noisy, theta = noisy_copies(valid, seed), valid["theta"].values[:, None, :]
    log_prob = np.stack(
        [e.log_prob(noisy, theta, device=device)[:, 0] for e in ensemble.estimators], axis=1
    )
    density = np.exp(log_prob - log_prob.max(axis=1, keepdims=True))
    shares = ensemble.shares
    for _ in range(_STACKING_STEPS):
        responsibility = density * shares
        shares = (responsibility / responsibility.sum(axis=1, keepdims=True)).mean(axis=0)
    return shares
