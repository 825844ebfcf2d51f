"""What a density is trained on, how members are mixed, and that a killed training goes on."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_dataset
from arielflow.data.splits import annotated_planets, fold
from arielflow.models import make_estimator
from arielflow.models.ensemble import Ensemble, sample_ensemble, stacking_shares
from arielflow.models.features import TraceDraws
from arielflow.models.member import train_member

SMALL = {"layer_pairs": 1, "hidden": 24, "context_width": 32, "embedding": 16}
SPEC = {"family": "flow", "members": 1, "folds": False}


def make_traces(planets: xr.Dataset, every: int, n: int = 200) -> xr.Dataset:
    """Traces of every so many planets: heavy weights near 0.3 of the prior, light ones at 0.9."""
    rng = np.random.default_rng(0)
    sizes = np.zeros(planets.sizes["planet"], dtype=int)
    sizes[::every] = n
    low, width = (planets[name].values for name in ("prior_low", "prior_high"))
    width = width - low
    pieces, weights = [], []
    for row in np.flatnonzero(sizes):
        unit = np.where(np.arange(n)[:, None] % 2, 0.3, 0.9) + 0.02 * rng.standard_normal((n, 7))
        unit[:, 0] = (planets["theta"].values[row, 0] - low[row, 0]) / width[row, 0]
        pieces.append(low[row] + width[row] * unit)
        weights.append(np.where(np.arange(n) % 2, 3.0, 1.0) / (2 * n))
    return xr.Dataset(
        {
            "row_size": ("planet", sizes),
            "trace": (("obs", "target"), np.concatenate(pieces)),
            "weight": ("obs", np.concatenate(weights)),
        },
        coords={"planet": planets["planet"], "target": planets["target"]},
    )


def unit(planets: xr.Dataset, theta: np.ndarray) -> np.ndarray:
    low, high = planets["prior_low"].values, planets["prior_high"].values
    return (theta - low[:, None]) / (high - low)[:, None]


def test_draws_follow_the_weights_and_keep_to_their_planet(simulated: xr.Dataset) -> None:
    annotated = annotated_planets(simulated, make_traces(simulated, every=10))
    assert annotated.sizes["planet"] == 30
    draws = TraceDraws(annotated, np.array([3, 7, 20]))
    rows = torch.tensor([0, 1, 2]).repeat(4000)
    planets, theta = draws.draw(rows, torch.Generator().manual_seed(1))
    assert not planets.noisy  # a trace is the posterior of the spectrum as stored
    inside = (theta - planets.low) / (planets.high - planets.low)
    assert float((inside[:, 2] < 0.6).double().mean()) == pytest.approx(0.75, abs=0.02)
    chosen = annotated.isel(planet=[3, 7, 20])
    np.testing.assert_allclose(
        theta[:3, 0].numpy(), chosen["theta"].values[:, 0], rtol=1e-9
    )  # the radius of each trace is its planet's own


def test_unannotated_and_unusable_planets_are_left_out(simulated: xr.Dataset) -> None:
    spoilt = simulated.copy(deep=True)
    spoilt["quality"].values[10] = 1
    annotated = annotated_planets(spoilt, make_traces(simulated, every=10))
    assert annotated.sizes["planet"] == 29
    assert str(simulated["planet"].values[10]) not in annotated["planet"].values


@pytest.mark.parametrize("targets", ["traces", "mixed"])
def test_training_on_traces_learns_the_annotator_s_posterior(
    simulated: xr.Dataset, targets: str
) -> None:
    """The traces put three quarters of the weight at 0.3 of every prior; the planets do not."""
    parts = simulated.isel(planet=slice(0, 240)), simulated.isel(planet=slice(240, 300))
    annotated = annotated_planets(parts[0], make_traces(parts[0], every=3))
    training = {"epochs": 12, "batch_size": 256, "learning_rate": 5e-3}
    settings = SMALL | {"targets": targets, "draws": 24, "training": training}
    if targets == "mixed":
        settings["fine_tuning"] = training | {"epochs": 20}
    flow = make_estimator("flow", settings)
    history = flow.fit(*parts, seed=1, annotated=annotated)
    assert list(history["epoch"]) == list(range(len(history)))
    planets = simulated.isel(planet=slice(1, 40, 3))  # without traces themselves
    inside = unit(planets, flow.sample(planets, 1500, seed=1)["theta"].values)[:, :, 1:]
    assert np.mean(np.abs(inside - 0.3) < 0.15) == pytest.approx(0.75, abs=0.12)
    assert np.mean(np.abs(inside - 0.9) < 0.1) == pytest.approx(0.25, abs=0.12)


def test_targets_without_traces_and_idle_settings_are_errors(simulated: xr.Dataset) -> None:
    parts = simulated.isel(planet=slice(0, 200)), simulated.isel(planet=slice(200, 250))
    flow = make_estimator("flow", SMALL | {"targets": "traces"})
    with pytest.raises(ArielflowError, match="Tracedata"):
        flow.fit(*parts, seed=1)
    for idle in ({"draws": 3}, {"channels": 3}, {"layers": 2}, {"fine_tuning": {"epochs": 2}}):
        with pytest.raises(ArielflowError, match="no effect"):
            make_estimator("flow", idle)


@pytest.mark.parametrize(
    "settings",
    [
        {"architecture": "autoregressive", "layers": 2},
        {"architecture": "independent", "layers": 1},
        {"context_network": "convolution", "channels": 8, "layer_pairs": 1},
        {"physical_features": False, "layer_pairs": 1},
    ],
    ids=["autoregressive", "independent", "convolution", "plain features"],
)
def test_every_architecture_trains_and_gives_its_density(
    simulated: xr.Dataset, settings, tmp_path
) -> None:
    from arielflow.models import load_estimator

    parts = simulated.isel(planet=slice(0, 200)), simulated.isel(planet=slice(200, 250))
    training = {"epochs": 4, "batch_size": 64, "learning_rate": 3e-3}
    base = {"hidden": 24, "context_width": 32, "embedding": 16, "training": training}
    flow = make_estimator("flow", base | settings)
    history = flow.fit(*parts, seed=1)
    assert history["valid_loss"].iloc[-1] < history["valid_loss"].iloc[0]
    planets = simulated.isel(planet=slice(260, 270))
    posterior = flow.sample(planets, 60, seed=2)
    again = flow.log_prob(planets, posterior["theta"].values)
    np.testing.assert_allclose(again, posterior["log_prob"], atol=0.02)
    flow.save(tmp_path)
    loaded = load_estimator(tmp_path)
    np.testing.assert_array_equal(
        loaded.sample(planets, 60, seed=2)["theta"], posterior["theta"].values
    )


def test_independent_flows_have_no_correlations(simulated: xr.Dataset) -> None:
    settings = {"architecture": "independent", "layers": 1, "training": {"epochs": 3}}
    flow = make_estimator("flow", settings)
    flow.fit(simulated.isel(planet=slice(0, 200)), simulated.isel(planet=slice(200, 250)), seed=1)
    samples = flow.sample(simulated.isel(planet=[260]), 4000, seed=1)["theta"].values[0]
    correlation = np.corrcoef(samples.T) - np.eye(7)
    assert np.abs(correlation).max() < 0.07


def test_folds_validate_every_planet_once() -> None:
    split = pd.DataFrame({"planet_ID": [f"p{i}" for i in range(23)], "subset": "train"})
    chosen = [
        set(part.loc[part["subset"] == "valid", "planet_ID"])
        for part in (fold(split, number, 4) for number in range(4))
    ]
    assert set.union(*chosen) == set(split["planet_ID"])
    assert sum(map(len, chosen)) == 23 and min(map(len, chosen)) >= 5


def test_stacking_prefers_the_better_member(simulated: xr.Dataset, tmp_path) -> None:
    parts = simulated.isel(planet=slice(0, 230)), simulated.isel(planet=slice(230, 300))
    folders = []
    for number, epochs in enumerate((1, 25)):
        training = {"epochs": epochs, "batch_size": 64, "learning_rate": 3e-3}
        flow = make_estimator("flow", SMALL | {"training": training})
        flow.fit(*parts, seed=number)
        folders.append(tmp_path / str(number))
        flow.save(folders[-1])
    shares = stacking_shares(folders, parts[1], seed=1)
    assert shares.sum() == pytest.approx(1)
    assert shares[1] > 0.8
    planets = parts[1].isel(planet=slice(0, 4))
    mixed = sample_ensemble(folders, planets, 800, seed=1, shares=shares)
    np.testing.assert_allclose(mixed.attrs["shares"], shares)
    density = Ensemble(folders, shares).log_prob(planets, mixed["theta"].values)
    parts_density = [Ensemble([f]).log_prob(planets, mixed["theta"].values) for f in folders]
    expected = np.logaddexp(*(d + np.log(s) for d, s in zip(parts_density, shares, strict=True)))
    np.testing.assert_allclose(density, expected)
    with pytest.raises(ArielflowError, match="one share"):
        Ensemble(folders, [0.5, 0.2])


# Signals itself in the middle of the sixth epoch of one of the two trainings, so that where it is
# stopped does not depend on the machine's speed.
_TRAIN = """
import json, os, sys
from pathlib import Path
import torch
from arielflow.models import training_loop
from arielflow.runs.job import job
from arielflow.models.member import train_member
torch.set_num_threads(1)
spec, folder, stage, stop = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
step = training_loop._Task.training_step

def stopped(task, rows, batch):
    here = Path(task.trainer.checkpoint_callback.dirpath).name
    if (here, task.current_epoch, batch) == (stage, 5, 3):
        os.kill(os.getpid(), stop)
    return step(task, rows, batch)

training_loop._Task.training_step = stopped
files = [f"{folder}/{n}" for n in ("planets.nc", "split.csv")]
with job(f"{folder}/job.log"):
    train_member(spec, 0, *files, [files[0], files[1], f"{folder}/traces.nc"], seed=3,
                 state_dir=f"{folder}/state")
"""


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_a_training_stopped_at_half_time_ends_with_the_same_weights(
    stop: signal.Signals, simulated: xr.Dataset, tmp_path: Path
) -> None:
    """Once in each of the two trainings of ``mixed``; no handler runs on SIGKILL."""
    write_dataset(simulated, tmp_path / "planets.nc")
    write_dataset(make_traces(simulated, every=4), tmp_path / "traces.nc")
    subsets = np.where(np.arange(300) < 250, "train", "valid")
    split = pd.DataFrame({"planet_ID": simulated["planet"].values, "subset": subsets})
    split.to_csv(tmp_path / "split.csv", index=False)
    training = {"epochs": 10, "batch_size": 16, "patience": 10}
    settings = {"targets": "mixed", "draws": 16, "training": training, "fine_tuning": training}
    spec = SPEC | {"settings": SMALL | settings}
    files = [tmp_path / name for name in ("planets.nc", "split.csv", "traces.nc")]
    whole, history = train_member(spec, 0, *files[:2], [*files[:2], files[2]], seed=3)
    for stage in ("fm", "traces"):
        arguments = [json.dumps(spec), str(tmp_path), stage, str(int(stop))]
        done = subprocess.run(
            [sys.executable, "-c", _TRAIN, *arguments], capture_output=True, text=True
        )
        if stop == signal.SIGKILL:
            assert done.returncode == -stop
        else:
            assert done.returncode == 128 + stop
            (line,) = done.stderr.splitlines()
            assert line.endswith("in training, after epoch 4; the same call resumes")
        kept = tmp_path / "state" / stage
        assert torch.load(kept / "last.ckpt", weights_only=True)["epoch"] == 4
        assert not (kept / "finished.pt").exists()
    resumed, resumed_history = train_member(
        spec, 0, *files[:2], [*files[:2], files[2]], seed=3, state_dir=tmp_path / "state"
    )
    pd.testing.assert_frame_equal(history, resumed_history)
    weights = whole.network.state_dict()
    assert all(torch.equal(weights[k], v) for k, v in resumed.network.state_dict().items())


@pytest.mark.parametrize("name", ["mc_dropout", "flow", "cvae"])
@pytest.mark.parametrize("unwritten", ["last", "best"])
def test_a_training_that_found_no_room_is_resumed_as_if_it_had(
    name: str, unwritten: str, simulated: xr.Dataset, tmp_path: Path, monkeypatch
) -> None:
    """With dropout, whose draws come from PyTorch's global stream."""
    parts = simulated.isel(planet=slice(0, 200)), simulated.isel(planet=slice(200, 250))
    small = {"mc_dropout": {"n_rows": 100}, "flow": SMALL, "cvae": {"width": 16, "blocks": 1}}[name]
    dropout = {} if name == "mc_dropout" else {"dropout": 0.2}
    settings = small | dropout | {"training": {"epochs": 3, "batch_size": 64}}
    whole = make_estimator(name, settings)
    history = whole.fit(*parts, seed=1)
    write = ModelCheckpoint._save_checkpoint

    def full(callback: ModelCheckpoint, trainer: Trainer, path: str) -> None:
        if Path(path).stem == unwritten and trainer.current_epoch == 1:
            raise OSError(errno.ENOSPC, "No space left on device", path)
        write(callback, trainer, path)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(ModelCheckpoint, "_save_checkpoint", full)
        make_estimator(name, settings).fit(*parts, seed=1, state_dir=tmp_path)
    resumed = make_estimator(name, settings)
    pd.testing.assert_frame_equal(resumed.fit(*parts, seed=1, state_dir=tmp_path), history)
    weights = whole.network.state_dict()
    assert all(torch.equal(weights[k], v) for k, v in resumed.network.state_dict().items())


def test_a_half_written_checkpoint_is_left_aside(simulated: xr.Dataset, tmp_path: Path) -> None:
    parts = simulated.isel(planet=slice(0, 200)), simulated.isel(planet=slice(200, 250))
    settings = SMALL | {"training": {"epochs": 4, "batch_size": 64}}
    first = make_estimator("flow", settings)
    history = first.fit(*parts, seed=1, state_dir=tmp_path)
    finished = make_estimator("flow", settings).fit(*parts, seed=1, state_dir=tmp_path)
    pd.testing.assert_frame_equal(finished, history)
    (tmp_path / "fm" / "finished.pt").unlink()
    last = tmp_path / "fm" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:2000])
    again = make_estimator("flow", settings)
    pd.testing.assert_frame_equal(again.fit(*parts, seed=1, state_dir=tmp_path), history)


def test_without_patience_the_last_weights_are_kept(simulated: xr.Dataset, tmp_path: Path) -> None:
    parts = simulated.isel(planet=slice(0, 40)), simulated.isel(planet=slice(200, 250))
    training = {"epochs": 30, "batch_size": 40, "learning_rate": 1e-2, "schedule": "constant"}
    kept = {}
    for patience in (None, 30):
        settings = SMALL | {"training": training | {"patience": patience}}
        estimator, folder = make_estimator("flow", settings), tmp_path / str(patience)
        history = estimator.fit(*parts, seed=1, state_dir=folder)
        assert history["valid_loss"].idxmin() < len(history) - 1
        kept[patience] = estimator.network.state_dict()
    last = torch.load(tmp_path / "None/fm/last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(last[f"network.{k}"], v) for k, v in kept[None].items())
    assert not all(torch.equal(kept[30][k], v) for k, v in kept[None].items())
