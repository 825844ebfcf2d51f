"""The command line: JSON, exit codes, and one-line errors without a traceback."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
from io import StringIO
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from command_line import run
from rich.console import Console

from arielflow.cli.common import console
from arielflow.cli.tables import selection_tables
from arielflow.core.errors import system_fault
from arielflow.core.schema import open_dataset, posterior_dataset
from arielflow.data.priors import prior_samples
from arielflow.editions import get_edition
from arielflow.editions.official_files import quartile_columns
from arielflow.evaluation.submission.write import write_submission


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, opacities) -> Path:
    """A data set simulated by the command line itself, without nested sampling."""
    folder = tmp_path_factory.mktemp("cli") / "data"
    done = run(
        *("simulate", "--edition", "adc2023", "--output", folder, "--train", 25, "--seed", 9),
        *("--opacities", str(opacities), "--json"),
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["planets"] == {"train": 25} and content["prior"] == "matched"
    # The training planets stand in for test planets, whose truth would take nested sampling.
    (folder / "TrainingData").rename(folder / "TestData")
    shutil.rmtree(folder / "TestData" / "Ground Truth Package")
    return folder


@pytest.fixture(scope="module")
def submission(dataset, tmp_path_factory) -> Path:
    """A valid submission for the data set."""
    output = tmp_path_factory.mktemp("ingested")
    done = run("ingest", dataset, "--edition", "adc2023", "--output", output, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["test"]["planets"] == 25 and summary["test"]["flagged"] == {}
    planets = open_dataset(output / "test.nc")
    posterior = posterior_dataset(planets, prior_samples(planets, 1100, seed=1))
    return write_submission(posterior, get_edition("adc2023"), output, "flow")[0]


def _one_line_error(done: subprocess.CompletedProcess, *says: str) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1
    for word in says:
        assert word in done.stderr


def test_help_is_quick_and_complete() -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in ("ingest", "simulate", "score", "validate-submission", "info"):
        assert command in done.stdout
        assert run(command, "--help").returncode == 0


def test_info_as_json() -> None:
    content = json.loads(run("info", "--json").stdout)
    assert {"arielflow", "device", "editions", "packages"} <= set(content)


def test_validate_submission(submission, dataset, tmp_path) -> None:
    arguments = ("--edition", "adc2023", "--test", dataset, "--json")
    done = run("validate-submission", submission, *arguments)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"valid": True, "faults": [], "warnings": []}
    spoilt = tmp_path / "spoilt.hdf5"
    spoilt.write_bytes(submission.read_bytes())
    with h5py.File(spoilt, "r+") as file:
        file["Planet_train3"]["weights"][:] *= 0.9
        del file["Planet_train5"]
    done = run("validate-submission", spoilt, *arguments)
    assert done.returncode == 1
    assert len(json.loads(done.stdout)["faults"]) == 2


_NAMES = ("[/]", "[bold]x", ":cat:", "\x1b[31mred", "a" * 300)


def test_names_out_of_files_are_no_orders_to_the_terminal(tmp_path) -> None:
    (tmp_path / "TestData").mkdir()
    rows = "".join(f"{name}\n" for name in "abcdef")
    (tmp_path / "TestData" / "AuxillaryTable.csv").write_text(f"planet_ID\n{rows}")
    columns = quartile_columns(get_edition("adc2022"))
    light = tmp_path / "light.csv"
    light.write_text(
        "\n".join(
            [
                ",".join(("planet_ID", *columns)),
                *(",".join((name, *["-5"] * len(columns))) for name in ("a", "b", "c", *_NAMES)),
            ]
        )
    )
    done = run("validate-submission", light, "--edition", "adc2022", "--test", tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    for shown in (*_NAMES[:3], r"\x1b[31mred", "a" * 80 + "… (300 characters)"):
        assert f"{shown}: planet is not in the test data" in done.stdout
    assert "\x1b" not in done.stdout


def test_tables_and_bars_show_names_as_they_are() -> None:
    row = {"model": "[/]", "elbo": 1.0, "elbo_error": 0.1, "log_bayes_factor": 0.0, "warning": ""}
    row |= {"log_evidence": 1.2, "log_evidence_error": 0.1, "forward_calls": 1, "selected": True}
    table = pd.DataFrame([row | {"planet": "[/red]:cat:"}])
    printed = StringIO()
    literal = Console(file=printed, markup=console._markup, emoji=console._emoji)
    for shown in selection_tables(table):
        literal.print(shown)
    assert "[/red]:cat:" in printed.getvalue() and "[/]" in printed.getvalue()


def test_errors_of_the_system_say_where_and_what_to_do(dataset, tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    below = tmp_path / "file" / "below"
    done = run("ingest", dataset, "--edition", "adc2023", "--output", below)
    _one_line_error(done, f"{below}: ", "check the path: a part of it is a file")
    assert "Errno" not in done.stderr
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory", "planets.csv")
    assert system_fault(missing) == "planets.csv: no such file or directory; check the path"
    assert system_fault(OSError("odd")) == "odd; see to it and run it again"


def test_score(submission, tmp_path) -> None:
    truth = tmp_path / "Tracedata.hdf5"
    with h5py.File(submission) as source, h5py.File(truth, "w") as file:
        for name in source:
            file[f"{name}/tracedata"] = source[name]["tracedata"][()]
            file[f"{name}/weights"] = source[name]["weights"][()]
        file["Planet_train2/tracedata"][:] += 10.0
    done = run("score", submission, "--edition", "adc2023", "--truth", truth, "--json")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["planets"]["train1"] == pytest.approx(1000)
    assert content["planets"]["train2"] < 600
    assert content["posterior_score"] == pytest.approx(np.mean(list(content["planets"].values())))
    with h5py.File(truth, "r+") as file:
        del file["Planet_train2"]
    done = run("score", submission, "--edition", "adc2023", "--truth", truth)
    _one_line_error(done, "Planet_train2: planet is not in")


def test_faults_are_one_line(submission, dataset, tmp_path) -> None:
    _one_line_error(run("ingest", tmp_path / "no", "--edition", "adc2023", "--output", tmp_path))
    _one_line_error(
        run("ingest", dataset, "--edition", "adc1999", "--output", tmp_path), "adc1999", "adc2023"
    )
    _one_line_error(
        run("ingest", dataset, "--edition", "adc2023", "--output", tmp_path, "--limits", "mass=1"),
        *("--limits mass=1", "NAME=LOWEST:HIGHEST"),
    )
    broken = tmp_path / "broken.hdf5"
    broken.write_bytes(submission.read_bytes()[:400])
    _one_line_error(
        run("score", submission, "--edition", "adc2023", "--truth", broken), "broken.hdf5"
    )
    _one_line_error(
        run("score", broken, "--edition", "adc2023", "--truth", submission), "broken.hdf5"
    )
    _one_line_error(
        run("score", submission, "--edition", "adc2022", "--truth", submission), "adc2022"
    )
    _one_line_error(
        run("simulate", "--edition", "wfc3", "--output", tmp_path / "x"), "cannot be simulated"
    )
