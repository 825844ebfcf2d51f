"""Exo-Transmit's text tables, ``opac<molecule>.dat``."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np

from arielflow.core.readers import guarded, regular_file
from arielflow.physics.molecule_names import molecule_of_file
from arielflow.physics.opacity import OpacityTable, check_arrays
from arielflow.physics.opacity_formats.on_disk import (
    FOLDER_REMEDY,
    MOST_NODES,
    REMEDY,
    check_on_disk,
)

_TEXT_BLOCK = 1 << 22
_CM2_PER_M2 = 1e4


def read_exo_transmit(path: str | Path) -> OpacityTable:
    """Read an Exo-Transmit table, ``opac<molecule>.dat``, all in SI (Kempton et al. 2017).

    Two lines hold the temperatures [K] and the pressures [Pa]; then a line with a wavelength [m]
    is followed by one line per pressure: the pressure or its log10, then cross-sections [m2] by
    temperature.

    Raises
    ------
    ArielflowError
        The file is missing, or not such a table.
    """
    path = regular_file(path, FOLDER_REMEDY)
    check_on_disk(path)
    with guarded(path, "Exo-Transmit table", REMEDY), path.open(encoding="ascii") as stream:
        temperature_k, pressure_pa = (
            np.array(stream.readline(_TEXT_BLOCK).split(), dtype=float) for _ in range(2)
        )
        if not 1 <= len(temperature_k) * len(pressure_pa) <= MOST_NODES:
            raise ValueError("its first two lines are no temperatures and pressures")
        body = _numbers(stream)
        block = 1 + len(pressure_pa) * (1 + len(temperature_k))
        if not len(body) or len(body) % block:
            raise ValueError(
                f"{len(body)} numbers are not whole blocks of {block}: the file is cut off"
            )
        body = body.reshape(-1, block)
        rows = body[:, 1:].reshape(len(body), len(pressure_pa), -1)
        _check_rows(rows[:, :, 0], pressure_pa)
        with np.errstate(divide="ignore"):
            wavenumber_cm1 = 1e-2 / body[:, 0]
        order = np.argsort(wavenumber_cm1)
        values = np.ascontiguousarray(rows[order, :, 1:].transpose(1, 2, 0))
        values *= _CM2_PER_M2
        table = OpacityTable(
            molecule(path),
            *(wavenumber_cm1[order], temperature_k, pressure_pa, values),
        )
    return check_arrays(path, table)


def _numbers(stream: IO[str]) -> np.ndarray:
    """All numbers of a text, read in blocks: as words they take ten times the file's size."""
    blocks, rest = [], ""
    while text := stream.read(_TEXT_BLOCK):
        text = rest + text
        # What the block ends with may be part of a number.
        cut = max(text.rfind(blank) for blank in " \n\t") + 1
        if not cut:
            raise ValueError("a line without numbers")
        blocks.append(np.array(text[:cut].split(), dtype=float))
        rest = text[cut:]
    blocks.append(np.array(rest.split(), dtype=float))
    return np.concatenate(blocks)


def _check_rows(labels: np.ndarray, pressure_pa: np.ndarray) -> None:
    """Every row begins with its pressure; a number too few or too many would shift them all."""
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = pressure_pa, np.log10(pressure_pa)
    if not any(np.allclose(labels, one, rtol=1e-3, atol=1e-6) for one in expected):
        raise ValueError("its rows do not begin with the pressures of the second line")


def molecule(path: Path) -> str:
    """Whose table a file is, by its name."""
    return molecule_of_file(path.stem.removeprefix("opac"))
