"""Spectra in FITS tables and in NetCDF files of the xarray community format."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.netcdf import check_plain
from arielflow.core.readers import guarded, listed, shown
from arielflow.data.spectra.columns import is_header
from arielflow.data.spectra.table import SourceTable

_MOST_POINTS = 1_000_000
_REMEDY = "fetch or make the file again"


def read_fits(path: Path) -> SourceTable:
    """The first table of a FITS file that holds a spectrum, units from ``TUNIT``.

    Raises
    ------
    ArielflowError
        It is damaged, or holds no such table.
    """
    from astropy.io import fits

    with guarded(path, "FITS file", _REMEDY), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # faults of the header that do not touch the table
        with fits.open(path, memmap=False, lazy_load_hdus=False) as units:
            tables = [one for one in units if isinstance(one, fits.BinTableHDU | fits.TableHDU)]
            chosen = next((one for one in tables if is_header(one.columns.names)), None)
            if chosen is None:
                found = [name for one in tables for name in one.columns.names]
                what = (
                    f"tables of {listed(found, 8)}" if tables else "no table (images, or cut off)"
                )
                raise ArielflowError(
                    f"{path}: a FITS file with {what}; expected a table with columns of "
                    "wavelength, depth and error"
                )
            primary = units[0].header
            cells = [_column(path, chosen, name) for name in chosen.columns.names]
            instrument = str(chosen.header.get("INSTRUME") or primary.get("INSTRUME") or "").strip()
            return _table(
                path,
                "FITS table",
                tuple(chosen.columns.names),
                tuple(str(column.unit or "") for column in chosen.columns),
                cells,
                instrument,
            )


def read_machine_readable(path: Path, text: str) -> SourceTable:
    """A journal's machine-readable table, whose columns are described byte by byte.

    Raises
    ------
    ArielflowError
        The description does not hold.
    """
    from astropy.io import ascii as astropy_ascii

    with guarded(path, "machine-readable table", "fetch it again"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units that astropy does not know are judged here
        table = astropy_ascii.read(text.splitlines(), format="mrt")
        cells = [np.ma.filled(_plain(column.data), np.nan) for column in table.columns.values()]
        units = tuple(str(column.unit or "") for column in table.columns.values())
    return _table(path, "machine-readable table", tuple(table.colnames), units, cells, "")


def _column(path: Path, table: Any, name: str) -> np.ndarray:
    """A column, one value per row; a single row of arrays is a column too."""
    values = np.asarray(table.data[name])
    if values.ndim == 2 and values.shape[0] == 1:
        values = values[0]
    if values.dtype.kind in "SU":
        return values.astype(str)
    return values.astype(float) if values.dtype.kind in "iufb" else values.astype(object)


def read_community(path: Path, classic: bool) -> SourceTable:
    """The spectrum of a NetCDF file: one-dimensional variables, units in their attributes.

    Parameters
    ----------
    path
        The file.
    classic
        It is of NetCDF's old format, not of HDF5.

    Raises
    ------
    ArielflowError
        It is damaged, or holds no such spectrum.
    """
    with guarded(path, "NetCDF file", _REMEDY):
        if not classic:
            check_plain(path, "NetCDF file", _REMEDY)
        dataset = xr.load_dataset(
            path, engine="scipy" if classic else "h5netcdf", decode_times=False
        )
    every = {str(name): variable for name, variable in dataset.variables.items()}
    flat = {name: variable for name, variable in every.items() if variable.ndim == 1}
    if not is_header(list(flat)):
        remedy = "expected wavelength, transit_depth and transit_depth_error along one dimension"
        if "planet" in dataset.dims:
            remedy = "a data set of planets is read by af.read, not as one spectrum"
        raise ArielflowError(
            f"{path}: a NetCDF file with {listed(list(every), 8) or 'nothing'}; {remedy}"
        )
    attributes = {str(key).lower(): str(value) for key, value in dataset.attrs.items()}
    return _table(
        path,
        "NetCDF file of the community format",
        tuple(flat),
        tuple(str(variable.attrs.get("units", "")) for variable in flat.values()),
        [_plain(variable.values) for variable in flat.values()],
        attributes.get("instrument", attributes.get("mode", "")),
    )


def _plain(values: np.ndarray) -> np.ndarray:
    return values.astype(float) if values.dtype.kind in "iuf" else values.astype(str)


def _table(
    path: Path,
    form: str,
    names: tuple[str, ...],
    units: tuple[str, ...],
    cells: list[np.ndarray],
    instrument: str,
) -> SourceTable:
    """The columns that are as long as most are; a spectrum's own must all be among them."""
    lengths = [len(column) if column.ndim == 1 else -1 for column in cells]
    length = max(set(lengths), key=lengths.count)
    kept = [place for place, found in enumerate(lengths) if found == length]
    if not 0 < length <= _MOST_POINTS:
        raise ArielflowError(
            f"{path}: columns of {shown(length)} values, expected 1 to {_MOST_POINTS}; {_REMEDY}"
        )
    label = " ".join(instrument.split())
    return SourceTable(
        path=path,
        form=form,
        names=tuple(names[place] for place in kept),
        units=tuple(units[place] for place in kept),
        cells=tuple(cells[place] for place in kept),
        places=tuple(f"row {row}" for row in range(1, length + 1)),
        labels=(label,) * length if label else (),
    )
