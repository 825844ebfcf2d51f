"""Molecular absorption cross-sections, read from and written to TauREx's HDF5 format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from arielflow.errors import ArielflowError
from arielflow.provenance import atomic_path

_PASCAL = {"pa": 1.0, "bar": 1e5, "mbar": 1e2, "atm": 101325.0}


@dataclass(frozen=True)
class CrossSection:
    """Absorption cross-section of one molecule.

    Attributes
    ----------
    molecule : chemical formula
    wavenumber_cm1 : ascending, shape (wavenumber,) [cm-1]
    temperature_k : ascending, shape (temperature,) [K]
    pressure_pa : ascending, shape (pressure,) [Pa]
    cross_section_cm2 : shape (pressure, temperature, wavenumber) [cm2 per molecule]
    """

    molecule: str
    wavenumber_cm1: np.ndarray
    temperature_k: np.ndarray
    pressure_pa: np.ndarray
    cross_section_cm2: np.ndarray


def write_taurex_hdf5(path: str | Path, table: CrossSection) -> None:
    """Write a table as TauREx 3 reads it (pressures in Pa, wavenumbers as ``bin_edges``)."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file["bin_edges"] = table.wavenumber_cm1
        file["t"] = table.temperature_k
        file["p"] = table.pressure_pa
        file["p"].attrs["units"] = "Pa"
        file["xsecarr"] = table.cross_section_cm2
        file["xsecarr"].attrs["units"] = "cm^2/molecule"
        file["mol_name"] = np.array([table.molecule.encode()])


def read_taurex_hdf5(path: str | Path) -> CrossSection:
    """Read a TauREx/ExoMol cross-section table.

    Raises
    ------
    ArielflowError
        The file is missing, corrupt, lacks a dataset, or its arrays do not fit together.
    """
    if not Path(path).is_file():
        raise ArielflowError(f"{path}: no such opacity file; check the folder of opacities")
    try:
        with h5py.File(path, "r") as file:
            name = np.ravel(file["mol_name"][()])[0]
            units = file["p"].attrs["units"]
            units = units.decode() if isinstance(units, bytes) else str(units)
            if units.lower() not in _PASCAL:
                raise ArielflowError(
                    f"{path}: pressures in {units!r}; expected one of {', '.join(_PASCAL)}; "
                    "convert the table"
                )
            pressure_pa = file["p"][()] * _PASCAL[units.lower()]
            table = CrossSection(
                name.decode() if isinstance(name, bytes) else str(name),
                file["bin_edges"][()],
                file["t"][()],
                pressure_pa,
                file["xsecarr"][()],
            )
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, IndexError) as error:
        # KeyError's own text is quoted and some of h5py's run over several lines.
        reason = " ".join(str(error).strip("\"'").split())
        raise ArielflowError(
            f"{path}: not a readable TauREx cross-section table ({reason}); fetch or make it again"
        ) from None
    _check_arrays(path, table)
    return table


def _check_arrays(path: str | Path, table: CrossSection) -> None:
    """Refuse axes that cannot be interpolated in, and cross-sections that do not fit them."""
    for name, axis in (
        ("bin_edges", table.wavenumber_cm1),
        ("t", table.temperature_k),
        ("p", table.pressure_pa),
    ):
        # Written so that a NaN fails too: interpolation would go astray without a word.
        if np.ndim(axis) != 1 or not (np.all(np.diff(axis) > 0) and np.all(axis > 0)):
            raise ArielflowError(
                f"{path}: {name} is not one ascending row of positive numbers; sort the table"
            )
    shape = (len(table.pressure_pa), len(table.temperature_k), len(table.wavenumber_cm1))
    if table.cross_section_cm2.shape != shape:
        raise ArielflowError(
            f"{path}: xsecarr has shape {table.cross_section_cm2.shape}, its axes say {shape}; "
            "fetch or make the table again"
        )
    if not np.all(np.isfinite(table.cross_section_cm2)) or np.any(table.cross_section_cm2 < 0):
        raise ArielflowError(f"{path}: negative or non-finite cross-sections; make the table again")


def load_opacities(folder: str | Path, molecules: Sequence[str]) -> dict[str, CrossSection]:
    """Read the tables ``<molecule>.h5`` of a folder, in the order of ``molecules``.

    Raises
    ------
    ArielflowError
        A molecule has no table, or a table is not readable.
    """
    missing = [name for name in molecules if not (Path(folder) / f"{name}.h5").is_file()]
    if missing:
        raise ArielflowError(
            f"{folder}: no opacity table for {', '.join(missing)}; expected <molecule>.h5 files"
        )
    return {name: read_taurex_hdf5(Path(folder) / f"{name}.h5") for name in molecules}
