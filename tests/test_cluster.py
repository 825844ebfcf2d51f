"""Runs on a real Slurm of one node: the same results as on this machine, whatever goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import stop_drivers
import xarray as xr
from slurm_node import CannotStartError, SlurmNode
from stop_drivers import nested_call, prepare
from workflow_run import ENVIRONMENT, LOCAL, ROOT, TINY, command, project, snakemake

from arielflow.core.netcdf import read_netcdf
from arielflow.runs.recover import slurm_jobs, snakemake_processes

pytestmark = pytest.mark.cluster

CONFIG = ("--configfile", "tests/config/faults.yaml")
SUBMISSION = "results/faults/submission/flow.hdf5"
CHECKPOINT = "results/faults/state/flow/0/fm/last.ckpt"
TRAINING_LOG = "results/faults/logs/train_flow_0.log"
# What follows the training is one submission, to keep the tests short.
ARGUMENTS = (SUBMISSION, "--groups", "sample_posterior=delivered", "submit=delivered", *CONFIG)
PROFILES = ("slurm", "cluster-generic")
PATIENCE = 1200
_GPU_RULES = """
rule all:
    input: "with.txt", "without.txt"

rule job:
    output: "{kind}.txt"
    resources: gpu=lambda wildcards: int(wildcards.kind == "with")
    shell: "echo $SLURM_JOB_PARTITION ${{CUDA_VISIBLE_DEVICES-}} > {output}"
"""


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmNode]:
    """A running Slurm; the tests are skipped, with the reason, where there can be none."""
    with tempfile.TemporaryDirectory(prefix="arielflow-slurm-") as folder:
        Path(folder).chmod(0o755)
        node = SlurmNode(Path(folder) / "node")
        try:
            node.start()
        except CannotStartError as reason:
            node.stop()
            pytest.skip(f"no Slurm on this machine: {reason}")
        yield node
        node.stop()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished run on this machine."""
    folder = project(tmp_path_factory.mktemp("reference"))
    done = snakemake(folder, SUBMISSION, *LOCAL, *CONFIG)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture
def untrained(reference: Path, tmp_path: Path) -> Path:
    """The reference's folder as it was before the training."""
    folder = shutil.copytree(reference, tmp_path / "run")
    for name in ("models", "histories", "state", "posteriors", "submission"):
        shutil.rmtree(folder / "results/faults" / name)
    return folder


def profile(name: str) -> tuple[str, ...]:
    return ("--profile", f"workflow/profiles/{name}", "--latency-wait", "10")


def wait_until(holds: Callable[[], object], head: subprocess.Popen) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert head.poll() is None, head.stdout.read()[-3000:]
        assert time.monotonic() < end
        time.sleep(0.1)


@contextmanager
def running(folder: Path, name: str, *arguments: str) -> Iterator[subprocess.Popen]:
    """A head process, once the training that it submitted has a checkpoint."""
    head = subprocess.Popen(
        command(*ARGUMENTS, *profile(name), *arguments),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until((folder / CHECKPOINT).is_file, head)
        yield head
    finally:
        head.kill()
        head.wait()


def assert_finished(head: subprocess.Popen, folder: Path, reference: Path) -> None:
    said, _ = head.communicate(timeout=PATIENCE)
    assert head.returncode == 0, said[-3000:]
    assert_same(folder, reference)


def assert_same(folder: Path, reference: Path) -> None:
    assert (folder / SUBMISSION).read_bytes() == (reference / SUBMISSION).read_bytes()


def recover(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "arielflow.cli", "recover", *ARGUMENTS, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", PROFILES)
def test_tiny_run_has_the_local_run_s_bytes(
    name: str, slurm: SlurmNode, tiny: Path, tmp_path: Path
) -> None:
    folder = project(tmp_path)
    done = snakemake(folder, *profile(name), *TINY)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    submission = "results/tiny/submission/flow.hdf5"
    assert (folder / submission).read_bytes() == (tiny / submission).read_bytes()
    jobs = json.loads((folder / "results/tiny/manifest.json").read_text())["jobs"]
    assert all(job["requested"]["attempt"] >= 1 for job in jobs.values())


@pytest.mark.slow
def test_cancelled_training_is_tried_again(
    slurm: SlurmNode, untrained: Path, reference: Path
) -> None:
    with running(untrained, "slurm") as head:
        (job,) = slurm_jobs(untrained)
        subprocess.run(["scancel", job], check=True)
        assert_finished(head, untrained, reference)
    assert "resuming from" in (untrained / TRAINING_LOG).read_text()


def test_killed_head_is_recovered(slurm: SlurmNode, untrained: Path, reference: Path) -> None:
    with running(untrained, "cluster-generic") as head:
        head.send_signal(signal.SIGKILL)
        head.wait()
        orphans = slurm_jobs(untrained)
        assert len(orphans) == 1
    again = snakemake(untrained, *ARGUMENTS, *profile("cluster-generic"))
    assert again.returncode != 0 and "lock" in again.stdout + again.stderr
    done = recover(untrained, *profile("cluster-generic"))
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "cancelled 1 jobs" in done.stdout
    assert_same(untrained, reference)
    assert "resuming from" in (untrained / TRAINING_LOG).read_text()


@pytest.mark.slow
def test_job_over_its_memory_gets_more(slurm: SlurmNode, untrained: Path, reference: Path) -> None:
    little = ("--set-resources", "train_model:mem_mb=attempt * attempt * attempt * 250")
    head = subprocess.Popen(
        command(*ARGUMENTS, *profile("cluster-generic"), *little),
        cwd=untrained,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said, _ = head.communicate(timeout=PATIENCE)
    assert head.returncode == 0, said[-3000:]
    assert "Trying to restart job" in said
    assert_same(untrained, reference)


@pytest.mark.slow
def test_restart_of_the_node_s_daemon_loses_nothing(
    slurm: SlurmNode, untrained: Path, reference: Path
) -> None:
    with running(untrained, "slurm") as head:
        slurm.stop_slurmd()
        time.sleep(3)
        slurm.start_slurmd()
        assert_finished(head, untrained, reference)


@pytest.mark.slow
def test_job_over_its_time_limit_is_tried_again(
    slurm: SlurmNode, untrained: Path, reference: Path
) -> None:
    with running(untrained, "slurm") as head:
        # A job that hangs and a limit set when it does, so that the test does not depend on how
        # fast the machine is; Slurm wakes the job up before it sends SIGTERM.
        for process in snakemake_processes(untrained):
            if "train_model" in Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")[1]:
                os.kill(process.pid, signal.SIGSTOP)
        (job,) = slurm_jobs(untrained)
        subprocess.run(["scontrol", "update", f"jobid={job}", "TimeLimit=1"], check=True)
        assert_finished(head, untrained, reference)
    assert "resuming from" in (untrained / TRAINING_LOG).read_text()


def test_retrieval_over_its_time_limit_writes_nothing_and_resumes(
    slurm: SlurmNode, simulated, physics, tmp_path: Path, caplog
) -> None:
    """Two planets in one job, over the limit at the first: neither may end with prior draws."""
    folder = tmp_path / "work"
    folder.mkdir()
    prepare(folder, simulated, physics)
    whole = shutil.copytree(folder, tmp_path / "whole")
    nested_call(whole)
    call = f"exec {sys.executable} {Path(stop_drivers.__file__)} nested {folder}"
    options = ["--parsable", f"--chdir={folder}", "--output=said.txt", f"--wrap={call}"]
    done = subprocess.run(["sbatch", *options], capture_output=True, text=True, check=True)
    job, end = done.stdout.strip(), time.monotonic() + PATIENCE
    while not list(folder.glob("waits-*")):
        assert time.monotonic() < end, (folder / "said.txt").read_text()
        time.sleep(0.2)
    # Set once it waits, so that the test does not depend on how fast the machine is.
    subprocess.run(["scontrol", "update", f"jobid={job}", "TimeLimit=1"], check=True)
    while "TIMEOUT" not in (state := job_state(job)):
        assert time.monotonic() < end, state
        time.sleep(0.5)
    assert "arielflow: stopped by SIGTERM" in (folder / "said.txt").read_text()
    assert not (folder / "out.nc").exists() and list(folder.glob(".out.nc.state/*/*.h5"))
    caplog.set_level("INFO")
    nested_call(folder)
    assert "resumed after" in caplog.text
    found, expected = (read_netcdf(path / "out.nc") for path in (folder, whole))
    xr.testing.assert_identical(*(d.drop_vars("seconds") for d in (found, expected)))


def job_state(number: str) -> str:
    command = ["squeue", "--noheader", "--states=all", f"--jobs={number}", "--format=%T"]
    return subprocess.run(command, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_poisoned_chunk_leaves_the_others_alone(
    slurm: SlurmNode, reference: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(reference, tmp_path / "run")
    chunks = folder / "results/faults/posteriors/chunks/flow_variational"
    target = "results/faults/posteriors/test/flow_variational.nc"
    arguments = (target, *CONFIG, *profile("slurm"))
    poison = "sample_variational:mem_mb=50 if wildcards.chunk == '1' else 3000"
    assert snakemake(folder, *arguments, "--retries=0", "--set-resources", poison).returncode != 0
    assert [path.name for path in chunks.iterdir()] == ["0.nc"]
    kept = (chunks / "0.nc").stat().st_mtime_ns
    done = snakemake(folder, *arguments)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert (chunks / "0.nc").stat().st_mtime_ns == kept and (folder / target).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", PROFILES)
def test_job_that_asks_for_a_gpu_gets_it(name: str, slurm: SlurmNode, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "workflow/profiles", tmp_path / "workflow/profiles")
    (tmp_path / "Snakefile").write_text(_GPU_RULES)
    done = snakemake(tmp_path, *profile(name))
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert (tmp_path / "with.txt").read_text().split() == ["gpu", "0"]
    assert (tmp_path / "without.txt").read_text().split() == ["cpu"]


def test_second_workflow_in_one_directory_is_refused(slurm: SlurmNode, untrained: Path) -> None:
    with running(untrained, "cluster-generic") as head:
        second = snakemake(untrained, *ARGUMENTS, *profile("slurm"))
        assert second.returncode != 0 and "lock" in second.stdout + second.stderr
        refused = recover(untrained, *profile("slurm"))
        assert refused.returncode != 0 and f"pid {head.pid}" in refused.stderr
        assert len(slurm_jobs(untrained)) == 1
        head.send_signal(signal.SIGINT)
        head.communicate(timeout=PATIENCE)
        # An interrupt may leave a job: the test's, which its Slurm ends.


@pytest.mark.slow
def test_full_scratch_directory_is_one_clear_line(
    slurm: SlurmNode, untrained: Path, reference: Path
) -> None:
    scratch = untrained / "results/faults/state"
    scratch.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(scratch)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine allows no small file system to be mounted")
    try:
        full = snakemake(untrained, *ARGUMENTS, *profile("slurm"), "--retries", "0")
    finally:
        subprocess.run(["umount", str(scratch)], check=True)
    assert full.returncode != 0
    (line,) = [x for x in (untrained / TRAINING_LOG).read_text().splitlines() if "ERROR" in x]
    assert "no space left on the device of" in line and "run it again" in line
    assert "results/faults/state/" in line
    done = snakemake(untrained, *ARGUMENTS, *profile("slurm"))
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert_same(untrained, reference)
