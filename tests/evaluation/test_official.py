"""The official metrics against the official code's own numbers and against known answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from arielflow.core.errors import ArielflowError
from arielflow.evaluation.official import (
    SpectralSummary,
    compare_spectra,
    final_score,
    light_track_score,
    posterior_score,
    posterior_scores,
    regular_track_score,
    regular_track_scores,
    spectral_score,
    spectral_scores,
    spectral_summary,
)

LOW = np.array([0.1, 0.0, *[-12.0] * 5])
HIGH = np.array([3.0, 7000.0, *[-1.0] * 5])
WAVELENGTH = np.linspace(0.5, 7.5, 52)
GOLDEN_SEEDS = range(20)


def toy_forward(theta: np.ndarray) -> np.ndarray:
    """The forward map with which the golden spectral scores were made."""
    bands = np.exp(-((WAVELENGTH - np.array([[1.4], [4.3], [4.7], [3.3], [6.1]])) ** 2))
    radius, temperature, log_abundances = theta[:, :1], theta[:, 1:2], theta[:, 2:]
    features = temperature / 1000 * np.sin(WAVELENGTH) + log_abundances @ bands
    return 1e-2 * radius**2 * (1 + 1e-3 * features)


@pytest.fixture
def golden(shared: Path) -> tuple[dict, dict]:
    folder = shared / "golden"
    if not (folder / "official_scores.npz").is_file():
        pytest.skip(f"no golden numbers in {folder}")
    with np.load(folder / "official_scores.npz") as file:
        arrays = dict(file)
    return arrays, json.loads((folder / "official_scores.json").read_text())


def golden_pair(arrays: dict, case: int) -> tuple[np.ndarray, ...]:
    names = ("pred_trace", "pred_w", "true_trace", "true_w")
    return tuple(arrays[f"{name}_{case}"] for name in names)


def legacy_generator(seed: int) -> np.random.Generator:
    """Generator that draws what the official code draws after ``numpy.random.seed(seed)``."""
    bit_generator = np.random.MT19937()
    bit_generator.state = np.random.RandomState(seed).get_state(legacy=False)
    return np.random.Generator(bit_generator)


@pytest.mark.external
@pytest.mark.parametrize("case", range(4))
def test_posterior_score_is_the_official_one(golden: tuple[dict, dict], case: int) -> None:
    arrays, expected = golden[0], golden[1]["cases"][case]
    pair = golden_pair(arrays, case)
    scores = [posterior_score(*pair, LOW, HIGH, legacy_generator(s)).score for s in GOLDEN_SEEDS]
    assert np.mean(scores) == pytest.approx(expected["posterior_score_mean"], rel=1e-9)
    assert np.std(scores) == pytest.approx(expected["posterior_score_std"], rel=1e-9)


@pytest.mark.external
@pytest.mark.parametrize("case", range(4))
def test_spectral_score_is_the_official_one(golden: tuple[dict, dict], case: int) -> None:
    arrays, expected = golden[0], golden[1]["cases"][case]
    pair = golden_pair(arrays, case)
    scores = [
        spectral_score(*pair, LOW, HIGH, toy_forward, legacy_generator(s)) for s in GOLDEN_SEEDS
    ]
    assert np.mean(scores) == pytest.approx(expected["spectral_score_mean"], rel=1e-9)
    assert np.std(scores) == pytest.approx(expected["spectral_score_std"], rel=1e-9)


@pytest.mark.external
@pytest.mark.parametrize("case", range(4))
def test_own_seeds_scatter_around_the_official_scores(golden: tuple[dict, dict], case: int) -> None:
    arrays, expected = golden[0], golden[1]["cases"][case]
    pair = golden_pair(arrays, case)
    posterior = [posterior_score(*pair, LOW, HIGH, s).score for s in GOLDEN_SEEDS]
    spectral = [spectral_score(*pair, LOW, HIGH, toy_forward, s) for s in GOLDEN_SEEDS]
    for name, scores in (("posterior", posterior), ("spectral", spectral)):
        error = np.hypot(np.std(scores), expected[f"{name}_score_std"]) / len(scores) ** 0.5
        assert abs(np.mean(scores) - expected[f"{name}_score_mean"]) < 3 * error


@pytest.mark.external
@pytest.mark.parametrize("case", range(4))
def test_regular_track_score_is_the_official_one(golden: tuple[dict, dict], case: int) -> None:
    arrays, expected = golden[0], golden[1]["cases"][case]
    pred, _, true, true_weight = golden_pair(arrays, case)
    score = regular_track_score(
        pred[:600, 1:], np.ones(600), true[:700, 1:], true_weight[:700], LOW[1:], HIGH[1:], 0
    )
    assert score == pytest.approx(expected["adc2022_regular_score_first600_vs_first700"], rel=1e-9)


@pytest.mark.external
def test_light_track_score_is_the_official_one(golden: tuple[dict, dict]) -> None:
    arrays, expected = golden
    score = light_track_score(arrays["light_pred"], arrays["light_true"])
    assert score == pytest.approx(expected["light_track_k100"], rel=1e-9)


@pytest.mark.external
def test_comparison_of_spectra_is_the_official_one(golden: tuple[dict, dict]) -> None:
    arrays, expected = golden
    names = ("spec_median", "spec_bound", "spec_true_median", "spec_true_bound")
    scores = [
        compare_spectra(SpectralSummary(*spectra[:2]), SpectralSummary(*spectra[2:]))
        for spectra in zip(*(arrays[name] for name in names), strict=True)
    ]
    np.testing.assert_allclose(scores, expected["spectral_compute_score"], rtol=1e-9)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(2023)


def draw(rng: np.random.Generator, n: int, shift: float = 0.0) -> np.ndarray:
    """Samples well inside the bounds, displaced by ``shift`` standard deviations."""
    return (LOW + HIGH) / 2 + 0.05 * (HIGH - LOW) * (shift + rng.normal(size=(n, len(LOW))))


def test_a_posterior_scores_full_marks_against_itself(rng: np.random.Generator) -> None:
    theta, weight = draw(rng, 1500), np.ones(1500)
    assert posterior_score(theta, weight, theta, weight, LOW, HIGH, 0).score == pytest.approx(1000)
    assert spectral_score(theta, weight, theta, weight, LOW, HIGH, toy_forward, 0) == 1000
    assert regular_track_score(theta, weight, theta, weight, LOW, HIGH, 0) == pytest.approx(1000)


def test_draws_of_one_distribution_score_high_and_shifts_cost(rng: np.random.Generator) -> None:
    true, weight = draw(rng, 4000), np.ones(4000)
    scores = [
        posterior_score(draw(rng, 4000, shift), weight, true, weight, LOW, HIGH, 0).score
        for shift in (0, 0.5, 2, 8)
    ]
    assert scores[0] > 970
    # KS distance of two unit normals δ apart is 2Φ(δ/2) − 1.
    np.testing.assert_allclose(scores, [1000, 802.6, 317.3, 0], atol=25)


def test_each_target_has_its_own_ks(rng: np.random.Generator) -> None:
    true = draw(rng, 2000)
    pred = true.copy()
    pred[:, 3] += 0.05 * (HIGH - LOW)[3] * 100
    score, ks = posterior_score(pred, np.ones(2000), true, np.ones(2000), LOW, HIGH, 0)
    np.testing.assert_allclose(ks, [0, 0, 0, 1, 0, 0, 0], atol=1e-12)
    assert score == pytest.approx(1000 * 6 / 7)


def test_truth_is_cut_and_repeated_to_the_length_of_the_prediction() -> None:
    low, high = np.zeros(1), np.ones(1)
    ramp = ((np.arange(1000) + 0.5) / 1000)[:, np.newaxis]
    first_half = posterior_score(ramp[:500], np.ones(500), ramp, np.ones(1000), low, high, 0)
    assert first_half.score == pytest.approx(1000)
    # 1,500 predicted samples meet the truth's 1,000 followed by its first 500 again.
    repeated = np.concatenate([ramp, ramp[:500]])
    tiled = posterior_score(repeated, np.ones(1500), ramp, np.ones(1000), low, high, 0)
    assert tiled.score == pytest.approx(1000)


def test_samples_outside_the_bounds_count_as_on_them(rng: np.random.Generator) -> None:
    inside = draw(rng, 800)
    on_edge, beyond = inside.copy(), inside.copy()
    on_edge[:, 2], beyond[:, 2] = HIGH[2], HIGH[2] + 50
    weight = np.ones(800)
    for score in (
        lambda pred: posterior_score(pred, weight, inside, weight, LOW, HIGH, 1).score,
        lambda pred: spectral_score(pred, weight, inside, weight, LOW, HIGH, toy_forward, 1),
        lambda pred: regular_track_score(pred, weight, inside, weight, LOW, HIGH, 1),
    ):
        assert score(beyond) == score(on_edge) < 1000


def test_seeds_decide_the_scores(rng: np.random.Generator) -> None:
    pred, true, weight = draw(rng, 1000), draw(rng, 1800), rng.random(1800)
    scores = [
        posterior_score(pred, np.ones(1000), true, weight, LOW, HIGH, seed).score
        for seed in range(5)
    ]
    assert len(set(scores)) > 1
    again = posterior_score(pred, np.ones(1000), true, weight, LOW, HIGH, 3).score
    assert again == scores[3]


def test_planets_are_scored_one_by_one_and_unannotated_ones_left_out(
    rng: np.random.Generator,
) -> None:
    predictions = [(draw(rng, 300), np.ones(300)) for _ in range(3)]
    truths = [(draw(rng, 350, shift), rng.random(350)) for shift in (0, 0, 5)]
    truths[1] = (np.empty((0, len(LOW))), np.empty(0))
    score, ks = posterior_scores(predictions, truths, LOW, HIGH, seed=0)
    spectral = spectral_scores(
        predictions, truths, LOW, HIGH, lambda planet, theta: toy_forward(theta), seed=0
    )
    regular = regular_track_scores(predictions, truths, LOW, HIGH, seed=0)
    for values in (score, ks[:, 0], spectral, regular):
        np.testing.assert_array_equal(np.isnan(values), [False, True, False])
        assert values.shape == (3,)
    np.testing.assert_allclose(score[[0, 2]], 1000 * (1 - ks[[0, 2]].mean(axis=1)))
    assert score[0] > score[2]
    assert regular[0] > regular[2]


def test_each_planet_meets_its_own_forward_model(rng: np.random.Generator) -> None:
    predictions = [(draw(rng, 300), np.ones(300)) for _ in range(2)]
    asked = []

    def forward(planet: int, theta: np.ndarray) -> np.ndarray:
        asked.append(planet)
        return toy_forward(theta)

    spectral_scores(predictions, predictions, LOW, HIGH, forward, seed=0)
    assert asked == [0, 0, 1, 1]


def test_spectral_summary_interpolates_between_neighbours_in_the_order_of_the_weights() -> None:
    # Equal weights leave the order as it is: sample i gives the flat spectrum (i + 1)/1000.
    theta = (np.arange(11.0) / 10)[:, np.newaxis]
    summary = spectral_summary(
        theta,
        np.ones(11),
        np.zeros(1),
        np.ones(1),
        lambda samples: np.repeat((10 * samples + 1) / 1000, 4, axis=1),
        seed=0,
    )
    depths = (10 * np.linspace(0.01, 0.99, 10) + 1) / 1000
    lower, median, upper = np.quantile(depths, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(summary.median, np.full(4, median))
    np.testing.assert_allclose(summary.bound, np.full(4, upper - lower + 1e-8))


def test_spectral_summary_orders_resampled_samples_by_the_original_weights() -> None:
    # Weights 3 0 1 1 0 resample 0…4 to 0 0 0 2 3; the weights' order 1 4 2 3 0 makes it 0 3 0 2 0.
    theta, weight = np.arange(5.0)[:, np.newaxis], np.array([3.0, 0.0, 1.0, 1.0, 0.0])
    asked = []

    def forward(samples: np.ndarray) -> np.ndarray:
        asked.append(samples[:, 0])
        return np.full((len(samples), 2), 0.01)

    spectral_summary(theta, weight, np.zeros(1), np.full(1, 9.0), forward, 0)
    left = (np.linspace(0.01, 0.99, 10) * 4).astype(int)
    expected = np.array([0.0, 3.0, 0.0, 2.0, 0.0])
    np.testing.assert_array_equal(asked[0], [*expected[left], *expected[left + 1]])


def test_depths_that_are_not_finite_or_too_large_become_a_tenth(rng: np.random.Generator) -> None:
    theta = draw(rng, 200)

    def broken(samples: np.ndarray) -> np.ndarray:
        spectra = np.full((len(samples), 4), 0.01)
        spectra[:, 0], spectra[:, 1], spectra[:, 2] = np.nan, np.inf, 5.0
        return spectra

    summary = spectral_summary(theta, np.ones(200), LOW, HIGH, broken, seed=0)
    np.testing.assert_allclose(summary.median, [0.1, 0.1, 0.1, 0.01])
    np.testing.assert_allclose(summary.bound, 1e-8)


def test_spectra_tenfold_apart_are_judged_by_their_squared_error() -> None:
    true = SpectralSummary(np.full(5, 1e-4), np.full(5, 1e-5))
    near = SpectralSummary(np.full(5, 10**-3.5), np.full(5, 1e-5))
    far = SpectralSummary(np.full(5, 1e-2), np.full(5, 1e-5))
    assert compare_spectra(near, true) == pytest.approx(1000 - 100 * 0.5 / 2)
    assert compare_spectra(far, true) == pytest.approx(1000 - 100 * 4 / 2)
    hopeless = SpectralSummary(np.full(5, 1e3), np.full(5, 1e3))
    assert compare_spectra(hopeless, true) == 0


def test_final_score_weighs_four_to_one() -> None:
    assert final_score(700, 900) == pytest.approx(740)


def test_regular_track_of_two_points_is_their_distance_over_the_largest() -> None:
    # All mass moves from 0 to 0.5 or 1 (half each): costs 0.25 and 1, the largest of which is 1.
    low, high = np.zeros(1), np.ones(1)
    score = regular_track_score(
        np.zeros((2, 1)), np.ones(2), np.array([[0.5], [1.0]]), np.ones(2), low, high, 0
    )
    assert score == pytest.approx(1000 * (1 - 0.625))
    point = np.full((3, 1), 0.3), np.ones(3)
    assert regular_track_score(*point, *point, low, high, 0) == 1000


def test_regular_track_resamples_the_prediction() -> None:
    low, high = np.zeros(1), np.ones(1)
    points = np.array([[0.0], [0.2], [0.7], [1.0]])
    weighted = np.array([0.5, 0.25, 0.25, 0.0])
    resampled = np.array([[0.0], [0.0], [0.2], [0.7]])
    true = points, np.ones(4)
    assert regular_track_score(points, weighted, *true, low, high, 0) == pytest.approx(
        regular_track_score(resampled, np.ones(4), *true, low, high, 0)
    )


def test_light_track_is_full_marks_less_the_relative_error() -> None:
    true = np.full((4, 3, 6), -5.0)
    assert light_track_score(true, true) == 1000
    assert light_track_score(1.1 * true, true) == pytest.approx(990)


def test_light_track_refuses_unusable_quartiles() -> None:
    true = np.ones((2, 3, 6))
    for broken in (np.full_like(true, np.nan), np.zeros_like(true)):
        with pytest.raises(ArielflowError, match="without a true posterior"):
            light_track_score(true, broken)
    with pytest.raises(ArielflowError, match="planet, 3, target"):
        light_track_score(true[:, :2], true[:, :2])


def test_invalid_posteriors_are_refused(rng: np.random.Generator) -> None:
    good, weight = draw(rng, 20), np.ones(20)
    with pytest.raises(ArielflowError, match="predicted posterior: 20 of 20 samples"):
        posterior_score(np.full_like(good, np.nan), weight, good, weight, LOW, HIGH, 0)
    with pytest.raises(ArielflowError, match="true posterior: 20 of 20 weights are negative"):
        spectral_score(good, weight, good, -weight, LOW, HIGH, toy_forward, 0)
    with pytest.raises(ArielflowError, match="7 targets, the truth 6"):
        regular_track_score(good, weight, good[:, 1:], weight, LOW, HIGH, 0)
    with pytest.raises(ArielflowError, match="1 planets predicted, 2 true"):
        posterior_scores([(good, weight)], [(good, weight)] * 2, LOW, HIGH, 0)
    with pytest.raises(ArielflowError, match="forward model returned shape"):
        spectral_summary(good, weight, LOW, HIGH, lambda theta: theta[0], 0)
    with pytest.raises(ArielflowError, match="finite and positive"):
        compare_spectra(*[SpectralSummary(np.zeros(3), np.ones(3))] * 2)
    with pytest.raises(ArielflowError, match="one wavelength grid"):
        compare_spectra(
            SpectralSummary(np.ones(3), np.ones(3)), SpectralSummary(np.ones(4), np.ones(4))
        )


def test_importing_the_metrics_does_not_load_pytorch() -> None:
    command = "import sys, arielflow.evaluation.official; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
