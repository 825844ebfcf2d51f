"""What the jobs of a run asked for beside what they used, from its plan and its benchmark files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import guarded
from arielflow.core.tables import read_results


def resource_table(folder: Path, arguments: Sequence[str]) -> pd.DataFrame:
    """Requested and used memory and time of every rule that has run.

    Parameters
    ----------
    folder
        Working directory of the run.
    arguments
        Snakemake's, which name the configuration.

    Returns
    -------
    pandas.DataFrame
        One row per rule: ``rule``, ``jobs``, of its longest job ``seconds``, of its largest one
        ``peak_mb``, and of a first attempt ``mem_mb`` and ``runtime_min``.

    Raises
    ------
    ArielflowError
        Snakemake cannot plan the run, or none of its jobs has been measured.
    """
    command = [sys.executable, "-m", "snakemake", *arguments, "--dry-run", "--forceall"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    said = done.stdout + done.stderr
    if done.returncode:
        raise ArielflowError(f"snakemake --dry-run failed: {last_words(said)}")
    jobs = [
        {
            "rule": rule,
            "mem_mb": memory,
            "runtime_min": runtime,
            **read_benchmark(folder / benchmark),
        }
        for rule, benchmark, memory, runtime in planned_jobs(said)
        if (folder / benchmark).is_file()
    ]
    if not jobs:
        raise ArielflowError(f"{folder}: no benchmark files of this configuration; run it first")
    table = pd.DataFrame(jobs).groupby("rule", sort=False)
    return table.agg(
        jobs=("seconds", "size"),
        seconds=("seconds", "max"),
        peak_mb=("memory_mb", "max"),
        mem_mb=("mem_mb", "max"),
        runtime_min=("runtime_min", "max"),
    ).reset_index()


def last_words(text: str) -> str:
    """The end of what a program said, on one line."""
    words = " ".join(text.split())
    return words if len(words) <= 500 else f"…{words[-500:]}"


def planned_jobs(plan: str) -> Iterator[tuple[str, str, int, int]]:
    """Rule, benchmark file, memory [MB] and run time [min] of every job of a dry run's text."""
    for block in re.split(r"^ *(?:local)?(?=rule \w+:$)", plan, flags=re.MULTILINE)[1:]:
        benchmark, memory, runtime = (
            re.search(pattern, block, re.MULTILINE)
            for pattern in (
                r"^ *benchmark: (.+)$",
                r"^ *resources: .*\bmem_mb=(\d+)",
                r"^ *resources: .*\bruntime=(\d+)",
            )
        )
        if benchmark and memory and runtime:
            rule = block.split(":", 1)[0].removeprefix("rule ")
            yield rule, benchmark[1], int(memory[1]), int(runtime[1])


# What a job can ask a scheduler for besides threads, and the number of the attempt that asked.
_REQUESTS = ("attempt", "gpu", "mem_mb", "nodes", "runtime", "tasks")

_WHAT, _REMEDY = "benchmark file of Snakemake's", "take it away"


def measured_jobs(folder: str | Path) -> dict[str, dict[str, Any]]:
    """What every job of a run asked for and used, from its latest benchmark file.

    Parameters
    ----------
    folder
        The run's benchmark files.

    Returns
    -------
    dict
        By job: ``used``, the wall time ``seconds`` and the peak memory ``memory_mb``, where it was
        seen. Snakemake's ``--benchmark-extended``, which the profiles set, adds ``rule`` and
        ``requested``, what the attempt that succeeded asked for (memory [MB], run time [min], …).
    """
    jobs = {}
    for path in sorted(Path(folder).rglob("*.tsv")):
        used = {name: value for name, value in read_benchmark(path).items() if value == value}
        name = path.relative_to(folder).with_suffix("").as_posix()
        jobs[name] = _requested(path) | {"used": used}
    return jobs


def _requested(benchmark: Path) -> dict[str, Any]:
    """Rule and requests of a job whose benchmark file is an extended one; else nothing."""
    table = read_results(benchmark, "\t")
    if "resources" not in table:
        return {}
    with guarded(benchmark, _WHAT, _REMEDY):
        job = table.iloc[-1]
        asked = ast.literal_eval(job["resources"])
        asked = {name: asked[name] for name in _REQUESTS if name in asked}
        return {"rule": job["rule_name"], "requested": asked | {"threads": int(job["threads"])}}


def read_benchmark(path: str | Path) -> dict[str, float]:
    """Wall time ``seconds`` and peak memory ``memory_mb`` of a job, from Snakemake's file on it."""
    table = read_results(path, "\t", missing="-")
    with guarded(path, _WHAT, _REMEDY):
        return {"seconds": table["s"].mean(), "memory_mb": table["max_rss"].max()}
