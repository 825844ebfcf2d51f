"""A training over two processes, which Gloo joins on CPUs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_dataset
from arielflow.models import load_estimator
from arielflow.models.distributed import Processes, launch
from arielflow.models.member import train_in_processes
from arielflow.models.training_loop import _Batches

SETTINGS = {
    **{"layer_pairs": 1, "hidden": 24, "context_width": 32, "embedding": 16},
    "training": {"epochs": 6, "batch_size": 64, "learning_rate": 3e-3},
}


def member(folder: Path, simulated: xr.Dataset, processes: int, **settings: Any) -> dict[str, Any]:
    """Arguments that train a small flow on files in a folder."""
    write_dataset(simulated, folder / "planets.nc")
    subsets = np.where(np.arange(300) < 250, "train", "valid")
    split = pd.DataFrame({"planet_ID": simulated["planet"].values, "subset": subsets})
    split.to_csv(folder / "split.csv", index=False)
    spec = {"family": "flow", "members": 1, "folds": False, "nodes": 1, "processes": processes}
    return {
        "folder": str(folder / "model"),
        "history_file": str(folder / "history.csv"),
        "spec": spec | {"settings": SETTINGS | settings},
        "member": 0,
        "planets_file": str(folder / "planets.nc"),
        "split_file": str(folder / "split.csv"),
        "seed": 5,
        "device": "cpu",
        "state_dir": str(folder / "state"),
    }


def test_processes_share_every_batch_and_take_the_same_steps() -> None:
    alone = _Batches(103, 10, seed=4)
    shares = [_Batches(103, 10, 4, Processes(4, 1, rank)) for rank in range(4)]
    assert len(alone) == 11 and {len(share) for share in shares} == {10}
    for batch, *parts in zip(list(alone)[:10], *shares, strict=True):
        assert sorted(batch.tolist()) == sorted(torch.cat(parts).tolist())


def test_two_processes_train_one_model(simulated: xr.Dataset, tmp_path: Path) -> None:
    losses = {}
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        arguments = member(folder, simulated, processes)
        train_in_processes(folder / "log.txt", **arguments)
        history = pd.read_csv(folder / "history.csv")
        assert list(history["epoch"]) == list(range(6))
        losses[processes] = history["valid_loss"]
        flow = load_estimator(folder / "model")
        assert np.isfinite(flow.sample(simulated.isel(planet=[0]), 50, seed=1)["theta"]).all()
    # The same rows in every step: only noise and rounding tell the two trainings apart.
    np.testing.assert_allclose(losses[2], losses[1], atol=0.5)
    assert losses[2].iloc[-1] < losses[2].iloc[0] - 0.5
    # A second call finds the training finished, in every process.
    before = pd.read_csv(tmp_path / "2" / "history.csv")
    train_in_processes(tmp_path / "2" / "log.txt", **arguments)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "2" / "history.csv"), before)


def test_a_fault_in_one_process_is_one_line(simulated: xr.Dataset, tmp_path: Path) -> None:
    arguments = member(tmp_path, simulated, 2)
    arguments["spec"]["family"] = "oracle"
    with pytest.raises(ArielflowError, match=r"one of 2 processes failed: .*'oracle'") as error:
        train_in_processes(tmp_path / "log.txt", **arguments)
    assert "\n" not in str(error.value)


def holds(path: Path, words: str) -> bool:
    try:
        return words in path.read_text()
    except OSError:  # ended meanwhile
        return False


_TRAIN = """
import json, sys
from arielflow.runs.job import job
from arielflow.models.member import train_in_processes
with job(sys.argv[1] + "/parent.log"):
    train_in_processes(sys.argv[1] + "/log.txt", **json.loads(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("to", ["parent", "group"])
def test_a_stop_ends_every_process(to: str, simulated: xr.Dataset, tmp_path: Path) -> None:
    training = SETTINGS["training"] | {"epochs": 2000, "patience": None}
    arguments = member(tmp_path, simulated, 2, training=training)
    parent = subprocess.Popen(
        [sys.executable, "-c", _TRAIN, str(tmp_path), json.dumps(arguments)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    last = tmp_path / "state/fm/last.ckpt"
    end = time.monotonic() + 300
    while not last.is_file():
        assert parent.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    (os.kill if to == "parent" else os.killpg)(parent.pid, signal.SIGTERM)
    _, said = parent.communicate(timeout=60)
    assert parent.returncode == 143
    (line,) = said.splitlines()
    assert line.startswith("arielflow: stopped by SIGTERM")
    # torchrun gives its processes sessions of their own; their argument tells them.
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if holds(path, str(tmp_path))]
    assert not left
    assert torch.load(last, weights_only=True)["epoch"] >= 0
    assert not (tmp_path / "history.csv").exists()


def test_several_nodes_need_srun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ArielflowError, match=r"2 nodes needs Slurm's srun.*nodes: 1"):
        launch("arielflow.models.member", "none.json", processes=4, nodes=2)
