"""Crates of runs whose names are also names of folders on the way to them or below them."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

import pytest

from arielflow.core.files import write_json
from arielflow.runs.crate import write_crate
from arielflow.runs.manifest import run_manifest


@pytest.mark.parametrize("name", ["results", "report", "submission", "tiny"])
def test_files_lie_in_the_crate_as_below_the_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path("results", name)
    files = ["manifest.json", "report/index.html", "submission/flow.hdf5", "scores/leaderboard.csv"]
    for file in files[1:]:
        (run / file).parent.mkdir(parents=True)
        (run / file).write_text(file)
    config = {"run": name, "edition": "adc2023"}
    write_json(run_manifest(config, {}, {}, {}, {}), run / files[0])
    Path("Snakefile").write_text("rule all:\n")
    paths = [str(run / file) for file in files]
    write_crate(paths[0], paths[1:], "Snakefile", run / "crate.zip")
    with ZipFile(run / "crate.zip") as crate:
        inside = set(crate.namelist())
        assert crate.read("report/index.html") == b"report/index.html"
        assert crate.read("config.yaml").decode() == f"edition: adc2023\nrun: {name}\n"
        entities = json.loads(crate.read("ro-crate-metadata.json"))["@graph"]
    assert inside >= {*files, "config.yaml", "Snakefile"}
    (action,) = (e for e in entities if e["@type"] == "CreateAction")
    assert {entry["@id"] for entry in action["result"]} == set(files)
    assert {path.name for path in run.iterdir() if path.is_file()} == {"manifest.json", "crate.zip"}
