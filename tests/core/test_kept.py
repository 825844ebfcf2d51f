"""What is kept across runs is used again only for the same settings, inputs and code."""

from __future__ import annotations

import shutil
import signal
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from arielflow.core import code
from arielflow.core.code import code_digest
from arielflow.core.errors import Stopped
from arielflow.data.forward_models import model_fingerprint, nodes_file
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.models import make_estimator, tune
from arielflow.models.families import _density as density
from arielflow.physics import forward
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval import planets as retrieve
from arielflow.retrieval.nested import Nested, NestedResult
from arielflow.retrieval.planets import checkpoint_dir
from arielflow.settings.nested import NestedSettings
from arielflow.simulation import truth
from arielflow.simulation.truth import TruthJob, sample_truth

EDITION = get_edition("adc2023")
SETTINGS = NestedSettings(n_live=60)
FLOW = {"layer_pairs": 1, "hidden": 16, "context_width": 16, "embedding": 8}


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package that digests are made of."""
    copy = shutil.copytree(code._ROOT, tmp_path / "arielflow")
    monkeypatch.setattr(code, "_ROOT", copy)
    return copy


def digest(*names: str) -> str:
    code.imported.cache_clear()
    return code_digest.__wrapped__(*names)


def test_the_physics_code_counts_in_full(sources: Path) -> None:
    before = digest("arielflow.physics")
    for name in (
        "rayleigh",
        "cia",
        "opacity",
        "binning",
        "systems",
        "nodes",
        "opacity_files",
        "opacity_formats/photochem",
    ):
        with (sources / "physics" / f"{name}.py").open("a") as file:
            file.write("# edited\n")
        before, after = digest("arielflow.physics"), before
        assert before != after, name


def test_a_digest_follows_the_imports_and_nothing_else(sources: Path) -> None:
    names = ("models.families.flow", "retrieval.nested", "simulation.truth")
    last: dict[str, str] = {}

    def changed(edited: str) -> set[str]:
        (sources / edited).write_text((sources / edited).read_text() + "# edited\n")
        before, new = dict(last), {name: digest(f"arielflow.{name}") for name in names}
        last.update(new)
        return {name for name in names if new[name] != before.get(name)}

    assert changed("physics/rayleigh.py") == set(names)
    assert changed("models/families/_density.py") == {"models.families.flow"}
    assert changed("retrieval/nested.py") == {"retrieval.nested", "simulation.truth"}
    assert changed("simulation/truth.py") == {"simulation.truth"}
    assert changed("report/build.py") == set()
    with pytest.raises(ValueError, match="no module"):
        digest("arielflow.nonsense")


class Inline:
    """Does at once, in this process, what a pool would."""

    def submit(self, work, *arguments) -> Future:
        future = Future()
        future.set_result(work(*arguments))
        return future


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the planets sampled; the sampling itself is left out."""
    names = []

    def sample(forward: ForwardModel, planet: int, **options: object) -> NestedResult:
        names.append(str(forward.systems.names[planet]))
        edges = forward.systems.prior[:, planet]
        return NestedResult(edges, np.full(2, 0.5), 0.0, 2.0, 2, 0.0, 0.0)

    monkeypatch.setattr(truth, "retrieve", sample)
    monkeypatch.setattr(truth, "worker_pool", lambda count: nullcontext(Inline()))
    return names


def other_opacities(physics: PhysicsSettings, folder: Path) -> PhysicsSettings:
    shutil.copytree(physics.opacities, folder)
    with h5py.File(folder / "CO2.h5", "r+") as file:
        file["xsecarr"][0, 0, 0] *= 2
    return replace(physics, opacities=str(folder))


@pytest.mark.parametrize(
    "change",
    ["nothing", "seed", "prior", "spectrum", "star", "opacities", "settings", "samples", "code"],
)
def test_truth_is_kept_for_the_same_call_alone(
    change: str, sampled: list[str], simulated, physics, tmp_path, monkeypatch, caplog
) -> None:
    def call(**options: object) -> list[Path | None]:
        given = {"seed": 1, "physics": physics, "settings": {"train": SETTINGS}} | options
        jobs = [TruthJob("train", i, "truth", n_samples) for i in range(2)]
        return sample_truth(EDITION, {"train": planets}, jobs, directory=tmp_path / "s", **given)

    planets, n_samples = simulated.isel(planet=slice(0, 2)).copy(deep=True), 100
    save, saved = truth._save_truth, []

    def stopped(*arguments: object) -> None:
        if saved:
            raise Stopped(signal.SIGTERM)
        saved.append(save(*arguments))

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(truth, "_save_truth", stopped)
        call()
    (kept,) = (tmp_path / "s").iterdir()
    sampled.clear()
    options = {}
    if change == "seed":
        options["seed"] = 2
    elif change == "settings":
        options["settings"] = {"train": SETTINGS.model_copy(update={"n_live": 70})}
    elif change == "opacities":
        options["physics"] = other_opacities(physics, tmp_path / "opacities")
    elif change == "samples":
        n_samples = 90
    elif change == "code":
        monkeypatch.setattr(truth, "code_digest", lambda *names: "other")
    elif change != "nothing":
        column = {"prior": "prior_high", "spectrum": "transit_depth", "star": "auxiliary_value"}
        planets[column[change]].values[:, 0] *= 1.001
    paths = call(**options)
    names = [str(name) for name in planets["planet"].values]
    assert sampled == (names[1:] if change == "nothing" else names)
    assert sorted((tmp_path / "s").iterdir()) == sorted(paths)
    assert (kept in paths) == (change == "nothing")
    said = [r for r in caplog.records if "removed 1 left by" in r.getMessage()]
    assert len(said) == (change != "nothing")


def test_truth_named_as_earlier_versions_did_is_not_used(
    sampled, simulated, physics, tmp_path
) -> None:
    planets = simulated.isel(planet=[0])
    old = tmp_path / f"train-{planets['planet'].values[0]}-truth.npz"
    old.write_bytes(b"whatever")
    jobs = [TruthJob("train", 0, "truth", 100)]
    options = {"seed": 1, "physics": physics, "settings": {"train": SETTINGS}}
    sample_truth(EDITION, {"train": planets}, jobs, directory=tmp_path, **options)
    assert len(sampled) == 1 and not old.exists()


def test_a_model_that_cannot_be_had_is_no_planet_s_fault(
    sampled, simulated, physics, tmp_path, monkeypatch
) -> None:
    """A full disk or an unreadable table during the loop fails the job, it makes no planet bad."""

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(truth, "edition_model", full)
    jobs = [TruthJob("train", 0, "truth", 100)]
    options = {"seed": 1, "physics": physics, "settings": {"train": SETTINGS}}
    with pytest.raises(OSError, match="No space"):
        sample_truth(EDITION, {"train": simulated}, jobs, directory=tmp_path, **options)


@pytest.mark.parametrize("change", ["nothing", "seed", "code", "opacities", "damage"])
def test_spectra_are_kept_for_the_same_call_alone(
    change, physics, tmp_path, monkeypatch, caplog
) -> None:
    def call(seed: int = 1) -> xr.Dataset:
        return simulate_planets(
            EDITION,
            5,
            seed=seed,
            split="test",
            prior="matched",
            physics=physics,
            scratch=tmp_path / "s",
        )

    expected = call()
    (block,) = (tmp_path / "s").iterdir()
    before = block.stat().st_mtime_ns
    if change == "code":
        monkeypatch.setattr(forward, "code_digest", lambda *names: "other")
    elif change == "opacities":
        physics = other_opacities(physics, tmp_path / "opacities")
    elif change == "damage":
        block.write_bytes(block.read_bytes()[:200])
    found = call(2 if change == "seed" else 1)
    (now,) = (tmp_path / "s").iterdir()
    assert (now.name == block.name) == (change in ("nothing", "damage"))
    assert ("removed 1 left by" in caplog.text) == (change in ("seed", "code", "opacities"))
    if change in ("nothing", "code", "damage"):
        xr.testing.assert_identical(found, expected)
    if change == "nothing":
        assert now.stat().st_mtime_ns == before


def test_checkpoints_of_other_calls_are_removed(physics, tmp_path, monkeypatch, caplog) -> None:
    def folder(seed: int = 1, settings: NestedSettings = SETTINGS, model=physics) -> Path:
        found = checkpoint_dir(tmp_path / "state", EDITION, model, seed, Nested(settings))
        found.mkdir(parents=True, exist_ok=True)
        (found / "planet.h5").touch()
        return found

    first = folder()
    assert folder() == first and not caplog.records
    for other in (
        lambda: folder(seed=2),
        lambda: folder(settings=SETTINGS.model_copy(update={"n_effective": 9})),
        lambda: folder(model=other_opacities(physics, tmp_path / "opacities")),
    ):
        caplog.clear()
        second = other()
        assert second != first and not first.exists()
        assert len(caplog.records) == 1 and "removed 1 left by" in caplog.text
        first = second
    monkeypatch.setattr(retrieve, "code_digest", lambda *names: "other")
    assert folder() != first


def test_nodes_belong_to_their_seed_and_spectra_to_their_nodes(physics, tmp_path) -> None:
    assert nodes_file(EDITION, physics) != nodes_file(EDITION, physics, seed=1)
    marks = {model_fingerprint(EDITION, physics)}
    for content in (b"one", b"two"):
        (tmp_path / "nodes.npz").write_bytes(content)
        fast = replace(physics, nodes=str(tmp_path / "nodes.npz"))
        marks.add(model_fingerprint(EDITION, fast))
    assert len(marks) == 3


@pytest.mark.parametrize("change", ["nothing", "code", "errors", "radius"])
def test_a_training_goes_on_for_the_same_data_and_code_alone(
    change, simulated, tmp_path, monkeypatch, caplog
) -> None:
    parts = [simulated.isel(planet=slice(0, 60)).copy(deep=True), simulated.isel(planet=[60, 61])]

    def call() -> None:
        flow = make_estimator("flow", FLOW | {"training": {"epochs": 1}})
        flow.fit(*parts, seed=1, device="cpu", state_dir=tmp_path)

    call()
    end = tmp_path / "fm" / "finished.pt"
    before = end.stat().st_mtime_ns
    if change == "code":
        monkeypatch.setattr(density, "code_digest", lambda *names: "other")
    elif change == "errors":
        parts[0]["transit_depth_error"].values[0, 0] *= 1.001
    elif change == "radius":
        parts[0]["auxiliary_value"].values[0, :] *= 1.001
    call()
    assert ("training afresh" in caplog.text) == (change != "nothing")
    assert (end.stat().st_mtime_ns == before) == (change == "nothing")


@pytest.mark.parametrize("change", ["nothing", "code", "errors", "damage"])
def test_a_search_goes_on_for_the_same_data_and_code_alone(
    change, simulated, tmp_path, monkeypatch, caplog
) -> None:
    parts = [simulated.isel(planet=slice(0, 40)).copy(deep=True), simulated.isel(planet=[60, 61])]
    spec = {"family": "flow", "settings": FLOW}

    def call(trials: int) -> int:
        tuning = {"trials": trials, "epochs": 1, "n_rows": 40}
        study = tmp_path / "study.db"
        return len(tune.tune("flow", spec, tuning, (*parts, None), seed=3, database=study)[1])

    assert call(2) == 2
    if change == "code":
        monkeypatch.setattr(tune, "code_digest", lambda *names: "other")
    elif change == "errors":
        parts[0]["transit_depth_error"].values[:, 0] *= 1.001
    elif change == "damage":
        (tmp_path / "study.db").write_bytes(b"SQLite format 3\0" + bytes(200))
    assert call(1) == (2 if change == "nothing" else 1)
    assert ("afresh" in caplog.text) == (change in ("code", "errors"))
    assert ("no readable study" in caplog.text) == (change == "damage")
