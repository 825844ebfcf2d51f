"""The command line in a process of its own."""

from __future__ import annotations

import subprocess
import sys


def run(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "arielflow.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
    )
