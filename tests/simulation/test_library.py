"""The shipped truth: complete, in step with the simulator, and what nested sampling gives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
import yaml

from arielflow.core.errors import ArielflowError
from arielflow.core.files import sha256
from arielflow.core.samples import weighted_ks
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.simulation.dataset import N_TRACE_SAMPLES, TruthJob, sample_truth
from arielflow.simulation.library import TruthLibrary

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
LIBRARY = ROOT / CONFIG["simulation"]["truth_library"][0]
RUNS = [("train", "truth"), ("test", "truth"), ("test", "rerun")]


@pytest.fixture(scope="module")
def planets(physics) -> dict[str, xr.Dataset]:
    """The default run's planets that the library has the truth of."""
    sizes = {"train": CONFIG["simulation"]["n_traces"], "test": CONFIG["simulation"]["n_test"]}
    return {
        split: simulate_planets(
            get_edition(CONFIG["edition"]),
            count,
            seed=CONFIG["seed"],
            split=split,
            prior=CONFIG["dataset"]["prior"],
            physics=physics,
        )
        for split, count in sizes.items()
    }


def test_checksum_and_size() -> None:
    manifest = json.loads(LIBRARY.with_suffix(".json").read_text())
    assert manifest["sha256"] == sha256(LIBRARY)
    assert manifest["seed"] == CONFIG["seed"] and manifest["prior"] == CONFIG["dataset"]["prior"]
    assert manifest["code"]["commit"] and not manifest["code"]["dirty"]
    assert LIBRARY.stat().st_size < 20e6


def test_every_planet_of_the_default_run_is_in_it(planets) -> None:
    library = TruthLibrary(LIBRARY)
    for split, run in RUNS:
        for position in range(planets[split].sizes["planet"]):
            planet = planets[split].isel(planet=[position])
            theta = library.look_up(planet, split, run)
            assert theta is not None, (split, run, position)
            assert theta.shape == (N_TRACE_SAMPLES[split], planet.sizes["target"])
            margin = 1e-6 * np.abs(planet["prior_high"].values[0])
            assert np.all(theta >= planet["prior_low"].values[0] - margin)
            assert np.all(theta <= planet["prior_high"].values[0] + margin)


def test_runs_have_enough_samples_and_agree_on_the_evidence() -> None:
    costs = list(TruthLibrary(LIBRARY).costs())
    assert all(cost["effective_samples"] >= 2000 for cost in costs)
    evidence = {(c["split"], c["run"], c["planet_ID"]): c["log_evidence"] for c in costs}
    names = {c["planet_ID"] for c in costs if c["run"] == "rerun"}
    difference = [evidence["test", "truth", n] - evidence["test", "rerun", n] for n in names]
    assert np.abs(difference).max() < 0.3


def test_a_changed_library_is_refused(tmp_path) -> None:
    path, manifest = tmp_path / "truth.h5", tmp_path / "truth.json"
    shutil.copy(LIBRARY.with_suffix(".json"), manifest)
    content = bytearray(LIBRARY.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArielflowError, match=r"another SHA-256 than in truth\.json"):
        TruthLibrary(path)
    manifest.write_text("{}")
    with pytest.raises(ArielflowError, match="sha256 is missing"):
        TruthLibrary(path)


def test_samples_that_are_not_finite_are_refused(planets, tmp_path) -> None:
    path = shutil.copy(LIBRARY, tmp_path)
    with h5py.File(path, "r+") as file:
        theta = file["test/truth/theta"]
        theta[3, 5, 1] = np.nan
    library = TruthLibrary(path)
    assert library.look_up(planets["test"].isel(planet=[2]), "test", "truth") is not None
    with pytest.raises(ArielflowError, match="not finite"):
        library.look_up(planets["test"].isel(planet=[3]), "test", "truth")


@pytest.mark.slow
def test_remade_planets_agree(planets, physics, tmp_path) -> None:
    jobs = [TruthJob("test", position, "truth", 2000) for position in (0, 17, 42)]
    paths = sample_truth(
        get_edition(CONFIG["edition"]),
        planets,
        jobs,
        seed=CONFIG["seed"] + 1,
        physics=physics,
        directory=tmp_path,
        workers=2,
    )
    library = TruthLibrary(LIBRARY)
    for job, path in zip(jobs, paths, strict=True):
        theta = np.load(path)["theta"].astype(float)
        stored = library.look_up(planets["test"].isel(planet=[job.position]), "test", "truth")
        ks = weighted_ks(theta, np.ones(len(theta)), stored, np.ones(len(stored)))
        # Two sets of 2,000 independent samples differ by 0.06 once in a thousand targets.
        assert ks.max() < 0.065, (job, ks)
