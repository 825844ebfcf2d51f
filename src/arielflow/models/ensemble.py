"""One posterior out of an ensemble's members, for every planet, usable or not."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from arielflow.core.device import resolve_device
from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed
from arielflow.core.samples import mix
from arielflow.core.schema import (
    ALEATORIC,
    EPISTEMIC,
    data_faults,
    describe,
    is_usable,
    posterior_dataset,
    validate_posterior,
)
from arielflow.core.seeds import derived_seed
from arielflow.data.priors import prior_samples
from arielflow.models import load_members
from arielflow.models.base import PosteriorEstimator
from arielflow.models.faults import attempted
from arielflow.models.features import noisy_copies

log = logging.getLogger(__name__)

_STACKING_STEPS = 500


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


class Mixture(NamedTuple):
    """What an ensemble makes of planets.

    Attributes
    ----------
    theta : np.ndarray
        Samples (planet, sample, target), the prior's where all members fail.
    parts : dict[str, np.ndarray]
        Parts of the spread (planet, target) by name, see :func:`spread_parts`; NaN without.
    faults : np.ndarray
        Why all members fail (planet,), empty where one does not.
    """

    theta: np.ndarray
    parts: dict[str, np.ndarray]
    faults: np.ndarray


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
        The device is not there, the shares are not one per member, or no member is left.
    """

    def __init__(
        self,
        members: Sequence[str | Path],
        shares: Sequence[float] | None = None,
        *,
        device: str = "auto",
    ) -> None:
        self.estimators = load_members(members)
        # A missing device is not a planet's fault, so it is reported here, outside the guards.
        self.device = resolve_device(device)
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

    def sample(self, planets: xr.Dataset, n_samples: int, *, seed: int) -> xr.Dataset:
        """Posterior dataset of planets, usable or not.

        A planet whose data are unusable, or for which all members fail to give finite samples, gets
        draws from its prior, as ``retrieved`` and ``fault`` (planet,) say. Where it is known, the
        spread is in ``aleatoric`` and ``epistemic`` (:func:`spread_parts`), NaN for such planets.
        The attribute ``shares`` keeps those of the members.
        """
        theta = prior_samples(planets, n_samples, derived_seed(seed, "prior"))
        usable, faults = is_usable(planets), data_faults(planets)
        parts: dict[str, np.ndarray] = {}
        if usable.any():
            theta[usable], parts, faults[usable] = self.mixture(
                planets.isel(planet=usable), n_samples, seed=seed
            )
        posterior = posterior_dataset(planets, theta)
        for name, values in parts.items():
            deviation = np.full((planets.sizes["planet"], planets.sizes["target"]), np.nan)
            deviation[usable] = values
            posterior[name] = (("planet", "target"), deviation)
        posterior["retrieved"] = ("planet", (faults == "").astype(np.int8))
        posterior["fault"] = ("planet", faults)
        posterior.attrs["shares"] = self.shares
        return describe(posterior)

    def mixture(self, planets: xr.Dataset, n_samples: int, *, seed: int) -> Mixture:
        """Mix the members' samples of planets, which must be usable.

        A planet that a member fails for is sampled by itself, by the members that can; without any
        it gets draws from its prior. The others have the samples that they would have without it.
        A member that fails for all planets is left out.

        Raises
        ------
        ArielflowError
            Every member fails for all of several planets.
        """
        names = planets["planet"].values
        theta = prior_samples(planets, n_samples, derived_seed(seed, "prior"))
        faults = np.full(len(theta), "", dtype=object)
        together, posteriors = self._sample_together(planets, n_samples, seed)
        shares, found = self._shares(posteriors), list(posteriors.values())
        for position, row in enumerate(together):
            samples = [(p["theta"].values[position], p["weight"].values[position]) for p in found]
            theta[row] = mix(samples, n_samples, derived_seed(seed, "mix", position), shares)
        spreads = [(together, spread_parts(found, shares) if found else {})]
        for row in np.setdiff1d(np.arange(len(theta)), together):
            own, reasons = self._sample_apart(planets.isel(planet=[row]), n_samples, seed)
            reason = next(iter(reasons.values()), "")
            if not own:
                log.warning("%s: its samples are the prior's: %s", names[row], reason)
                faults[row] = reason
                continue
            if reasons:
                log.warning("%s: without %d members: %s", names[row], len(reasons), reason)
            shares, found = self._shares(own), list(own.values())
            samples = [(p["theta"].values[0], p["weight"].values[0]) for p in found]
            theta[row] = mix(samples, n_samples, derived_seed(seed, f"mix/{names[row]}"), shares)
            spreads.append(([row], spread_parts(found, shares)))
        return Mixture(theta, _joined(spreads, (len(theta), theta.shape[2])), faults)

    def _shares(self, members: Mapping[int, object]) -> np.ndarray:
        """Shares of some of the members, summing to one."""
        chosen = self.shares[list(members)]
        return self.shares if len(chosen) == len(self.shares) else chosen / chosen.sum()

    def _sample_together(
        self, planets: xr.Dataset, n_samples: int, seed: int
    ) -> tuple[np.ndarray, dict[int, xr.Dataset]]:
        """Rows that no member fails for, and their posteriors by member."""
        seen = [estimator.sees(planets) for estimator in self.estimators]
        rows, out = np.flatnonzero(np.all(seen, axis=0)), dict[int, str]()
        while len(rows):
            posteriors = {}
            for number in (n for n in range(len(self.estimators)) if n not in out):
                own_seed = derived_seed(seed, "sample", number)
                posterior, failed = self._sample(number, planets, rows, n_samples, own_seed)
                if posterior is not None:
                    posteriors[number] = posterior
                elif len(failed) == len(rows) > 1:
                    out[number] = next(iter(failed.values()))
                    log.warning("member %d is left out, fails for all: %s", number, out[number])
                else:
                    rows = np.setdiff1d(rows, list(failed))
                    break
            else:
                if len(out) == len(self.estimators):
                    raise ArielflowError(
                        f"all {len(out)} members fail for all {len(rows)} planets, the first: "
                        f"{out[0]}; train again, or give planets like those of the training"
                    )
                return rows, posteriors
        return rows, {}

    def _sample_apart(
        self, planet: xr.Dataset, n_samples: int, seed: int
    ) -> tuple[dict[int, xr.Dataset], dict[int, str]]:
        """Posteriors of the dataset's only planet by member, and why the others have none."""
        posteriors, faults, only = {}, {}, np.array([0])
        for number in range(len(self.estimators)):
            own_seed = derived_seed(seed, f"sample/{planet['planet'].values[0]}", number)
            posterior, failed = self._sample(number, planet, only, n_samples, own_seed)
            if posterior is None:
                faults |= {number: failed[0]}
            else:
                posteriors[number] = posterior
        return posteriors, faults

    def _sample(
        self, number: int, planets: xr.Dataset, rows: np.ndarray, n_samples: int, seed: int
    ) -> tuple[xr.Dataset | None, dict[int, str]]:
        """A member's posteriors of some rows, or the rows that it fails for."""

        def sample(chosen: np.ndarray) -> xr.Dataset:
            part = planets.isel(planet=chosen)
            return validate_posterior(
                self.estimators[number].sample(part, n_samples, seed=seed, device=self.device)
            )

        return attempted(sample, rows)

    def log_prob(self, planets: xr.Dataset, theta: np.ndarray) -> np.ndarray:
        """Natural log-density (planet, sample) of the mixture at theta (planet, sample, target).

        Members that fail for a planet are left out of its mixture; NaN where all fail.
        """
        densities = self.member_log_prob(planets, theta)
        with np.errstate(divide="ignore", invalid="ignore"):
            weighted = densities + np.log(self.shares)[:, None, None]
            failed = np.isnan(densities).any(axis=2)
            weighted[failed] = -np.inf
            mixed = np.logaddexp.reduce(weighted, axis=0)
            left = np.log((self.shares[:, None] * ~failed).sum(axis=0))
            return np.where(failed.any(axis=0)[:, None], mixed - left[:, None], mixed)

    def member_log_prob(self, planets: xr.Dataset, theta: np.ndarray) -> np.ndarray:
        """Natural log-density (member, planet, sample); NaN, and said, where a member fails."""
        found = np.full((len(self.estimators), *theta.shape[:2]), np.nan)
        for number, estimator in enumerate(self.estimators):

            def log_prob(chosen: np.ndarray, estimator: PosteriorEstimator = estimator):
                part = planets.isel(planet=chosen)
                return estimator.log_prob(part, theta[chosen], device=self.device)

            rows = np.arange(len(theta))
            while len(rows):
                densities, failed = attempted(log_prob, rows)
                if densities is not None:
                    # A density has no bound, but it is finite, or zero.
                    found[number, rows] = np.where(densities < np.inf, densities, np.nan)
                    break
                rows = np.setdiff1d(rows, list(failed))
            bad = planets["planet"].values[np.isnan(found[number]).any(axis=1)]
            if len(bad):
                log.warning("member %d has no density of %s", number, listed(list(bad)))
        return found


def _joined(
    spreads: Sequence[tuple[Sequence[int] | np.ndarray, dict[str, np.ndarray]]],
    shape: tuple[int, int],
) -> dict[str, np.ndarray]:
    """Parts of the spread of all planets from those of some rows each, NaN for the others."""
    joined: dict[str, np.ndarray] = {}
    for rows, parts in spreads:
        for name, values in parts.items():
            joined.setdefault(name, np.full(shape, np.nan))[rows] = values
    return joined


def sample_ensemble(
    members: Sequence[str | Path],
    planets: xr.Dataset,
    n_samples: int,
    *,
    seed: int,
    device: str = "auto",
    shares: Sequence[float] | None = None,
) -> xr.Dataset:
    """Sample every member and mix them, see :meth:`Ensemble.sample`.

    Parameters
    ----------
    members, shares, device
        As of :class:`Ensemble`.
    planets
        Planets dataset.
    n_samples
        Samples per planet of the mixture.
    seed
        Seed of the sampling.
    """
    return Ensemble(members, shares, device=device).sample(planets, n_samples, seed=seed)


def ensemble_log_prob(
    members: Sequence[str | Path],
    planets: xr.Dataset,
    theta: np.ndarray,
    shares: Sequence[float] | None = None,
    *,
    device: str = "auto",
) -> np.ndarray | None:
    """Natural log-density (planet,) of the mixture at one point per planet (planet, target).

    None if the members have no density; NaN for planets whose data are unusable, whose point is not
    known, or for which the members fail.
    """
    ensemble = Ensemble(members, shares, device=device)
    if not ensemble.has_log_prob:
        return None
    given = is_usable(planets) & np.isfinite(theta).all(axis=1)
    result = np.full(planets.sizes["planet"], np.nan)
    points = theta[given][:, None, :]
    result[given] = ensemble.log_prob(planets.isel(planet=given), points)[:, 0]
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
        Seed of the noise that the spectra get where they are stored without.

    Raises
    ------
    ArielflowError
        The members have no density, or none of any validation planet.
    """
    ensemble = Ensemble(members, device=device)
    if not ensemble.has_log_prob:
        raise ArielflowError("mixing by stacking: the members have no density; choose uniform")
    noisy, theta = noisy_copies(valid, seed), valid["theta"].values[:, None, :]
    log_prob = ensemble.member_log_prob(noisy, theta)[:, :, 0].T
    failed = np.isnan(log_prob).all(axis=0)
    log_prob[:, failed] = -np.inf
    known = np.isfinite(log_prob.max(axis=1))
    if not known.any():
        raise ArielflowError(
            f"mixing by stacking: no member has a density of any of {len(known)} validation "
            "planets; choose uniform"
        )
    if not known.all():
        log.warning("stacking leaves out %d of %d planets", (~known).sum(), len(known))
    log_prob = log_prob[known]
    density = np.exp(log_prob - log_prob.max(axis=1, keepdims=True))
    shares = ensemble.shares
    for _ in range(_STACKING_STEPS):
        responsibility = density * shares
        shares = (responsibility / responsibility.sum(axis=1, keepdims=True)).mean(axis=0)
    return shares
