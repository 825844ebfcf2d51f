"""Scores beside the official ones, without their quirks and with better-founded properties.

The weighted KS score compares with a true posterior; energy score and log-probability are strictly
proper scoring rules of the forward model's own parameters (Gneiting & Raftery 2007, JASA 102, 359):
in expectation no posterior beats the exact one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from arielflow.core.errors import ArielflowError
from arielflow.core.samples import (
    check_weighted_samples,
    clip_to_box,
    scale_to_box,
    weighted_ks,
    weighted_quantiles,
)

_BLOCK = 512
# The histograms' grid spans this central share of each posterior; the rest counts at its ends.
_GRID_SHARE = 0.999


class WeightedKSScore(NamedTuple):
    """A score of one planet, 0…1000, and the KS distance of each target, shape (target,)."""

    score: float
    ks: np.ndarray


def weighted_ks_score(
    pred: np.ndarray,
    pred_weight: np.ndarray,
    true: np.ndarray,
    true_weight: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> WeightedKSScore:
    """1000·(1 − KS), averaged over the targets, from the exact weighted distribution functions.

    What the ADC2023 posterior score estimates with resampled and cut samples, without its scatter.

    Parameters
    ----------
    pred, pred_weight
        Predicted samples (n, target) and weights (n,).
    true, true_weight
        Reference samples (m, target) and weights (m,).
    low, high
        Official bounds, shape (target,), to which both are clipped.

    Raises
    ------
    ArielflowError
        Samples, weights or bounds are not valid or do not match.
    """
    pred, pred_weight = check_weighted_samples(pred, pred_weight, "predicted posterior")
    true, true_weight = check_weighted_samples(true, true_weight, "true posterior")
    ks = weighted_ks(
        clip_to_box(pred, low, high), pred_weight, clip_to_box(true, low, high), true_weight
    )
    return WeightedKSScore(float(1000 * np.mean(1 - ks)), ks)


def bhattacharyya(
    first: np.ndarray,
    first_weight: np.ndarray,
    second: np.ndarray,
    second_weight: np.ndarray,
    *,
    n_bins: int = 30,
) -> np.ndarray:
    """Bhattacharyya coefficient Σ √(p q) of two posteriors' histograms in each target.

    The overlap by which Himes et al. (2022, PSJ 3, 91) judge a retrieval with a surrogate: 1 for
    equal histograms, 0 for disjoint ones. Samples of one and the same posterior fall short of 1 by
    about n_bins/8 (1/n + 1/m), so compare with such a pair.

    Parameters
    ----------
    first, first_weight
        Samples (n, target) and weights (n,).
    second, second_weight
        Samples (m, target) and weights (m,).
    n_bins
        Equal bins of the grid that both share in a target.

    Returns
    -------
    numpy.ndarray
        Coefficients, shape (target,); NaN where all samples are one value.

    Raises
    ------
    ArielflowError
        Samples or weights are not valid, their targets differ, or there are no bins.
    """
    posteriors = [
        check_weighted_samples(first, first_weight, "first posterior"),
        check_weighted_samples(second, second_weight, "second posterior"),
    ]
    n_targets = {theta.shape[1] for theta, _ in posteriors}
    if len(n_targets) > 1 or n_bins < 1:
        raise ArielflowError(
            f"Bhattacharyya coefficient: posteriors of {' and '.join(map(str, n_targets))} targets "
            f"in {n_bins} bins; expected the same targets and at least one bin"
        )
    tail = (1 - _GRID_SHARE) / 2
    ends = np.array([weighted_quantiles(*pair, [tail, 1 - tail]) for pair in posteriors])
    low, high = ends[:, 0].min(axis=0), ends[:, 1].max(axis=0)
    coefficients = np.full(len(low), np.nan)
    for target in np.flatnonzero(high > low):
        span = low[target], high[target]
        shares = [
            np.histogram(np.clip(theta[:, target], *span), n_bins, span, weights=weight)[0]
            for theta, weight in posteriors
        ]
        coefficients[target] = np.sum(np.sqrt(np.prod(shares, axis=0)))
    return coefficients


def energy_score(
    theta: np.ndarray,
    weight: np.ndarray,
    theta_true: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> float:
    """Energy score of a posterior at the true parameters; lower is better, 0 is perfect.

    E‖X − θ‖ − ½ E‖X − X'‖ with X, X' drawn independently from the weighted samples, in units of
    the bounds: a multivariate generalisation of the CRPS, which marks down a posterior for wrong
    place, width and correlations alike.

    Parameters
    ----------
    theta, weight
        Samples (sample, target) and weights (sample,).
    theta_true
        The forward model's parameters, shape (target,); NaN in any of them gives NaN.
    low, high
        Bounds that scale the targets, shape (target,); nothing is clipped to them.

    Raises
    ------
    ArielflowError
        Samples, weights, bounds or truth are not valid or do not match.
    """
    theta, weight = check_weighted_samples(theta, weight)
    theta_true = np.asarray(theta_true, dtype=float)
    if theta_true.shape != theta.shape[1:]:
        raise ArielflowError(
            f"energy score: the truth has shape {theta_true.shape}, expected ({theta.shape[1]},)"
        )
    if np.isnan(theta_true).any():
        return float("nan")
    scaled = scale_to_box(theta, low, high)
    error = weight @ np.linalg.norm(scaled - scale_to_box(theta_true, low, high), axis=1)
    # Blocks keep the memory of the pairwise distances small.
    spread = sum(
        weight[start : start + _BLOCK] @ cdist(scaled[start : start + _BLOCK], scaled) @ weight
        for start in range(0, len(scaled), _BLOCK)
    )
    return float(error - 0.5 * spread)


def r2_score(theta_true: np.ndarray, theta_mean: np.ndarray) -> np.ndarray:
    """Coefficient of determination of the posterior means in each target, shape (target,).

    Parameters
    ----------
    theta_true
        True parameters, shape (planet, target); NaN where unknown, which leaves the entry out.
    theta_mean
        Posterior means, shape (planet, target).

    Returns
    -------
    numpy.ndarray
        1 is perfect, 0 no better than the mean of the truth; NaN where fewer than two distinct
        truths are known.

    Raises
    ------
    ArielflowError
        Shapes differ or a mean is not finite.
    """
    theta_true, theta_mean = (
        np.asarray(values, dtype=float) for values in (theta_true, theta_mean)
    )
    if theta_true.shape != theta_mean.shape or theta_true.ndim != 2:
        raise ArielflowError(
            f"R²: truth has shape {theta_true.shape}, means {theta_mean.shape}, expected the same "
            "(planet, target)"
        )
    if not np.isfinite(theta_mean).all():
        raise ArielflowError("R²: a posterior mean is not finite; check the samples")
    known = np.isfinite(theta_true)
    count = known.sum(axis=0)
    truth = np.where(known, theta_true, 0.0)
    average = truth.sum(axis=0) / np.maximum(count, 1)
    scatter = np.sum(np.where(known, truth - average, 0.0) ** 2, axis=0)
    residual = np.sum(np.where(known, truth - theta_mean, 0.0) ** 2, axis=0)
    unexplained = np.full(len(count), np.nan)
    np.divide(residual, scatter, out=unexplained, where=scatter > 0)
    return 1 - unexplained
