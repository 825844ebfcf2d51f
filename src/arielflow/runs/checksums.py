"""Checksums of a run's files: recorded at the end of a job, checked when a file is read.

``results/{run}/checksums.json`` holds SHA-256 and size of every output of every job, by its path
below the run's folder; of a folder that a job makes, of every file in it, with the folder's name.
Files from elsewhere, such as the user's data set, have no entry.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from arielflow.core.errors import ArielflowError
from arielflow.core.files import sha256, write_json
from arielflow.core.readers import guarded, listed, read_json_object, regular_file, shown

log = logging.getLogger(__name__)

RECORD = "checksums.json"
_LOCK = ".checksums.lock"
_LOCK_PATIENCE_S = 300
_LOCK_PAUSE_S = 0.05
_DIGITS_SHOWN = 12
# What a run is made for, beside the submission's files.
_DELIVERED = (
    *("report/index.html", "manifest.json", "summary.txt", "scores/leaderboard.csv"),
    "figures",
)

Entry = dict[str, Any]


def record_files(run: Path, paths: Iterable[str | Path]) -> None:
    """Record what a job has made in place of what it replaced.

    Jobs of one run record at the same time, on one machine or on nodes that share its folder. A job
    that is killed before it has recorded has not ended for Snakemake either, which runs it again.

    Parameters
    ----------
    run
        The run's folder.
    paths
        Files and folders; those outside the run's folder are left out.

    Raises
    ------
    ArielflowError
        The record is damaged, or another process does not let go of it.
    """
    outputs = [path for path in map(Path, paths) if _is_below(run, path)]
    if not outputs:
        return
    made = {
        _name(run, file): _entry(file) | ({} if file == path else {"output": _name(run, path)})
        for path in outputs
        for file in _files(path)
    }
    with _locked(run):
        recorded = _read(run)
        for path in outputs:
            for name in _entries_of(recorded, _name(run, path)):
                del recorded[name]
        write_json(recorded | made, run / RECORD)


def check_files(run: Path, paths: Iterable[str | Path]) -> None:
    """Compare what a job is about to read with the record.

    Files of the run that have no entry, such as those of a run from before there was a record, are
    read unchecked; the log says so.

    Parameters
    ----------
    run
        The run's folder.
    paths
        Files and folders; those outside the run's folder are not checked.

    Raises
    ------
    ArielflowError
        A file is not what it was when it was made, or the record is damaged.
    """
    recorded, faults, unrecorded = _read(run), {}, []
    for path in map(Path, paths):
        if not _is_below(run, path):
            continue
        entries = _entries_of(recorded, _name(run, path))
        found = (_fault(run / name, entry) for name, entry in entries.items())
        if fault := next(filter(None, found), None):
            faults[str(path)] = fault
        unrecorded += [file for file in _files(path) if _name(run, file) not in entries]
    if faults:
        first, *others = faults
        also = f" (so are {listed(others)})" if others else ""
        raise ArielflowError(
            f"{faults[first]}: damaged or edited after the run; remove {first} and run again{also}"
        )
    if unrecorded:
        log.warning(
            "%s has no entry for %s, read unchecked: made before the record was kept, or by hand",
            run / RECORD,
            listed(unrecorded),
        )


def check_finished(run: Path) -> None:
    """Check every file that a run has made and that is still there, and all that it delivers.

    Files that no job reads again are checked nowhere else.

    Raises
    ------
    ArielflowError
        See :func:`check_files`.
    """
    outputs = {entry.get("output", name) for name, entry in _read(run).items()}
    submission = {_name(run, file) for file in (run / "submission").glob("*")}
    paths = [run / name for name in sorted(outputs | submission | set(_DELIVERED))]
    check_files(run, [path for path in paths if path.exists()])


def _is_below(run: Path, path: Path) -> bool:
    return path.absolute().is_relative_to(run.absolute())


def _name(run: Path, path: Path) -> str:
    return path.absolute().relative_to(run.absolute()).as_posix()


def _files(path: Path) -> list[Path]:
    """The file itself, or the files of a folder except hidden ones, which systems leave there."""
    if not path.is_dir():
        return [path] if path.is_file() else []
    return sorted(
        Path(folder, name)
        for folder, _, names in os.walk(path)
        for name in names
        if not name.startswith(".") and Path(folder, name).is_file()
    )


def _entries_of(recorded: dict[str, Entry], name: str) -> dict[str, Entry]:
    """Entries of a file, or of the files of a folder."""
    below = f"{name}/"
    return {key: entry for key, entry in recorded.items() if key == name or key.startswith(below)}


def _entry(file: Path) -> Entry:
    return {"sha256": sha256(file), "size": file.stat().st_size}


def _fault(path: Path, entry: Entry) -> str | None:
    """How a file differs from what was recorded; None if it does not."""
    try:
        regular_file(path, "it was one when it was made")
        size = path.stat().st_size
        if size != entry["size"]:
            return f"{path}: {size} bytes, {entry['size']} when it was made"
        with guarded(path, "file", "it was one when it was made"):
            digits = sha256(path)
    except ArielflowError as error:
        return str(error)
    if digits != entry["sha256"]:
        was = entry["sha256"][:_DIGITS_SHOWN]
        return f"{path}: SHA-256 {digits[:_DIGITS_SHOWN]}…, {was}… when it was made"
    return None


def _read(run: Path) -> dict[str, Entry]:
    path = run / RECORD
    if not os.path.lexists(path):
        return {}
    remedy = "restore it, or remove it and run again: what is there is then read unchecked"
    recorded = read_json_object(path, (), remedy)
    for name, entry in recorded.items():
        whole = isinstance(entry, dict) and isinstance(entry.get("size"), int)
        if not whole or not isinstance(entry.get("sha256"), str):
            raise ArielflowError(
                f"{path}: {shown(name)} holds {shown(entry)}, expected sha256 and size; {remedy}"
            )
        if not f"{name}/".startswith(f"{entry.get('output', name)}/"):
            raise ArielflowError(
                f"{path}: {shown(name)} is of output {shown(entry['output'])}, expected a folder "
                f"that holds it; {remedy}"
            )
    return recorded


@contextmanager
def _locked(run: Path) -> Iterator[None]:
    """Keep other processes from the record, on this machine and on others."""
    # Beside the record, which is replaced whole; a lock would go with the old file.
    with (run / _LOCK).open("a") as file:
        _wait_for_lock(run, file)
        yield


def _wait_for_lock(run: Path, file: IO[str]) -> None:
    """Lock an open file until it is closed or the process ends, however it ends."""
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                log.warning(
                    "%s cannot be locked (%s); jobs that end at the same moment may lose entries",
                    run / _LOCK,
                    error.strerror,
                )
                return
        if time.monotonic() > deadline:
            raise ArielflowError(
                f"{run / _LOCK}: another process has kept it locked for {_LOCK_PATIENCE_S} s; "
                "find it (fuser -v), end it and run again"
            )
        time.sleep(_LOCK_PAUSE_S)
