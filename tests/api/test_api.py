"""The Python API: its examples, the models and scores of a run, ArviZ, an import without torch."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
import yaml
from typer.testing import CliRunner

import arielflow as af
from arielflow.cli import app
from arielflow.core.files import write_dataset, write_json
from arielflow.core.schema import open_dataset
from arielflow.data.ingest import empty_traces
from arielflow.data.priors import prior_samples
from arielflow.editions import get_edition
from arielflow.editions.official_files import PARAMETER_TABLE, write_parameters, write_traces
from arielflow.physics.forward import PhysicsSettings

EDITION = get_edition("adc2023")
MODULES = (
    *("inference_data", "model", "physics", "planets", "plot", "retrieval", "scores"),
    "spectra",
)
PLANET = {
    "star": {"radius": "0.9 Rsun"},
    "planet": {"mass": "0.3 Mjup", "radius": {"uniform": [1.0, 1.4], "unit": "Rjup"}},
    "atmosphere": {
        "gases": {"H2O": {"log_uniform": [1e-6, 1e-2]}},
        "temperature": {"isothermal": "1100 K"},
    },
}
FLOW = {
    "layer_pairs": 1,
    "hidden": 16,
    "context_width": 16,
    "embedding": 8,
    "training": {"epochs": 2, "batch_size": 32, "learning_rate": 0.002},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of sixty training and three test planets, and a small flow of two members."""
    folder = tmp_path_factory.mktemp("api")
    truth = folder / "dataset" / "TestTruth"
    for split, number in (("train", 60), ("test", 3)):
        planets = af.simulate(number, split=split, seed=1)
        EDITION.writer(folder / "dataset", EDITION, split, planets)
    write_json({"prior": "matched"}, folder / "dataset" / "simulation.json")
    truth.mkdir()
    write_parameters(truth / PARAMETER_TABLE, planets)
    # Draws of the prior in place of nested sampling, which takes minutes.
    draws = prior_samples(planets, 200, seed=2).reshape(600, -1)
    traces = (
        empty_traces(planets)
        .drop_dims("obs")
        .assign(
            row_size=("planet", [200] * 3),
            trace=(("obs", "target"), draws),
            weight=("obs", np.full(600, 1 / 200)),
        )
    )
    write_traces(truth / "Tracedata.hdf5", EDITION, traces)
    table = {"wavelength [um]": np.linspace(1.15, 1.65, 8), "depth [ppm]": 20_000 + np.arange(8)}
    pd.DataFrame(table | {"error [ppm]": 60.0}).to_csv(folder / "planet.csv", index=False)
    (folder / "planet.yaml").write_text(yaml.safe_dump(PLANET))
    known = af.read(folder / "dataset", edition="adc2023", split="train")
    af.train(known, "flow", folder / "models" / "flow", settings=FLOW, members=2, seed=1)
    return folder


@pytest.fixture
def planets(folder: Path) -> xr.Dataset:
    return af.read(folder / "dataset", edition="adc2023", split="test")


@pytest.fixture
def model(folder: Path) -> af.Model:
    return af.load_model(folder / "models" / "flow")


def test_importing_arielflow_imports_no_torch() -> None:
    code = (
        "import sys, arielflow as af; names = dir(af); "
        "print(sorted({'torch', 'xarray', 'pandas'} & set(sys.modules)), 'retrieve' in names)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"


def test_every_public_name_is_there_and_documented_with_an_example() -> None:
    assert set(af.__all__) <= set(dir(af))
    for name in set(af.__all__) - {"__version__", "ArielflowError", "Model", "plot"}:
        assert ">>>" in getattr(af, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        af.nonsense  # noqa: B018


def test_the_examples_run(folder, planets, model, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    given = {
        "af": af,
        "np": np,
        "planets": planets,
        "truth": af.read_truth("dataset", planets),
        "posterior": model.sample(planets, n_samples=1000, seed=1),
    }
    ran = 0
    for module in map(import_module, (f"arielflow.api.{name}" for name in MODULES)):
        for test in doctest.DocTestFinder().find(module, extraglobs=given):
            result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
            assert not result.failed, test.name
            ran += result.attempted
    assert ran > 40


def test_gradients_of_spectra_are_those_of_differences(planets) -> None:
    theta = torch.tensor(af.simulate(3, seed=1)["theta"].values, requires_grad=True)
    depth = af.spectrum(theta, planets)
    np.testing.assert_array_equal(depth.detach(), af.spectrum(theta.detach().numpy(), planets))
    depth.sum().backward()
    step = torch.zeros_like(theta)
    step[:, 0] = 1e-3
    with torch.no_grad():
        slope = af.spectrum(theta + step, planets) - af.spectrum(theta - step, planets)
    np.testing.assert_allclose(theta.grad[:, 0], slope.sum(dim=1) / 2e-3, rtol=1e-3)
    labelled = xr.DataArray(theta.detach().numpy()[:, None], dims=("planet", "sample", "target"))
    found = af.spectrum(labelled, planets)
    assert (
        found.dims == ("planet", "sample", "wavelength") and found.sel(planet="public2").ndim == 2
    )
    with pytest.raises(af.ArielflowError, match=r"shape \(2, 7\), expected .* with 3 planets"):
        af.spectrum(theta[:2], planets)


def test_faults_are_single_lines(folder, planets, model, tmp_path) -> None:
    def says(*words: str):
        return pytest.raises(af.ArielflowError, match=".*".join(words))

    with says("dataset", "of which edition", "adc2022"):
        af.read(folder / "dataset")
    with says("models: holds no trained members"):
        af.load_model(folder / "models")
    with says("prior 'odd' is not known"):
        af.simulate(2, prior="odd")
    with says("method 'odd'", "nested, importance, variational"):
        af.retrieve(planets, method="odd")
    with says("needs a proposal"):
        af.retrieve(planets)
    with says("unknown key 'live'", "n_live"):
        af.retrieve(planets, method="nested", settings={"live": 3})
    with says("public9 is not in the data set"):
        af.plot.corner(model.sample(planets, 10), "public9")
    with says("10 samples", "1000 to 5000"):
        af.submit(model.sample(planets, 10), tmp_path)
    (tmp_path / "TestData").symlink_to(folder / "dataset" / "TestData")
    with says("holds no truth of the test planets"):
        af.read_truth(tmp_path, planets)
    with says("bears no edition"):
        af.spectrum(np.zeros((3, 7)), planets.drop_attrs())


def test_a_simulated_planet_is_scored_by_its_theta(model) -> None:
    planets = af.simulate(2, seed=4)
    scores = af.score(model.sample(planets, 100), planets, model=model)
    assert np.isfinite(scores[["energy_score", "log_prob"]]).all(axis=None)
    assert scores["posterior_score"].isna().all()


def command(*arguments: object) -> str:
    """Answer of a command that succeeds."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_train_and_sample_are_commands(folder, planets, model, monkeypatch, tmp_path) -> None:
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(FLOW))
    made = tmp_path / "flow"
    options = ("--family", "flow", "--settings", tmp_path / "settings.yaml", "--seed", 1)
    edition = ("--edition", "adc2023")
    said = command("train", folder / "dataset", *options, *edition, "--output", made, "--json")
    assert json.loads(said) == {
        "family": "flow", "planets": 60, "members": [str(made.resolve() / "0")],
    }  # fmt: skip
    written = made / "0" / "density.safetensors"
    assert written.read_bytes() == (folder / "models/flow/0" / written.name).read_bytes()
    write_dataset(planets, tmp_path / "test.nc")
    options = ("--samples", 50, "--seed", 1, "--output", tmp_path / "posterior.nc")
    said = command("sample", folder / "models/flow", tmp_path / "test.nc", *options)
    assert "posteriors of 3 of 3 planets, 50 samples each (equal shares" in said.replace("\n", " ")
    xr.testing.assert_equal(
        open_dataset(tmp_path / "posterior.nc"), model.sample(planets, 50, seed=1)
    )
    failed = CliRunner().invoke(app, ["report", str(tmp_path), "--output", str(tmp_path)])
    assert "results/<run>" in str(failed.exception)


def test_a_run_by_hand(tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The README's example on a finished run, whose own numbers it gives."""
    arviz_stats = pytest.importorskip("arviz_stats")
    monkeypatch.chdir(tiny)
    run = Path("results/tiny")
    all_planets = af.read(run / "dataset", edition="adc2023", split="test")
    ingested = open_dataset(run / "ingested/test.nc")
    xr.testing.assert_equal(all_planets, ingested)
    model = af.load_model(run / "models/flow")
    assert model.mixing == f"shares of {(run / 'posteriors/test/flow.nc').resolve()}"
    own = open_dataset(run / "posteriors/test/flow.nc")
    xr.testing.assert_equal(model.sample(all_planets, own.sizes["sample"], seed=2026), own)

    planets = all_planets.isel(planet=slice(3))
    posterior = model.sample(planets, n_samples=4000, seed=1)
    assert np.isfinite(model.log_prob(planets, posterior["theta"])).all()
    physics = PhysicsSettings(str(run / "opacities"))
    quick = {"n_proposal": 300, "n_refined": 300, "rounds": 1}
    same = {"physics": physics, "seed": 2026, "n_samples": 1100, "settings": quick}
    better = af.retrieve(planets, method="importance", proposal=model, **same)
    found = open_dataset(run / "posteriors/test/flow_importance.nc")
    for name in ("theta", "log_evidence", "likelihood_calls"):
        xr.testing.assert_equal(better[name], found[name].isel(planet=slice(3)))

    truth = af.read_truth(run / "dataset", all_planets)
    scores = af.score(own, truth, model=model, physics=physics)
    pd.testing.assert_frame_equal(
        scores, pd.read_csv(run / "scores/planets/flow.csv"), check_dtype=False, rtol=1e-12
    )
    assert len(af.score(better, truth, physics=physics)) == 3

    known = af.read(run / "dataset", edition="adc2023", split="train")
    forest = {"n_rows": 400, "trees": 20, "importance_trees": 5}
    directory = tmp_path / "random_forest"
    trained = af.train(known, "random_forest", directory, settings=forest)
    assert trained.name == "random_forest"
    for file in (run / "models/random_forest/0").glob("[!.]*"):
        assert file.read_bytes() == (directory / "0" / file.name).read_bytes()
    assert [file.name for file in af.submit(better, tmp_path)] == ["flow_importance.hdf5"]

    theta = torch.tensor(better["theta"].values[:, 0], requires_grad=True)
    af.spectrum(theta, planets, physics=physics).sum().backward()
    assert torch.isfinite(theta.grad).all()
    inference = af.to_arviz(better, planets, physics=physics)
    loo = arviz_stats.loo(inference, pointwise=True)
    assert np.isfinite(loo.elpd) and loo.elpd_i.sizes == {"planet": 3, "wavelength": 52}
    summary = arviz_stats.summary(inference, round_to="none")
    assert len(summary) == 21
    mean = float(better["theta"].sel(planet="public1", target="planet_temp").mean())
    assert summary.loc["planet_temp[public1]", "mean"] == pytest.approx(mean, rel=0.02)
    assert af.plot.corner(better, "public1", truth=truth).axes
    assert af.plot.spectrum(better, planets, "public1", physics=physics).axes


@pytest.mark.slow
def test_a_report_by_hand(tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tiny)
    run = Path("results/tiny")
    command("report", run, "--output", tmp_path)
    assert (tmp_path / "index.html").stat().st_size > 10_000
    figures = [{path.name for path in f.glob("figures/*.svg")} for f in (run, tmp_path)]
    assert figures[0] == figures[1] != set()
