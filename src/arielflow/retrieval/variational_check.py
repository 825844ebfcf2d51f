"""What a fitted flow misses, found by draws that do not come from it.

Maximising the bound drives a flow to leave out what it has not come upon, such as the long plateau
of an abundance below detection, and weights of its own draws cannot show what none of them reaches.
So draws of the prior and of mixtures of which one target at a time is drawn anew from the prior
stand beside the flow's (:mod:`arielflow.retrieval.importance`), all are weighted by the mixture of
all proposals, and the evidence and samples are those of these draws.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import ndtr
from torch import Tensor

from arielflow.retrieval.importance import ImportanceResult, importance_sampling
from arielflow.retrieval.posterior_flow import PosteriorFlow
from arielflow.retrieval.probit import NormalPosterior
from arielflow.retrieval.proposals import Box
from arielflow.settings.importance import ImportanceSettings

LARGEST_SHAPE = 0.7
"""Pareto shape above which weights are not to be trusted (Vehtari et al. 2024, JMLR 25, 72)."""

LARGEST_SHORTFALL = 0.3
"""By how much the bound may fall short of the evidence: a flow that is exact but for what it leaves
out, and leaves out a quarter of the posterior, falls short by -ln(3/4)."""

LEAST_EFFECTIVE = 100.0
"""Effective draws below which the error of the evidence is itself too uncertain."""

_ERRORS = 3.0
_ROUNDS = 4
# A round must add draws even where only a part of them is drawn.
_LEAST_REDRAWN = 8
_LOG_ZERO = -1e100


def weighted_draws(
    flow: PosteriorFlow,
    posterior: NormalPosterior,
    draws: Tensor,
    log_likelihood: np.ndarray,
    *,
    n_check: int,
    seed: int,
) -> ImportanceResult:
    """The posterior from draws of a flow and of proposals that reach what it may miss.

    Parameters
    ----------
    flow, posterior
        The fitted flow and what it was fitted to.
    draws, log_likelihood
        Coordinates (n, dimension) of draws of the flow, and their natural log-likelihoods (n,),
        -inf without a spectrum.
    n_check
        Spectra of the other proposals: a thirtieth of the prior, of the rest two parts of mixtures
        fitted to the weighted draws and one of these with one target each drawn anew.
    seed
        Of these draws.

    Returns
    -------
    ImportanceResult
        ``theta`` are the prior's cumulative shares of the coordinates, ``log_evidence`` is under
        the box.
    """
    box = Box(np.zeros(posterior.dimension), np.ones(posterior.dimension))
    n_prior = n_check // 30
    n_round = (n_check - n_prior) // _ROUNDS
    # Not validated: what follows from n_check may lie outside the ranges for users.
    settings = ImportanceSettings.model_construct(
        n_refined=2 * (n_round // 3),
        n_redrawn=max(n_round // 3, _LEAST_REDRAWN),
        rounds=_ROUNDS,
        most_draws=len(draws) + n_check,
        defensive_share=n_prior / len(draws),
    )

    def log_likelihood_of(share: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            value, good = posterior.log_likelihood(torch.as_tensor(box.coordinates(share)))
        return np.where(good.numpy(), value.numpy(), _LOG_ZERO)

    def log_density(share: np.ndarray) -> np.ndarray:
        coordinates = box.coordinates(share)
        with torch.no_grad():
            value = flow(torch.as_tensor(coordinates)).numpy()
        return value + box.log_slope(coordinates)

    return importance_sampling(
        log_likelihood_of,
        ndtr(draws.numpy()),
        log_density,
        box.low,
        box.low + box.width,
        seed=seed,
        settings=settings,
        proposal_log_likelihood=log_likelihood,
    )


def check_warning(
    found: ImportanceResult, log_evidence: float, elbo: float, elbo_error: float
) -> str:
    """What speaks against a fit and its evidence; empty if nothing does.

    Parameters
    ----------
    found
        Weighted draws of the check.
    log_evidence
        Theirs, under the same prior as the bound.
    elbo, elbo_error
        The flow's bound and its Monte-Carlo error.
    """
    reasons = []
    error = float(np.hypot(found.log_evidence_error, elbo_error))
    shortfall = log_evidence - elbo
    if shortfall > LARGEST_SHORTFALL + _ERRORS * error:
        reasons.append(
            f"the flow misses up to {100 * -np.expm1(-shortfall):.0f} % of the posterior (its "
            f"bound is {shortfall:.2f} below the log-evidence)"
        )
    if shortfall < -_ERRORS * error:
        reasons.append(f"the bound is {-shortfall:.2f} above the log-evidence")
    # A shape that is not a number is not to be trusted either.
    if not found.pareto_shape <= LARGEST_SHAPE:
        reasons.append(
            f"the weights' Pareto shape is {found.pareto_shape:.2f}, above {LARGEST_SHAPE:g}"
        )
    if found.effective_samples < LEAST_EFFECTIVE:
        reasons.append(
            f"only {found.effective_samples:.0f} effective draws, expected {LEAST_EFFECTIVE:.0f}"
        )
    return "; ".join(reasons)
