"""The file formats of opacities: TauREx/ExoMol HDF5, correlated-k HDF5, Exo-Transmit text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from arielflow.errors import ArielflowError
from arielflow.physics.opacity import OpacityTable, check_arrays
from arielflow.provenance import atomic_path

_PASCAL = {"pa": 1.0, "bar": 1e5, "mbar": 1e2, "atm": 101325.0}
_CM2_PER_M2 = 1e4
_HDF5_SUFFIXES = (".h5", ".hdf5")


def formula(name: str) -> str:
    """Chemical formula in a table's name, isotopes left out: ``1H2-16O`` and ``H2O`` are H2O."""
    parts = re.findall(r"(?:^|-)\d*((?:[A-Z][a-z]?\d*)+)", name.strip())
    return "".join(parts) or name.strip()


def write_taurex_hdf5(path: str | Path, table: OpacityTable) -> None:
    """Write a table as TauREx 3 reads it (pressures in Pa, wavenumbers as ``bin_edges``)."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
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


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a damaged file brings about into one line that names it."""
    if not path.is_file():
        raise ArielflowError(f"{path}: no such opacity file; check the folder of opacities")
    try:
        yield
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, IndexError) as error:
        # KeyError's own text is quoted and some of h5py's run over several lines.
        reason = " ".join(str(error).strip("\"'").split())
        raise ArielflowError(
            f"{path}: not a readable {what} ({reason}); fetch or make it again"
        ) from None


def read_taurex_hdf5(path: str | Path) -> OpacityTable:
    """Read a TauREx/ExoMol table: cross-sections (``xsecarr``) or k-coefficients (``kcoeff``).

    Raises
    ------
    ArielflowError
        The file is missing, corrupt, lacks a dataset, or its arrays do not fit together.
    """
    path = Path(path)
    with _reading(path, "TauREx table"), h5py.File(path, "r") as file:
        correlated = "kcoeff" in file
        table = OpacityTable(
            _molecule_of(path, file),
            file["bin_centers" if correlated else "bin_edges"][()],
            file["t"][()],
            file["p"][()] * _pascal_per_unit(path, file["p"].attrs),
            file["kcoeff" if correlated else "xsecarr"][()],
            file["weights"][()] if correlated else None,
        )
    return check_arrays(path, table)


def _molecule_of(path: Path, file: h5py.File) -> str:
    if "mol_name" not in file:
        return formula(re.split(r"[_.]", path.stem)[0])
    name = np.ravel(file["mol_name"][()])[0]
    return formula(name.decode() if isinstance(name, bytes) else str(name))


def _pascal_per_unit(path: Path, attributes: Mapping[str, object]) -> float:
    units = attributes["units"]
    units = units.decode() if isinstance(units, bytes) else str(units)
    if units.lower() not in _PASCAL:
        raise ArielflowError(
            f"{path}: pressures in {units!r}; expected one of {', '.join(_PASCAL)}; "
            "convert the table"
        )
    return _PASCAL[units.lower()]


def read_exo_transmit(path: str | Path) -> OpacityTable:
    """Read an Exo-Transmit table, ``opac<molecule>.dat``, all in SI (Kempton et al. 2017).

    Two lines hold the temperatures [K] and the pressures [Pa]; then a line with a wavelength [m]
    is followed by one line a pressure: the pressure, then cross-sections [m2] by temperature.

    Raises
    ------
    ArielflowError
        The file is missing, or not such a table.
    """
    path = Path(path)
    with _reading(path, "Exo-Transmit table"):
        with path.open() as stream:
            temperature_k, pressure_pa = (
                np.array(next(stream, "").split(), dtype=float) for _ in range(2)
            )
            body = np.array(stream.read().split(), dtype=float)
        block = 1 + len(pressure_pa) * (1 + len(temperature_k))
        if not len(body) or len(body) % block:
            raise ValueError(
                f"{len(body)} numbers are not whole blocks of {block}: the file is cut off"
            )
        body = body.reshape(-1, block)
        rows = body[:, 1:].reshape(len(body), len(pressure_pa), -1)[:, :, 1:]
        order = np.argsort(-body[:, 0])
        table = OpacityTable(
            formula(path.stem.removeprefix("opac")),
            1e-2 / body[order, 0],
            temperature_k,
            pressure_pa,
            np.ascontiguousarray(rows[order].transpose(1, 2, 0)) * _CM2_PER_M2,
        )
    return check_arrays(path, table)


def read_opacity(path: str | Path) -> OpacityTable:
    """Read a table of any known format, told by its name."""
    path = Path(path)
    if path.suffix in _HDF5_SUFFIXES:
        return read_taurex_hdf5(path)
    return read_exo_transmit(path)


def scan_opacities(folder: str | Path) -> dict[str, Path]:
    """Files of a folder by molecule, names read but no table.

    Raises
    ------
    ArielflowError
        There is no such folder, or a molecule has two files.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ArielflowError(f"{folder}: no such folder of opacities; set physics.opacities")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in _HDF5_SUFFIXES:
            with _reading(path, "TauREx table"), h5py.File(path, "r") as file:
                molecule = _molecule_of(path, file)
        elif path.suffix == ".dat" and path.name.startswith("opac"):
            molecule = formula(path.stem.removeprefix("opac"))
        else:
            continue
        if molecule in found:
            raise ArielflowError(
                f"{folder}: two tables of {molecule}, {found[molecule].name} and {path.name}; "
                "keep one"
            )
        found[molecule] = path
    return found
