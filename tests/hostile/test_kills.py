"""Runs that are killed, stopped and filled up all the way, and end in the undisturbed run's bytes.

Takes a quarter of an hour or more: ``make test-kills``.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from workflow_run import ENVIRONMENT, LOCAL, TINY, command, project, snakemake

from arielflow.core.schema import open_dataset

pytestmark = pytest.mark.kills

KILLS, STOPS = 40, 10
_RULE = re.compile(r"^(?:local)?rule (\w+):")
_RUN = Path("results/tiny")
# Times and costs differ from run to run, as do the reports that show them.
_MEASURED = ("seconds",)
_COMPARED = ("*.hdf5", "*.csv", "*.safetensors", "*.skops", "*.nc")
_TIMES = {"trials.csv"}


def _start(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        command(*LOCAL, *TINY, "--retries", "0"),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _end(run: subprocess.Popen, with_signal: signal.Signals) -> None:
    """Send a signal to the head and to all its jobs, and wait until none is left."""
    os.killpg(run.pid, with_signal)
    run.stderr.read()
    run.wait()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.killpg(run.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError(f"processes are left a minute after {with_signal.name}")


def assert_same_results(found: Path, expected: Path) -> None:
    """Every file that is not about the machine or the time has the same content."""
    names = {
        path.relative_to(expected)
        for pattern in _COMPARED
        for path in expected.rglob(pattern)
        if not {"benchmarks", "logs", "state"} & set(path.relative_to(expected).parts)
    }
    assert len(names) > 50
    other = [str(name) for name in sorted(names) if not _same(expected / name, found / name)]
    assert not other, other


def _same(first: Path, second: Path) -> bool:
    if not second.is_file():
        return False
    if first.suffix == ".nc":
        datasets = [open_dataset(path) for path in (first, second)]
        return (
            datasets[0]
            .drop_vars(_MEASURED, errors="ignore")
            .identical(datasets[1].drop_vars(_MEASURED, errors="ignore"))
        )
    return first.name in _TIMES or first.read_bytes() == second.read_bytes()


def test_killed_and_stopped_runs_end_in_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    folder, rng = project(tmp_path), np.random.default_rng(1)
    done: Counter[str] = Counter()
    ended: Counter[signal.Signals] = Counter()
    while ended.total() < KILLS + STOPS:
        subprocess.run(command(*TINY, "--unlock"), cwd=folder, env=ENVIRONMENT, capture_output=True)
        run = _start(folder)
        for line in run.stderr:
            rule = _RULE.match(line)
            # Early rules once or twice, so that the chain gets to the last one in time.
            if rule and rule[1] != "all" and done[rule[1]] < 2 and rng.random() < 0.8:
                time.sleep(float(rng.uniform(0, 6)))
                break
        else:
            run.wait()
            assert run.returncode == 0, "a run that nobody disturbed has failed"
            # Further kills fall into a run that is made again from its middle.
            for late in ("scores", "posteriors", "report", "submission", "models"):
                shutil.rmtree(folder / _RUN / late, ignore_errors=True)
            done.clear()
            continue
        done[rule[1]] += 1
        stop = ended[signal.SIGTERM] < STOPS and ended.total() % 5 == 4
        kind = signal.SIGTERM if stop else signal.SIGKILL
        if run.poll() is None:
            _end(run, kind)
            ended[kind] += 1
    subprocess.run(command(*TINY, "--unlock"), cwd=folder, env=ENVIRONMENT, capture_output=True)
    last = snakemake(folder, *LOCAL, *TINY)
    assert last.returncode == 0, last.stderr[-3000:]
    assert ended[signal.SIGKILL] >= KILLS and ended[signal.SIGTERM] >= STOPS
    assert_same_results(folder / _RUN, tiny / _RUN)
    left = [path for path in (folder / _RUN).rglob("*.partial")]
    assert not left, left


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine allows no small file system to be mounted")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_full_disks_end_in_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    folder = project(tmp_path)
    size_mb, stages = 1, 0
    with _small_disk(folder / "results"):
        while True:
            done = snakemake(folder, *LOCAL, *TINY, "--retries", "0")
            if done.returncode == 0:
                break
            said = done.stdout + done.stderr
            assert "Traceback" not in said, said[-3000:]
            assert "no space left" in said.lower(), said[-3000:]
            stages, size_mb = stages + 1, size_mb * 1.6
            grow = ["mount", "-o", f"remount,size={int(size_mb * 1024)}k", str(folder / "results")]
            subprocess.run(grow, check=True)
            assert size_mb < 2000
        assert stages >= 5
        assert_same_results(folder / _RUN, tiny / _RUN)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def test_every_kind_of_output_cut_after_the_run_is_noticed(tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "run", symlinks=True)
    run = folder / _RUN
    chosen: dict[tuple[str, ...], Path] = {}
    for path in sorted(run.rglob("*")):
        parts = path.relative_to(run).parts
        kept = not {"benchmarks", "logs", "state"} & set(parts) and not parts[-1].startswith(".")
        if path.is_file() and kept and path.stat().st_size > 1:
            # One of each folder and format stands for its kind.
            chosen.setdefault((*parts[:-1], path.suffix), path)
    silent = []
    for path in chosen.values():
        content, times = path.read_bytes(), path.stat()
        _cut(path)
        done = snakemake(folder, *LOCAL, *TINY, "--retries", "0")
        said = done.stdout + done.stderr
        checked = subprocess.run(
            [command()[0], "workflow/scripts/show_summary.py", "tests/config/tiny.yaml"],
            cwd=folder,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
        )
        said += checked.stdout + checked.stderr
        told = path.name in said and (done.returncode or checked.returncode)
        if "Traceback" in said or not (told or path.read_bytes() == content):
            silent.append(f"{path.relative_to(run)}: {said[-300:]}")
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not silent, f"{len(silent)} of {len(chosen)}:\n" + "\n".join(silent)
