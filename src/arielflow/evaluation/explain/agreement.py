"""Explanations held against physics, and against networks that have learnt nothing.

An explanation is right where it orders the bins as the gain does: the signed Spearman rank
correlation over the bins of a spectrum, planet by planet. Whether a method explains the model at
all or only its input is asked as by Adebayo et al. (2018, NeurIPS): the same method on networks of
random weights must do worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata

from arielflow.core.schema import MOLECULES
from arielflow.evaluation.explain.differentiable import Mixed
from arielflow.evaluation.explain.gain import Gain
from arielflow.models.base import PosteriorEstimator

DETECTABLE_DEX = 1.0
"""Largest standard deviation of log X, by the gain, of an amount that a spectrum tells."""
DETECTABLE_SHARE = 0.5
"""Largest share of the prior's standard deviation of it, for priors that are narrow themselves."""


def rank_correlation(attribution: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Signed Spearman correlation over the last axis; NaN where either is constant or not finite.

    Parameters
    ----------
    attribution, gain
        Shape (..., wavelength), the leading axes alike.
    """
    finite = np.isfinite(attribution).all(axis=-1) & np.isfinite(gain).all(axis=-1)
    ranks = [np.nan_to_num(rankdata(np.nan_to_num(part), axis=-1)) for part in (attribution, gain)]
    first, second = (part - part.mean(axis=-1, keepdims=True) for part in ranks)
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1))
        correlation = (first * second).sum(axis=-1) / size
    return np.where(finite, correlation, np.nan)


def detectable(
    gain: Gain, quantities: Sequence[str], theta: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Which targets of which planets are told by the spectrum, boolean (planet, target).

    A molecule is where its true log X is known and the posterior's standard deviation by the gain
    is below :data:`DETECTABLE_DEX` and below :data:`DETECTABLE_SHARE` of the prior's; any other
    target where the last holds.

    Parameters
    ----------
    gain
        Of the planets.
    quantities
        Of the targets.
    theta
        True targets (planet, target), NaN where unknown.
    low, high
        Edges of the prior (planet, target).
    """
    told = gain.deviation < DETECTABLE_SHARE * (high - low) / np.sqrt(12)
    molecule = np.array([str(quantity) in MOLECULES for quantity in quantities])
    return told & np.isfinite(theta) & (~molecule | (gain.deviation < DETECTABLE_DEX))


def agreement_table(
    attributions: Mapping[str, np.ndarray],
    gain: np.ndarray,
    counted: np.ndarray,
    quantities: Sequence[str],
) -> pd.DataFrame:
    """Rank correlations with the gain by method and target over the planets that count.

    Parameters
    ----------
    attributions
        By method's name, (planet, target, wavelength).
    gain
        The same shape.
    counted
        Boolean (planet, target).
    quantities
        Of the targets.

    Returns
    -------
    pandas.DataFrame
        ``method``, ``target``, ``planets``, ``median_rho``, ``low_rho`` and ``high_rho`` (the
        quartiles), ``positive`` (share of planets with a positive one).
    """
    rows = []
    for method, attribution in attributions.items():
        rho = rank_correlation(attribution, gain)
        for column, quantity in enumerate(quantities):
            own = rho[counted[:, column], column]
            own = own[np.isfinite(own)]
            low, middle, high = np.quantile(own, (0.25, 0.5, 0.75)) if len(own) else [np.nan] * 3
            rows.append(
                {
                    "method": method,
                    "target": str(quantity),
                    "planets": len(own),
                    "median_rho": middle,
                    "low_rho": low,
                    "high_rho": high,
                    "positive": (own > 0).mean() if len(own) else np.nan,
                }
            )
    return pd.DataFrame(rows)


def random_weights(model: Mixed, seed: int) -> Mixed:
    """The same model whose networks have fresh random weights, their scalers kept.

    Parameters
    ----------
    model
        Members that are differentiable.
    seed
        Of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Mixed([_untrained(estimator) for estimator in model.estimators], model.shares)


def _untrained(estimator: PosteriorEstimator) -> PosteriorEstimator:
    copy = deepcopy(estimator)
    for module in vars(copy)["network"].modules():
        if reset := getattr(module, "reset_parameters", None):
            reset()
    return copy
