"""How torch's threads wait for each other."""

from __future__ import annotations

import os
import subprocess
import sys


def test_waiting_threads_do_not_spin_for_long() -> None:
    shown = {"OMP_DISPLAY_ENV": "verbose", "OMP_NUM_THREADS": "2"}
    others = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    code = "import arielflow, torch; torch.ones(1)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=others | shown, capture_output=True, text=True, check=True)
    if "GOMP_SPINCOUNT" in done.stderr:  # torch comes with GNU's OpenMP, not with another
        assert "GOMP_SPINCOUNT = '2000'" in done.stderr
