"""Rules: a shallow tree a target that imitates a model, and how well it does.

A global surrogate (Craven & Shavlik 1996, NeurIPS 8): the tree learns what the model answers, not
what is true; its fidelity is the share of the variance of the model's answers that it explains on
planets that it has not seen.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from sklearn.metrics import r2_score
from sklearn.tree import DecisionTreeRegressor, export_text

from arielflow.core.errors import ArielflowError
from arielflow.models.ensemble import Ensemble
from arielflow.models.features import context_features, observed_radius_m, planet_tensors
from arielflow.physics.systems import JUPITER_MASS_KG, JUPITER_RADIUS_M, SOLAR_RADIUS_M

FEWEST_PLANETS = 40
"""Planets that a tree and its test need."""
_UNSEEN_SHARE = 0.3
_LEAST_LEAF = 5


class Rules(NamedTuple):
    """Trees that imitate a model.

    Attributes
    ----------
    table : pandas.DataFrame
        ``target``, ``fidelity`` (R² of the tree with the model on unseen planets), ``true_r2``
        and ``model_r2`` (R² of the tree and of the model with the truth there), ``leaves``,
        ``planets`` and ``unseen``.
    texts : dict[str, str]
        The rules of every target, with wavelengths and units.
    """

    table: pd.DataFrame
    texts: dict[str, str]


def rule_features(planets: xr.Dataset) -> tuple[np.ndarray, list[str]]:
    """Features (planet, feature) that people can read, and their names with units.

    Where star and planet are described, depths are in scale heights above the observed radius,
    beside radius, equilibrium temperature, mass and star; elsewhere depths less their mean.
    """
    tensors = planet_tensors(planets)
    n_bins = planets.sizes["wavelength"]
    wavelengths = [f"{value:.3g} um" for value in planets["wavelength"].values]
    if not tensors.physical:
        depth = tensors.depth.numpy()
        values = 1e6 * (depth - depth.mean(axis=1, keepdims=True))
        return values, [f"depth less mean at {name} [ppm]" for name in wavelengths]
    # The features are compressed: 5 asinh(x / 5).
    heights = 5 * torch.sinh(context_features(tensors)[:, :n_bins] / 5)
    others = {
        "observed radius [R_Jup]": observed_radius_m(tensors) / JUPITER_RADIUS_M,
        "equilibrium temperature [K]": tensors.equilibrium_k,
        "planet mass [M_Jup]": tensors.mass_kg / JUPITER_MASS_KG,
        "star radius [R_Sun]": tensors.star_radius_m / SOLAR_RADIUS_M,
    }
    columns = torch.cat([heights, torch.stack(list(others.values()), dim=1)], dim=1)
    names = [f"depth at {name} [scale heights]" for name in wavelengths]
    return columns.numpy(), [*names, *others]


def imitate(
    answers: np.ndarray,
    features: np.ndarray,
    names: list[str],
    targets: list[str],
    *,
    truth: np.ndarray | None = None,
    depth: int = 4,
    seed: int = 0,
) -> Rules:
    """Fit a tree a target to a model's answers and test it on planets held out.

    Parameters
    ----------
    answers
        The model's answers (planet, target).
    features, names
        What the rules speak of (planet, feature).
    targets
        Names of the targets.
    truth
        True targets (planet, target), NaN where unknown.
    depth
        Questions that a rule asks at most.
    seed
        Of which planets are held out.

    Raises
    ------
    ArielflowError
        There are fewer than :data:`FEWEST_PLANETS` planets.
    """
    n_planets = len(answers)
    if n_planets < FEWEST_PLANETS:
        raise ArielflowError(
            f"explain: {n_planets} planets are too few to learn rules from, expected "
            f"{FEWEST_PLANETS}; give more planets"
        )
    order = np.random.default_rng(seed).permutation(n_planets)
    unseen, seen = np.split(order, [round(_UNSEEN_SHARE * n_planets)])
    truth = np.full_like(answers, np.nan) if truth is None else truth
    rows, texts = [], {}
    for column, target in enumerate(targets):
        tree = DecisionTreeRegressor(
            max_depth=depth, min_samples_leaf=_LEAST_LEAF, random_state=seed
        ).fit(features[seen], answers[seen, column])
        said = tree.predict(features[unseen])
        rows.append(
            {
                "target": target,
                "fidelity": r2_score(answers[unseen, column], said),
                "true_r2": _known_r2(truth[unseen, column], said),
                "model_r2": _known_r2(truth[unseen, column], answers[unseen, column]),
                "leaves": tree.get_n_leaves(),
                "planets": len(seen),
                "unseen": len(unseen),
            }
        )
        texts[target] = export_text(tree, feature_names=names, decimals=3)
    return Rules(pd.DataFrame(rows), texts)


def model_rules(
    ensemble: Ensemble,
    planets: xr.Dataset,
    *,
    seed: int,
    n_samples: int = 256,
    depth: int = 4,
) -> Rules:
    """Rules that imitate a model's posterior means, see :func:`imitate`."""
    answers = ensemble.mixture(planets, n_samples, seed=seed).theta.mean(axis=1)
    features, names = rule_features(planets)
    targets = [str(name) for name in planets["target"].values]
    truth = planets["theta"].values
    rules = imitate(answers, features, names, targets, truth=truth, depth=depth, seed=seed)
    units = dict(zip(targets, planets["target_units"].values.astype(str), strict=True))
    texts = {
        target: f"value: posterior mean of {target} [{units[target]}]\n{text}"
        for target, text in rules.texts.items()
    }
    return Rules(rules.table, texts)


def _known_r2(truth: np.ndarray, said: np.ndarray) -> float:
    return float(r2_score(truth, said)) if np.isfinite(truth).all() else float("nan")
