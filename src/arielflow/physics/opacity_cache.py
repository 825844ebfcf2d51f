"""Opacity tables converted once to arrays on disk that are mapped into memory.

An entry is known by the file's checksum and by the code that read it.

Text and compressed HDF5 take seconds to read and every job of a workflow needs them; a mapped
array costs nothing until it is used, and jobs on one machine share its pages.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from zlib import crc32

import numpy as np

from arielflow.core.array_files import mapped_npy, read_npz
from arielflow.core.code import code_digest
from arielflow.core.errors import ArielflowError
from arielflow.core.files import partial_path, remove_leftovers, sha256
from arielflow.core.readers import listed, regular_file
from arielflow.physics.opacity import OpacityTable, crop, doubts, on_one_grid
from arielflow.physics.opacity_coverage import (
    check_coverage,
    covered,
    reach_cm1,
    temperature_doubt,
)
from arielflow.physics.opacity_files import read_opacity, scan_opacities, select
from arielflow.physics.opacity_formats.on_disk import check_on_disk

log = logging.getLogger(__name__)

_AXES = ("wavenumber_cm1", "temperature_k", "pressure_pa")
_OPTIONAL = ("quadrature_weights", "cell_bounds_cm1")


def cache_folder() -> Path:
    """Where converted files are kept: ``arielflow`` below the user's cache (XDG_CACHE_HOME)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "arielflow"


def cached_table(path: str | Path) -> OpacityTable:
    """A table out of the cache, put there first if need be.

    An entry that is damaged, or that another version of the readers made, is replaced.

    Raises
    ------
    ArielflowError
        The file is missing or damaged.
    """
    path = regular_file(path, "check the folder of opacities")
    check_on_disk(path)
    entry = cache_folder() / "tables" / sha256(path)
    try:
        return _load(entry)
    except (ArielflowError, OSError, ValueError, KeyError, TypeError) as error:
        if os.path.lexists(entry):
            log.info("%s: made anew (%s)", entry, error)
    table = read_opacity(path)
    try:
        _store(entry, table)
    except OSError as error:
        log.warning("%s: read without a cache (%s)", path, error)
    return table


@cache
def _readers() -> str:
    """Digest of the code that makes an entry out of a file."""
    return code_digest("arielflow.physics.opacity_files", __name__)


def _load(entry: Path) -> OpacityTable:
    """An entry whose arrays are those that were stored, by their checksum."""
    axes = read_npz(entry / "axes.npz")
    cross_section = mapped_npy(entry / "cross_section.npy")
    made = str(axes["readers"]), int(axes["crc32"])
    if made != (_readers(), _checksum(cross_section)):
        raise ValueError("other readers made it, or its numbers have changed since")
    return OpacityTable(
        str(axes["molecule"]),
        *(axes[name] for name in _AXES),
        cross_section,
        axes.get("quadrature_weights"),
        axes.get("cell_bounds_cm1"),
    )


def _checksum(values: np.ndarray) -> int:
    return crc32(memoryview(values).cast("B"), crc32(f"{values.shape} {values.dtype.str}".encode()))


def _store(entry: Path, table: OpacityTable) -> None:
    temporary = partial_path(entry)
    temporary.mkdir(parents=True, exist_ok=True)
    try:
        values = np.ascontiguousarray(table.cross_section_cm2)
        np.save(temporary / "cross_section.npy", values)
        axes = {name: getattr(table, name) for name in _AXES}
        axes |= {"molecule": table.molecule, "readers": _readers()}
        axes["crc32"] = _checksum(values)
        optional = {name: getattr(table, name) for name in _OPTIONAL}
        axes |= {name: values for name, values in optional.items() if values is not None}
        np.savez(temporary / "axes.npz", **axes)
        if os.path.lexists(entry):
            # Jobs that have the old entry's arrays mapped keep them.
            entry.rename(temporary / "replaced")
        temporary.rename(entry)
        _remove(entry / "replaced")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    remove_leftovers(entry)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def load_opacities(
    folder: str | Path,
    molecules: list[str] | tuple[str, ...],
    wavelength_um: np.ndarray,
    wavelength_width_um: np.ndarray,
) -> dict[str, OpacityTable]:
    """Tables of these molecules out of a folder, on one grid that just covers the bins.

    Parameters
    ----------
    folder
        Holds one table per molecule, in any of the formats of
        :class:`arielflow.physics.opacity_files.Format`.
    molecules
        Chemical formulas; gives the order.
    wavelength_um, wavelength_width_um
        Bin centres and full widths, shape (wavelength,) [um].

    Raises
    ------
    ArielflowError
        A molecule has no table, or a table is damaged or covers too little.
    """
    files = select(scan_opacities(folder), molecules, folder)
    tables = {}
    for name, path in files.items():
        table = cached_table(path)
        check_coverage(path, table, wavelength_um, wavelength_width_um)
        tables[name] = table
    return _fitted(tables, files, wavelength_um, wavelength_width_um)


def load_covering(
    folder: str | Path,
    molecules: list[str] | tuple[str, ...],
    wavelength_um: np.ndarray,
    wavelength_width_um: np.ndarray,
) -> tuple[dict[str, OpacityTable], np.ndarray]:
    """Tables as :func:`load_opacities` gives them, and the bins that all of them cover whole.

    For tables that cover part of an instrument: the caller leaves the other bins out, and says so.
    Temperatures that span less than usual are a warning here.

    Parameters
    ----------
    folder, molecules, wavelength_um, wavelength_width_um
        As for :func:`load_opacities`.

    Returns
    -------
    tables
        By molecule, on one grid that just covers these bins.
    covered
        Shape (wavelength,), True for at least one bin.

    Raises
    ------
    ArielflowError
        A molecule has no table, a table is damaged, or there is no bin that all tables cover.
    """
    files = select(scan_opacities(folder), molecules, folder)
    tables = {name: cached_table(path) for name, path in files.items()}
    inside = covered(tables, wavelength_um, wavelength_width_um)
    if not inside.any():
        reach = {name: reach_cm1(table) for name, table in tables.items()}
        spans = [f"{name} {1e4 / b:.3f}-{1e4 / a:.3f} um" for name, (a, b) in reach.items()]
        raise ArielflowError(
            f"{folder}: no bin between {wavelength_um.min():.3f} and {wavelength_um.max():.3f} um "
            f"is covered by all tables ({listed(spans)}); use others, or leave a molecule out"
        )
    for name, path in files.items():
        if doubt := temperature_doubt(tables[name]):
            _warn_once(f"{path}: {doubt}")
    bins = wavelength_um[inside], wavelength_width_um[inside]
    return _fitted(tables, files, *bins), inside


def _fitted(
    tables: Mapping[str, OpacityTable],
    files: Mapping[str, Path],
    wavelength_um: np.ndarray,
    width_um: np.ndarray,
) -> dict[str, OpacityTable]:
    """Tables cropped to the bins and on one grid; what looks like a mistake is warned of."""
    span = (wavelength_um - 0.5 * width_um).min(), (wavelength_um + 0.5 * width_um).max()
    for name, path in files.items():
        for doubt in doubts(tables[name]):
            _warn_once(f"{path}: {doubt}")
    return on_one_grid({name: crop(table, span) for name, table in tables.items()})


@lru_cache(maxsize=64)
def _warn_once(text: str) -> None:
    log.warning("%s", text)


def describe_opacities(folder: str | Path, molecules: list[str]) -> dict[str, dict[str, str]]:
    """File and checksum of every molecule's table, for manifests."""
    files = select(scan_opacities(folder), molecules, folder)
    return {name: {"path": str(path), "sha256": sha256(path)} for name, path in files.items()}
