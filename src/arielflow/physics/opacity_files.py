"""Which files of a folder are opacities, in which format, and of which molecule."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from pathlib import Path

from arielflow.core.errors import ArielflowError
from arielflow.core.hdf5 import open_plain
from arielflow.core.readers import listed, regular_file, shown
from arielflow.physics.opacity import OpacityTable
from arielflow.physics.opacity_formats import exo_transmit, photochem, taurex
from arielflow.physics.opacity_formats.nemesis import molecule_of_nemesis, read_nemesis
from arielflow.physics.opacity_formats.on_disk import REMEDY, check_on_disk

log = logging.getLogger(__name__)

_HDF5_SUFFIXES = (".h5", ".hdf5")
_CIA_TEXT_SUFFIXES = (".dat", ".txt")
_CIA_TEXT_MARK = b"@SPECIES"
_BEGINNING_BYTES = 1 << 13


class Format(Enum):
    """Formats that opacities come in, as people name them."""

    TAUREX = "TauREx HDF5"
    PHOTOCHEM = "photochem HDF5"
    NEMESIS = "NEMESIS .kta"
    EXO_TRANSMIT = "Exo-Transmit"
    HITRAN_CIA = "HITRAN .cia"
    PHOTOCHEM_CIA = "photochem CIA"
    PYRATBAY_CIA = "pyratbay CIA"


CIA_FORMATS = (Format.HITRAN_CIA, Format.PHOTOCHEM_CIA, Format.PYRATBAY_CIA)
# A dataset that tells what an HDF5 file is; a table that lacks its values is a damaged one.
_MARKS = {
    "xsecarr": Format.TAUREX,
    "kcoeff": Format.TAUREX,
    "log10k": Format.PHOTOCHEM,
    "log10xs": Format.PHOTOCHEM_CIA,
    "bin_edges": Format.TAUREX,
    "bin_centers": Format.TAUREX,
}


def format_of(path: str | Path) -> Format | None:
    """Format of a file by its name and, where that leaves it open, its first bytes or datasets.

    None of what is no table: folders, notes, HDF5 of something else.

    Raises
    ------
    ArielflowError
        A file that its name makes a table is a pipe, mostly a hole, or no HDF5.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    exo_transmit_name = path.suffix == ".dat" and path.name.startswith("opac")
    known = (*_HDF5_SUFFIXES, ".kta", ".cia")
    if path.is_dir() or not (suffix in known or exo_transmit_name or suffix in _CIA_TEXT_SUFFIXES):
        return None
    if suffix in _CIA_TEXT_SUFFIXES and not exo_transmit_name:
        return Format.PYRATBAY_CIA if path.is_file() and _begins_as_cia(path) else None
    check_on_disk(regular_file(path, "remove or replace it"))
    if suffix in _HDF5_SUFFIXES:
        with open_plain(path, REMEDY) as file:
            return next((kind for name, kind in _MARKS.items() if file.holds("", name)), None)
    return {".kta": Format.NEMESIS, ".cia": Format.HITRAN_CIA}.get(suffix, Format.EXO_TRANSMIT)


def _begins_as_cia(path: Path) -> bool:
    with path.open("rb") as stream:
        lines = stream.read(_BEGINNING_BYTES).splitlines()
    return any(line.strip().startswith(_CIA_TEXT_MARK) for line in lines)


def read_opacity(path: str | Path) -> OpacityTable:
    """Read a table of any known format.

    Raises
    ------
    ArielflowError
        The file is missing, damaged, or no table of a molecule.
    """
    path = regular_file(path, "check the folder of opacities")
    readers = {
        Format.TAUREX: taurex.read_taurex_hdf5,
        Format.PHOTOCHEM: photochem.read_photochem,
        Format.NEMESIS: read_nemesis,
        Format.EXO_TRANSMIT: exo_transmit.read_exo_transmit,
    }
    if (reader := readers.get(format_of(path))) is None:
        raise ArielflowError(
            f"{shown(path, 400)}: no table of a molecule in a format that is known, see "
            "docs/opacities.md; convert it"
        )
    return reader(path)


def molecule_of(path: Path, kind: Format) -> str:
    """Whose table a file of a known format is; its values are not read."""
    if kind is Format.NEMESIS:
        return molecule_of_nemesis(path)
    if kind is Format.EXO_TRANSMIT:
        return exo_transmit.molecule(path)
    reader = taurex if kind is Format.TAUREX else photochem
    with open_plain(path, REMEDY) as file:
        return reader.molecule_of(path, file)


def entries(folder: str | Path) -> list[Path]:
    """What a folder shows; names with a dot in front are the system's, or notes of an editor.

    Raises
    ------
    ArielflowError
        There is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ArielflowError(
            f"{shown(folder, 400)}: no such folder of opacities; set physics.opacities"
        )
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def cia_entries(folder: str | Path) -> dict[Path, Format]:
    """A folder's files of collision-induced absorption and their formats."""
    kinds = {path: format_of(path) for path in entries(folder)}
    return {path: kind for path, kind in kinds.items() if kind in CIA_FORMATS}


def scan_opacities(folder: str | Path) -> dict[str, Path]:
    """Files of a folder by molecule, names read but no table.

    Raises
    ------
    ArielflowError
        There is no such folder, or a molecule has two files.
    """
    found: dict[str, Path] = {}
    for path in entries(folder):
        kind = format_of(path)
        if kind is None or kind in CIA_FORMATS:
            continue
        molecule = molecule_of(path, kind)
        if molecule in found:
            raise ArielflowError(
                f"{folder}: two tables of {molecule}, {found[molecule].name} and {path.name}; "
                "keep one"
            )
        found[molecule] = path
    return found


def select(
    found: Mapping[str, Path], molecules: Sequence[str], folder: str | Path
) -> dict[str, Path]:
    """The files of these molecules out of those found, in order.

    Raises
    ------
    ArielflowError
        A molecule has no table.
    """
    passed_over = [
        f"{path.name}/" if path.is_dir() else path.name
        for path in entries(folder)
        if format_of(path) is None
    ]
    ignored = f"{listed(passed_over)} ignored (no table)" if passed_over else ""
    missing = [name for name in molecules if name not in found]
    if missing:
        raise ArielflowError(
            f"{folder}: no opacity table for {listed(missing)}; found "
            f"{listed(sorted(found), 40) or 'none'}{', ' * bool(ignored)}{ignored}"
        )
    if ignored:
        _tell_once(f"{shown(folder, 400)}: {ignored}")
    return {name: found[name] for name in molecules}


@lru_cache(maxsize=64)
def _tell_once(text: str) -> None:
    log.info("%s", text)
