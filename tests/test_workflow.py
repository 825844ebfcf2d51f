"""The whole workflow on the tiny configuration, in a copy of the project."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import pandas as pd
import pytest
from workflow_run import ROOT, project, run_tiny, snakemake


def test_everything_is_there(tiny: Path) -> None:
    run = tiny / "results/tiny"
    board = pd.read_csv(run / "scores/leaderboard.csv")
    through_physics = {"flow_importance", "flow_importance_fallback", "flow_variational"}
    trained = {"random_forest", "mc_dropout", "flow"}
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
    assert (run / "manifest.json").is_file()


def test_test_truth_is_read_by_scoring_alone() -> None:
    for name in ("train", "retrieve", "explore"):
        assert "truth" not in (ROOT / f"workflow/rules/{name}.smk").read_text().lower()


def test_second_run_does_nothing(tiny: Path) -> None:
    done = run_tiny(tiny)
    assert done.returncode == 0 and "Nothing to be done" in done.stderr + done.stdout


def test_unknown_key_is_refused(tiny: Path) -> None:
    done = run_tiny(tiny, "-n", "--config", "sede=3")
    assert done.returncode != 0 and "sede" in done.stderr + done.stdout


def test_workflow_lint_and_dry_run(tmp_path: Path) -> None:
    folder = project(tmp_path)
    assert snakemake(folder, "--lint").returncode == 0
    assert snakemake(folder, "-n").returncode == 0


def test_snakemake_report_builds(tiny: Path) -> None:
    done = run_tiny(tiny, "--report", "report.html")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tiny / "report.html").stat().st_size > 100_000


@pytest.mark.slow
def test_same_configuration_gives_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    again = project(tmp_path)
    assert run_tiny(again).returncode == 0
    name = "results/tiny/submission/flow.hdf5"
    assert (tiny / name).read_bytes() == (again / name).read_bytes()
