"""Scores of every planet under one posterior, and the leaderboard over all of a run's models."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from arielflow.core.readers import listed
from arielflow.core.samples import WeightedSamples
from arielflow.core.schema import JOINT
from arielflow.core.seeds import derived_seed
from arielflow.evaluation import official
from arielflow.evaluation.better_scores import energy_score, r2_score, weighted_ks_score
from arielflow.evaluation.bootstrap import bootstrap_interval, bootstrap_statistic

log = logging.getLogger(__name__)

SCORES = (
    "posterior_score",
    "spectral_score",
    "final_score",
    "weighted_ks_score",
    "energy_score",
    "log_prob",
)
_MEAN_PREFIX, _TRUE_PREFIX, KS_PREFIX, R2_PREFIX = "mean_", "true_", "ks_", "r2_"

Forward = Callable[[int, np.ndarray], np.ndarray]


def score_planets(
    planet_ids: Sequence[str],
    predictions: Sequence[WeightedSamples],
    truths: Sequence[WeightedSamples],
    theta_true: np.ndarray,
    *,
    target_names: Sequence[str],
    bounds: tuple[np.ndarray, np.ndarray],
    metrics: Sequence[str],
    seed: int,
    forward: Forward | None = None,
    log_prob: np.ndarray | None = None,
) -> pd.DataFrame:
    """All scores of one model, one row per planet; scores that do not exist are NaN.

    Parameters
    ----------
    planet_ids
        Identifiers of the planets.
    predictions, truths
        Weighted samples per planet; an empty truth gives no posterior or spectral score, an empty
        prediction (a rerun of the truth that failed) no score at all.
    theta_true
        The forward model's parameters (planet, target), NaN where unknown.
    target_names
        Official names, for the columns ``ks_…``, ``mean_…`` and ``true_…``.
    bounds
        Official score bounds, lower and upper, each (target,).
    metrics
        The edition's official metrics.
    seed
        Seed of the metrics' resampling.
    forward
        Position of a planet and samples (n, target) to transit depths (n, wavelength).
    log_prob
        The model's log-density at theta_true, shape (planet,).
    """
    given = np.array([len(weight) > 0 for _, weight in predictions])
    truths = [
        truth if ok else (truth[0][:0], truth[1][:0])
        for truth, ok in zip(truths, given, strict=True)
    ]
    table = pd.DataFrame({"planet_ID": list(planet_ids)})
    scores = np.full((len(table), len(SCORES)), np.nan)
    table[list(SCORES)] = scores
    low, high = bounds
    if any(len(weight) for _, weight in truths):
        ks = _posterior_columns(table, predictions, truths, low, high, metrics, seed)
        for column, name in enumerate(target_names):
            table[KS_PREFIX + name] = ks[:, column]
        if "adc2023_spectral" in metrics and forward is not None:
            table["spectral_score"] = official.spectral_scores(
                predictions, truths, low, high, forward, derived_seed(seed, "spectral")
            )
            table["final_score"] = [
                official.final_score(p, s)
                for p, s in zip(table["posterior_score"], table["spectral_score"], strict=True)
            ]
    known = given & np.isfinite(theta_true).all(axis=1)
    table["energy_score"] = [
        energy_score(theta, weight, true, low, high) if ok else np.nan
        for (theta, weight), true, ok in zip(predictions, theta_true, known, strict=True)
    ]
    if log_prob is not None:
        table["log_prob"] = log_prob
    means = np.stack([weight @ theta for theta, weight in predictions])
    means[~given] = np.nan
    for column, name in enumerate(target_names):
        table[_MEAN_PREFIX + name] = means[:, column]
        table[_TRUE_PREFIX + name] = theta_true[:, column]
    return table


def _posterior_columns(
    table: pd.DataFrame,
    predictions: Sequence[WeightedSamples],
    truths: Sequence[WeightedSamples],
    low: np.ndarray,
    high: np.ndarray,
    metrics: Sequence[str],
    seed: int,
) -> np.ndarray:
    """Fill the official posterior score and the weighted KS score; return the latter's KS."""
    seed = derived_seed(seed, "posterior")
    if "adc2022_regular" in metrics:
        table["posterior_score"] = official.regular_track_scores(
            predictions, truths, low, high, seed
        )
        # The 2022 challenge's ranking has no spectral part.
        table["final_score"] = table["posterior_score"]
    else:
        table["posterior_score"] = official.posterior_scores(predictions, truths, low, high, seed)[
            0
        ]
    ks = np.full((len(table), len(low)), np.nan)
    for row, (prediction, truth) in enumerate(zip(predictions, truths, strict=True)):
        if len(truth[1]):
            (theta, weight), (true, true_weight) = prediction, truth
            score, ks[row] = weighted_ks_score(theta, weight, true, true_weight, low, high)
            table.loc[row, "weighted_ks_score"] = score
    return ks


def leaderboard(
    tables: Mapping[str, pd.DataFrame],
    *,
    target_names: Sequence[str],
    metrics: Sequence[str],
    seed: int,
    calibration: Mapping[str, pd.DataFrame],
) -> pd.DataFrame:
    """One row per model, best first, each score with its 95 % bootstrap interval over planets.

    Parameters
    ----------
    tables
        What :func:`score_planets` returned, by the row's name.
    target_names, metrics
        The edition's; with the metric ``r2`` the rows hold R² of the posterior mean by target.
    seed
        Seed of the bootstrap.
    calibration
        What :func:`arielflow.evaluation.calibration.calibrate_model` measured, by model; rows
        without it have no ``calibration_error``. It bears no interval: resampled planets repeat,
        which biases it.

    Returns
    -------
    pandas.DataFrame
        ``model``, the scores, each with ``_low`` and ``_high``, ``worst_planet`` and
        ``worst_planet_score`` (the lowest posterior score; blank without true posteriors), and
        ``calibration_error``.
    """
    build = _r2_row if "r2" in metrics else _score_row
    for name, table in tables.items():
        _tell_left_out(name, table)
    rows = [
        {"model": name}
        | build(table, list(target_names), derived_seed(seed, "bootstrap"))
        | _worst_planet(table)
        | {"calibration_error": _mean_calibration_error(calibration.get(name))}
        for name, table in tables.items()
    ]
    key = f"{R2_PREFIX}mean" if "r2" in metrics else "final_score"
    return pd.DataFrame(rows).sort_values(key, ascending=False, kind="stable", ignore_index=True)


def _tell_left_out(name: str, table: pd.DataFrame) -> None:
    """Log which of a row's scores are not means over all planets with a true theta."""
    known = table.filter(regex=f"^{_TRUE_PREFIX}").notna().all(axis=1)
    if not known.any():
        return
    for score in ("energy_score", "log_prob"):
        missing = table.loc[known & table[score].isna(), "planet_ID"]
        if 0 < len(missing) < known.sum():
            log.warning(
                "%s: %s is the mean of %d planets; %d have none: %s",
                name,
                score,
                known.sum() - len(missing),
                len(missing),
                listed(list(missing)),
            )


def _worst_planet(table: pd.DataFrame) -> dict[str, object]:
    """The planet with the lowest score, which a mean over planets hides."""
    scored = table.dropna(subset=["posterior_score"])
    if not len(scored):
        return {"worst_planet": None, "worst_planet_score": float("nan")}
    worst = scored.loc[scored["posterior_score"].idxmin()]
    return {
        "worst_planet": str(worst["planet_ID"]),
        "worst_planet_score": float(worst["posterior_score"]),
    }


def _mean_calibration_error(table: pd.DataFrame | None) -> float:
    if table is None:
        return float("nan")
    return float(table.loc[table["target"] != JOINT, "calibration_error"].mean())


def ks_by_target(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Mean KS distance to the truth: one row per model, one column per target.

    Parameters
    ----------
    tables
        As for :func:`leaderboard`; the result has no rows where no planet has a true posterior.
    """
    rows = []
    for name, table in tables.items():
        ks = table.filter(regex=f"^{KS_PREFIX}").mean()
        if len(ks):
            rows.append({"model": name} | ks.rename(lambda c: c.removeprefix(KS_PREFIX)).to_dict())
    return pd.DataFrame(rows, columns=None if rows else ["model"])


def _score_row(table: pd.DataFrame, target_names: list[str], seed: int) -> dict[str, float]:
    row: dict[str, float] = {}
    for score in SCORES:
        interval = bootstrap_interval(table[score].to_numpy(float), seed)
        row |= _with_interval(score, *interval)
    return row


def _r2_row(table: pd.DataFrame, target_names: list[str], seed: int) -> dict[str, float]:
    true = table[[_TRUE_PREFIX + name for name in target_names]].to_numpy()
    mean = table[[_MEAN_PREFIX + name for name in target_names]].to_numpy()
    # A rerun of the truth that failed has no mean; one such planet must not take R² from all.
    given = np.isfinite(true).all(axis=1) & np.isfinite(mean).all(axis=1)
    if given.any():
        true, mean = true[given], mean[given]

    def with_mean(rows: np.ndarray) -> np.ndarray:
        r2 = r2_score(true[rows], mean[rows])
        return np.append(r2, r2.mean())

    interval = bootstrap_statistic(with_mean, len(true), seed, n=500)
    row: dict[str, float] = {}
    ends = np.column_stack(interval)
    for name, (estimate, low, high) in zip([*target_names, "mean"], ends, strict=True):
        row |= _with_interval(R2_PREFIX + name, estimate, low, high)
    for score in ("energy_score", "log_prob"):
        row |= _with_interval(score, *bootstrap_interval(table[score].to_numpy(float), seed))
    return row


def _with_interval(
    name: str, estimate: float | np.ndarray, low: float | np.ndarray, high: float | np.ndarray
) -> dict[str, float]:
    return {name: float(estimate), f"{name}_low": float(low), f"{name}_high": float(high)}
