"""Which jobs recovery ends, with a stand-in for Slurm; tests/test_cluster.py has the real one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from arielflow.core.errors import ArielflowError
from arielflow.runs.recover import end_leftovers, slurm_jobs, snakemake_processes

PROFILE = Path(__file__).parents[2] / "workflow/profiles/slurm"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Working directory of a run."""
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.fixture
def queue(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """File of the queue that squeue prints and scancel takes lines from."""
    lines = [
        f"7|arielflow_0f-1|{run}",
        f"8|arielflow-train_model|{run}",
        f"9|arielflow_0f-1|{tmp_path / 'other'}",
        f"10|mine|{run}",
    ]
    file = tmp_path / "queue"
    file.write_text("\n".join(lines) + "\n")
    commands = tmp_path / "bin"
    commands.mkdir()
    _script(commands / "squeue", f"cat {file}")
    _script(commands / "scancel", f'for n; do sed -i "/^$n|/d" {file}; done')
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    return file


def _script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@contextmanager
def _snakemake(folder: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    """A process that looks like Snakemake's."""
    program = folder / "snakemake"
    program.write_text("import time\nprint('up', flush=True)\ntime.sleep(100)\n")
    command = [sys.executable, str(program), *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()


def test_own_jobs_of_this_directory_alone_are_cancelled(run: Path, queue: Path) -> None:
    assert slurm_jobs(run) == ["7", "8"]
    assert end_leftovers(run, []) == (["7", "8"], [])
    assert [line.split("|")[0] for line in queue.read_text().split()] == ["9", "10"]


def test_job_that_does_not_end_is_not_run_twice(run: Path, queue: Path) -> None:
    _script(queue.parent / "bin/scancel", "true")
    with pytest.raises(ArielflowError, match=r"7, 8\) did not end .* nothing was unlocked"):
        end_leftovers(run, [], patience=0.1)


def test_silent_controller_stops_the_recovery(run: Path, queue: Path) -> None:
    _script(queue.parent / "bin/squeue", "echo unable to contact slurm controller >&2; exit 1")
    with pytest.raises(ArielflowError, match=r"unable to contact .* nothing was unlocked"):
        end_leftovers(run, [])


def test_unknown_scheduler_is_left_to_the_user(run: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ArielflowError, match="executor slurm: no squeue here"):
        end_leftovers(run, ["--profile", str(PROFILE)])
    with pytest.raises(ArielflowError, match="executor cluster-generic"):
        end_leftovers(run, ["--executor=cluster-generic"])
    assert end_leftovers(run, ["--cores", "2"]) == ([], [])


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="no /proc on this system")
def test_running_head_is_respected_and_its_orphans_are_ended(run: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with (
        _snakemake(run, "--cores", "2") as head,
        pytest.raises(ArielflowError, match=f"still runs here .pid {head.pid}"),
    ):
        end_leftovers(run, [])
    with _snakemake(run, "--mode", "subprocess") as job:
        assert [process.pid for process in snakemake_processes(run)] == [job.pid]
        assert snakemake_processes(run.parent) == []
        assert end_leftovers(run, [], patience=60) == ([], [job.pid])
