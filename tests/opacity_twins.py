"""Small files in the formats of opacities, written from arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from arielflow.physics.opacity import OpacityTable


@dataclass(frozen=True)
class Nemesis:
    """What a NEMESIS k-table holds; ``values`` by wavelength, pressure, temperature, ordinate."""

    wavelength_um: np.ndarray
    pressure_bar: np.ndarray
    temperature_k: np.ndarray
    weights: np.ndarray
    values: np.ndarray
    gas: int = 1
    step_um: float = -1.0
    width_um: float = 0.0


def nemesis(gas: int = 1, wavelength_um=(1.1, 1.2, 1.3, 1.4, 3.6, 4.5), **others) -> Nemesis:
    """A k-table with channels that stand apart, ready to be written."""
    axes = np.array(wavelength_um), np.geomspace(1e-6, 10, 4), np.array([300.0, 1000.0, 2600.0])
    weights = np.array([0.1, 0.4, 0.4, 0.1])
    shape = (*(len(axis) for axis in axes), len(weights))
    values = np.sort(np.random.default_rng(gas).uniform(1e-4, 10, shape), axis=-1)
    return Nemesis(*axes, weights, values, gas, **others)


def write_nemesis(path: Path, k: Nemesis, spare_records: int = 2) -> None:
    """Little-endian words of four bytes; ``spare_records`` lie between the axes and k."""
    listed = k.wavelength_um if k.step_um < 0 else np.array([])
    axes = [np.linspace(0.05, 0.95, len(k.weights)), k.weights, np.zeros(2)]
    axes += [k.pressure_bar, k.temperature_k, listed, np.zeros(spare_records)]
    arrays = np.concatenate(axes).astype("<f4").tobytes()
    first = 10 + len(arrays) // 4 + 1
    points, pressures, temperatures, ordinates = k.values.shape
    head = np.array([first, points], "<i4").tobytes()
    head += np.array([k.wavelength_um[0], k.step_um, k.width_um], "<f4").tobytes()
    head += np.array([pressures, temperatures, ordinates, k.gas, 0], "<i4").tobytes()
    path.write_bytes(head + arrays + k.values.astype("<f4").tobytes())


def photochem_edges_um() -> np.ndarray:
    """Edges of contiguous cells at R = 10 or so."""
    return np.geomspace(0.4, 10.0, 31)


def write_photochem(path: Path, species: str = "H2O", hottest_k: float = 2000.0) -> np.ndarray:
    """A k-distribution; returns k [cm2] by wavelength, temperature, pressure and quadrature."""
    shape = (30, 3, 4, 2)
    log_k = np.random.default_rng(len(species)).uniform(-26, -18, shape).astype("f4")
    log_k[0] = -60.0
    with h5py.File(path, "w") as file:
        file["log10k"] = log_k
        file["T"] = np.array([100.0, 1000.0, hottest_k], "f4")
        file["log10P"] = np.array([-6.0, -3.0, 0.0, 2.0], "f4")
        file["weights"] = np.array([0.25, 0.75])
        file["wavelengths"] = photochem_edges_um()
        file["species"] = np.bytes_(species.ljust(50))
        file["notes"] = np.bytes_("synthetic")
    return np.where(log_k > -59, 10.0 ** log_k.astype(float), 0.0)


def write_petitradtrans(path: Path, table: OpacityTable, name: str = "H2O") -> None:
    """A table as petitRADTRANS 3 has it: pressures in bar, one edge more than centres."""
    with h5py.File(path, "w") as file:
        file["DOI"] = np.array([b"none"])
        file["mol_name"] = np.array([name.encode()])
        file["mol_mass"] = np.array([18.0])
        file["t"] = table.temperature_k
        file["t"].attrs["units"] = "K"
        file["p"] = table.pressure_pa / 1e5
        file["p"].attrs["units"] = "bar"
        file["temperature_grid_type"] = np.array([b"regular"])
        if table.quadrature_weights is None:
            file["bin_edges"] = table.wavenumber_cm1
            values = "xsecarr"
        else:
            file["bin_centers"] = table.wavenumber_cm1
            file["bin_edges"] = np.append(table.cell_bounds_cm1[:, 0], table.cell_bounds_cm1[-1, 1])
            file["samples"] = np.cumsum(table.quadrature_weights) - table.quadrature_weights / 2
            file["weights"] = table.quadrature_weights
            file["ngauss"] = len(table.quadrature_weights)
            file["method"] = np.array([b"petit_samples"])
            values = "kcoeff"
        file["bin_edges"].attrs["units"] = "cm^-1"
        file[values] = table.cross_section_cm2
        file[values].attrs["units"] = "cm^2/molecule"


def write_photochem_cia(path: Path) -> np.ndarray:
    """CIA by wavelength and temperature; returns the values [cm5]."""
    log_values = np.random.default_rng(5).uniform(-50, -44, (40, 3)).astype("f4")
    with h5py.File(path, "w") as file:
        file["log10xs"] = log_values
        file["T"] = np.array([100.0, 1000.0, 3000.0], "f4")
        file["wavelengths"] = np.geomspace(0.6, 200, 40)
        file["notes"] = np.bytes_("log10xs = [cm^2/molecule]")
    return 10.0 ** log_values.astype(float)


def write_pyratbay_cia(path: Path, pair: str = "H2  He") -> np.ndarray:
    """CIA by wavenumber and temperature; returns the absorption [cm-1 amagat-2]."""
    values = np.random.default_rng(6).uniform(1e-10, 1e-6, (50, 3))
    grid = np.linspace(20, 10_000, 50)
    rows = [
        " ".join([f"{x:9.1f}", *(f"{y:.8e}" for y in row)])
        for x, row in zip(grid, values, strict=True)
    ]
    lines = ["# synthetic", "@SPECIES", pair, "", "@TEMPERATURES", "  300  1000  3000", ""]
    path.write_text("\n".join([*lines, "# in cm-1 amagat-2:", "@DATA", *rows]) + "\n")
    return values
