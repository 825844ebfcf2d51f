"""Faults put into simulated spectra."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.physics.forward import PhysicsSettings
from arielflow.simulation.faults import FAULTS, with_fault

N_PLANETS = 8
EDITION = get_edition("adc2023")


@pytest.fixture(scope="module")
def physics(opacities) -> PhysicsSettings:
    return PhysicsSettings(str(opacities))


@pytest.fixture(scope="module")
def planets(physics) -> xr.Dataset:
    return simulate_planets(
        EDITION, N_PLANETS, seed=11, split="test", prior="matched", physics=physics
    )


def faulty(planets: xr.Dataset, physics: PhysicsSettings, name: str, chi2: float) -> xr.Dataset:
    wanted = np.full(N_PLANETS, chi2)
    return with_fault(EDITION, planets, name, physics=physics, seed=1, chi2=wanted)


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "scaled_opacities"])
def test_amplitudes_are_chosen_by_what_a_refit_leaves(planets, physics, name) -> None:
    weak, strong = (faulty(planets, physics, name, chi2) for chi2 in (5.0, 100.0))
    for found, wanted in ((weak, 5.0), (strong, 100.0)):
        assert np.isfinite(found["transit_depth"].values).all()
        assert wanted / 4 < np.median(found["fault_chi2"]) < 4 * wanted
    assert (strong["fault_amplitude"] >= weak["fault_amplitude"]).all()
    assert strong["fault_amplitude"].attrs["units"]
    again = faulty(planets, physics, name, 100.0)
    assert np.array_equal(again["transit_depth"], strong["transit_depth"])


def test_a_scaled_line_list_passes_for_another_abundance(planets, physics) -> None:
    found = faulty(planets, physics, "scaled_opacities", 100.0)
    moved = (found["transit_depth"] - planets["transit_depth"]) / planets["transit_depth_error"]
    before, left = (moved.values**2).sum(axis=1), found["fault_chi2"].values
    seen = before > 50
    assert seen.any() and (left[seen] < 0.15 * before[seen]).all()


def test_where_a_fault_lies_is_where_the_spectrum_changes(planets, physics) -> None:
    wavelength_um = planets["wavelength"].values
    changes = {}
    for name in ("missing_gas", "instrument_offset"):
        found = faulty(planets, physics, name, 30.0)
        changes[name] = (found["transit_depth"] - planets["transit_depth"]).values
    assert np.abs(changes["instrument_offset"][:, wavelength_um < 3.9]).max() < 1e-9
    assert (changes["instrument_offset"][:, wavelength_um > 3.9] > 0).all()
    strongest = wavelength_um[changes["missing_gas"].argmax(axis=1)]
    assert all(abs(um - 4.0) < 0.3 or abs(um - 7.3) < 0.5 for um in strongest)


def test_faults_that_do_not_exist_are_refused(planets, physics) -> None:
    with pytest.raises(ArielflowError, match="fault 'gremlin' is unknown; choose distorted"):
        faulty(planets, physics, "gremlin", 1.0)
