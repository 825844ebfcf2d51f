"""TauREx's and ExoMol's HDF5: cross-sections and correlated-k tables, petitRADTRANS 3's too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path, new_hdf5
from arielflow.core.hdf5 import PlainFile, open_plain
from arielflow.core.readers import listed, shown
from arielflow.physics.binning import SAME_EDGE
from arielflow.physics.molecule_names import formula, molecule_of_file
from arielflow.physics.opacity import OpacityTable, check_arrays
from arielflow.physics.opacity_formats.on_disk import FOLDER_REMEDY, MOST_NODES, MOST_WAVENUMBERS
from arielflow.physics.opacity_units import (
    check_kelvin,
    cm2_per_molecule,
    pascal,
    wavenumber_unit,
)

# Values a byte on the disk: tables full of zeros compress well, and nothing else does.
_MOST_VALUES_A_BYTE = 25
_SMALL_TABLE_VALUES = 2_000_000


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
            if table.cell_bounds_cm1 is not None:
                low, high = table.cell_bounds_cm1.T
                if not np.allclose(low[1:], high[:-1], rtol=SAME_EDGE):
                    raise ArielflowError(
                        f"{path}: the format has contiguous cells, those of {table.molecule} "
                        "leave gaps; keep the table as it came"
                    )
                file["bin_edges"] = np.append(low, high[-1])


def read_taurex_hdf5(path: str | Path) -> OpacityTable:
    """Read a TauREx/ExoMol table: cross-sections (``xsecarr``) or k-coefficients (``kcoeff``).

    What the datasets' attributes ``units`` say is converted; without one, cross-sections are in
    cm2 per molecule and the grid in cm-1, as ExoMol has them. petitRADTRANS 3 writes the same
    datasets; its pressures are in bar, with or without an attribute. One edge more than centres
    (``bin_edges`` beside ``bin_centers``) bound the cells of a k-table.

    Raises
    ------
    ArielflowError
        The file is missing, corrupt, lacks a dataset, declares more than it holds, is in a unit
        that is not known, or its arrays do not fit together.
    """
    path = Path(path)
    with open_plain(path, FOLDER_REMEDY) as file:
        molecule = molecule_of(path, file)
        _check_temperature_grid(path, file)
        correlated = file.holds("", "kcoeff")
        grid_name, name = ("bin_centers", "kcoeff") if correlated else ("bin_edges", "xsecarr")
        _check_datasets(path, file, (grid_name, "t", "p", name, *["weights"] * correlated))
        grid, is_wavelength = _spectral_grid(path, file, grid_name)
        check_kelvin(path, file.attribute("t", "units"))
        axes = ("t", "p", "weights") if correlated else ("t", "p")
        temperature_k, pressure, *rest = (
            file.numbers(axis, (None,), most=MOST_NODES) for axis in axes
        )
        pressure_pa = pressure * pascal(path, _pressure_units(path, file))
        weights = rest[0] if correlated else None
        bounds = _cell_bounds(path, file, len(grid)) if correlated else None
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
    axes = grid, temperature_k, pressure_pa
    return check_arrays(path, OpacityTable(molecule, *axes, values, weights, bounds))


def molecule_of(path: Path, file: PlainFile) -> str:
    """Whose table a file is: what it says itself, else its name."""
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
    grid = file.numbers(name, (None,), most=MOST_WAVENUMBERS) * factor
    if not is_wavelength:
        return grid, False
    with np.errstate(divide="ignore"):
        return 1e4 / grid, bool(len(grid) > 1 and grid[1] > grid[0])


def _pressure_units(path: Path, file: PlainFile) -> str | None:
    units = file.attribute("p", "units")
    return "bar" if units is None and "petitradtrans" in path.name.lower() else units


def _check_temperature_grid(path: Path, file: PlainFile) -> None:
    """Refuse petitRADTRANS's tables whose temperatures differ from pressure to pressure."""
    if not file.holds("", "temperature_grid_type"):
        return
    if (kind := file.text("temperature_grid_type").strip()) != "regular":
        raise ArielflowError(
            f"{path}: temperatures are {shown(repr(kind))}, expected 'regular', the same at all "
            "pressures; use another table"
        )


def _cell_bounds(path: Path, file: PlainFile, count: int) -> np.ndarray | None:
    """Lower and upper ends (wavenumber, 2) of a k-table's cells, ascending [cm-1]."""
    if not file.holds("", "bin_edges") or file.shape("bin_edges") != (count + 1,):
        return None
    edges = np.sort(_spectral_grid(path, file, "bin_edges")[0])
    return np.stack([edges[:-1], edges[1:]], axis=1)
