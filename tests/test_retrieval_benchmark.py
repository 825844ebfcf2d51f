"""The table of retrievals: columns, arithmetic, costs, and the evidence's convention."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import retrieval_run
import xarray as xr
from report_content import EDITION, make_importance, make_planets, make_posterior
from retrieval import COLUMNS, make_tables
from retrieval_evidence import evidence_summary, evidence_table, library_evidence, log_share
from retrieval_run import FinishedRun, extra_scores, row_cost, train_sbi
from rich.console import Console

from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_dataset
from arielflow.evaluation.leaderboard import SCORES
from arielflow.physics.systems import Systems
from arielflow.retrieval.likelihood import sampling_box
from arielflow.simulation.library import pack

N_PLANETS = 6
LOG_LIKELIHOOD_VOLUME = -3.0
SCORE = {"ceiling": 980.0, "flow": 735.0, "flow_single": 700.0, "prior": 490.0}
SCORE |= {"flow_importance": 960.0, "flow_importance_fallback": 970.0}
SECONDS = {"train_flow_0": 500.0, "train_flow_1": 300.0, "sample_prior": 3.0}
SECONDS |= {"sample_test_flow": 12.0, "sample_test_flow_single": 6.0}
SECONDS |= {"sample_importance_flow_0": 60.0, "sample_importance_flow_1": 180.0}


@pytest.fixture(scope="module")
def planets() -> xr.Dataset:
    """Test planets of Jupiter's mass around stars like the sun."""
    made = make_planets(N_PLANETS, "public", 5)
    made["planet"] = [f"public{number}" for number in range(1, N_PLANETS + 1)]
    for quantity, value in (("star_radius_m", 7e8), ("planet_mass_kg", 1.9e27)):
        made["auxiliary_value"].values[:, made["auxiliary_quantity"].values == quantity] = value
    return made


def nested_run(planets: xr.Dataset, position: int, at: float, widen: float) -> dict:
    """A library's entry of a run in a box of this widening, the likelihood 1 in a known volume.

    The samples lie ``at`` this share of the box at widening 1, which may be below 0 in radius.
    """
    systems = Systems.of(planets)
    low, high = sampling_box(systems, position)
    box = sampling_box(systems, position, widen)
    theta = low + (high - low) * np.where(box[0] < low, at, 0.5)
    names = ("transit_depth", "transit_depth_error", "prior_low", "prior_high")
    return {name: planets[name].values[position] for name in names} | {
        "theta": np.tile(theta, (50, 1)).astype(np.float32),
        "log_evidence": LOG_LIKELIHOOD_VOLUME - np.sum(np.log(box[1] - box[0])),
        "effective_samples": 2500.0,
        "likelihood_calls": 30000.0 + position,
        "seconds": 40.0,
    }


@pytest.fixture(scope="module")
def library(planets: xr.Dataset, tmp_path_factory) -> Path:
    """Truth of all planets but the last; the second one's box was widened once."""
    folder = tmp_path_factory.mktemp("truth")
    entries = []
    for position in range(N_PLANETS - 1):
        at, widen = (-0.2, 2.0) if position == 1 else (0.5, 1.0)
        entries.append(folder / f"{position}.npz")
        np.savez(entries[-1], **nested_run(planets, position, at, widen))
    names = [str(name) for name in planets["planet"].values[:-1]]
    groups = ("test/truth", "test/rerun")
    pack(dict.fromkeys(groups, entries), dict.fromkeys(groups, names), folder / "truth.h5")
    return folder / "truth.h5"


def prior_log_evidence(planets: xr.Dataset) -> np.ndarray:
    width = (planets["prior_high"] - planets["prior_low"]).values
    return LOG_LIKELIHOOD_VOLUME - np.log(width).sum(axis=1)


@pytest.fixture
def run(planets: xr.Dataset, library: Path, tmp_path: Path, monkeypatch) -> FinishedRun:
    """A finished run's files, below a folder of their own."""
    folder = tmp_path / "results/benchmark"
    config = {
        "edition": EDITION.name,
        "seed": 3,
        "models": ["flow", "flow_single"],
        "model_settings": {"flow": {"members": 2}, "flow_single": {"members_of": "flow"}},
        "physics": {"opacities": "builtin", "mode": "reference", "cia": False},
        "importance": {"models": ["flow"]},
        "simulation": {"truth_library": [str(library)]},
        "posterior": {"n_samples": 300, "chunks": 2},
    }
    for name in ("benchmarks", "scores/planets", "scores/calibration", "extra"):
        (folder / name).mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"config": config}))
    for job, seconds in SECONDS.items():
        (folder / f"benchmarks/{job}.tsv").write_text(f"s\tmax_rss\n{seconds}\t9\n")
    for row, score in SCORE.items():
        _scores(planets, score).to_csv(folder / f"scores/planets/{row}.csv", index=False)
    pd.DataFrame({"model": list(SCORE)}).to_csv(folder / "scores/leaderboard.csv", index=False)
    calibration = pd.DataFrame({"target": ["a", "joint"], "calibration_error": [0.125, 0.9]})
    for model in config["models"]:
        calibration.to_csv(folder / f"scores/calibration/{model}.csv", index=False)
    write_dataset(planets, folder / "ingested/test.nc")
    write_dataset(xr.Dataset(), folder / "truth/truth.nc")
    evidence = prior_log_evidence(planets) + 0.05
    for row, posterior in make_importance(planets, 2).items():
        posterior["log_evidence"] = "planet", evidence
        posterior["log_evidence_error"] = "planet", np.full(N_PLANETS, 0.02)
        if row.endswith("_fallback"):
            fallen = posterior["fallen_back"].values == 1
            posterior["likelihood_calls"].values[fallen] = 30000
            posterior["seconds"].values[fallen] = 50.0
        write_dataset(posterior, folder / f"posteriors/test/{row}.nc")
    monkeypatch.chdir(tmp_path)
    return FinishedRun.open(folder)


def _scores(planets: xr.Dataset, score: float) -> pd.DataFrame:
    """Every planet has the score, but the second one 100 more and the third one 100 less."""
    table = pd.DataFrame({"planet_ID": planets["planet"].values.astype(str)})
    table = table.assign(**dict.fromkeys(SCORES, score))
    table.loc[[1, 2], "posterior_score"] += [100.0, -100.0]
    return table


@pytest.fixture
def scored(monkeypatch) -> list[str]:
    """Scoring without a forward model; the list grows by each call."""
    calls: list[str] = []

    def score(edition, posterior, planets, truth, **options):
        calls.append(str(posterior.attrs.get("name")))
        return _scores(planets, 680.0)

    monkeypatch.setattr(retrieval_run, "score_posterior", score)
    return calls


def test_tables_of_a_run(run: FinishedRun, scored: list[str], planets: xr.Dataset) -> None:
    posterior = make_posterior(planets, 4).assign_attrs(training_seconds=490.0, sampling_seconds=9)
    write_dataset(posterior, run.folder / "extra/sbi_npe.nc")
    console = Console(record=True, width=250)
    paths = make_tables("benchmark", Path(), console)
    assert [path.name for path in paths] == ["retrieval.csv", "importance_evidence.csv"]
    table = pd.read_csv(paths[0])
    assert list(table) == list(COLUMNS)
    assert list(table["model"]) == sorted([*SCORE, "sbi_npe"], key=lambda m: -(SCORE.get(m, 680)))
    table = table.set_index("model")
    assert table.loc["flow", "percent_of_ceiling"] == pytest.approx(75)
    assert table.loc["ceiling", "percent_of_ceiling"] == 100
    assert table.loc["flow", ["worst_planet", "worst_planet_score"]].tolist() == ["public3", 635]
    assert (
        table.loc["flow", "posterior_score_low"] < 735 < table.loc["flow", "posterior_score_high"]
    )
    assert table.loc["flow", "calibration_error"] == 0.125
    assert table["calibration_error"].isna().sum() == len(table) - 2
    assert table.loc["sbi_npe", ["training_seconds", "seconds_a_planet"]].tolist() == [490, 1.5]
    evidence = pd.read_csv(paths[1])
    assert list(evidence) == list(evidence_table("flow", *[_evidence(planets)] * 3))
    assert evidence["difference"][:-1].to_numpy() == pytest.approx(0.05, abs=1e-4)
    assert evidence["difference"].isna().tolist() == [False] * (N_PLANETS - 1) + [True]
    text = console.export_text()
    assert "sbi_npe" in text and "100 % of 5 planets" in text


def _evidence(planets: xr.Dataset) -> pd.DataFrame:
    names = ("log_evidence", "log_evidence_error", "sampling_efficiency", "likelihood_calls")
    index = planets["planet"].values.astype(str)
    return pd.DataFrame(0.0, index=index, columns=[*names, "seconds"])


def test_costs_of_the_rows(run: FinishedRun) -> None:
    def cost(row: str) -> list[float]:
        names = ("forward_calls", "seconds_a_planet", "training_seconds")
        return [row_cost(run, row)[name] for name in names]

    assert cost("flow") == [0, 2, 800]
    assert cost("flow_single") == [0, 1, 500]
    assert cost("prior") == [0, 0.5, 0]
    assert cost("ceiling") == [30002, 40, 0]
    assert cost("flow_importance_fallback") == [7100, 40, 800]
    # Without the two planets' 50 seconds of nested sampling.
    assert cost("flow_importance") == pytest.approx([7100, 140 / N_PLANETS, 800])


def test_nested_evidence_is_brought_to_the_whole_prior(planets: xr.Dataset, library: Path) -> None:
    found = library_evidence([library], planets, "truth")
    expected = prior_log_evidence(planets)
    np.testing.assert_allclose(found["log_evidence"][:-1], expected[:-1], atol=1e-9)
    assert found.iloc[-1].isna().all()
    box = sampling_box(Systems.of(planets), 0)
    share = np.log(box[1] - box[0]).sum() - (LOG_LIKELIHOOD_VOLUME - expected[0])
    assert share < -0.5
    assert log_share(planets, 0, np.tile(box.mean(axis=0), (9, 1))) == pytest.approx(share)
    assert library_evidence([], planets, "truth").isna().all(axis=None)


def test_summary_counts_a_planet_without_evidence_as_one_that_differs(planets: xr.Dataset) -> None:
    truth, importance = _evidence(planets), _evidence(planets)
    importance.loc[["public1", "public2"], "log_evidence"] = [np.nan, 0.11]
    line = evidence_summary(evidence_table("flow", importance, truth, truth))
    assert "for 67 % of 6 planets (its rerun: 100 %)" in line


def test_scores_of_extra_rows_are_kept_until_the_posterior_is_newer(
    run: FinishedRun, scored: list[str], planets: xr.Dataset
) -> None:
    path = run.folder / "extra/flow_variational.nc"
    write_dataset(make_posterior(planets, 4), path)
    first, second = (extra_scores(run, "flow_variational") for _ in range(2))
    assert len(scored) == 1 and first.equals(second)
    later = path.with_suffix(".csv").stat().st_mtime + 10
    os.utime(path, (later, later))
    extra_scores(run, "flow_variational")
    assert len(scored) == 2
    write_dataset(make_posterior(planets.isel(planet=slice(0, 4)), 4), path)
    os.utime(path, (later + 10, later + 10))
    with pytest.raises(ArielflowError, match="2 of the run's 6 test planets"):
        extra_scores(run, "flow_variational")


def test_sbi_gets_the_first_members_time_and_is_trained_once(run: FinishedRun) -> None:
    (run.folder / "ingested/train.nc").touch()
    python = run.folder / "python"
    output = run.folder / "extra/sbi_npe.nc"
    python.write_text(f'#!/bin/sh\necho "$@" >> {output}\n')
    python.chmod(0o755)
    for _ in range(2):
        train_sbi(run, python)
    (command,) = output.read_text().splitlines()
    assert "sbi_peer.py --train" in command and "ingested/train_split.csv" in command
    assert "--seconds 500.0 --samples 300 --seed 3" in command
    output.unlink()
    python.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(ArielflowError, match=r"sbi_peer\.py failed"):
        train_sbi(run, python)


def test_an_unfinished_run_is_one_telling_error(tmp_path: Path) -> None:
    with pytest.raises(ArielflowError, match="finish the run first"):
        FinishedRun.open(tmp_path)
