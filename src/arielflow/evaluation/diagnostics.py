"""Calibration of posteriors over many planets whose true parameters are known.

If the truths are drawn from the prior and every posterior is conditioned on data with their noise,
exact posteriors are calibrated: the truth's rank among the samples is uniform (Cook et al. 2006;
Talts et al. 2018, arXiv:1804.06788), so central intervals of a nominal level hold the truth in
that share of the planets (expected coverage, Hermans et al. 2022, TMLR, arXiv:2110.06581), and so
do the regions around random points of TARP (Lemos et al. 2023, ICML, arXiv:2302.03026).
Calibration does not make a posterior good: the prior itself is calibrated, only not sharp.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import kstest

from arielflow.core.errors import ArielflowError
from arielflow.core.samples import WeightedSamples, check_weighted_samples

LEVELS = np.linspace(0.05, 0.95, 19)
"""Nominal coverages of the curves."""


def rank_statistics(
    samples: Sequence[WeightedSamples], theta_true: np.ndarray, seed: int
) -> np.ndarray:
    """Rank of the truth among the posterior's samples in every target, between 0 and 1.

    For n samples of equal weight, (k + u)/(n + 1) with k samples below the truth and u a uniform
    number, which is uniform for an exact posterior whatever n is; weighted samples count as
    their effective number. Samples equal to the truth (at the prior's edge) are ranked at random.

    Parameters
    ----------
    samples
        Samples (sample, target) and weights (sample,) a planet.
    theta_true
        True parameters, shape (planet, target), in the samples' units; NaN where unknown.
    seed
        Seed of the random numbers.

    Returns
    -------
    numpy.ndarray
        Ranks, shape (planet, target); NaN where the truth is unknown.

    Raises
    ------
    ArielflowError
        Samples or weights are not valid or do not match the truth.
    """
    rng = np.random.default_rng(seed)
    checked, theta_true = _check_pairs(samples, theta_true)
    ranks = [
        _random_rank(theta, weight, true, rng)
        for (theta, weight), true in zip(checked, theta_true, strict=True)
    ]
    return np.where(np.isnan(theta_true), np.nan, ranks)


def _random_rank(
    values: np.ndarray, weight: np.ndarray, true: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Randomised rank of ``true`` (column,) among weighted ``values`` (sample, column)."""
    # The truth itself is one more sample, as heavy as one of n effective ones.
    own = np.sum(weight**2)
    tied = weight @ (values == true) + own
    rank: np.ndarray = (weight @ (values < true) + rng.random(np.shape(true)) * tied) / (1 + own)
    return rank


def tarp_ranks(
    samples: Sequence[WeightedSamples],
    theta_true: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Share of each posterior that is nearer to a random point than the truth is (TARP).

    Lemos et al. 2023, algorithm 2: uniform reference points in the prior's box, Euclidean
    distances in units of the box. Uniform over the planets for an exact posterior; unlike the
    ranks of single targets it sees wrong correlations.

    Parameters
    ----------
    samples
        Samples (sample, target) and weights (sample,) a planet.
    theta_true
        True parameters, shape (planet, target); a planet with a NaN gets NaN.
    low, high
        Edges of the planets' priors, shape (planet, target).
    seed
        Seed of the reference points.

    Returns
    -------
    numpy.ndarray
        Shares between 0 and 1, shape (planet,).

    Raises
    ------
    ArielflowError
        Samples, weights or edges are not valid or do not match the truth.
    """
    rng = np.random.default_rng(seed)
    checked, theta_true = _check_pairs(samples, theta_true)
    low, high = _check_edges(low, high, theta_true.shape)
    ranks = np.full(len(checked), np.nan)
    for row, (theta, weight) in enumerate(checked):
        reference = low[row] + (high[row] - low[row]) * rng.random(theta.shape[1])
        distance, true_distance = (
            np.linalg.norm((points - reference) / (high[row] - low[row]), axis=-1)
            for points in (theta, theta_true[row])
        )
        if np.isfinite(true_distance):
            ranks[row] = _random_rank(distance[:, None], weight, true_distance[None], rng)[0]
    return ranks


def uniformity_p_value(ranks: np.ndarray) -> np.ndarray:
    """p-value of the Kolmogorov–Smirnov test of ranks against the uniform distribution.

    Parameters
    ----------
    ranks
        Shape (planet,) or (planet, target); NaN entries are left out.

    Returns
    -------
    numpy.ndarray
        Shape () or (target,); small where the posterior is not calibrated, NaN without any rank.
    """
    return np.apply_along_axis(_uniformity, 0, np.asarray(ranks, dtype=float))


def _uniformity(ranks: np.ndarray) -> float:
    known = ranks[~np.isnan(ranks)]
    return float(kstest(known, "uniform").pvalue) if len(known) else float("nan")


def central_coverage(ranks: np.ndarray, levels: np.ndarray = LEVELS) -> np.ndarray:
    """Expected coverage: share of planets whose truth lies in the central interval of a level.

    The central interval of level α reaches from the (1 − α)/2 to the (1 + α)/2 quantile, and holds
    the truth where |2·rank − 1| ≤ α.

    Parameters
    ----------
    ranks
        What :func:`rank_statistics` returned, shape (planet, target); NaN entries are left out.
    levels
        Nominal coverages between 0 and 1, shape (level,).

    Returns
    -------
    numpy.ndarray
        Shape (level, target); NaN in targets without any known truth.
    """
    return _share_below(np.abs(2 * np.asarray(ranks, dtype=float) - 1), levels)


def tarp_coverage(ranks: np.ndarray, levels: np.ndarray = LEVELS) -> np.ndarray:
    """Expected coverage of TARP's regions: the balls around the random points that hold α.

    Parameters
    ----------
    ranks
        What :func:`tarp_ranks` returned, shape (planet,); NaN entries are left out.
    levels
        Nominal coverages α between 0 and 1, shape (level,).

    Returns
    -------
    numpy.ndarray
        Shape (level,); NaN without any known truth. An over-confident posterior lies above the
        diagonal at small levels and below it at large ones.
    """
    return _share_below(np.asarray(ranks, dtype=float), levels)


def _share_below(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    inside = np.stack([(values <= level).sum(axis=0) for level in levels]).astype(float)
    share = np.full(inside.shape, np.nan)
    np.divide(inside, count, out=share, where=count > 0)
    return share


def calibration_error(coverage: np.ndarray, levels: np.ndarray = LEVELS) -> float:
    """Mean over targets and levels of |expected − nominal coverage|; lower is better.

    (1/T) Σ_t (1/L) Σ_l |C_t(α_l) − α_l|: the mean absolute calibration error of Chung et al.
    (2021, arXiv:2109.10254, section 3), averaged over the targets. Between 0 and about ½; few
    planets give an exact posterior :func:`exact_calibration_error`, not 0.

    Parameters
    ----------
    coverage
        Expected coverage, shape (level,) or (level, target); targets with NaN are left out.
    levels
        Nominal coverages, shape (level,).

    Returns
    -------
    float
        NaN if every target is.

    Raises
    ------
    ArielflowError
        There is not one row a level.
    """
    columns = np.asarray(coverage, dtype=float)
    columns = columns.reshape(len(columns), -1)
    if len(columns) != len(levels):
        raise ArielflowError(
            f"calibration error: {len(columns)} rows of coverage for {len(levels)} levels; give "
            "the levels that the coverage was made for"
        )
    errors = np.abs(columns - np.asarray(levels)[:, None]).mean(axis=0)
    known = errors[~np.isnan(errors)]
    return float(known.mean()) if len(known) else float("nan")


def exact_calibration_error(n_planets: int) -> float:
    """Calibration error that exact posteriors of ``n_planets`` show on average, √(2π/n)/8.

    The mean of |binomial share − α|, √(2 α(1 − α)/(π n)) for many planets, over all levels α.
    """
    return float(np.sqrt(2 * np.pi / n_planets) / 8)


def sharpness(samples: Sequence[WeightedSamples], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Mean standard deviation of the posteriors over that of the uniform prior, by target.

    Parameters
    ----------
    samples
        Samples (sample, target) and weights (sample,) a planet.
    low, high
        Edges of the planets' priors, shape (planet, target), whose standard deviation is
        (high − low)/√12.

    Returns
    -------
    numpy.ndarray
        Shape (target,); 1 as wide as the prior, 0 a point. Smaller is better among calibrated
        posteriors only.

    Raises
    ------
    ArielflowError
        Samples, weights or edges are not valid or do not match.
    """
    low, high = _check_edges(low, high, np.shape(low))
    checked, _ = _check_pairs(samples, low)
    deviation = [np.sqrt(weight @ (theta - weight @ theta) ** 2) for theta, weight in checked]
    mean: np.ndarray = np.mean(np.sqrt(12) * np.array(deviation) / (high - low), axis=0)
    return mean


def _check_pairs(
    samples: Sequence[WeightedSamples], theta_true: np.ndarray
) -> tuple[list[WeightedSamples], np.ndarray]:
    theta_true = np.asarray(theta_true, dtype=float)
    checked = [check_weighted_samples(*pair) for pair in samples]
    shapes = {theta.shape[1] for theta, _ in checked}
    if theta_true.ndim != 2 or len(checked) != len(theta_true) or shapes != {theta_true.shape[1]}:
        raise ArielflowError(
            f"calibration: {len(checked)} posteriors of {sorted(shapes)} targets for values of "
            f"shape {theta_true.shape}; expected at least one planet and the same planets and "
            "targets, shape (planet, target)"
        )
    return checked, theta_true


def _check_edges(
    low: np.ndarray, high: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    if low.shape != shape or high.shape != shape or not (low < high).all():
        raise ArielflowError(
            f"calibration: edges of the prior have shapes {low.shape} and {high.shape}, expected "
            f"low < high, both {shape}"
        )
    return low, high
