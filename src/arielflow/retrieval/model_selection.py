"""Which molecules a spectrum shows: models compared by their evidence.

After Yip et al. 2022 (arXiv:2205.07037): a flat line, all molecules, each left out, and the search
from all of them downwards for the set that is enough. The evidence is not a flow's lower bound, as
there, but that of the weighted draws of its check: a bound falls short by what the flow misses,
which differs from model to model. Evidence under uniform priors punishes a
molecule that is not needed, but only by the share of its prior that the data exclude.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.editions import Edition
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.physics.systems import (
    JUPITER_RADIUS_M,
    Systems,
    scale_height_m,
    surface_gravity_m_s2,
)
from arielflow.retrieval.kept_draws import KeptDraws
from arielflow.retrieval.likelihood import log_likelihood_by_bin
from arielflow.retrieval.method import Attempt, Method
from arielflow.retrieval.planets import Done, Retrieval
from arielflow.retrieval.variational import VariationalResult, fit_variational
from arielflow.settings.variational import VariationalSettings

log = logging.getLogger(__name__)

MODERATE = 2.5
"""Log Bayes factor from which evidence is called moderate, some 2.7 sigma (Trotta 2008)."""

SELECTION_SETTINGS = VariationalSettings(
    steps=100, batch=16, layers=2, n_elbo=256, n_check=1500, n_samples=500
)
"""Fewer and smaller steps than for a posterior: about 3,700 forward calls a model."""

FLAT_LINE, ALL = "flat line", "all molecules"
# A molecule without which the evidence falls by this much is not tried again: fewer molecules leave
# less that could stand in for it.
_DECISIVE = 10.0
_LARGEST_HEIGHT = 15
_GRID, _GRID_SIGMA = 2001, 8.0
_RESULTS = ("log_evidence", "log_evidence_error", "elbo", "elbo_error", "forward_calls", "seconds")


@dataclass(frozen=True)
class Selection:
    """Models compared on one spectrum.

    Attributes
    ----------
    molecules : the set selected; empty for a flat line or an atmosphere without absorbers
    table : one row a model: ``model``, ``molecules`` (joined by +), ``log_evidence``,
        ``log_bayes_factor`` (against the highest evidence), ``log_evidence_error``, ``elbo``,
        ``elbo_error``, ``forward_calls``, ``seconds``, ``warning`` (what speaks against the
        evidence, empty if nothing does) and ``selected``; natural logarithms
    draws : by models' names, those that were fitted: what leaving single bins out needs
    """

    molecules: tuple[str, ...]
    table: pd.DataFrame
    draws: Mapping[str, KeptDraws] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"selected {self.table.loc[self.table['selected'], 'model'].iloc[0]}"


def select_molecules(
    forward: ForwardModel,
    planet: int,
    *,
    seed: int,
    settings: VariationalSettings = SELECTION_SETTINGS,
    threshold: float = MODERATE,
) -> Selection:
    """Compare a flat line and sets of the forward model's molecules on one spectrum.

    From all molecules on, the one whose removal costs least is left out, as long as that lowers the
    log-evidence by less than ``threshold``. Where what is left is no better than a flat line by
    ``threshold``, the flat line is selected.

    Parameters
    ----------
    forward, planet, seed, settings
        As for :func:`arielflow.retrieval.variational.fit_variational`.
    threshold
        Log Bayes factor that a molecule must earn.

    Raises
    ------
    ArielflowError
        The model of all molecules cannot be fitted.
    """
    everything = tuple(forward.transmission.molecules)
    rows: dict[tuple[str, ...], dict[str, object]] = {}
    draws: dict[str, KeptDraws] = {}

    def evidence(molecules: tuple[str, ...]) -> float:
        if molecules not in rows:
            absent = [name for name in everything if name not in molecules]
            rows[molecules], found = _fitted(forward, planet, seed, settings, absent)
            if found is not None:
                draws[_name(absent)] = _weighted(forward, planet, found)
        return rows[molecules]["log_evidence"]

    evidence(everything)
    current, decided = everything, set()
    while undecided := [name for name in current if name not in decided]:
        loss = {name: evidence(current) - evidence(_without(current, name)) for name in undecided}
        decided |= {name for name, value in loss.items() if value > _DECISIVE}
        cheapest = min(loss, key=loss.get)
        if loss[cheapest] > threshold:
            break
        current = _without(current, cheapest)
    flat = flat_line_log_evidence(forward.systems, planet)
    selected = None if evidence(current) - flat < threshold else current
    return Selection(selected or (), _table(everything, rows, flat, selected), draws)


def _without(molecules: Sequence[str], name: str) -> tuple[str, ...]:
    return tuple(molecule for molecule in molecules if molecule != name)


def _name(absent: Sequence[str]) -> str:
    return f"without {', '.join(absent)}" if absent else ALL


def _fitted(
    forward: ForwardModel,
    planet: int,
    seed: int,
    settings: VariationalSettings,
    absent: Sequence[str],
) -> tuple[dict[str, object], VariationalResult | None]:
    """The row of one model, and its fit; zero evidence where a reduced one cannot be fitted."""
    try:
        found = fit_variational(forward, planet, seed=seed, settings=settings, absent=absent)
    except ArielflowError as error:
        if not absent:
            raise
        log.warning("%s: %s", _name(absent), error)
        unfitted = dict(zip(_RESULTS, (-np.inf, np.nan) * 2 + (0, 0.0), strict=True))
        return unfitted | {"warning": f"not fitted: {error}"}, None
    if found.warning:
        log.warning("%s: %s", _name(absent), found.warning)
    return {name: getattr(found, name) for name in (*_RESULTS, "warning")}, found


def _weighted(forward: ForwardModel, planet: int, found: VariationalResult) -> KeptDraws:
    """The fit's samples, those that are the same as one of more weight."""
    theta, count = np.unique(found.theta, axis=0, return_counts=True)
    by_bin = log_likelihood_by_bin(forward, planet, theta)
    return KeptDraws(theta, count / count.sum(), by_bin)


def _table(
    everything: tuple[str, ...],
    rows: dict[tuple[str, ...], dict[str, object]],
    flat: float,
    selected: tuple[str, ...] | None,
) -> pd.DataFrame:
    """The models in the order in which they were asked for, the flat line first."""
    exact = dict(zip(_RESULTS, (flat, 0.0) * 2 + (0, 0.0), strict=True)) | {"warning": ""}
    records = [{"model": FLAT_LINE, "molecules": ""} | exact | {"selected": selected is None}]
    for molecules, row in rows.items():
        left_out = [name for name in everything if name not in molecules]
        which = {"model": _name(left_out), "molecules": "+".join(molecules)}
        records.append(which | row | {"selected": molecules == selected})
    table = pd.DataFrame(records)
    best = table["log_evidence"].max()
    table.insert(3, "log_bayes_factor", table["log_evidence"] - best)
    return table


def flat_line_log_evidence(systems: Systems, planet: int) -> float:
    """Natural log-evidence of one constant transit depth, a quadrature over one radius.

    The radius has its retrieval prior; where it is no target, it is uniform from the known radius
    to fifteen scale heights of the hottest atmosphere above it.

    Returns
    -------
    float
        -inf if no radius of the prior comes within eight standard errors of the mean depth.
    """
    star_radius, used = systems.star_radius_m[planet], systems.valid_bins(planet)
    depth, error = systems.depth[planet][used], systems.error[planet][used]
    low, high = _radius_range_m(systems, planet)
    precision = np.sum(error**-2)
    mean = np.sum(depth / error**2) / precision
    near = mean + _GRID_SIGMA * np.array([-1, 1]) / np.sqrt(precision)
    edges = np.clip(star_radius * np.sqrt(np.maximum(near, 0)), low, high)
    if edges[0] == edges[1]:
        return -np.inf
    radius = np.linspace(*edges, _GRID)
    residual = ((radius[:, None] / star_radius) ** 2 - depth) / error
    value = -0.5 * np.sum(residual**2, axis=1)
    integral = np.trapezoid(np.exp(value - value.max()), radius) / (high - low)
    return float(value.max() + np.log(integral) - np.sum(np.log(error * np.sqrt(2 * np.pi))))


def _radius_range_m(systems: Systems, planet: int) -> tuple[float, float]:
    low, high = systems.prior[:, planet]
    column = systems.targets.get("planet_radius")
    if column is not None:
        return low[column] * JUPITER_RADIUS_M, high[column] * JUPITER_RADIUS_M
    mass, radius = systems.planet_mass_kg[planet], systems.planet_radius_m[planet]
    hottest = high[systems.targets["planet_temperature"]]
    height = scale_height_m(hottest, surface_gravity_m_s2(mass, radius))
    return radius, radius + _LARGEST_HEIGHT * height


@dataclass(frozen=True)
class ModelSelection(Method):
    """Model selection as a method of :mod:`arielflow.retrieval.planets`; it makes no posterior.

    Attributes
    ----------
    settings, threshold : see :func:`select_molecules`
    """

    settings: VariationalSettings = SELECTION_SETTINGS
    threshold: float = MODERATE

    def retrieve(self, attempt: Attempt) -> Selection:
        """Compare models of a planet's spectrum."""
        return select_molecules(
            attempt.forward,
            attempt.planet,
            seed=attempt.seed,
            settings=self.settings,
            threshold=self.threshold,
        )


def select_models(
    edition: Edition,
    planets: xr.Dataset,
    method: ModelSelection,
    *,
    physics: PhysicsSettings,
    seed: int,
    done: Done | None = None,
) -> tuple[dict[str, Selection], dict[str, str]]:
    """Compare models of planets' spectra.

    Parameters
    ----------
    edition, planets, method, physics, seed
        As of :func:`arielflow.retrieval.planets.retrieve_planets`.
    done
        Told how many planets are done.

    Returns
    -------
    selections
        By planet.
    faults
        Planets without a comparison, and why.

    Raises
    ------
    ArielflowError
        The forward model cannot be had for these planets.
    """
    results = Retrieval(edition, planets, physics, seed).results(method, done=done)
    selections, faults = {}, {}
    for name, found in zip(map(str, planets["planet"].values), results.values(), strict=True):
        if isinstance(found, str):
            faults[name] = found
        else:
            selections[name] = found
    return selections, faults
