"""What the parse of the Snakefile costs, which every job of a run pays anew.

Processor time of `snakemake --list-rules` in the project beside that of `snakemake --version`, each
the smallest of five: the settings, the inputs and the rules are read, no job is planned.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROUNDS = 5
CALLS = {
    "snakemake --version": ["--version"],
    "parse of default": ["--list-rules"],
    "parse of tiny": ["--list-rules", "--configfile", "tests/config/tiny.yaml"],
    "parse of benchmark": ["--list-rules", "--configfile", "config/benchmark.yaml"],
}


def processor_seconds(*arguments: str) -> float:
    """Processor time of Snakemake with these arguments [s]."""
    before = os.times()
    subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    after = os.times()
    return (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )


def main() -> None:
    """Print the smallest time of every call, and what it takes beyond the first one's."""
    # In rounds, so that other work on the machine slows all of them alike.
    rounds = [
        {name: processor_seconds(*words) for name, words in CALLS.items()} for _ in range(ROUNDS)
    ]
    least = {name: min(times[name] for times in rounds) for name in CALLS}
    first = next(iter(least.values()))
    for name, seconds in least.items():
        print(f"{name:<22}{seconds:.2f} s, {seconds - first:.2f} s more")


if __name__ == "__main__":
    main()
