"""Weighted-sample tools against what is known by hand, from SciPy, or in expectation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from arielflow.core.errors import ArielflowError
from arielflow.core.samples import (
    check_weighted_samples,
    clip_to_box,
    effective_sample_size,
    mix,
    resample,
    scale_to_box,
    systematic_indices,
    thin,
    weighted_ks,
    weighted_quantiles,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20230601)


def equal(n: int) -> np.ndarray:
    return np.full(n, 1 / n)


def test_clip_moves_only_what_lies_outside() -> None:
    theta = np.array([[-1.0, 5.0], [0.5, 25.0], [2.0, 12.0]])
    clipped = clip_to_box(theta, [0, 10], [1, 20])
    np.testing.assert_array_equal(clipped, [[0, 10], [0.5, 20], [1, 12]])


def test_scale_maps_the_edges_to_zero_and_one() -> None:
    np.testing.assert_allclose(
        scale_to_box(np.array([[-12.0], [-1.0], [10.0]]), [-12], [-1]), [[0], [1], [2]]
    )


@pytest.mark.parametrize(
    ("low", "high"), [([0, 1], [1, 1]), ([0], [1]), ([0, np.nan], [1, 2]), ([0, -np.inf], [1, 2])]
)
def test_invalid_boxes_are_refused(low: list[float], high: list[float]) -> None:
    with pytest.raises(ArielflowError, match="box"):
        clip_to_box(np.zeros((3, 2)), low, high)


@pytest.mark.parametrize(
    ("theta", "weight", "message"),
    [
        (np.full((3, 2), np.nan), np.ones(3), "3 of 3 samples are not finite"),
        (np.zeros((3, 2)), np.array([1, np.nan, 1]), "1 of 3 weights"),
        (np.zeros((3, 2)), np.array([1, -0.1, -1]), "2 of 3 weights"),
        (np.zeros((3, 2)), np.array([1, np.inf, 1]), "1 of 3 weights"),
        (np.zeros((3, 2)), np.zeros(3), "no weight is above zero"),
        (np.zeros((3, 2)), np.ones(4), "4 weights for 3 samples"),
        (np.zeros((3, 2)), np.ones((3, 1)), r"shape \(3, 1\)"),
        (np.zeros((0, 2)), np.zeros(0), "at least one sample"),
        (np.zeros(3), np.ones(3), r"expected \(sample, target\)"),
    ],
)
def test_invalid_samples_are_refused(theta: np.ndarray, weight: np.ndarray, message: str) -> None:
    with pytest.raises(ArielflowError, match=message):
        check_weighted_samples(theta, weight)


def test_weights_are_normalised_even_where_their_sum_overflows() -> None:
    _, weight = check_weighted_samples(np.zeros((3, 1)), np.array([1e308, 1e308, 0]))
    np.testing.assert_allclose(weight, [0.5, 0.5, 0])


def test_systematic_resampling_takes_each_sample_floor_or_ceil_times(
    rng: np.random.Generator,
) -> None:
    weight = rng.dirichlet(np.ones(50))
    for _ in range(20):
        counts = np.bincount(systematic_indices(weight, 333, rng), minlength=50)
        assert np.abs(counts - 333 * weight).max() < 1


def test_systematic_resampling_is_unbiased(rng: np.random.Generator) -> None:
    weight = np.array([0.5, 0.31, 0.17, 0.02])
    counts = [np.bincount(systematic_indices(weight, 3, rng), minlength=4) for _ in range(20_000)]
    # A count is a floor or a ceil, so its standard deviation is at most 0.5: 5 σ of the mean.
    np.testing.assert_allclose(np.mean(counts, axis=0), 3 * weight, atol=5 * 0.5 / 20_000**0.5)


def test_resampling_equal_weights_to_their_number_changes_nothing(rng: np.random.Generator) -> None:
    theta = rng.normal(size=(4999, 2))
    np.testing.assert_array_equal(resample(theta, np.ones(4999), 4999, rng), theta)


def test_resampling_never_returns_a_sample_without_weight(rng: np.random.Generator) -> None:
    class Last:
        """The largest number that a generator can draw."""

        def random(self) -> float:
            return np.nextafter(1.0, 0.0)

    weight = np.array([0.0, 0.1, 0.2, 0.7, 0.0])
    for source in (rng, Last()):
        assert set(systematic_indices(weight, 100_003, source)) == {1, 2, 3}


def test_resampling_refuses_no_samples(rng: np.random.Generator) -> None:
    with pytest.raises(ArielflowError, match="at least 1"):
        resample(np.zeros((3, 1)), np.ones(3), 0, rng)


def test_effective_sample_size() -> None:
    assert effective_sample_size(np.full(100, 7.0)) == pytest.approx(100)
    assert effective_sample_size(np.array([1.0, 0, 0])) == pytest.approx(1)
    assert effective_sample_size(np.array([2.0, 1, 1])) == pytest.approx(16 / 6)


def test_quantiles_of_a_reweighted_uniform_sample_follow_the_density() -> None:
    x = (np.arange(20_000) + 0.5) / 20_000
    levels = np.array([0.16, 0.5, 0.84])
    # Weight x on a uniform sample: density 2x, distribution function x².
    quantiles = weighted_quantiles(np.column_stack([x, -x]), x, levels)
    np.testing.assert_allclose(quantiles[:, 0], np.sqrt(levels), atol=1e-4)
    np.testing.assert_allclose(quantiles[:, 1], -np.sqrt(1 - levels), atol=1e-4)


def test_quantiles_ignore_samples_without_weight() -> None:
    theta = np.array([[-100.0], [1.0], [2.0], [100.0]])
    quantiles = weighted_quantiles(theta, np.array([0, 1, 1, 0]), [0, 1])
    np.testing.assert_array_equal(quantiles[:, 0], [1, 2])


def test_quantiles_refuse_levels_outside_zero_to_one() -> None:
    with pytest.raises(ArielflowError, match="between 0 and 1"):
        weighted_quantiles(np.zeros((3, 1)), np.ones(3), [16])


def test_ks_of_equal_weights_is_scipys_also_with_ties(rng: np.random.Generator) -> None:
    first = np.clip(rng.normal(0.0, 1, size=(700, 3)), -1, 1)
    second = np.clip(rng.normal(0.3, 2, size=(411, 3)), -1, 1)
    expected = [
        stats.ks_2samp(a, b, method="asymp").statistic
        for a, b in zip(first.T, second.T, strict=True)
    ]
    distance = weighted_ks(first, equal(700), second, equal(411))
    np.testing.assert_allclose(distance, expected, rtol=0, atol=1e-12)


def test_ks_of_integer_weights_is_that_of_replicated_samples(rng: np.random.Generator) -> None:
    first, second = rng.normal(size=(80, 2)), rng.normal(0.5, 1, size=(60, 2))
    first_weight, second_weight = rng.integers(0, 5, 80), rng.integers(0, 5, 60)
    replicated = [
        np.repeat(theta, weight, axis=0)
        for theta, weight in ((first, first_weight), (second, second_weight))
    ]
    np.testing.assert_allclose(
        weighted_ks(first, first_weight, second, second_weight),
        weighted_ks(
            replicated[0], equal(len(replicated[0])), replicated[1], equal(len(replicated[1]))
        ),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.75, 1.5])
def test_ks_of_shifted_uniforms_is_the_shift(shift: float) -> None:
    grid = ((np.arange(1000) + 0.5) / 1000)[:, np.newaxis]
    distance = weighted_ks(grid, equal(1000), grid + shift, equal(1000))
    np.testing.assert_allclose(distance, min(shift, 1), atol=0.0011)


def test_ks_refuses_other_numbers_of_targets() -> None:
    with pytest.raises(ArielflowError, match="2 targets against 3"):
        weighted_ks(np.zeros((4, 2)), equal(4), np.zeros((4, 3)), equal(4))


def test_mixture_gives_members_equal_shares_and_is_reproducible(rng: np.random.Generator) -> None:
    members = [
        (np.full((5000, 1), 0.0), np.ones(5000)),
        (np.full((10, 1), 1.0), 40 * np.ones(10)),
        (np.array([[2.0], [3.0]]), np.array([3.0, 1.0])),
    ]
    mixture = mix(members, 1200, seed=5)
    values, counts = np.unique(mixture, return_counts=True)
    np.testing.assert_array_equal(values, [0, 1, 2, 3])
    np.testing.assert_allclose(counts, [400, 400, 300, 100], atol=1)
    np.testing.assert_array_equal(mixture, mix(members, 1200, seed=5))
    assert not np.array_equal(mixture, mix(members, 1200, seed=6))


def test_mixture_has_no_order(rng: np.random.Generator) -> None:
    mixture = mix([(np.zeros((100, 1)), np.ones(100)), (np.ones((100, 1)), np.ones(100))], 2000, 0)
    assert 0.4 < mixture[:1000].mean() < 0.6


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "no members"),
        ([(np.zeros((2, 1)), np.ones(2)), (np.zeros((2, 2)), np.ones(2))], r"\[1, 2\] targets"),
        ([(np.zeros((2, 1)), np.ones(2)), (np.zeros((2, 1)), -np.ones(2))], "member 1"),
    ],
)
def test_invalid_mixtures_are_refused(members: list, message: str) -> None:
    with pytest.raises(ArielflowError, match=message):
        mix(members, 10, 0)


def test_thinning_keeps_few_samples_and_resamples_many(rng: np.random.Generator) -> None:
    theta, weight = rng.normal(size=(1000, 2)), rng.random(1000)
    kept, kept_weight = thin(theta, weight, 1000, seed=0)
    np.testing.assert_array_equal(kept, theta)
    np.testing.assert_allclose(kept_weight, weight / weight.sum())
    thinned, thinned_weight = thin(theta, weight, 200, seed=0)
    assert thinned.shape == (200, 2)
    np.testing.assert_allclose(thinned_weight, 1 / 200)
    np.testing.assert_allclose(
        thinned.mean(axis=0), np.average(theta, weights=weight, axis=0), atol=0.15
    )
