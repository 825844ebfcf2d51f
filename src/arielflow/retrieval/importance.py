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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

import numpy as np
from arviz_stats.base import array_stats
from scipy.special import logsumexp

from arielflow.core.errors import ArielflowError
from arielflow.core.samples import effective_sample_size
from arielflow.retrieval.method import WeightedResult
from arielflow.retrieval.proposals import Box, RedrawnMixture, StudentMixture, fit_mixture
from arielflow.settings.importance import ImportanceSettings

LogDensity = Callable[[np.ndarray], np.ndarray]
"""Points (n, target) to natural log-densities (n,)."""

# A tail is the largest fifth, of which a fit needs five.
_LEAST_SMOOTHED = 25
_LOG_ZERO = -1e90
# At least expected of a refined proposal when the size of its round is chosen.
_REFINED_EFFICIENCY = 0.6


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
    draws = _Draws(box, log_likelihood)
    first = [_Drawn(proposal_log_prob, proposal, _alternating(len(proposal)))]
    known = proposal_log_likelihood
    if len(defensive):
        first.append(_Drawn(box.log_prior, defensive, _alternating(len(defensive))))
        known = None if known is None else np.append(known, draws.log_likelihood(defensive))
    draws.add(first, known)
    fitted: list[StudentMixture | None] = [None, None]
    done = 0
    while settings.rounds and (wanted := _wanted(draws, settings, done)):
        done += 1
        log_weight = draws.log_weight()
        for half, start in enumerate(fitted):
            own = draws.half == half
            fitted[half] = fit_mixture(
                box,
                draws.theta[own],
                log_weight[own],
                settings.components,
                rng,
                start,
                widening=settings.widening,
            )
        draws.add(_refined(fitted, wanted, settings, rng))
    return _result(draws, box, started)


def _alternating(count: int) -> np.ndarray:
    return np.arange(count) % 2


def _refined(
    fitted: list[StudentMixture],
    wanted: int,
    settings: ImportanceSettings,
    rng: np.random.Generator,
) -> list[_Drawn]:
    """Draws of each half's mixture, which become the other half's."""
    # On the way to a posterior that the amortised draws miss, steps count, not draws.
    hot = any(mixture.hot for mixture in fitted)
    count = settings.n_refined // 8 if hot else -(-wanted // 2)
    drawn = []
    for half, mixture in enumerate(reversed(fitted)):
        drawn.append(_Drawn(mixture.log_prob, mixture.draw(count, rng), np.full(count, half)))
        if settings.n_redrawn:
            redrawn, share = RedrawnMixture(mixture), settings.n_redrawn // (8 if hot else 2)
            theta = redrawn.draw(share, rng)
            drawn.append(_Drawn(redrawn.log_prob, theta, np.full(share, half)))
    return drawn


class _Drawn(NamedTuple):
    """Draws (n, target) of one proposal, and which half each belongs to (n,)."""

    log_density: LogDensity
    theta: np.ndarray
    half: np.ndarray


class _Draws:
    """All draws so far, with what their weights need; one call of everything for new ones.

    Attributes
    ----------
    theta : the draws (n, target)
    half : which half each belongs to, 0 or 1 (n,)
    calls : of the log-likelihood
    """

    def __init__(self, box: Box, log_likelihood: LogDensity) -> None:
        self._box, self._log_likelihood = box, log_likelihood
        self.theta, self.half = np.empty((0, len(box.low))), np.empty(0, dtype=int)
        self.calls = 0
        self._log_joint = np.empty(0)
        self._densities: list[LogDensity] = []
        # By proposal: draws of each half, and the log-density at every draw of a half that has any.
        self._counts, self._table = np.empty((0, 2)), np.empty((0, 0))

    def log_likelihood(self, theta: np.ndarray) -> np.ndarray:
        """Log-likelihoods (n,), computed inside the box, zero where the prior is."""
        inside = np.isfinite(self._box.log_prior(theta))
        found = np.zeros(len(theta))
        if inside.any():
            found[inside] = self._log_likelihood(theta[inside])
            self.calls += int(inside.sum())
        return found

    def add(self, drawn: Sequence[_Drawn], log_likelihood: np.ndarray | None = None) -> None:
        """Draws of further proposals, with their log-likelihoods (n,) if known."""
        theta = np.concatenate([part.theta for part in drawn])
        if log_likelihood is None:
            log_likelihood = self.log_likelihood(theta)
        log_joint = self._box.log_prior(theta) + log_likelihood
        # What the forward model has no spectrum for has no posterior either.
        log_joint[log_joint < _LOG_ZERO] = -np.inf
        n_old, n_known = len(self.theta), len(self._densities)
        self.theta = np.concatenate([self.theta, theta])
        self.half = np.concatenate([self.half, *(part.half for part in drawn)])
        self._log_joint = np.append(self._log_joint, log_joint)
        self._densities += [part.log_density for part in drawn]
        counts = [np.bincount(part.half, minlength=2) for part in drawn]
        self._counts = np.vstack([self._counts, counts])
        table = np.full((len(self._densities), len(self.theta)), -np.inf)
        table[:n_known, :n_old] = self._table
        fresh = np.arange(len(self.theta)) >= n_old
        for number, density in enumerate(self._densities):
            asked = (self._counts[number] > 0)[self.half] & (fresh | (number >= n_known))
            table[number, asked] = density(self.theta[asked])
        self._table = table

    def log_weight(self) -> np.ndarray:
        """Natural log-weights (n,) against each half's mixture of proposals; -inf outside the box.

        Of both halves together: the mean weight of either estimates the evidence.
        """
        shares = self._counts / np.bincount(self.half, minlength=2)
        mixture = logsumexp(self._table, axis=0, b=shares[:, self.half])
        log_weight = np.where(
            np.isfinite(self._log_joint) & np.isfinite(mixture), self._log_joint - mixture, -np.inf
        )
        for half in range(2):
            if not np.isfinite(log_weight[self.half == half]).any():
                raise ArielflowError(
                    f"importance sampling: none of {sum(self.half == half)} draws has a "
                    "likelihood; check the spectrum, or retrieve the planet by nested sampling"
                )
        return log_weight


def _wanted(draws: _Draws, settings: ImportanceSettings, rounds: int) -> int:
    """How many further draws are wanted after some rounds; zero for none."""
    n_draws, most = len(draws.theta), settings.n_refined
    if rounds >= settings.rounds and n_draws + most + settings.n_redrawn > settings.most_draws:
        return 0
    log_weight = draws.log_weight()
    effective = _effective_draws(log_weight)
    efficiency = effective / n_draws
    efficient = rounds >= settings.rounds and efficiency >= settings.efficiency_aim
    if not efficient and effective < settings.effective_aim:
        missing = (settings.effective_aim - effective) / max(efficiency, _REFINED_EFFICIENCY)
        return int(np.clip(missing, most // 4, most))
    _, shape = _smoothed(log_weight[np.isfinite(log_weight)])
    return 0 if shape <= settings.pareto_shape_aim else most


def _effective_draws(log_weight: np.ndarray) -> float:
    return effective_sample_size(np.exp(log_weight - log_weight.max()))


def _result(draws: _Draws, box: Box, started: float) -> ImportanceResult:
    """The weighted draws and their diagnostics."""
    log_weight = draws.log_weight()
    count = len(log_weight)
    effective = _effective_draws(log_weight)
    found = np.isfinite(log_weight)
    smoothed, shape = _smoothed(log_weight[found])
    parts = [log_weight[draws.half == half] for half in range(2)]
    return ImportanceResult(
        theta=draws.theta[found],
        weight=smoothed,
        log_evidence=float(logsumexp(log_weight) - np.log(count)),
        log_evidence_error=_log_evidence_error(parts, effective),
        log_volume=box.log_volume,
        effective_samples=effective,
        sampling_efficiency=effective / count,
        pareto_shape=shape,
        likelihood_calls=draws.calls,
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
