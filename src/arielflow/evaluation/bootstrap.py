"""Bootstrap confidence intervals over planets, by percentiles (Efron & Tibshirani 1993, ch. 13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from arielflow.core.errors import ArielflowError


class Interval(NamedTuple):
    """An estimate from all planets and the ends of its confidence interval."""

    estimate: float | np.ndarray
    low: float | np.ndarray
    high: float | np.ndarray


def bootstrap_interval(
    values: np.ndarray, seed: int, n: int = 2000, level: float = 0.95
) -> Interval:
    """Mean over planets of one number each, with its confidence interval.

    Parameters
    ----------
    values
        Scores, shape (planet,); NaN marks planets without a score, which are left out.
    seed
        Seed of the resampling of planets.
    n
        Number of resamples.
    level
        Probability that the interval holds the mean of the population, between 0 and 1.

    Returns
    -------
    Interval
        NaN throughout without a score; NaN ends with a single one, which says nothing of scatter.

    Raises
    ------
    ArielflowError
        ``values`` is not one-dimensional, or ``n`` or ``level`` is out of range.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1:
        raise ArielflowError(f"bootstrap: values have shape {values.shape}, expected (planet,)")
    scored = values[~np.isnan(values)]
    if not len(scored):
        _check_settings(n, level)
        return Interval(float("nan"), float("nan"), float("nan"))
    interval = bootstrap_statistic(lambda rows: scored[rows].mean(), len(scored), seed, n, level)
    return Interval(*map(float, interval))


def bootstrap_statistic(
    statistic: Callable[[np.ndarray], float | np.ndarray],
    n_planets: int,
    seed: int,
    n: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Any statistic of a set of planets with its confidence interval.

    Parameters
    ----------
    statistic
        Function of indices of planets (with repeats), returning a number or an array. Resamples on
        which it is NaN are left out.
    n_planets
        Number of planets.
    seed, n, level
        As for :func:`bootstrap_interval`.

    Returns
    -------
    Interval
        Estimate and ends, each of the shape that ``statistic`` returns.

    Raises
    ------
    ArielflowError
        There are no planets, or ``n`` or ``level`` is out of range.
    """
    _check_settings(n, level)
    if n_planets < 1:
        raise ArielflowError("bootstrap: no planets to resample; score at least one")
    estimate = np.asarray(statistic(np.arange(n_planets)), dtype=float)
    if n_planets == 1:
        return Interval(estimate, *np.full((2, *estimate.shape), np.nan))
    rng = np.random.default_rng(seed)
    resampled = np.stack(
        [statistic(rng.integers(n_planets, size=n_planets)) for _ in range(n)]
    ).astype(float)
    return Interval(estimate, *_percentiles(resampled, level))


def _percentiles(resampled: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    # Ranks, not interpolation: a mean log-probability may be −inf, and −inf − −inf is NaN.
    ordered = np.sort(resampled, axis=0)
    count = np.maximum((~np.isnan(ordered)).sum(axis=0), 1)
    tail = (1 - level) / 2
    low, high = (np.rint(share * (count - 1)).astype(int) for share in (tail, 1 - tail))
    ends = (np.take_along_axis(ordered, rank[np.newaxis], axis=0)[0] for rank in (low, high))
    return tuple(ends)


def _check_settings(n: int, level: float) -> None:
    if n < 1 or not 0 < level < 1:
        raise ArielflowError(
            f"bootstrap: {n} resamples at level {level}, expected n >= 1 and 0 < level < 1"
        )
