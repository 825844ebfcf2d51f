"""Reading the official files: round trips, and what every kind of bad file comes to."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from arielflow.editions import get_edition
from arielflow.editions.official_files import read_official, write_official
from arielflow.errors import ArielflowError
from arielflow.ingest import ingest, split_planets, subset
from arielflow.schema import Quality, describe, is_usable, trace_of
from arielflow.simulate import simulate_planets

ERRORS, DEPTH = "instrument_noise", "instrument_spectrum"


def _traces(planets: xr.Dataset, annotated: int) -> xr.Dataset:
    rng = np.random.default_rng(0)
    sizes = np.where(np.arange(planets.sizes["planet"]) < annotated, 40, 0)
    weight = rng.random(sizes.sum())
    trace = np.repeat(planets["theta"].values, sizes, axis=0)
    trace = trace + rng.normal(size=trace.shape)
    return describe(
        xr.Dataset(
            {
                "row_size": ("planet", sizes),
                "trace": (("obs", "target"), trace),
                "weight": ("obs", weight),
            },
            coords={name: planets[name] for name in ("planet", "target")},
        )
    )


@pytest.fixture(scope="module", params=["adc2023", "adc2022"])
def dataset(request, tmp_path_factory, physics) -> tuple[str, Path, dict[str, xr.Dataset]]:
    """A ten-planet data set in the official layout."""
    edition = get_edition(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    planets = {
        split: simulate_planets(edition, 10, seed=5, split=split, prior="matched", physics=physics)
        for split in ("train", "test")
    }
    write_official(folder, edition, "train", planets["train"], _traces(planets["train"], 4))
    write_official(folder, edition, "test", planets["test"])
    return request.param, folder, planets


@pytest.fixture
def copy(dataset, tmp_path) -> tuple[str, Path]:
    """The data set, to be spoilt."""
    name, folder, _ = dataset
    target = tmp_path / "data"
    shutil.copytree(folder, target)
    return name, target


def _read(copy: tuple[str, Path], split: str = "test"):
    name, folder = copy
    return ingest(folder, get_edition(name), split, prior="matched")


def _spectra(copy: tuple[str, Path], split: str = "TestData") -> h5py.File:
    return h5py.File(copy[1] / split / "SpectralData.hdf5", "r+")


def _first(file: h5py.File) -> str:
    return sorted(file)[0]


def test_round_trip_is_exact(dataset) -> None:
    name, folder, planets = dataset
    for split, expected in planets.items():
        found, traces, quality = ingest(folder, get_edition(name), split, prior="matched")
        assert quality.empty
        for variable in ("transit_depth", "transit_depth_error", "auxiliary_value", "prior_low"):
            np.testing.assert_array_equal(found[variable], expected[variable])
        assert list(found["planet"].values) == list(expected["planet"].values)
        if split == "train":
            np.testing.assert_array_equal(found["theta"], expected["theta"])
            assert list(traces["row_size"].values) == [40] * 4 + [0] * 6
            theta, weight = trace_of(traces, str(expected["planet"].values[1]))
            assert theta.shape == (40, found.sizes["target"]) and len(weight) == 40
        else:
            assert np.isnan(found["theta"]).all()


def test_official_names_and_layout(dataset) -> None:
    name, folder, planets = dataset
    truth = folder / "TrainingData" / "Ground Truth Package"
    assert {p.name for p in truth.iterdir()} == {
        "FM_Parameter_Table.csv",
        "QuartilesTable.csv",
        "Tracedata.hdf5",
    }
    assert (folder / "TestData" / "AuxillaryTable.csv").read_text().startswith("planet_ID,star_d")
    parameters = pd.read_csv(truth / "FM_Parameter_Table.csv")
    assert list(parameters.columns[:2]) == ["Unnamed: 0", "planet_ID"]
    quartiles = pd.read_csv(truth / "QuartilesTable.csv")
    assert quartiles.iloc[4:, 1:].isna().all(axis=None) and "T_q1" in quartiles
    with h5py.File(folder / "TrainingData" / "SpectralData.hdf5") as file:
        group = file[_first(file)]
        assert set(group) == {ERRORS, DEPTH, "instrument_wlgrid", "instrument_width"}
        assert np.all(np.diff(group["instrument_wlgrid"]) < 0)
        assert all(d.dtype == np.float64 and d.shape == (52,) for d in group.values())
    with h5py.File(truth / "Tracedata.hdf5") as file:
        empty = file[get_edition(name).group(str(planets["train"]["planet"].values[9]))]
        assert empty["tracedata"].shape == () and np.isnan(empty["tracedata"][()])


def test_other_spelling_of_traces_and_ascending_wavelengths(copy) -> None:
    truth = copy[1] / "TrainingData" / "Ground Truth Package"
    (truth / "Tracedata.hdf5").rename(truth / "TraceData.hdf5")
    with _spectra(copy, "TrainingData") as file:
        for dataset in file[_first(file)].values():
            dataset[:] = dataset[:][::-1]
    planets, traces, quality = _read(copy, "train")
    assert quality.empty and traces.sizes["obs"] == 160
    assert np.all(np.diff(planets["wavelength"]) > 0)


@pytest.mark.parametrize(
    ("spoil", "flag"),
    [
        (lambda g: g[DEPTH].__setitem__(3, np.nan), Quality.NON_FINITE_SPECTRUM),
        (lambda g: g[DEPTH].__setitem__(3, 1.5), Quality.DEPTH_OUT_OF_RANGE),
        (lambda g: g[DEPTH].__setitem__(3, -1e-4), Quality.DEPTH_OUT_OF_RANGE),
        (lambda g: g[ERRORS].__setitem__(3, 0.0), Quality.NOISE_NOT_POSITIVE),
        (lambda g: g["instrument_wlgrid"].__setitem__(3, 9.0), Quality.OFF_GRID),
        (lambda g: g["instrument_width"].__setitem__(slice(None), 5.0), Quality.NONSENSE_WIDTH),
    ],
)
def test_one_bad_planet_is_flagged_and_survives(copy, spoil, flag) -> None:
    with _spectra(copy) as file:
        name = _first(file)
        spoil(file[name])
    planets, _, quality = _read(copy)
    assert planets.sizes["planet"] == 10
    assert list(quality["planet_ID"]) == [name.removeprefix("Planet_")]
    flagged = planets["quality"].values[planets["quality"].values > 0]
    assert list(flagged) == [int(flag)]
    assert is_usable(planets).sum() == (10 if flag is Quality.NONSENSE_WIDTH else 9)


def _truncate(copy) -> None:
    path = copy[1] / "TestData" / "SpectralData.hdf5"
    path.write_bytes(path.read_bytes()[:3000])


def _drop_group(copy) -> None:
    with _spectra(copy) as file:
        del file[_first(file)]


def _extra_group(copy) -> None:
    with _spectra(copy) as file:
        file.copy(_first(file), "Planet_stranger")


def _resize(copy) -> None:
    with _spectra(copy) as file:
        group = file[_first(file)]
        values = group[DEPTH][:51]
        del group[DEPTH]
        group[DEPTH] = values


def _other_grid(copy) -> None:
    with _spectra(copy) as file:
        for group in file.values():
            group["instrument_wlgrid"][:] *= 1.1


def _edit_table(copy, edit) -> None:
    path = copy[1] / "TestData" / "AuxillaryTable.csv"
    edit(pd.read_csv(path, dtype={"planet_ID": str})).to_csv(path, index=False)


def _words(table: pd.DataFrame) -> pd.DataFrame:
    table = table.astype({"planet_mass_kg": object})
    table.loc[2, "planet_mass_kg"] = "heavy"
    return table


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda c: (c[1] / "TestData" / "SpectralData.hdf5").unlink(), "no such file"),
        (lambda c: (c[1] / "TestData" / "AuxillaryTable.csv").unlink(), "no such file"),
        (_truncate, "truncated"),
        (_drop_group, "has no group Planet_"),
        (_extra_group, "Planet_stranger has no row in AuxillaryTable.csv"),
        (_resize, "has 51 values, edition adc20.. expects 52"),
        (_other_grid, "another grid"),
        (
            lambda c: _edit_table(c, lambda t: pd.concat([t, t.iloc[[1]]])),
            "planet_ID .* occurs more than once",
        ),
        (lambda c: _edit_table(c, _words), "column planet_mass_kg holds 'heavy'"),
        (
            lambda c: _edit_table(c, lambda t: t.drop(columns="star_temperature")),
            "column star_temperature is missing",
        ),
    ],
)
def test_structural_faults_stop_with_one_line(copy, spoil, says) -> None:
    spoil(copy)
    with pytest.raises(ArielflowError, match=says) as caught:
        _read(copy)
    message = str(caught.value)
    assert "\n" not in message and ";" in message
    assert "TestData" in message


def test_split_is_seeded_disjoint_and_leaves_unusable_planets_out(simulated) -> None:
    planets = simulated.copy(deep=True)
    planets["quality"].values[7] = int(Quality.NON_FINITE_SPECTRUM)
    split = split_planets(planets, 0.2, seed=3)
    assert split.equals(split_planets(planets, 0.2, seed=3))
    assert not split.equals(split_planets(planets, 0.2, seed=4))
    train, valid = (subset(planets, split, name) for name in ("train", "valid"))
    names = [set(part["planet"].values) for part in (train, valid)]
    assert not names[0] & names[1] and sum(map(len, names)) == planets.sizes["planet"] - 1
    assert str(planets["planet"].values[7]) not in names[0] | names[1]


@pytest.mark.external
def test_real_test_planets_of_2022(shared) -> None:
    planets, traces, quality = ingest(
        shared / "data" / "adc2022_test", get_edition("adc2022"), "test"
    )
    assert planets.sizes["planet"] == 800 and traces.sizes["obs"] == 0
    assert list(quality["planet_ID"]) == ["13"] and not quality["usable"].any()
    assert is_usable(planets).sum() == 799
    assert (planets["prior_high"] > planets["prior_low"]).all()


@pytest.mark.external
def test_wfc3_splits(shared) -> None:
    edition, folder = get_edition("wfc3"), shared / "data" / "wfc3_hela"
    parts = {split: ingest(folder, edition, split)[0] for split in ("train", "test", "observed")}
    assert [p.sizes["planet"] for p in parts.values()] == [16000, 4001, 1]
    assert not set(parts["train"]["planet"].values) & set(parts["test"]["planet"].values)
    atom = (parts["train"]["theta"].sel(target="log_NH3") == -13).mean()
    assert float(atom) == pytest.approx(0.588, abs=0.01)
    with pytest.raises(ArielflowError, match="no such file"):
        read_official(folder, get_edition("adc2023"), "test")
