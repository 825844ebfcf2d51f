"""Which model a spectrum asks for: a description and simpler ones compared by their evidence.

One part at a time is left out of a description: a gas, clouds, haze, the temperature's gradient,
star spots, offsets; and a flat line stands for a spectrum without features. Two parts that can
stand in for one another may each be left out without loss, but not both.

All models share one forward model, and so the points, the tables' grid and the priors that were
filled in: evidences of different points could not be compared.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor, as_tensor, no_grad

from arielflow.core.errors import ArielflowError
from arielflow.data.description.read import Description
from arielflow.data.spectra.spectrum import ObservedSpectrum
from arielflow.physics.parametric import ParametricModel, TemperatureProfile
from arielflow.retrieval.model_selection import FLAT_LINE, MODERATE
from arielflow.retrieval.spectra.methods import (
    MethodName,
    Say,
    SpectrumResult,
    retrieve_spectrum,
)
from arielflow.retrieval.spectra.model import SpectrumModel
from arielflow.retrieval.spectra.setup import default_radius, default_temperature, prepared_model
from arielflow.settings.importance import FallbackSettings, ImportanceSettings
from arielflow.settings.nested import NestedSettings

log = logging.getLogger(__name__)

FULL = "full"
"""Name of the model that is described."""

SELECTION_IMPORTANCE = ImportanceSettings(
    n_proposal=1024,
    n_refined=800,
    n_redrawn=200,
    rounds=5,
    effective_aim=800,
    most_draws=8000,
    defensive_share=0.2,
)
"""Fewer draws than for a posterior: 800 effective ones give an evidence to 0.04."""
SELECTION_FALLBACK = FallbackSettings(efficiency=0.02)
"""When those fall short: 160 effective draws of 8000 still give it to 0.08."""
SELECTION_NESTED = NestedSettings(n_live=200, n_effective=500, n_batch=256)
"""Of the nested sampling that takes over then."""

# Upper ends of Trotta's scale (2008, Contemp. Phys. 49, 71), in natural logarithms.
_SCALE, _STRONGEST = ((1.0, "inconclusive"), (2.5, "weak"), (5.0, "moderate")), "strong"
_OF_INSTRUMENTS = ("offset[", "error_factor[", "jitter[")


class PointDraws(NamedTuple):
    """Weighted draws of one model: how likely each makes every point.

    ``weight`` (draw,), which sums to one, and natural log-likelihoods ``log_likelihood`` (draw,
    point).
    """

    weight: np.ndarray
    log_likelihood: np.ndarray


@dataclass(frozen=True)
class SpectrumSelection:
    """Models compared on one spectrum.

    Attributes
    ----------
    full : SpectrumModel
        The described model, with the points that all were compared on.
    table : pandas.DataFrame
        One row a model, natural logarithms: ``model``; ``free_parameters``; ``log_evidence`` and
        ``log_evidence_error``; ``log_bayes_factor`` against the highest evidence;
        ``log_bayes_factor_full`` against the full model, positive where the evidence is higher, and
        ``log_bayes_factor_full_error``; ``significance``, the latter in words; ``method`` that gave
        the evidence; ``forward_calls``; ``seconds``; ``warning``, what a reader should know of the
        evidence; and ``selected``.
    by_point : dict[str, PointDraws]
        By models' names, those that were retrieved: what leaving single points out needs.
    """

    full: SpectrumModel
    table: pd.DataFrame
    by_point: Mapping[str, PointDraws]

    @property
    def selected(self) -> str:
        """Name of the simplest model that is not worse than the best one by the threshold."""
        return str(self.table.loc[self.table["selected"], "model"].iloc[0])

    def __str__(self) -> str:
        return f"selected {self.selected}"


def compare_models(
    description: Description,
    spectrum: ObservedSpectrum,
    *,
    seed: int,
    opacities: str | None = None,
    resolving_power: float | None = None,
    method: MethodName = "importance",
    threshold: float = MODERATE,
    importance: ImportanceSettings = SELECTION_IMPORTANCE,
    fallback: FallbackSettings = SELECTION_FALLBACK,
    nested: NestedSettings = SELECTION_NESTED,
    checkpoints: Path | None = None,
    say: Say | None = None,
) -> SpectrumSelection:
    """Compare a description with simpler ones on one spectrum.

    Parameters
    ----------
    description, spectrum, opacities, resolving_power
        As for :func:`arielflow.retrieval.spectra.setup.prepared_model`.
    seed, method, importance, fallback, nested, checkpoints, say
        As for :func:`arielflow.retrieval.spectra.methods.retrieve_spectrum`.
    threshold
        Log Bayes factor that further parameters must earn. The model of the fewest parameters that
        falls short of the highest evidence by less is selected, of several the one of the highest
        evidence.

    Raises
    ------
    ArielflowError
        The full model cannot be made or retrieved, or the threshold is no positive number.
    """
    if not (np.isfinite(threshold) and threshold > 0):
        raise ArielflowError(
            f"threshold {threshold:g}: expected a log Bayes factor above zero, such as {MODERATE}"
        )
    full = prepared_model(
        description, spectrum, opacities=opacities, resolving_power=resolving_power
    )
    models = {FULL: full, **dict(simpler_models(full))}
    options = {"seed": seed, "importance": importance, "fallback": fallback, "nested": nested}
    records, by_point = [], {}
    for number, (name, model) in enumerate(models.items(), 1):
        told = None if say is None else _prefixed(say, f"{name}, model {number} of {len(models)}: ")
        row, found = _evidence(name, model, method, checkpoints=checkpoints, say=told, **options)
        if found is not None:
            by_point[name] = _by_point(found)
        records.append({"model": name, "free_parameters": model.dimension, **row})
    return SpectrumSelection(full, _table(records, threshold), by_point)


def simpler_models(full: SpectrumModel) -> Iterator[tuple[str, SpectrumModel]]:
    """Models with one part less than a model, by their names, and a flat line.

    They compute the spectra of the model's own points, from its own tables and priors.

    Parameters
    ----------
    full
        From :func:`arielflow.retrieval.spectra.setup.prepared_model`.
    """
    described, physics = full.description, full.physics
    has = described.parameters
    simpler = {f"without {gas}": described.without_gas(gas) for gas in described.gases}
    if "cloud_top_pressure" in has:
        simpler["without clouds"] = described.without_clouds()
    if "haze_strength" in has:
        simpler["without haze"] = described.without_haze()
    if "spot_fraction" in has:
        simpler["without star spots"] = described.without_spots()
    if any(name.startswith("offset[") for name in has):
        simpler["without offsets"] = described.without_offsets()
    for name, description in simpler.items():
        yield name, SpectrumModel(physics, description, full.spectrum)
    if described.profile != "isothermal":
        temperature = default_temperature(*physics.transmission.temperature_range_k)
        yield (
            "isothermal",
            SpectrumModel(
                physics.with_profile(TemperatureProfile()),
                described.isothermal(temperature),
                full.spectrum,
            ),
        )
    yield FLAT_LINE, _flat_line(full)


class FlatLine(ParametricModel):
    """The transit depth of an opaque disk at all wavelengths."""

    def __init__(self, n_points: int) -> None:
        self._n_points = n_points

    def depths(self, values: Mapping[str, Tensor]) -> Tensor:
        """Depths (n, wavelength) of ``planet_radius`` and ``star_radius``, shape (n,) each."""
        ratio = values["planet_radius"] / values["star_radius"]
        return ratio.square()[:, None].expand(-1, self._n_points)


def _flat_line(full: SpectrumModel) -> SpectrumModel:
    """A disk of the radius' prior, with all that is not known of the instruments."""
    described = full.description
    kept = ("planet_radius", "star_radius", *_OF_INSTRUMENTS)
    flat = described.without(*(name for name in described.parameters if not name.startswith(kept)))
    if "planet_radius" in flat.fixed:
        # What is known is the radius at the bottom, below what an atmosphere lets through.
        prior = default_radius(flat, full.spectrum)
        note = f"flat line: {prior.words()}, since the planet file fixes the radius at the bottom"
        flat = flat.without("planet_radius").with_parameter(prior, note)
    return SpectrumModel(FlatLine(len(full.spectrum)), replace(flat, gases=()), full.spectrum)


def _evidence(
    name: str, model: SpectrumModel, method: MethodName, **options: Any
) -> tuple[dict[str, object], SpectrumResult | None]:
    """Columns of one model, and its result; zero evidence where a simpler one has no result."""
    if model.dimension == 0 and name != FULL:
        known = float(model.log_likelihood(np.empty((1, 0)))[0])
        return _columns(known, 0.0, "exact", 1, 0.0, ""), None
    try:
        found = retrieve_spectrum(model, method, **options)
    except ArielflowError as error:
        if name == FULL:
            raise
        log.warning("%s: %s", name, error)
        return _columns(-np.inf, np.nan, method, 0, 0.0, f"not retrieved: {error}"), None
    columns = _columns(
        found.log_evidence,
        found.log_evidence_error,
        found.method,
        found.spectra,
        found.seconds,
        "; ".join(found.notes),
    )
    return columns, found


def _by_point(found: SpectrumResult) -> PointDraws:
    with no_grad():
        log_likelihood = found.model.log_likelihood_by_point(as_tensor(found.draws)).numpy()
    # A draw of the narrowest weight may lie where the tables end.
    good = np.isfinite(log_likelihood).all(axis=1)
    weight = np.where(good, found.draw_weight, 0)
    return PointDraws(weight[good] / weight.sum(), log_likelihood[good])


def _columns(
    log_evidence: float, error: float, method: str, calls: int, seconds: float, warning: str
) -> dict[str, object]:
    return {
        "log_evidence": log_evidence,
        "log_evidence_error": error,
        "method": method,
        "forward_calls": calls,
        "seconds": seconds,
        "warning": warning,
    }


def _table(records: list[dict[str, object]], threshold: float) -> pd.DataFrame:
    """The models in the order in which they were retrieved, the full one first."""
    table = pd.DataFrame(records)
    evidence, error = table["log_evidence"], table["log_evidence_error"]
    table.insert(4, "log_bayes_factor", evidence - evidence.max())
    table.insert(5, "log_bayes_factor_full", evidence - evidence[0])
    both = np.hypot(error, error[0]).where(table["model"] != FULL, 0.0)
    table.insert(6, "log_bayes_factor_full_error", both)
    words = [in_words(factor) for factor in table["log_bayes_factor_full"]]
    table.insert(7, "significance", ["", *words[1:]])
    enough = table[table["log_bayes_factor"] > -threshold]
    order = enough.sort_values(["free_parameters", "log_evidence"], ascending=[True, False])
    return table.assign(selected=table.index == order.index[0])


def in_words(log_bayes_factor: float) -> str:
    """How strongly a natural log Bayes factor speaks for a model or against it.

    On Trotta's scale (2008, Contemp. Phys. 49, 71): inconclusive below 1, weak below 2.5, moderate
    below 5, strong above.
    """
    size = abs(log_bayes_factor)
    strength = next((word for end, word in _SCALE if size < end), _STRONGEST)
    if strength == "inconclusive":
        return strength
    return f"{strength} {'for' if log_bayes_factor > 0 else 'against'}"


def _prefixed(say: Say, start: str) -> Say:
    return lambda text: say(start + text)
