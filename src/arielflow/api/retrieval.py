"""Retrievals of planets by any method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import xarray as xr

from arielflow.api.model import Model
from arielflow.api.physics import edition_of, physics_settings
from arielflow.core.config import strict_settings
from arielflow.core.errors import ArielflowError
from arielflow.physics.forward import PhysicsSettings
from arielflow.retrieval.amortised import Importance, Proposal, importance_posteriors
from arielflow.retrieval.nested import Nested
from arielflow.retrieval.planets import retrieve_planets
from arielflow.retrieval.variational import Variational
from arielflow.settings.importance import ImportanceSettings
from arielflow.settings.nested import NestedSettings
from arielflow.settings.variational import VariationalSettings

METHODS = {
    "nested": NestedSettings,
    "importance": ImportanceSettings,
    "variational": VariationalSettings,
}


def retrieve(
    planets: xr.Dataset,
    method: Literal["nested", "importance", "variational"] = "importance",
    *,
    proposal: Model | Proposal | None = None,
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
        A model with a density, or whatever samples posteriors and has their densities: what
        importance sampling draws from, and what a variational flow starts from where it is given.
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
    edition = edition_of(planets)
    own = strict_settings(METHODS[method], settings or {}, f"method {method}")
    options = {"physics": physics or physics_settings(), "seed": seed, "n_samples": n_samples}
    if method == "nested":
        found = retrieve_planets(edition, planets, Nested(own), **options)
        return found.assign_attrs(model="nested")
    if method == "variational":
        start = None if proposal is None else proposal.sample(planets, n_samples, seed=seed)
        fit = Variational(own.model_copy(update={"n_samples": n_samples}), start)
        found = retrieve_planets(edition, planets, fit, **options)
        return found.assign_attrs(model="flow_variational")
    if proposal is None:
        raise ArielflowError("importance sampling needs a proposal; give a model with a density")
    # A row's own seed is the driver's to derive.
    drawn_from = proposal.ensemble if isinstance(proposal, Model) else proposal
    name = f"{getattr(proposal, 'name', 'proposal')}_importance"
    if not fallback:
        found = retrieve_planets(edition, planets, Importance(drawn_from, own), **options)
        return found.assign_attrs(model=name)
    _, found = importance_posteriors(edition, planets, drawn_from, settings=own, **options)
    return found.assign_attrs(model=f"{name}_fallback")
