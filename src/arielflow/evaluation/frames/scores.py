"""The official scores of spectra with standard deviations, 2024's and 2025's.

Both are a Gaussian log-likelihood of the true spectra, on a scale from a reference (the mean and
the standard deviation of all training labels, whatever the planet) to an ideal answer (the truth
itself with a standard deviation of some parts per million). Source: the organisers' metric
notebooks, "Ariel Metric" 2024 and "Ariel Data Challenge 2025 metric" on Kaggle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.editions.frames import GaussianScore, Reference
from arielflow.evaluation.bootstrap import bootstrap_statistic
from arielflow.evaluation.frames.tables import LARGEST

SMALLEST_SIGMA = 1e-15
"""Smaller standard deviations count as this one, as in the organisers' functions."""


@dataclass(frozen=True)
class FrameScore:
    """Score of many spectra.

    Attributes
    ----------
    score : float
        Official score, 0 to 1.
    low, high : float
        Ends of its 95 % interval by bootstrap over planets; NaN with a single planet.
    unclipped : float
        The score before it is clipped to 0…1: negative below the reference, and in 2024's formula
        above 1 where standard deviations under the ideal's are right.
    planets : np.ndarray
        Ratio of every planet alone, before clipping (planet,). For 2024 each has the planet's own
        likelihoods above and below the bar, so that they do **not** average to the score: the mean
        weighted with the denominators does. For 2025 their plain mean is ``unclipped``.
    """

    score: float
    low: float
    high: float
    unclipped: float
    planets: np.ndarray


def reference_of(spectrum: np.ndarray) -> Reference:
    """Mean and standard deviation (of the population) of all values of labels (planet, channel).

    Raises
    ------
    ArielflowError
        There are none, or they are not finite.
    """
    spectrum = np.asarray(spectrum, dtype=float)
    if not spectrum.size or not np.isfinite(spectrum).all():
        raise ArielflowError(
            f"reference: labels of shape {spectrum.shape} are empty or not finite; give all "
            "training labels"
        )
    return Reference(float(spectrum.mean()), float(spectrum.std()))


def frame_score(
    rule: GaussianScore,
    truth: np.ndarray,
    spectrum: np.ndarray,
    sigma: np.ndarray,
    reference: Reference | None = None,
    *,
    seed: int = 0,
    n_resamples: int = 2000,
) -> FrameScore:
    """Official score of spectra, its interval, and the planets' own.

    2024: the log-likelihoods of all planets and channels are summed, and the score is
    (L - L_reference) / (L_ideal - L_reference). 2025: that ratio is formed for every planet and
    channel, and the score is its weighted mean.

    Parameters
    ----------
    rule
        The edition's ``score``.
    truth, spectrum, sigma
        Transit depths, those that are scored, and their standard deviations (planet, channel).
    reference
        Instead of the rule's own.
    seed, n_resamples
        Of the bootstrap over planets.

    Raises
    ------
    ArielflowError
        Shapes differ, a value is negative, far too large or not finite, or no reference does.
    """
    truth, spectrum, sigma = _checked(truth, spectrum, sigma)
    gain, span = _gains(rule, truth, spectrum, sigma, _usable(rule, reference))
    interval = bootstrap_statistic(
        lambda rows: np.clip(gain[rows].sum() / span[rows].sum(), 0, 1),
        len(truth),
        seed,
        n_resamples,
    )
    score, low, high = map(float, interval)
    return FrameScore(score, low, high, float(gain.sum() / span.sum()), gain / span)


def _gains(
    rule: GaussianScore,
    truth: np.ndarray,
    spectrum: np.ndarray,
    sigma: np.ndarray,
    reference: Reference,
) -> tuple[np.ndarray, np.ndarray]:
    """What planets gain over the reference, and what the ideal gains (planet,).

    The score of any set of planets is the ratio of their sums; so one bootstrap serves both rules.
    """
    ideal_sigma, weight = (
        np.where(np.arange(truth.shape[1]) == 0, *pair) for pair in (rule.ideal_sigma, rule.weight)
    )
    base = _log_normal(truth, reference.mean, reference.standard_deviation)
    gain = _log_normal(truth, spectrum, sigma) - base
    span = _log_normal(truth, truth, ideal_sigma) - base
    if rule.per_element:
        gain, span = gain / span, np.ones_like(span)
    return (weight * gain).sum(axis=1), (weight * span).sum(axis=1)


def _log_normal(
    value: np.ndarray, mean: np.ndarray | float, sigma: np.ndarray | float
) -> np.ndarray:
    """Natural logarithm of the normal density."""
    sigma = np.maximum(sigma, SMALLEST_SIGMA)
    density: np.ndarray = (
        -0.5 * ((value - mean) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    )
    return density


def _checked(
    truth: np.ndarray, spectrum: np.ndarray, sigma: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arrays in double precision, found to be what a score can be made of."""
    parts = {"truth": truth, "spectrum": spectrum, "sigma": sigma}
    parts = {name: np.asarray(values, dtype=float) for name, values in parts.items()}
    shape = parts["truth"].shape
    if len(shape) != 2 or not all(shape) or any(p.shape != shape for p in parts.values()):
        raise ArielflowError(
            f"score: truth, spectrum and sigma have shapes "
            f"{', '.join(str(p.shape) for p in parts.values())}, expected (planet, channel) alike"
        )
    for name, values in parts.items():
        wrong = ~((values >= 0) & (values <= LARGEST))
        if wrong.any():
            raise ArielflowError(
                f"score: {wrong.sum()} values of {name} are not between 0 and {LARGEST:g}, the "
                f"first is {values[wrong][0]:g}; mend them, none is left out of a score"
            )
    return parts["truth"], parts["spectrum"], parts["sigma"]


def _usable(rule: GaussianScore, reference: Reference | None) -> Reference:
    """The reference that counts; its deviation must be above the ideal's, or no scale is left."""
    reference = reference or rule.reference
    if reference is None:
        raise ArielflowError(
            "score: this edition has no constants for its reference; give all training labels"
        )
    least = max(rule.ideal_sigma)
    if not (np.isfinite(reference.mean) and least < reference.standard_deviation < np.inf):
        raise ArielflowError(
            f"score: the reference has mean {reference.mean:g} and standard deviation "
            f"{reference.standard_deviation:g}, expected a deviation above the ideal answer's "
            f"{least:g}; give all training labels"
        )
    return reference
