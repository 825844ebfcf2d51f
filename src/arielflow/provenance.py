"""What made a result: versions, seeds, checksums, device; and writing files atomically."""

from __future__ import annotations

import ast
import errno
import hashlib
import json
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import xarray as xr

log = logging.getLogger(__name__)

PACKAGES = [
    "arielflow",
    "snakemake",
    "numpy",
    "scipy",
    "pandas",
    "xarray",
    "scikit-learn",
    "torch",
    "lightning",
    "nflows",
    "pyro-ppl",
    "torchdiffeq",
    "optuna",
    "POT",
    "nautilus-sampler",
    "h5py",
]

_ROOT = Path(__file__).parent
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
# Libraries that write files themselves (HDF5, PyTorch, SQLite) put the system's error into their
# own.
_NO_SPACE_WORDS = (
    *("No space left", "errno = 28", "PytorchStreamWriter", "inline_container.cc"),
    "disk is full",
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


def write_dataset(dataset: xr.Dataset, path: str | Path) -> None:
    """Write a dataset as compressed NetCDF, atomically; numbers with a checksum a chunk."""
    encoding = {
        name: {"zlib": True, "complevel": 1, "fletcher32": True}
        for name, variable in dataset.variables.items()
        if variable.dtype.kind in "fiub" and variable.dims
    }
    with atomic_path(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as CSV without its index, atomically, floats with all their digits."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


def write_json(content: Any, path: str | Path) -> None:
    """Write JSON with sorted keys, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@cache
def code_digest(*names: str) -> str:
    """Short digest of code, by which whatever is kept across runs knows the code that made it.

    It follows the imports, so that nobody has to keep a list of modules.

    Parameters
    ----------
    names
        Modules, such as ``arielflow.models.flow``, and packages, of which all that is in them;
        what these import of arielflow, directly or not, is part of the digest.

    Raises
    ------
    ValueError
        There is no such module in arielflow.
    """
    todo = [file for name in names for file in _sources(name, whole=True)]
    found: set[Path] = set()
    while todo:
        file = todo.pop()
        if file not in found:
            found.add(file)
            todo += [other for name in _imports(file) for other in _sources(name)]
    digest = hashlib.sha256()
    for file in sorted(found):
        digest.update(f"{file.relative_to(_ROOT)}\0{sha256(file)}\0".encode())
    return digest.hexdigest()[:16]


def _sources(name: str, whole: bool = False) -> list[Path]:
    """Source files of a module or package; none for a name that is neither, such as a function."""
    path = _ROOT.parent.joinpath(*name.split("."))
    if path.is_dir():
        return sorted(path.rglob("*.py")) if whole else [path / "__init__.py"]
    file = path.with_name(f"{path.name}.py")
    if whole and not file.is_file():
        raise ValueError(f"{name}: no module of arielflow")
    return [file] if file.is_file() else []


def _imports(file: Path) -> set[str]:
    """Dotted names that a source file imports of arielflow, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == _ROOT.name}


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
    """The line for a full device, if that is what an error goes back to; else None."""
    links: BaseException | None = error
    while links is not None:
        if getattr(links, "errno", None) in _NO_SPACE or any(
            words in str(links) for words in _NO_SPACE_WORDS
        ):
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
    """Of the working and the temporary folder, the one with less room."""
    folders = Path.cwd(), Path(tempfile.gettempdir())
    return min(folders, key=lambda path: shutil.disk_usage(path).free)


def derived_seed(seed: int, name: str, member: int = 0) -> int:
    """Seed of one job, from the run's seed, the job's name and its member number.

    Uses CRC-32 of the name, since Python's own string hash is salted per process.
    """
    sequence = np.random.SeedSequence([seed, crc32(name.encode()), member])
    return int(sequence.generate_state(1, np.uint32)[0])


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that shape the results."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _git(*arguments: str) -> str | None:
    root = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def code_version() -> dict[str, Any]:
    """Git commit of the source tree and whether it has uncommitted changes (None: no git)."""
    status = _git("status", "--porcelain")
    return {"commit": _git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def machine() -> dict[str, Any]:
    """Platform, processor, cores and memory [MB] of the machine that this runs on."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": os.cpu_count(),
        "memory_mb": memory // 1_000_000,
        "platform": platform.platform(),
        "processor": _processor(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    """Name of the processor; Python's own gives the architecture alone on Linux."""
    names = Path("/proc/cpuinfo")
    if names.is_file():
        for line in names.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def run_manifest(
    config: dict[str, Any],
    inputs: dict[str, str | Path],
    outputs: dict[str, str | Path],
    failed_members: dict[str, str],
    jobs: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """Everything needed to say what made a run's results, and to check them.

    Parameters
    ----------
    config
        The run's full configuration.
    inputs, outputs
        Files by name; each is recorded with its path and SHA-256.
    failed_members
        Why members of ensembles have no model, by ``model/member``.
    jobs
        What the jobs asked for and used (:func:`arielflow.benchmark_files.measured_jobs`).
    """

    def files(paths: dict[str, str | Path]) -> dict[str, dict[str, str]]:
        return {k: {"path": str(p), "sha256": sha256(p)} for k, p in sorted(paths.items())}

    return {
        "code": code_version(),
        "config": config,
        "failed_members": failed_members,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": files(inputs),
        "jobs": jobs,
        "machine": machine(),
        "outputs": files(outputs),
        "packages": package_versions(),
    }
