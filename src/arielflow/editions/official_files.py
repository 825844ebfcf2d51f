"""Reading and writing the challenge's own files, names, dtypes and misspellings included.

Structural faults (a missing file, planets that do not pair, another number of bins) stop with one
line; a single planet's bad values pass through for ``ingest`` to flag. A trace that cannot be
sampled from is left out and its planet flagged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from h5py import h5d, h5g, h5s, h5t

from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path, new_hdf5, write_table
from arielflow.core.hdf5 import PlainFile, open_plain
from arielflow.core.readers import listed, regular_file, shown
from arielflow.core.schema import Quality, traces_of
from arielflow.core.tables import numeric_column, read_csv
from arielflow.editions.base import Edition
from arielflow.editions.trace_files import read_traces

SPLIT_FOLDERS = {"train": "TrainingData", "test": "TestData"}
AUXILIARY_TABLE = "AuxillaryTable.csv"  # the official misspelling
SPECTRAL_DATA = "SpectralData.hdf5"
GROUND_TRUTH = "Ground Truth Package"
PARAMETER_TABLE = "FM_Parameter_Table.csv"
QUARTILES_TABLE = "QuartilesTable.csv"
TRACE_DATA = ("Tracedata.hdf5", "TraceData.hdf5")
RERUN_TRACE_DATA = "TracedataRerun.hdf5"
QUARTILES = (0.16, 0.5, 0.84)

_GRID, _DEPTH = "instrument_wlgrid", "instrument_spectrum"
_ERROR, _WIDTH = "instrument_noise", "instrument_width"
_GRID_TOLERANCE = 1e-3
_LAYOUT = "check the data set's path and layout"
_LONGEST_IDENTIFIER = 100
# Four datasets in a group of their own take more, however few values they have.
_LEAST_PLANET_BYTES = 500
# Lines beyond two per planet: a few rows too many are named one by one.
_STRAY_LINES = 1_000


def split_folder(folder: str | Path, split: str) -> Path:
    """Folder of a split: TrainingData or TestData below ``folder``, or ``folder`` itself.

    Raises
    ------
    ArielflowError
        Neither holds the spectra.
    """
    below = Path(folder) / SPLIT_FOLDERS[split]
    for candidate in (below, Path(folder)):
        if (candidate / SPECTRAL_DATA).is_file() or (candidate / AUXILIARY_TABLE).is_file():
            check_split_folder(candidate, split)
            return candidate
    raise ArielflowError(
        f"{below / SPECTRAL_DATA}: no such file; give the folder that holds "
        f"{' and '.join(SPLIT_FOLDERS.values())}, or {SPECTRAL_DATA} itself"
    )


def check_split_folder(folder: str | Path, split: str) -> None:
    """Refuse a folder that holds planets of another split.

    Raises
    ------
    ArielflowError
        The folder is named like another split's, or test planets lie beside ground truth.
    """
    resolved = Path(folder).resolve()
    other = next((s for s, name in SPLIT_FOLDERS.items() if name == resolved.name), split)
    if other != split:
        raise ArielflowError(
            f"{folder}: holds the {other} planets, expected the {split} planets; give its parent "
            f"folder {resolved.parent}"
        )
    if split == "test" and (resolved / GROUND_TRUTH).is_dir():
        raise ArielflowError(
            f"{folder}: holds {GROUND_TRUTH}, so its planets are training planets, expected test "
            "planets without it; give the folder of the test planets"
        )


def read_table(
    path: Path, required: Sequence[str], most_planets: int | None = None
) -> pd.DataFrame:
    """Read a CSV table indexed by planet_ID, its ``required`` columns numeric.

    Parameters
    ----------
    path
        The table.
    required
        Its columns.
    most_planets
        A table with many times as many lines is not read.

    Raises
    ------
    ArielflowError
        The file or a column is missing, a planet_ID is none or repeats, a cell is not a number, or
        the table is far too long.
    """
    if most_planets is not None:
        _check_length(path, most_planets)
    table = read_csv(path)
    missing = [name for name in ("planet_ID", *required) if name not in table]
    if missing:
        raise ArielflowError(
            f"{path}: column {listed(missing)} is missing, found {listed(list(table.columns))}; "
            "check the edition"
        )
    table["planet_ID"] = table["planet_ID"].str.strip()
    _check_identifiers(path, list(table["planet_ID"]))
    numbers = {name: numeric_column(path, table, name, "planet_ID") for name in required}
    return pd.DataFrame(numbers, index=pd.Index(table["planet_ID"], name="planet_ID", dtype=object))


def _check_length(path: Path, most_planets: int) -> None:
    """Refuse a table with so many surplus rows that it could fill the memory."""
    with regular_file(path).open("rb") as stream:
        lines = sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    if lines > 2 * most_planets + _STRAY_LINES:
        raise ArielflowError(
            f"{path}: has {lines} lines, expected one per planet, of which there are at most "
            f"{most_planets}; remove the surplus rows"
        )


def _check_identifiers(path: Path, identifiers: list[str]) -> None:
    """Identifiers are any words that can name an HDF5 group: ``NA``, ``007``, ``HD 209458 b``."""
    rows: dict[str, int] = {}
    for row, name in enumerate(identifiers, 1):
        if not name:
            fault = "is empty"
        elif len(name) > _LONGEST_IDENTIFIER:
            fault = f"has {len(name)} characters, expected at most {_LONGEST_IDENTIFIER}"
        elif "/" in name or not name.isprintable():
            fault = "holds a slash or a character that does not print"
        elif name in rows:
            fault = f"occurs more than once (also in row {rows[name]})"
        else:
            rows[name] = row
            continue
        raise ArielflowError(
            f"{path}: planet_ID {shown(repr(name), 40)} in row {row} below the header {fault}; "
            "mend or remove the row"
        )


def read_official(
    folder: str | Path, edition: Edition, split: str
) -> tuple[xr.Dataset, xr.Dataset | None]:
    """Read one split in the official layout, in the auxiliary table's order.

    Returns
    -------
    planets : xarray.Dataset
        Without prior and score bounds; ``quality`` has only the flags that the raw files show
        (off-grid wavelengths, nonsense widths, bad traces).
    traces : xarray.Dataset or None
        Ragged traces where the ground truth has them.

    Raises
    ------
    ArielflowError
        Any structural fault, naming file, planet and remedy.
    """
    folder = split_folder(folder, split)
    columns = [column.name for column in edition.auxiliary]
    spectra_path = folder / SPECTRAL_DATA
    fit = spectra_path.stat().st_size // _LEAST_PLANET_BYTES if spectra_path.is_file() else None
    auxiliary = read_table(folder / AUXILIARY_TABLE, columns, fit)
    identifiers = list(auxiliary.index)
    spectra, quality = _read_spectra(spectra_path, edition, identifiers)
    theta = np.full((len(identifiers), len(edition.targets)), np.nan)
    truth, traces = folder / GROUND_TRUTH, None
    if (truth / PARAMETER_TABLE).is_file():
        parameters = read_table(truth / PARAMETER_TABLE, edition.target_names, len(identifiers))
        theta = _aligned(parameters, identifiers, truth / PARAMETER_TABLE)
    trace_file = next((truth / n for n in TRACE_DATA if (truth / n).is_file()), None)
    if trace_file is not None:
        traces = read_traces(trace_file, edition, identifiers)
        quality |= (traces["trace_fault"].values != "") * int(Quality.BAD_TRACE)
    planets = xr.Dataset(
        {
            "transit_depth": (("planet", "wavelength"), spectra[_DEPTH]),
            "transit_depth_error": (("planet", "wavelength"), spectra[_ERROR]),
            "wavelength_width": ("wavelength", edition.wavelength_width_um),
            "auxiliary_value": (("planet", "auxiliary"), auxiliary.to_numpy()),
            "theta": (("planet", "target"), theta),
            "quality": ("planet", quality),
        },
        coords=edition.coordinates() | {"planet": identifiers},
    )
    return planets, traces


def _aligned(table: pd.DataFrame, identifiers: list[str], path: Path) -> np.ndarray:
    missing = [name for name in identifiers if name not in table.index]
    if missing:
        raise ArielflowError(
            f"{path}: planet {shown(missing[0])} is missing ({len(missing)} in all); "
            "the tables must hold the same planets"
        )
    rows: np.ndarray = table.loc[identifiers].to_numpy()
    return rows


def _check_pairing(path: Path, file: PlainFile, edition: Edition, identifiers: list[str]) -> None:
    expected = {edition.group(name): name for name in identifiers}
    found = set(file.names())
    for group, name in expected.items():
        if group not in found:
            raise ArielflowError(
                f"{path}: planet {shown(name)} of {AUXILIARY_TABLE} has no group {shown(group)}; "
                "remove its row or add its spectrum"
            )
    extra = sorted(found - set(expected))
    if extra:
        raise ArielflowError(
            f"{path}: group {shown(extra[0])} has no row in {AUXILIARY_TABLE} ({len(extra)} such "
            "groups); add the row or remove the group"
        )


def _read_spectra(
    path: Path, edition: Edition, identifiers: list[str]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Spectra by dataset name, (planet, wavelength) ascending, and the quality flags seen here."""
    n_bins = len(edition.wavelength_um)
    values = {
        name: np.empty((len(identifiers), n_bins)) for name in (_GRID, _DEPTH, _ERROR, _WIDTH)
    }
    with open_plain(path, _LAYOUT) as file:
        _check_pairing(path, file, edition, identifiers)
        for row, identifier in enumerate(identifiers):
            group = edition.group(identifier)
            for name, array in values.items():
                array[row] = file.numbers(f"{group}/{name}", (n_bins,))
    flip = values[_GRID][:, 0] > values[_GRID][:, -1]
    for array in values.values():
        array[flip] = array[flip, ::-1]
    with np.errstate(invalid="ignore"):
        same = np.isclose(values[_GRID], edition.wavelength_um, rtol=_GRID_TOLERANCE, atol=0)
        width = np.isclose(values[_WIDTH], edition.wavelength_width_um, rtol=0.05, atol=0)
    off_grid = ~same.all(axis=1)
    if off_grid.mean() > 0.5:
        first = int(np.argmax(off_grid))
        raise ArielflowError(
            f"{path}: {edition.group(identifiers[first])}/{_GRID} runs from "
            f"{np.nanmin(values[_GRID][first]):.4g} to {np.nanmax(values[_GRID][first]):.4g} um on "
            f"another grid than edition {edition.name}'s {n_bins} bins ({int(off_grid.sum())} "
            "planets do); choose the edition that fits, or rebin the spectra"
        )
    quality = off_grid * int(Quality.OFF_GRID)
    quality |= ~width.all(axis=1) * int(Quality.NONSENSE_WIDTH)
    return values, quality


def write_official(
    folder: str | Path,
    edition: Edition,
    split: str,
    planets: xr.Dataset,
    traces: xr.Dataset | None = None,
) -> None:
    """Write one split in the official layout; ground truth only for the training split."""
    folder = Path(folder) / SPLIT_FOLDERS[split]
    folder.mkdir(parents=True, exist_ok=True)
    identifiers = planets["planet"].values
    columns = [column.name for column in edition.auxiliary]
    table = pd.DataFrame(planets["auxiliary_value"].values, columns=columns)
    table.insert(0, "planet_ID", identifiers)
    write_table(table, folder / AUXILIARY_TABLE)
    write_spectra(folder / SPECTRAL_DATA, edition, planets)
    if split == "train":
        truth = folder / GROUND_TRUTH
        truth.mkdir(exist_ok=True)
        write_parameters(truth / PARAMETER_TABLE, planets)
        if traces is not None:
            write_table(quartiles_table(edition, traces), truth / QUARTILES_TABLE)
            write_traces(truth / TRACE_DATA[0], edition, traces)


def write_parameters(path: Path, planets: xr.Dataset) -> None:
    """Write the forward model's parameters, with the official stray index column."""
    table = pd.DataFrame(planets["theta"].values, columns=list(planets["target"].values))
    table.insert(0, "planet_ID", planets["planet"].values)
    with atomic_path(path) as temporary:
        table.to_csv(temporary)


def write_spectra(path: Path, edition: Edition, planets: xr.Dataset) -> None:
    """Write SpectralData.hdf5, wavelengths descending as in the official files."""
    grid, width = planets["wavelength"].values[::-1], planets["wavelength_width"].values[::-1]
    depth = planets["transit_depth"].values[:, ::-1]
    error = planets["transit_depth_error"].values[:, ::-1]
    # The library's own calls: a third of the time of h5py's for four short datasets per planet.
    space, kind = h5s.create_simple(grid.shape), h5t.IEEE_F64LE
    with atomic_path(path) as temporary, new_hdf5(temporary) as file:
        for row, identifier in enumerate(planets["planet"].values):
            group = h5g.create(file.id, edition.group(identifier).encode())
            each = {_GRID: grid, _WIDTH: width, _DEPTH: depth[row], _ERROR: error[row]}
            for name, values in each.items():
                dataset = h5d.create(group, name.encode(), kind, space)
                dataset.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(values, dtype=float))


def write_traces(path: Path, edition: Edition, traces: xr.Dataset) -> None:
    """Write Tracedata.hdf5: one group per planet, a NaN scalar where there is no retrieval."""
    with atomic_path(path) as temporary, new_hdf5(temporary) as file:
        each = zip(traces["planet"].values, traces_of(traces), strict=True)
        for identifier, (theta, weight) in each:
            group = file.create_group(edition.group(identifier))
            group["tracedata"] = theta.astype(float) if len(theta) else np.nan
            group["weights"] = weight.astype(float) if len(weight) else np.nan


def quartile_columns(edition: Edition) -> list[str]:
    """Official column names of a quartiles table, target by target."""
    return [f"{target.quartile_prefix}_q{q}" for target in edition.targets for q in (1, 2, 3)]


def quartiles_table(edition: Edition, traces: xr.Dataset) -> pd.DataFrame:
    """Quartiles (16, 50 and 84 %) of every planet's trace, NaN rows where there is none."""
    rows = np.full((traces.sizes["planet"], 3 * len(edition.targets)), np.nan)
    for row, (theta, weight) in enumerate(traces_of(traces)):
        if len(theta):
            rows[row] = np.quantile(
                theta, QUARTILES, axis=0, weights=weight, method="inverted_cdf"
            ).T.ravel()
    table = pd.DataFrame(rows, columns=quartile_columns(edition))
    table.insert(0, "planet_ID", traces["planet"].values)
    return table
