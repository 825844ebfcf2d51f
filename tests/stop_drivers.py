"""Small real calls, and a script that makes one and waits in the middle of it for a signal.

``python tests/stop_drivers.py CALL FOLDER`` leaves a file ``waits-PID`` in the folder as soon as
the process PID waits; the tests then send what a scheduler or a person would send.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import xarray as xr

from arielflow import cli
from arielflow.core.files import write_dataset
from arielflow.core.schema import open_dataset
from arielflow.editions import get_edition
from arielflow.models.ensemble import Ensemble
from arielflow.models.families import flow
from arielflow.models.tune import tune, write_overlay
from arielflow.physics.forward import PhysicsSettings
from arielflow.retrieval import nested, variational
from arielflow.retrieval.amortised import Fallback, importance_posteriors
from arielflow.retrieval.nested import Nested
from arielflow.retrieval.planets import choose_planets, retrieve_planets
from arielflow.retrieval.variational import Variational
from arielflow.runs.job import job
from arielflow.settings.nested import NestedSettings
from arielflow.settings.variational import VariationalSettings
from arielflow.simulation import truth
from arielflow.simulation.truth import TruthJob, sample_truth

# Without the networks of nautilus' bounds, whose training is most of a small run's time.
QUICK = NestedSettings(n_live=60, n_effective=150, n_batch=128, n_networks=0)
EDITION = get_edition("adc2023")
FLOW = {"layer_pairs": 1, "hidden": 16, "context_width": 16, "embedding": 8}
CALLS_BEFORE_THE_STOP = 600


def prepare(folder: Path, simulated: xr.Dataset, physics: PhysicsSettings) -> Path:
    """What the calls need: planets seen so badly that sampling them ends within seconds."""
    faint = simulated.isel(planet=slice(0, 3)).copy(deep=True)
    faint["transit_depth_error"] *= 100
    faint["planet"] = ["test1", "test2", "test3"]
    write_dataset(faint, folder / "planets.nc")
    (folder / "physics.json").write_text(json.dumps(physics.opacities))
    return folder


def planets_of(folder: Path) -> xr.Dataset:
    return open_dataset(folder / "planets.nc")


def physics_of(folder: Path) -> PhysicsSettings:
    return PhysicsSettings(json.loads((folder / "physics.json").read_text()))


def nested_call(folder: Path, workers: int = 1) -> None:
    retrieve_planets(
        EDITION,
        choose_planets(planets_of(folder), ["test1", "test3"]),
        Nested(QUICK),
        folder / "out.nc",
        physics=physics_of(folder),
        seed=3,
        n_samples=200,
        workers=workers,
    )


def importance_call(folder: Path) -> None:
    _, fallback = importance_posteriors(
        EDITION,
        planets_of(folder).isel(planet=[0]),
        Ensemble([folder / "member"]),
        physics=physics_of(folder),
        seed=3,
        n_samples=200,
        fallback=Fallback(efficiency=1.0),
        nested=QUICK,
        state_dir=folder / "state",
    )
    write_dataset(fallback, folder / "out.nc")


def variational_call(folder: Path) -> None:
    retrieve_planets(
        EDITION,
        planets_of(folder),
        Variational(VariationalSettings(steps=2, n_samples=50)),
        folder / "out.nc",
        physics=physics_of(folder),
        seed=3,
        n_samples=50,
    )


def truth_call(folder: Path, workers: int = 2) -> None:
    paths = sample_truth(
        EDITION,
        {"test": planets_of(folder)},
        [TruthJob("test", position, "truth", 100) for position in range(3)],
        seed=3,
        physics=physics_of(folder),
        directory=folder / "state",
        settings={"test": QUICK},
        workers=workers,
    )
    theta = np.stack([np.load(path)["theta"] for path in paths])
    write_dataset(xr.Dataset({"theta": (("planet", "sample", "target"), theta)}), folder / "out.nc")


def tune_call(folder: Path) -> None:
    planets = open_dataset(folder / "training.nc")
    overlay, _ = tune(
        "flow",
        {"family": "flow", "settings": FLOW},
        {"trials": 2, "epochs": 1, "n_rows": 60},
        (planets.isel(planet=slice(0, 80)), planets.isel(planet=slice(80, 100)), None),
        seed=3,
        device="cpu",
        database=folder / "state" / "study.db",
    )
    write_overlay(overlay, folder / "out.nc")


def command_call(folder: Path) -> None:
    arguments = ["retrieve", str(folder / "data"), "--edition", "adc2023", "--planet", "test1"]
    arguments += ["--output", str(folder / "out.nc"), "--prior", "matched", "--live", "60"]
    sys.argv = ["arielflow", *arguments, "--opacities", physics_of(folder).opacities]
    cli.main()


CALLS = {
    "nested": nested_call,
    "nested in processes": lambda folder: nested_call(folder, workers=2),
    "importance": importance_call,
    "variational": variational_call,
    "truth": truth_call,
    "tune": tune_call,
    "command": command_call,
}


def wait_for_the_signal(folder: Path) -> None:
    (folder / f"waits-{os.getpid()}").touch()
    time.sleep(900)  # longer than any test waits


def wait_in_the_middle(folder: Path) -> None:
    """Make every call wait once a part of its work is done and kept."""
    nested._REPORT_SECONDS, nested._CHECKPOINT_SECONDS = 0.02, 0.0
    write, fit, sample, train = (
        nested._write_checkpoint,
        variational.fit_variational,
        truth.retrieve,
        flow.Estimator.fit,
    )

    def checkpoint(sampler, *rest) -> None:
        write(sampler, *rest)
        if sampler.n_like > CALLS_BEFORE_THE_STOP:
            wait_for_the_signal(folder)

    def fitted(forward, row, **options):
        if row == 1:
            wait_for_the_signal(folder)
        return fit(forward, row, **options)

    def planet(forward, position, **options):
        if forward.systems.names[0] != "test1":
            while not list((folder / "state").glob("test-test1-*")):
                time.sleep(0.05)
            wait_for_the_signal(folder)
        return sample(forward, position, **options)

    def training(self, *arguments, **options):
        if hasattr(flow, "trained"):
            wait_for_the_signal(folder)
        flow.trained = True
        return train(self, *arguments, **options)

    nested._write_checkpoint, truth.retrieve = checkpoint, planet
    variational.fit_variational, flow.Estimator.fit = fitted, training


# Processes of a pool import this file under another name, and wait as well.
if __name__ in ("__main__", "__mp_main__") and len(sys.argv) == 3:
    wait_in_the_middle(Path(sys.argv[2]))
if __name__ == "__main__":
    if sys.argv[1] == "command":
        command_call(Path(sys.argv[2]))
    else:
        with job(Path(sys.argv[2]) / "job.log"):
            CALLS[sys.argv[1]](Path(sys.argv[2]))
