"""The best fit of all planets at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import Quality, is_usable, target_index
from arielflow.data.forward_models import edition_model
from arielflow.data.ingest import ingest
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.best_fit import FitFlag, maximum_a_posteriori
from arielflow.settings.best_fit import FitSettings

SETTINGS = FitSettings(n_screened=16, n_starts=1, max_steps=30)
FEW = FitSettings(n_screened=4, n_starts=1, max_steps=3)
N_PLANETS = 20


@pytest.fixture(scope="module")
def planets(simulated: xr.Dataset) -> xr.Dataset:
    usable = np.flatnonzero(is_usable(simulated))[:N_PLANETS]
    return simulated.isel(planet=usable)


def _forward(planets: xr.Dataset, physics: PhysicsSettings) -> ForwardModel:
    return ForwardModel(edition_model(get_edition(planets.attrs["edition"]), physics), planets)


@pytest.fixture(scope="module")
def fits(planets: xr.Dataset, physics: PhysicsSettings) -> xr.Dataset:
    return maximum_a_posteriori(_forward(planets, physics), planets, seed=1, settings=SETTINGS)


def test_depths_are_spectra_and_can_be_differentiated(
    planets: xr.Dataset, physics: PhysicsSettings
) -> None:
    forward = _forward(planets, physics)
    row, theta = np.arange(3), planets["theta"].values[:3]
    leaf = torch.tensor(theta, requires_grad=True)
    depths = forward.depths(row, leaf)
    np.testing.assert_allclose(depths.detach(), forward.spectra(row, theta), rtol=1e-6)
    depths.sum().backward()
    column = target_index(planets, "planet_temperature")
    nudge = np.zeros_like(theta)
    nudge[:, column] = 5.0
    change = forward.spectra(row, theta + nudge) - forward.spectra(row, theta - nudge)
    np.testing.assert_allclose(leaf.grad[:, column], change.sum(axis=1) / 10, rtol=0.02)
    larger = forward.depths(0, leaf[:1].detach(), torch.tensor([1.01], dtype=torch.float64))
    assert (larger > depths[0].detach()).all()


def test_noise_free_spectra_are_fitted_far_below_their_errors(fits: xr.Dataset) -> None:
    rms = fits["residual_rms_sigma"].values
    assert np.median(rms) < 0.05
    assert np.mean(rms < 0.3) >= 0.8, rms
    assert not fits["flags"].values.any()
    np.testing.assert_allclose(fits["chi2"] / fits.sizes["wavelength"], rms**2)
    assert fits.attrs["forward_calls"] > N_PLANETS * SETTINGS.n_screened


def test_fits_stay_inside_the_prior_box(planets: xr.Dataset, fits: xr.Dataset) -> None:
    theta = fits["theta"].values
    assert (theta >= planets["prior_low"].values).all()
    assert (theta <= planets["prior_high"].values).all()


def test_a_planet_without_fit_is_flagged_and_touches_no_other(
    planets: xr.Dataset, physics: PhysicsSettings
) -> None:
    """One of nonsense data, and one so light that its atmosphere runs away at every point."""
    good = planets.isel(planet=slice(0, 4)).copy(deep=True)
    settings = SETTINGS.model_copy(update={"max_steps": 6})
    alone = maximum_a_posteriori(_forward(good, physics), good, seed=1, settings=settings)
    again = maximum_a_posteriori(_forward(good, physics), good, seed=1, settings=settings)
    np.testing.assert_array_equal(alone["theta"], again["theta"])
    spoilt = planets.isel(planet=slice(0, 6)).copy(deep=True)
    spoilt["transit_depth"][4] = np.nan
    spoilt["quality"][4] = int(Quality.NON_FINITE_SPECTRUM)
    mass = list(spoilt["auxiliary_quantity"].values).index("planet_mass_kg")
    spoilt["auxiliary_value"][5, mass] *= 1e-4
    fits = maximum_a_posteriori(_forward(spoilt, physics), spoilt, seed=1, settings=settings)
    assert list(fits["flags"].values[4:]) == [FitFlag.UNUSABLE, FitFlag.NO_SPECTRUM]
    assert not fits["converged"].values[4:].any()
    assert np.isnan(fits["theta"].values[4:]).all()
    assert np.isnan(fits["residual_rms_sigma"].values[4:]).all()
    np.testing.assert_allclose(fits["theta"][:4], alone["theta"], rtol=1e-3)


def test_a_radius_that_is_given_may_be_left_free(
    planets: xr.Dataset, physics: PhysicsSettings
) -> None:
    edition = get_edition("adc2022")
    given = simulate_planets(edition, 3, seed=5, split="train", prior="matched", physics=physics)
    gravity = list(given["auxiliary_quantity"].values).index("surface_gravity_m_s2")
    given["auxiliary_value"][:, gravity] *= 0.99**-2  # a radius one per cent too small
    settings = SETTINGS.model_copy(update={"radius_tolerance": 0.03})
    fits = maximum_a_posteriori(_forward(given, physics), given, seed=1, settings=settings)
    rms = fits["residual_rms_sigma"].values
    found = np.abs(fits["radius_factor"].values - 1 / 0.99) < 2e-3
    assert (found & (rms < 0.3)).sum() >= 2, (rms, fits["radius_factor"].values)
    with pytest.raises(ArielflowError, match=r"radius_tolerance is 0\.03, expected 0"):
        maximum_a_posteriori(_forward(planets, physics), planets, seed=1, settings=settings)


def test_progress_is_told(planets: xr.Dataset, physics: PhysicsSettings) -> None:
    two, told = planets.isel(planet=slice(0, 2)), []
    maximum_a_posteriori(
        _forward(two, physics), two, seed=1, settings=FEW, progress=lambda *x: told.append(x)
    )
    assert [step for step, _ in told] == [1, 2, 3]
    assert all(left <= 2 for _, left in told)


@pytest.mark.external
def test_real_spectra_are_fitted(shared: Path, physics: PhysicsSettings) -> None:
    folder = shared / "data" / "adc2022_test"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: no real spectra beside this checkout")
    planets, _, _ = ingest(folder, get_edition("adc2022"), "test")
    planets = planets.isel(planet=slice(0, 20))
    fits = maximum_a_posteriori(_forward(planets, physics), planets, seed=1, settings=SETTINGS)
    rms = fits["residual_rms_sigma"]
    assert fits["flags"].sel(planet="13") == int(FitFlag.UNUSABLE)
    assert rms.notnull().sum() == 19
    print(f"residual rms in error bars: median {float(rms.median()):.2f}, {rms.values.round(2)}")
    assert float(rms.median()) < 10  # a guard against a broken fit, not a claim
