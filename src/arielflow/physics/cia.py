"""Collision-induced absorption, read from HITRAN's ``.cia`` files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arielflow.errors import ArielflowError

_HEADER_FIELDS = 6


@dataclass(frozen=True)
class CollisionInducedAbsorption:
    """Binary absorption cross-section of one pair of gases.

    Attributes
    ----------
    pair : the two gases
    wavenumber_cm1 : ascending, shape (wavenumber,) [cm-1]
    temperature_k : ascending, shape (temperature,) [K]
    cross_section_cm5 : shape (temperature, wavenumber) [cm5 per pair of molecules]
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
    path = Path(path)
    if not path.is_file():
        raise ArielflowError(f"{path}: no such CIA file; check the folder of opacities")
    try:
        pair, blocks = _blocks(path)
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ArielflowError(
            f"{path}: not a readable HITRAN CIA file ({error}); fetch it again"
        ) from None
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
        values = np.array([entry[2] for entry in entries])
        columns.append(_at_temperatures(temperature_k, known, values))
        grids.append(grid)
    grid = np.concatenate(grids)
    order = np.argsort(grid, kind="stable")
    return CollisionInducedAbsorption(
        pair, grid[order], temperature_k, np.concatenate(columns, axis=1)[:, order]
    )


def _blocks(path: Path):
    """Pair of gases, and (span, temperature, wavenumbers, cross-sections) of every block."""
    lines = path.read_text().splitlines()
    pair: tuple[str, str] | None = None
    blocks = []
    position = 0
    while position < len(lines) and lines[position].strip():
        header = lines[position].split()
        if len(header) < _HEADER_FIELDS:
            raise ValueError(f"line {position + 1} is no block's header")
        first, _, second = header[0].partition("-")
        pair = (first, second)
        count = int(header[3])
        rows = [line.split()[:2] for line in lines[position + 1 : position + 1 + count]]
        values = np.array(rows, dtype=float)
        if values.shape != (count, 2) or not np.all(np.isfinite(values)):
            raise ValueError(f"the block at line {position + 1} is cut off or holds no numbers")
        span = float(header[1]), float(header[2])
        blocks.append((span, float(header[4]), values[:, 0], np.clip(values[:, 1], 0, None)))
        position += 1 + count
    if pair is None or not all(pair):
        raise ValueError("no block of a pair of gases")
    return pair, blocks


def _at_temperatures(wanted: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    inside = (wanted >= known[0]) & (wanted <= known[-1])
    if len(known) == 1:
        return values[0] * inside[:, None]
    upper = np.clip(np.searchsorted(known, wanted), 1, len(known) - 1)
    fraction = (wanted - known[upper - 1]) / (known[upper] - known[upper - 1])
    mixed = values[upper - 1] * (1 - fraction[:, None]) + values[upper] * fraction[:, None]
    return mixed * inside[:, None]


def load_cia(folder: str | Path) -> list[CollisionInducedAbsorption]:
    """The H2-H2 and H2-He absorption of a folder's ``.cia`` files.

    Raises
    ------
    ArielflowError
        One of the pairs is missing or is there twice, or a file is damaged.
    """
    wanted = {("H2", "H2"), ("H2", "He")}
    tables = [read_hitran_cia(path) for path in sorted(Path(folder).glob("*.cia"))]
    found = [table for table in tables if table.pair in wanted]
    pairs = [table.pair for table in found]
    if sorted(pairs) != sorted(wanted):
        raise ArielflowError(
            f"{folder}: collision-induced absorption needs one .cia file each of H2-H2 and H2-He, "
            f"found {', '.join('-'.join(pair) for pair in pairs) or 'none'}; fetch them from "
            "hitran.org/cia or switch it off"
        )
    return found
