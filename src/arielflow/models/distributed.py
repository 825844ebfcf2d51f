"""One training over several processes, on one node or several: the launcher and its processes.

On one node torchrun starts the processes, on several Slurm's ``srun`` does, inside the job's own
allocation. Lightning finds either and synchronises the gradients (DistributedDataParallel, Li et
al. 2020), over NCCL on GPUs and over Gloo on CPUs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from arielflow.core.errors import ArielflowError

_COUNT, _NODES = "ARIELFLOW_PROCESSES", "ARIELFLOW_NODES"
# Where torchrun and srun leave the number of this process.
_RANKS = ("RANK", "SLURM_PROCID")
# Schedulers kill half a minute after they told a job to end.
_PATIENCE_SECONDS = 20.0


class Processes(NamedTuple):
    """The processes of a training and the place of this one among them.

    Attributes
    ----------
    count, nodes : int
        Processes in all, and the nodes that share them evenly.
    rank : int
        Number of this process, from 0.
    """

    count: int = 1
    nodes: int = 1
    rank: int = 0

    @classmethod
    def found(cls) -> Processes:
        """What the launcher wrote into the environment; one process where there was none."""
        count = int(os.environ.get(_COUNT, 1))
        if count == 1:
            return ALONE
        rank = next(int(os.environ[name]) for name in _RANKS if name in os.environ)
        return cls(count, int(os.environ[_NODES]), rank)


ALONE = Processes()


def launch(module: str, argument: str | Path, *, processes: int, nodes: int = 1) -> None:
    """Run ``python -m module argument`` in several processes and wait for them.

    Parameters
    ----------
    module, argument
        What to run, and the file that tells it the rest; every node must see it.
    processes
        Number of processes in all.
    nodes
        Number of nodes that share them evenly; more than one needs a job of Slurm with as many.

    Raises
    ------
    ArielflowError
        A process failed, or there is no ``srun`` for several nodes.

    Notes
    -----
    Whatever ends the wait, a stop above all, ends the processes too.
    """
    if nodes > 1 and shutil.which("srun") is None:
        raise ArielflowError(
            f"a training on {nodes} nodes needs Slurm's srun, which is not here; set nodes: 1"
        )
    environment = os.environ | {_COUNT: str(processes), _NODES: str(nodes)}
    command = [*_launcher(processes, nodes), "-m", module, str(argument)]
    launcher = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        _, errors = launcher.communicate()
    except BaseException:
        _end(launcher)
        raise
    if launcher.returncode:
        said = [line for line in errors.splitlines() if line.startswith("arielflow: ")]
        reason = said[0].removeprefix("arielflow: ") if said else "their logs tell what happened"
        raise ArielflowError(f"one of {processes} processes failed: {reason}")


def _end(launcher: subprocess.Popen) -> None:
    """End the launcher, which ends its processes; killed at once it would leave them behind."""
    launcher.terminate()
    try:
        launcher.communicate(timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        launcher.kill()
        launcher.communicate()


def _launcher(processes: int, nodes: int) -> list[str]:
    if nodes == 1:
        python = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        return [*python, f"--nproc-per-node={processes}"]
    return [
        *("srun", "--overlap", f"--nodes={nodes}", f"--ntasks={processes}"),
        *(f"--ntasks-per-node={processes // nodes}", sys.executable),
    ]
