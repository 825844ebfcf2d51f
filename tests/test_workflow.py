"""The whole workflow on the tiny configuration, in a copy of the project."""

from __future__ import annotations

import json
import re
from pathlib import Path
from zipfile import ZipFile

import h5py
import numpy as np
import pandas as pd
import pytest
from remote_servers import s3_client, s3_server
from workflow_run import LOCAL, ROOT, TINY, project, run_tiny, snakemake


def test_everything_is_there(tiny: Path) -> None:
    run = tiny / "results/tiny"
    board = pd.read_csv(run / "scores/leaderboard.csv")
    through_physics = {"flow_importance", "flow_importance_fallback", "flow_variational"}
    trained = {"random_forest", "mc_dropout", "flow", "bnn"}
    assert set(board["model"]) == trained | through_physics | {"prior", "ceiling"}
    assert board["model"][0] == "ceiling"
    ceiling = board.set_index("model").loc["ceiling"]
    assert ceiling["posterior_score"] > 955
    assert ceiling["posterior_score_low"] <= ceiling["posterior_score"]
    blank = board.set_index("model")["log_prob"].isna()
    assert blank["random_forest"] and blank["prior"] and not blank["flow"]
    blank = board.set_index("model")["calibration_error"].isna()
    assert set(blank.index[blank]) == through_physics | {"prior", "ceiling"}
    assert [p.name for p in (run / "submission").iterdir()] == ["flow.hdf5"]
    with h5py.File(run / "submission/flow.hdf5") as file:
        assert set(file) == {f"Planet_public{n}" for n in range(1, 5)}
    page = (run / "report/index.html").read_text()
    assert not re.search(r"(?:src|href)=[\"']https?://", page)
    assert "(valid)" in (run / "summary.txt").read_text()


def test_manifest_tells_what_the_jobs_asked_for_and_used(tiny: Path) -> None:
    jobs = json.loads((tiny / "results/tiny/manifest.json").read_text())["jobs"]
    # What follows the manifest cannot be in it.
    left = {"manifest", "report"}
    assert set(jobs) == {p.stem for p in (tiny / "results/tiny/benchmarks").iterdir()} - left
    training = jobs["train_flow_0"]
    assert training["rule"] == "train_model" and training["used"]["seconds"] > 0
    assert training["requested"] == {
        "threads": 1,
        "mem_mb": 2000,
        "runtime": 240,
        "gpu": 0,
        "nodes": 1,
        "tasks": 0,
    }


def test_test_truth_is_read_by_scoring_alone() -> None:
    for name in ("train", "retrieve", "explore"):
        assert "truth" not in (ROOT / f"workflow/rules/{name}.smk").read_text().lower()


def test_second_run_does_nothing(tiny: Path) -> None:
    done = run_tiny(tiny)
    assert done.returncode == 0 and "Nothing to be done" in done.stderr + done.stdout


def test_unknown_key_is_refused(tiny: Path) -> None:
    done = run_tiny(tiny, "-n", "--config", "sede=3")
    assert done.returncode != 0 and "sede" in done.stderr + done.stdout


def test_the_default_run_can_be_planned(tmp_path: Path) -> None:
    assert snakemake(project(tmp_path), "-n").returncode == 0


def test_snakemake_report_builds(tiny: Path) -> None:
    done = run_tiny(tiny, "--report", "report.html")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tiny / "report.html").stat().st_size > 100_000


def test_a_run_becomes_a_crate(tiny: Path) -> None:
    done = run_tiny(tiny, "--", "results/tiny/crate.zip")
    assert done.returncode == 0, done.stderr[-3000:]
    with ZipFile(tiny / "results/tiny/crate.zip") as crate:
        names = set(crate.namelist())
        content = json.loads(crate.read("ro-crate-metadata.json"))
        assert (
            crate.read("submission/flow.hdf5")
            == (tiny / "results/tiny/submission/flow.hdf5").read_bytes()
        )
    assert {"Snakefile", "config.yaml", "manifest.json", "report/index.html"} <= names
    entities = {entity["@id"]: entity for entity in content["@graph"]}
    assert entities["./"]["mainEntity"] == {"@id": "Snakefile"}
    (action,) = (e for e in entities.values() if e["@type"] == "CreateAction")
    manifest = json.loads((tiny / "results/tiny/manifest.json").read_text())
    read = {entities[ref["@id"]].get("sha256") for ref in action["object"]}
    assert {entry["sha256"] for entry in manifest["inputs"].values()} <= read
    assert {"@id": "submission/flow.hdf5"} in action["result"]


def test_a_map_of_molecules_is_made_of_planets_whose_posteriors_the_report_draws(
    tiny: Path,
) -> None:
    run = tiny / "results/tiny"
    rows = pd.read_csv(run / "detections/flow/molecules.csv")
    assert (rows.groupby("planet").size() == 5).all() and rows["planet"].nunique() == 3
    bins = pd.read_csv(run / "detections/flow/bins.csv")
    assert len(bins) == 52 * rows["log_bayes_factor"].notna().sum()
    page = (run / "report/index.html").read_text()
    for number, planet in enumerate(rows["planet"].unique(), start=1):
        assert f"Planet {planet}: joint posteriors" in page
        assert (run / f"figures/corner_{number}.svg").is_file()
        assert f"{planet}, flow: molecules left out" in page


@pytest.mark.slow
@pytest.mark.parametrize("model", ["random_forest", "mc_dropout", "flow", "bnn"])
def test_every_model_can_be_asked_what_it_looked_at(tiny: Path, model: str) -> None:
    folder = tiny / f"results/tiny/explanations/{model}"
    done = run_tiny(tiny, "--", f"results/tiny/explanations/{model}")
    assert done.returncode == 0, done.stderr[-3000:]
    content = json.loads((folder / "explanation.json").read_text())
    written = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    # Snakemake marks the folder as an output.
    assert written - {".snakemake_timestamp"} == {*content["files"], "explanation.json"}
    assert len(content["planets"]) == 4
    tables = {"attributions.csv", "agreement.csv", "permutation.csv", "rules.csv"}
    assert tables | {"figures/bands_1.png", "figures/permutation.png"} <= written
    clusters = pd.read_csv(folder / "permutation.csv")["cluster"].astype(str)
    assert {"all"} < set(clusters)


@pytest.mark.slow
def test_a_run_compares_its_training_and_test_planets(tiny: Path) -> None:
    # The tiny run's four test planets are too few.
    done = run_tiny(tiny, "--", "results/tiny/drift/drift.json")
    assert done.returncode != 0
    assert "4 usable planets of 4, expected at least 20" in done.stderr + done.stdout
    (tiny / "more.yaml").write_text("run: more\nsimulation: {n_test: 24}\n")
    done = snakemake(tiny, *LOCAL, *TINY, "more.yaml", "--", "results/more/drift/drift.json")
    assert done.returncode == 0, done.stderr[-3000:]
    folder = tiny / "results/more/drift"
    verdicts = json.loads((folder / "drift.json").read_text())["verdicts"]
    assert len(verdicts) == 6
    # Both come from one simulation and theta is known of both: nothing differs but by chance.
    assert sum(bool(verdict["drift"]) for verdict in verdicts) <= 1
    assert len(pd.read_csv(folder / "concept.csv")) == 7
    assert len(pd.read_csv(folder / "spectrum_bins.csv")) == 52
    assert (folder / "bins.svg").stat().st_size > 1000


@pytest.mark.slow
def test_results_are_published_to_s3(tiny: Path) -> None:
    with s3_server() as environment:
        done = run_tiny(tiny, "--config", "publish=s3://results/ariel", environment=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        storage = s3_client(environment)
        found = storage.list_objects_v2(Bucket="results")["Contents"]
        below = "ariel/tiny"
        assert {item["Key"] for item in found} == {
            f"{below}/report/index.html",
            f"{below}/manifest.json",
            f"{below}/summary.txt",
            f"{below}/scores/leaderboard.csv",
            f"{below}/submission/flow.hdf5",
        }
        sent = storage.get_object(Bucket="results", Key=f"{below}/submission/flow.hdf5")
        assert sent["Body"].read() == (tiny / "results/tiny/submission/flow.hdf5").read_bytes()


@pytest.mark.slow
def test_same_configuration_gives_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    again = project(tmp_path)
    assert run_tiny(again).returncode == 0
    name = "results/tiny/submission/flow.hdf5"
    assert (tiny / name).read_bytes() == (again / name).read_bytes()


@pytest.mark.slow
def test_calibration_by_groups_and_a_recalibrated_row(tiny: Path) -> None:
    files = ("--configfile", "tests/config/tiny.yaml", "tests/config/recalibrated.yaml")
    wanted = [
        f"results/tiny/calibration/{row}/summary.json" for row in ("flow", "flow_recalibrated")
    ]
    plain = (tiny / "results/tiny/submission/flow.hdf5").read_bytes()
    done = run_tiny(tiny, *files, "--", "all", *wanted)
    assert done.returncode == 0, done.stderr[-3000:]
    run = tiny / "results/tiny"
    for row in ("flow", "flow_recalibrated"):
        found = json.loads((run / f"calibration/{row}/summary.json").read_text())
        assert found["model"] == row and 250 < found["n_planets"] <= 300
        table = pd.read_csv(run / f"calibration/{row}/groups.csv")
        assert len(table) == found["n_cells"] and table["outside"].sum() == found["n_outside"]
        covariates = {"all", "signal_to_noise", "temperature", "cluster", "detectable"}
        assert set(table["covariate"]) == covariates
    gain = pd.read_csv(run / "calibration/flow/gain.csv").set_index(["measure", "target"])
    # A flow of three epochs is no calibrated one.
    assert gain.loc[("calibration_error", "mean"), "change"] < 0
    board = pd.read_csv(run / "scores/leaderboard.csv").set_index("model")
    assert np.isfinite(
        board.loc["flow_recalibrated", ["posterior_score", "calibration_error"]]
    ).all()
    assert "Recalibration of flow" in (run / "report/index.html").read_text()
    assert (run / "submission/flow.hdf5").read_bytes() == plain
