"""All explanations of a model for planets, as tables, and what could not be had and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import is_usable
from arielflow.core.seeds import derived_seed
from arielflow.evaluation.explain import attributions as local
from arielflow.evaluation.explain.agreement import agreement_table, detectable
from arielflow.evaluation.explain.bands import band_groups
from arielflow.evaluation.explain.counterfactual import least_changes, without_molecules
from arielflow.evaluation.explain.differentiable import Mixed, SpectrumFunction
from arielflow.evaluation.explain.gain import Gain, linear_gain
from arielflow.evaluation.explain.neighbours import nearest_planets
from arielflow.evaluation.explain.permutation import permutation_importance
from arielflow.evaluation.explain.rules import model_rules
from arielflow.evaluation.explain.semantics import probe_embedding
from arielflow.models.ensemble import Ensemble
from arielflow.models.features import noisy_copies
from arielflow.physics.forward import ForwardModel
from arielflow.retrieval.linear import jacobian

_SAMPLES, _DRAWS, _PATH_DRAWS = 1000, 256, 64
# More make examples, rules and permutation no better, only longer.
_MOST_REFERENCE, _MOST_RULED, _MOST_EXCHANGED = 5000, 2000, 400
_BASELINES = 32
# Of finite differences: a forest's answer is a staircase.
_EFFORT = local.Effort(step=3.0, samples=128, repeats=1)


@dataclass
class Explanation:
    """What is known of why a model answers as it does.

    Attributes
    ----------
    planets : xarray.Dataset
        The planets explained, with noise.
    attributions : dict[str, np.ndarray]
        By ``answer, method`` (planet, target, wavelength), per error bar.
    change : numpy.ndarray | None
        Counterfactuals in error bars (planet, target, wavelength).
    gain : Gain | None
        The physics' own sensitivity.
    tables : dict[str, pandas.DataFrame]
        The other results by name.
    rules : dict[str, str]
        Rules by target.
    skipped : dict[str, str]
        Parts that could not be had, and why.
    """

    planets: xr.Dataset
    attributions: dict[str, np.ndarray] = field(default_factory=dict)
    change: np.ndarray | None = None
    gain: Gain | None = None
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def attempt(self, part: str, make: Callable[[], pd.DataFrame | None]) -> None:
        """Make a part and keep its table, if it is one, or say why it cannot be had."""
        try:
            table = make()
        except ArielflowError as error:
            self.skipped[part] = str(error)
        else:
            if table is not None:
                self.tables[part] = table


def explain(
    ensemble: Ensemble,
    planets: xr.Dataset,
    *,
    reference: xr.Dataset | None = None,
    clusters: np.ndarray | None = None,
    forward: Callable[[xr.Dataset], ForwardModel] | None = None,
    n_paths: int = 3,
    effort: local.Effort = _EFFORT,
    seed: int = 0,
) -> Explanation:
    """Explain a model's answers for planets by every method that it allows.

    Parameters
    ----------
    ensemble
        Members of a model of any family, on the CPU.
    planets
        Planets dataset; unusable planets are left out, spectra stored without noise get one draw.
    reference
        Planets that the global explanations and the examples are of, such as the training planets;
        ``planets`` themselves if left out.
    clusters
        Cluster of every reference planet (planet,).
    forward
        Makes the forward model of a planets dataset; without it nothing is held against physics.
    n_paths
        For how many planets, from the first, the costly path methods are done.
    effort
        Work of the costly methods.
    seed
        Of all that is drawn.

    Raises
    ------
    ArielflowError
        No planet is usable, the model has no answer for any, or the forward model cannot be had.
    """
    planets = planets.isel(planet=_answered(ensemble, planets, "planets"))
    planets = noisy_copies(planets, derived_seed(seed, "explain/planets"))
    found = Explanation(planets)
    # Opacities that are not there are told before the work, not after it.
    simulator = None if forward is None else forward(planets)
    given, labels = planets, None
    if reference is not None:
        chosen = _spread(reference.sizes["planet"], _MOST_REFERENCE)
        given = reference.isel(planet=chosen)
        rows = _answered(ensemble, given, "reference planets")
        given = noisy_copies(given.isel(planet=rows), derived_seed(seed, "explain/reference"))
        labels = None if clusters is None else clusters[chosen[rows]]
    model = Mixed.of(ensemble)
    found.attempt(
        "attributions", lambda: _attributions(found, ensemble, model, n_paths, effort, seed)
    )
    if simulator is not None:
        _physics(found, ensemble, simulator, seed)
    found.attempt("counterfactual", lambda: _counterfactual(found, ensemble, model, n_paths, seed))
    groups = band_groups(planets["wavelength"].values)
    exchanged = _spread(given.sizes["planet"], _MOST_EXCHANGED)
    found.attempt(
        "permutation",
        lambda: permutation_importance(
            ensemble,
            given.isel(planet=exchanged),
            groups,
            seed=seed,
            n_samples=effort.samples,
            repeats=effort.repeats,
            clusters=None if labels is None else labels[exchanged],
        ),
    )
    found.attempt("neighbours", lambda: _neighbours(model, planets, reference is not None, given))
    found.attempt("probes", lambda: probe_embedding(model, given, seed=seed))
    ruled = given.isel(planet=_spread(given.sizes["planet"], _MOST_RULED))
    found.attempt("rules", lambda: _rules(found, ensemble, ruled, effort, seed))
    return found


def _answered(ensemble: Ensemble, planets: xr.Dataset, what: str) -> np.ndarray:
    """Rows of the planets that are usable and that the model has an answer for."""
    rows = np.flatnonzero(is_usable(planets))
    if not len(rows):
        raise ArielflowError(
            f"explain: none of {planets.sizes['planet']} {what} is usable; ingest says what is "
            "wrong with them"
        )
    faults = ensemble.mixture(planets.isel(planet=rows), 2, seed=0).faults
    if (faults != "").all():
        raise ArielflowError(
            f"explain: the model has no answer for any of {len(rows)} {what}, the first: "
            f"{faults[0]}"
        )
    return rows[faults == ""]


def _spread(n: int, most: int) -> np.ndarray:
    """Positions of at most ``most`` of ``n``, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(int)) if n else np.arange(0)


def _attributions(
    found: Explanation,
    ensemble: Ensemble,
    model: Mixed,
    n_paths: int,
    effort: local.Effort,
    seed: int,
) -> None:
    planets, kept = found.planets, found.attributions
    if not model.has_derivatives:
        differences = local.finite_differences(ensemble, planets, effort, effort.samples, seed)
        kept |= {f"{answer}, finite differences": v for answer, v in differences.items()}
        return
    for answer in ("mean", "width"):
        function = SpectrumFunction(model, planets, answer, n_samples=_DRAWS, seed=seed)
        kept[f"{answer}, gradient"] = local.gradients(function)
    if model.has_log_prob:
        points = _points(ensemble, planets, seed)
        function = SpectrumFunction(model, planets, "log_prob", seed=seed, theta=points)
        kept["log_prob, gradient"] = local.gradients(function)
    few = planets.isel(planet=slice(0, n_paths))
    path = SpectrumFunction(model, few, "mean", n_samples=_PATH_DRAWS, seed=seed)
    flat = local.flat_baselines(path)
    others = planets["transit_depth"].values[_spread(planets.sizes["planet"], _BASELINES)]
    shaped = local.shaped_baselines(path, others)
    for form in ("slope", "contribution"):
        kept[f"mean, integrated gradients ({form})"] = local.integrated_gradients(
            path, flat, effort, form
        )
        kept[f"mean, SHAP ({form})"] = local.expected_gradients(path, shaped, effort, form, seed)


def _points(ensemble: Ensemble, planets: xr.Dataset, seed: int) -> np.ndarray:
    """True theta where it is known, elsewhere the posterior mean (planet, target)."""
    theta = planets["theta"].values
    mean = ensemble.mixture(planets, _SAMPLES, seed=seed).theta.mean(axis=1)
    return np.where(np.isfinite(theta).all(axis=1, keepdims=True), theta, mean)


def _physics(found: Explanation, ensemble: Ensemble, simulator: ForwardModel, seed: int) -> None:
    planets = found.planets
    low, high = (planets[f"prior_{end}"].values for end in ("low", "high"))
    error = planets["transit_depth_error"].values
    point = ensemble.mixture(planets, _SAMPLES, seed=seed).theta.mean(axis=1)
    found.gain = linear_gain(jacobian(simulator, np.arange(len(point)), point), error, low, high)
    quantities = [str(name) for name in planets["target_quantity"].values]
    theta = planets["theta"].values
    known = np.where(np.isfinite(theta), theta, point)
    counted = detectable(found.gain, quantities, known, low, high)
    whole = {
        name: values
        for name, values in found.attributions.items()
        if values.shape == found.gain.gain.shape and name.startswith("mean")
    }
    found.tables["agreement"] = agreement_table(whole, found.gain.gain, counted, quantities)
    found.tables["without_molecules"] = without_molecules(
        ensemble, planets, simulator, n_samples=_SAMPLES, seed=seed
    )


def _counterfactual(
    found: Explanation, ensemble: Ensemble, model: Mixed, n_paths: int, seed: int
) -> pd.DataFrame:
    few = found.planets.isel(planet=slice(0, n_paths))
    function = SpectrumFunction(model, few, "mean", n_samples=_DRAWS, seed=seed)
    before = ensemble.mixture(few, _SAMPLES, seed=seed).theta
    width = before.std(axis=1)
    changes = least_changes(function, width)
    found.change = changes.change
    rows = []
    names = few["planet"].values.astype(str)
    for column, target in enumerate(few["target"].values.astype(str)):
        moved = few["transit_depth"].values + changes.change[:, column] * function.error.numpy()
        after = ensemble.mixture(
            few.assign(transit_depth=few["transit_depth"].copy(data=moved)), _SAMPLES, seed=seed
        ).theta
        shift = np.median(after, axis=1) - np.median(before, axis=1)
        columns = {
            "planet": names,
            "target": target,
            "distance_sigma": changes.distance[:, column],
            "mean_moved": changes.moved[:, column],
            "median_moved": shift[:, column] / width[:, column],
        }
        rows.append(pd.DataFrame(columns))
    return pd.concat(rows, ignore_index=True)


def _neighbours(
    model: Mixed, planets: xr.Dataset, others: bool, reference: xr.Dataset
) -> pd.DataFrame:
    if not others:
        raise ArielflowError("explain: no reference planets to find examples among; give some")
    return nearest_planets(model, planets, reference)


def _rules(
    found: Explanation, ensemble: Ensemble, planets: xr.Dataset, effort: local.Effort, seed: int
) -> pd.DataFrame:
    rules = model_rules(ensemble, planets, seed=seed, n_samples=effort.samples)
    found.rules = rules.texts
    return rules.table


def attribution_rows(found: Explanation) -> pd.DataFrame:
    """Attributions as rows ``planet``, ``answer``, ``method``, ``target``, ``wavelength_um``,
    ``per_error_bar``; the gain among them as the answer ``gain``.
    """
    planets = found.planets
    targets = planets["target"].values.astype(str)
    wavelength = planets["wavelength"].values
    parts = dict(found.attributions)
    if found.gain is not None:
        parts["gain, linear"] = found.gain.gain
    tables = []
    for name, values in parts.items():
        answer, method = name.split(", ", 1)
        names = planets["planet"].values.astype(str)[: len(values)]
        # The density is one answer for all targets.
        of = targets if values.shape[1] == len(targets) else np.array(["all"])
        index = pd.MultiIndex.from_product(
            [names, [answer], [method], of, wavelength],
            names=["planet", "answer", "method", "target", "wavelength_um"],
        )
        tables.append(pd.Series(values.ravel(), index, name="per_error_bar").reset_index())
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
