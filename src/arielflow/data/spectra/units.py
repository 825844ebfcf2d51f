"""Units of wavelengths and depths: as options name them, as files write them, inside names."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import shown

DepthUnit = Literal["fraction", "percent", "permille", "ppm", "rp/rs"]

WAVELENGTH_UNITS = ("um", "nm", "angstrom", "m", "cm", "cm-1")
DEPTH_UNITS = ("fraction", "percent", "permille", "ppm", "rp/rs")

_WAVELENGTH_UM = {"um": 1.0, "nm": 1e-3, "angstrom": 1e-4, "m": 1e6, "cm": 1e4}
_DEPTH = {"fraction": 1.0, "percent": 1e-2, "permille": 1e-3, "ppm": 1e-6, "rp/rs": 1.0}
_WAVELENGTH_WORDS = {
    **dict.fromkeys(
        ("um", "µm", "μm", "micron", "microns", "mic", "micrometer", "micrometers", "micrometre",
         "micrometres", "mum", r"$\mu$m", r"\mum", r"\mu m"),
        "um",
    ),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "nanometres"), "nm"),
    **dict.fromkeys(("angstrom", "angstroms", "ang", "a", "aa", "å", "å"), "angstrom"),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), "m"),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), "cm"),
    **dict.fromkeys(("cm-1", "cm^-1", "1/cm", "cm**-1", "cm^{-1}", "/cm", "kayser"), "cm-1"),
}  # fmt: skip
_DEPTH_WORDS = {
    **dict.fromkeys(
        ("fraction", "frac", "unitless", "dimensionless", "1", "rp^2/rs^2"), "fraction"
    ),
    **dict.fromkeys(("percent", "%", "pct", "per cent", "per_cent"), "percent"),
    **dict.fromkeys(("permille", "ppt", "‰", "per mille"), "permille"),
    **dict.fromkeys(("ppm", "parts per million"), "ppm"),
    **dict.fromkeys(("rp/rs", "rprs", "rp/r*", "rp_rs", "rp/rstar"), "rp/rs"),
}
# Words of units that may stand inside a column's name without brackets: depth_ppm, wave_um.
_LOOSE = re.compile(
    r"(?:^|[\s_,/-])(um|µm|μm|microns?|nm|angstroms?|ppm|percent|pct|permille)(?=$|[\s_,-])", re.I
)
_BRACKETS = re.compile(r"[\[(]([^\[\]()]*)[\])]")


def wavelength_unit(text: str, *, formal: bool = False) -> str | None:
    """The unit of :data:`WAVELENGTH_UNITS` that a text means, None if it means none of them.

    Parameters
    ----------
    text
        Such as ``micron``.
    formal
        It was written as a unit, so that astropy's grammar is asked about it too, which takes a
        second where it holds something else.
    """
    word = " ".join(text.split()).lower()
    if word in _WAVELENGTH_WORDS or not formal:
        return _WAVELENGTH_WORDS.get(word)
    factor = _astropy_factor(text, "um")
    return next((u for u, f in _WAVELENGTH_UM.items() if factor and np.isclose(f, factor)), None)


def depth_unit(text: str, *, formal: bool = False) -> str | None:
    """The same of :data:`DEPTH_UNITS`, see :func:`wavelength_unit`."""
    word = " ".join(text.split()).lower()
    if word in _DEPTH_WORDS or not formal:
        return _DEPTH_WORDS.get(word)
    factor = _astropy_factor(text, "")
    named = ("fraction", "percent", "permille", "ppm")
    return next((u for u in named if factor and np.isclose(_DEPTH[u], factor)), None)


def _astropy_factor(text: str, target: str) -> float | None:
    """How many of the target unit one unit is, in the words that astropy knows."""
    if not text.strip() or len(text) > 80:
        return None
    from astropy import units

    try:
        return float(units.Unit(text, parse_strict="raise").to(units.Unit(target)))
    except (ValueError, TypeError, units.UnitConversionError):
        return None


def wanted_unit(text: str | None, quantity: Literal["wavelength", "depth"]) -> str | None:
    """The unit that an option asks for; None where the option is left out.

    Raises
    ------
    ArielflowError
        There is no such unit.
    """
    if text is None:
        return None
    units, parse = (
        (WAVELENGTH_UNITS, wavelength_unit)
        if quantity == "wavelength"
        else (DEPTH_UNITS, depth_unit)
    )
    found = parse(str(text))
    if found is None:
        raise ArielflowError(
            f"--{quantity}-unit {shown(text)}: no unit of a {quantity}; choose {', '.join(units)}"
        )
    return found


def split_name(name: str) -> tuple[str, str]:
    """A column's name without its unit, and that unit as the file writes it; empty if none.

    ``wave [um]``, ``wavelength(micron)``, ``depth_ppm``, ``Wavelength bin size microns`` and
    ``dppm`` hold one; ``(Rp/Rs)^2`` holds none.
    """
    for match in _BRACKETS.finditer(name):
        word = match[1].strip()
        alone = not name[: match.start()].strip()
        if not alone and (wavelength_unit(word) or depth_unit(word) not in (None, "rp/rs")):
            return f"{name[: match.start()]} {name[match.end() :]}".strip(), word
    if match := _LOOSE.search(name):
        return f"{name[: match.start()]} {name[match.end() :]}".strip(" _,"), match[1]
    if "dppm" in name.lower():
        return name, "ppm"
    return name, ""


def unknown_unit(name: str) -> str:
    """What stands in brackets behind a name in place of a unit that is known; empty if nothing."""
    found = [
        match[1].strip() for match in _BRACKETS.finditer(name) if name[: match.start()].strip()
    ]
    return next((word for word in found if word), "") if not split_name(name)[1] else ""


def to_micrometres(values: np.ndarray, unit: str) -> np.ndarray:
    """Wavelengths, or wavenumbers of unit ``cm-1``, in micrometres."""
    if unit == "cm-1":
        return 1e4 / values
    return values * _WAVELENGTH_UM[unit]


def width_to_micrometres(widths: np.ndarray, centres: np.ndarray, unit: str) -> np.ndarray:
    """Widths in micrometres; ``centres`` [unit] are the bins' own, which wavenumbers need."""
    if unit == "cm-1":
        return 1e4 * widths / centres**2
    return widths * _WAVELENGTH_UM[unit]


def to_fraction(values: np.ndarray, unit: str) -> np.ndarray:
    """Depths as fractions; a radius ratio is squared."""
    return values**2 if unit == "rp/rs" else values * _DEPTH[unit]


def error_to_fraction(errors: np.ndarray, values: np.ndarray, unit: str) -> np.ndarray:
    """Errors of depths as fractions; ``values`` [unit] are those that they belong to.

    The square of a radius ratio k has the error 2 k σ, to first order.
    """
    return 2 * values * errors if unit == "rp/rs" else errors * _DEPTH[unit]


def likely_wavelength_units(values: np.ndarray, low_um: float, high_um: float) -> list[str]:
    """Units in which all values lie within a span of wavelengths."""
    found = []
    for unit in WAVELENGTH_UNITS:
        converted = to_micrometres(values, unit)
        if np.all((converted >= low_um) & (converted <= high_um)):
            found.append(unit)
    return found


def likely_depth_units(value: float, low: float, high: float) -> list[str]:
    """Units in which a value is a depth within a span of fractions."""
    array = np.array([value])
    return [u for u in DEPTH_UNITS if low <= float(to_fraction(array, u)[0]) <= high]
