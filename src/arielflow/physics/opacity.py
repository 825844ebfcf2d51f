"""Opacity tables: what one holds, which ones a folder has, and how they are fitted together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from arielflow.errors import ArielflowError
from arielflow.physics.binning import binning_matrix

MUST_COVER_K = (500.0, 2500.0)
"""Temperatures [K] that a table has to hold; beyond its own edges it is clamped."""


@dataclass(frozen=True)
class OpacityTable:
    """Absorption of one molecule: a cross-section table, or a correlated-k table.

    Attributes
    ----------
    molecule : chemical formula
    wavenumber_cm1 : ascending, shape (wavenumber,) [cm-1]
    temperature_k : ascending, shape (temperature,) [K]
    pressure_pa : ascending, shape (pressure,) [Pa]
    cross_section_cm2 : shape (pressure, temperature, wavenumber) [cm2 per molecule]; of a
        correlated-k table the k-coefficients, with the quadrature as a fourth axis
    quadrature_weights : shape (quadrature,), summing to one; None for a cross-section table
    """

    molecule: str
    wavenumber_cm1: np.ndarray
    temperature_k: np.ndarray
    pressure_pa: np.ndarray
    cross_section_cm2: np.ndarray
    quadrature_weights: np.ndarray | None = None

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
        if np.ndim(axis) != 1 or not (np.all(np.diff(axis) > 0) and np.all(axis > 0)):
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
    if table.cross_section_cm2.shape != shape:
        raise ArielflowError(
            f"{path}: cross-sections have shape {table.cross_section_cm2.shape}, the axes say "
            f"{shape}; fetch or make the table again"
        )
    # A sum is finite only where all its terms are; one pass, and no array of its own.
    if not np.isfinite(table.cross_section_cm2.sum(dtype=float)) or (
        table.cross_section_cm2.min() < 0
    ):
        raise ArielflowError(f"{path}: negative or non-finite cross-sections; make the table again")
    return table


def check_coverage(
    path: str | Path, table: OpacityTable, wavelength_um: np.ndarray, width_um: np.ndarray
) -> None:
    """Refuse a table that leaves part of the bins or of the usual temperatures uncovered.

    Raises
    ------
    ArielflowError
        With the file, what it covers and what is needed.
    """
    low, high = 1e4 / table.wavenumber_cm1[[-1, 0]]
    needed = (wavelength_um - 0.5 * width_um).min(), (wavelength_um + 0.5 * width_um).max()
    if low > needed[0] or high < needed[1]:
        raise ArielflowError(
            f"{path}: covers {low:.3f}-{high:.3f} um, the bins need {needed[0]:.3f}-"
            f"{needed[1]:.3f} um; use a table that covers all bins"
        )
    cold, hot = table.temperature_k[[0, -1]]
    if cold > MUST_COVER_K[0] or hot < MUST_COVER_K[1]:
        raise ArielflowError(
            f"{path}: covers {cold:g}-{hot:g} K, needed are {MUST_COVER_K[0]:g}-"
            f"{MUST_COVER_K[1]:g} K; use a table with a wider range"
        )


def crop(table: OpacityTable, wavelength_range_um: tuple[float, float]) -> OpacityTable:
    """The part of a table inside a range of wavelengths, and one point more at either end."""
    grid = table.wavenumber_cm1
    start = max(int(np.searchsorted(grid, 1e4 / wavelength_range_um[1])) - 2, 0)
    stop = int(np.searchsorted(grid, 1e4 / wavelength_range_um[0])) + 2
    return replace(
        table,
        wavenumber_cm1=grid[start:stop],
        cross_section_cm2=table.cross_section_cm2[:, :, start:stop],
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
        Cross-sections and k-tables are mixed, or k-tables differ in their wavenumbers.
    """
    if len({table.kind for table in tables.values()}) > 1:
        kinds = ", ".join(f"{name}: {table.kind}" for name, table in tables.items())
        raise ArielflowError(f"opacities of two kinds cannot be mixed ({kinds}); use one kind")
    finest = max(tables.values(), key=lambda table: len(table.wavenumber_cm1))
    for name, table in tables.items():
        same = np.array_equal(table.wavenumber_cm1, finest.wavenumber_cm1)
        if table.quadrature_weights is not None and not same:
            raise ArielflowError(
                f"k-tables of {finest.molecule} and {name} differ in their wavenumbers; use tables "
                "made on one grid"
            )
    return {name: at_wavenumbers(table, finest.wavenumber_cm1) for name, table in tables.items()}


def select(
    found: Mapping[str, Path], molecules: Sequence[str], folder: str | Path
) -> dict[str, Path]:
    """The files of these molecules out of those found, in order.

    Raises
    ------
    ArielflowError
        A molecule has no table.
    """
    missing = [name for name in molecules if name not in found]
    if missing:
        raise ArielflowError(
            f"{folder}: no opacity table for {', '.join(missing)}; found "
            f"{', '.join(sorted(found)) or 'none'}"
        )
    return {name: found[name] for name in molecules}


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
        Of one molecule.
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
    return binning_matrix(table.wavenumber_cm1, wavelength_um, width_um) @ means


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
