"""The k-distributions of photochem and clima, HDF5 with ``log10k`` (Wogan et al. 2023)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.hdf5 import PlainFile, open_plain
from arielflow.core.readers import listed
from arielflow.physics.molecule_names import formula, molecule_of_file
from arielflow.physics.opacity import OpacityTable, check_arrays
from arielflow.physics.opacity_formats.on_disk import FOLDER_REMEDY, MOST_NODES, REMEDY

_DATASETS = ("log10k", "wavelengths", "T", "log10P", "weights")
_PA_PER_BAR = 1e5
# What stands for no absorption, and all that is weaker.
_LOG_ZERO = -59.9


def read_photochem(path: str | Path) -> OpacityTable:
    """Read a k-distribution of photochem: log10 k by wavelength, temperature, pressure, quadrature.

    k is in cm2 per molecule, -60 stands for zero; wavelengths are the edges of contiguous cells
    [um], pressures log10 of bar. A cell's wavenumber is the middle of its own ends.

    Raises
    ------
    ArielflowError
        The file is missing, corrupt, lacks a dataset, declares more than it holds, or its arrays
        do not fit together.
    """
    path = Path(path)
    with open_plain(path, FOLDER_REMEDY) as file:
        molecule = molecule_of(path, file)
        missing = [name for name in _DATASETS if not file.holds("", name)]
        if missing:
            raise ArielflowError(
                f"{path}: no k-distribution of photochem, {listed(missing)} is missing, found "
                f"{listed(file.names())}; {REMEDY}"
            )
        edges_um, temperature_k, log_bar, weights = (
            file.numbers(name, (None,), most=MOST_NODES) for name in _DATASETS[1:]
        )
        shape = (len(edges_um) - 1, len(temperature_k), len(log_bar), len(weights))
        log_k = file.numbers("log10k", shape, single=True)
    if not (np.all(np.diff(edges_um) > 0) and edges_um[0] > 0):
        raise ArielflowError(f"{path}: wavelengths do not ascend from above zero; {REMEDY}")
    with np.errstate(over="ignore", invalid="ignore"):
        k = np.where(log_k <= _LOG_ZERO, 0.0, 10.0 ** log_k.astype(float)).astype(log_k.dtype)
        pressure_pa = _PA_PER_BAR * 10.0**log_bar
    edges_cm1 = 1e4 / edges_um[::-1]
    table = OpacityTable(
        molecule,
        0.5 * (edges_cm1[:-1] + edges_cm1[1:]),
        temperature_k,
        pressure_pa,
        np.ascontiguousarray(k[::-1].transpose(2, 1, 0, 3)),
        weights,
        np.stack([edges_cm1[:-1], edges_cm1[1:]], axis=1),
    )
    return check_arrays(path, table)


def molecule_of(path: Path, file: PlainFile) -> str:
    """Whose k-distribution a file is: what it says itself, else its name."""
    if not file.holds("", "species"):
        return molecule_of_file(path.stem)
    return formula(file.text("species"))
