"""What a folder of opacities holds, and what a retrieval with it would miss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import shown
from arielflow.physics.binning import coarser_than_bins
from arielflow.physics.cia import NEEDED_PAIRS, CollisionInducedAbsorption, read_cia
from arielflow.physics.opacity import OpacityTable, cells, doubts, mixing_fault
from arielflow.physics.opacity_cache import cached_table
from arielflow.physics.opacity_coverage import (
    covered,
    gaps_after,
    reach_cm1,
    temperature_doubt,
)
from arielflow.physics.opacity_files import CIA_FORMATS, Format, entries, format_of, molecule_of

_PA_PER_BAR = 1e5


@dataclass(frozen=True)
class Asked:
    """What opacities are wanted for.

    Attributes
    ----------
    molecules : tuple[str, ...]
        Formulas; empty for whatever the folder has.
    bins : tuple[np.ndarray, np.ndarray] | None
        Centres and full widths of bins, each of shape (wavelength,) [um]; one for a range.
    are_an_instruments : bool
        The bins are those of an edition: they are compared with the tables' cells, and the
        temperatures that its runs need have to be covered.
    cia : bool
        Collision-induced absorption of H2-H2 and H2-He.
    """

    molecules: tuple[str, ...] = ()
    bins: tuple[np.ndarray, np.ndarray] | None = None
    are_an_instruments: bool = False
    cia: bool = False


@dataclass(frozen=True)
class Entry:
    """One file of opacities.

    Attributes
    ----------
    file, gas, kind, format : str
        Name of the file, molecule or pair of gases, ``cross-section``, ``correlated-k`` or ``CIA``,
        and the format.
    wavelength_um, temperature_k : tuple[float, float]
        First and last [um], [K].
    resolving_power : float
        Median over the points or cells, within the asked bins.
    pressure_bar : tuple[float, float] | None
        First and last [bar]; None of CIA.
    points : dict[str, int]
        Number of wavelengths, temperatures, pressures and quadrature points.
    doubts : list[str]
        What looks like a mistake or is coarse.
    """

    file: str
    gas: str
    kind: str
    format: str
    wavelength_um: tuple[float, float]
    resolving_power: float
    temperature_k: tuple[float, float]
    pressure_bar: tuple[float, float] | None
    points: dict[str, int]
    doubts: list[str]


@dataclass(frozen=True)
class Survey:
    """What a folder holds: files of opacities, other files, damaged ones, and what is missing.

    ``missing`` is what was asked for and is not there, ``absent`` pairs of gases without CIA that
    nobody asked for.
    """

    entries: list[Entry] = field(default_factory=list)
    no_tables: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Nothing that was asked for is missing, and no file is damaged."""
        return not (self.missing or self.faults)


def survey(folder: str | Path, asked: Asked) -> Survey:
    """Read every file of a folder, and say what is missing of what is asked for.

    Raises
    ------
    ArielflowError
        There is no such folder. A damaged file is one of the faults instead.
    """
    found = Survey()
    tables: dict[str, OpacityTable] = {}
    pairs: dict[tuple[str, str], str] = {}
    for path in entries(folder):
        try:
            kind = format_of(path)
            if kind is None:
                found.no_tables.append(f"{path.name}/" if path.is_dir() else path.name)
            elif kind in CIA_FORMATS:
                absorption = read_cia(path)
                _once(path, "-".join(absorption.pair), pairs.setdefault(absorption.pair, path.name))
                found.entries.append(_of_pair(path, kind, absorption, asked))
            else:
                # The cache goes by content, and some formats have the molecule in the name alone.
                table = replace(cached_table(path), molecule=molecule_of(path, kind))
                known = [entry.file for entry in found.entries if entry.gas == table.molecule]
                _once(path, table.molecule, *known)
                tables[table.molecule] = table
                found.entries.append(_of_table(path, kind, table, asked))
        except ArielflowError as error:
            found.faults.append(str(error))
    found.missing.extend(_missing(tables, asked))
    lacking = ["-".join(pair) for pair in NEEDED_PAIRS if pair not in pairs]
    words = [f"{pair}: no collision-induced absorption" for pair in lacking]
    (found.missing if asked.cia else found.absent).extend(words)
    return found


def _once(path: Path, gas: str, *files: str) -> None:
    """Refuse a second file of one gas."""
    if others := [name for name in files if name != path.name]:
        raise ArielflowError(
            f"{path.parent}: two tables of {gas}, {shown(others[0])} and {shown(path.name)}; keep "
            "one"
        )


def _missing(tables: dict[str, OpacityTable], asked: Asked) -> Iterator[str]:
    for name in asked.molecules:
        if name not in tables:
            yield f"{name}: no table"
    wanted = {name: tables[name] for name in asked.molecules or tables if name in tables}
    if asked.bins is not None:
        for name, table in wanted.items():
            if (words := _uncovered(table, *asked.bins)) is not None:
                yield f"{name}: {words}"
            if asked.are_an_instruments and (doubt := temperature_doubt(table)) is not None:
                yield f"{name}: {doubt}"
    if asked.molecules and wanted and (fault := mixing_fault(wanted)) is not None:
        yield fault


def _uncovered(table: OpacityTable, wavelength_um: np.ndarray, width_um: np.ndarray) -> str | None:
    """Which part of the bins a table leaves out, None if none."""
    inside = covered({table.molecule: table}, wavelength_um, width_um)
    if inside.all():
        return None
    low_um, high_um = (1e4 / end for end in reach_cm1(table)[::-1])
    reach = f"the table covers {low_um:.4g}-{high_um:.4g} um"
    bounds = table.cell_bounds_cm1
    if bounds is not None and len(gaps := np.flatnonzero(gaps_after(bounds))):
        reach += " with gaps at " + ", ".join(
            f"{1e4 / bounds[n + 1, 0]:.4g}-{1e4 / bounds[n, 1]:.4g} um" for n in gaps[::-1][:5]
        )
    if len(inside) == 1:
        low, high = wavelength_um[0] - width_um[0] / 2, wavelength_um[0] + width_um[0] / 2
        return f"not all of {low:.4g}-{high:.4g} um is covered; {reach}"
    return f"{(~inside).sum()} of {len(inside)} bins are not covered; {reach}"


def _of_table(path: Path, kind: Format, table: OpacityTable, asked: Asked) -> Entry:
    words = doubts(table)
    if (doubt := temperature_doubt(table)) is not None and not asked.are_an_instruments:
        words.append(doubt)
    ends = cells(table)
    if asked.bins is not None and asked.are_an_instruments:
        coarse = coarser_than_bins(table.wavenumber_cm1, *asked.bins, table.cell_bounds_cm1)
        if coarse.any():
            words.append(
                f"its cells are wider than {coarse.sum()} of {len(coarse)} bins, which share their "
                "neighbours' values; average spectra over the cells instead"
            )
    points = _points(table.wavenumber_cm1, table.temperature_k)
    points["pressures"] = len(table.pressure_pa)
    if table.quadrature_weights is not None:
        points["quadrature"] = len(table.quadrature_weights)
    low, high = reach_cm1(table)
    return Entry(
        path.name,
        table.molecule,
        table.kind,
        kind.value,
        (1e4 / high, 1e4 / low),
        _resolving_power(table.wavenumber_cm1, ends[:, 1] - ends[:, 0], asked.bins),
        _span(table.temperature_k),
        _span(table.pressure_pa / _PA_PER_BAR),
        points,
        words,
    )


def _of_pair(
    path: Path, kind: Format, absorption: CollisionInducedAbsorption, asked: Asked
) -> Entry:
    grid = absorption.wavenumber_cm1[absorption.wavenumber_cm1 > 0]
    words = []
    if asked.bins is not None:
        centre_um, width_um = asked.bins
        if 1e4 / grid[-1] > (first := (centre_um - width_um / 2).min()):
            words.append(
                f"begins at {1e4 / grid[-1]:.3f} um; from {first:.3f} um to there its first value "
                "is taken"
            )
        if 1e4 / grid[0] < (last := (centre_um + width_um / 2).max()):
            words.append(
                f"ends at {1e4 / grid[0]:.3f} um; from there to {last:.3f} um its last value is "
                "taken"
            )
    return Entry(
        path.name,
        "-".join(absorption.pair),
        "CIA",
        kind.value,
        (1e4 / float(grid[-1]), 1e4 / float(grid[0])),
        _resolving_power(grid, np.gradient(grid), asked.bins),
        _span(absorption.temperature_k),
        None,
        _points(grid, absorption.temperature_k),
        words,
    )


def _resolving_power(
    grid: np.ndarray, width_cm1: np.ndarray, bins: tuple[np.ndarray, np.ndarray] | None
) -> float:
    """Median of wavenumber over width, where the bins are if there are any."""
    inside = np.ones(len(grid), dtype=bool)
    if bins is not None:
        low, high = (bins[0] - bins[1] / 2).min(), (bins[0] + bins[1] / 2).max()
        inside = (grid >= 1e4 / high) & (grid <= 1e4 / low)
    inside &= width_cm1 > 0
    return float(np.median(grid[inside] / width_cm1[inside])) if inside.any() else 0.0


def _span(values: np.ndarray) -> tuple[float, float]:
    return float(values[0]), float(values[-1])


def _points(grid: np.ndarray, temperature_k: np.ndarray) -> dict[str, int]:
    return {"wavelengths": len(grid), "temperatures": len(temperature_k)}


def asked_range(low_um: float, high_um: float) -> tuple[np.ndarray, np.ndarray]:
    """A range of wavelengths as one bin: centre and full width, each of shape (1,) [um].

    Raises
    ------
    ArielflowError
        The range is none.
    """
    if not 0 < low_um < high_um < np.inf:
        raise ArielflowError(
            f"wavelengths from {low_um:g} to {high_um:g} um, expected two ascending positive "
            "numbers; correct them"
        )
    return np.array([(low_um + high_um) / 2]), np.array([high_um - low_um])
