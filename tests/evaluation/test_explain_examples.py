"""Permutation, rules, counterfactuals and examples of models that are known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from explained_models import LinearEnsemble, LinearModel

from arielflow.core.errors import ArielflowError
from arielflow.data.forward_models import edition_model
from arielflow.editions import get_edition
from arielflow.evaluation.explain.attributions import Effort
from arielflow.evaluation.explain.bands import BinGroup
from arielflow.evaluation.explain.counterfactual import least_changes, without_molecules
from arielflow.evaluation.explain.differentiable import Mixed, SpectrumFunction
from arielflow.evaluation.explain.explanation import attribution_rows, explain
from arielflow.evaluation.explain.neighbours import Whitening, nearest_planets
from arielflow.evaluation.explain.permutation import exchanged, permutation_importance
from arielflow.evaluation.explain.rules import imitate, rule_features
from arielflow.evaluation.explain.semantics import probe_embedding
from arielflow.models import make_estimator
from arielflow.physics.forward import ForwardModel

FIVE = np.array([3, 4, 5, 6, 7])


def reader(bins: np.ndarray, bend: float | None = None) -> LinearModel:
    """A model all of whose answers are the mean depth of some bins."""
    slope = np.zeros((7, 52))
    slope[:, bins] = 1000.0 / len(bins)
    return LinearModel(slope, np.full(7, 0.01), bend)


def test_an_exchange_moves_only_its_bins(simulated) -> None:
    for conditional in (True, False):
        moved = exchanged(simulated, FIVE, 1, conditional=conditional)
        change = moved["transit_depth"].values - simulated["transit_depth"].values
        assert not np.delete(change, FIVE, axis=1).any() and change[:, FIVE].any()


def test_what_the_other_bins_foretell_stays(simulated) -> None:
    rms = [
        np.sqrt(
            np.mean(
                (
                    exchanged(simulated, FIVE, 1, conditional=conditional)["transit_depth"].values
                    - simulated["transit_depth"].values
                )
                ** 2
            )
        )
        for conditional in (True, False)
    ]
    assert rms[0] < 0.5 * rms[1]


def test_only_the_bins_that_a_model_reads_are_important(simulated) -> None:
    groups = [BinGroup("read", FIVE), BinGroup("unread", np.arange(30, 40))]
    clusters = np.where(np.arange(simulated.sizes["planet"]) % 2 == 0, 1, 2)
    table = permutation_importance(
        LinearEnsemble(reader(FIVE)), simulated, groups, seed=1, repeats=2, clusters=clusters
    )
    assert set(table["cluster"]) == {0, 1, 2} and set(table["planets"]) == {300, 150}
    assert (table.loc[table["group"] == "read", "shift"] > 0.1).all()
    assert (table.loc[table["group"] == "unread", ["shift", "lost_r2"]] == 0).all(axis=None)


def test_few_planets_are_no_permutation(simulated) -> None:
    few = simulated.isel(planet=slice(0, 5))
    with pytest.raises(ArielflowError, match="5 planets are too few to exchange"):
        permutation_importance(LinearEnsemble(reader(FIVE)), few, [BinGroup("a", FIVE)], seed=1)


def test_a_tree_finds_the_only_feature_that_matters() -> None:
    features = np.random.default_rng(1).normal(size=(400, 10))
    answers = np.stack([2.0 * (features[:, 3] > 0.5), features[:, 7]], axis=1)
    names = [f"depth at {number} um [scale heights]" for number in range(10)]
    rules = imitate(answers, features, names, ["step", "ramp"], truth=answers, depth=3)
    fidelity = rules.table.set_index("target")["fidelity"]
    assert fidelity["step"] > 0.97 and 0.9 < fidelity["ramp"] < 1
    np.testing.assert_array_equal(rules.table["fidelity"], rules.table["true_r2"])
    np.testing.assert_allclose(rules.table["model_r2"], 1)
    for target, own in (("step", 3), ("ramp", 7)):
        text = rules.texts[target]
        assert names[own] in text
        assert not [name for name in names if name != names[own] and name in text]
    shuffled = np.random.default_rng(2).permutation(answers)
    assert (imitate(shuffled, features, names, ["a", "b"]).table["fidelity"] < 0.2).all()


def test_rules_speak_of_wavelengths_and_units(simulated) -> None:
    values, names = rule_features(simulated)
    assert values.shape == (300, len(names)) and np.isfinite(values).all()
    assert names[0] == "depth at 0.55 um [scale heights]"
    assert names[-1] == "star radius [R_Sun]" and all("[" in name for name in names)
    with pytest.raises(ArielflowError, match="3 planets are too few to learn rules"):
        imitate(np.zeros((3, 1)), values[:3], names, ["a"])


@pytest.mark.parametrize("sigmas", [1.0, -2.0])
def test_the_counterfactual_of_a_linear_model_is_known(simulated, sigmas) -> None:
    planets = simulated.isel(planet=slice(0, 4))
    error = planets["transit_depth_error"].values
    slope = np.random.default_rng(4).normal(size=(7, 52)) / error.mean()
    model = Mixed([LinearModel(slope, np.full(7, 0.3))], np.ones(1))
    function = SpectrumFunction(model, planets, "mean")
    deviation = np.full((4, 7), 0.3)
    found = least_changes(function, deviation, sigmas=sigmas)
    per_error = slope * error[:, None, :]
    length = np.linalg.norm(per_error, axis=2)
    wanted = sigmas * 0.3 * per_error / length[:, :, None] ** 2
    np.testing.assert_allclose(found.change, wanted, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(found.distance, abs(sigmas) * 0.3 / length, rtol=1e-6)
    np.testing.assert_allclose(found.moved, sigmas, rtol=1e-6)


def test_a_bent_model_is_moved_as_far_as_it_goes(simulated) -> None:
    planets = simulated.isel(planet=slice(0, 3))
    depth = planets["transit_depth"].values
    slope = np.zeros((7, 52))
    slope[:, 10] = 1 / planets["transit_depth_error"].values.mean()
    # Answers start near zero: a bend far above what is asked for, and one far below.
    centred = planets.assign(transit_depth=planets["transit_depth"].copy(data=0.0 * depth))
    for bend, reached in ((3.0, True), (0.5, False)):
        model = Mixed([LinearModel(slope, np.ones(7), bend)], np.ones(1))
        found = least_changes(SpectrumFunction(model, centred, "mean"), np.ones((3, 7)))
        assert np.isfinite(found.distance).all() == reached
        assert (np.abs(found.moved - 1) < 0.03).all() == reached


def test_a_molecule_taken_out_is_seen_by_the_bins_that_it_absorbs_in(simulated, physics) -> None:
    planets = simulated.isel(planet=slice(0, 3))
    forward = ForwardModel(edition_model(get_edition("adc2023"), physics), planets)

    class Truthful(LinearEnsemble):
        """Answers the truth, whatever the spectrum, but for the depth that it reads."""

        def mixture(self, given, n_samples, *, seed):
            found = super().mixture(given, n_samples, seed=seed)
            change = found.theta - super().mixture(planets, n_samples, seed=seed).theta
            return found._replace(theta=planets["theta"].values[:, None] + change)

    table = without_molecules(
        Truthful(reader(np.array([9]))), planets, forward, n_samples=4, seed=1
    )
    assert set(table["molecule"]) == {"H2O", "CO2", "CO", "CH4", "NH3"}
    assert (table["change_sigma"] >= 0).all() and table["change_sigma"].max() > 1
    # Less absorbs, so depths fall; a little may rise as the atmosphere gets lighter.
    change = table["median_after"] - table["median_before"]
    assert change.min() < 0 and change.max() < 0.1 * abs(change.min())


def test_a_planet_without_a_spectrum_to_take_a_molecule_from_has_no_answer(simulated) -> None:
    planets = simulated.isel(planet=slice(0, 3))

    class Forward:
        def spectra(self, rows, theta):
            bare = np.isneginf(theta).any(axis=1)
            missing = np.where(rows == 1, np.nan, 1e-4)
            return np.where(bare, 0, missing)[:, None] + np.zeros(planets.sizes["wavelength"])

    table = without_molecules(
        LinearEnsemble(reader(np.array([9]))), planets, Forward(), n_samples=4, seed=1
    )
    names = planets["planet"].values.astype(str)
    unknown = table[["median_after", "shift", "change_sigma"]].isna()
    assert (unknown.all(axis=1) == (table["planet"] == names[1])).all()
    assert (unknown.any(axis=1) == (table["planet"] == names[1])).all()


def test_a_planet_is_its_own_nearest_neighbour(simulated) -> None:
    training = simulated.isel(planet=slice(0, 200))
    model = Mixed([reader(FIVE)], np.ones(1))
    table = nearest_planets(model, training.isel(planet=slice(3, 6)), training, count=2)
    first = table[table["rank"] == 1]
    assert (first["planet"] == first["neighbour"]).all()
    np.testing.assert_allclose(first["distance"], 0, atol=1e-4)
    assert (first["atypical"] == 0).all() and len(table) == 6
    np.testing.assert_array_equal(
        first["log_H2O"], training["theta"].values[3:6, list(training["target"]).index("log_H2O")]
    )


def test_whitened_embeddings_have_unit_covariance_where_they_vary() -> None:
    mixed = np.random.default_rng(1).normal(size=(500, 3)) @ [[1, 2, 0], [0, 3, 0], [0, 0, 0.01]]
    white = Whitening(mixed)(mixed)
    assert white.shape == (500, 2)
    np.testing.assert_allclose(np.cov(white.T), np.eye(2), atol=1e-9)


def test_models_without_a_context_network_have_no_embedding(simulated) -> None:
    forest = Mixed([make_estimator("random_forest")], np.ones(1))
    with pytest.raises(ArielflowError, match="random_forest has no embedding"):
        nearest_planets(forest, simulated, simulated)


@pytest.fixture(scope="module")
def flow(simulated):
    settings = {"layer_pairs": 1, "hidden": 16, "context_width": 16, "context_blocks": 1}
    flow = make_estimator("flow", settings | {"embedding": 8, "training": {"epochs": 3}})
    flow.fit(*(simulated.isel(planet=part) for part in (slice(0, 250), slice(250, 300))), seed=1)
    return flow


def test_probes_find_what_the_spectrum_tells(simulated, flow) -> None:
    table = probe_embedding(Mixed([flow], np.ones(1)), simulated, seed=1).set_index("quantity")
    assert {"planet_radius", "log_H2O", "log planet mass", "log mean error"} <= set(table.index)
    # The features hold these as they are.
    assert table.loc["log planet mass", "spectrum"] > 0.99
    assert (table[["trained", "untrained", "spectrum"]] <= 1).all(axis=None)
    with pytest.raises(ArielflowError, match="20 planets are too few to probe"):
        probe_embedding(Mixed([flow], np.ones(1)), simulated.isel(planet=slice(0, 20)), seed=1)


def test_every_part_is_there_or_says_why_not(simulated, flow, physics, tmp_path) -> None:
    from arielflow.models.ensemble import Ensemble

    flow.save(tmp_path / "0")
    ensemble = Ensemble([tmp_path / "0"], device="cpu")
    planets = simulated.isel(planet=slice(250, 254))
    model = edition_model(get_edition("adc2023"), physics)
    found = explain(
        ensemble,
        planets,
        reference=simulated,
        forward=lambda part: ForwardModel(model, part),
        n_paths=1,
        effort=Effort(steps=4, draws=2, samples=16, repeats=1),
        seed=3,
    )
    assert not found.skipped
    assert set(found.tables) == {
        *("agreement", "without_molecules", "counterfactual", "permutation", "neighbours"),
        *("probes", "rules"),
    }
    assert found.gain.gain.shape == found.attributions["mean, gradient"].shape == (4, 7, 52)
    assert found.attributions["mean, SHAP (slope)"].shape == (1, 7, 52)
    rows = attribution_rows(found)
    assert {"gain", "mean", "width", "log_prob"} == set(rows["answer"])
    assert np.isfinite(rows["per_error_bar"]).all()
    alone = explain(ensemble, planets, n_paths=1, seed=3)
    assert {"permutation", "neighbours", "probes", "rules"} == set(alone.skipped)
    unusable = planets.assign(quality=planets["quality"].copy(data=np.full(4, 1)))
    with pytest.raises(ArielflowError, match="none of 4 planets is usable"):
        explain(ensemble, unusable)


def test_planets_that_the_model_has_no_answer_for_are_left_out(simulated, flow, tmp_path) -> None:
    from arielflow.models.ensemble import Ensemble

    flow.save(tmp_path / "0")
    ensemble = Ensemble([tmp_path / "0"], device="cpu")
    planets = simulated.isel(planet=slice(250, 253)).copy(deep=True)
    mass = list(planets["auxiliary_quantity"].values).index("planet_mass_kg")
    planets["auxiliary_value"][1, mass] = -1.0
    few = {"n_paths": 1, "effort": Effort(steps=2, draws=2, samples=8, repeats=1)}
    found = explain(ensemble, planets, **few)
    names = planets["planet"].values
    assert found.planets["planet"].values.tolist() == [names[0], names[2]]
    assert all(np.isfinite(values).all() for values in found.attributions.values())
    with pytest.raises(ArielflowError, match="no answer for any of 1 planets, the first: flow"):
        explain(ensemble, planets.isel(planet=[1]), **few)
    with pytest.raises(ArielflowError, match="give planets like those of the training"):
        explain(ensemble, planets.isel(wavelength=slice(0, 40)), **few)
