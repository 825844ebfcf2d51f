"""What follows from a posterior of one spectrum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from spectrum_results import HOSTILE, make_result

from arielflow.core.files import write_tree
from arielflow.data.description.parameters import Parameter
from arielflow.retrieval.spectra.names import label, sampled_long_name
from arielflow.retrieval.spectra.outputs import posterior_tree
from arielflow.retrieval.spectra.predictions import (
    Predictions,
    band,
    beyond_tables,
    curve,
    predict,
    temperature_profile,
)
from arielflow.retrieval.spectra.tables import edge, instrument_table, parameter_table

UNIFORM = Parameter("temperature", "uniform", 0.0, 10.0, "K", 1.0)
NORMAL = Parameter("planet_mass", "normal", 5.0, 2.0, "Mjup", 1.0)
N = 4000


@pytest.fixture(scope="module")
def result(opacities):
    return make_result(opacities)


@pytest.fixture(scope="module")
def predictions(result) -> Predictions:
    return predict(result)


def share(n: int = N) -> np.ndarray:
    """Shares of the unit interval, evenly spread and in random order."""
    return np.random.default_rng(1).permutation((np.arange(n) + 0.5) / n)


def gaussian(mean: float, sigma: float) -> np.ndarray:
    """Samples of a Gaussian within the uniform prior's edges."""
    values = mean + sigma * torch.special.ndtri(torch.as_tensor(share())).numpy()
    return values[(values > 0) & (values < 10)]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (gaussian(5, 0.5), ""),
        (gaussian(0.3, 0.05), ""),  # narrow, and six standard deviations from the edge
        (gaussian(2.5, 1.0), ""),
        (gaussian(1.0, 1.0), "upper limit"),
        (gaussian(9.0, 1.0), "lower limit"),
        (gaussian(-1.0, 1.0), "upper limit"),
        (10 * share(), "unconstrained"),
        (5 * share(), "upper limit"),  # flat up to the middle
        (10 - 3 * share(), "lower limit"),
        (gaussian(5, 10), "unconstrained"),
        (np.r_[gaussian(7, 0.2)[: N // 2], 7 * share(N // 2)], "upper limit"),  # peak with a tail
        (np.full(N, 4.0), ""),
        (np.full(N, 0.0), "upper limit"),
        (np.array([4.0]), ""),
    ],
)
def test_edge_of_a_uniform_prior(samples, expected):
    assert edge(samples, UNIFORM) == expected


def test_edge_of_a_log_uniform_prior_is_of_the_logarithm():
    prior = Parameter("H2O", "log_uniform", 1e-12, 0.1, "", 1.0)
    assert edge(-12 + 5 * share(), prior) == "upper limit"
    assert edge(-12 + 11 * share(), prior) == "unconstrained"
    assert edge(gaussian(5, 0.3) - 10, prior) == ""


def test_edge_of_a_normal_prior():
    normal = torch.special.ndtri(torch.as_tensor(share())).numpy()
    assert edge(5 + 2 * normal, NORMAL) == "as the prior"
    assert edge(5 + 0.5 * normal, NORMAL) == ""
    assert edge(6.5 + 2 * normal, NORMAL) == ""


def test_predictions_agree_with_the_model(result, predictions):
    sampled = torch.as_tensor(result.samples)
    np.testing.assert_allclose(
        predictions.depth + predictions.offset, result.model.depths(sampled).numpy(), rtol=1e-6
    )
    likelihood = result.model.log_likelihood_by_point(sampled).numpy()
    np.testing.assert_allclose(predictions.log_likelihood, likelihood, atol=1e-3)
    assert predictions.best == likelihood.sum(axis=1).argmax()
    factor = result.samples[:, result.model.names.index(f"error_factor[{HOSTILE}]")]
    np.testing.assert_allclose(predictions.error_high[:, -1], 1.2e-4 * factor)
    np.testing.assert_allclose(predictions.error_low[:, 0], 8e-5)


def test_the_native_spectrum_averages_to_the_bins(result):
    values = result.model.values(torch.as_tensor(result.samples[:3]))
    physics = result.model.physics
    native = physics.depths(values, native=True).numpy()
    found = native @ physics.transmission.projection.T
    np.testing.assert_allclose(found, physics.depths(values).numpy(), rtol=1e-6)


def test_band_takes_offsets_out_of_the_data(result, predictions):
    table = band(result, predictions)
    assert table["offset"][:8].eq(0).all()
    np.testing.assert_allclose(table["offset"][8:], 2e-4, atol=1e-5)
    order = [f"model_{name}" for name in ("low_95", "low_68", "median", "high_68", "high_95")]
    assert (np.diff(table[order], axis=1) > 0).all()
    difference = table["depth"] - table["offset"] - table["model_median"]
    error = np.where(difference < 0, table["error_high"], table["error_low"])
    np.testing.assert_allclose(table["residual_sigma"], difference / error)


def test_curve_breaks_where_there_are_no_opacities(result):
    drawn = curve(result, 20)
    assert drawn["wavelength_um"].is_monotonic_increasing
    gap = drawn[drawn["median"].isna()]["wavelength_um"]
    assert len(gap) == 1 and 1.7 < gap.item() < 3.0
    good = drawn.dropna()
    assert (good["low_95"] <= good["median"]).all() and (good["median"] <= good["high_95"]).all()
    assert len(good) > 16


def test_parameter_table(result):
    table = parameter_table(result).set_index("parameter")
    row = table.loc["planet_radius"]
    assert (row["unit"], row["prior"], row["edge"]) == ("Rjup", "uniform from 0.9 to 1.5 Rjup", "")
    samples = result.samples[:, result.model.names.index("planet_radius")]
    expected = np.quantile(samples, [0.025, 0.16, 0.5, 0.84, 0.975])
    np.testing.assert_allclose(
        row[["low_95", "low_68", "median", "high_68", "high_95"]].astype(float), expected
    )
    assert table.loc["log_H2O", "long_name"] == "log10 of the volume mixing ratio of H2O"
    # Jupiter's gravity, 25.9 m/s2, scaled; 2.3 u at 1000 K make about 700 km.
    gravity = table.loc["gravity", "median"]
    assert gravity == pytest.approx(25.9 * 0.3 / 1.2**2 * (69911 / 71492) ** 2, rel=0.03)
    weight = table.loc["mean_molecular_weight", "median"]
    assert weight == pytest.approx(2.306, abs=0.003)
    height = 8.314 * 1000 / (weight * 1e-3 * gravity) / 1000
    assert table.loc["scale_height", "median"] == pytest.approx(height, rel=0.02)
    assert "temperature_seen" not in table.index


def test_instrument_table(result, predictions):
    table = instrument_table(result, predictions).set_index("instrument")
    assert list(table.index) == ["WFC3", HOSTILE, "all"] and list(table["points"]) == [8, 8, 16]
    residual = predictions.residual[predictions.best]
    assert table.loc["all", "chi2"] == pytest.approx((residual**2).sum())
    assert table.loc["WFC3", "chi2"] == pytest.approx((residual[:8] ** 2).sum())
    assert table.loc["all", "chi2_reduced"] == pytest.approx((residual**2).sum() / 10)
    assert table.loc[HOSTILE, "error_inflation"] == pytest.approx(1.8, abs=0.05)
    assert table.loc[HOSTILE, "offset_ppm"] == pytest.approx(200, abs=10)
    assert np.isnan(table.loc["all", "offset_ppm"])


def test_temperature_profile(opacities, result):
    assert temperature_profile(result) is None
    layered = make_result(opacities, profile=True, n=50)
    profile = temperature_profile(layered)
    assert profile["pressure_bar"].iloc[0] > profile["pressure_bar"].iloc[-1]
    assert profile["median"].iloc[0] == pytest.approx(1500, abs=100)
    assert profile["median"].iloc[-1] == pytest.approx(1000, abs=60)
    assert "temperature_seen" in set(parameter_table(layered)["parameter"])


def test_temperatures_beyond_the_tables_are_counted(result):
    assert beyond_tables(result) == 0
    hot = result.samples.copy()
    hot[:75, result.model.names.index("temperature")] = 5000
    assert beyond_tables(replace(result, samples=hot)) == 0.25


def test_posterior_file_is_read_by_xarray_and_arviz(result, predictions, tmp_path):
    path = tmp_path / "posterior.nc"
    write_tree(posterior_tree(result, seed=1, predictions=predictions), path)
    assert [file.name for file in tmp_path.iterdir()] == ["posterior.nc"]
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        found = tree.load()
    assert found.attrs["seed"] == 1 and found.attrs["method"] == "importance"
    posterior = found["posterior"].to_dataset()
    radius = posterior["planet_radius"]
    assert radius.dims == ("chain", "draw") and radius.attrs["units"] == "Rjup"
    column = result.model.names.index("planet_radius")
    np.testing.assert_array_equal(radius[0], result.samples[:, column])
    offset = posterior[f"offset[{HOSTILE}]".replace("/", "_")]
    assert offset.attrs["parameter"] == f"offset[{HOSTILE}]" and offset.attrs["units"] == "ppm"
    assert found["log_likelihood"]["transit_depth"].shape == (1, 300, 16)
    np.testing.assert_array_equal(
        found["observed_data"]["transit_depth"], result.model.spectrum.depth
    )
    assert list(found["constant_data"]["instrument"].values[[0, -1]]) == ["WFC3", HOSTILE]
    arviz = pytest.importorskip("arviz_base")
    converted = arviz.convert_to_datatree(str(path))
    stacked = arviz.extract(converted, group="posterior")
    assert stacked.sizes["sample"] == 300


def test_predictive_noise_is_that_of_the_likelihood(result, predictions):
    many = {
        name: np.repeat(getattr(predictions, name), 40, axis=0)
        for name in ("depth", "offset", "error_low", "error_high")
    }
    sampled = np.repeat(predictions.sampled, 40, axis=0)
    tree = posterior_tree(result, seed=1, predictions=replace(predictions, sampled=sampled, **many,
        log_likelihood=np.repeat(predictions.log_likelihood, 40, axis=0)))  # fmt: skip
    noise = tree["posterior_predictive"]["transit_depth"].values[0] - many["depth"]
    noise = noise[:, :8].ravel()  # where there is neither an offset nor an inflation
    # Where the depth drawn lies below the model, the upper error counts.
    assert (noise < 0).mean() == pytest.approx(1.2e-4 / 2e-4, abs=0.01)
    assert np.sqrt(np.mean(noise[noise < 0] ** 2)) == pytest.approx(1.2e-4, rel=0.02)
    assert np.sqrt(np.mean(noise[noise > 0] ** 2)) == pytest.approx(8e-5, rel=0.02)


def test_every_parameter_has_words_and_a_label(opacities):
    for parameter in make_result(opacities, profile=True, n=2).model.description.free:
        assert sampled_long_name(parameter) and label(parameter)
    offset = Parameter("offset[A$b]", "uniform", -1, 1, "ppm", 1e-6)
    assert label(offset) == "offset [ppm]\nA\\$b"
    pressure = Parameter("cloud_top_pressure", "log_uniform", 1e-6, 10, "bar", 1e5)
    assert label(pressure) == r"log $P_\mathrm{cloud}$ [bar]"
