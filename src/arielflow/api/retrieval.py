"""Retrievals of planets by any method."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import xarray as xr

from arielflow.api.model import Model
from arielflow.api.physics import edition_of, physics_settings
from arielflow.core.errors import ArielflowError
from arielflow.physics.forward import PhysicsSettings
from arielflow.retrieval.importance import ImportanceSettings
from arielflow.retrieval.nested import NestedSettings
from arielflow.retrieval.planets import retrieve_planets
from arielflow.retrieval.retrieve_importance import Fallback, importance_posteriors
from arielflow.retrieval.retrieve_variational import variational_posteriors
from arielflow.retrieval.variational import VariationalSettings

METHODS = {
    "nested": NestedSettings,
    "importance": ImportanceSettings,
    "variational": VariationalSettings,
}
Settings = TypeVar("Settings")


def retrieve(
    planets: xr.Dataset,
    method: Literal["nested", "importance", "variational"] = "importance",
    *,
    proposal: Model | None = None,
    physics: PhysicsSettings | None = None,
    n_samples: int = 4000,
    seed: int = 2026,
    settings: Mapping[str, Any] | None = None,
    fallback: bool = False,
) -> xr.Dataset:
    """Retrieve planets through the forward model.

    A planet that cannot be retrieved gets draws from its prior, is logged and flagged; the others
    go on. A planet's samples depend on nothing but its own data, the model, the seed and the
    settings: with a run's seed, physics and settings they are the run's own.

    Parameters
    ----------
    planets
        Planets dataset.
    method
        ``nested`` sampling (minutes per planet), ``importance`` sampling of a model's draws
        (seconds), or a ``variational`` flow fitted to each spectrum (some seconds).
    proposal
        A model with a density: what importance sampling draws from, and what a variational flow
        starts from where it is given.
    physics
        Opacities and mode of the forward model (:func:`arielflow.physics_settings`).
    n_samples
        Equally weighted samples per planet.
    seed
        Of everything random.
    settings
        Of the method, by name; what is left out has its default.
    fallback
        Of importance sampling: let nested sampling take over where it falls short.

    Returns
    -------
    xarray.Dataset
        Posterior dataset with ``log_evidence``, ``retrieved`` (0 where theta is drawn from the
        prior), ``fault``, ``likelihood_calls``, ``seconds`` and what else the method tells, each
        (planet,).

    Raises
    ------
    ArielflowError
        The method or a setting is not known, the proposal is missing or has no density, or the
        forward model cannot be had for these planets.

    Examples
    --------
    >>> import arielflow as af
    >>> model = af.load_model("models/flow")
    >>> quick = {"n_proposal": 200, "n_refined": 200, "rounds": 4, "most_draws": 1000}
    >>> planet = planets.isel(planet=[0])
    >>> better = af.retrieve(planet, method="importance", proposal=model, settings=quick)
    >>> better.sizes["sample"], bool(np.isfinite(better["log_evidence"]).all())
    (4000, True)
    """
    if method not in METHODS:
        raise ArielflowError(f"method {method!r} is not known; choose {', '.join(METHODS)}")
    options = {
        "physics": physics or physics_settings(),
        "seed": seed,
        "n_samples": n_samples,
        "settings": _settings(METHODS[method], settings or {}),
    }
    edition = edition_of(planets)
    if method == "nested":
        return _nested(planets, options).assign_attrs(model="nested")
    if method == "variational":
        start = None if proposal is None else proposal.sample(planets, n_samples, seed=seed)
        posterior = variational_posteriors(edition, planets, start=start, **options)
        return posterior.assign_attrs(model="flow_variational")
    if proposal is None:
        raise ArielflowError("importance sampling needs a proposal; give a model with a density")
    when = Fallback() if fallback else Fallback(efficiency=0.0, pareto_shape=np.inf)
    found = importance_posteriors(
        edition,
        planets,
        proposal.members,
        shares=proposal.ensemble.shares,
        device=proposal.device,
        fallback=when,
        **options,
    )
    name = f"{proposal.name}_importance" + ("_fallback" if fallback else "")
    return found[int(fallback)].assign_attrs(model=name)


def _nested(planets: xr.Dataset, options: Mapping[str, Any]) -> xr.Dataset:
    names = [str(name) for name in planets["planet"].values]
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "posterior.nc"
        return retrieve_planets(edition_of(planets), planets, names, output, **options)


def _settings(kind: type[Settings], given: Mapping[str, Any]) -> Settings:
    """Settings of a method, defaults for what is left out."""
    known = [field.name for field in fields(kind)]
    if unknown := [name for name in given if name not in known]:
        raise ArielflowError(
            f"settings: {', '.join(map(str, unknown))} unknown; valid settings are "
            f"{', '.join(known)}"
        )
    return kind(**given)
