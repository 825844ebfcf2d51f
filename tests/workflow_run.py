"""Running the workflow in a copy of the project, for the tests that do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = (
    "Snakefile",
    "config.yaml",
    "environment.yml",
    "config",
    "workflow",
    "src",
    "data",
    "tests/config",
)
ENVIRONMENT = os.environ | {"PYTHONHASHSEED": "0"}
TINY = ("--configfile", "tests/config/tiny.yaml")
LOCAL = ("--workflow-profile", "workflow/profiles/default", "--cores", "2")


def project(folder: Path) -> Path:
    """Copy what a run needs of the project to a folder."""
    for part in PARTS:
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(source, target, ignore=ignore) if source.is_dir() else shutil.copy(
            source, target
        )
    return folder


def command(*arguments: str) -> list[str]:
    """Command line of Snakemake in this Python."""
    return [sys.executable, "-m", "snakemake", *arguments]


def snakemake(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Run Snakemake to its end in a folder, with more in its environment if given.

    The package that it uses is the folder's own, so that an edit of that one counts.
    """
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=ENVIRONMENT | {"PYTHONPATH": str(folder / "src")} | (environment or {}),
        capture_output=True,
        text=True,
        timeout=3600,  # a cluster of busy processors: seen to take 1600 s
    )


def run_tiny(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Run the tiny configuration on this machine."""
    return snakemake(folder, *LOCAL, *TINY, *arguments, environment=environment)
