"""Units that opacity files say their numbers are in, and the factors to this package's own."""

from __future__ import annotations

import re
from pathlib import Path

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import shown
from arielflow.physics.systems import ATOMIC_MASS_UNIT_KG, molecular_mass_u

_PASCAL = {
    **dict.fromkeys(("pa", "pascal", "pascals", "n/m2"), 1.0),
    **dict.fromkeys(("hpa", "mbar", "millibar"), 1e2),
    "kpa": 1e3,
    **dict.fromkeys(("bar", "bars"), 1e5),
    **dict.fromkeys(("atm", "atmosphere", "atmospheres"), 101325.0),
    **dict.fromkeys(("ba", "barye", "dyn/cm2", "dyne/cm2"), 0.1),
    **dict.fromkeys(("torr", "mmhg"), 101325.0 / 760),
}
_PER_CM = {
    **dict.fromkeys(("cm-1", "1/cm", "/cm", "wavenumber", "wavenumbers", "kayser", "invcm"), 1.0),
    **dict.fromkeys(("m-1", "1/m", "/m"), 0.01),
}
_MICROMETRES = {
    **dict.fromkeys(("um", "micron", "microns", "micrometer", "micrometre", "micrometers"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre", "nanometers"), 1e-3),
    **dict.fromkeys(("angstrom", "angstroms", "aa"), 1e-4),
    "cm": 1e4,
    **dict.fromkeys(("m", "meter", "metre", "meters"), 1e6),
}
_CROSS_SECTION = re.compile(
    r"(c?m)2(?:/(molecules?|molecs?|particles?|atoms?|k?g)|(molecules?|molecs?|k?g)-1)?"
)
_NOT_SAID = ("", "none", "unspecified", "unknown")


def cm2_per_molecule(path: str | Path, units: str | None, molecule: str) -> float:
    """Factor from a file's cross-sections to cm2 per molecule, which is also what no unit means.

    Raises
    ------
    ArielflowError
        The unit is not known, or is by mass and the molecule's mass is not known.
    """
    text = _plain(units)
    if text in _NOT_SAID:
        return 1.0
    found = _CROSS_SECTION.fullmatch(text)
    if found is None:
        raise _unknown(path, "cross-sections", units, "cm^2/molecule, m^2/molecule, cm^2/g, m^2/kg")
    area = 1.0 if found[1] == "cm" else 1e4
    mass_kg = {"g": 1e-3, "kg": 1.0}.get(found[2] or found[3])
    if mass_kg is None:
        return area
    return area / mass_kg * molecular_mass_u(molecule) * ATOMIC_MASS_UNIT_KG


def pascal(path: str | Path, units: str | None) -> float:
    """Factor from a file's pressures to Pa.

    Raises
    ------
    ArielflowError
        The unit is not given or not known: files in Pa and in bar are both common.
    """
    if (factor := _PASCAL.get(_plain(units))) is None:
        raise _unknown(path, "pressures", units, "Pa, mbar, bar, atm")
    return factor


def check_kelvin(path: str | Path, units: str | None) -> None:
    """Refuse temperatures in anything else than kelvin, which is also what no unit means.

    Raises
    ------
    ArielflowError
        The unit is another one.
    """
    if _plain(units) not in (*_NOT_SAID, "k", "kelvin", "kelvins"):
        raise _unknown(path, "temperatures", units, "K")


def wavenumber_unit(path: str | Path, units: str | None) -> tuple[bool, float]:
    """Whether a file's grid is of wavelengths, and the factor to cm-1, or to um then.

    No unit means wavenumbers in cm-1.

    Raises
    ------
    ArielflowError
        The unit is not known.
    """
    text = _plain(units)
    if text in _NOT_SAID or text in _PER_CM:
        return False, _PER_CM.get(text, 1.0)
    if text not in _MICROMETRES:
        raise _unknown(path, "the spectral grid", units, "cm^-1, m^-1, um, nm")
    return True, _MICROMETRES[text]


def _plain(units: str | None) -> str:
    """A unit without what people write differently: case, spaces, powers, Greek letters."""
    text = (units or "").strip().lower()
    for found, plain in (("²", "2"), ("⁻¹", "-1"), ("µ", "u"), ("μ", "u"), ("å", "angstrom")):
        text = text.replace(found, plain)
    # A product of two units is written with a dot, a star or a blank; a power with ^ or **.
    return re.sub(r"[\s^*(){}\[\].·_]", "", text)


def _unknown(path: str | Path, what: str, units: str | None, known: str) -> ArielflowError:
    found = f"in {shown(repr(units))}" if units else "without the attribute units"
    return ArielflowError(f"{path}: {what} {found}; expected {known}; convert the table")
