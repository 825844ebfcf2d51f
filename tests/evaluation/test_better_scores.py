"""Scores beside the official ones, and bootstrap intervals, against known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score as sklearn_r2_score

from arielflow.core.errors import ArielflowError
from arielflow.evaluation.better_scores import (
    energy_score,
    r2_score,
    weighted_ks_score,
)
from arielflow.evaluation.bootstrap import bootstrap_interval, bootstrap_statistic
from arielflow.evaluation.leaderboard import SCORES, ks_by_target, leaderboard, score_planets

LOW, HIGH = np.array([0.0, -12.0]), np.array([10.0, -1.0])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(2022)


def test_weighted_ks_score_needs_neither_resampling_nor_equal_lengths() -> None:
    # A uniform grid weighted by x has the distribution function x²; against x: sup(x − x²) = ¼.
    x = (np.arange(4000) + 0.5) / 4000
    ramp, sparse = np.column_stack([x, x]), np.column_stack([x[::4], x[::4]])
    score, ks = weighted_ks_score(ramp, x, sparse, np.ones(1000), np.zeros(2), np.ones(2))
    np.testing.assert_allclose(ks, 0.25, atol=1e-3)
    assert score == pytest.approx(750, abs=1)


def test_weighted_ks_score_does_not_depend_on_the_order_of_samples(
    rng: np.random.Generator,
) -> None:
    theta, weight = rng.uniform(LOW, HIGH, (900, 2)), rng.random(900)
    true, true_weight = rng.uniform(LOW, HIGH, (1400, 2)), rng.random(1400)
    shuffle = rng.permutation(1400)
    first = weighted_ks_score(theta, weight, true, true_weight, LOW, HIGH)
    second = weighted_ks_score(theta, weight, true[shuffle], true_weight[shuffle], LOW, HIGH)
    assert first.score == pytest.approx(second.score, abs=1e-9)
    assert weighted_ks_score(true, true_weight, true, true_weight, LOW, HIGH).score == 1000


def test_weighted_ks_score_clips_to_the_bounds(rng: np.random.Generator) -> None:
    on_edge = np.tile([10.0, -6.0], (50, 1))
    beyond = np.tile([99.0, -6.0], (50, 1))
    score = weighted_ks_score(beyond, np.ones(50), on_edge, np.ones(50), LOW, HIGH).score
    assert score == pytest.approx(1000)


def test_energy_score_of_a_point_is_its_scaled_distance() -> None:
    theta = np.tile([3.0, -12.0 + 0.4 * 11], (7, 1))
    score = energy_score(theta, np.ones(7), np.array([0.0, -12.0]), LOW, HIGH)
    assert score == pytest.approx(0.5)


def test_energy_score_in_one_dimension_is_the_crps_of_a_normal(rng: np.random.Generator) -> None:
    theta = rng.normal(size=(4000, 1))
    score = energy_score(theta, np.ones(4000), np.zeros(1), np.zeros(1), np.ones(1))
    # Gneiting & Raftery 2007, eq. 21, at the mean of a unit normal: 2φ(0) − 1/√π.
    assert score == pytest.approx(2 / np.sqrt(2 * np.pi) - 1 / np.sqrt(np.pi), abs=0.02)


def test_energy_score_of_weights_is_that_of_replicated_samples(rng: np.random.Generator) -> None:
    # More samples than one block of pairwise distances.
    theta, weight = rng.uniform(LOW, HIGH, (1100, 2)), rng.integers(0, 4, 1100)
    replicated = np.repeat(theta, weight, axis=0)
    truth = np.array([4.0, -5.0])
    assert energy_score(theta, weight, truth, LOW, HIGH) == pytest.approx(
        energy_score(replicated, np.ones(len(replicated)), truth, LOW, HIGH), rel=1e-12
    )


def test_energy_score_prefers_the_exact_posterior(rng: np.random.Generator) -> None:
    """Truth drawn from a correlated normal around a datum: the exact posterior scores best."""
    factor = np.linalg.cholesky([[1.0, 0.9], [0.9, 1.0]])
    centre = rng.normal(size=(400, 1, 2))
    truth = centre[:, 0] + rng.normal(size=(400, 2)) @ factor.T
    noise = rng.normal(size=(400, 300, 2))
    exact = noise @ factor.T
    candidates = {
        "exact": exact,
        "shifted": exact + 1.0,
        "over-confident": 0.3 * exact,
        "under-confident": 3.0 * exact,
        "uncorrelated": noise,
    }
    weight = np.full((400, 300), 1 / 300)
    unit = -0.5 * np.ones(2), 0.5 * np.ones(2)
    scores = {
        name: np.array(
            [energy_score(centre[k] + theta[k], weight[k], truth[k], *unit) for k in range(400)]
        )
        for name, theta in candidates.items()
    }
    for name in ("shifted", "over-confident", "under-confident", "uncorrelated"):
        worse_by = scores[name] - scores["exact"]
        assert worse_by.mean() > 2.5 * worse_by.std() / 20, name


def test_energy_score_is_blank_where_the_truth_is_unknown(rng: np.random.Generator) -> None:
    theta, weight = rng.uniform(LOW, HIGH, (30, 2)), np.full(30, 1 / 30)
    assert np.isnan(energy_score(theta, weight, np.array([np.nan, -5.0]), LOW, HIGH))
    assert np.isfinite(energy_score(theta, weight, np.array([5.0, -5.0]), LOW, HIGH))


def test_r2_is_scikit_learns_and_leaves_unknown_truths_out(rng: np.random.Generator) -> None:
    truth = rng.normal(size=(60, 3)) * [1, 100, 1] + [0, 1500, -5]
    mean = truth + rng.normal(size=(60, 3)) * [0.5, 30, 2]
    truth[:5, 0] = np.nan
    expected = [
        sklearn_r2_score(truth[np.isfinite(truth[:, k]), k], mean[np.isfinite(truth[:, k]), k])
        for k in range(3)
    ]
    np.testing.assert_allclose(r2_score(truth, mean), expected, rtol=1e-10)


def test_r2_is_blank_without_scatter_in_the_truth() -> None:
    truth = np.array([[1.0, np.nan], [1.0, 2.0]])
    assert np.isnan(r2_score(truth, np.zeros((2, 2)))).all()


def test_invalid_input_is_refused(rng: np.random.Generator) -> None:
    theta, weight = rng.uniform(LOW, HIGH, (30, 2)), np.ones(30)
    with pytest.raises(ArielflowError, match="weights are negative"):
        weighted_ks_score(theta, -weight, theta, weight, LOW, HIGH)
    with pytest.raises(ArielflowError, match="samples are not finite"):
        energy_score(theta * np.nan, weight, theta[0], LOW, HIGH)
    with pytest.raises(ArielflowError, match="the truth has shape"):
        energy_score(theta, weight, theta[0, :1], LOW, HIGH)
    with pytest.raises(ArielflowError, match="R²"):
        r2_score(theta, theta[:3])
    with pytest.raises(ArielflowError, match="R²"):
        r2_score(theta, theta * np.nan)


def test_bootstrap_interval_covers_the_mean_as_often_as_it_says(rng: np.random.Generator) -> None:
    intervals = [
        bootstrap_interval(rng.exponential(size=60), seed=k, n=300, level=0.9) for k in range(400)
    ]
    covered = np.mean([interval.low <= 1 <= interval.high for interval in intervals])
    assert 0.82 < covered < 0.94


def test_bootstrap_interval_has_the_width_of_the_standard_error(rng: np.random.Generator) -> None:
    values = rng.normal(5, 2, size=400)
    interval = bootstrap_interval(values, seed=0)
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert interval == bootstrap_interval(values, seed=0)
    assert interval != bootstrap_interval(values, seed=1)


def test_bootstrap_leaves_unscored_planets_out() -> None:
    values = np.array([1.0, np.nan, 3.0, 2.0, np.nan])
    assert bootstrap_interval(values, seed=0) == bootstrap_interval(np.array([1.0, 3, 2]), seed=0)
    assert np.isnan(bootstrap_interval(np.full(3, np.nan), seed=0)).all()
    alone = bootstrap_interval(np.array([7.0, np.nan]), seed=0)
    assert alone.estimate == 7
    assert np.isnan([alone.low, alone.high]).all()


def test_bootstrap_survives_infinite_values() -> None:
    interval = bootstrap_interval(np.array([-np.inf, *np.zeros(99)]), seed=0)
    assert (interval.estimate, interval.low, interval.high) == (-np.inf, -np.inf, 0)


def test_bootstrap_of_a_statistic_that_is_no_mean(rng: np.random.Generator) -> None:
    truth = rng.normal(size=(300, 2))
    mean = truth + rng.normal(size=(300, 2)) * [0.5, 1.0]
    interval = bootstrap_statistic(lambda rows: r2_score(truth[rows], mean[rows]), 300, 0, n=500)
    np.testing.assert_allclose(interval.estimate, r2_score(truth, mean))
    # R² of unit truth with errors of variance 0.25 and 1.
    assert (interval.low < [0.75, 0.0]).all()
    assert (interval.high > [0.75, 0.0]).all()
    assert (interval.high - interval.low < 0.6).all()


def test_bootstrap_leaves_resamples_without_a_value_out() -> None:
    # R² is blank on the resamples that repeat a single one of the three planets.
    truth = np.array([[0.0], [1.0], [2.0]])
    interval = bootstrap_statistic(lambda rows: r2_score(truth[rows], truth[rows]), 3, 0, n=200)
    np.testing.assert_array_equal([interval.low, interval.high], 1)


def test_bootstrap_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ArielflowError, match="expected n >= 1"):
        bootstrap_interval(np.ones(3), seed=0, level=95)
    with pytest.raises(ArielflowError, match=r"expected \(planet,\)"):
        bootstrap_interval(np.ones((3, 2)), seed=0)
    with pytest.raises(ArielflowError, match="no planets"):
        bootstrap_statistic(lambda rows: rows.mean(), 0, seed=0)


def test_a_planet_without_prediction_or_truth_has_no_scores(rng: np.random.Generator) -> None:
    def samples(n: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.uniform(LOW, HIGH, (n, 2)), np.full(n, 1 / max(n, 1))

    table = score_planets(
        ["whole", "no prediction", "no truth"],
        [samples(200), samples(0), samples(200)],
        [samples(200), samples(200), samples(0)],
        np.stack([LOW, HIGH, LOW]),
        target_names=["x", "y"],
        bounds=(LOW, HIGH),
        metrics=("adc2023_posterior",),
        seed=1,
    ).set_index("planet_ID")
    assert table["posterior_score"].notna().tolist() == [True, False, False]
    assert table["energy_score"].notna().tolist() == [True, False, True]
    assert table["mean_x"].notna().tolist() == [True, False, True]
    (row,) = ks_by_target({"flow": table}).to_dict("records")
    assert row == {"model": "flow", "x": table["ks_x"]["whole"], "y": table["ks_y"]["whole"]}


def test_leaderboard_names_the_worst_planet() -> None:
    table = pd.DataFrame({"planet_ID": ["a", "b", "c"]}).assign(**dict.fromkeys(SCORES, 1.0))
    table["posterior_score"] = [np.nan, 700.0, 900.0]
    unknown = table.assign(posterior_score=np.nan)
    board = leaderboard(
        {"flow": table, "other": unknown}, target_names=[], metrics=(), seed=0, calibration={}
    ).set_index("model")
    assert board.loc["flow", ["worst_planet", "worst_planet_score"]].tolist() == ["b", 700.0]
    assert board.loc["other", ["worst_planet", "worst_planet_score"]].isna().all()
