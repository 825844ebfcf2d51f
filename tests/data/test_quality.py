"""Physically impossible values: flagged planet by planet, refused where a file shares a unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import Quality, is_retrievable, is_usable, valid_bins
from arielflow.data.ingest import quality_table
from arielflow.data.priors import prior_box, prior_samples
from arielflow.data.quality import flag_quality, plausible_limits
from arielflow.data.quality.units import OTHER_UNITS
from arielflow.data.simulated_planets import simulate_planets
from arielflow.data.splits import split_planets
from arielflow.editions import NAMES, get_edition
from arielflow.physics.population import draw_systems
from arielflow.physics.systems import JUPITER_RADIUS_M, surface_gravity_m_s2

ROOT = Path(__file__).parents[2]
ADC2023 = get_edition("adc2023")
SOLAR_RADIUS_M, SOLAR_MASS_KG = 6.957e8, 1.98841e30
JUPITER_MASS_KG, EARTH_MASS_KG = 1.89813e27, 5.9722e24


def _column(name: str, factor: float):
    def spoil(planets: xr.Dataset, rows) -> None:
        column = list(planets["auxiliary"].values).index(name)
        planets["auxiliary_value"].values[rows, column] *= factor

    return spoil


def _depth(function):
    def spoil(planets: xr.Dataset, rows) -> None:
        planets["transit_depth"].values[rows] = function(planets["transit_depth"].values[rows])

    return spoil


def _error(factor: float):
    def spoil(planets: xr.Dataset, rows) -> None:
        planets["transit_depth_error"].values[rows] *= factor

    return spoil


def _theta(name: str, function):
    def spoil(planets: xr.Dataset, rows) -> None:
        column = list(planets["target"].values).index(name)
        planets["theta"].values[rows, column] = function(planets["theta"].values[rows, column])

    return spoil


MISTAKES = {
    "star radius, solar radii": (_column("star_radius_m", 1 / SOLAR_RADIUS_M), "solar radii"),
    "star radius, km": (_column("star_radius_m", 1e-3), "kilometres"),
    "star temperature, kK": (_column("star_temperature", 1e-3), "thousands of kelvins"),
    "mass, Jupiter": (_column("planet_mass_kg", 1 / JUPITER_MASS_KG), "Jupiter masses"),
    "mass, Earth": (_column("planet_mass_kg", 1 / EARTH_MASS_KG), "Earth masses"),
    "mass, solar": (_column("planet_mass_kg", 1 / SOLAR_MASS_KG), "solar masses"),
    "axis, m": (_column("planet_distance", 1.495978707e11), "metres"),
    "axis, km": (_column("planet_distance", 1.495978707e8), "kilometres"),
    "axis, solar radii": (_column("planet_distance", 215.03), "solar radii"),
    "depth, percent": (_depth(lambda depth: 100 * depth), "percent"),
    "depth, ppm": (_depth(lambda depth: 1e6 * depth), "ppm"),
    "depth, R_p/R_*": (_depth(np.sqrt), "R_p/R_*"),
    "depth, flux": (_depth(lambda depth: 1 - depth), "relative flux"),
    "error, percent": (_error(100), "percent"),
    "error, ppm": (_error(1e6), "ppm"),
    "label radius, Earth": (_theta("planet_radius", lambda r: 11.21 * r), "Earth radii"),
    "label radius, m": (_theta("planet_radius", lambda r: 7.1492e7 * r), "metres"),
    "label radius, solar": (_theta("planet_radius", lambda r: 0.10276 * r), "solar radii"),
    "label H2O, linear": (_theta("log_H2O", lambda x: 10**x), "linear abundances"),
    "label T, logarithm": (_theta("planet_temp", np.log10), "logarithms"),
}
HARMLESS = {
    "distance, m": (_column("star_distance", 3.0857e16), "metres"),
    "star mass, solar": (_column("star_mass_kg", 1 / SOLAR_MASS_KG), "solar masses"),
    "period, s": (_column("planet_orbital_period", 86400.0), "seconds"),
    "period, hours": (_column("planet_orbital_period", 24.0), "hours"),
    "gravity, cgs": (_column("planet_surface_gravity", 100.0), "cm s-2"),
    "gravity, log cgs": (
        lambda planets, rows: planets["auxiliary_value"].values.__setitem__(
            (rows, -1), np.log10(100 * planets["auxiliary_value"].values[rows, -1])
        ),
        None,
    ),
    "distance, missing": (_column("star_distance", np.nan), "missing"),
    "period, negative": (_column("planet_orbital_period", -1.0), None),
}


def _flagged(planets: xr.Dataset, **options):
    planets, reasons = flag_quality(planets, ADC2023, split="train", **options)
    return planets, reasons


@pytest.mark.parametrize("name", MISTAKES)
def test_a_unit_that_all_planets_share_is_the_files_fault(simulated, name) -> None:
    spoil, unit = MISTAKES[name]
    planets = simulated.copy(deep=True)
    spoil(planets, slice(None))
    with pytest.raises(ArielflowError, match="looks like") as caught:
        _flagged(planets, place="data, split train")
    message = str(caught.value)
    assert unit in message and message.startswith("data, split train: ")
    assert "\n" not in message and len(message) <= 300


@pytest.mark.parametrize("name", MISTAKES)
def test_a_unit_mistake_of_one_planet_costs_that_planet_alone(simulated, name) -> None:
    spoil, unit = MISTAKES[name]
    planets = simulated.copy(deep=True)
    # A planet whose error bars are not so small that a hundredfold ones would still be possible.
    row = int(np.argmax(np.median(planets["transit_depth_error"] / planets["transit_depth"], 1)))
    if name == "depth, R_p/R_*":  # where R_p/R_* is a quarter, that is four times its square
        row = int(np.argmin(planets["transit_depth"].values[:, 0]))
    spoil(planets, [row])
    flagged, reasons = _flagged(planets)
    assert list(np.flatnonzero(~is_usable(flagged))) == [row]
    assert unit in reasons[row] and "expected" in reasons[row]
    split = split_planets(flagged, 0.1, seed=1)
    assert len(split) == planets.sizes["planet"] - 1
    table = quality_table(flagged, reasons)
    assert list(table["planet_ID"]) == [str(planets["planet"].values[row])]
    assert not table["usable"].any() and reasons[row] in table["found"][0]


@pytest.mark.parametrize("rows", [[5], slice(None)], ids=["one", "all"])
@pytest.mark.parametrize("name", HARMLESS)
def test_what_nothing_uses_makes_no_planet_unusable(simulated, name, rows) -> None:
    spoil, unit = HARMLESS[name]
    planets = simulated.copy(deep=True)
    spoil(planets, rows)
    flagged, reasons = _flagged(planets)
    assert is_usable(flagged).all()
    if unit is not None:
        assert unit in reasons[5]
        assert flagged["quality"].values[5] == Quality.DOUBTFUL_AUXILIARY


@pytest.mark.parametrize("value", [0.0, -1e27, 1e-300, 1e300, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize(
    "column", ["star_radius_m", "star_temperature", "planet_mass_kg", "planet_distance"]
)
def test_impossible_values_are_flagged_and_the_planet_keeps_a_prior(
    simulated, column, value
) -> None:
    planets = simulated.isel(planet=range(6)).copy(deep=True)
    planets["auxiliary_value"].values[2, list(planets["auxiliary"].values).index(column)] = value
    flagged, reasons = flag_quality(planets, ADC2023, split="test")
    assert list(np.flatnonzero(~is_usable(flagged))) == [2] and column in reasons[2]
    low, high = prior_box(ADC2023, flagged, "matched")
    assert np.isfinite(low).all() and (high > low).all()
    flagged["prior_low"].values[:], flagged["prior_high"].values[:] = low, high
    assert np.isfinite(prior_samples(flagged, 50, seed=1)).all()


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("log_H2O", 1e6),
        ("log_CO2", -40.0),
        ("log_CH4", np.inf),
        ("planet_temp", -300.0),
        ("planet_temp", 1e5),
        ("planet_radius", 0.0),
        ("planet_radius", 40.0),
    ],
)
def test_labels_far_outside_the_priors_are_left_out_of_training(simulated, target, value) -> None:
    planets = simulated.copy(deep=True)
    planets["theta"].loc[{"target": target, "planet": planets["planet"][4]}] = value
    flagged, reasons = _flagged(planets)
    assert flagged["quality"].values[4] & Quality.IMPLAUSIBLE_THETA and target in reasons[4]
    assert str(planets["planet"].values[4]) not in set(split_planets(flagged, 0.1, 1)["planet_ID"])
    # Labels of test planets are for scoring alone.
    tested, _ = flag_quality(planets, ADC2023, split="test")
    assert is_usable(tested).all()


def test_missing_labels_are_no_fault(simulated) -> None:
    planets = simulated.copy(deep=True)
    planets["theta"].values[3] = np.nan
    assert not _flagged(planets)[0]["quality"].any()


def test_missing_bins_leave_a_planet_to_the_retrievals(simulated) -> None:
    planets = simulated.copy(deep=True)
    planets["transit_depth"].values[1, 7] = np.nan
    planets["transit_depth_error"].values[2, :20] = np.nan
    planets["transit_depth"].values[3, 4] = np.inf  # more than one, which is no missing bin
    flagged, _ = _flagged(planets)
    assert list(np.flatnonzero(~is_usable(flagged))) == [1, 2, 3]
    assert list(np.flatnonzero(~is_retrievable(flagged))) == [2, 3]
    assert list(np.flatnonzero(~valid_bins(flagged)[1])) == [7]
    # What else is wrong with the planet counts as ever.
    planets["transit_depth"].values[1, 8] = -1.0
    assert not is_retrievable(_flagged(planets)[0])[1]


def test_legitimate_extremes_are_allowed_by_their_own_limits(simulated) -> None:
    planets = simulated.copy(deep=True)
    planets["auxiliary_value"].loc[{"auxiliary": "star_temperature"}] *= 20
    assert not is_usable(_flagged(planets)[0]).any()
    wider = {"star_temperature": [400, 1e6], "equilibrium_temperature": [20, 1e6]}
    assert not _flagged(planets, limits=wider)[0]["quality"].any()


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"star_radius": [1, 2]}, "star_radius is not known to edition adc2023; choose of star_d"),
        ({"star_radius_m": [2, 1]}, "expected .lowest, highest."),
        ({"star_radius_m": [1]}, "expected .lowest, highest."),
        ({"star_radius_m": [np.nan, 1]}, "expected .lowest, highest."),
    ],
)
def test_limits_that_are_none_are_refused(limits, says) -> None:
    with pytest.raises(ArielflowError, match=says):
        plausible_limits(ADC2023, limits)


@pytest.mark.parametrize("edition", ["adc2022", "adc2023"])
@pytest.mark.parametrize("prior", ["matched", "wide"])
def test_simulated_planets_bear_no_flag(edition, prior, physics) -> None:
    chosen = get_edition(edition)
    planets = simulate_planets(chosen, 60, seed=3, split="train", prior=prior, physics=physics)
    sound = planets["quality"].values == 0  # some atmospheres run away under the wide prior
    flagged, reasons = flag_quality(planets, chosen, split="train")
    assert sound.sum() > 50 and not flagged["quality"].values[sound].any(), reasons


def test_twenty_thousand_default_systems_bear_no_flag(simulated) -> None:
    systems = draw_systems(20_000, seed=2026, split="train", radius_rjup=(0.1, 3.0))
    radius_m = systems["planet_radius_rjup"] * JUPITER_RADIUS_M
    systems["surface_gravity_m_s2"] = surface_gravity_m_s2(systems["planet_mass_kg"], radius_m)
    names = [column.quantity for column in ADC2023.auxiliary]
    rows = np.arange(20_000) % simulated.sizes["planet"]
    solid = (radius_m / systems["star_radius_m"])[:, None] ** 2
    planets = simulated.isel(planet=rows).assign(
        auxiliary_value=(("planet", "auxiliary"), np.stack([systems[n] for n in names], axis=1)),
        transit_depth=(("planet", "wavelength"), np.tile(1.2 * solid, 52)),
        transit_depth_error=(("planet", "wavelength"), np.tile(0.01 * solid, 52)),
    )
    planets["theta"].loc[{"target": "planet_radius"}] = systems["planet_radius_rjup"]
    flagged, reasons = _flagged(planets)
    assert not flagged["quality"].any(), pd.Series(reasons).value_counts().head()


def test_configuration_knows_every_name_that_limits_may_have() -> None:
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    limits = schema["properties"]["dataset"]["properties"]["limits"]
    known = {name for edition in NAMES for name in plausible_limits(get_edition(edition))}
    assert set(limits["propertyNames"]["enum"]) == known


def test_every_range_holds_what_it_should() -> None:
    for name in NAMES:
        edition = get_edition(name)
        for column in edition.auxiliary:
            assert 0 < column.limits[0] < column.limits[1] and column.quantity in OTHER_UNITS
        for target in edition.targets:
            low, high = target.plausible
            assert low <= max(target.score_bounds[0], target.limits[0])
            assert high >= min(target.score_bounds[1], target.limits[1])
