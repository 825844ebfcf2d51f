"""Files of a shared folder are data: nothing in them is executed, and none of them stops a run."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from arielflow.models import make_estimator
from arielflow.retrieval.nested import nested_sampling
from arielflow.settings.nested import NestedSettings

ROOT = Path(__file__).parents[2]
# In pieces, so that this file does not find itself.
EXECUTING = [
    r"weights_only\s*=\s*" + "False",
    r"allow_pickle\s*=\s*" + "True",
    r"pickle\.loads?" + r"\b",
    r"pickle\.Un" + "pickler",
    r"yaml\.(unsafe_|full_)?" + r"load\(",
    r"joblib\." + "load",
    r"read_" + "pickle",
    r"(?<![\w.])" + r"(eval|exec)\(",
]


def _texts() -> list[Path]:
    files = [ROOT / "Snakefile"]
    for folder in ("src", "workflow", "tests", "benchmarks"):
        files += [p for p in (ROOT / folder).rglob("*") if p.suffix in (".py", ".smk", ".sh")]
    return files


def test_nothing_reads_what_can_execute_code() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in _texts()
        for pattern in EXECUTING
        for match in re.finditer(pattern, path.read_text())
    ]
    assert found == []


def test_every_file_of_pytorch_is_read_for_its_weights_alone() -> None:
    call = r"torch\." + r"load\(([^()]|\([^()]*\))*\)"
    calls = [match[0] for path in _texts() for match in re.finditer(call, path.read_text())]
    assert calls and all("weights_only=True" in text for text in calls), calls


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.proof),)


@pytest.fixture(scope="module")
def trained(simulated, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """State of a training that was killed before its end, and its history had it not been."""
    folder = tmp_path_factory.mktemp("trained")
    history = _train(simulated, folder)
    (folder / "fm" / "finished.pt").unlink()
    return folder, history


def _train(simulated, folder: Path) -> pd.DataFrame:
    settings = {"layer_pairs": 1, "hidden": 16, "context_width": 16, "embedding": 8}
    flow = make_estimator("flow", settings | {"training": {"epochs": 3, "batch_size": 32}})
    parts = simulated.isel(planet=slice(0, 60)), simulated.isel(planet=slice(60, 80))
    return flow.fit(*parts, seed=1, device="cpu", state_dir=folder)


FOREIGN = {
    "code": lambda proof: {"state_dict": Evil(proof)},
    "code in place of all": Evil,
    "no weights": lambda proof: {"state_dict": {}},
    "other weights": lambda proof: {"state_dict": {"network.x": torch.zeros(3)}},
    "a list": lambda proof: [1, 2],
    "end without weights": lambda proof: {"weights": {}, "history": [{"epoch": 0}]},
}


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt", "finished.pt"])
@pytest.mark.parametrize("content", FOREIGN)
def test_foreign_checkpoints_execute_nothing_and_are_left_aside(
    name: str, content: str, trained, simulated, tmp_path: Path, caplog
) -> None:
    kept, history = trained
    folder, proof = shutil.copytree(kept, tmp_path / "state"), tmp_path / "proof"
    for checkpoint in (folder / "fm").glob("*.ckpt"):
        checkpoint.unlink()
    torch.save(FOREIGN[content](proof), folder / "fm" / name)
    again = _train(simulated, folder)
    assert not proof.exists()
    assert f"{name}: no checkpoint of this training, left aside" in caplog.text
    pd.testing.assert_frame_equal(again, history)


def test_a_killed_training_resumes_from_weights_and_plain_values(
    trained, simulated, tmp_path: Path, caplog
) -> None:
    kept, history = trained
    folder = shutil.copytree(kept, tmp_path / "state")
    caplog.set_level("INFO")
    pd.testing.assert_frame_equal(_train(simulated, folder), history)
    assert "resuming from" in caplog.text and "left aside" not in caplog.text


@pytest.mark.parametrize("kind", ["links", "other space", "empty", "huge"])
def test_foreign_checkpoints_of_the_sampler_are_left_aside(
    kind: str, tmp_path: Path, caplog
) -> None:
    settings = NestedSettings(n_live=60, n_effective=100, n_batch=128, n_networks=0)

    def sample(n: int, checkpoint: Path | None = None) -> np.ndarray:
        def log_likelihood(theta: np.ndarray) -> np.ndarray:
            return -0.5 * np.sum((theta / 0.7) ** 2, axis=1)

        box = np.full(n, -5.0), np.full(n, 5.0)
        options = {"seed": 4, "settings": settings, "checkpoint": checkpoint}
        return nested_sampling(log_likelihood, *box, **options).theta

    file = tmp_path / "state.h5"
    if kind == "other space":
        sample(2, file)
    else:
        sample(3, tmp_path / "good.h5")
        with h5py.File(file, "w") as made:
            if kind == "links":
                made["sampler"] = h5py.ExternalLink(str(tmp_path / "good.h5"), "sampler")
                made["bound_0"] = h5py.ExternalLink(str(tmp_path / "good.h5"), "bound_0")
                made.attrs["seconds"] = 1.0
            elif kind == "huge":
                made.create_dataset("points", shape=(1 << 40,), dtype=float, chunks=(1024,))
    found = sample(3, file)
    assert f"{file}: not a readable checkpoint, sampling starts afresh" in caplog.text
    np.testing.assert_array_equal(found, sample(3))
