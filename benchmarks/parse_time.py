"""What the parse of the Snakefile costs, which every job of a run pays anew.

Processor time of `snakemake --list-rules` in the project beside that of `snakemake --version`, each
the smallest of some calls: the settings, the inputs and the rules are read, no job is planned.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
REPEATS = 5


def processor_seconds(*arguments: str) -> float:
    """Processor time of Snakemake with these arguments, the smallest of some calls [s]."""
    spans = []
    for _ in range(REPEATS):
        before = os.times()
        subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        after = os.times()
        spans.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
    return min(spans)


def main() -> None:
    """Print both times and their difference."""
    version = processor_seconds("--version")
    print(f"snakemake --version     {version:.2f} s")
    for name, files in (
        ("default", []),
        ("tiny", ["--configfile", "tests/config/tiny.yaml"]),
        ("benchmark", ["--configfile", "config/benchmark.yaml"]),
    ):
        parse = processor_seconds("--list-rules", *files)
        print(f"parse of {name:<15}{parse:.2f} s, {parse - version:.2f} s more")


if __name__ == "__main__":
    main()
