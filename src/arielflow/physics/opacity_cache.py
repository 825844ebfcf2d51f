"""Opacity tables converted once to arrays on disk that are mapped into memory.

An entry is known by the file's checksum and by the code that read it.

Text and compressed HDF5 take seconds to read and every job of a workflow needs them; a mapped
array costs nothing until it is used, and jobs on one machine share its pages.
"""

from __future__ import annotations

import logging
import os
import shutil
from functools import cache, lru_cache
from pathlib import Path
from zlib import crc32

import numpy as np

from arielflow.core.array_files import mapped_npy, read_npz
from arielflow.core.code import code_digest
from arielflow.core.errors import ArielflowError
from arielflow.core.files import partial_path, remove_leftovers, sha256
from arielflow.core.readers import regular_file
from arielflow.physics.opacity import (
    OpacityTable,
    check_coverage,
    crop,
    doubts,
    on_one_grid,
)
from arielflow.physics.opacity_files import check_on_disk, read_opacity, scan_opacities, select

log = logging.getLogger(__name__)

_AXES = ("wavenumber_cm1", "temperature_k", "pressure_pa")


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
        if table.quadrature_weights is not None:
            axes["quadrature_weights"] = table.quadrature_weights
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
        :mod:`arielflow.physics.opacity_files`.
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
        for doubt in doubts(table):
            _warn_once(f"{path}: {doubt}")
        edges = wavelength_um - 0.5 * wavelength_width_um, wavelength_um + 0.5 * wavelength_width_um
        tables[name] = crop(table, (float(edges[0].min()), float(edges[1].max())))
    return on_one_grid(tables)


@lru_cache(maxsize=64)
def _warn_once(text: str) -> None:
    log.warning("%s", text)


def describe_opacities(folder: str | Path, molecules: list[str]) -> dict[str, dict[str, str]]:
    """File and checksum of every molecule's table, for manifests."""
    files = select(scan_opacities(folder), molecules, folder)
    return {name: {"path": str(path), "sha256": sha256(path)} for name, path in files.items()}
