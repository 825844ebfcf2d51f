"""Reading NetCDF, and whole HDF5 files that a library reads: plain data only."""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import xarray as xr
from h5py import h5d, h5g, h5i, h5l

from arielflow.core.errors import ArielflowError
from arielflow.core.hdf5_heaps import check_heaps
from arielflow.core.readers import guarded, regular_file, shown

_MOST_INFLATION = 100
_SMALL_BYTES = 1 << 26
_REMEDY = "fetch or make the file again"


def read_netcdf(path: str | Path, remedy: str = "make it again") -> xr.Dataset:
    """A NetCDF file of the workflow, loaded into memory.

    Raises
    ------
    ArielflowError
        The file is missing or damaged, points to other files, or declares far more than it holds.
    """
    path = regular_file(path, remedy)
    with guarded(path, "NetCDF file", remedy):
        check_plain(path, "NetCDF file", remedy)
        return xr.load_dataset(path, engine="h5netcdf")


def check_plain(path: str | Path, what: str = "HDF5 file", remedy: str = _REMEDY) -> None:
    """Refuse an HDF5 file that points to other files, or declares far more than it holds.

    For files that a library reads by itself, such as NetCDF and a sampler's checkpoints.

    Parameters
    ----------
    path, what, remedy
        As for :func:`arielflow.core.readers.guarded`.

    Raises
    ------
    ArielflowError
        The file is missing or damaged, or is such a one.
    """
    path = regular_file(path, remedy)
    check_heaps(path, remedy)
    with guarded(path, what, remedy), h5py.File(path, "r") as file:
        _check_plain(path, h5g.open(file.id, b"/"))


def _check_plain(path: Path, root: h5g.GroupID) -> None:
    declared, todo, seen = 0, [root], set()
    while todo:
        group = todo.pop()
        for name in group:
            if group.links.get_info(name).type != h5l.TYPE_HARD:
                raise ArielflowError(f"{path}: {shown(name.decode())} is a link; {_REMEDY}")
            item = h5py.h5o.open(group, name)
            place = h5py.h5o.get_info(item).addr
            if h5i.get_type(item) == h5i.GROUP and place not in seen:
                todo.append(item)
            seen.add(place)
            if h5i.get_type(item) != h5i.DATASET:
                continue
            properties = item.get_create_plist()
            if properties.get_layout() == h5d.VIRTUAL or properties.get_external_count():
                raise ArielflowError(
                    f"{path}: {shown(name.decode())} lies in another file; {_REMEDY}"
                )
            declared += math.prod(item.shape or ()) * item.get_type().get_size()
    if declared > max(_SMALL_BYTES, _MOST_INFLATION * path.stat().st_size):
        raise ArielflowError(
            f"{path}: {path.stat().st_size} bytes that declare {declared} bytes; {_REMEDY}"
        )
