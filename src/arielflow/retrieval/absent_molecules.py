"""The posterior of a planet whose atmosphere lacks one of the molecules, from the one that has it.

Importance sampling again, without the molecule's abundance: its first proposal is a mixture fitted
to the draws that the posterior with the molecule has of everything else, which its rounds then move
to where the others stand in for it, as far as they can.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.physics.forward import ForwardModel
from arielflow.retrieval.importance import ImportanceResult, importance_sampling
from arielflow.retrieval.kept_draws import KeptDraws
from arielflow.retrieval.likelihood import (
    gaussian_log_likelihood,
    under_whole_prior,
    widened,
)
from arielflow.retrieval.proposals import Box, fit_mixture
from arielflow.settings.importance import ImportanceSettings

ABSENT_SETTINGS = ImportanceSettings(
    n_proposal=600,
    n_refined=800,
    n_redrawn=200,
    rounds=5,
    effective_aim=800,
    most_draws=8000,
    defensive_share=0.2,
    kept_draws=800,
)
"""Fewer draws than for a posterior: enough for a difference of two predictions."""


def without_molecule(
    forward: ForwardModel,
    planet: int,
    molecule: str,
    draws: KeptDraws,
    *,
    seed: int,
    settings: ImportanceSettings = ABSENT_SETTINGS,
) -> ImportanceResult:
    """Posterior of a planet without one of the forward model's molecules.

    Parameters
    ----------
    forward, planet
        Forward model of a data set, and a position in that.
    molecule
        Quantity of its abundance, such as ``H2O``.
    draws
        Weighted draws of the posterior with it.
    seed
        Of everything random.
    settings
        Of the sampling.

    Returns
    -------
    ImportanceResult
        With ``theta`` (n, target) of all targets, the molecule's -inf, and the evidence under the
        whole prior of the others.

    Raises
    ------
    ArielflowError
        The molecule is none of the forward model's, or no draw has a likelihood.
    """
    systems = forward.systems
    if molecule not in forward.transmission.molecules:
        raise ArielflowError(
            f"molecule {molecule} is none of the forward model's; it has "
            f"{', '.join(forward.transmission.molecules)}"
        )
    column = systems.targets[molecule]
    log_likelihood = gaussian_log_likelihood(forward, planet)

    def completed(theta: np.ndarray) -> np.ndarray:
        return np.insert(theta, column, -np.inf, axis=1)

    def sampled(box: np.ndarray) -> ImportanceResult:
        low, high = np.delete(box, column, axis=1)
        inside = Box(low, high)
        rng = np.random.default_rng([seed, 3])
        theta = np.clip(np.delete(draws.theta, column, axis=1), low, high)
        start = fit_mixture(
            inside, theta, np.log(draws.weight), settings.components, rng, widening=2.0
        )
        found = importance_sampling(
            lambda reduced: log_likelihood(completed(reduced)),
            start.draw(settings.n_proposal, rng),
            start.log_prob,
            low,
            high,
            seed=seed,
            settings=settings,
        )
        # The molecule's prior is no part of either volume: their difference is the others' alone.
        own = float(np.log(np.ptp(box[:, column])))
        return replace(found, theta=completed(found.theta), log_volume=found.log_volume + own)

    return under_whole_prior(widened(sampled, systems, planet), systems, planet)
