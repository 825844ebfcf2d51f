"""NEMESIS's binary k-tables, ``*.kta`` (Irwin et al. 2008)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import guarded, regular_file
from arielflow.physics.molecule_names import known_formula
from arielflow.physics.opacity import OpacityTable, check_arrays
from arielflow.physics.opacity_formats.on_disk import (
    FOLDER_REMEDY,
    MOST_NODES,
    MOST_WAVENUMBERS,
    REMEDY,
    check_on_disk,
)

_WORD = 4
# Of the header before its arrays: two integers, three numbers, five integers.
_HEADER_WORDS = 10
_SPARE_WORDS = 2
_CM2 = 1e-20
_PA_PER_BAR = 1e5
_LONGEST_UM = 300.0
# A step this much longer than its neighbour is no step of a grid but the way to another channel.
_JUMP = 1.5

# The gases' numbers are HITRAN's up to 28 and NEMESIS's own beyond, as exo_k has them too.
_GASES = (
    "H2O CO2 O3 N2O CO CH4 O2 NO SO2 NO2 NH3 HNO3 OH HF HCl HBr HI ClO OCS H2CO HOCl N2 HCN CH3Cl "
    "H2O2 C2H2 C2H6 PH3 C2N2 C4H2 HC3N C2H4 GeH4 C3H8 HCOOH H2S COF2 SF6 H2 He AsH3"
)
_NUMBERED = dict(enumerate(_GASES.split(), 1)) | {
    **{54: "CS", 60: "Na", 61: "K", 62: "TiO", 63: "VO", 74: "SO3", 82: "FeH", 83: "AlO"},
    **{84: "AlCl", 85: "AlF", 90: "CaH", 96: "CN", 98: "CrH", 108: "MgH", 119: "PN", 120: "PO"},
    **{123: "SH", 127: "SiO", 128: "SiO2"},
}
# Where HITRAN numbers a gas otherwise, some tables have its number.
_HITRAN = {
    **{29: "COF2", 30: "SF6", 31: "H2S", 32: "HCOOH", 38: "C2H4", 39: "CH3OH", 43: "C4H2"},
    **{44: "HC3N", 45: "H2", 46: "CS", 47: "SO3", 48: "C2N2"},
}


class _Header(NamedTuple):
    """What a file begins with; ``first`` counts words of four bytes from 1, as Fortran does."""

    first: int
    points: int
    start_um: float
    step_um: float
    width_um: float
    pressures: int
    temperatures: int
    ordinates: int
    gas: int
    isotope: int

    @property
    def has_wavelengths(self) -> bool:
        return self.step_um < 0

    @property
    def values(self) -> int:
        return self.points * self.pressures * self.temperatures * self.ordinates

    @property
    def array_words(self) -> int:
        axes = 2 * self.ordinates + _SPARE_WORDS + self.pressures + self.temperatures
        return axes + self.points * self.has_wavelengths


def read_nemesis(path: str | Path) -> OpacityTable:
    """Read a NEMESIS k-table: little-endian words of four bytes, k in 1e-20 cm2 per molecule.

    A header is followed by the ordinates and weights of the quadrature, pressures [bar],
    temperatures [K] and, where the header has no step, the wavelengths of the channels [um]; then k
    by wavelength, pressure, temperature and ordinate. The channels are as wide as the header says,
    otherwise they reach halfway to their neighbours; a channel that stands apart reaches as far
    as on its near side.

    Raises
    ------
    ArielflowError
        The file is missing, no such table, holds less or more than its header declares, is in
        wavenumbers, or its number of the gas and its name contradict each other.
    """
    path = regular_file(path, FOLDER_REMEDY)
    check_on_disk(path)
    with guarded(path, "NEMESIS k-table", REMEDY):
        header = _header(path)
        molecule = _molecule(path, header)
        words = np.memmap(path, dtype="<f4", mode="r")
        lengths = (header.ordinates, header.ordinates, _SPARE_WORDS, header.pressures)
        ends = _HEADER_WORDS + np.cumsum([*lengths, header.temperatures])
        _, weights, _, pressure_bar, temperature_k = (
            np.array(part, dtype=float)
            for part in np.split(words[_HEADER_WORDS : ends[-1]], ends[:-1] - _HEADER_WORDS)
        )
        if header.has_wavelengths:
            wavelength_um = np.array(words[ends[-1] :][: header.points], dtype=float)
        else:
            wavelength_um = header.start_um + header.step_um * np.arange(header.points)
        _check_wavelengths(path, wavelength_um)
        values = words[header.first - 1 :].reshape(
            header.points, header.pressures, header.temperatures, header.ordinates
        )
        values = np.ascontiguousarray(values[::-1].transpose(1, 2, 0, 3), dtype="f4")
        values *= np.float32(_CM2)
        ends_um = _channel_ends(wavelength_um, header.width_um)
    table = OpacityTable(
        molecule,
        1e4 / wavelength_um[::-1],
        temperature_k,
        pressure_bar * _PA_PER_BAR,
        values,
        weights,
        1e4 / ends_um[::-1, ::-1],
    )
    return check_arrays(path, table)


def molecule_of_nemesis(path: Path) -> str:
    """Whose k-table a file is, by the number in its header and by its name."""
    with guarded(path, "NEMESIS k-table", REMEDY):
        return _molecule(path, _header(path))


def _header(path: Path) -> _Header:
    """The header of a file that is as long as it says."""
    with path.open("rb") as stream:
        content = stream.read(_HEADER_WORDS * _WORD)
    size = path.stat().st_size
    if len(content) < _HEADER_WORDS * _WORD:
        raise ValueError(f"{size} bytes, a header has {_HEADER_WORDS * _WORD}")
    whole, real = np.frombuffer(content, "<i4"), np.frombuffer(content, "<f4")
    numbers = (whole[0], whole[1], *real[2:5], *whole[5:])
    header = _Header(*(number.item() for number in numbers))
    if header.temperatures < 0:
        raise ValueError("its temperatures differ from pressure to pressure")
    _check_counts(header)
    declared = _WORD * (header.first - 1 + header.values)
    if header.first <= _HEADER_WORDS + header.array_words or size != declared:
        raise ValueError(f"{size} bytes, its header declares {declared} with k from {header.first}")
    return header


def _check_counts(header: _Header) -> None:
    for what, count, most in (
        ("wavelengths", header.points, MOST_WAVENUMBERS),
        ("pressures", header.pressures, MOST_NODES),
        ("temperatures", header.temperatures, MOST_NODES),
        ("ordinates", header.ordinates, MOST_NODES),
    ):
        if not 1 <= count <= most:
            raise ValueError(f"its header declares {count} {what}")
    spectral = header.start_um, header.step_um, header.width_um
    if not np.all(np.isfinite(spectral)) or header.width_um < 0 or header.step_um == 0:
        raise ValueError("its header has no start, step and width of the channels")


def _molecule(path: Path, header: _Header) -> str:
    named = known_formula(path.stem)
    numbered = _NUMBERED.get(header.gas)
    if named is not None and named == _HITRAN.get(header.gas):
        return named
    if numbered is None and named is None:
        raise ArielflowError(
            f"{path}: its gas has the number {header.gas}, which is not known, and its name begins "
            "with no molecule; name it after its molecule, such as H2O.kta"
        )
    if None not in (named, numbered) and named != numbered:
        raise ArielflowError(
            f"{path}: gas {header.gas} is {numbered}, its name says {named}; rename it if the "
            "number is right"
        )
    return numbered or str(named)


def _check_wavelengths(path: Path, wavelength_um: np.ndarray) -> None:
    good = np.all(np.isfinite(wavelength_um)) and np.all(np.diff(wavelength_um) > 0)
    if not good or wavelength_um[0] <= 0:
        raise ValueError("its wavelengths do not ascend")
    if wavelength_um[-1] > _LONGEST_UM:
        raise ArielflowError(
            f"{path}: channels from {wavelength_um[0]:g} to {wavelength_um[-1]:g}, expected "
            f"wavelengths of at most {_LONGEST_UM:g} um; if these are wavenumbers, convert the "
            "table to wavelengths"
        )


def _channel_ends(wavelength_um: np.ndarray, width_um: float) -> np.ndarray:
    """Lower and upper ends of the channels, shape (channel, 2) [um]."""
    if width_um > 0:
        half = np.full((len(wavelength_um), 2), 0.5 * width_um)
    elif len(wavelength_um) < 2:
        raise ValueError("it has one channel and no width of it")
    else:
        steps = np.diff(wavelength_um)
        below, above = np.append(steps[0], steps), np.append(steps, steps[-1])
        near = np.minimum(below, above)
        half = 0.5 * np.stack([below, above], axis=1)
        half = np.where(half > 0.5 * _JUMP * near[:, None], 0.5 * near[:, None], half)
    return wavelength_um[:, None] + half * (-1, 1)
