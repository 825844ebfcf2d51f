"""Collision-induced absorption, read from HITRAN's ``.cia`` files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import guarded, regular_file
from arielflow.physics.opacity_files import check_on_disk

_HEADER_FIELDS = 6
_PEAK_CM5 = (1e-50, 1e-40)
_MOST_NEGATIVE = 0.5


@dataclass(frozen=True)
class CollisionInducedAbsorption:
    """Binary absorption cross-section of one pair of gases.

    Attributes
    ----------
    pair : tuple[str, str]
        The two gases.
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
    path = regular_file(path, "check the folder of opacities")
    check_on_disk(path)
    with guarded(path, "HITRAN CIA file", "fetch it again"):
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
    if not _PEAK_CM5[0] <= values.max() <= _PEAK_CM5[1]:
        raise ArielflowError(
            f"{path}: the largest value is {values.max():.3g} cm5 per pair of molecules, expected "
            f"{_PEAK_CM5[0]:g} to {_PEAK_CM5[1]:g}; the file is damaged or in another unit (HITRAN "
            "has cm5 molecule-2): fetch it from hitran.org/cia"
        )
    return CollisionInducedAbsorption(pair, grid[order], temperature_k, values)


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
    return min(pairs), blocks


def _at_temperatures(wanted: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    inside = (wanted >= known[0]) & (wanted <= known[-1])
    if len(known) == 1:
        return values[0] * inside[:, None]
    upper = np.clip(np.searchsorted(known, wanted), 1, len(known) - 1)
    fraction = (wanted - known[upper - 1]) / (known[upper] - known[upper - 1])
    mixed = values[upper - 1] * (1 - fraction[:, None]) + values[upper] * fraction[:, None]
    return mixed * inside[:, None]


def cia_files(folder: str | Path) -> list[Path]:
    """A folder's ``.cia`` files; names with a dot in front are the system's."""
    return sorted(path for path in Path(folder).glob("*.cia") if not path.name.startswith("."))


def load_cia(folder: str | Path) -> list[CollisionInducedAbsorption]:
    """The H2-H2 and H2-He absorption of a folder's ``.cia`` files.

    Raises
    ------
    ArielflowError
        One of the pairs is missing or is there twice, or a file is damaged.
    """
    wanted = {("H2", "H2"), ("H2", "He")}
    tables = [read_hitran_cia(path) for path in cia_files(folder)]
    found = [table for table in tables if table.pair in wanted]
    pairs = [table.pair for table in found]
    if sorted(pairs) != sorted(wanted):
        raise ArielflowError(
            f"{folder}: collision-induced absorption needs one .cia file each of H2-H2 and H2-He, "
            f"found {', '.join('-'.join(pair) for pair in pairs) or 'none'}; fetch them from "
            "hitran.org/cia or switch it off"
        )
    return found
