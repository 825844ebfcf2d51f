"""White light curves and their noise against time scale, of curves whose noise is known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from arielflow.evaluation.frames.noise import noise_by_time_scale, outer_quarters, white_curves

N_BINS = 2000
SENSORS = np.array(["FGS1", "AIRS-CH0", "AIRS-CH0", "AIRS-CH0"])


def curves(noise: float = 0.0, depth: float = 0.0, n_bins: int = N_BINS) -> xr.Dataset:
    """One visit of FGS1 and three channels of AIRS-CH0 with a transit in its middle half."""
    rng, shape = np.random.default_rng(4), (1, n_bins, len(SENSORS))
    level = np.array([1e5, 3e4, 2e4, 1e4])
    middle = (np.arange(n_bins) >= n_bins // 4) & (np.arange(n_bins) < n_bins - n_bins // 4)
    flux = level * (1 - depth * middle[:, np.newaxis]) + noise * rng.standard_normal(shape)
    dims = ("visit", "time", "channel")
    return xr.Dataset(
        {"flux": (dims, flux), "flux_variance": (dims, np.full(shape, noise**2))},
        coords={
            "visit": [0],
            "time": (np.arange(n_bins) + 0.5) * 0.04,
            "sensor": ["FGS1", "AIRS-CH0"],
            "channel_sensor": ("channel", SENSORS),
        },
    )


def test_white_curves_are_relative_to_the_star_alone() -> None:
    white = white_curves(curves(depth=0.02))
    assert np.allclose(white["flux"].max("time"), 1) and np.allclose(
        white["flux"].min("time"), 0.98
    )
    noisy = white_curves(curves(noise=60.0))
    expected = [60 / 1e5, 60 * np.sqrt(3) / 6e4]
    assert np.allclose(noisy["error"].isel(visit=0, time=0), expected, rtol=1e-3)


def test_channels_without_flux_are_left_out_and_dark_sensors_stay_unknown() -> None:
    dark = curves(depth=0.02)
    dark["flux"][:, :, 1] = np.nan
    dark["flux"][:, :, 0] = np.nan
    white = white_curves(dark)["flux"].isel(visit=0)
    assert white.sel(sensor="FGS1").isnull().all()
    assert float(white.sel(sensor="AIRS-CH0").min()) == pytest.approx(0.98)
    assert set(noise_by_time_scale(white_curves(dark))["sensor"]) == {"AIRS-CH0"}


def test_white_noise_falls_with_the_square_root_and_the_transit_has_no_say() -> None:
    table = noise_by_time_scale(white_curves(curves(noise=60.0, depth=0.02)))
    fgs1 = table[table["sensor"] == "FGS1"].set_index("bins")
    assert fgs1.loc[1, "expected_ppm"] == pytest.approx(600, rel=1e-3)
    ratio = fgs1["scatter_ppm"] / fgs1["expected_ppm"]
    assert ratio[[1, 2, 4, 8]].between(0.9, 1.1).all() and ratio[16] == pytest.approx(1, abs=0.25)
    assert fgs1["minutes"].tolist() == pytest.approx([2.4 * bins for bins in fgs1.index])


def test_a_drift_keeps_the_noise_from_falling() -> None:
    steady = curves(noise=60.0)
    steady["flux"] = steady["flux"] * (1 + 1e-5 * np.arange(N_BINS))[np.newaxis, :, np.newaxis]
    table = noise_by_time_scale(white_curves(steady))
    last = table[table["sensor"] == "AIRS-CH0"].iloc[-1]
    assert last["scatter_ppm"] > 3 * last["expected_ppm"]


def test_short_and_cut_visits() -> None:
    first, last = outer_quarters(np.array([1.0, 2, 3, 4, 5, 6, 7, 8, np.nan, np.nan]))
    assert first.tolist() == [1, 2] and last.tolist() == [7, 8]
    assert [len(end) for end in outer_quarters(np.full(3, np.nan))] == [0, 0]
    assert noise_by_time_scale(white_curves(curves(noise=60.0, n_bins=7))).empty
    assert noise_by_time_scale(white_curves(curves(noise=60.0, n_bins=1))).empty
    assert noise_by_time_scale(white_curves(curves(noise=60.0, n_bins=8)))["bins"].tolist() == [
        1,
        1,
    ]
