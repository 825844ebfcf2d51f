"""A normalising flow fitted to one spectrum through the differentiable forward model.

After Yip et al. 2022 (arXiv:2205.07037): the evidence lower bound (ELBO) is maximised over the
flow's parameters. The flow lives in coordinates in which the prior is a standard normal, and starts
from the posterior's Laplace approximation or from samples of an amortised flow. Its gradient is the
path derivative (Roeder, Wu & Duvenaud 2017, "Sticking the landing"), whose variance vanishes as the
flow approaches the posterior: some thirty spectra a step are enough. What the flow misses is found
by :mod:`arielflow.retrieval.variational_check`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import torch
import xarray as xr
from scipy.special import ndtri
from torch import Tensor, nn
from torch.func import functional_call

from arielflow.core.errors import ArielflowError
from arielflow.physics.forward import ForwardModel
from arielflow.retrieval.likelihood import touches_cut
from arielflow.retrieval.posterior_flow import PosteriorFlow
from arielflow.retrieval.probit import ProbitPosterior, laplace
from arielflow.retrieval.variational_check import check_warning, weighted_draws
from arielflow.settings.variational import VariationalSettings

_MAX_ATTEMPTS = 3
_LAST_RATE = 0.02
_LARGEST_GRADIENT = 10.0
# Averaging the parameters over the last steps removes the optimiser's jitter (Polyak 1992).
_AVERAGING = 0.98
_START_STEPS, _START_BATCH, _START_RATE = 300, 256, 5e-3
# Keeps the covariance of start samples invertible where they sit on a few points.
_LEAST_VARIANCE = 1e-8


@dataclass(frozen=True)
class VariationalResult:
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


def fit_variational(
    forward: ForwardModel,
    planets: xr.Dataset,
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
    forward
        Forward model of ``planets``.
    planets, planet
        Planets dataset and a position in it.
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
    name = planets["planet"].values[planet]
    calls, started = 0, perf_counter()
    for attempt in range(_MAX_ATTEMPTS):
        posterior = ProbitPosterior(forward, planets, planet, absent, widen=2.0**attempt)
        result = _fit(posterior, seed, settings, start)
        calls += result.forward_calls
        equal = np.full(len(result.theta), 1 / len(result.theta))
        if not touches_cut(result.theta, equal, posterior.box.numpy(), planets, planet):
            return replace(result, forward_calls=calls, seconds=perf_counter() - started)
    raise ArielflowError(
        f"planet {name}: the posterior touches the edge of the radius box even when widened; "
        "check its spectrum and mass"
    )


def _fit(
    posterior: ProbitPosterior, seed: int, settings: VariationalSettings, start: np.ndarray | None
) -> VariationalResult:
    # The networks' first weights come from the global stream, which is put back afterwards.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        if start is None:
            flow = PosteriorFlow(*laplace(posterior, seed), _shape(settings))
        else:
            flow = _started(posterior.coordinates(start), _shape(settings), generator)
    history = _maximise(flow, posterior, settings, generator)
    return _checked(flow, posterior, seed, settings, generator, history)


def _checked(
    flow: PosteriorFlow,
    posterior: ProbitPosterior,
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


def _normal(n: int, posterior: ProbitPosterior, generator: torch.Generator) -> Tensor:
    return torch.randn(n, posterior.dimension, generator=generator, dtype=torch.float64)


def _started(z: Tensor, shape: dict[str, int], generator: torch.Generator) -> PosteriorFlow:
    """A flow fitted to samples ``z`` (n, dimension) by maximum likelihood."""
    floor = _LEAST_VARIANCE * torch.eye(z.shape[1], dtype=torch.float64)
    flow = PosteriorFlow(z.mean(dim=0), torch.cov(z.T).reshape(floor.shape) + floor, shape)
    optimizer = torch.optim.Adam(flow.parameters(), lr=_START_RATE)
    for _ in range(_START_STEPS):
        rows = torch.randint(len(z), (_START_BATCH,), generator=generator)
        optimizer.zero_grad()
        (-flow(z[rows]).mean()).backward()
        _step(flow, optimizer)
    return flow


def _step(flow: PosteriorFlow, optimizer: torch.optim.Optimizer) -> None:
    """One step along a gradient of bounded length; none where it is not finite."""
    length = nn.utils.clip_grad_norm_(flow.parameters(), _LARGEST_GRADIENT)
    if torch.isfinite(length):
        optimizer.step()


def _maximise(
    flow: PosteriorFlow,
    posterior: ProbitPosterior,
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
        _step(flow, optimizer)
        schedule.step()
        history[step] = bound.item() + posterior.log_share
        with torch.no_grad():
            for name, value in flow.named_parameters():
                average[name].lerp_(value, 1 - _AVERAGING)
    flow.load_state_dict(average, strict=False)
    return history


def _bound(flow: PosteriorFlow, posterior: ProbitPosterior, base: Tensor, power: float) -> Tensor:
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


def _known(posterior: ProbitPosterior, draws: Tensor) -> tuple[Tensor, Tensor]:
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
