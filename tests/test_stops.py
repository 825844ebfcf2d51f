"""Real signals sent to real processes: a stopped call writes nothing, and goes on where it was."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr
from stop_drivers import CALLS, EDITION, FLOW, planets_of, prepare

from arielflow.core.files import write_dataset
from arielflow.core.schema import open_dataset
from arielflow.editions.official_files import write_official
from arielflow.models import make_estimator
from arielflow.physics.forward import PhysicsSettings

DRIVERS = Path(__file__).with_name("stop_drivers.py")
PATIENCE = 600
CHECKPOINTS = {
    "nested": ".out.nc.state/*/*.h5",
    "nested in processes": ".out.nc.state/*/*.h5",
    "importance": "state/*/*.h5",
    "truth": "state/test-test1-*.npz",
    "tune": "state/study.db",
    "command": ".out.nc.state/*/*.h5",
}


@pytest.fixture(scope="module")
def prepared(
    simulated: xr.Dataset, physics: PhysicsSettings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of what the calls need."""
    folder = prepare(tmp_path_factory.mktemp("prepared"), simulated, physics)
    write_official(folder / "data", EDITION, "test", planets_of(folder))
    write_dataset(simulated.isel(planet=slice(0, 100)), folder / "training.nc")
    member = make_estimator("flow", FLOW | {"training": {"epochs": 1}})
    member.fit(simulated.isel(planet=slice(0, 60)), simulated.isel(planet=slice(60, 80)), seed=1)
    member.save(folder / "member")
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    return shutil.copytree(prepared, tmp_path / "work")


def until(holds: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def started(call: str, folder: Path, waiting: int = 1) -> tuple[subprocess.Popen, list[int]]:
    """A process that makes a call, and the pids of those that wait in it, itself or its own."""
    process = subprocess.Popen(
        [sys.executable, str(DRIVERS), call, str(folder)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until(lambda: len(list(folder.glob("waits-*"))) == waiting, process)
    return process, [int(path.name.split("-")[1]) for path in folder.glob("waits-*")]


def gone(pid: int) -> bool:
    """The process has ended; one that nobody has asked for yet has, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def assert_stopped(process: subprocess.Popen, stop: signal.Signals, folder: Path) -> None:
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + stop, said
    assert "Traceback" not in said and "Error" not in said, said
    # A command's progress stands above it.
    line = said.splitlines()[-1]
    name = "SIGTERM" if stop == signal.SIGTERM else "Ctrl-C"
    assert line.startswith(f"arielflow: stopped by {name}") and "resumes" in line
    assert not (folder / "out.nc").exists()
    assert not list(folder.rglob("*.partial"))


def assert_same(folder: Path, whole: Path) -> None:
    if (folder / "out.nc").read_bytes() == (whole / "out.nc").read_bytes():
        return
    found, expected = (open_dataset(path / "out.nc") for path in (folder, whole))
    xr.testing.assert_identical(*(d.drop_vars("seconds") for d in (found, expected)))


@pytest.mark.parametrize(
    "call",
    [
        "nested",
        "tune",
        pytest.param("importance", marks=pytest.mark.slow),
        pytest.param("truth", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_call_writes_nothing_and_goes_on_where_it_was(
    call: str, folder: Path, prepared: Path, tmp_path: Path, caplog
) -> None:
    whole = shutil.copytree(prepared, tmp_path / "whole")
    CALLS[call](whole)
    waiting = 2 if call == "truth" else 1
    process, pids = started(call, folder, waiting)
    process.send_signal(signal.SIGTERM)
    assert_stopped(process, signal.SIGTERM, folder)
    assert all(gone(pid) for pid in pids)
    assert len(list(folder.glob(CHECKPOINTS[call]))) == 1
    caplog.set_level("INFO")
    CALLS[call](folder)
    if "h5" in CHECKPOINTS[call]:
        assert "resumed after" in caplog.text
    assert_same(folder, whole)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_signals_to_the_whole_group_of_a_pool_are_one_line(
    stop: signal.Signals, folder: Path
) -> None:
    """As schedulers send them, and shells at Ctrl-C: every process gets one, in any order."""
    process, pids = started("nested in processes", folder, 2)
    os.killpg(process.pid, stop)
    assert_stopped(process, stop, folder)
    until(lambda: all(gone(pid) for pid in pids))
    assert len(list(folder.glob(CHECKPOINTS["nested in processes"]))) == 2


@pytest.mark.slow
def test_a_killed_process_of_a_pool_is_a_failed_job(folder: Path) -> None:
    """The kernel kills one where memory runs out; its planet must not end with prior draws."""
    process, pids = started("nested in processes", folder, 2)
    os.kill(pids[0], signal.SIGKILL)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    (line,) = said.splitlines()
    assert "one of 2 processes was ended by SIGKILL" in line and "memory" in line
    assert not (folder / "out.nc").exists() and all(gone(pid) for pid in pids)


@pytest.mark.slow
def test_processes_end_with_a_parent_that_was_killed(folder: Path) -> None:
    process, pids = started("truth", folder, 2)
    process.kill()
    process.communicate()
    until(lambda: all(gone(pid) for pid in pids))


def test_a_stopped_fit_writes_nothing(folder: Path) -> None:
    process, _ = started("variational", folder)
    process.send_signal(signal.SIGTERM)
    assert_stopped(process, signal.SIGTERM, folder)


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(signal.SIGTERM, id="SIGTERM"),
        pytest.param(signal.SIGINT, id="Ctrl-C", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_command_is_one_line(stop: signal.Signals, folder: Path) -> None:
    process, _ = started("command", folder)
    process.send_signal(stop)
    assert_stopped(process, stop, folder)
    assert len(list(folder.glob(CHECKPOINTS["command"]))) == 1
