"""Importance sampling of one planet's posterior, an amortised density as the first proposal.

Draws of the amortised posterior get weights likelihood x prior / proposal, which makes any error
of the network harmless as long as it covers the posterior (Dax et al. 2023, PRL 130, 171403).
Student mixtures fitted to the weighted draws then serve as further
proposals, and all draws are weighted by the mixture of all proposals (deterministic mixture,
adaptive multiple importance sampling: Cornuet et al. 2012, Scand. J. Stat. 39, 798). Some draws
come from the prior, so that no weight is unbounded. A proposal fitted to draws is too dense at
those very draws, and weights against it too small; so the draws come in two halves, and each half
is drawn from, and weighted against, the proposals fitted to the other. The largest weights are
smoothed by a Pareto tail (Vehtari et al. 2024, JMLR 25, 72), whose shape tells whether they can be
trusted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from arviz_stats.base import array_stats
from scipy.special import logsumexp

from arielflow.core.errors import ArielflowError
from arielflow.core.samples import effective_sample_size
from arielflow.retrieval.method import WeightedResult
from arielflow.retrieval.proposals import Box, RedrawnMixture, fit_mixture
from arielflow.settings.importance import ImportanceSettings

LogDensity = Callable[[np.ndarray], np.ndarray]
"""Points (n, target) to natural log-densities (n,)."""

# A tail is the largest fifth, of which a fit needs five.
_LEAST_SMOOTHED = 25
_LOG_ZERO = -1e90


@dataclass(frozen=True)
class ImportanceResult(WeightedResult):
    """Weighted posterior samples, and how far they can be trusted.

    Attributes
    ----------
    theta : all draws with a weight (n, target)
    weight : Pareto-smoothed weights (n,), summing to one
    log_evidence, log_evidence_error : natural logarithm of the evidence under the uniform prior on
        the box, from the weights before smoothing, and its standard error
    log_volume : natural logarithm of the box's volume
    effective_samples : Kish's number, before smoothing
    sampling_efficiency : effective samples over draws
    pareto_shape : of the weights' tail; above 0.7 they cannot be trusted
    likelihood_calls, seconds : what it took
    """

    theta: np.ndarray
    weight: np.ndarray
    log_evidence: float
    log_evidence_error: float
    log_volume: float
    effective_samples: float
    sampling_efficiency: float
    pareto_shape: float
    likelihood_calls: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"efficiency {self.sampling_efficiency:.2f}, tail {self.pareto_shape:.2f}, "
            f"log-evidence {self.log_evidence:.2f} +- {self.log_evidence_error:.2f}"
        )


def importance_sampling(
    log_likelihood: LogDensity,
    proposal: np.ndarray,
    proposal_log_prob: LogDensity,
    low: np.ndarray,
    high: np.ndarray,
    *,
    seed: int,
    settings: ImportanceSettings | None = None,
    proposal_log_likelihood: np.ndarray | None = None,
) -> ImportanceResult:
    """Sample a posterior under a uniform prior on a box by importance sampling.

    Parameters
    ----------
    log_likelihood
        Natural log-likelihoods (n,) of points (n, target).
    proposal
        Draws (n, target) of the amortised posterior.
    proposal_log_prob
        Its natural log-density at any points.
    low, high
        Edges of the box, shape (target,).
    seed
        Of the prior's and the refined proposals' draws.
    settings
        How many draws of what.
    proposal_log_likelihood
        Natural log-likelihoods (n,) of ``proposal`` where they are known already.

    Raises
    ------
    ArielflowError
        No draw has a likelihood.
    """
    settings = settings or ImportanceSettings()
    started, rng, box = perf_counter(), np.random.default_rng(seed), Box(low, high)
    defensive = box.draw(round(settings.defensive_share * len(proposal)), rng)
    halves = [_Draws(box, log_likelihood) for _ in range(2)]
    for number, half in enumerate(halves):
        own = slice(number, None, 2)
        known = None if proposal_log_likelihood is None else proposal_log_likelihood[own]
        half.add(proposal[own], proposal_log_prob, known)
        if len(defensive):
            half.add(defensive[number::2], box.log_prior)
    done = 0
    while settings.rounds and not _enough(halves, settings, done):
        done += 1
        fitted = [
            fit_mixture(box, half.theta, half.log_weight(), settings.components, rng)
            for half in halves
        ]
        # On the way to a posterior that the amortised draws miss, steps count, not draws.
        share = 8 if any(mixture.hot for mixture in fitted) else 2
        for half, mixture in zip(halves, reversed(fitted), strict=True):
            half.add(mixture.draw(settings.n_refined // share, rng), mixture.log_prob)
            if settings.n_redrawn:
                redrawn = RedrawnMixture(mixture)
                half.add(redrawn.draw(settings.n_redrawn // share, rng), redrawn.log_prob)
    return _result(halves, box, started)


class _Draws:
    """All draws so far, with what their weights need."""

    def __init__(self, box: Box, log_likelihood: LogDensity) -> None:
        self._box, self._log_likelihood = box, log_likelihood
        self.theta = np.empty((0, len(box.low)))
        self.calls = 0
        self._log_joint = np.empty(0)
        self._densities: list[LogDensity] = []
        self._counts: list[int] = []
        # One row a proposal: its log-density at every draw.
        self._table = np.empty((0, 0))

    def add(
        self,
        theta: np.ndarray,
        log_density: LogDensity,
        log_likelihood: np.ndarray | None = None,
    ) -> None:
        """Draws (n, target) of a further proposal, with their log-likelihoods (n,) if known."""
        log_joint = self._box.log_prior(theta)
        inside = np.isfinite(log_joint)
        if log_likelihood is None:
            log_joint[inside] += self._log_likelihood(theta[inside])
            self.calls += int(inside.sum())
        else:
            log_joint += log_likelihood
        # What the forward model has no spectrum for has no posterior either.
        log_joint[log_joint < _LOG_ZERO] = -np.inf
        old = [density(theta) for density in self._densities]
        self.theta = np.concatenate([self.theta, theta])
        self._log_joint = np.append(self._log_joint, log_joint)
        columns = np.array(old).reshape(len(old), len(theta))
        self._table = np.vstack(
            [np.hstack([self._table, columns]), log_density(self.theta)[None, :]]
        )
        self._densities.append(log_density)
        self._counts.append(len(theta))

    def log_weight(self) -> np.ndarray:
        """Natural log-weights (n,) against the mixture of all proposals; -inf outside the box."""
        shares = np.array(self._counts) / len(self.theta)
        mixture = logsumexp(self._table, axis=0, b=shares[:, None])
        log_weight = np.where(
            np.isfinite(self._log_joint) & np.isfinite(mixture), self._log_joint - mixture, -np.inf
        )
        if not np.isfinite(log_weight).any():
            raise ArielflowError(
                f"importance sampling: none of {len(log_weight)} draws has a likelihood; check the "
                "spectrum, or retrieve the planet by nested sampling"
            )
        return log_weight


def _enough(halves: list[_Draws], settings: ImportanceSettings, rounds: int) -> bool:
    """Whether the draws are enough after some rounds, or no more are allowed."""
    n_draws = sum(len(half.theta) for half in halves)
    more = settings.n_refined + settings.n_redrawn
    if rounds >= settings.rounds and n_draws + more > settings.most_draws:
        return True
    log_weight = np.concatenate([half.log_weight() for half in halves])
    effective = _effective_draws(log_weight)
    efficient = rounds >= settings.rounds and effective >= settings.efficiency_aim * n_draws
    if not efficient and effective < settings.effective_aim:
        return False
    _, shape = _smoothed(log_weight[np.isfinite(log_weight)])
    return shape <= settings.pareto_shape_aim


def _effective_draws(log_weight: np.ndarray) -> float:
    return effective_sample_size(np.exp(log_weight - log_weight.max()))


def _result(halves: list[_Draws], box: Box, started: float) -> ImportanceResult:
    """The weighted draws of both halves and their diagnostics."""
    theta = np.concatenate([half.theta for half in halves])
    parts = [half.log_weight() for half in halves]
    log_weight = np.concatenate(parts)
    count = len(log_weight)
    effective = _effective_draws(log_weight)
    found = np.isfinite(log_weight)
    smoothed, shape = _smoothed(log_weight[found])
    return ImportanceResult(
        theta=theta[found],
        weight=smoothed,
        log_evidence=float(logsumexp(log_weight) - np.log(count)),
        log_evidence_error=_log_evidence_error(parts, effective),
        log_volume=box.log_volume,
        effective_samples=effective,
        sampling_efficiency=effective / count,
        pareto_shape=shape,
        likelihood_calls=sum(half.calls for half in halves),
        seconds=perf_counter() - started,
    )


def _smoothed(log_weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Pareto-smoothed weights (n,), summing to one, and the shape of their tail.

    Where there are few, or all but a few vanish beside the largest, there is no tail to fit: they
    stay as they are, and the shape is infinite.
    """
    smoothed, shape = log_weight, np.inf
    if len(log_weight) >= _LEAST_SMOOTHED:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # It takes the negative of the logarithm.
            fitted, fitted_shape = array_stats.psislw(-log_weight)
        if np.isfinite(fitted.max()):
            smoothed, shape = fitted, fitted_shape
    weight = np.exp(smoothed - smoothed.max())
    return weight / weight.sum(), float(shape)


def _log_evidence_error(parts: list[np.ndarray], effective: float) -> float:
    """From the weights' scatter, or from the halves' disagreement where that is larger."""
    count = sum(map(len, parts))
    scatter = np.sqrt(max(1 / effective - 1 / count, 0.0))
    first, second = (logsumexp(part) - np.log(len(part)) for part in parts)
    return float(max(scatter, abs(first - second) / 2))
