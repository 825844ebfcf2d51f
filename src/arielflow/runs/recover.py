"""After Snakemake was killed: end what it left running, so that no output has two writers.

Snakemake's lock alone does not say whether jobs still run: those on a cluster outlive the process
that submitted them, and a rerun would submit the same outputs a second time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import read_yaml

JOB_PREFIX = "arielflow"
_PROFILES = ("--profile", "--workflow-profile")
_EXECUTORS = ("--executor", "-e")
_PATIENCE = 300.0


class Process(NamedTuple):
    """A process of Snakemake on this machine: the head of a run, or one of its jobs."""

    pid: int
    is_head: bool


def end_leftovers(
    folder: Path, arguments: Sequence[str], *, patience: float = _PATIENCE
) -> tuple[list[str], list[int]]:
    """End the jobs that a killed run left, and return when they are gone.

    Jobs of Slurm are known by their name's prefix together with their working directory.

    Parameters
    ----------
    folder
        Working directory of the run.
    arguments
        Snakemake's, which name the profile.
    patience
        Seconds that jobs may take to end.

    Returns
    -------
    cancelled : list of str
        Numbers of the Slurm jobs.
    ended : list of int
        Process ids of the jobs on this machine.

    Raises
    ------
    ArielflowError
        A head process still runs, the scheduler cannot be asked, or something did not end.
    """
    heads = [process.pid for process in snakemake_processes(folder) if process.is_head]
    if heads:
        raise ArielflowError(
            f"{folder}: Snakemake still runs here (pid {', '.join(map(str, heads))}); wait for it, "
            "or end it first"
        )
    cancelled = _cancel_slurm_jobs(folder, arguments, patience)
    ended = [process.pid for process in snakemake_processes(folder)]
    for pid in ended:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    _wait_until_gone(
        lambda: [process.pid for process in snakemake_processes(folder)],
        "processes of the run on this machine (pid",
        patience,
    )
    return cancelled, ended


def slurm_jobs(folder: Path) -> list[str]:
    """Numbers of the user's Slurm jobs that a run in a folder submitted.

    Raises
    ------
    ArielflowError
        Slurm's controller does not answer.
    """
    command = ["squeue", "--noheader", f"--user={os.getuid()}", "--format=%A|%j|%Z"]
    done = _asked(command)
    found = []
    for line in done.splitlines():
        number, name, place = line.split("|", 2)
        if name.startswith(JOB_PREFIX) and Path(place).resolve() == folder.resolve():
            found.append(number)
    return sorted(set(found), key=int)


def snakemake_processes(folder: Path) -> list[Process]:
    """Processes of Snakemake, its jobs' scripts included, whose working directory is a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            here = (entry / "cwd").resolve(strict=True) == folder.resolve()
        except OSError:  # ended meanwhile, or another user's
            continue
        if not here or int(entry.name) == os.getpid():
            continue
        head = _runs_snakemake(words)
        job = (head and "--mode" in words) or any(".snakemake/scripts/" in w for w in words[1:2])
        if head or job:
            found.append(Process(int(entry.name), is_head=not job))
    return found


def _runs_snakemake(words: Sequence[str]) -> bool:
    """Whether a command line is Snakemake's: by its own name, or as Python's module."""
    names = [Path(word).name for word in words[:2]]
    return "snakemake" in names or list(words[1:3]) == ["-m", "snakemake"]


def _cancel_slurm_jobs(folder: Path, arguments: Sequence[str], patience: float) -> list[str]:
    if shutil.which("squeue") is None:
        executor = _executor(arguments)
        if executor not in (None, "local"):
            raise ArielflowError(
                f"executor {executor}: no squeue here to find the run's jobs with; cancel them by "
                "your scheduler's command, then snakemake --unlock and run again"
            )
        return []
    jobs = slurm_jobs(folder)
    if jobs:
        _asked(["scancel", *jobs])
        _wait_until_gone(lambda: slurm_jobs(folder), "jobs of Slurm (", patience)
    return jobs


def _executor(arguments: Sequence[str]) -> str | None:
    """The executor that Snakemake's arguments name, themselves or through a profile."""
    given = dict(pairwise(arguments))
    given |= dict(word.split("=", 1) for word in arguments if word.startswith("--") and "=" in word)
    for option in _EXECUTORS:
        if option in given:
            return given[option]
    for option in _PROFILES:
        file = Path(given[option], "config.yaml") if option in given else None
        if file and file.is_file():
            profile = read_yaml(file)
            if isinstance(profile, Mapping) and "executor" in profile:
                return profile["executor"]
    return None


def _asked(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        fault = done.stderr.strip() if done.returncode else None
    except subprocess.TimeoutExpired:
        fault = "no answer within a minute"
    if fault is not None:
        raise ArielflowError(
            f"{command[0]}: {fault}; jobs may still run, so nothing was unlocked; try again when "
            "Slurm answers"
        )
    return done.stdout


def _wait_until_gone(left: Callable[[], list], words: str, patience: float) -> None:
    end = time.monotonic() + patience
    while remaining := left():
        if time.monotonic() > end:
            names = ", ".join(map(str, remaining))
            raise ArielflowError(
                f"{words} {names}) did not end within {patience:.0f} s; nothing was unlocked"
            )
        time.sleep(0.5)
