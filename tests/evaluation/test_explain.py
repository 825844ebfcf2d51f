"""Explanations of models whose explanations are known, and the gain of problems that are linear."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from explained_models import LinearEnsemble, LinearModel
from scipy.stats import spearmanr

from arielflow.core.errors import ArielflowError
from arielflow.editions import get_edition
from arielflow.evaluation.explain import attributions as local
from arielflow.evaluation.explain.agreement import (
    agreement_table,
    detectable,
    random_weights,
    rank_correlation,
)
from arielflow.evaluation.explain.bands import band_groups, disjoint_groups
from arielflow.evaluation.explain.differentiable import Mixed, SpectrumFunction
from arielflow.evaluation.explain.gain import Gain, linear_gain, posterior_gain
from arielflow.models import make_estimator


@pytest.fixture(scope="module")
def planets(simulated):
    return simulated.isel(planet=slice(0, 6))


@pytest.fixture(scope="module")
def slope(planets) -> np.ndarray:
    """Change of every target per unit of depth, of the size of a target's unit per error bar."""
    error = planets["transit_depth_error"].values.mean()
    return np.random.default_rng(4).normal(size=(7, 52)) / error


@pytest.fixture(scope="module")
def linear(slope) -> Mixed:
    return Mixed([LinearModel(slope, np.full(7, 0.3))], np.ones(1))


@pytest.fixture(scope="module")
def exact(planets, slope) -> np.ndarray:
    """What every slope of the linear model is, per error bar."""
    return slope * planets["transit_depth_error"].values[:, None, :]


def linear_problem(seed: int = 1):
    """Jacobian, errors and prior of a linear problem, and its posterior mean and covariance."""
    rng = np.random.default_rng(seed)
    derivative, error = rng.normal(size=(1, 30, 4)), rng.uniform(0.5, 2, (1, 30))
    low, high = np.full((1, 4), -3.0), np.array([[1.0, 3.0, 5.0, 2.0]])
    prior = np.diag(((high - low)[0] ** 2) / 12)
    noise = np.diag(1 / error[0] ** 2)
    covariance = np.linalg.inv(derivative[0].T @ noise @ derivative[0] + np.linalg.inv(prior))
    return derivative, error, low, high, covariance, noise


def test_the_gain_moves_the_mean_of_a_linear_posterior() -> None:
    derivative, error, low, high, covariance, noise = linear_problem()
    found = linear_gain(derivative, error, low, high)
    data = np.random.default_rng(2).normal(size=30)

    def mean(values: np.ndarray) -> np.ndarray:
        return covariance @ derivative[0].T @ noise @ values

    for column in range(30):
        moved = data.copy()
        moved[column] += error[0, column]
        np.testing.assert_allclose(found.gain[0, :, column], mean(moved) - mean(data), atol=1e-12)
    np.testing.assert_allclose(found.deviation[0], np.sqrt(np.diag(covariance)))


def test_the_gain_of_samples_is_that_of_the_linear_posterior() -> None:
    derivative, error, low, high, covariance, _ = linear_problem()
    theta = np.random.default_rng(3).multivariate_normal(np.zeros(4), covariance, 100_000)
    spectra = theta @ derivative[0].T
    found = posterior_gain(theta[None], np.ones((1, len(theta))), spectra[None], error)
    wanted = linear_gain(derivative, error, low, high)
    np.testing.assert_allclose(found.gain, wanted.gain, atol=0.02 * wanted.deviation.max())
    np.testing.assert_allclose(found.deviation, wanted.deviation, rtol=0.02)


def test_a_spectrum_that_the_model_has_none_for_has_no_gain() -> None:
    derivative, error, low, high, *_ = linear_problem()
    both = np.concatenate([np.full_like(derivative, np.nan), derivative])
    twice = [np.concatenate([values, values]) for values in (error, low, high)]
    found = linear_gain(both, *twice)
    assert np.isnan(found.gain[0]).all() and np.isnan(found.deviation[0]).all()
    np.testing.assert_allclose(found.gain[1:], linear_gain(derivative, error, low, high).gain)


def test_every_slope_of_a_linear_model_is_its_own(planets, linear, exact) -> None:
    function = SpectrumFunction(linear, planets, "mean")
    flat, effort = local.flat_baselines(function), local.Effort(steps=4, draws=4)
    others = planets["transit_depth"].values
    shaped = local.shaped_baselines(function, others)
    for found in (
        local.gradients(function),
        local.smoothed_gradients(function, effort, 1),
        local.integrated_gradients(function, flat, effort, "slope"),
        local.expected_gradients(function, shaped, effort, "slope", 1),
    ):
        np.testing.assert_allclose(found, exact, rtol=1e-6)
    width = SpectrumFunction(linear, planets, "width")
    assert not local.gradients(width).any()


def test_contributions_add_up_to_the_difference_from_the_baseline(planets, slope) -> None:
    bent = Mixed([LinearModel(slope, np.full(7, 0.3), bend=2.0)], np.ones(1))
    function = SpectrumFunction(bent, planets.isel(planet=slice(0, 2)), "mean")
    flat, rows = local.flat_baselines(function), torch.arange(len(function.depth))
    difference = (function(function.depth, rows) - function(flat, rows)).numpy()
    found = local.integrated_gradients(function, flat, local.Effort(steps=100), "contribution")
    np.testing.assert_allclose(found.sum(axis=2), difference, atol=0.05)
    groups = disjoint_groups(planets["wavelength"].values)
    shap = local.kernel_shap(function, flat, groups, local.Effort(coalitions=80), 1)
    np.testing.assert_allclose(shap.sum(axis=2), difference, atol=1e-3)


def test_kernel_shap_of_a_linear_model_is_known(planets, linear, slope) -> None:
    function = SpectrumFunction(linear, planets.isel(planet=[0]), "mean")
    flat = local.flat_baselines(function)
    groups = disjoint_groups(planets["wavelength"].values)
    found = local.kernel_shap(function, flat, groups, local.Effort(coalitions=400), 1)
    terms = slope * (function.depth - flat).numpy()
    for group in range(groups.max() + 1):
        inside = groups == group
        np.testing.assert_allclose(
            found[0][:, inside].sum(axis=1), terms[:, inside].sum(axis=1), atol=1e-3
        )
        assert np.ptp(found[0][:, inside], axis=1).max() < 1e-9


def test_models_without_derivatives_are_moved_bin_by_bin(planets, linear, exact) -> None:
    ensemble = LinearEnsemble(linear.estimators[0])
    found = local.finite_differences(ensemble, planets, local.Effort(step=3.0), 8, 1)
    np.testing.assert_allclose(found["mean"], exact, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["width"], 0, atol=1e-6)


def test_the_density_alone_gives_the_slope_of_the_mean(planets, linear, exact) -> None:
    few = planets.isel(planet=slice(0, 2))
    theta = LinearEnsemble(linear.estimators[0]).mixture(few, 500, seed=2).theta
    found = local.score_covariance(
        theta, lambda points: SpectrumFunction(linear, few, "log_prob", theta=points)
    )
    # Spreads by the square root of the number of samples.
    np.testing.assert_allclose(found, exact[:2], atol=0.25 * np.abs(exact).max())
    assert rank_correlation(found, exact[:2]).min() > 0.9


def test_captums_draws_leave_the_global_generators_alone(planets, linear) -> None:
    function = SpectrumFunction(linear, planets, "mean")
    shaped = local.shaped_baselines(function, planets["transit_depth"].values)
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    local.expected_gradients(function, shaped, local.Effort(draws=2), "slope", 1)
    assert torch.equal(torch.random.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002


def test_what_cannot_be_differentiated_says_so(planets) -> None:
    forest = make_estimator("random_forest")
    with pytest.raises(ArielflowError, match="random_forest cannot be differentiated for mean"):
        SpectrumFunction(Mixed([forest], np.ones(1)), planets, "mean")


def test_rank_correlations_are_scipys() -> None:
    first, second = np.random.default_rng(1).normal(size=(2, 3, 40))
    first[0, :5] = first[0, 0]
    wanted = [spearmanr(a, b).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), wanted)
    assert np.isnan(rank_correlation(np.ones((1, 40)), second[:1])).all()
    assert np.isnan(rank_correlation(np.full((1, 40), np.nan), second[:1])).all()
    np.testing.assert_allclose(rank_correlation(first, -first), -1)


def test_detectable_is_what_the_spectrum_tells() -> None:
    deviation = np.array([[0.2, 1.2, 0.9, 0.2]])
    low, high = np.zeros((1, 4)), np.array([[9.0, 9.0, 3.0, 9.0]])
    theta = np.array([[1.0, 1.0, 1.0, np.nan]])
    gain = Gain(np.zeros((1, 4, 5)), deviation)
    told = detectable(gain, ["H2O", "CO2", "CO", "CH4"], theta, low, high)
    # Below 1 dex; above it; no better than the narrow prior; unknown.
    assert told.tolist() == [[True, False, False, False]]


def test_the_table_counts_the_planets_that_count() -> None:
    gain = np.random.default_rng(1).normal(size=(5, 2, 20))
    counted = np.array([[True, False]] * 4 + [[False, False]])
    table = agreement_table({"same": gain, "opposite": -gain}, gain, counted, ["H2O", "CO2"])
    first = table.set_index(["method", "target"])
    assert first.loc[("same", "H2O"), ["planets", "median_rho"]].tolist() == [4, 1]
    assert first.loc[("opposite", "H2O"), ["median_rho", "positive"]].tolist() == [-1, 0]
    assert np.isnan(first.loc[("same", "CO2"), "median_rho"])


def test_random_weights_are_new_and_reproducible_and_keep_the_scalers(simulated) -> None:
    settings = {"layer_pairs": 1, "hidden": 8, "context_width": 8, "context_blocks": 1}
    flow = make_estimator("flow", settings | {"training": {"epochs": 1}})
    flow.fit(*(simulated.isel(planet=part) for part in (slice(0, 60), slice(60, 80))), seed=1)
    model = Mixed([flow], np.ones(1))
    before = torch.random.get_rng_state()
    first, same, other = (random_weights(model, seed).estimators[0] for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    states = [estimator.network.state_dict() for estimator in (first, same, other, flow)]
    changed = [name for name in states[0] if not torch.equal(states[0][name], states[3][name])]
    assert changed and not [name for name in changed if name.startswith(("context", "coord"))]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in changed)


def test_bands_hold_every_bin_of_the_edition() -> None:
    wavelength = get_edition("adc2023").wavelength_um
    groups = band_groups(wavelength)
    assert set(np.concatenate([group.bins for group in groups])) == set(range(len(wavelength)))
    assert len({group.name for group in groups}) == len(groups)
    assert all((np.diff(group.bins) == 1).all() for group in groups)
    numbers = disjoint_groups(wavelength)
    assert (np.diff(numbers) >= 0).all() and set(numbers) == set(range(numbers.max() + 1))
