"""The official metrics of the Ariel Data Challenges of 2022 and 2023.

They follow the challenge's published scoring code, its quirks included, so that the numbers can be
compared with the leaderboards; see :mod:`arielflow.evaluation.better_scores` for metrics without
the quirks. The only liberty taken is that every random draw is seeded. Targets are columns in the
same order in samples and bounds; which target is which makes no difference here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.samples import (
    WeightedSamples,
    check_weighted_samples,
    clip_to_box,
    resample,
    scale_to_box,
    weighted_ks,
)

POSTERIOR_SHARE = 0.8
"""Part of the posterior score in the final score of 2023; the rest is the spectral score's."""

_SPECTRUM_PROBABILITIES = np.linspace(0.01, 0.99, 10)
_SMALLEST_DEPTH, _LARGEST_DEPTH = 1e-8, 0.1
_EMD_ITERATIONS = 10_000_000

Seed = int | np.random.SeedSequence | np.random.Generator


class PosteriorScore(NamedTuple):
    """A score of one planet, 0…1000, and the KS distance of each target, shape (target,)."""

    score: float
    ks: np.ndarray


class SpectralSummary(NamedTuple):
    """Median spectrum of a posterior and its interquartile width, both (wavelength,), depths."""

    median: np.ndarray
    bound: np.ndarray


def _check_pair(
    pred: np.ndarray, pred_weight: np.ndarray, true: np.ndarray, true_weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    pred, pred_weight = check_weighted_samples(pred, pred_weight, "predicted posterior")
    true, true_weight = check_weighted_samples(true, true_weight, "true posterior")
    if pred.shape[1] != true.shape[1]:
        raise ArielflowError(
            f"score: the prediction has {pred.shape[1]} targets, the truth {true.shape[1]}; "
            "compare posteriors of the same edition"
        )
    return pred, pred_weight, true, true_weight


def posterior_score(
    pred: np.ndarray,
    pred_weight: np.ndarray,
    true: np.ndarray,
    true_weight: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    seed: Seed,
) -> PosteriorScore:
    """ADC2023 posterior score of one planet: 1000·(1 − KS), averaged over the targets.

    Both sets of samples are resampled to equal weight and clipped to the bounds; then the truth is
    cut, or repeated from its start, to the prediction's length, as the official code does.

    Parameters
    ----------
    pred, pred_weight
        Predicted samples (n, target) and weights (n,).
    true, true_weight
        Reference samples (m, target) and weights (m,).
    low, high
        Official bounds of the targets, shape (target,).
    seed
        Seed of the resampling; the score varies by about one point between seeds.

    Raises
    ------
    ArielflowError
        Samples, weights or bounds are not valid or do not match.
    """
    pred, pred_weight, true, true_weight = _check_pair(pred, pred_weight, true, true_weight)
    rng = np.random.default_rng(seed)
    pred = clip_to_box(resample(pred, pred_weight, len(pred), rng), low, high)
    true = clip_to_box(resample(true, true_weight, len(true), rng), low, high)
    true = true[np.arange(len(pred)) % len(true)]
    equal = np.full(len(pred), 1 / len(pred))
    ks = weighted_ks(pred, equal, true, equal)
    return PosteriorScore(float(1000 * np.mean(1 - ks)), ks)


def posterior_scores(
    predictions: Sequence[WeightedSamples],
    truths: Sequence[WeightedSamples],
    low: np.ndarray,
    high: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """ADC2023 posterior score of every planet; the official score is its mean over planets.

    Parameters
    ----------
    predictions, truths
        Samples and weights of each planet, in the same order. A planet whose truth has no samples
        is scored NaN: the challenge leaves it out.
    low, high
        Official bounds of the targets, shape (target,).
    seed
        Seed from which each planet's own is drawn.

    Returns
    -------
    score : numpy.ndarray
        Scores, shape (planet,).
    ks : numpy.ndarray
        KS distances, shape (planet, target).

    Raises
    ------
    ArielflowError
        The numbers of planets differ, or a planet's samples are not valid.
    """
    score = np.full(len(predictions), np.nan)
    ks = np.full((len(predictions), len(low)), np.nan)
    for planet, pred, true, planet_seed in _annotated(predictions, truths, seed):
        score[planet], ks[planet] = posterior_score(*pred, *true, low, high, planet_seed)
    return score, ks


def _annotated(
    predictions: Sequence[WeightedSamples], truths: Sequence[WeightedSamples], seed: int
) -> list[tuple[int, WeightedSamples, WeightedSamples, np.random.SeedSequence]]:
    """Index, prediction, truth and seed of each planet that has a truth."""
    if len(predictions) != len(truths):
        raise ArielflowError(
            f"score: {len(predictions)} planets predicted, {len(truths)} true posteriors; give one "
            "truth a planet, empty where there is none"
        )
    seeds = np.random.SeedSequence(seed).spawn(len(truths))
    planets = zip(range(len(truths)), predictions, truths, seeds, strict=True)
    return [planet for planet in planets if len(planet[2][1])]


def spectral_summary(
    theta: np.ndarray,
    weight: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    forward: Callable[[np.ndarray], np.ndarray],
    seed: Seed,
) -> SpectralSummary:
    """Median and width of the spectra of ten samples of a posterior, as ADC2023 takes them.

    The resampled trace is re-ordered by the rank of the *original* weights and the samples stand
    at even fractions of its length, where the spectra of two neighbours are interpolated.

    Parameters
    ----------
    theta, weight
        Samples (n, target) and weights (n,).
    low, high
        Official bounds of the targets, shape (target,).
    forward
        Forward model of the planet: samples (n, target) to transit depths (n, wavelength).
    seed
        Seed of the resampling.

    Raises
    ------
    ArielflowError
        Samples, weights or bounds are not valid, or the forward model returns another shape.
    """
    theta, weight = check_weighted_samples(theta, weight)
    rng = np.random.default_rng(seed)
    rank = np.argsort(weight, kind="stable")
    theta = resample(clip_to_box(theta, low, high), weight, len(theta), rng)[rank]
    position = _SPECTRUM_PROBABILITIES * (len(theta) - 1)
    left = position.astype(int)
    fraction = (position - left)[:, np.newaxis]
    right = np.minimum(left + 1, len(theta) - 1)
    spectra = np.asarray(forward(theta[np.concatenate([left, right])]), dtype=float)
    if spectra.ndim != 2 or len(spectra) != 2 * len(left):
        raise ArielflowError(
            f"spectral score: the forward model returned shape {spectra.shape}, expected "
            f"({2 * len(left)}, wavelength)"
        )
    before, after = np.split(spectra, 2)
    with np.errstate(invalid="ignore"):  # inf - inf; what is not finite is replaced below
        # A neighbour without weight must not spoil the spectrum should it be NaN.
        spectra = np.where(fraction == 0, before, (1 - fraction) * before + fraction * after)
        quartiles = np.quantile(spectra, [0.25, 0.5, 0.75], axis=0)
    finite = np.where(np.isfinite(quartiles), quartiles, _LARGEST_DEPTH)
    lower, median, upper = np.clip(finite, _SMALLEST_DEPTH, _LARGEST_DEPTH)
    return SpectralSummary(median, upper - lower + _SMALLEST_DEPTH)


def compare_spectra(predicted: SpectralSummary, true: SpectralSummary) -> float:
    """ADC2023 spectral score, 0…1000, of one planet from the summaries of its spectra.

    Parameters
    ----------
    predicted, true
        Median spectra and widths, each (wavelength,), transit depths.

    Raises
    ------
    ArielflowError
        Shapes differ or a value is not finite and positive.
    """
    arrays = [np.asarray(values, dtype=float) for values in (*predicted, *true)]
    if len({values.shape for values in arrays}) > 1:
        raise ArielflowError(
            f"spectral score: medians and widths have shapes {[v.shape for v in arrays]}, expected "
            "the same; use one wavelength grid"
        )
    if not all(np.all(np.isfinite(values) & (values > 0)) for values in arrays):
        raise ArielflowError("spectral score: a depth is not finite and positive; clip spectra")
    median, bound, true_median, true_bound = arrays
    losses = _logarithmic_loss(median, true_median), _logarithmic_loss(bound, true_bound)
    return max(0.0, float(1000 - np.mean(losses)))


def _logarithmic_loss(predicted: np.ndarray, true: np.ndarray) -> float:
    """100 times the absolute error in log10, or the squared one if the means are 10-fold apart."""
    error = np.log10(predicted) - np.log10(true)
    if abs(np.log10(predicted.mean() / true.mean())) >= 1:
        return float(100 * np.mean(error**2))
    return float(100 * np.mean(np.abs(error)))


def spectral_score(
    pred: np.ndarray,
    pred_weight: np.ndarray,
    true: np.ndarray,
    true_weight: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    forward: Callable[[np.ndarray], np.ndarray],
    seed: Seed,
) -> float:
    """ADC2023 spectral score of one planet, 0…1000.

    Parameters and errors are those of :func:`posterior_score` and :func:`spectral_summary`.
    """
    pred, pred_weight, true, true_weight = _check_pair(pred, pred_weight, true, true_weight)
    rng = np.random.default_rng(seed)
    return compare_spectra(
        spectral_summary(pred, pred_weight, low, high, forward, rng),
        spectral_summary(true, true_weight, low, high, forward, rng),
    )


def spectral_scores(
    predictions: Sequence[WeightedSamples],
    truths: Sequence[WeightedSamples],
    low: np.ndarray,
    high: np.ndarray,
    forward: Callable[[int, np.ndarray], np.ndarray],
    seed: int,
) -> np.ndarray:
    """ADC2023 spectral score of every planet, shape (planet,); NaN where there is no truth.

    Parameters
    ----------
    predictions, truths, low, high, seed
        As for :func:`posterior_scores`.
    forward
        Forward model: index of the planet and samples (n, target) to depths (n, wavelength).

    Raises
    ------
    ArielflowError
        The numbers of planets differ, or a planet's samples are not valid.
    """
    score = np.full(len(predictions), np.nan)
    for planet, pred, true, planet_seed in _annotated(predictions, truths, seed):
        score[planet] = spectral_score(
            *pred, *true, low, high, partial(forward, planet), planet_seed
        )
    return score


def final_score(posterior: float, spectral: float) -> float:
    """ADC2023 final score: 0.8 of the posterior score and 0.2 of the spectral score."""
    return POSTERIOR_SHARE * posterior + (1 - POSTERIOR_SHARE) * spectral


def regular_track_score(
    pred: np.ndarray,
    pred_weight: np.ndarray,
    true: np.ndarray,
    true_weight: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    seed: Seed,
) -> float:
    """ADC2022 regular-track score of one planet: 1000·(1 − earth mover's distance).

    The distance is exact optimal transport between all samples, so that its time grows faster than
    the product of their numbers. Cost: squared distance in units of the bounds, divided by the
    largest of this pair of posteriors.

    Parameters and errors are those of :func:`posterior_score`; besides, an error is raised if the
    transport problem cannot be solved.
    """
    import ot  # for this score alone

    pred, pred_weight, true, true_weight = _check_pair(pred, pred_weight, true, true_weight)
    pred = resample(pred, pred_weight, len(pred), np.random.default_rng(seed))
    cost = ot.dist(
        *(np.clip(scale_to_box(theta, low, high), 0, 1) for theta in (pred, true)),
        metric="sqeuclidean",
    )
    if cost.max() == 0:
        return 1000.0
    equal = np.full(len(pred), 1 / len(pred))
    distance, log = ot.emd2(
        equal, true_weight, cost / cost.max(), numItermax=_EMD_ITERATIONS, log=True
    )
    if log["warning"] is not None:
        raise ArielflowError(
            f"regular track: optimal transport of {len(pred)} to {len(true)} samples failed "
            f"({log['warning']}); use fewer samples"
        )
    return float(1000 * (1 - distance))


def regular_track_scores(
    predictions: Sequence[WeightedSamples],
    truths: Sequence[WeightedSamples],
    low: np.ndarray,
    high: np.ndarray,
    seed: int,
) -> np.ndarray:
    """ADC2022 regular-track score of every planet, shape (planet,); NaN where there is no truth.

    Parameters and errors are those of :func:`posterior_scores`.
    """
    score = np.full(len(predictions), np.nan)
    for planet, pred, true, planet_seed in _annotated(predictions, truths, seed):
        score[planet] = regular_track_score(*pred, *true, low, high, planet_seed)
    return score


def light_track_score(pred: np.ndarray, true: np.ndarray, factor: float = 100.0) -> float:
    """ADC2022 light-track score: factor·(10 − RMS of the relative error of all quartiles).

    Parameters
    ----------
    pred, true
        16, 50 and 84 % quantiles, shape (planet, 3, target); only planets with a truth.
    factor
        100 on the leaderboard, so that a perfect prediction scores 1000.

    Raises
    ------
    ArielflowError
        Shapes differ, a value is not finite or too large, or a true quartile is zero.
    """
    pred, true = np.asarray(pred, dtype=float), np.asarray(true, dtype=float)
    if pred.shape != true.shape or pred.ndim != 3 or pred.shape[1] != 3 or not len(pred):
        raise ArielflowError(
            f"light track: quartiles have shapes {pred.shape} and {true.shape}, expected the same "
            "(planet, 3, target)"
        )
    if not (np.isfinite(pred) & np.isfinite(true) & (true != 0)).all():
        raise ArielflowError(
            "light track: a quartile is not finite or a true one is zero; leave out the planets "
            "without a true posterior"
        )
    with np.errstate(over="ignore"):
        error = np.sqrt(np.mean(((pred - true) / true) ** 2))
    if not np.isfinite(error):
        raise ArielflowError(
            f"light track: quartiles up to {np.abs(pred).max():.3g} have no finite error; check "
            "their units"
        )
    return float(factor * (10 - error))
