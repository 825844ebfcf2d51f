"""A real Slurm of one node on this machine, for the tests: its daemons are children of theirs.

The node offers more processors and memory than the machine may have, and one stand-in for a GPU.
There is no accounting database and there are no cgroups, as on the least of clusters. Only links
in /etc/slurm are outside the folder, since Slurm's step daemon looks for its configuration there.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
TOOLS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "munged")
SYSTEM = Path("/etc/slurm")

_SLURM_CONF = """\
ClusterName=onenode
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=1000
GresTypes=gpu
ReturnToService=2
KillWait=20
# squeue is the only memory of jobs that ended.
MinJobAge=3600
# Without cgroups a job's memory is looked up every other second.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
NodeName=onenode NodeHostname={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 Gres=gpu:1
PartitionName=cpu Nodes=onenode Default=YES MaxTime=INFINITE
PartitionName=gpu Nodes=onenode MaxTime=INFINITE
"""
_GRES_CONF = "NodeName=onenode Name=gpu File=/dev/null\n"


class CannotStartError(Exception):
    """Why there can be no Slurm on this machine."""


class SlurmNode:
    """A Slurm controller and its only node.

    Parameters
    ----------
    folder
        Private folder for configuration, state and logs; must not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._daemons: dict[str, subprocess.Popen] = {}

    def start(self) -> None:
        """Install what is missing, start the daemons and wait for the node.

        Raises
        ------
        CannotStartError
            The machine does not allow it, or the node did not become idle.
        """
        if os.geteuid() != 0:
            raise CannotStartError("not root, which Slurm's daemons need to be")
        _install()
        self.folder.mkdir(mode=0o755)
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        self._configure()
        self._run("munged", "--foreground", *self._munge_options())
        self._wait_until(lambda: (self.folder / "munge.socket").exists(), "munged answers")
        self._run("slurmctld", "-D")
        self.start_slurmd()
        self._wait_until(lambda: _output("sinfo", "-h", "-o", "%T") == "idle", "the node is idle")

    def start_slurmd(self) -> None:
        """Start the node's daemon, at first or again."""
        self._run("slurmd", "-D", "-N", "onenode")

    def stop_slurmd(self) -> None:
        """Stop the node's daemon; its jobs run on."""
        self._end("slurmd")

    def stop(self) -> None:
        """Cancel every job, stop the daemons and remove every trace."""
        if "slurmd" in self._daemons:
            for job in _output("squeue", "-h", "-o", "%A").split():
                _output("scancel", job)
            self._wait_until(lambda: not _output("squeue", "-h"), "no job is left")
        for name in reversed(list(self._daemons)):
            self._end(name)
        for name in ("slurm.conf", "gres.conf"):
            if (SYSTEM / name).is_symlink() and _owner(SYSTEM / name) == self.folder:
                (SYSTEM / name).unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _configure(self) -> None:
        ports = dict(zip(("controller_port", "node_port"), _free_ports(2), strict=True))
        host = socket.gethostname().split(".")[0]
        text = _SLURM_CONF.format(folder=self.folder, host=host, **ports)
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "gres.conf").write_text(_GRES_CONF)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        SYSTEM.mkdir(exist_ok=True)
        for name in ("slurm.conf", "gres.conf"):
            link = SYSTEM / name
            # A link whose target is gone is what a killed test run left.
            if link.exists() or (link.is_symlink() and "arielflow" not in str(link.readlink())):
                raise CannotStartError(f"{link} belongs to another Slurm, which is left alone")
            link.unlink(missing_ok=True)
            link.symlink_to(self.folder / name)

    def _munge_options(self) -> list[str]:
        names = {"socket": "socket", "key-file": "key", "pid-file": "pid", "seed-file": "seed"}
        names["log-file"] = "log"
        return [f"--{option}={self.folder}/munge.{end}" for option, end in names.items()]

    def _run(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("a") as log:
            self._daemons[name] = subprocess.Popen(
                [_path(name), *arguments], stdout=log, stderr=log, start_new_session=True
            )

    def _end(self, name: str) -> None:
        process = self._daemons.pop(name)
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait_until(self, holds: Callable[[], bool], words: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not holds():
            for name, process in self._daemons.items():
                if process.poll() is not None or time.monotonic() > end:
                    log = (self.folder / f"{name}.log").read_text()[-800:]
                    raise CannotStartError(f"waited in vain until {words}; {name} said: {log}")
            time.sleep(0.2)


def _path(tool: str) -> str | None:
    """Where a tool is; daemons are outside an ordinary user's search path."""
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _install() -> None:
    """Install Debian's Slurm where it is missing.

    Raises
    ------
    CannotStartError
        It cannot be installed.
    """
    if all(_path(tool) for tool in TOOLS):
        return
    if not _path("apt-get"):
        raise CannotStartError("Slurm is not installed and there is no apt-get to install it with")
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES],
    ):
        try:
            done = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            raise CannotStartError(f"{' '.join(command)}: no end after five minutes") from None
        if done.returncode:
            raise CannotStartError(f"{' '.join(command)} failed: {done.stderr.strip()[-300:]}")


def _output(*command: str) -> str:
    """What a Slurm command prints; nothing where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _owner(link: Path) -> Path:
    return link.readlink().parent


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
