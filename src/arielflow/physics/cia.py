"""Collision-induced absorption: HITRAN's ``.cia`` files, photochem's HDF5, pyratbay's text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.hdf5 import open_plain
from arielflow.core.readers import guarded, regular_file
from arielflow.physics.opacity_files import Format, cia_entries, format_of
from arielflow.physics.opacity_formats.on_disk import FOLDER_REMEDY, check_on_disk
from arielflow.physics.systems import BOLTZMANN_CONSTANT

_HEADER_FIELDS = 6
_PEAK_CM5 = (1e-50, 1e-40)
_MOST_NEGATIVE = 0.5
_REMEDY = "fetch it again"
_SECTIONS = ("@SPECIES", "@TEMPERATURES", "@DATA")
_LONGEST_TEXT_BYTES = 1 << 28
# Molecules per cm3 at 273.15 K and one atmosphere: an amagat.
_PER_CM3 = 101325.0 / (BOLTZMANN_CONSTANT * 273.15) * 1e-6
_LOG_ZERO = -99.0
_MOST_POINTS = 1_000_000
_PAIR = re.compile(r"([A-Z][A-Za-z0-9]*)--?([A-Z][A-Za-z0-9]*)(?![A-Za-z0-9])")

NEEDED_PAIRS = (("H2", "H2"), ("H2", "He"))
"""Pairs of gases that make up nearly all of collision-induced absorption in these atmospheres."""


@dataclass(frozen=True)
class CollisionInducedAbsorption:
    """Binary absorption cross-section of one pair of gases.

    Attributes
    ----------
    pair : tuple[str, str]
        The two gases in the order of the alphabet.
    wavenumber_cm1 : np.ndarray
        Ascending, shape (wavenumber,) [cm-1].
    temperature_k : np.ndarray
        Ascending, shape (temperature,) [K].
    cross_section_cm5 : np.ndarray
        Shape (temperature, wavenumber) [cm5 per pair of molecules].
    """

    pair: tuple[str, str]
    wavenumber_cm1: np.ndarray
    temperature_k: np.ndarray
    cross_section_cm5: np.ndarray


def read_hitran_cia(path: str | Path) -> CollisionInducedAbsorption:
    """Read a HITRAN ``.cia`` file (Karman et al. 2019), its bands brought to one set of nodes.

    A file holds blocks, each one band at one temperature. A band known at some temperatures only
    is interpolated linearly between these and zero beyond them; negative values are zero.

    Raises
    ------
    ArielflowError
        The file is missing, or not such a file.
    """
    path = regular_file(path, FOLDER_REMEDY)
    check_on_disk(path)
    with guarded(path, "HITRAN CIA file", _REMEDY):
        pair, blocks = _blocks(path)
    temperature_k = np.unique([temperature for _, temperature, _, _ in blocks])
    bands: dict[tuple[float, float], list[tuple[float, np.ndarray, np.ndarray]]] = {}
    for span, temperature, grid, values in blocks:
        bands.setdefault(span, []).append((temperature, grid, values))
    grids, columns = [], []
    for entries in bands.values():
        entries.sort(key=lambda entry: entry[0])
        known, grid = np.array([entry[0] for entry in entries]), entries[0][1]
        if any(len(entry[1]) != len(grid) for entry in entries):
            raise ArielflowError(f"{path}: a band has several lengths; fetch it again")
        if np.any(np.diff(known) == 0):
            raise ArielflowError(f"{path}: a band has one temperature twice; fetch it again")
        values = np.array([entry[2] for entry in entries])
        columns.append(_at_temperatures(temperature_k, known, values))
        grids.append(grid)
    grid = np.concatenate(grids)
    order = np.argsort(grid, kind="stable")
    values = np.concatenate(columns, axis=1)[:, order]
    return _checked(path, CollisionInducedAbsorption(pair, grid[order], temperature_k, values))


def read_photochem_cia(path: str | Path) -> CollisionInducedAbsorption:
    """Read photochem's HDF5 of a pair of gases, which its name says: ``H2-He.h5``.

    ``log10xs`` by wavelength and temperature is log10 of cm5 per pair of molecules, whatever the
    file's note says; ``wavelengths`` are points [um], ``T`` temperatures [K].

    Raises
    ------
    ArielflowError
        The file is missing or damaged, its arrays do not fit together, or its name is no pair.
    """
    path = regular_file(path, FOLDER_REMEDY)
    if (named := _PAIR.match(path.stem)) is None:
        raise ArielflowError(
            f"{path}: its name does not begin with a pair of gases; name it such as H2-He.h5"
        )
    with open_plain(path, FOLDER_REMEDY) as file:
        wavelength_um, temperature_k = (
            file.numbers(name, (None,), most=_MOST_POINTS) for name in ("wavelengths", "T")
        )
        log_values = file.numbers("log10xs", (len(wavelength_um), len(temperature_k)))
    with np.errstate(all="ignore"):
        values = np.where(log_values <= _LOG_ZERO, 0.0, 10.0**log_values)
        grid = 1e4 / wavelength_um
    pair = min(named[1], named[2]), max(named[1], named[2])
    table = CollisionInducedAbsorption(pair, grid[::-1], temperature_k, values.T[:, ::-1].copy())
    return _checked(path, table)


def read_pyratbay_cia(path: str | Path) -> CollisionInducedAbsorption:
    """Read pyratbay's text: the pair, temperatures [K], then rows of wavenumber and absorption.

    Absorption is in cm-1 amagat-2, that of both gases at one amagat each.

    Raises
    ------
    ArielflowError
        The file is missing, or not such a file.
    """
    path = regular_file(path, FOLDER_REMEDY)
    check_on_disk(path)
    with guarded(path, "CIA file of pyratbay", _REMEDY):
        if path.stat().st_size > _LONGEST_TEXT_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes, at most {_LONGEST_TEXT_BYTES} are read")
        species, temperatures, rows = _sections(path.read_text(encoding="utf-8-sig"))
        gases = species[0].split() if len(species) == 1 else []
        if len(gases) != 2:
            raise ValueError("it does not name two gases on one line below @SPECIES")
        temperature_k = np.array(" ".join(temperatures).split(), dtype=float)
        widths = {len(row.split()) for row in rows}
        if widths != {1 + len(temperature_k)}:
            raise ValueError(
                f"its rows hold {sorted(widths)[:5]} numbers, expected {1 + len(temperature_k)}: a "
                "wavenumber and one value a temperature"
            )
        body = np.array([row.split() for row in rows], dtype=float)
    values = body[:, 1:].T / _PER_CM3**2
    pair = min(gases), max(gases)
    return _checked(path, CollisionInducedAbsorption(pair, body[:, 0], temperature_k, values))


def _sections(text: str) -> tuple[list[str], ...]:
    """The lines below each of the format's headings, comments and empty lines left out."""
    found: dict[str, list[str]] = {}
    current = None
    for line in map(str.strip, text.splitlines()):
        if line.startswith("@"):
            if line not in _SECTIONS or line in found:
                raise ValueError(f"unknown or repeated heading {line[:40]!r}")
            current = found.setdefault(line, [])
        elif line and not line.startswith("#"):
            if current is None:
                raise ValueError(f"text before the first heading: {line[:40]!r}")
            current.append(line)
    missing = [name for name in _SECTIONS if not found.get(name)]
    if missing:
        raise ValueError(f"nothing below {', '.join(missing)}")
    return tuple(found[name] for name in _SECTIONS)


def _checked(path: Path, table: CollisionInducedAbsorption) -> CollisionInducedAbsorption:
    """Refuse axes that cannot be interpolated in, and values that cannot be right."""
    values = table.cross_section_cm5
    grid, temperature_k = table.wavenumber_cm1, table.temperature_k
    # Bands may share a wavenumber, and the first may be zero.
    finite = np.isfinite(grid).all() and np.isfinite(temperature_k).all()
    ascending = finite and np.all(np.diff(grid) >= 0) and np.all(np.diff(temperature_k) > 0)
    if not (ascending and min(grid[:1], default=-1) >= 0 and min(temperature_k[:1], default=0) > 0):
        raise ArielflowError(
            f"{path}: wavenumbers or temperatures are not ascending positive numbers; {_REMEDY}"
        )
    if len(grid) < 2 or len(temperature_k) < 2:
        raise ArielflowError(
            f"{path}: {len(grid)} wavenumbers and {len(temperature_k)} temperatures, two of each "
            f"are needed to interpolate; {_REMEDY}"
        )
    if not np.isfinite(values).all() or values.min() < 0:
        raise ArielflowError(f"{path}: negative or non-finite values; {_REMEDY}")
    if not _PEAK_CM5[0] <= values.max() <= _PEAK_CM5[1]:
        raise ArielflowError(
            f"{path}: the largest value is {values.max():.3g} cm5 per pair of molecules, expected "
            f"{_PEAK_CM5[0]:g} to {_PEAK_CM5[1]:g}; the file is damaged or in another unit (HITRAN "
            "has cm5 molecule-2): fetch it from hitran.org/cia"
        )
    return table


def _blocks(path: Path):
    """Pair of gases, and (span, temperature, wavenumbers, cross-sections) of every block."""
    lines = path.read_text(encoding="utf-8").rstrip().splitlines()
    pairs: set[tuple[str, str]] = set()
    blocks = []
    position = 0
    while position < len(lines):
        header = lines[position].split()
        if len(header) < _HEADER_FIELDS:
            raise ValueError(f"line {position + 1} is no block's header")
        first, _, second = header[0].partition("-")
        pairs.add((first, second))
        count = int(header[3])
        if count < 2:
            raise ValueError(f"the block at line {position + 1} has {count} values")
        rows = [line.split()[:2] for line in lines[position + 1 : position + 1 + count]]
        values = np.array(rows, dtype=float)
        if values.shape != (count, 2) or not np.all(np.isfinite(values)):
            raise ValueError(f"the block at line {position + 1} is cut off or holds no numbers")
        temperature = float(header[4])
        if not (temperature > 0 and np.all(np.diff(values[:, 0]) > 0) and values[0, 0] >= 0):
            raise ValueError(
                f"the block at line {position + 1} has a temperature or wavenumbers out of order"
            )
        # Bands' faint ends scatter around zero in HITRAN's files; more is no absorption.
        if -values[:, 1].min() > _MOST_NEGATIVE * values[:, 1].max():
            raise ValueError(f"the block at line {position + 1} is mostly negative")
        span = float(header[1]), float(header[2])
        blocks.append((span, temperature, values[:, 0], np.clip(values[:, 1], 0, None)))
        position += 1 + count
    if len(pairs) != 1 or not all(min(pairs)):
        raise ValueError("it holds no blocks, or not of one pair of gases")
    pair = min(pairs)
    return (min(pair), max(pair)), blocks


def _at_temperatures(wanted: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    inside = (wanted >= known[0]) & (wanted <= known[-1])
    if len(known) == 1:
        return values[0] * inside[:, None]
    upper = np.clip(np.searchsorted(known, wanted), 1, len(known) - 1)
    fraction = (wanted - known[upper - 1]) / (known[upper] - known[upper - 1])
    mixed = values[upper - 1] * (1 - fraction[:, None]) + values[upper] * fraction[:, None]
    return mixed * inside[:, None]


def read_cia(path: str | Path) -> CollisionInducedAbsorption:
    """Read collision-induced absorption of any known format.

    Raises
    ------
    ArielflowError
        The file is missing, damaged, or of another kind.
    """
    path = regular_file(path, FOLDER_REMEDY)
    if (reader := _READERS.get(format_of(path))) is None:
        raise ArielflowError(
            f"{path}: no collision-induced absorption in a format that is known, see "
            "docs/opacities.md; convert it"
        )
    return reader(path)


_READERS = {
    Format.HITRAN_CIA: read_hitran_cia,
    Format.PHOTOCHEM_CIA: read_photochem_cia,
    Format.PYRATBAY_CIA: read_pyratbay_cia,
}


def cia_files(folder: str | Path) -> list[Path]:
    """A folder's files of collision-induced absorption; names with a dot in front are passed over.

    Raises
    ------
    ArielflowError
        There is no such folder, or an HDF5 file in it is damaged.
    """
    return list(cia_entries(folder))


def load_cia(folder: str | Path) -> list[CollisionInducedAbsorption]:
    """The H2-H2 and H2-He absorption of a folder, in whatever formats.

    Raises
    ------
    ArielflowError
        One of the pairs is missing or is there twice, or a file is damaged.
    """
    tables = [read_cia(path) for path in cia_files(folder)]
    found = [table for table in tables if table.pair in NEEDED_PAIRS]
    pairs = [table.pair for table in found]
    if sorted(pairs) != sorted(NEEDED_PAIRS):
        raise ArielflowError(
            f"{folder}: collision-induced absorption needs one file each of H2-H2 and H2-He, "
            f"found {', '.join('-'.join(pair) for pair in pairs) or 'none'}; fetch them from "
            "hitran.org/cia or switch it off"
        )
    return found
