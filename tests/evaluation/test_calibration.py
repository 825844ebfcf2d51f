"""A model's calibration on stored spectra, against a posterior that is known in closed form."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from report_content import N_TARGETS, make_planets
from scipy.stats import truncnorm

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import JOINT, Quality, posterior_dataset
from arielflow.evaluation.calibration import measures as calibrate
from arielflow.evaluation.diagnostics import (
    calibration_error,
    central_coverage,
    exact_calibration_error,
)
from arielflow.evaluation.leaderboard import leaderboard
from arielflow.models.features import noisy_copies

N_PLANETS = 400
ERROR = 0.2  # of a bin that shows a target directly, in widths of the prior


def linear_planets() -> xr.Dataset:
    """Planets whose first bins are the targets in units of the prior, without noise."""
    planets = make_planets(N_PLANETS, "test", 5)
    low, high = planets["prior_low"].values, planets["prior_high"].values
    depth = planets["transit_depth"].values
    depth[:, :N_TARGETS] = (planets["theta"].values - low) / (high - low)
    error = np.full(depth.shape, ERROR)
    return planets.assign(
        transit_depth=(("planet", "wavelength"), depth),
        transit_depth_error=(("planet", "wavelength"), error),
        quality=("planet", np.zeros(N_PLANETS, int)),
    )


def exact_posterior(members, planets, n_samples, *, seed, device, shares) -> xr.Dataset:
    """The posterior of :func:`linear_planets`: a normal cut at the prior's edges."""
    datum = planets["transit_depth"].values[:, None, :N_TARGETS]
    low, high = (planets[name].values[:, None] for name in ("prior_low", "prior_high"))
    edges = -datum / ERROR, (1 - datum) / ERROR
    shape = len(datum), n_samples, N_TARGETS
    unit = truncnorm.rvs(*edges, datum, ERROR, size=shape, random_state=seed)
    return posterior_dataset(planets, low + (high - low) * unit)


@pytest.fixture
def exact(monkeypatch):
    monkeypatch.setattr(calibrate, "sample_ensemble", exact_posterior)


def measured(planets: xr.Dataset) -> calibrate.Calibration:
    return calibrate.calibrate_model([], planets, planets["theta"].values, 300, seed=3)


def test_exact_posterior_of_noise_free_planets_is_calibrated(exact) -> None:
    table, coverage, ranks = measured(linear_planets())
    assert list(table["target"]) == [*linear_planets()["target"].values, JOINT]
    assert (table["p_value"] > 0.005).all()
    assert table["calibration_error"].mean() < 1.6 * exact_calibration_error(N_PLANETS)
    assert table["coverage_68"].between(0.6, 0.76).all()
    assert (table["n_planets"] == N_PLANETS).all()
    assert table["sharpness"][:-1].between(0.3, 0.7).all() and np.isnan(table["sharpness"].iloc[-1])
    assert list(coverage.columns) == ["level", *table["target"]] and len(coverage) == 19
    assert ranks.shape == (N_PLANETS, len(table) - 1)
    assert calibration_error(central_coverage(ranks)) == pytest.approx(
        table["calibration_error"][:-1].mean()
    )


def test_spectra_stored_with_noise_are_used_as_they_are(exact) -> None:
    # Declared noisy, though they are not: the exact posterior then looks under-confident.
    table = measured(linear_planets().assign_attrs(noise="included"))[0][:-1]
    assert (table["coverage_68"] > 0.85).all() and (table["p_value"] < 1e-4).all()


def test_unusable_planets_and_unknown_truths_are_left_out(exact) -> None:
    planets = linear_planets()
    planets["quality"][:5] = int(Quality.NON_FINITE_SPECTRUM)
    planets["transit_depth"][:5] = np.nan
    planets["theta"][7, 2] = np.nan
    assert (measured(planets)[0]["n_planets"] == N_PLANETS - 6).all()
    with pytest.raises(ArielflowError, match="known truth"):
        measured(planets.assign(theta=planets["theta"] * np.nan))


def test_noisy_copies_have_the_planets_own_noise_once() -> None:
    planets = linear_planets()
    first, same, other = (noisy_copies(planets, seed) for seed in (1, 1, 2))
    pull = (first["transit_depth"] - planets["transit_depth"]) / planets["transit_depth_error"]
    assert float(pull.mean()) == pytest.approx(0, abs=0.03)
    assert float(pull.std()) == pytest.approx(1, abs=0.02)
    xr.testing.assert_identical(first, same)
    assert not np.array_equal(first["transit_depth"], other["transit_depth"])
    assert first.attrs["noise"] == "included" and planets.attrs["noise"] == "free"
    assert first["transit_depth"].dims == planets["transit_depth"].dims
    assert noisy_copies(first, 3) is first


def test_leaderboard_shows_the_mean_over_the_targets_without_the_joint_row() -> None:
    scores = ["posterior_score", "spectral_score", "final_score", "weighted_ks_score"]
    table = pd.DataFrame(1.0, index=range(3), columns=[*scores, "energy_score", "log_prob"])
    table["planet_ID"] = ["a", "b", "c"]
    calibration = pd.DataFrame({"target": ["a", "b", JOINT], "calibration_error": [0.1, 0.2, 0.9]})
    board = leaderboard(
        {"flow": table, "prior": table},
        target_names=["a", "b"],
        metrics=[],
        seed=0,
        calibration={"flow": calibration},
    ).set_index("model")["calibration_error"]
    assert board["flow"] == pytest.approx(0.15) and np.isnan(board["prior"])
