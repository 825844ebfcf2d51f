"""Drift: tests against distributions whose difference is known, and planets that are shifted."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import Quality
from arielflow.evaluation.drift.classifier import Separation, classifier_test
from arielflow.evaluation.drift.columns import compare_columns
from arielflow.evaluation.drift.compare import Drift, DriftSettings, compare_sets
from arielflow.evaluation.drift.concept import concept_drift
from arielflow.evaluation.drift.features import compared, standardised, with_components
from arielflow.evaluation.drift.kernel import mean_discrepancy
from arielflow.evaluation.drift.outputs import FIGURES, SUMMARY, TABLES, drift_content, write_drift
from arielflow.evaluation.drift.verdicts import column_words

QUICK = DriftSettings(n_permutations=199, trees=30)
KERNEL, CLASSIFIER, BINS, NOISE, PARAMETERS, CONCEPT = range(6)


def normal(n: int, columns: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return shift + np.random.default_rng(seed).standard_normal((n, columns))


def test_discrepancy_is_the_sum_over_pairs() -> None:
    first, second = normal(7, 3, 1), normal(5, 3, 2, 0.5)
    found = mean_discrepancy(first, second, seed=1, n_permutations=19)

    def kernel(a, b):
        return np.exp(-((a - b) ** 2).sum() / (2 * found.bandwidth**2))

    pairs = [
        np.mean(
            [kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(y) if x is not y or i != j]
        )
        for x, y in ((first, first), (second, second), (first, second))
    ]
    assert found.statistic == pytest.approx(pairs[0] + pairs[1] - 2 * pairs[2], abs=1e-12)
    everything = np.concatenate([first, second])
    distances = [np.linalg.norm(a - b) for i, a in enumerate(everything) for b in everything[:i]]
    assert found.bandwidth == pytest.approx(np.median(distances))


def test_discrepancy_has_its_nominal_rate_and_sees_a_shift() -> None:
    p_values = np.array(
        [
            mean_discrepancy(
                normal(40, 4, 2 * i), normal(30, 4, 2 * i + 1), seed=i, n_permutations=99
            ).p_value
            for i in range(200)
        ]
    )
    assert 0.02 <= np.mean(p_values <= 0.05) <= 0.09  # 95 % of binomial(200, .05)
    shifted = mean_discrepancy(normal(80, 4, 1), normal(80, 4, 2, 0.6), seed=1)
    assert shifted.p_value == 1 / 1000 and shifted.deviations > 5


def test_discrepancy_of_points_that_are_all_the_same_is_none() -> None:
    found = mean_discrepancy(np.ones((20, 2)), np.ones((30, 2)), seed=1)
    assert found.p_value == 1 and found.deviations == 0


def test_discrepancy_draws_at_most_as_many_points_as_asked_for() -> None:
    found = mean_discrepancy(normal(50, 2, 1), normal(20, 2, 2), seed=1, most=30)
    assert (found.n_reference, found.n_test) == (30, 20)


def test_classifier_finds_the_area_that_is_there() -> None:
    found = classifier_test(normal(400, 3, 1), normal(400, 3, 2, 0.7), seed=1, trees=50)
    # Φ(|shift|/√2) of the best classifier, with shift .7·√3.
    assert 0.74 < found.auroc < 0.83 and found.p_value < 1e-10
    assert found.is_test.sum() == 400 and set(found.half) == {0, 1}
    conformal = found.conformal_p_value
    assert np.isnan(conformal[~found.is_test]).all() and np.median(conformal[found.is_test]) < 0.3


def test_classifier_raises_no_alarm_and_conformal_p_values_are_uniform() -> None:
    found = [
        classifier_test(normal(80, 3, 2 * i), normal(40, 3, 2 * i + 1), seed=i, trees=10)
        for i in range(40)
    ]
    assert np.mean([one.p_value <= 0.05 for one in found]) <= 0.13
    conformal = np.concatenate([one.conformal_p_value[one.is_test] for one in found])
    assert conformal.mean() == pytest.approx(0.5, abs=0.05)


def test_columns_give_shift_spread_and_false_discoveries() -> None:
    reference, test = normal(4000, 20, 1), normal(3000, 20, 2)
    test[:, 3] += 0.5
    test[:, 7] *= 2
    table = compare_columns(reference, test, [f"c{i}" for i in range(20)], "column")
    assert set(table["column"][table["q_value"] < 0.01]) == {"c3", "c7"}
    row = table.iloc[3]
    assert row["shift_low"] < 0.5 < row["shift_high"] and row["shift"] == pytest.approx(
        0.5, abs=0.1
    )
    assert table["spread_ratio"][7] == pytest.approx(2, rel=0.05)
    assert column_words(row).startswith(f"c3 {row['shift']:.2f} standard deviations higher (")
    assert "times the spread" in column_words(table.iloc[7])


def test_columns_without_numbers_are_left_out_and_constants_are_compared() -> None:
    reference, test = normal(50, 4, 1), normal(60, 4, 2)
    reference[:, 0] = np.nan
    reference[:, 1], test[:, 1] = 3, 3
    reference[:, 2], test[:, 2] = 3, 4
    reference[0, 3] = np.inf
    table = compare_columns(reference, test, list("abcd"), "column").set_index("column")
    assert list(table.index) == list("bcd")
    assert table["shift"]["b"] == 0 and table["p_value"]["b"] == 1
    assert np.isnan(table["shift"]["c"]) and table["ks_distance"]["c"] == 1
    assert np.isfinite(table["shift"]["d"])


def test_features_are_scaled_by_both_sets_alike() -> None:
    first, second = normal(500, 3, 1), normal(100, 3, 2, 4.0)
    both = standardised(first, second)
    swapped = standardised(second, first)
    assert np.allclose(both[0], swapped[1]) and np.allclose(both[1], swapped[0])
    pooled = np.concatenate(both)
    assert np.allclose(pooled.mean(axis=0), 0) and np.allclose(pooled.std(axis=0), 1)
    assert with_components(first, second)[0].shape == (500, 6)


@pytest.mark.parametrize("n_test", [20, 40])
def test_a_small_set_that_is_like_the_large_one_is_not_told_apart(n_test) -> None:
    """Fewer planets than bins, in correlated bins."""
    mixed = np.random.default_rng(0).normal(size=(52, 52)) * np.geomspace(1, 0.01, 52)
    found = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        first, second = (rng.normal(size=(n, 52)) @ mixed for n in (500, n_test))
        found.append(classifier_test(*with_components(first, second), seed=seed, trees=30))
    assert np.mean([one.auroc for one in found]) == pytest.approx(0.5, abs=0.15)
    assert min(one.p_value for one in found) > 0.001


def concept_of(theta_shift: float, x_shift: float, seed: int = 1):
    """Theta is x₀ plus noise, shifted in the test set; x differs between the sets too."""
    rng = np.random.default_rng(seed)
    x = [rng.normal(shift, 1, (600, 3)) for shift in (0.0, x_shift)]
    theta = [
        np.stack([z[:, 0] + rng.normal(shift, 0.3, 600), rng.normal(size=600)], axis=1)
        for z, shift in zip(x, (0.0, theta_shift), strict=True)
    ]
    separation = classifier_test(*x, seed=seed, trees=60)
    return concept_drift(tuple(x), tuple(theta), separation, np.array(["a", "b"]), trees=40)


def test_concept_drift_is_found_and_told_from_covariate_drift() -> None:
    table = concept_of(0.3, 0.5).targets.set_index("target")
    assert table["q_value"]["a"] < 1e-6 < 0.01 < table["q_value"]["b"]
    assert 0.4 < table["error_shift"]["a"] < 1.1  # .3 over the errors of about .4
    alarms = [concept_of(0.0, 0.5, seed).targets["q_value"].min() <= 0.01 for seed in range(4)]
    assert sum(alarms) <= 1


def test_concept_of_sets_without_overlap_cannot_be_told() -> None:
    found = concept_of(0.3, 12.0)
    assert found.comparable < 0.1 and found.targets["q_value"].isna().all()


@pytest.fixture(scope="module")
def halves(simulated: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    return simulated.isel(planet=slice(0, 150)), simulated.isel(planet=slice(150, 300))


@pytest.fixture(scope="module")
def undrifted(halves) -> Drift:
    return compare_sets(*halves, seed=3, settings=QUICK)


def test_two_halves_raise_no_alarm(undrifted: Drift) -> None:
    assert [verdict.drift for verdict in undrifted.verdicts] == [False] * 6
    assert undrifted.bins.shape[0] == 52 and len(undrifted.concept) == 7
    assert "noise drawn on noise-free spectra" in undrifted.notes[0]
    assert "columns" in undrifted.verdicts[BINS].words


def test_each_drift_is_seen_where_it_is(halves) -> None:
    first, second = halves
    inside = (second["wavelength"] > 3.2) & (second["wavelength"] < 3.6)
    depth = second["transit_depth"] + 10 * inside * second["transit_depth_error"]
    column = second["target_quantity"].values == "planet_temperature"
    auxiliary = second["auxiliary_value"].copy(deep=True)
    auxiliary[:, list(second["auxiliary_quantity"].values).index("star_distance_pc")] *= 3
    drifted = {
        BINS: second.assign(transit_depth=depth),
        NOISE: second.assign(transit_depth_error=2 * second["transit_depth_error"]),
        PARAMETERS: second.assign(auxiliary_value=auxiliary),
        CONCEPT: second.assign(theta=second["theta"] + 600 * column),
    }
    found = {
        kind: compare_sets(first, planets, seed=3, settings=QUICK)
        for kind, planets in drifted.items()
    }
    for kind, drift in found.items():
        assert drift.verdicts[kind].drift and drift.verdicts[kind].p_value < 0.01
    bins = found[BINS].bins
    differing = bins["wavelength_um"][bins["q_value"] <= 0.01]
    assert differing.between(3.2, 3.6).all() and len(differing) == int(inside.sum())
    assert (bins["shift"][differing.index] > 0).all() and "higher" in found[BINS].verdicts[
        BINS
    ].words
    assert found[NOISE].noise_bins["median_ratio"].to_numpy() == pytest.approx(2, rel=0.4)
    assert "star_distance" in found[PARAMETERS].verdicts[PARAMETERS].words
    assert "planet_temp" in found[CONCEPT].verdicts[CONCEPT].words


def test_unusable_planets_are_left_out_and_counted(halves, undrifted) -> None:
    first, second = halves
    depth, quality = second["transit_depth"].values.copy(), second["quality"].values.copy()
    depth[:3], quality[:3] = np.nan, int(Quality.NON_FINITE_SPECTRUM)
    spoilt = second.assign(
        transit_depth=(("planet", "wavelength"), depth), quality=("planet", quality)
    )
    drift = compare_sets(first, spoilt, seed=3, settings=QUICK)
    assert "147 planets compared, 3 left out" in drift.notes[1]
    assert not set(second["planet"].values[:3]) & set(drift.planets["planet_ID"])
    quality[10:] = int(Quality.NON_FINITE_SPECTRUM)
    with pytest.raises(ArielflowError, match="test set has 7 usable planets of 150"):
        compare_sets(first, spoilt.assign(quality=("planet", quality)), seed=1)


def test_planets_of_both_sets_are_told(halves, undrifted) -> None:
    first, second = halves
    assert not any("spectrum of a training planet" in note for note in undrifted.notes)
    both = xr.concat([second, first.isel(planet=slice(0, 4))], "planet", data_vars="minimal")
    notes = compare_sets(first, both, seed=1, settings=QUICK).notes
    assert notes[-1].startswith("4 test planets have the spectrum of a training planet")


def test_noise_is_drawn_unless_told_otherwise(halves) -> None:
    stored = compared(halves[0], name="x", seed=1, noise=False)
    drawn = compared(halves[0], name="x", seed=1)
    assert stored.planets.identical(halves[0]) and not drawn.planets.identical(halves[0])
    notes = compare_sets(*halves, seed=1, noise=False, settings=QUICK).notes
    assert "noise-free spectra" in notes[0] and "drawn" not in notes[0]


def test_theta_that_is_not_known_gives_no_verdict(halves) -> None:
    first, second = halves
    drift = compare_sets(
        first, second.assign(theta=second["theta"] * np.nan), seed=3, settings=QUICK
    )
    assert drift.verdicts[CONCEPT].drift is None and not len(drift.concept)
    assert "theta is known of 0 test planets" in drift.verdicts[CONCEPT].words
    assert not drift.parameters["column"].str.contains("log_H2O").any()


def test_sets_of_other_bins_or_columns_are_refused(halves) -> None:
    first, second = halves
    with pytest.raises(ArielflowError, match="51 of"):
        compare_sets(first, second.isel(wavelength=slice(1, None)), seed=1)
    with pytest.raises(ArielflowError, match="target columns"):
        compare_sets(first, second.isel(target=slice(1, None)), seed=1)
    with pytest.raises(ArielflowError, match="lacks the coordinates target_units"):
        compare_sets(first, second.drop_vars("target_units"), seed=1)


def test_the_same_seed_gives_the_same_numbers(halves, undrifted) -> None:
    again = compare_sets(*halves, seed=3, settings=QUICK)
    pd.testing.assert_frame_equal(again.summary, undrifted.summary)
    pd.testing.assert_frame_equal(again.planets, undrifted.planets)


def test_outputs_are_tables_figures_and_json(undrifted, tmp_path) -> None:
    write_drift(undrifted, tmp_path)
    names = {SUMMARY, *TABLES.values(), *(f"{name}.svg" for name in FIGURES)}
    assert {path.name for path in tmp_path.iterdir()} == names
    content = json.loads((tmp_path / SUMMARY).read_text())
    assert content == drift_content(undrifted) and len(content["verdicts"]) == 6
    table = pd.read_csv(tmp_path / TABLES["bins"])
    assert list(table["wavelength_um"]) == list(undrifted.bins["wavelength_um"])
    assert "wavelength [µm]" in (tmp_path / "bins.svg").read_text()


def test_scores_are_told_by_half() -> None:
    """Conformal p-values are shares of the half."""
    found: Separation = classifier_test(normal(20, 2, 1), normal(20, 2, 2), seed=1, trees=5)
    allowed = np.arange(1, 12) / 11
    conformal = found.conformal_p_value[found.is_test]
    assert np.abs(conformal[:, None] - allowed).min(axis=1).max() < 1e-12
