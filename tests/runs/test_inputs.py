"""What a run starts from: looked for at the parse, and known when it is exchanged."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from workflow_run import LOCAL, ROOT, snakemake

from arielflow.core.config import merged, read_config
from arielflow.editions import official_files, wfc3
from arielflow.runs import inputs

DEFAULT = read_config(ROOT / "config.yaml")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working directory with data sets in several states, empty files in the place of the data."""
    for name in ("whole", "half", "test_only"):
        for below in ("TrainingData", "TestData"):
            if name == "whole" or (name == "test_only") == (below == "TestData"):
                _fill(tmp_path / name / below)
    _fill(tmp_path / "flat")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/H2O.h5").touch()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA", "whole")
    return tmp_path


def _fill(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in (official_files.AUXILIARY_TABLE, official_files.SPECTRAL_DATA):
        (folder / name).touch()


def _config(change: dict[str, Any]) -> dict[str, Any]:
    library = {"simulation": {"truth_library": []}}
    return deepcopy(merged(merged(DEFAULT, library), change))


def _dataset(**entries: Any) -> dict[str, Any]:
    return {"dataset": entries}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_dataset(path="nowhere"), ["dataset.path: nowhere: no such folder in /"]),
        (_dataset(path="file"), ["dataset.path: file: is a file"]),
        (_dataset(path="tables"), ["dataset.path", "AuxillaryTable.csv", "found H2O.h5"]),
        (_dataset(path="half"), ["dataset.path", "no AuxillaryTable.csv", "found TrainingData"]),
        (_dataset(path="whole/TrainingData"), ["dataset.path", "would be the same"]),
        (_dataset(path="flat"), ["dataset.path", "would be the same"]),
        (_dataset(path="$NOT_SET/data"), ["dataset.path", "$NOT_SET is not set"]),
        (_dataset(path="~/nowhere"), ["dataset.path: /", "nowhere: no such folder;"]),
        (_dataset(test_path="nowhere"), ["dataset.test_path: nowhere: no such folder"]),
        (_dataset(path="half", test_path="tables"), ["dataset.test_path: tables: holds no Aux"]),
        ({"physics": {"opacities": "nowhere"}}, ["physics.opacities: nowhere", "builtin"]),
        ({"physics": {"opacities": "file"}}, ["physics.opacities: file: is a file"]),
        ({"simulation": {"truth_library": ["no.h5"]}}, ["truth_library: no.h5: no such file"]),
        ({"simulation": {"truth_library": ["tables"]}}, ["truth_library: tables: no such file"]),
        (_dataset(path="x" * 1000), ["dataset.path", "no such folder"]),
        (
            {"edition": "wfc3"} | _dataset(path="tables", prior="population"),
            ["dataset.path: tables: holds no testing.npy and no error_bars.npy"],
        ),
        (
            {"edition": "wfc3"}
            | _dataset(path="new", prior="population", sources={"testing.npy": {"url": "s3://a"}}),
            ["dataset.path: new: no such folder"],
        ),
    ],
)
def test_what_is_not_there_is_named_with_its_key(here: Path, change, words) -> None:
    config = _config(change)
    inputs.expand_paths(config)
    (fault,) = inputs.input_faults(config)
    assert all(word in fault for word in words), fault
    assert fault.startswith("config: ") and "\n" not in fault and len(fault) < 700


@pytest.mark.parametrize(
    "change",
    [
        {},
        _dataset(path="whole"),
        _dataset(path="~/whole/"),
        _dataset(path="$HOME/${DATA}"),
        _dataset(path="half", test_path="flat"),
        _dataset(path="half", test_path="test_only"),
        _dataset(test_path="test_only"),
        {"physics": {"opacities": "~/tables"}},
        # A library is for simulated planets alone.
        _dataset(path="whole") | {"simulation": {"truth_library": ["no.h5"]}},
        {"edition": "wfc3"}
        | _dataset(path="new", sources={name: {"url": "s3://a"} for name in wfc3.FILES}),
    ],
)
def test_what_is_there_or_will_be_brought_is_taken(here: Path, change) -> None:
    config = _config(change)
    inputs.expand_paths(config)
    assert inputs.input_faults(config) == []


def test_paths_are_written_out_once(here: Path) -> None:
    entries = {"path": "~/a//b/", "test_path": "$DATA/x"}
    config = _config(
        _dataset(**entries)
        | {"simulation": {"truth_library": ["~/t.h5"]}, "container": "docker://$DATA/image"}
    )
    inputs.expand_paths(config)
    assert config["dataset"]["path"] == f"{here}/a/b"
    assert config["dataset"]["test_path"] == "whole/x"
    assert config["simulation"]["truth_library"] == [f"{here}/t.h5"]
    assert config["container"] == "docker://whole/image"
    assert config["physics"]["opacities"] == "builtin"
    before = deepcopy(config)
    inputs.expand_paths(config)
    assert config == before


def test_files_of_a_data_set_are_those_that_its_readers_read(here: Path) -> None:
    assert set(wfc3.FILES) == {
        name.removeprefix("x/") for name in inputs.dataset_files("x", "wfc3", "train")
    }
    names = [official_files.PARAMETER_TABLE, *official_files.TRACE_DATA]
    truth = here / "whole/TrainingData" / official_files.GROUND_TRUTH
    truth.mkdir()
    for name in names:
        (truth / name).touch()
    found = inputs.dataset_files("whole", "adc2023", "train")
    assert {path.relative_to(here).as_posix() for path in truth.iterdir()} < set(found)
    assert len(found) == 2 + len(names)


def _old(folder: Path) -> None:
    """Give all files of a folder a time long before any result's."""
    for path in folder.rglob("*"):
        os.utime(path, (1e9, 1e9))


def _jobs(folder: Path) -> set[str]:
    """Rules of the jobs that are left to do for the split of a data set of one's own."""
    done = run_own(folder, "-n")
    assert done.returncode == 0, done.stderr[-2000:]
    return set(re.findall(r"^(?:local)?rule (\w+):$", done.stdout + done.stderr, re.MULTILINE))


def run_own(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    target = "results/own/ingested/train_split.csv"
    return snakemake(folder, *LOCAL, *arguments, "--configfile", "own.yaml", "--", target)


def test_an_exchanged_source_reruns_what_was_made_of_it(tiny: Path) -> None:
    """Even where it is older than the results, and never as if the old results were its own."""
    for name in ("one", "two"):
        shutil.copytree(tiny / "results/tiny/dataset", tiny / "data" / name)
        _old(tiny / "data" / name)
    own = tiny / "own.yaml"
    own.write_text("run: own\ndataset: {path: data/one}\n")
    done = run_own(tiny)
    assert done.returncode == 0, done.stderr[-2000:]
    assert _jobs(tiny) == set()
    made = {"ingest", "split_planets"}
    truth = tiny / "data/one/TrainingData/Ground Truth Package/FM_Parameter_Table.csv"
    content = truth.read_text()
    truth.write_text("".join(content.splitlines(keepends=True)[:-1]))
    _old(tiny / "data/one")
    assert _jobs(tiny) == made
    truth.write_text(content)
    _old(tiny / "data/one")
    own.write_text("run: own\ndataset: {path: data/two}\n")
    assert _jobs(tiny) >= made
    own.write_text("run: own\ndataset: {path: data/nowhere}\n")
    done = run_own(tiny, "-n")
    assert done.returncode != 0
    assert "config: dataset.path: data/nowhere: no such folder" in done.stdout + done.stderr
