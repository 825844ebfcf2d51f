"""Concept drift: does the same spectrum stand for other parameters?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, norm, rankdata
from sklearn.ensemble import ExtraTreesRegressor

from arielflow.evaluation.drift.classifier import HALVES, Separation

STRATA = 10
LEAST_COMPARABLE = 0.1
_COLUMNS = [
    "target",
    "error_shift",
    "error_size_ratio",
    "p_value_shift",
    "p_value_size",
    "q_value",
]


class Concept(NamedTuple):
    """Result of :func:`concept_drift`.

    Attributes
    ----------
    targets : pandas.DataFrame
        A row a target, see :func:`concept_drift`.
    comparable : float
        Share of the test planets whose spectra have counterparts in the reference; below 10 %
        nothing can be told, and the p-values are NaN.
    """

    targets: pd.DataFrame
    comparable: float


def concept_drift(
    features: tuple[np.ndarray, np.ndarray],
    theta: tuple[np.ndarray, np.ndarray],
    separation: Separation,
    targets: np.ndarray,
    *,
    trees: int = 200,
) -> Concept:
    """Compare the errors of a regression of theta on spectra between planets that look alike.

    A forest learns theta from the spectra of both sets, on either half, and is applied to the
    other; errors that differ between the sets at equal spectra mean that theta given the spectrum
    does. Planets look alike where the classifier gives them about the same score: given that
    probability, which set a planet is from tells nothing of its spectrum (Rosenbaum & Rubin 1983,
    Biometrika 70, 41). Within ten strata of it in each half the errors, and their sizes, are
    compared by ranks (van Elteren 1960).

    Parameters
    ----------
    features
        What the models see of the planets (planet, feature), of reference and test.
    theta
        (planet, target) of reference and test, all finite.
    separation
        Classifier's scores of planets of ``features``.
    targets
        Names of the targets.

    Returns
    -------
    Concept
        Its table has, by target: ``error_shift``, how much higher the test planets' theta is than
        that of reference planets with the same spectra, in standard deviations of the reference's
        errors; ``error_size_ratio``, mean size of the test's errors over the reference's;
        ``p_value_shift``, ``p_value_size`` and ``q_value`` of the smaller one, adjusted over all.
    """
    new = separation.is_test
    rows = separation.row[~new], separation.row[new]
    z, y = (np.concatenate([x[r] for x, r in zip(p, rows, strict=True)]) for p in (features, theta))
    error = _unseen_errors(z, y, separation, trees)
    stratum = _strata(separation)
    mixed = [s for s in np.unique(stratum) if 0 < new[stratum == s].sum() < (stratum == s).sum()]
    comparable = float(np.isin(stratum[new], mixed).mean())
    enough = comparable >= LEAST_COMPARABLE
    found = []
    for name, column in zip(targets, error.T, strict=True):
        scale = column[~new].std() or 1.0
        shift, p_shift = _stratified_difference(column, new, stratum)
        size, p_size = _stratified_difference(np.abs(column), new, stratum)
        typical = np.abs(column[~new]).mean() or 1.0
        found.append(
            {
                "target": str(name),
                "error_shift": shift / scale if enough else np.nan,
                "error_size_ratio": 1 + size / typical if enough else np.nan,
                "p_value_shift": p_shift if enough else np.nan,
                "p_value_size": p_size if enough else np.nan,
            }
        )
    table = pd.DataFrame(found, columns=_COLUMNS[:-1])
    p_values = table[["p_value_shift", "p_value_size"]].to_numpy(dtype=float)
    q_values = false_discovery_control(p_values.ravel()) if enough else p_values.ravel()
    return Concept(table.assign(q_value=q_values.reshape(-1, 2).min(axis=1)), comparable)


def no_targets() -> pd.DataFrame:
    """The table of :func:`concept_drift` without a row."""
    return pd.DataFrame(columns=_COLUMNS)


def _unseen_errors(
    features: np.ndarray, theta: np.ndarray, separation: Separation, trees: int
) -> np.ndarray:
    """Theta less what a forest that has not seen the planet makes of its features."""
    error = np.empty_like(theta)
    scale = theta.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    share = separation.is_test.mean()
    weight = np.where(separation.is_test, 1 / share, 1 / (1 - share))
    for number in range(HALVES):
        unseen = separation.half == number
        forest = ExtraTreesRegressor(
            trees, min_samples_leaf=3, max_features=0.3, random_state=number
        )
        forest.fit(features[~unseen], theta[~unseen] / scale, sample_weight=weight[~unseen])
        predicted = forest.predict(features[unseen]).reshape(-1, theta.shape[1])
        error[unseen] = theta[unseen] - scale * predicted
    return error


def _strata(separation: Separation) -> np.ndarray:
    """Stratum (planet,) of similar scores; those of the two halves are apart.

    The forests' scores are calibrated in each half alone. Edges are quantiles of both sets at
    equal weight.
    """
    stratum = np.empty(len(separation.score), dtype=int)
    for number in range(HALVES):
        own = separation.half == number
        score, new = separation.score[own], separation.is_test[own]
        weight = np.where(new, 1 / max(new.sum(), 1), 1 / max((~new).sum(), 1))
        order = np.argsort(score, kind="stable")
        share = np.cumsum(weight[order]) / weight.sum()
        edges = score[order][np.searchsorted(share, np.arange(1, STRATA) / STRATA)]
        stratum[own] = number * STRATA + np.searchsorted(edges, score, side="right")
    return stratum


def _stratified_difference(
    values: np.ndarray, is_test: np.ndarray, stratum: np.ndarray
) -> tuple[float, float]:
    """Mean difference test − reference within strata, and van Elteren's two-sided p-value."""
    excess = variance = difference = weights = 0.0
    for number in np.unique(stratum):
        inside = stratum == number
        new, sample = is_test[inside], values[inside]
        n, n_new = len(sample), int(new.sum())
        n_old = n - n_new
        if not n_new or not n_old:
            continue
        excess += rankdata(sample)[new].sum() / (n + 1) - n_new / 2
        variance += n_new * n_old / (12 * (n + 1))
        weight = n_new * n_old / n
        difference += weight * (sample[new].mean() - sample[~new].mean())
        weights += weight
    if not variance:
        return np.nan, np.nan
    return difference / weights, float(2 * norm.sf(abs(excess) / np.sqrt(variance)))
