"""Runs with detector frames: raw frames in, leaderboard, submission and report out."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from frame_twins import write_twin
from workflow_run import LOCAL, ROOT, project, snakemake

from arielflow.core.config import merged, read_config
from arielflow.core.netcdf import read_netcdf
from arielflow.editions import get_frame_edition
from arielflow.evaluation.frames.submission import review_frame_submission
from arielflow.runs.inputs import run_faults

EDITION = get_frame_edition("adc2025")
PAIRS = {"AIRS-CH0": 360, "FGS1": 4320}
CONFIG = """
run: frames
edition: adc2025
frames: {path: data/frames, planets_per_job: 4}
"""
RUN = (*LOCAL, "--configfile", "config/frames.yaml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a data set, in which a training and a test planet are spoilt."""
    folder = project(tmp_path_factory.mktemp("frames"))
    data = folder / "data/frames"
    planets = {"train": ("101", "102", "103", "104", "105"), "test": ("201", "202")}
    twin = write_twin(data, EDITION, planets, pairs=PAIRS)
    np.save(folder / "true_depth.npy", twin.depth["201"])
    (data / "train/102/AIRS-CH0_signal_0.parquet").write_bytes(b"PAR1 and no more")
    shutil.rmtree(data / "test/202")
    sample = pd.DataFrame(0.5, index=[0, 1], columns=EDITION.submission_columns)
    sample["planet_id"] = [201.0, 202.0]
    sample.to_csv(data / "sample_submission.csv", index=False)
    (folder / "config/frames.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    """Results of the run."""
    done: subprocess.CompletedProcess = snakemake(folder, *RUN)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder / "results/frames"


def test_rows_and_their_scores(finished: Path) -> None:
    board = pd.read_csv(finished / "scores/leaderboard.csv").set_index("model")
    assert set(board.index) == {"constant", "box_baseline"}
    assert board["score"].between(0, 1).all() and board["unclipped_score"].is_monotonic_decreasing
    assert set(pd.read_csv(finished / "scores/planets.csv").columns) == {"planet_id", *board.index}


def test_the_depth_comes_out_as_it_went_in(folder: Path, finished: Path) -> None:
    spectra = read_netcdf(finished / "spectra/test/box_baseline.nc").isel(planet=0)
    truth = np.load(folder / "true_depth.npy")
    assert abs(spectra["depth"].values.mean() / truth.mean() - 1) < 0.05
    pull = (spectra["depth"].values - truth) / spectra["sigma"].values
    assert np.abs(pull).mean() < 3


def test_the_submission_has_every_planet_that_is_asked_for(finished: Path) -> None:
    path = finished / "submission/box_baseline.csv"
    verdict = review_frame_submission(path, EDITION, ["201", "202"])
    assert not verdict.faults
    check = json.loads((finished / "submission_check.json").read_text())
    assert check["valid"] and check["fallback_planets"] == ["202"]
    table = pd.read_csv(path).set_index("planet_id")
    assert table.loc[201, "wl_1"] != table.loc[202, "wl_1"]


def test_spoilt_planets_are_named(finished: Path) -> None:
    train = pd.read_csv(finished / "light_curves/train/quality.csv").set_index("planet_id")
    assert "unreadable_signal" in train.loc[102, "flags"] and "AIRS-CH0" in train.loc[102, "notes"]
    assert "unreadable_signal" not in train.loc[101, "flags"]
    test = pd.read_csv(finished / "light_curves/test/quality.csv").set_index("planet_id")
    assert "has no planet 202" in test.loc[202, "notes"]
    spectra = read_netcdf(finished / "spectra/test/box_baseline.nc")
    assert list(spectra["fallback"].values) == [0, 1] and "202" in spectra["fault"].values[1]


def test_summary_and_report_say_what_came_out(finished: Path) -> None:
    summary = (finished / "summary.txt").read_text()
    assert "score" in summary and "submission" in summary and "valid" in summary
    page = (finished / "report/index.html").read_text()
    assert "box_baseline" in page and "102" in page and "Light curves" in page
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["config"]["frames"]["planets_per_job"] == 4


def test_nothing_is_done_twice(folder: Path, finished: Path) -> None:
    again = snakemake(folder, *RUN, "-n")
    assert "Nothing to be done" in again.stdout


def test_new_frames_of_one_planet_run_its_chunk_again(folder: Path, finished: Path) -> None:
    (folder / "data/frames/train/105/FGS1_signal_0.parquet").touch()
    plan = snakemake(folder, *RUN, "-n").stdout
    assert plan.count("rule calibrate_frames:") == 1 and "chunks/1.csv" in plan


@pytest.mark.slow
def test_a_run_anew_gives_the_same_bytes(folder: Path, finished: Path, tmp_path: Path) -> None:
    first = (finished / "submission/box_baseline.csv").read_bytes()
    kept = finished.rename(tmp_path / "kept")
    try:
        assert snakemake(folder, *RUN).returncode == 0
        assert (finished / "submission/box_baseline.csv").read_bytes() == first
    finally:
        shutil.rmtree(finished, ignore_errors=True)
        kept.rename(finished)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("frames: {path: nowhere}", ["frames.path", "no such folder"]),
        ("frames: {path: tests}", ["frames.path", "train/ holds no folders of planets"]),
        ("frames: {path: data/frames, extractors: [magic]}", ["frames.extractors", "magic"]),
        ("frames: {path: data/frames, calibration: {adc: add}}", ["frames.calibration.adc", "add"]),
        ("models: [flow]\nframes: {path: data/frames}", ["models"]),
        ("frames: {}", ["frames", "path", "missing"]),
    ],
)
def test_faults_of_a_configuration_are_one_line(change: str, words: list[str]) -> None:
    default = read_config(ROOT / "config.yaml")
    given = yaml.safe_load(f"run: wrong\nedition: adc2025\n{change}\n")
    (fault,) = run_faults(merged(default, given), ROOT, default)
    assert fault.startswith("config: ") and "\n" not in fault
    assert all(word in fault for word in words), fault
