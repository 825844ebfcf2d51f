"""Leaving bins out by weights, held against models whose leave-one-out predictions are known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import multivariate_normal, norm

from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_dataset
from arielflow.core.samples import choose_weighted
from arielflow.core.schema import open_dataset, posterior_dataset
from arielflow.evaluation.leave_one_out import leave_bins_out, leave_one_out
from arielflow.retrieval.kept_draws import KeptDraws, kept_draws, with_kept_draws
from arielflow.retrieval.planets import gather_posteriors

N_BINS, SIGMA = 24, 0.5


class LinearModel:
    """A line through bins with Gaussian errors and a standard normal prior on its parameters."""

    def __init__(self, outlier: float = 0.0) -> None:
        rng = np.random.default_rng(4)
        x = np.linspace(-1, 1, N_BINS)
        self.design = np.column_stack([np.ones(N_BINS), x, np.where(np.arange(N_BINS) == 20, 6, 0)])
        truth = np.array([0.3, -0.8, 0.2])
        self.y = self.design @ truth + SIGMA * rng.standard_normal(N_BINS)
        self.y[20] += outlier

    def posterior(self, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (3,) and covariance (3, 3) given some bins."""
        design = self.design[used]
        covariance = np.linalg.inv(np.eye(3) + design.T @ design / SIGMA**2)
        return covariance @ design.T @ self.y[used] / SIGMA**2, covariance

    def elpd(self) -> np.ndarray:
        """Exact leave-one-out log predictive densities (bin,)."""
        found = []
        for number in range(N_BINS):
            mean, covariance = self.posterior(np.arange(N_BINS) != number)
            row = self.design[number]
            width = np.sqrt(SIGMA**2 + row @ covariance @ row)
            found.append(norm(row @ mean, width).logpdf(self.y[number]))
        return np.array(found)

    def log_likelihood(self, theta: np.ndarray) -> np.ndarray:
        """By bin (n, bin)."""
        return norm.logpdf(self.y, theta @ self.design.T, SIGMA)

    def weighted(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws (n, 3) of a proposal that is shifted and too wide, and their weights (n,)."""
        mean, covariance = self.posterior(np.ones(N_BINS, dtype=bool))
        shifted = mean + np.sqrt(np.diag(covariance)) * [0.5, -0.4, 0.3]
        proposal = multivariate_normal(shifted, 2.2 * covariance)
        theta = proposal.rvs(n, random_state=seed)
        prior = multivariate_normal(np.zeros(3), np.eye(3))
        log_weight = self.log_likelihood(theta).sum(axis=1) + prior.logpdf(theta)
        log_weight -= proposal.logpdf(theta)
        return theta, np.exp(log_weight - log_weight.max())


@pytest.mark.parametrize("n_kept", [None, 1000])
def test_weighted_draws_of_a_linear_model_give_its_exact_leave_one_out(n_kept) -> None:
    model = LinearModel()
    theta, weight = model.weighted(6000, 1)
    if n_kept:
        chosen, weight = choose_weighted(weight, n_kept, np.random.default_rng(2))
        theta = theta[chosen]
    found = leave_one_out(model.log_likelihood(theta), weight)
    usual = np.arange(N_BINS) != 20
    difference = np.abs(found.elpd - model.elpd())[usual]
    assert (difference < 0.05).all()
    assert np.mean(difference < 2 * found.elpd_error[usual]) > 0.8
    assert (found.pareto_shape[usual] < 0.7).all()
    assert not found.needs_refit[usual].any()
    # Two parameters are shared by 23 bins; the third is one bin's own.
    assert found.p_loo[usual].sum() == pytest.approx(2, abs=0.5)


def test_weights_count() -> None:
    """As if all draws were alike, the proposal's shift would be in the predictions."""
    model = LinearModel()
    theta, weight = model.weighted(6000, 1)
    by_bin = model.log_likelihood(theta)
    right, wrong = (leave_one_out(by_bin, w).elpd for w in (weight, np.ones(len(weight))))
    exact = model.elpd()
    assert np.abs(wrong - exact).max() > 3 * np.abs(right - exact)[np.arange(N_BINS) != 20].max()


def test_a_bin_that_alone_fixes_a_parameter_is_flagged() -> None:
    model = LinearModel(outlier=4.0)
    theta, weight = model.weighted(4000, 3)
    found = leave_one_out(model.log_likelihood(theta), weight)
    assert found.pareto_shape[20] > 0.7
    assert np.flatnonzero(found.needs_refit).tolist() == [20]


def test_a_bin_without_a_value_is_left_as_it_is() -> None:
    model = LinearModel()
    theta, weight = model.weighted(500, 1)
    by_bin = model.log_likelihood(theta)
    by_bin[:, 3] = np.nan
    found = leave_one_out(by_bin, weight)
    assert np.flatnonzero(np.isnan(found.elpd)).tolist() == [3]
    assert not found.needs_refit[3]
    assert found.total == pytest.approx(np.delete(found.elpd, 3).sum())


def test_draws_that_do_not_do_are_refused() -> None:
    by_bin = np.zeros((100, 4))
    with pytest.raises(ArielflowError, match="24 draws have a weight, expected at least 25"):
        leave_one_out(by_bin, np.arange(100) < 24)
    by_bin[7, 2] = np.nan
    with pytest.raises(ArielflowError, match="bin 2 has a log-likelihood in 99 of 100 draws"):
        leave_one_out(by_bin, np.ones(100))
    with pytest.raises(ArielflowError, match="1 of 100 weights are negative or not finite"):
        leave_one_out(np.zeros((100, 4)), np.where(np.arange(100) == 5, np.nan, 1.0))


def test_one_overwhelming_weight_is_flagged_not_trusted() -> None:
    by_bin = np.zeros((60, 2))
    by_bin[0] = -900.0
    found = leave_one_out(by_bin, np.ones(60))
    assert found.needs_refit.all() and np.isfinite(found.elpd).all()


def test_chosen_draws_stand_for_all_of_them_without_bias() -> None:
    weight = np.random.default_rng(1).lognormal(sigma=1.5, size=300)
    weight[7] = 0
    weight /= weight.sum()
    found = np.zeros((400, 300))
    for seed, row in enumerate(found):
        chosen, own = choose_weighted(weight, 100, np.random.default_rng(seed))
        assert len(chosen) == len(set(chosen)) == 100 and own.sum() == pytest.approx(1)
        row[chosen] = own
    np.testing.assert_array_equal(found[:, 7], 0)
    # The smallest weight of a choice is the threshold, and what is above it is kept every time.
    threshold = found[found > 0].min()
    large = weight > 1.001 * threshold
    assert large.sum() > 20
    np.testing.assert_allclose(found[:, large], np.broadcast_to(weight[large], (400, large.sum())))
    error = found.std(axis=0) / np.sqrt(len(found)) + 1e-12
    assert np.abs((found.mean(axis=0) - weight) / error)[~large & (weight > 0)].max() < 4.5
    few, own = choose_weighted(weight[:50], 100, np.random.default_rng(1))
    assert len(few) == 49  # the one without weight is left out
    np.testing.assert_allclose(own, weight[few] / weight[:50].sum())
    with pytest.raises(ArielflowError, match="expected at least 1"):
        choose_weighted(weight, 0, np.random.default_rng(1))


def _planets(names: list[str]) -> xr.Dataset:
    columns = {f"target_{name}": ("target", list("abc")) for name in ("quantity", "units", "latex")}
    return xr.Dataset(coords={"planet": names, "target": list("abc"), **columns})


def _posterior(names: list[str]) -> xr.Dataset:
    """Planets of the linear model; the one called ``failed`` keeps no draws, ``few`` but some."""
    model = LinearModel()
    kept = {}
    for row, name in enumerate(names):
        if name != "failed":
            theta, weight = model.weighted(60 if name == "few" else 100, len(name))
            kept[row] = KeptDraws(theta, weight / weight.sum(), model.log_likelihood(theta))
    theta = np.zeros((len(names), 10, 3))
    posterior = posterior_dataset(_planets(names), theta)
    return with_kept_draws(posterior, kept, 100, np.arange(1.0, 1 + N_BINS))


def test_kept_draws_survive_a_file_and_the_gathering_of_chunks(tmp_path) -> None:
    names = ["one", "failed", "few", "another", "fifth"]
    whole = _posterior(names)
    for number in range(2):
        write_dataset(_posterior(names[number::2]), tmp_path / f"{number}.nc")
    parts = [open_dataset(tmp_path / f"{number}.nc") for number in range(2)]
    gathered = gather_posteriors(parts, _planets(names))
    write_dataset(gathered, tmp_path / "gathered.nc")
    stored = open_dataset(tmp_path / "gathered.nc")
    xr.testing.assert_equal(stored, whole)
    assert stored["draw_log_likelihood"].dtype == np.float32
    assert stored["draw_weight"].attrs["long_name"] and stored["wavelength"].attrs["units"] == "um"

    assert kept_draws(stored, "failed") is None and kept_draws(stored, "nobody") is None
    few = kept_draws(stored, "few")
    assert few.theta.shape == (60, 3) and few.weight.sum() == pytest.approx(1)
    found = leave_bins_out(stored)
    assert np.isnan(found["elpd"].sel(planet="failed")).all()
    direct = leave_one_out(few.log_likelihood, few.weight)
    np.testing.assert_allclose(found["elpd"].sel(planet="few"), direct.elpd)
    np.testing.assert_allclose(
        leave_bins_out(stored, ["few"])["p_loo"].values[0], direct.p_loo, rtol=1e-6
    )


def test_posteriors_without_draws_are_refused() -> None:
    posterior = posterior_dataset(_planets(["one"]), np.zeros((1, 10, 3)))
    with pytest.raises(ArielflowError, match="keeps no weighted draws"):
        leave_bins_out(posterior)
    with pytest.raises(ArielflowError, match="planet two is not in it"):
        leave_bins_out(_posterior(["one"]), ["two"])
