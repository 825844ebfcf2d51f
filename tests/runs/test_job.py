"""What a job says when it is stopped, or finds no space."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path, new_hdf5
from arielflow.runs.job import job

FULL = Path("/dev/full")


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    """A job owns its process; here it gives back what it took."""
    before = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}
    handlers = logging.root.handlers[:]
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)
    logging.captureWarnings(False)
    logging.raiseExceptions = True
    logging.root.handlers[:] = handlers


def _fails(
    work: Callable[[], object], log: Path, capsys: pytest.CaptureFixture, code: int = 1
) -> str:
    """The one line that a failing job prints."""
    with pytest.raises(SystemExit) as stop, job(log):
        work()
    assert stop.value.code == code
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_stop_is_one_line_and_leaves_no_half_file(stop, tmp_path: Path, capsys, request) -> None:
    """No loop that goes on after faults catches it, and a repeated signal breaks off nothing."""

    def work() -> None:
        try:
            with atomic_path(tmp_path / "out.txt") as temporary:
                temporary.write_text("half")
                try:
                    os.kill(os.getpid(), stop)
                finally:
                    os.kill(os.getpid(), stop)
        except (ArielflowError, Exception):
            (tmp_path / "out.txt").write_text("went on")

    line = _fails(work, tmp_path / "logs/job.log", capsys, 128 + stop)
    assert f"stopped by {request.node.callspec.id}" in line and "resumes" in line
    assert line.removeprefix("arielflow: ") in (tmp_path / "logs/job.log").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def _fill_hdf5(path: Path) -> None:
    with new_hdf5(path) as file:
        for number in range(200):
            file.create_group(f"planet{number}")["theta"] = np.zeros(40)


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize(
    "work",
    [
        lambda: FULL.write_text("x" * 100_000),
        lambda: torch.save(torch.zeros(100_000), FULL),
        lambda: shutil.copyfile(__file__, FULL),
        lambda: np.zeros(100_000).tofile(FULL),
        lambda: _fill_hdf5(FULL),
    ],
    ids=["plain file", "checkpoint", "copy", "array", "HDF5"],
)
def test_full_device_is_one_line(work, tmp_path: Path, capsys) -> None:
    line = _fails(work, tmp_path / "job.log", capsys)
    assert "no space left on the device of" in line and "run it again" in line
    assert __file__ not in line


def test_memory_that_ran_out_is_one_line(tmp_path: Path, capsys) -> None:
    line = _fails(lambda: np.empty(1 << 55, dtype=np.float64), tmp_path / "job.log", capsys)
    assert "out of memory" in line and "give the job more" in line


def test_full_device_of_the_log_does_not_hide_the_line(capsys) -> None:
    def work() -> None:
        raise ArielflowError("the fault itself")

    if not FULL.exists():
        pytest.skip("no /dev/full on this system")
    assert _fails(work, FULL, capsys) == "arielflow: the fault itself"
