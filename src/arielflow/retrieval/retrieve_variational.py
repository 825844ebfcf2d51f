"""Posteriors of planets by a flow fitted to each spectrum; bad planets never sink the others."""

from __future__ import annotations

import logging

import numpy as np
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import describe, posterior_dataset
from arielflow.core.seeds import derived_seed
from arielflow.data.forward_models import edition_model
from arielflow.data.priors import prior_samples
from arielflow.editions import Edition
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.planets import data_fault, planet_seed, retrieval_attributes
from arielflow.retrieval.variational import VariationalResult, VariationalSettings, fit_variational

log = logging.getLogger(__name__)

_COSTS = {
    "elbo": "elbo",
    "elbo_error": "elbo_error",
    "log_evidence": "log_evidence",
    "log_evidence_error": "log_evidence_error",
    "sampling_efficiency": "sampling_efficiency",
    "pareto_shape": "pareto_shape",
    "likelihood_calls": "forward_calls",
    "seconds": "seconds",
}


def variational_posteriors(
    edition: Edition,
    planets: xr.Dataset,
    *,
    physics: PhysicsSettings,
    seed: int,
    settings: VariationalSettings | None = None,
    n_samples: int = 4000,
    start: xr.Dataset | None = None,
) -> xr.Dataset:
    """Fit a flow to every planet of a dataset.

    A planet that cannot be retrieved gets draws from its prior, is logged and flagged. A planet's
    samples depend on nothing but its own data, the seed, the settings and its start.

    Parameters
    ----------
    edition, planets
        Planets dataset and its edition.
    physics
        Opacities and mode of the forward model.
    seed, settings
        See :func:`arielflow.retrieval.variational.fit_variational`.
    n_samples
        Equally weighted samples a planet; takes the place of the settings' own.
    start
        Posterior dataset of an amortised flow for these planets, to start from.

    Returns
    -------
    xarray.Dataset
        Posterior dataset with ``elbo``, ``log_evidence``, their errors, ``sampling_efficiency``,
        ``pareto_shape`` (NaN without a retrieval), ``likelihood_calls``, ``seconds`` [s],
        ``retrieved`` (0 or 1), ``fault`` and ``warning`` (empty if there is none), each (planet,).

    Raises
    ------
    ArielflowError
        The forward model cannot be had for these planets, or ``start`` is not of these.
    """
    settings = (settings or VariationalSettings()).model_copy(update={"n_samples": n_samples})
    names = [str(name) for name in planets["planet"].values]
    if start is not None and [str(name) for name in start["planet"].values] != names:
        raise ArielflowError(
            f"start posterior: its {start.sizes['planet']} planets are not the {len(names)} asked "
            "for, in their order; sample it for the same planets"
        )
    forward = ForwardModel(edition_model(edition, physics), planets)
    theta = np.empty((len(names), n_samples, planets.sizes["target"]))
    by_planet = {name: np.full(len(names), np.nan) for name in _COSTS}
    faults, warned = (np.full(len(names), "", dtype=object) for _ in range(2))
    for row, name in enumerate(names):
        # What stands in for a planet that the model could not see is no place to start from.
        seen = start is not None and start["retrieved"].values[row]
        samples = start["theta"].values[row] if seen else None
        found = _fit_one(forward, planets, row, planet_seed(seed, name), settings, samples)
        if isinstance(found, str):
            log.warning("%s: not retrieved: %s", name, found)
            draws = derived_seed(planet_seed(seed, name), "prior")
            theta[row] = prior_samples(planets.isel(planet=[row]), n_samples, draws)[0]
            faults[row] = found
            by_planet["likelihood_calls"][row] = by_planet["seconds"][row] = 0
            continue
        theta[row] = found.theta
        for variable, attribute in _COSTS.items():
            by_planet[variable][row] = getattr(found, attribute)
        warned[row] = found.warning
        log.info(
            "%s: log-evidence %.2f +- %.2f, ELBO %.2f, %d forward calls",
            *(name, found.log_evidence, found.log_evidence_error, found.elbo, found.forward_calls),
        )
        if found.warning:
            log.warning("%s: %s", name, found.warning)
    by_planet["likelihood_calls"] = by_planet["likelihood_calls"].astype(np.int64)
    by_planet |= {"retrieved": (faults == "").astype(np.int8), "fault": faults}
    by_planet["warning"] = warned
    posterior = posterior_dataset(planets, theta)
    posterior = describe(posterior.assign({k: ("planet", v) for k, v in by_planet.items()}))
    own = {"started_from": "laplace" if start is None else "samples", **settings.model_dump()}
    posterior.attrs |= retrieval_attributes(edition, planets, physics, seed, own)
    return posterior


def _fit_one(
    forward: ForwardModel,
    planets: xr.Dataset,
    row: int,
    seed: int,
    settings: VariationalSettings,
    samples: np.ndarray | None,
) -> VariationalResult | str:
    """The posterior of one planet, or why there is none."""
    if fault := data_fault(planets.isel(planet=[row])):
        return fault
    try:
        return fit_variational(forward, planets, row, seed=seed, settings=settings, start=samples)
    except ArielflowError as error:
        return str(error)
