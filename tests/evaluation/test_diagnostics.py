"""Calibration against analytic truth: normal means with a normal prior, and the uniform prior."""

from __future__ import annotations

import numpy as np
import pytest

from arielflow.core.errors import ArielflowError
from arielflow.evaluation.diagnostics import (
    LEVELS,
    calibration_error,
    central_coverage,
    exact_calibration_error,
    rank_statistics,
    sharpness,
    tarp_coverage,
    tarp_ranks,
    uniformity_p_value,
)

N_PLANETS, N_SAMPLES, N_TARGETS = 600, 400, 3
PRIOR_DEVIATION, NOISE = 1.0, 0.7
BOX = np.full((N_PLANETS, N_TARGETS), 4.0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(31)


def conjugate(rng, width: float = 1.0, shift: float = 0.0, noise: float = NOISE):
    """Posteriors N(shrunk datum, s²) of normal means, widened and shifted, and the truths.

    ``noise`` is that of the data; the posterior always allows for NOISE.
    """
    truth = PRIOR_DEVIATION * rng.normal(size=(N_PLANETS, N_TARGETS))
    datum = truth + noise * rng.normal(size=truth.shape)
    variance = 1 / (PRIOR_DEVIATION**-2 + NOISE**-2)
    deviation = np.sqrt(variance)
    centre = variance * datum / NOISE**2 + shift * deviation
    theta = centre[:, None] + width * deviation * rng.normal(size=(N_PLANETS, N_SAMPLES, N_TARGETS))
    return [(planet, np.full(N_SAMPLES, 1 / N_SAMPLES)) for planet in theta], truth


def measures(samples, truth) -> dict[str, np.ndarray | float]:
    ranks = rank_statistics(samples, truth, 0)
    joint = tarp_ranks(samples, truth, -BOX, BOX, 0)
    coverage = central_coverage(ranks)
    return {
        "p": uniformity_p_value(ranks),
        "coverage": coverage,
        "error": calibration_error(coverage),
        "joint_error": calibration_error(tarp_coverage(joint)),
        "joint_p": float(uniformity_p_value(joint)),
    }


def test_exact_posteriors_are_calibrated(rng) -> None:
    found = measures(*conjugate(rng))
    assert (found["p"] > 0.01).all() and found["joint_p"] > 0.01
    assert found["error"] < 2 * exact_calibration_error(N_PLANETS)
    assert found["joint_error"] < 3 * exact_calibration_error(N_PLANETS)
    assert np.abs(found["coverage"] - LEVELS[:, None]).max() < 0.07


@pytest.mark.parametrize(("width", "sign"), [(0.5, -1), (2.0, 1)])
def test_over_and_under_confidence_are_told_apart(rng, width, sign) -> None:
    found = measures(*conjugate(rng, width=width))
    assert (found["p"] < 1e-4).all() and found["joint_p"] < 1e-3
    assert (sign * (found["coverage"] - LEVELS[:, None])[1:-1] > 0).all()
    assert found["error"] > 0.1 and found["joint_error"] > 0.04


def test_bias_is_recognised(rng) -> None:
    samples, truth = conjugate(rng, shift=1.0)
    found = measures(samples, truth)
    assert (found["p"] < 1e-6).all() and found["error"] > 0.1 and found["joint_p"] < 1e-3
    # Samples too high leave the truth's ranks too low.
    assert (rank_statistics(samples, truth, 0).mean(axis=0) < 0.4).all()


def test_noise_free_data_make_an_exact_posterior_look_under_confident(rng) -> None:
    found = measures(*conjugate(rng, noise=0.0))
    assert (found["coverage"][1:-1] > LEVELS[1:-1, None]).all()
    assert (found["p"] < 1e-4).all()


def test_tarp_sees_correlations_that_ranks_do_not(rng) -> None:
    factor = np.linalg.cholesky(np.full((3, 3), 0.95) + 0.05 * np.eye(3))
    truth = rng.normal(size=(N_PLANETS, 3)) @ factor.T
    independent = rng.normal(size=(N_PLANETS, N_SAMPLES, 3))
    weight = np.ones(N_SAMPLES)
    wrong = measures([(theta, weight) for theta in independent], truth)
    right = measures([(theta @ factor.T, weight) for theta in independent], truth)
    assert (wrong["p"] > 0.01).all() and wrong["joint_p"] < 1e-3
    assert right["joint_p"] > 0.01


def test_the_prior_is_calibrated_but_not_sharp(rng) -> None:
    low, high = np.zeros((300, 2)), np.tile([2.0, 10.0], (300, 1))
    truth = low + (high - low) * rng.random((300, 2))
    samples = [(high[0] * rng.random((500, 2)), np.ones(500)) for _ in truth]
    assert (uniformity_p_value(rank_statistics(samples, truth, 0)) > 0.01).all()
    np.testing.assert_allclose(sharpness(samples, low, high), 1, atol=0.02)
    narrow = [(0.1 * theta, weight) for theta, weight in samples]
    np.testing.assert_allclose(sharpness(narrow, low, high), 0.1, atol=0.002)


def test_weights_count_as_replicated_samples(rng) -> None:
    # Draws from a wide normal, weighted to the exact posterior: ranks stay uniform.
    samples, truth = conjugate(rng, width=1.5)
    weighted = []
    for theta, _ in samples:
        score = ((theta - theta.mean(axis=0)) / theta.std(axis=0)) ** 2
        weighted.append((theta, np.exp(-0.5 * (score * (1.5**2 - 1)).sum(axis=1))))
    assert (uniformity_p_value(rank_statistics(weighted, truth, 0)) > 0.01).all()


def test_ranks_are_exactly_uniform_with_few_samples_and_ties(rng) -> None:
    # Five samples per planet, all of them and the truth on the prior's edge in the first target.
    theta = rng.random((4000, 6, 2))
    theta[..., 0] = 1.0
    samples = [(planet[1:], np.ones(5)) for planet in theta]
    ranks = rank_statistics(samples, theta[:, 0], 0)
    assert (uniformity_p_value(ranks) > 0.01).all()
    np.testing.assert_array_equal(ranks, rank_statistics(samples, theta[:, 0], 0))
    assert not np.array_equal(ranks, rank_statistics(samples, theta[:, 0], 1))


def test_known_coverage_and_error() -> None:
    ranks = np.array([[0.5, np.nan], [0.9, np.nan], [0.05, np.nan], [0.6, np.nan]])
    coverage = central_coverage(ranks, np.array([0.1, 0.3, 0.85]))
    np.testing.assert_allclose(coverage[:, 0], [0.25, 0.5, 0.75])
    assert np.isnan(coverage[:, 1]).all()
    error = calibration_error(coverage, np.array([0.1, 0.3, 0.85]))
    assert error == pytest.approx((0.15 + 0.2 + 0.1) / 3)
    assert np.isnan(calibration_error(coverage[:, 1:], np.array([0.1, 0.3, 0.85])))


@pytest.mark.parametrize("n_planets", [50, 1000])
def test_error_of_exact_posteriors_follows_its_formula(rng, n_planets) -> None:
    found = [calibration_error(central_coverage(rng.random((n_planets, 1)))) for _ in range(500)]
    assert np.mean(found) == pytest.approx(exact_calibration_error(n_planets), rel=0.1)


def test_unknown_truths_are_left_out(rng) -> None:
    samples, truth = conjugate(rng)
    truth[::2, 1] = np.nan
    ranks = rank_statistics(samples, truth, 0)
    assert np.isnan(ranks[::2, 1]).all() and np.isfinite(ranks[1::2]).all()
    assert np.isnan(tarp_ranks(samples, truth, -BOX, BOX, 0)).sum() == N_PLANETS / 2


def test_faults_are_named(rng) -> None:
    samples, truth = conjugate(rng)
    with pytest.raises(ArielflowError, match="the same planets"):
        rank_statistics(samples[:-1], truth, 0)
    with pytest.raises(ArielflowError, match="the same planets"):
        rank_statistics(samples, truth[:, :2], 0)
    with pytest.raises(ArielflowError, match="low < high"):
        tarp_ranks(samples, truth, BOX, -BOX, 0)
    with pytest.raises(ArielflowError, match="rows of coverage"):
        calibration_error(np.zeros((3, 2)))
