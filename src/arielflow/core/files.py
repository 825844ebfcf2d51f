"""Writing files atomically, checksums, and what to do where the disk is full."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import pandas as pd
import xarray as xr

log = logging.getLogger(__name__)


_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
# Libraries that write files themselves (HDF5, PyTorch, SQLite) put the system's error into their
# own; NumPy only counts what arrived.
_NO_SPACE_WORDS = re.compile(
    r"No space left|errno = 28|PytorchStreamWriter|inline_container\.cc|disk is full"
    r"|\d+ requested and \d+ written"
)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; rename it to ``path`` if the block succeeds.

    What killed processes left of the same file is removed then.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = partial_path(path)
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.errno in _NO_SPACE and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    remove_leftovers(path)


def partial_path(path: Path) -> Path:
    """Name beside ``path`` that no other process uses, here or on a machine that shares it."""
    return path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.partial")


def remove_leftovers(path: Path) -> None:
    """Remove the partial files or folders of a path whose processes on this machine have ended.

    Those of other machines stay: whether their processes live cannot be seen from here.
    """
    before, after = f".{path.name}.{os.uname().nodename}.", ".partial"
    for entry in os.scandir(path.parent):
        process = entry.name.removeprefix(before).removesuffix(after)
        if entry.name != f"{before}{process}{after}" or not process.isdecimal():
            continue
        if _ended(int(process)):
            with suppress(OSError):  # what was written is there, whatever else cannot be removed
                shutil.rmtree(entry) if entry.is_dir() else Path(entry).unlink()


def _ended(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False  # another user's, or no number of a process
    return False


@contextmanager
def new_hdf5(path: Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file to fill, which is made in memory and written when the block ends.

    Where the device is full, HDF5 would keep what it could not write, try again as the file is
    closed, and end the process by SIGSEGV.
    """
    with h5py.File(path, "w", driver="core", backing_store=False, block_size=1 << 22) as file:
        yield file
        file.flush()
        content = file.id.get_file_image()
    path.write_bytes(content)


def write_dataset(dataset: xr.Dataset, path: str | Path) -> None:
    """Write a dataset as compressed NetCDF, atomically; with a checksum per chunk of numbers."""
    encoding = {
        name: {"zlib": True, "complevel": 1, "fletcher32": True}
        for name, variable in dataset.variables.items()
        if variable.dtype.kind in "fiub" and variable.dims
    }
    content = BytesIO()  # see new_hdf5
    dataset.to_netcdf(content, engine="h5netcdf", encoding=encoding)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def write_tree(tree: xr.DataTree, path: str | Path) -> None:
    """Write groups of variables as :func:`write_dataset` writes one."""
    encoding = {
        node.path: {
            name: {"zlib": True, "complevel": 1, "fletcher32": True}
            for name, variable in node.to_dataset(inherit=False).variables.items()
            if variable.dtype.kind in "fiub" and variable.dims
        }
        for node in tree.subtree
    }
    content = BytesIO()  # see new_hdf5
    tree.to_netcdf(content, engine="h5netcdf", encoding=encoding)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as CSV without its index, atomically, floats with all their digits."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


def write_json(content: Any, path: str | Path) -> None:
    """Write JSON with sorted keys, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def as_list(paths: str | Sequence[str]) -> list[str]:
    """Files that the workflow names: one alone is a text."""
    return [paths] if isinstance(paths, str) else list(paths)


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def drop_stale(found: Iterable[Path], kept: Collection[Path], why: str) -> None:
    """Remove what earlier calls with other settings, inputs or code left, and log it in one line.

    Parameters
    ----------
    found
        Files and folders of a scratch folder.
    kept
        Those that this call may use.
    why
        What the others belong to, in words.
    """
    stale = [path for path in found if path not in kept]
    for path in stale:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if stale:
        log.warning("%s: removed %d left by %s", stale[0].parent, len(stale), why)


def no_space(error: BaseException) -> str | None:
    """The line for a full device, if that is what caused an error; else None."""
    links: BaseException | None = error
    while links is not None:
        if getattr(links, "errno", None) in _NO_SPACE or _NO_SPACE_WORDS.search(str(links)):
            # A copy names its source first; the full device is its target's.
            names = (getattr(links, name, None) for name in ("filename2", "filename"))
            where = next(filter(None, names), None) or _fullest()
            return (
                f"no space left on the device of {where}; free some, or raise the quota, and run "
                "it again: what is done is kept"
            )
        links = links.__cause__ or links.__context__
    return None


def _fullest() -> Path:
    """The working or the temporary folder, whichever has less room."""
    folders = Path.cwd(), Path(tempfile.gettempdir())
    return min(folders, key=lambda path: shutil.disk_usage(path).free)
