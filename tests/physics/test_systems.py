"""The systems of a data set: its columns looked up once, the others said to be missing."""

from __future__ import annotations

import numpy as np
import xarray as xr

from arielflow.core.schema import auxiliary_values
from arielflow.physics.systems import Systems, equilibrium_temperature_k, radius_from_gravity_m


def test_columns_are_resolved_by_quantity(simulated: xr.Dataset) -> None:
    planets = simulated.isel(planet=slice(0, 3)).copy(deep=True)
    planets["transit_depth_error"].values[1, 7] = np.nan
    systems = Systems.of(planets)
    star = ("star_temperature_k", "star_radius_m", "semi_major_axis_au")
    star = [auxiliary_values(planets, name) for name in star]
    np.testing.assert_array_equal(systems.star_radius_m, star[1])
    np.testing.assert_array_equal(
        systems.equilibrium_temperature_k, equilibrium_temperature_k(*star)
    )
    np.testing.assert_array_equal(systems.prior[1], planets["prior_high"])
    quantities = planets["target_quantity"].values
    assert [quantities[column] for column in systems.targets.values()] == list(systems.targets)
    assert systems.valid_bins(1).sum() == 51 and systems.valid_bins(0).all()
    # The radius is a target of this edition, which its gravity would give away.
    assert systems.planet_radius_m is None


def test_a_radius_that_is_no_target_follows_from_mass_and_gravity(simulated: xr.Dataset) -> None:
    planets = simulated.isel(target=simulated["target_quantity"].values != "planet_radius")
    mass, gravity = (
        auxiliary_values(planets, name) for name in ("planet_mass_kg", "surface_gravity_m_s2")
    )
    found = Systems.of(planets).planet_radius_m
    np.testing.assert_array_equal(found, radius_from_gravity_m(mass, gravity))
    bare = Systems.of(planets.isel(auxiliary=slice(0, 0)))
    assert bare.star_radius_m is bare.planet_mass_kg is bare.planet_radius_m is None
    assert bare.equilibrium_temperature_k is None
