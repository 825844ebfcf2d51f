"""Which other unit a number that cannot be right looks like."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from arielflow.physics.systems import (
    ASTRONOMICAL_UNIT_M,
    DAY_S,
    JUPITER_MASS_KG,
    JUPITER_RADIUS_M,
    PARSEC_M,
    SOLAR_MASS_KG,
    SOLAR_RADIUS_M,
)

_EARTH_MASS_KG = 5.9722e24
_EARTH_RADIUS_M = 6.3781e6

Convert = Callable[[np.ndarray], np.ndarray]
"""Values in another unit to the quantity's own."""


def _scaled(sizes: dict[str, float]) -> dict[str, Convert]:
    return {name: lambda values, size=size: values * size for name, size in sizes.items()}


def _power(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 10.0**values


def _log(values: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log10(values)


def _lengths(unit_m: float, *names: str) -> dict[str, Convert]:
    sizes = {
        "solar radii": SOLAR_RADIUS_M,
        "Jupiter radii": JUPITER_RADIUS_M,
        "Earth radii": _EARTH_RADIUS_M,
        "astronomical units": ASTRONOMICAL_UNIT_M,
        "metres": 1.0,
        "kilometres": 1e3,
        "centimetres": 1e-2,
    }
    return _scaled({name: sizes[name] / unit_m for name in names})


# The likeliest mistakes come first.
OTHER_UNITS: dict[str, dict[str, Convert]] = {
    "star_distance_pc": _scaled({"metres": 1 / PARSEC_M, "kiloparsecs": 1e3}),
    "star_mass_kg": _scaled(
        {"solar masses": SOLAR_MASS_KG, "Jupiter masses": JUPITER_MASS_KG, "grams": 1e-3}
    ),
    "star_radius_m": _lengths(
        1, "solar radii", "Jupiter radii", "kilometres", "centimetres", "astronomical units"
    ),
    "star_temperature_k": _scaled({"thousands of kelvins": 1e3}) | {"logarithms": _power},
    "planet_mass_kg": _scaled(
        {
            "Jupiter masses": JUPITER_MASS_KG,
            "Earth masses": _EARTH_MASS_KG,
            "solar masses": SOLAR_MASS_KG,
            "grams": 1e-3,
        }
    ),
    "orbital_period_day": _scaled({"seconds": 1 / DAY_S, "hours": 1 / 24, "years": 365.25}),
    "semi_major_axis_au": _lengths(
        ASTRONOMICAL_UNIT_M, "metres", "kilometres", "centimetres", "solar radii"
    ),
    "surface_gravity_m_s2": _scaled({"cm s-2": 1e-2})
    | {"logarithms of cm s-2": lambda values: _power(values) / 100},
    "tabulated_planet_radius_m": _lengths(1, "Jupiter radii", "Earth radii", "kilometres"),
    "planet_radius": _lengths(
        JUPITER_RADIUS_M, "Earth radii", "metres", "kilometres", "centimetres", "solar radii"
    ),
    "planet_temperature": _scaled({"thousands of kelvins": 1e3}) | {"logarithms": _power},
}
ABUNDANCE_UNITS: dict[str, Convert] = {
    "linear abundances": _log,
    "abundances in ppm": lambda values: _log(values) - 6,
    "logarithms without their sign": np.negative,
    "natural logarithms": lambda values: values / np.log(10),
}
"""For targets in dex."""
FRACTION_UNITS = {"percent": 1e-2, "parts per thousand": 1e-3, "ppm": 1e-6}
"""What one of the unit is as a fraction."""
