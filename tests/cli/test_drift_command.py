"""The command ``drift``: folders and files, JSON, tables and figures, one line for a bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from command_line import run

from arielflow.core.files import write_dataset


@pytest.fixture(scope="module")
def files(simulated: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two NetCDF files of planets."""
    folder = tmp_path_factory.mktemp("drift")
    described = simulated.assign_attrs(edition="adc2023", split="train")
    for name, rows in (("first", slice(0, 60)), ("second", slice(60, 120))):
        write_dataset(described.isel(planet=rows), folder / f"{name}.nc")
    return folder / "first.nc", folder / "second.nc"


@pytest.fixture(scope="module")
def folder(opacities: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with training planets alone."""
    output = tmp_path_factory.mktemp("drift") / "data"
    done = run(
        *("simulate", "--edition", "adc2023", "--output", output, "--train", 40, "--seed", 9),
        *("--opacities", opacities),
    )
    assert done.returncode == 0, done.stderr
    return output


def test_a_folder_and_a_file_are_compared(folder, files, tmp_path) -> None:
    """Of a folder that has training planets alone, these stand for the test set too."""
    done = run("drift", files[0], folder, "--edition", "adc2023", "--output", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content == json.loads((tmp_path / "drift.json").read_text())
    assert "test set: 40 planets compared" in content["notes"][1]
    concept = content["verdicts"][-1]
    assert concept["drift"] is False and concept["p_value"] > 0.01  # theta is in both
    assert len(pd.read_csv(tmp_path / "spectrum_bins.csv")) == 52
    assert (tmp_path / "bins.svg").stat().st_size > 1000


def test_words_without_json(files, called) -> None:
    code, out, err = called("drift", *files, "--no-noise")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("training set: 60 planets compared, 0 left out")
    assert any(line.startswith("spectra, bin by bin: none, ") for line in lines)


def _damaged(kind: str, good: Path, place: Path) -> Path:
    path = place / f"{kind}.nc"
    if kind == "missing":
        return place / "nowhere"
    if kind == "folder":
        return place
    if kind in ("few", "posterior", "units", "infinite"):
        planets = xr.open_dataset(good, engine="h5netcdf").load()
        changed = {
            "few": lambda: planets.isel(planet=slice(0, 5)),
            "posterior": lambda: planets.drop_vars("transit_depth"),
            "units": lambda: planets.drop_vars("auxiliary_units"),
            "infinite": lambda: planets.assign(auxiliary_value=planets["auxiliary_value"] * np.inf),
        }[kind]()
        write_dataset(changed, path)
    else:
        content = {
            "empty": b"",
            "text": b"\xef\xbb\xbfplanet\r\n\xe9",
            "cut": good.read_bytes()[:5000],
        }
        path.write_bytes(content[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "no such file or folder"),
        ("folder", "SpectralData.hdf5"),
        ("empty", "not a readable"),
        ("text", "not a readable"),
        ("cut", "not a readable"),
        ("few", "5 usable planets of 5, expected at least 20"),
        ("posterior", "transit_depth is missing"),
        ("units", "auxiliary_units"),
        ("infinite", "infinite.nc: planets dataset: auxiliary_value"),
    ],
)
def test_a_bad_input_is_one_line(kind, words, files, tmp_path, called) -> None:
    path = _damaged(kind, files[1], tmp_path)
    code, out, err = called("drift", files[0], path, "--edition", "adc2023")
    assert code == 2 and out == ""
    assert "Traceback" not in err and len(err.strip().splitlines()) == 1, err
    assert words in err


def test_editions_that_differ_are_refused(files, called) -> None:
    code, _, err = called("drift", *files, "--edition", "adc2022")
    assert code == 2 and "adc2023, expected adc2022" in err


def test_splits_that_are_not_there_are_refused(files, tmp_path, called) -> None:
    for path, words in ((tmp_path, "choose train, test"), (files[1], "is for a folder")):
        code, _, err = called("drift", files[0], path, "--edition", "adc2023", "--split", "x\ny")
        assert code == 2 and words in err and len(err.strip().splitlines()) == 1
