"""Verified posteriors of many planets: an ensemble's draws, weighted through the forward model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import Quality, describe, valid_bins
from arielflow.core.seeds import derived_seed
from arielflow.data.forward_models import edition_model
from arielflow.editions import Edition
from arielflow.models.ensemble import Ensemble
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.importance import ImportanceResult, ImportanceSettings, importance_sampling
from arielflow.retrieval.likelihood import gaussian_log_likelihood, sampling_box, touches_cut
from arielflow.retrieval.nested import NestedResult, NestedSettings, retrieve
from arielflow.retrieval.planets import (
    checkpoint_folder,
    data_fault,
    planet_seed,
    retrieval_attributes,
    retrieved_posterior,
)
from arielflow.settings.importance import FallbackSettings

log = logging.getLogger(__name__)

_MAX_ATTEMPTS = 3
_EXTRAS = ("log_evidence_error", "sampling_efficiency", "pareto_shape")


class Fallback(FallbackSettings):
    """When nested sampling takes over from importance sampling."""

    def needed(self, result: ImportanceResult | str) -> bool:
        """The planet's importance sampling failed or cannot be trusted."""
        return isinstance(result, str) or not (
            result.sampling_efficiency >= self.efficiency
            and result.pareto_shape <= self.pareto_shape
        )


def importance_posteriors(
    edition: Edition,
    planets: xr.Dataset,
    members: Sequence[str | Path],
    *,
    physics: PhysicsSettings,
    seed: int,
    n_samples: int,
    shares: Sequence[float] | None = None,
    settings: ImportanceSettings | None = None,
    fallback: Fallback | None = None,
    device: str = "auto",
    state_folder: str | Path | None = None,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Posteriors by importance sampling, and the same with nested sampling where that falls short.

    A planet's samples depend on nothing but its own data, the members, the seed and the settings.
    One that can be retrieved by neither gets draws from its prior, is logged and flagged.

    Parameters
    ----------
    edition, planets
        Planets dataset and its edition.
    members, shares
        Folders of an ensemble with densities, and the members' shares of the mixture.
    physics
        Opacities and mode of the forward model.
    seed
        Of the draws.
    n_samples
        Equally weighted samples a planet to keep.
    settings, fallback
        Of the importance sampling, and when it is not good enough.
    device
        Of the ensemble.
    state_folder
        Checkpoints of the nested sampling.

    Returns
    -------
    importance, with_fallback : xarray.Dataset
        Posterior datasets with ``log_evidence``, its error, ``sampling_efficiency``,
        ``pareto_shape``, ``likelihood_calls`` and more, each (planet,); the second one tells in
        ``fallen_back`` where nested sampling took over.

    Raises
    ------
    ArielflowError
        The members have no density.
    """
    ensemble = Ensemble(members, shares, device=device)
    if not ensemble.has_log_prob:
        raise ArielflowError(
            "importance sampling needs the proposal's density; choose a model that has one, a flow"
        )
    settings, fallback = settings or ImportanceSettings(), fallback or Fallback()
    model = edition_model(edition, physics)
    checkpoints = None
    if state_folder is not None:
        checkpoints = checkpoint_folder(state_folder, edition, physics, seed, NestedSettings())
    weighted: list[ImportanceResult | str] = []
    final: list[ImportanceResult | NestedResult | str] = []
    for position in range(planets.sizes["planet"]):
        planet = planets.isel(planet=[position])
        result = _one(ensemble, model, planet, seed, settings)
        weighted.append(result)
        if fallback.needed(result) and not data_fault(planet):
            result = _nested(ForwardModel(model, planet), planet, seed, checkpoints)
        final.append(result)
        log.info("planet %d of %d: %s", position + 1, planets.sizes["planet"], _words(result))
    fallen = [int(after is not before) for before, after in zip(weighted, final, strict=True)]
    log.info("%d of %d planets fell back on nested sampling", sum(fallen), len(fallen))
    first, second = (
        retrieved_posterior(planets, results, n_samples, seed, extras=_EXTRAS)
        for results in (weighted, final)
    )
    own = {f"fallback_{name}": value for name, value in fallback.model_dump().items()}
    for posterior in (first, second):
        posterior.attrs |= retrieval_attributes(
            edition, planets, physics, seed, settings.model_dump() | own
        )
    return first, describe(second.assign(fallen_back=("planet", np.array(fallen, dtype=np.int8))))


def _one(
    ensemble: Ensemble, model: object, planet: xr.Dataset, seed: int, settings: ImportanceSettings
) -> ImportanceResult | str:
    """Importance sampling of the dataset's only planet, or why there is none."""
    if fault := data_fault(planet):
        return fault
    own_seed = planet_seed(seed, str(planet["planet"].values[0]))
    seen = _bridged(planet)
    drawn = ensemble.mixture(seen, settings.n_proposal, seed=derived_seed(own_seed, "proposal"))
    if drawn.faults[0]:
        return f"the model gives no proposal: {drawn.faults[0]}"
    proposal = drawn.theta[0]
    log_likelihood = gaussian_log_likelihood(ForwardModel(model, planet), planet, 0)
    for attempt in range(_MAX_ATTEMPTS):
        box = sampling_box(planet, 0, widen=2.0**attempt)
        try:
            result = importance_sampling(
                log_likelihood,
                proposal,
                lambda theta: ensemble.log_prob(seen, theta[None])[0],
                *box,
                seed=own_seed,
                settings=settings,
            )
        except ArielflowError as error:
            return str(error)
        if not touches_cut(result.theta, result.weight, box, planet, 0):
            return result
    return "the posterior touches the edge of the radius box even when widened"


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


def _words(result: ImportanceResult | NestedResult | str) -> str:
    if isinstance(result, ImportanceResult):
        return (
            f"efficiency {result.sampling_efficiency:.2f}, tail {result.pareto_shape:.2f}, "
            f"log-evidence {result.log_evidence:.2f} +- {result.log_evidence_error:.2f}"
        )
    return (
        f"nested sampling, {result.seconds:.0f} s" if isinstance(result, NestedResult) else result
    )


def _nested(
    forward: ForwardModel, planet: xr.Dataset, seed: int, checkpoints: Path | None
) -> NestedResult | str:
    """Nested sampling of the dataset's only planet, or why there is none."""
    own_seed = planet_seed(seed, str(planet["planet"].values[0]))
    try:
        return retrieve(forward, planet, 0, seed=own_seed, checkpoints=checkpoints)
    except ArielflowError as error:
        return str(error)
