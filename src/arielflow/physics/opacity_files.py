"""The file formats of opacities: TauREx/ExoMol HDF5, correlated-k HDF5, Exo-Transmit text."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path, new_hdf5
from arielflow.core.hdf5 import PlainFile, open_plain
from arielflow.core.readers import guarded, listed, regular_file, shown
from arielflow.physics.molecule_names import formula, molecule_of_file
from arielflow.physics.opacity import OpacityTable, check_arrays
from arielflow.physics.opacity_units import (
    check_kelvin,
    cm2_per_molecule,
    pascal,
    wavenumber_unit,
)

log = logging.getLogger(__name__)

_HDF5_SUFFIXES = (".h5", ".hdf5")
_REMEDY = "fetch or make it again"
# Values a byte on the disk: tables full of zeros compress well, and nothing else does.
_MOST_VALUES_A_BYTE = 25
_SMALL_TABLE_VALUES = 2_000_000
_MOST_WAVENUMBERS = 10_000_000
_TEXT_BLOCK = 1 << 22
_MOST_NODES = 10_000
_CM2_PER_M2 = 1e4
_SMALL_FILE_BYTES = 1 << 26
_MOST_HOLES = 100


def write_taurex_hdf5(path: str | Path, table: OpacityTable) -> None:
    """Write a table as TauREx 3 reads it (pressures in Pa, wavenumbers as ``bin_edges``)."""
    with atomic_path(path) as temporary, new_hdf5(temporary) as file:
        file["t"] = table.temperature_k
        file["p"] = table.pressure_pa
        file["p"].attrs["units"] = "Pa"
        file["mol_name"] = np.array([table.molecule.encode()])
        if table.quadrature_weights is None:
            file["bin_edges"] = table.wavenumber_cm1
            file["xsecarr"] = table.cross_section_cm2
            file["xsecarr"].attrs["units"] = "cm^2/molecule"
        else:
            file["bin_centers"] = table.wavenumber_cm1
            file["kcoeff"] = table.cross_section_cm2
            file["weights"] = table.quadrature_weights
            file["ngauss"] = len(table.quadrature_weights)


def read_taurex_hdf5(path: str | Path) -> OpacityTable:
    """Read a TauREx/ExoMol table: cross-sections (``xsecarr``) or k-coefficients (``kcoeff``).

    What the datasets' attributes ``units`` say is converted; without one, cross-sections are in
    cm2 per molecule and the grid in cm-1, as ExoMol has them.

    Raises
    ------
    ArielflowError
        The file is missing, corrupt, lacks a dataset, declares more than it holds, is in a unit
        that is not known, or its arrays do not fit together.
    """
    path = Path(path)
    with open_plain(path, "check the folder of opacities") as file:
        molecule = _molecule_of(path, file)
        correlated = file.holds("", "kcoeff")
        grid_name, name = ("bin_centers", "kcoeff") if correlated else ("bin_edges", "xsecarr")
        _check_datasets(path, file, (grid_name, "t", "p", name, *["weights"] * correlated))
        grid, is_wavelength = _spectral_grid(path, file, grid_name)
        check_kelvin(path, file.attribute("t", "units"))
        axes = ("t", "p", "weights") if correlated else ("t", "p")
        temperature_k, pressure, *rest = (
            file.numbers(axis, (None,), most=_MOST_NODES) for axis in axes
        )
        pressure_pa = pressure * pascal(path, file.attribute("p", "units"))
        weights = rest[0] if correlated else None
        values = file.numbers(
            name,
            (len(pressure), len(temperature_k), len(grid), *(len(axis) for axis in rest)),
            most=max(_SMALL_TABLE_VALUES, _MOST_VALUES_A_BYTE * file.bytes_on_disk),
            single=True,
        )
        factor = cm2_per_molecule(path, file.attribute(name, "units"), molecule)
    if factor != 1.0:
        # In place: these are hundreds of megabytes.
        np.multiply(values, factor, out=values, casting="same_kind")
    if is_wavelength:
        grid, values = grid[::-1], np.ascontiguousarray(values[:, :, ::-1])
    return check_arrays(
        path, OpacityTable(molecule, grid, temperature_k, pressure_pa, values, weights)
    )


def _molecule_of(path: Path, file: PlainFile) -> str:
    if not file.holds("", "mol_name"):
        return molecule_of_file(path.stem)
    return formula(file.text("mol_name"))


def _check_datasets(path: Path, file: PlainFile, needed: Sequence[str]) -> None:
    missing = [name for name in needed if not file.holds("", name)]
    if missing:
        raise ArielflowError(
            f"{path}: not a TauREx table, {', '.join(missing)} is missing, found "
            f"{listed(file.names()) or 'nothing'}; fetch or convert it"
        )


def _spectral_grid(path: Path, file: PlainFile, name: str) -> tuple[np.ndarray, bool]:
    """Wavenumbers [cm-1], and whether they descend because the file has wavelengths."""
    units = file.attribute(name, "units")
    if units is None and name == "bin_centers" and file.holds("", "bin_edges"):
        units = file.attribute("bin_edges", "units")
    is_wavelength, factor = wavenumber_unit(path, units)
    grid = file.numbers(name, (None,), most=_MOST_WAVENUMBERS) * factor
    if not is_wavelength:
        return grid, False
    with np.errstate(divide="ignore"):
        return 1e4 / grid, bool(len(grid) > 1 and grid[1] > grid[0])


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
    path = regular_file(path, "check the folder of opacities")
    check_on_disk(path)
    with guarded(path, "Exo-Transmit table", _REMEDY), path.open(encoding="ascii") as stream:
        temperature_k, pressure_pa = (
            np.array(stream.readline(_TEXT_BLOCK).split(), dtype=float) for _ in range(2)
        )
        if not 1 <= len(temperature_k) * len(pressure_pa) <= _MOST_NODES:
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
            molecule_of_file(path.stem.removeprefix("opac")),
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


def read_opacity(path: str | Path) -> OpacityTable:
    """Read a table of any known format, told by its name."""
    path = Path(path)
    if path.suffix.lower() in _HDF5_SUFFIXES:
        return read_taurex_hdf5(path)
    return read_exo_transmit(path)


def check_on_disk(path: Path, remedy: str = "fetch or make it again") -> None:
    """Refuse a file that is mostly a hole: its checksum alone would take hours.

    Raises
    ------
    ArielflowError
        The file takes far less of the disk than its size says.
    """
    found = path.stat()
    if found.st_size > max(_SMALL_FILE_BYTES, _MOST_HOLES * 512 * found.st_blocks):
        raise ArielflowError(
            f"{path}: {found.st_size} bytes of which the disk holds {512 * found.st_blocks}; "
            f"{remedy}"
        )


def _is_table(path: Path) -> bool:
    exo_transmit = path.suffix == ".dat" and path.name.startswith("opac")
    return (path.suffix.lower() in _HDF5_SUFFIXES or exo_transmit) and not path.is_dir()


def _entries(folder: str | Path) -> list[Path]:
    """What a folder shows; names with a dot in front are the system's, or notes of an editor."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ArielflowError(f"{folder}: no such folder of opacities; set physics.opacities")
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def scan_opacities(folder: str | Path) -> dict[str, Path]:
    """Files of a folder by molecule, names read but no table.

    Raises
    ------
    ArielflowError
        There is no such folder, or a molecule has two files.
    """
    found: dict[str, Path] = {}
    for path in filter(_is_table, _entries(folder)):
        check_on_disk(regular_file(path, "remove or replace it"))
        if path.suffix.lower() in _HDF5_SUFFIXES:
            with open_plain(path, _REMEDY) as file:
                molecule = _molecule_of(path, file)
        else:
            molecule = molecule_of_file(path.stem.removeprefix("opac"))
        if molecule in found:
            raise ArielflowError(
                f"{folder}: two tables of {molecule}, {found[molecule].name} and {path.name}; "
                "keep one"
            )
        found[molecule] = path
    return found


def select(
    found: Mapping[str, Path], molecules: Sequence[str], folder: str | Path
) -> dict[str, Path]:
    """The files of these molecules out of those found, in order.

    Raises
    ------
    ArielflowError
        A molecule has no table.
    """
    passed_over = [
        f"{path.name}/" if path.is_dir() else path.name
        for path in _entries(folder)
        if not (_is_table(path) or path.suffix == ".cia")
    ]
    ignored = f"{listed(passed_over)} ignored (no table by its name)" if passed_over else ""
    missing = [name for name in molecules if name not in found]
    if missing:
        raise ArielflowError(
            f"{folder}: no opacity table for {listed(missing)}; found "
            f"{listed(sorted(found), 40) or 'none'}{', ' * bool(ignored)}{ignored}"
        )
    if ignored:
        _tell_once(f"{shown(folder, 400)}: {ignored}")
    return {name: found[name] for name in molecules}


@lru_cache(maxsize=64)
def _tell_once(text: str) -> None:
    log.info("%s", text)
