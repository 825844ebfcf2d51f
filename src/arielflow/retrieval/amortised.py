"""Importance sampling of planets: an amortised posterior's draws, weighted through the model."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import Quality, describe, valid_bins
from arielflow.core.seeds import derived_seed
from arielflow.editions import Edition
from arielflow.physics.forward import PhysicsSettings
from arielflow.retrieval.importance import ImportanceResult, importance_sampling
from arielflow.retrieval.kept_draws import keep_draws
from arielflow.retrieval.likelihood import gaussian_log_likelihood, under_whole_prior, widened
from arielflow.retrieval.method import Attempt, Method
from arielflow.retrieval.nested import Nested
from arielflow.retrieval.planets import Retrieval
from arielflow.settings.importance import FallbackSettings, ImportanceSettings
from arielflow.settings.nested import NestedSettings

log = logging.getLogger(__name__)


class Sampler(Protocol):
    """An amortised posterior, such as :class:`arielflow.models.ensemble.Ensemble`."""

    def sample(self, planets: xr.Dataset, n_samples: int, *, seed: int) -> xr.Dataset:
        """Posterior dataset of planets; ``fault`` tells where its samples are the prior's."""
        ...


class Proposal(Sampler, Protocol):
    """An amortised posterior with a density, such as that of an ensemble of flows.

    What has ``has_log_prob = False`` is refused.
    """

    def log_prob(self, planets: xr.Dataset, theta: np.ndarray) -> np.ndarray:
        """Natural log-density (planet, sample) at theta (planet, sample, target)."""
        ...


class Fallback(FallbackSettings):
    """When nested sampling takes over from importance sampling."""

    def needed(self, result: ImportanceResult | str) -> bool:
        """The planet's importance sampling failed or cannot be trusted."""
        return isinstance(result, str) or not (
            result.sampling_efficiency >= self.efficiency
            and result.pareto_shape <= self.pareto_shape
        )


@dataclass(frozen=True)
class Importance(Method):
    """Importance sampling as a method of :mod:`arielflow.retrieval.planets`.

    Attributes
    ----------
    proposal : amortised posterior that the first draws come from
    settings : of the sampling
    """

    proposal: Proposal
    settings: ImportanceSettings = field(default_factory=ImportanceSettings)

    variables: ClassVar[tuple[str, ...]] = (
        *Method.variables,
        *("log_evidence_error", "sampling_efficiency", "pareto_shape"),
    )

    @property
    def kept_draws(self) -> int:
        """Weighted draws per planet to keep, see :mod:`arielflow.retrieval.kept_draws`."""
        # Bins are not independent under an error model, so that none can be left out by its own.
        return self.settings.kept_draws if self.settings.error_model == "none" else 0

    def check(self, planets: xr.Dataset, n_samples: int) -> None:
        """Refuse a proposal without a density."""
        if not getattr(self.proposal, "has_log_prob", True):
            raise ArielflowError(
                "importance sampling needs the proposal's density; choose a model that has one, a "
                "flow"
            )

    def retrieve(self, attempt: Attempt) -> ImportanceResult:
        """Retrieve a planet."""
        seen = _bridged(attempt.data)
        drawn = self.proposal.sample(
            seen, self.settings.n_proposal, seed=derived_seed(attempt.seed, "proposal")
        )
        if "fault" in drawn and (fault := drawn["fault"].values[0]):
            raise ArielflowError(f"the model gives no proposal: {fault}")
        log_likelihood = gaussian_log_likelihood(
            attempt.forward, attempt.planet, self.settings.error_model
        )
        systems = attempt.forward.systems

        def weighted(box: np.ndarray) -> ImportanceResult:
            return importance_sampling(
                log_likelihood,
                drawn["theta"].values[0],
                lambda theta: self.proposal.log_prob(seen, theta[None])[0],
                *box,
                seed=attempt.seed,
                settings=self.settings,
            )

        found = widened(weighted, systems, attempt.planet)
        return under_whole_prior(found, systems, attempt.planet)


def _bridged(planet: xr.Dataset) -> xr.Dataset:
    """The dataset's only planet as a network takes it: bins without a value from their neighbours.

    That shapes the proposal alone; the likelihood leaves these bins out.
    """
    valid = valid_bins(planet)[0]
    if valid.all():
        return planet
    wavelength = planet["wavelength"].values
    bridged = {
        name: (
            ("planet", "wavelength"),
            np.interp(wavelength, wavelength[valid], planet[name].values[0, valid])[None],
        )
        for name in ("transit_depth", "transit_depth_error")
    }
    flags = planet["quality"].values & ~int(Quality.NON_FINITE_SPECTRUM)
    return planet.assign(bridged | {"quality": ("planet", flags)})


def importance_posteriors(
    edition: Edition,
    planets: xr.Dataset,
    proposal: Proposal,
    *,
    physics: PhysicsSettings,
    seed: int,
    n_samples: int,
    settings: ImportanceSettings | None = None,
    fallback: Fallback | None = None,
    nested: NestedSettings | None = None,
    state_dir: str | Path | None = None,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Posteriors by importance sampling, and the same with nested sampling where that falls short.

    A planet's samples depend on nothing but its own data, the proposal, the seed and the settings.
    One that can be retrieved by neither gets draws from its prior, is logged and flagged.

    Parameters
    ----------
    edition, planets
        Planets dataset and its edition.
    proposal
        Amortised posterior that the first draws come from.
    physics
        Opacities and mode of the forward model.
    seed
        Of the draws.
    n_samples
        Equally weighted samples per planet to keep.
    settings, fallback, nested
        Of the importance sampling, when it is not good enough, and of the sampler that then takes
        over.
    state_dir
        Checkpoints of the nested sampling.

    Returns
    -------
    importance, with_fallback : xarray.Dataset
        Posterior datasets with ``log_evidence``, its error, ``sampling_efficiency``,
        ``pareto_shape``, ``likelihood_calls`` and more, each (planet,), and weighted draws with
        the log-likelihood of their bins, see :mod:`arielflow.retrieval.kept_draws`; the second one
        tells in ``fallen_back`` where nested sampling took over.

    Raises
    ------
    ArielflowError
        The proposal has no density, or the forward model cannot be had for these planets.
    """
    method = Importance(proposal, settings or ImportanceSettings())
    fallback = fallback or Fallback()
    method.check(planets, n_samples)
    retrieval = Retrieval(edition, planets, physics, seed, state_dir)
    weighted = retrieval.results(method)
    needed = [
        row
        for row, result in weighted.items()
        if fallback.needed(result) and not retrieval.faults[row]
    ]
    own = {"error_model": method.settings.error_model}
    nested = (nested or NestedSettings()).model_copy(update=own)
    sampled = retrieval.results(Nested(nested), needed)
    final = weighted | sampled
    kept, instead = (
        keep_draws(results, retrieval.forward, method.kept_draws, seed)
        for results in (weighted, sampled)
    )
    trusted = {row: draws for row, draws in kept.items() if row not in needed}
    fallen = np.isin(list(final), needed).astype(np.int8)
    log.info("%d of %d planets fell back on nested sampling", len(needed), len(fallen))
    own = {f"fallback_{name}": value for name, value in fallback.model_dump().items()}
    first, second = (
        retrieval.posterior(method, results, n_samples, draws).assign_attrs(own)
        for results, draws in ((weighted, kept), (final, trusted | instead))
    )
    return first, describe(second.assign(fallen_back=("planet", fallen)))
