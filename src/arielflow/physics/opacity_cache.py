"""Opacity tables converted once to arrays on disk that are mapped into memory, by checksum.

Text and compressed HDF5 take seconds to read and every job of a workflow needs them; a mapped
array costs nothing until it is used, and jobs on one machine share its pages.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import numpy as np

from arielflow.physics.opacity import OpacityTable, check_coverage, crop, on_one_grid, select
from arielflow.physics.opacity_files import read_opacity, scan_opacities
from arielflow.provenance import partial_path, remove_leftovers, sha256

log = logging.getLogger(__name__)

_AXES = ("wavenumber_cm1", "temperature_k", "pressure_pa")


def cache_folder() -> Path:
    """Where converted files are kept: ``arielflow`` below the user's cache (XDG_CACHE_HOME)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "arielflow"


def cached_table(path: str | Path) -> OpacityTable:
    """A table out of the cache, put there first if need be.

    Raises
    ------
    ArielflowError
        The file is missing or damaged.
    """
    path = Path(path)
    if not path.is_file():
        return read_opacity(path)
    entry = cache_folder() / "tables" / sha256(path)
    try:
        return _load(entry)
    except (OSError, ValueError, KeyError):
        table = read_opacity(path)
    try:
        _store(entry, table)
    except OSError as error:
        log.warning("%s: read without a cache (%s)", path, error)
    return table


def _load(entry: Path) -> OpacityTable:
    with np.load(entry / "axes.npz") as axes:
        weights = axes.get("quadrature_weights")
        return OpacityTable(
            str(axes["molecule"]),
            *(axes[name] for name in _AXES),
            np.load(entry / "cross_section.npy", mmap_mode="r"),
            weights,
        )


def _store(entry: Path, table: OpacityTable) -> None:
    temporary = partial_path(entry)
    temporary.mkdir(parents=True, exist_ok=True)
    try:
        np.save(temporary / "cross_section.npy", table.cross_section_cm2)
        axes = {name: getattr(table, name) for name in _AXES} | {"molecule": table.molecule}
        if table.quadrature_weights is not None:
            axes["quadrature_weights"] = table.quadrature_weights
        np.savez(temporary / "axes.npz", **axes)
        # Another job may have been first; its entry is the same.
        if not entry.exists():
            temporary.rename(entry)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    remove_leftovers(entry)


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
        Holds one table a molecule, in any of the formats of :mod:`opacity_files`.
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
        edges = wavelength_um - 0.5 * wavelength_width_um, wavelength_um + 0.5 * wavelength_width_um
        tables[name] = crop(table, (float(edges[0].min()), float(edges[1].max())))
    return on_one_grid(tables)


def describe_opacities(folder: str | Path, molecules: list[str]) -> dict[str, dict[str, str]]:
    """File and checksum of every molecule's table, for manifests."""
    files = select(scan_opacities(folder), molecules, folder)
    return {name: {"path": str(path), "sha256": sha256(path)} for name, path in files.items()}
