"""``arielflow explain``: what it writes, and how it says no."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from command_line import run
from typer.testing import CliRunner

from arielflow.cli import app
from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_dataset
from arielflow.models import make_estimator

FLOW = {"layer_pairs": 1, "hidden": 8, "context_width": 8, "context_blocks": 1, "embedding": 4}


@pytest.fixture(scope="module")
def folder(simulated, tmp_path_factory) -> Path:
    """Planets, and a flow and a forest that saw a few of them."""
    folder = tmp_path_factory.mktemp("explain")
    parts = [simulated.isel(planet=part) for part in (slice(0, 100), slice(100, 120))]
    forest = {"trees": 5, "importance_trees": 0}
    for family, settings in (("flow", FLOW | {"training": {"epochs": 1}}), ("forest", forest)):
        estimator = make_estimator("random_forest" if family == "forest" else family, settings)
        estimator.fit(*parts, seed=1)
        estimator.save(folder / family / "0")
    write_dataset(simulated.isel(planet=slice(120, 124)), folder / "planets.nc")
    return folder


def test_a_model_is_explained(folder, tmp_path) -> None:
    done = run(
        *("explain", folder / "flow", folder / "planets.nc", "--output", tmp_path / "out"),
        *("--planet", "train121", "--planet", "train122", "--paths", 1, "--json"),
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["planets"] == ["train121", "train122"] and content["model"] == "flow"
    written = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")}
    assert written == {*content["files"], "explanation.json"}
    assert {"attributions.csv", "counterfactual.csv", "figures/bands_1.png"} <= written
    assert set(content["skipped"]) == {"permutation", "neighbours", "probes", "rules"}
    rows = pd.read_csv(tmp_path / "out" / "attributions.csv")
    assert set(rows["planet"]) == {"train121", "train122"}
    assert np.isfinite(rows["per_error_bar"]).all()
    assert json.loads((tmp_path / "out" / "explanation.json").read_text()) == {
        key: value for key, value in content.items() if key != "output"
    }


def test_a_forest_is_explained_without_derivatives(folder, tmp_path) -> None:
    done = run(
        *("explain", folder / "forest", folder / "planets.nc", "--output", tmp_path, "--json"),
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert "random_forest cannot be differentiated" in content["skipped"]["counterfactual"]
    rows = pd.read_csv(tmp_path / "attributions.csv")
    assert set(rows["method"]) == {"finite differences"}


FAULTS = {
    "no model": (["planets.nc"], "planets.nc"),
    "no planets": (["flow", "nowhere.nc"], "nowhere.nc: no such file or folder"),
    "no numbers": (["flow", "blank.nc"], "blank.nc: planets dataset: transit_depth"),
    "unknown planet": (["flow", "planets.nc", "--planet", "nobody"], "planet nobody is not in"),
    "no clusters": (
        ["flow", "planets.nc", "--exploration", "planets.nc"],
        "holds no clusters, expected the variables split and cluster_label",
    ),
    "clusters of others": (
        ["flow", "planets.nc", "--exploration", "others.nc"],
        "has no cluster of any of 4 planets",
    ),
    "no opacities": (["flow", "planets.nc", "--opacities", "nowhere"], "nowhere"),
}


def test_a_file_is_no_folder_to_write_to(folder) -> None:
    planets = str(folder / "planets.nc")
    result = CliRunner().invoke(
        app, ["explain", str(folder / "flow"), planets, "--output", planets]
    )
    assert isinstance(result.exception, ArielflowError)
    assert "planets.nc: is no folder" in str(result.exception)


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_line(folder, tmp_path, fault) -> None:
    given, says = FAULTS[fault]
    others = xr.Dataset(
        {"cluster_label": ("planet", [1])},
        {"planet": ["stranger"], "split": ("planet", ["train"])},
    )
    write_dataset(others, folder / "others.nc")
    planets = xr.open_dataset(folder / "planets.nc", engine="h5netcdf").load()
    blank = planets.assign(transit_depth=planets["transit_depth"] * np.nan)
    write_dataset(blank, folder / "blank.nc")
    names = [folder / word if (folder / word).exists() else word for word in given]
    if len(names) == 1:
        names.append(folder / "planets.nc")
    given = ["explain", *names, "--output", tmp_path / "out"]
    result = CliRunner().invoke(app, list(map(str, given)))
    # What the command line's main makes one line of, see test_cli.
    assert isinstance(result.exception, ArielflowError), result.output
    assert says in str(result.exception) and "\n" not in str(result.exception)
    assert not (tmp_path / "out").exists()
