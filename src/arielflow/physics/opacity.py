"""Opacity tables: what one holds, which ones a folder has, and how they are fitted together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.physics.binning import SAME_EDGE, binning_matrix, cells_of
from arielflow.physics.molecular_bands import MOLECULES

PEAK_CM2 = (1e-35, 1e-10)
"""Where the largest cross-section of a table lies: sodium's resonance lines reach 1e-11."""
# The lower boundary of the atmosphere is 1e6 Pa; tables that end far above it are in bar.
_LEAST_DEEPEST_PA = 3e3
# Published tables differ by a factor of three at most, units by four powers of ten or more.
_STRENGTH_FACTOR = 100.0


@dataclass(frozen=True)
class OpacityTable:
    """Absorption of one molecule: a cross-section table, or a correlated-k table.

    Attributes
    ----------
    molecule : str
        Chemical formula.
    wavenumber_cm1 : np.ndarray
        Ascending, shape (wavenumber,) [cm-1].
    temperature_k : np.ndarray
        Ascending, shape (temperature,) [K].
    pressure_pa : np.ndarray
        Ascending, shape (pressure,) [Pa].
    cross_section_cm2 : np.ndarray
        Shape (pressure, temperature, wavenumber) [cm2 per molecule]; of a correlated-k table the
        k-coefficients, with the quadrature as a fourth axis.
    quadrature_weights : np.ndarray | None
        Shape (quadrature,), summing to one; None for a cross-section table.
    cell_bounds_cm1 : np.ndarray | None
        Ends of the cells that k-coefficients stand for, shape (wavenumber, 2), ascending [cm-1];
        None where the file does not say. Channels may leave gaps.
    """

    molecule: str
    wavenumber_cm1: np.ndarray
    temperature_k: np.ndarray
    pressure_pa: np.ndarray
    cross_section_cm2: np.ndarray
    quadrature_weights: np.ndarray | None = None
    cell_bounds_cm1: np.ndarray | None = None

    @property
    def kind(self) -> str:
        """``cross-section`` or ``correlated-k``."""
        return "cross-section" if self.quadrature_weights is None else "correlated-k"


def check_arrays(path: str | Path, table: OpacityTable) -> OpacityTable:
    """Refuse axes that cannot be interpolated in, and cross-sections that do not fit them."""
    for name, axis in (
        ("wavenumber", table.wavenumber_cm1),
        ("temperature", table.temperature_k),
        ("pressure", table.pressure_pa),
    ):
        # Written so that a NaN fails too: interpolation would go astray without a word.
        ascending = np.ndim(axis) == 1 and np.all(np.diff(axis) > 0) and np.all(axis > 0)
        if not (ascending and np.all(np.isfinite(axis))):
            raise ArielflowError(
                f"{path}: {name} is not one ascending row of positive numbers; sort the table"
            )
        if len(axis) < 2:
            raise ArielflowError(f"{path}: {name} has one node; a table needs two to interpolate")
    shape = (len(table.pressure_pa), len(table.temperature_k), len(table.wavenumber_cm1))
    if table.quadrature_weights is not None:
        shape = (*shape, len(table.quadrature_weights))
        if not np.isclose(table.quadrature_weights.sum(), 1, atol=1e-3):
            raise ArielflowError(f"{path}: quadrature weights do not sum to one; make it again")
        if table.quadrature_weights.min() < 0:
            raise ArielflowError(f"{path}: a quadrature weight is negative; make it again")
    if table.cross_section_cm2.shape != shape:
        raise ArielflowError(
            f"{path}: cross-sections have shape {table.cross_section_cm2.shape}, the axes say "
            f"{shape}; fetch or make the table again"
        )
    if table.cell_bounds_cm1 is not None:
        _check_cells(path, table.wavenumber_cm1, table.cell_bounds_cm1)
    _check_magnitude(path, table.cross_section_cm2)
    return table


def _check_cells(path: str | Path, grid: np.ndarray, bounds: np.ndarray) -> None:
    low, high = bounds.T
    # Written so that a NaN fails too. Channels may overlap, but each holds its own centre.
    fit = np.all((low > 0) & (low <= grid * (1 + SAME_EDGE)) & (grid * (1 - SAME_EDGE) <= high))
    ascending = np.all((low < high) & np.isfinite(high)) and np.all(np.diff(bounds, axis=0) > 0)
    if not (fit and ascending):
        raise ArielflowError(
            f"{path}: the edges of its cells do not enclose their centres one by one; make the "
            "table again"
        )


def _check_magnitude(path: str | Path, cross_section_cm2: np.ndarray) -> None:
    low, high = float(cross_section_cm2.min()), float(cross_section_cm2.max())
    # A sum is finite only where all its terms are; one pass, and no array of its own.
    if not np.isfinite(cross_section_cm2.sum(dtype=float)) or low < 0:
        hint = "take 10 to the power of them" if -300 < low < high < 0 else "make the table again"
        raise ArielflowError(f"{path}: negative or non-finite cross-sections; {hint}")
    if not PEAK_CM2[0] <= high <= PEAK_CM2[1]:
        raise ArielflowError(
            f"{path}: the largest cross-section is {high:.3g} cm2 per molecule, expected "
            f"{PEAK_CM2[0]:g} to {PEAK_CM2[1]:g}; the table is empty, damaged or in another unit: "
            "say which in the attribute units"
        )


def doubts(table: OpacityTable) -> list[str]:
    """What a table may be used with, but looks like a mistake of its unit."""
    found = []
    if table.pressure_pa[-1] < _LEAST_DEEPEST_PA:
        found.append(
            f"pressures end at {table.pressure_pa[-1]:g} Pa, and are taken there below; if they "
            "are in bar, say so in the attribute units"
        )
    if table.molecule not in MOLECULES:
        return found
    grid, bounds = table.wavenumber_cm1, table.cell_bounds_cm1
    expected = sum(
        band.intensity_cm
        for band in MOLECULES[table.molecule].bands
        if _holds(grid, bounds, band.centre_cm1)
    )
    middle = len(table.pressure_pa) // 2, int(np.searchsorted(table.temperature_k[:-1], 500.0))
    values = np.asarray(table.cross_section_cm2[middle], dtype=float)
    if table.quadrature_weights is not None:
        values = values @ table.quadrature_weights
    if bounds is None:
        strength = float(np.trapezoid(values, grid))
    else:
        strength = float(values @ (bounds[:, 1] - bounds[:, 0]))
    # The strength of all bands together hardly depends on temperature, and not on pressure.
    if expected and not expected / _STRENGTH_FACTOR < strength < expected * _STRENGTH_FACTOR:
        found.append(
            f"its bands have {strength:.2g} cm per molecule, those of {table.molecule} about "
            f"{expected:.2g}; check the table's unit"
        )
    return found


def _holds(grid: np.ndarray, bounds: np.ndarray | None, centre_cm1: float) -> bool:
    """Whether a table holds a band: well inside of its grid, or its centre in one of its cells."""
    if bounds is None:
        return bool(1.1 * grid[0] < centre_cm1 < 0.9 * grid[-1])
    return bool(np.any((bounds[:, 0] <= centre_cm1) & (centre_cm1 <= bounds[:, 1])))


def projection(table: OpacityTable, wavelength_um: np.ndarray, width_um: np.ndarray) -> np.ndarray:
    """Matrix (wavelength, wavenumber) that averages over bins from a table's own cells.

    Raises
    ------
    ArielflowError
        A bin is not covered by the table, see :func:`arielflow.physics.binning.binning_matrix`.
    """
    return binning_matrix(table.wavenumber_cm1, wavelength_um, width_um, table.cell_bounds_cm1)


def crop(table: OpacityTable, wavelength_range_um: tuple[float, float]) -> OpacityTable:
    """The part of a table inside a range of wavelengths, and one point more at either end."""
    grid, bounds = table.wavenumber_cm1, table.cell_bounds_cm1
    start = max(int(np.searchsorted(grid, 1e4 / wavelength_range_um[1])) - 2, 0)
    stop = int(np.searchsorted(grid, 1e4 / wavelength_range_um[0])) + 2
    return replace(
        table,
        wavenumber_cm1=grid[start:stop],
        cross_section_cm2=table.cross_section_cm2[:, :, start:stop],
        cell_bounds_cm1=None if bounds is None else bounds[start:stop],
    )


def at_wavenumbers(table: OpacityTable, wavenumber_cm1: np.ndarray) -> OpacityTable:
    """A table interpolated linearly in wavenumber; zero beyond its own ends, as in TauREx 3."""
    grid = table.wavenumber_cm1
    if np.array_equal(grid, wavenumber_cm1):
        return table
    upper = np.clip(np.searchsorted(grid, wavenumber_cm1), 1, len(grid) - 1)
    fraction = (wavenumber_cm1 - grid[upper - 1]) / (grid[upper] - grid[upper - 1])
    inside = (wavenumber_cm1 >= grid[0]) & (wavenumber_cm1 <= grid[-1])
    values = np.asarray(table.cross_section_cm2)
    mixed = values[..., upper - 1] * ((1 - fraction) * inside)
    mixed += values[..., upper] * (fraction * inside)
    return replace(
        table, wavenumber_cm1=wavenumber_cm1, cross_section_cm2=mixed.astype(values.dtype)
    )


def on_one_grid(tables: Mapping[str, OpacityTable]) -> dict[str, OpacityTable]:
    """All tables on the wavenumbers of the one with most points, as TauREx 3 does.

    Raises
    ------
    ArielflowError
        Cross-sections and k-tables are mixed, or k-tables differ in their wavenumbers, the
        cells around these or their quadrature.
    """
    if (fault := mixing_fault(tables)) is not None:
        raise ArielflowError(fault)
    finest = _finest(tables)
    return {name: at_wavenumbers(table, finest.wavenumber_cm1) for name, table in tables.items()}


def mixing_fault(tables: Mapping[str, OpacityTable]) -> str | None:
    """Why tables cannot be combined in one model, None if they can."""
    if len({table.kind for table in tables.values()}) > 1:
        kinds = ", ".join(f"{name}: {table.kind}" for name, table in tables.items())
        return f"opacities of two kinds cannot be mixed ({kinds}); use one kind"
    finest = _finest(tables)
    for name, table in tables.items():
        if table.quadrature_weights is not None and (what := _difference(table, finest)):
            return (
                f"k-tables of {finest.molecule} and {name} differ in their {what}; use tables "
                "made on one grid"
            )
    return None


def _finest(tables: Mapping[str, OpacityTable]) -> OpacityTable:
    return max(tables.values(), key=lambda table: len(table.wavenumber_cm1))


def _difference(table: OpacityTable, other: OpacityTable) -> str | None:
    """In what two k-tables differ that have to be combined, None if in nothing."""
    if not np.array_equal(table.wavenumber_cm1, other.wavenumber_cm1):
        return "wavenumbers"
    if not np.allclose(cells(table), cells(other), rtol=SAME_EDGE, atol=0):
        return "cells around their wavenumbers"
    weights = table.quadrature_weights, other.quadrature_weights
    if len(weights[0]) != len(weights[1]) or not np.allclose(*weights, atol=1e-6):
        return "quadrature weights"
    return None


def cells(table: OpacityTable) -> np.ndarray:
    """Ends of a table's cells, known or around its points, shape (wavenumber, 2) [cm-1]."""
    return cells_of(table.wavenumber_cm1, table.cell_bounds_cm1)


def bin_means(
    table: OpacityTable,
    temperature_k: float,
    pressure_pa: float,
    wavelength_um: np.ndarray,
    width_um: np.ndarray,
) -> np.ndarray:
    """Mean cross-section in wavelength bins at one temperature and pressure [cm2 per molecule].

    Linear in temperature and in log10 of the pressure, as in the forward model, and clamped to the
    table's edges; a correlated-k table is integrated over its quadrature.

    Parameters
    ----------
    table
        Table of one molecule.
    temperature_k, pressure_pa
        Where [K], [Pa].
    wavelength_um, width_um
        Bin centres and full widths, shape (wavelength,) [um].

    Returns
    -------
    numpy.ndarray
        Shape (wavelength,).

    Raises
    ------
    ArielflowError
        A bin is not covered by the table.
    """
    values = np.asarray(table.cross_section_cm2)
    rows = _node_weights(np.log10(table.pressure_pa), np.log10(pressure_pa))
    columns = _node_weights(table.temperature_k, temperature_k)
    means = np.tensordot(columns, np.tensordot(rows, values, axes=1), axes=1)
    if table.quadrature_weights is not None:
        means = means @ table.quadrature_weights
    return projection(table, wavelength_um, width_um) @ means


def _node_weights(nodes: np.ndarray, point: float) -> np.ndarray:
    """Weight of every node in a linear interpolation, clamped at the ends."""
    return np.array([np.interp(point, nodes, unit) for unit in np.eye(len(nodes))])


def rms_dex(means: np.ndarray, reference: np.ndarray, within_dex: float = 3.0) -> float:
    """Rms difference of log10 between bin means and a reference's [dex].

    Parameters
    ----------
    means, reference
        Cross-sections, shape (wavelength,), in one unit.
    within_dex
        Only bins count in which the reference is this close to its maximum.
    """
    strong = reference > 10.0**-within_dex * reference.max()
    difference = np.log10(means[strong]) - np.log10(reference[strong])
    return float(np.sqrt(np.mean(difference**2)))
