"""Snakemake's benchmark files: what the jobs of a run asked for and used."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from arielflow.core.readers import guarded
from arielflow.core.tables import read_results

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
