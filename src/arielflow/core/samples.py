"""Tools for weighted posterior samples: check, clip, resample, choose, summarise, mix, thin.

Everywhere ``theta`` holds the samples, shape (sample, target), and ``weight`` their statistical
weights, shape (sample,), which need not be normalised on input.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arielflow.core.errors import ArielflowError

WeightedSamples = tuple[np.ndarray, np.ndarray]
"""Samples (sample, target) and their weights (sample,)."""


def check_weighted_samples(
    theta: np.ndarray, weight: np.ndarray, name: str = "posterior"
) -> WeightedSamples:
    """Check weighted samples and return them as floats with weights that sum to one.

    Parameters
    ----------
    theta
        Samples, shape (sample, target).
    weight
        Weights, shape (sample,).
    name
        What the samples are, for the error message.

    Raises
    ------
    ArielflowError
        The shapes do not match, there are no samples, a sample or weight is not finite, a weight
        is negative, or all weights are zero.
    """
    theta = np.asarray(theta, dtype=float)
    if theta.ndim != 2 or not len(theta):
        raise ArielflowError(
            f"{name}: samples have shape {theta.shape}, expected (sample, target) with at least "
            "one sample; check the file that holds them"
        )
    weight = _check_weight(weight, name)
    if len(weight) != len(theta):
        raise ArielflowError(
            f"{name}: {len(weight)} weights for {len(theta)} samples; one weight a sample is needed"
        )
    if not np.isfinite(theta).all():
        bad = int((~np.isfinite(theta)).any(axis=1).sum())
        raise ArielflowError(
            f"{name}: {bad} of {len(theta)} samples are not finite; drop them or make them again"
        )
    return theta, weight


def _check_weight(weight: np.ndarray, name: str) -> np.ndarray:
    weight = np.asarray(weight, dtype=float)
    if weight.ndim != 1:
        raise ArielflowError(f"{name}: weights have shape {weight.shape}, expected (sample,)")
    if not np.isfinite(weight).all() or (weight < 0).any():
        bad = int((~(np.isfinite(weight) & (weight >= 0))).sum())
        raise ArielflowError(
            f"{name}: {bad} of {len(weight)} weights are negative or not finite, expected weights "
            ">= 0; check what made them"
        )
    largest = weight.max(initial=0.0)
    if largest == 0:
        raise ArielflowError(f"{name}: no weight is above zero; check what made them")
    # Scaled first: the sum of raw likelihood weights may overflow or be denormal.
    scaled: np.ndarray = weight / largest
    shares: np.ndarray = scaled / scaled.sum()
    return shares


def check_box(low: np.ndarray, high: np.ndarray, n_targets: int) -> tuple[np.ndarray, np.ndarray]:
    """Check a box's edges, shape (target,), and return them as floats.

    Raises
    ------
    ArielflowError
        The edges are not ``n_targets`` finite pairs with ``low < high``.
    """
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    if low.shape != (n_targets,) or high.shape != (n_targets,):
        raise ArielflowError(
            f"box: edges have shapes {low.shape} and {high.shape}, expected ({n_targets},) as the "
            "samples have targets; give the bounds of the same edition"
        )
    if not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
        raise ArielflowError(
            f"box: low {low} must lie below high {high} in every target and both be finite"
        )
    return low, high


def clip_to_box(theta: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Samples moved onto the nearest face of the box where they lie outside it.

    Parameters
    ----------
    theta
        Samples, shape (sample, target).
    low, high
        Edges of the box, shape (target,).

    Raises
    ------
    ArielflowError
        The box is not valid for these samples.
    """
    low, high = check_box(low, high, theta.shape[-1])
    clipped: np.ndarray = np.clip(theta, low, high)
    return clipped


def scale_to_box(theta: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Samples in units of the box: its lower edge is 0, its upper edge 1; nothing is clipped.

    Parameters and errors are those of :func:`clip_to_box`.
    """
    low, high = check_box(low, high, theta.shape[-1])
    unit: np.ndarray = (theta - low) / (high - low)
    return unit


def systematic_indices(weight: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Ascending indices (n,) of a systematic resampling; index i occurs n·w_i times, ± 1.

    One uniform number places an even comb of n teeth on the cumulated weights (Hol, Schön &
    Gustafsson 2006, "On resampling algorithms for particle filters").

    Raises
    ------
    ArielflowError
        ``n`` is below one, or the weights are not valid.
    """
    if n < 1:
        raise ArielflowError(f"resampling: {n} samples asked for, expected at least 1")
    cumulated = np.cumsum(_check_weight(weight, "resampling"))
    # Round-off must not push the last tooth past the last sample that has any weight.
    teeth = np.minimum((rng.random() + np.arange(n)) / n, np.nextafter(1.0, 0.0))
    return np.searchsorted(cumulated / cumulated[-1], teeth, side="right")


def resample(theta: np.ndarray, weight: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """``n`` equally weighted samples, shape (n, target), in the order of the given ones.

    Parameters
    ----------
    theta, weight
        Weighted samples, shapes (sample, target) and (sample,).
    n
        How many samples to return.
    rng
        Source of the one random number that systematic resampling needs.

    Raises
    ------
    ArielflowError
        The samples or weights are not valid, or ``n`` is below one.
    """
    theta, weight = check_weighted_samples(theta, weight)
    drawn: np.ndarray = theta[systematic_indices(weight, n, rng)]
    return drawn


def choose_weighted(
    weight: np.ndarray, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """At most ``n`` samples, none of them twice, that stand for all of them without bias.

    Samples of large weights are kept with these. Of the others some are drawn, each of which gets
    the same weight, the threshold that tells large from small (Fearnhead & Clifford 2003, J. R.
    Stat. Soc. B 65, 887): every sample's expected weight is its own, and no other unbiased choice
    changes weights less.

    Parameters
    ----------
    weight
        Weights, shape (sample,).
    n
        The most samples to choose.
    rng
        Source of the one random number that drawing the others needs.

    Returns
    -------
    indices, weight : numpy.ndarray
        Which samples, ascending, and their new weights, which sum to one; samples without weight
        are left out.

    Raises
    ------
    ArielflowError
        The weights are not valid, or ``n`` is below one.
    """
    if n < 1:
        raise ArielflowError(f"choosing: {n} samples asked for, expected at least 1")
    weight = _check_weight(weight, "choosing")
    found = np.flatnonzero(weight)
    if len(found) <= n:
        return found, weight[found]
    order = found[np.argsort(-weight[found], kind="stable")]
    largest = weight[order[:n]]
    rest = np.maximum(1 - np.append(0, np.cumsum(largest[:-1])), 0)
    thresholds = rest / np.arange(n, 0, -1)
    # Rounding aside, the last of n is always below: the smallest left are its threshold's parts.
    n_kept = int(np.argmax(largest <= thresholds)) if (largest <= thresholds).any() else n - 1
    small = np.sort(order[n_kept:])
    drawn = small[systematic_indices(weight[small], n - n_kept, rng)]
    indices = np.append(order[:n_kept], drawn)
    share = weight[small].sum() / (n - n_kept)
    chosen = np.append(largest[:n_kept], np.full(len(drawn), share))
    ascending = np.argsort(indices, kind="stable")
    return indices[ascending], chosen[ascending]


def effective_sample_size(weight: np.ndarray) -> float:
    """Kish's effective number of samples, (Σw)²/Σw², between 1 and the number of samples.

    Raises
    ------
    ArielflowError
        The weights are not valid.
    """
    return float(1 / np.sum(_check_weight(weight, "effective sample size") ** 2))


def weighted_quantiles(
    theta: np.ndarray, weight: np.ndarray, probabilities: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Marginal quantiles of weighted samples, shape (quantile, target).

    The cumulated weight is interpolated linearly between the sorted samples, the definition with
    which TauREx made the challenge's quartile tables (Al-Refaie et al. 2021, ApJ 917, 37).

    Parameters
    ----------
    theta, weight
        Weighted samples, shapes (sample, target) and (sample,).
    probabilities
        Levels between 0 and 1, shape (quantile,).

    Raises
    ------
    ArielflowError
        The samples or weights are not valid, or a level lies outside 0…1.
    """
    theta, weight = check_weighted_samples(theta, weight)
    probabilities = np.asarray(probabilities, dtype=float)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ArielflowError(f"quantiles: levels {probabilities} must lie between 0 and 1")
    # Samples without weight would otherwise set the quantiles at the ends.
    theta, weight = theta[weight > 0], weight[weight > 0]
    order = np.argsort(theta, axis=0, kind="stable")
    columns = [
        np.interp(probabilities, np.cumsum(weight[rows]), column[rows])
        for rows, column in zip(order.T, theta.T, strict=True)
    ]
    return np.stack(columns, axis=-1)


def weighted_ks(
    first: np.ndarray, first_weight: np.ndarray, second: np.ndarray, second_weight: np.ndarray
) -> np.ndarray:
    """Kolmogorov–Smirnov distance of two sets of weighted samples in each target.

    The largest difference between the two exact weighted empirical distribution functions.

    Parameters
    ----------
    first, second
        Samples, shapes (n, target) and (m, target).
    first_weight, second_weight
        Weights, shapes (n,) and (m,).

    Returns
    -------
    numpy.ndarray
        Distances between 0 and 1, shape (target,).

    Raises
    ------
    ArielflowError
        Samples or weights are not valid, or the numbers of targets differ.
    """
    first, first_weight = check_weighted_samples(first, first_weight, "first sample")
    second, second_weight = check_weighted_samples(second, second_weight, "second sample")
    if first.shape[1] != second.shape[1]:
        raise ArielflowError(
            f"KS distance: {first.shape[1]} targets against {second.shape[1]}; compare posteriors "
            "of the same edition"
        )
    signed_weight = np.concatenate([first_weight, -second_weight])
    distances = np.empty(first.shape[1])
    for target in range(first.shape[1]):
        values = np.concatenate([first[:, target], second[:, target]])
        order = np.argsort(values)
        values = values[order]
        # Distribution functions step at a value only once all samples tied at it are counted.
        ends = np.append(values[1:] != values[:-1], True)
        distances[target] = np.abs(np.cumsum(signed_weight[order])[ends]).max()
    return np.minimum(distances, 1.0)


def mix(
    members: Sequence[WeightedSamples],
    n: int,
    seed: int | np.random.Generator,
    shares: Sequence[float] | np.ndarray | None = None,
) -> np.ndarray:
    """The mixture of several posteriors as ``n`` equally weighted samples.

    Parameters
    ----------
    members
        Weighted samples of each member of an ensemble; a member counts by its share, however many
        samples it brings.
    n
        How many samples to return.
    seed
        Seed or generator; the same seed gives the same samples.
    shares
        Weight of every member; equal if left out.

    Returns
    -------
    numpy.ndarray
        Samples in random order, shape (n, target).

    Raises
    ------
    ArielflowError
        There are no members, one is not valid, or their numbers of targets differ.
    """
    if not members:
        raise ArielflowError("mixture: no members given; an ensemble needs at least one")
    rng = np.random.default_rng(seed)
    checked = [
        check_weighted_samples(theta, weight, f"member {index}")
        for index, (theta, weight) in enumerate(members)
    ]
    if len({theta.shape[1] for theta, _ in checked}) > 1:
        raise ArielflowError(
            f"mixture: members have {[theta.shape[1] for theta, _ in checked]} targets; mix models "
            "of the same edition"
        )
    shares = np.ones(len(checked)) if shares is None else shares
    theta = np.concatenate([samples for samples, _ in checked])
    weight = np.concatenate([s * w for s, (_, w) in zip(shares, checked, strict=True)])
    return rng.permutation(resample(theta, weight, n, rng))


def thin(
    theta: np.ndarray, weight: np.ndarray, n: int, seed: int | np.random.Generator
) -> WeightedSamples:
    """At most ``n`` weighted samples: the given ones if they are few enough, else a resampling.

    Parameters
    ----------
    theta, weight
        Weighted samples, shapes (sample, target) and (sample,).
    n
        The most samples to keep.
    seed
        Seed or generator.

    Returns
    -------
    theta, weight : numpy.ndarray
        Samples and weights that sum to one.

    Raises
    ------
    ArielflowError
        The samples or weights are not valid, or ``n`` is below one.
    """
    theta, weight = check_weighted_samples(theta, weight)
    if len(theta) <= n:
        return theta, weight
    return resample(theta, weight, n, np.random.default_rng(seed)), np.full(n, 1 / n)
