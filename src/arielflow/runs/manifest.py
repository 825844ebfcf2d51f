"""What made a run: code, versions, machine, inputs and outputs with their checksums."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from arielflow.core.files import sha256

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
    "pyarrow",
]


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
    root = Path(__file__).resolve().parents[3]
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
    """Everything needed to know what made a run's results, and to check them.

    Parameters
    ----------
    config
        The run's full configuration.
    inputs, outputs
        Files by name; each is recorded with its path and SHA-256.
    failed_members
        Why members of ensembles have no model, by ``model/member``.
    jobs
        What the jobs asked for and used (:func:`arielflow.runs.resources.measured_jobs`).
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
