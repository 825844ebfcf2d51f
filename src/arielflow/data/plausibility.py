"""Plausible ranges for stars, planets and atmospheres, and the unit of a value outside them.

Wide on purpose: what lies beyond is a mistake, most often of the unit, and no unusual planet.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

_JUPITER_RADIUS_M = 7.1492e7
_EARTH_RADIUS_M = 6.3781e6


@dataclass(frozen=True)
class Plausible:
    """Range of a quantity, and conversions from units that are often used by mistake.

    Attributes
    ----------
    low, high : float
        Both allowed, in ``units``.
    units : str
        Units that messages name.
    usual : tuple[float, float]
        Narrower range; a mistaken unit is named where it leads into this one.
    mistakes : dict[str, Callable[[float], float]]
        From a wrong unit's name to the conversion into ``units``.
    """

    low: float
    high: float
    units: str
    usual: tuple[float, float]
    mistakes: dict[str, Callable[[float], float]]

    def fault(self, value: float) -> str | None:
        """What is wrong with a value, None if nothing is."""
        if self.low <= value <= self.high:
            return None
        units = f" {self.units}" if self.units else ""
        text = f"is {value:g}{units}, expected {self.low:g} to {self.high:g}"
        for name, convert in self.mistakes.items():
            try:
                meant = convert(value)
            except (OverflowError, ValueError, ZeroDivisionError):
                continue
            if self.usual[0] <= meant <= self.usual[1]:
                return f"{text}; looks like {name}"
        return text


def _times(factor: float) -> Callable[[float], float]:
    return lambda value: factor * value


def _power_of_ten(value: float) -> float:
    return 10.0**value


PLAUSIBLE = {
    "star_radius_m": Plausible(
        *(5e6, 3.5e10, "m", (3e7, 3.5e10)),
        {"solar radii": _times(6.957e8), "kilometres": _times(1e3), "centimetres": _times(0.01)},
    ),
    "planet_mass_kg": Plausible(
        *(1e22, 2e29, "kg", (2e22, 1.5e29)),
        {
            "Jupiter masses": _times(1.898125e27),
            "Earth masses": _times(5.9722e24),
            "grams": _times(1e-3),
        },
    ),
    "planet_radius": Plausible(
        *(0.01, 6.0, "Jupiter radii", (0.02, 3.0)),
        {
            "metres": _times(1 / _JUPITER_RADIUS_M),
            "kilometres": _times(1e3 / _JUPITER_RADIUS_M),
            "Earth radii": _times(_EARTH_RADIUS_M / _JUPITER_RADIUS_M),
            "centimetres": _times(0.01 / _JUPITER_RADIUS_M),
        },
    ),
    "planet_surface_gravity": Plausible(
        *(0.1, 1e4, "m s-2", (0.5, 3e3)), {"centimetres per second squared": _times(0.01)}
    ),
    "planet_temperature": Plausible(
        *(50.0, 6000.0, "K", (100.0, 5000.0)),
        {
            "its log10": _power_of_ten,
            "thousands of kelvin": _times(1e3),
            "degrees Celsius": lambda value: value + 273.15,
        },
    ),
    "log_mixing_ratio": Plausible(
        *(-float("inf"), 0.0, "", (1e-15, 1.0)),
        {"the mixing ratio itself, give its log10": _times(1.0), "ppm": _times(1e-6)},
    ),
    "cloud_pressure_pa": Plausible(*(1e-5, 1e9, "Pa", (1e-5, 1e8)), {"its log10": _power_of_ten}),
    "haze_log_strength": Plausible(
        *(-300.0, 15.0, "", (-2.0, 12.0)), {"the strength itself, give its log10": math.log10}
    ),
    "haze_slope": Plausible(-30.0, 10.0, "", (-30.0, 10.0), {}),
}
"""By quantity; what every planet's mixing ratios sum to is for the caller to check."""
