"""Numbers with units in planet files, by astropy.units."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import astropy.units as u

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import shown

_PPM = u.def_unit("ppm", 1e-6 * u.dimensionless_unscaled)
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*)", re.DOTALL)


class Kind(NamedTuple):
    """What a number measures.

    Attributes
    ----------
    si : unit that the library computes in
    low, high : what values in that unit are physically possible
    example : how it is written
    """

    si: u.UnitBase
    low: float
    high: float
    example: str


RSUN, RJUP, MJUP = (
    float(unit.to(si)) for unit, si in ((u.Rsun, "m"), (u.Rjup, "m"), (u.Mjup, "kg"))
)
STAR_RADIUS = Kind(u.m, 0.01 * RSUN, 1000 * RSUN, "0.9 Rsun")
RADIUS = Kind(u.m, 0.005 * RJUP, 10 * RJUP, "1.2 Rjup")
MASS = Kind(u.kg, 1e-5 * MJUP, 200 * MJUP, "0.3 Mjup")
TEMPERATURE = Kind(u.K, 1.0, 100_000.0, "1500 K")
PRESSURE = Kind(u.Pa, 1e-12, 1e10, "1 mbar")
OPACITY = Kind(u.m**2 / u.kg, 1e-12, 1e6, "0.01 m2/kg")
DEPTH = Kind(u.dimensionless_unscaled, -1.0, 1.0, "20 ppm")
JITTER = Kind(u.dimensionless_unscaled, 0.0, 1.0, "20 ppm")
NUMBER = Kind(u.dimensionless_unscaled, -math.inf, math.inf, "0.5")
POSITIVE = Kind(u.dimensionless_unscaled, 0.0, math.inf, "0.5")
SHARE = Kind(u.dimensionless_unscaled, 0.0, 1.0, "0.5")
MIXING_RATIO = Kind(u.dimensionless_unscaled, 0.0, 1.0, "1e-4")


def parse_unit(text: str, kind: Kind, where: str) -> float:
    """Factor from a unit to the kind's SI unit.

    Raises
    ------
    ArielflowError
        The unit is not known, or measures something else.
    """
    try:
        with u.add_enabled_units([_PPM]):
            unit = u.Unit(text)
        return float(unit.to(kind.si))
    except u.UnitConversionError:
        raise ArielflowError(
            f"{where}: the unit {shown(text)} is of another quantity, expected one such as in "
            f"{kind.example!r}"
        ) from None
    except (ValueError, TypeError):
        raise ArielflowError(
            f"{where}: the unit {shown(text)} is not known; write it as in {kind.example!r}"
        ) from None


def parse_value(
    value: float | str, kind: Kind, where: str, unit: str | None = None
) -> tuple[float, str]:
    """A number and the unit that it was given in, ``""`` for none.

    Parameters
    ----------
    value
        A number, or text of a number and a unit.
    kind
        What it measures.
    where
        Its place in the file, for messages.
    unit
        Of numbers that have none of their own.

    Raises
    ------
    ArielflowError
        It is no number, lacks a unit where it needs one, or its unit does not fit.
    """
    if isinstance(value, str):
        found = _NUMBER.fullmatch(value)
        if found is None:
            raise ArielflowError(
                f"{where}: found {shown(value)!r}, expected a number with its unit, such as "
                f"{kind.example!r}"
            )
        number, own = float(found[1]), found[2].strip()
        unit = own or unit
    else:
        number = float(value)
    if not unit:
        if kind.si != u.dimensionless_unscaled or kind in (DEPTH, JITTER):
            raise ArielflowError(
                f"{where}: {number:g} has no unit; write it as in {kind.example!r}"
            )
        return number, ""
    parse_unit(unit, kind, where)
    return number, unit


def check_possible(value_si: float, kind: Kind, where: str) -> None:
    """Refuse what no star or planet has, in SI units.

    Raises
    ------
    ArielflowError
        The value is out of the kind's range or no number.
    """
    if not (math.isfinite(value_si) and kind.low <= value_si <= kind.high):
        found = f"{value_si:.4g} {kind.si}".strip()
        raise ArielflowError(
            f"{where}: {found} is not possible, expected {kind.low:.3g} to "
            f"{kind.high:.3g}; check its unit, as in {kind.example!r}"
        )
