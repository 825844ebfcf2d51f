"""A normalising flow fitted to one spectrum through the differentiable forward model.

After Yip et al. 2022 (arXiv:2205.07037): the evidence lower bound (ELBO) is maximised over the
flow's parameters. The flow lives in coordinates in which the prior is a standard normal, and starts
from the posterior's Laplace approximation or from samples of an amortised flow. Its gradient is the
path derivative (Roeder, Wu & Duvenaud 2017, "Sticking the landing"), whose variance vanishes as the
flow approaches the posterior: some thirty spectra a step are enough. What the flow misses is found
by :mod:`arielflow.retrieval.variational_check`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, ClassVar

import numpy as np
import torch
import xarray as xr
from scipy.special import ndtri
from torch import Tensor
from torch.func import functional_call

from arielflow.core.errors import ArielflowError
from arielflow.physics.forward import ForwardModel
from arielflow.retrieval.likelihood import widened
from arielflow.retrieval.method import Attempt, Method, WeightedResult
from arielflow.retrieval.posterior_flow import PosteriorFlow, bounded_step, flow_like
from arielflow.retrieval.probit import (
    NormalPosterior,
    ProbitPosterior,
    check_spectrum,
    laplace,
)
from arielflow.retrieval.variational_check import check_warning, weighted_draws
from arielflow.settings.variational import VariationalSettings

log = logging.getLogger(__name__)

_LAST_RATE = 0.02
# Averaging the parameters over the last steps removes the optimiser's jitter (Polyak 1992).
_AVERAGING = 0.98


@dataclass(frozen=True)
class VariationalResult(WeightedResult):
    """A fitted and checked posterior and what it cost.

    Attributes
    ----------
    theta : equally weighted samples (n_samples, target), resampled from all weighted draws, the
        flow's and the check's; -inf for absent molecules
    elbo, elbo_error : evidence lower bound of the flow, a natural logarithm, under the whole
        retrieval prior, and its Monte-Carlo error
    log_evidence, log_evidence_error : natural logarithm of the evidence under that prior from all
        weighted draws, and its standard error
    sampling_efficiency : effective share of all weighted draws, 0 to 1
    pareto_shape : of their weights' tail
    warning : what speaks against the fit, see
        :func:`arielflow.retrieval.variational_check.check_warning`; empty if nothing does
    forward_calls : spectra computed; one with its derivative counts as one
    seconds : wall-clock time
    history : the bound at every step (steps,), of the tempered posterior while annealed
    """

    theta: np.ndarray
    elbo: float
    elbo_error: float
    log_evidence: float
    log_evidence_error: float
    sampling_efficiency: float
    pareto_shape: float
    warning: str
    forward_calls: int
    seconds: float
    history: np.ndarray

    def __str__(self) -> str:
        return (
            f"log-evidence {self.log_evidence:.2f} +- {self.log_evidence_error:.2f}, "
            f"ELBO {self.elbo:.2f}, {self.forward_calls} forward calls"
        )

    @property
    def weight(self) -> np.ndarray:
        """Weights (n_samples,), all the same."""
        return np.full(len(self.theta), 1 / len(self.theta))

    @property
    def likelihood_calls(self) -> int:
        """The forward calls: every one is for a likelihood."""
        return self.forward_calls

    def equal_weight_samples(self, n_samples: int, seed: int) -> np.ndarray:
        """The first samples (n_samples, target); their order is random, whatever the seed."""
        return self.theta[:n_samples]


def fit_variational(
    forward: ForwardModel,
    planet: int,
    *,
    seed: int,
    settings: VariationalSettings | None = None,
    start: np.ndarray | None = None,
    absent: Sequence[str] = (),
) -> VariationalResult:
    """Fit a flow to the posterior of one planet under its retrieval prior.

    The radius box is widened and the planet fitted again should the posterior touch an edge that
    is not the prior's own, as in :func:`arielflow.retrieval.nested.retrieve`.

    Parameters
    ----------
    forward, planet
        Forward model of a data set, and a position in that.
    seed
        Of the flow's first parameters and of all draws.
    settings
        Of the fit.
    start
        Samples (n, target), such as an amortised flow's, to which the flow is fitted first, by
        maximum likelihood and without any forward call; the Laplace approximation if left out.
    absent
        Molecules without any abundance, which are not retrieved.

    Raises
    ------
    ArielflowError
        The spectrum is not finite, the model has no spectrum where the posterior could be, or the
        posterior touches the radius box even when widened.
    """
    settings = settings or VariationalSettings()
    calls, started = 0, perf_counter()
    check_spectrum(forward.systems, planet)

    def fitted(box: np.ndarray) -> VariationalResult:
        nonlocal calls
        posterior = ProbitPosterior(forward, planet, absent, box)
        begun = None if start is None else posterior.coordinates(start)
        found = fit_posterior(posterior, seed=seed, settings=settings, start=begun)
        calls += found.forward_calls
        return found

    found = widened(fitted, forward.systems, planet)
    return replace(found, forward_calls=calls, seconds=perf_counter() - started)


def fit_posterior(
    posterior: NormalPosterior,
    *,
    seed: int,
    settings: VariationalSettings,
    start: Tensor | None = None,
) -> VariationalResult:
    """Fit a flow to a posterior whose prior is a standard normal, and check it.

    Parameters
    ----------
    posterior, seed, settings
        What is fitted, and how.
    start
        Coordinates (n, dimension) of samples that the flow starts from; the Laplace approximation
        if left out.

    Raises
    ------
    ArielflowError
        The model has no spectrum where the posterior could be.
    """
    # The networks' first weights come from the global stream, which is put back afterwards.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        if start is None:
            flow = PosteriorFlow(*laplace(posterior, seed), _shape(settings))
        else:
            flow = flow_like(start, _shape(settings), generator)
    history = _maximise(flow, posterior, settings, generator)
    return _checked(flow, posterior, seed, settings, generator, history)


def _checked(
    flow: PosteriorFlow,
    posterior: NormalPosterior,
    seed: int,
    settings: VariationalSettings,
    generator: torch.Generator,
    history: np.ndarray,
) -> VariationalResult:
    """The fitted flow's bound, and the posterior from its draws and others."""
    with torch.no_grad():
        draws = flow.push(_normal(settings.n_elbo, posterior, generator))
        log_likelihood, good = _known(posterior, draws)
        log_weight = (log_likelihood + posterior.log_prior(draws) - flow(draws))[good]
    elbo_error = float(log_weight.std() / np.sqrt(len(log_weight)))
    # Draws without a spectrum are cut out of the flow, which makes the rest denser.
    elbo = float(log_weight.mean() + good.double().mean().log()) + posterior.log_share
    log_likelihood = torch.where(good, log_likelihood, -torch.inf).numpy()
    found = weighted_draws(
        flow, posterior, draws, log_likelihood, n_check=settings.n_check, seed=seed
    )
    log_evidence = found.log_evidence + posterior.log_share
    shares = found.equal_weight_samples(settings.n_samples, seed)
    return VariationalResult(
        theta=posterior.theta(torch.as_tensor(ndtri(shares))).numpy(),
        elbo=elbo,
        elbo_error=elbo_error,
        log_evidence=log_evidence,
        log_evidence_error=found.log_evidence_error,
        sampling_efficiency=found.sampling_efficiency,
        pareto_shape=found.pareto_shape,
        warning=check_warning(found, log_evidence, elbo, elbo_error),
        forward_calls=posterior.calls,
        seconds=0.0,
        history=history,
    )


def _shape(settings: VariationalSettings) -> dict[str, int]:
    return {name: getattr(settings, name) for name in ("layers", "bins", "hidden")}


def _normal(n: int, posterior: NormalPosterior, generator: torch.Generator) -> Tensor:
    return torch.randn(n, posterior.dimension, generator=generator, dtype=torch.float64)


def _maximise(
    flow: PosteriorFlow,
    posterior: NormalPosterior,
    settings: VariationalSettings,
    generator: torch.Generator,
) -> np.ndarray:
    """Maximise the bound in place; returns it step by step."""
    optimizer = torch.optim.Adam(flow.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, settings.steps, eta_min=_LAST_RATE * settings.learning_rate
    )
    average = {name: value.detach().clone() for name, value in flow.named_parameters()}
    powers = np.ones(settings.steps)
    n_annealed = int(settings.annealed_share * settings.steps)
    powers[:n_annealed] = np.linspace(settings.first_power, 1, n_annealed, endpoint=False)
    history = np.empty(settings.steps)
    for step, power in enumerate(powers):
        base = _normal(settings.batch, posterior, generator)
        bound = _bound(flow, posterior, base, float(power))
        optimizer.zero_grad()
        (-bound).backward()
        bounded_step(flow, optimizer)
        schedule.step()
        history[step] = bound.item() + posterior.log_share
        with torch.no_grad():
            for name, value in flow.named_parameters():
                average[name].lerp_(value, 1 - _AVERAGING)
    flow.load_state_dict(average, strict=False)
    return history


def _bound(flow: PosteriorFlow, posterior: NormalPosterior, base: Tensor, power: float) -> Tensor:
    """The (tempered) bound over draws ``base`` (n, dimension) that the model has a spectrum for.

    The flow's density is taken with its parameters held: what their derivative would add has an
    expectation of zero and a variance that does not vanish at the posterior.
    """
    z = flow.push(base)
    held = {name: value.detach() for name, value in flow.named_parameters()}
    log_q = functional_call(flow, held, (z,))
    log_likelihood, good = posterior.log_likelihood(z)
    terms = power * log_likelihood + posterior.log_prior(z) - log_q
    return torch.where(good, terms, 0.0).sum() / good.sum().clamp(min=1)


def _known(posterior: NormalPosterior, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Natural log-likelihoods (n,) of draws of the flow, and which of them have a spectrum.

    Raises
    ------
    ArielflowError
        Fewer than two draws have a spectrum.
    """
    log_likelihood, good = posterior.log_likelihood(draws)
    if good.sum() < 2:
        raise ArielflowError(
            f"the forward model has a spectrum for {int(good.sum())} of {len(draws)} draws of the "
            "fitted flow, expected nearly all; check the planet's mass and its prior box"
        )
    return log_likelihood, good


@dataclass(frozen=True)
class Variational(Method):
    """The fit of a flow as a method of :mod:`arielflow.retrieval.planets`.

    Attributes
    ----------
    settings : of the fit; as many samples per planet are kept as it says
    start : posterior dataset of an amortised flow for the same planets, to start from
    """

    settings: VariationalSettings = field(default_factory=VariationalSettings)
    start: xr.Dataset | None = None

    variables: ClassVar[tuple[str, ...]] = (
        *("elbo", "elbo_error", "log_evidence", "log_evidence_error", "sampling_efficiency"),
        *("pareto_shape", "likelihood_calls", "seconds", "retrieved", "fault", "warning"),
    )

    def check(self, planets: xr.Dataset, n_samples: int) -> None:
        """Refuse a start from other planets, and more samples than the fit keeps."""
        if n_samples > self.settings.n_samples:
            raise ArielflowError(
                f"{n_samples} samples asked for, the fit's n_samples is {self.settings.n_samples}; "
                "raise it"
            )
        if self.start is None:
            return
        names, found = (part["planet"].values.astype(str) for part in (planets, self.start))
        if not np.array_equal(names, found):
            raise ArielflowError(
                f"start posterior: its {len(found)} planets are not the {len(names)} asked for, in "
                "their order; sample it for the same planets"
            )

    def retrieve(self, attempt: Attempt) -> VariationalResult:
        """Retrieve a planet, see :func:`fit_variational`."""
        start = None if self.start is None else self.start.sel(planet=attempt.name)
        found = fit_variational(
            attempt.forward,
            attempt.planet,
            seed=attempt.seed,
            settings=self.settings,
            # What stands in for a planet that the model could not see is no place to start from.
            start=None if start is None or not start["retrieved"] else start["theta"].values,
        )
        if found.warning:
            log.warning("%s: %s", attempt.name, found.warning)
        return found

    def attributes(self) -> dict[str, Any]:
        """The settings, and what the fit starts from."""
        return {
            "started_from": "laplace" if self.start is None else "samples",
            **super().attributes(),
        }
