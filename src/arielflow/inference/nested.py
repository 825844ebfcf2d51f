"""Nested sampling of one planet's posterior with a vectorised likelihood (nautilus).

nautilus (Lange 2023, MNRAS 525, 3181) was chosen over UltraNest by measurement, see
``benchmarks/nested_samplers.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import xarray as xr
from nautilus import Sampler
from threadpoolctl import threadpool_limits

from arielflow.errors import ArielflowError
from arielflow.physics.forward import ForwardModel
from arielflow.physics.system import (
    JUPITER_RADIUS_M,
    scale_height_m,
    surface_gravity_m_s2,
)
from arielflow.schema import auxiliary_values, target_index

_LOG_ZERO = -1e100
_MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class NestedSettings:
    """Settings of the nested sampler.

    Attributes
    ----------
    n_live : live points
    n_effective : effective samples at which sampling stops
    n_batch : likelihoods evaluated at once
    n_networks : networks of nautilus' bounds
    """

    n_live: int = 400
    n_effective: int = 2500
    n_batch: int = 512
    n_networks: int = 1


@dataclass(frozen=True)
class NestedResult:
    """Weighted posterior samples and what they cost.

    Attributes
    ----------
    theta : samples (n, target)
    weight : weights (n,), summing to one
    log_evidence : natural logarithm of the evidence under the sampled box
    effective_samples, likelihood_calls, seconds : what the run gave and took
    """

    theta: np.ndarray
    weight: np.ndarray
    log_evidence: float
    effective_samples: float
    likelihood_calls: int
    seconds: float


def nested_sampling(
    log_likelihood: Callable[[np.ndarray], np.ndarray],
    low: np.ndarray,
    high: np.ndarray,
    *,
    seed: int,
    settings: NestedSettings | None = None,
) -> NestedResult:
    """Sample a posterior under a uniform prior on a box.

    Parameters
    ----------
    log_likelihood
        Natural log-likelihoods (n,) of points (n, target).
    low, high
        Edges of the box, shape (target,).
    seed
        Seed of the sampler.
    settings
        The sampler's settings.

    Raises
    ------
    ArielflowError
        The sampler returned too few effective samples.
    """
    settings = settings or NestedSettings()
    started = perf_counter()
    with threadpool_limits(1):
        sampler = Sampler(
            lambda cube: low + (high - low) * cube,
            log_likelihood,
            n_dim=len(low),
            n_live=settings.n_live,
            n_networks=settings.n_networks,
            n_batch=settings.n_batch,
            vectorized=True,
            pass_dict=False,
            seed=seed,
        )
        sampler.run(n_eff=settings.n_effective, discard_exploration=True)
        theta, log_weight, _ = sampler.posterior()
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    effective = float(1 / np.sum(weight**2))
    if effective < 0.8 * settings.n_effective:
        raise ArielflowError(
            f"nested sampling ended with {effective:.0f} effective samples, expected "
            f"{settings.n_effective}; raise n_live"
        )
    return NestedResult(
        theta,
        weight,
        float(sampler.log_z),
        effective,
        int(sampler.n_like),
        perf_counter() - started,
    )


def sampling_box(planets: xr.Dataset, planet: int, widen: float = 1.0) -> np.ndarray:
    """The prior's box of one planet, (2, target), cut in radius to where the likelihood can be.

    The 10-bar radius lies below the smallest transit radius by at most some fifteen scale heights
    of the hottest atmosphere that the prior allows; the cut changes no posterior and saves calls.
    ``widen`` multiplies the margins.
    """
    box = np.stack(
        [planets["prior_low"].values[planet], planets["prior_high"].values[planet]]
    ).astype(float)
    column = target_index(planets, "planet_radius")
    if column is None:
        return box
    star_radius, mass = (
        auxiliary_values(planets, name)[planet] for name in ("star_radius_m", "planet_mass_kg")
    )
    depth = planets["transit_depth"].values[planet]
    error = planets["transit_depth_error"].values[planet]
    smallest = int(np.argmin(depth))
    seen = star_radius * np.sqrt(depth[smallest])
    hottest = box[1, target_index(planets, "planet_temperature")]
    height = scale_height_m(hottest, surface_gravity_m_s2(mass, seen))
    below = min(15 * widen * height, 0.6 * seen)
    above = 8 * widen * error[smallest] * star_radius**2 / (2 * seen) + 1e-4 * seen
    edges = np.array([seen - below, seen + above]) / JUPITER_RADIUS_M
    box[:, column] = np.clip(edges, box[0, column], box[1, column])
    return box


def gaussian_log_likelihood(
    forward: ForwardModel, planets: xr.Dataset, planet: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Independent Gaussian errors around the stored spectrum; normalised in the data."""
    depth = planets["transit_depth"].values[planet]
    error = planets["transit_depth_error"].values[planet]
    constant = -np.sum(np.log(error)) - 0.5 * len(error) * np.log(2 * np.pi)

    def log_likelihood(theta: np.ndarray) -> np.ndarray:
        residual = (forward.spectra(planet, theta) - depth) / error
        value = constant - 0.5 * np.sum(residual**2, axis=1)
        return np.where(np.isfinite(value), value, _LOG_ZERO)

    return log_likelihood


def retrieve(
    forward: ForwardModel,
    planets: xr.Dataset,
    planet: int,
    *,
    seed: int,
    settings: NestedSettings | None = None,
) -> NestedResult:
    """Posterior of one planet under its retrieval prior.

    The radius box is widened and the planet sampled again should the posterior touch an edge that
    is not the prior's own.

    Raises
    ------
    ArielflowError
        The posterior still touches the box after widening, or sampling failed.
    """
    log_likelihood = gaussian_log_likelihood(forward, planets, planet)
    for attempt in range(_MAX_ATTEMPTS):
        box = sampling_box(planets, planet, widen=2.0**attempt)
        result = nested_sampling(log_likelihood, *box, seed=seed, settings=settings)
        if not _touches_cut(result, box, planets, planet):
            return result
    raise ArielflowError(
        f"planet {planets['planet'].values[planet]}: the posterior touches the edge of the radius "
        "box even when widened; check its spectrum and mass"
    )


def _touches_cut(result: NestedResult, box: np.ndarray, planets: xr.Dataset, planet: int) -> bool:
    prior = (planets["prior_low"].values[planet], planets["prior_high"].values[planet])
    margin = 0.01 * (box[1] - box[0])
    near_low = result.weight @ (result.theta < box[0] + margin) > 0.01
    near_high = result.weight @ (result.theta > box[1] - margin) > 0.01
    return bool(np.any((near_low & (box[0] > prior[0])) | (near_high & (box[1] < prior[1]))))
