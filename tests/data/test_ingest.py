"""Reading the official files: round trips, and what every kind of bad file comes to."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from official_folder import edit_table, first_group, read_split_of, spectra_file

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import Quality, is_usable, trace_of
from arielflow.data.ingest import ingest, refuse_shared_planets
from arielflow.editions import get_edition

ERRORS, DEPTH = "instrument_noise", "instrument_spectrum"


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
        group = file[first_group(file)]
        assert set(group) == {ERRORS, DEPTH, "instrument_wlgrid", "instrument_width"}
        assert np.all(np.diff(group["instrument_wlgrid"]) < 0)
        assert all(d.dtype == np.float64 and d.shape == (52,) for d in group.values())
    with h5py.File(truth / "Tracedata.hdf5") as file:
        empty = file[get_edition(name).group(str(planets["train"]["planet"].values[9]))]
        assert empty["tracedata"].shape == () and np.isnan(empty["tracedata"][()])


def test_other_spelling_of_traces_and_ascending_wavelengths(copy) -> None:
    truth = copy[1] / "TrainingData" / "Ground Truth Package"
    (truth / "Tracedata.hdf5").rename(truth / "TraceData.hdf5")
    with spectra_file(copy, "TrainingData") as file:
        for dataset in file[first_group(file)].values():
            dataset[:] = dataset[:][::-1]
    planets, traces, quality = read_split_of(copy, "train")
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
    with spectra_file(copy) as file:
        name = first_group(file)
        spoil(file[name])
    planets, _, quality = read_split_of(copy)
    assert planets.sizes["planet"] == 10
    assert list(quality["planet_ID"]) == [name.removeprefix("Planet_")]
    flagged = planets["quality"].values[planets["quality"].values > 0]
    assert list(flagged) == [int(flag)]
    assert is_usable(planets).sum() == (10 if flag is Quality.NONSENSE_WIDTH else 9)


def _truncate(copy) -> None:
    path = copy[1] / "TestData" / "SpectralData.hdf5"
    path.write_bytes(path.read_bytes()[:3000])


def _drop_group(copy) -> None:
    with spectra_file(copy) as file:
        del file[first_group(file)]


def _extra_group(copy) -> None:
    with spectra_file(copy) as file:
        file.copy(first_group(file), "Planet_stranger")


def _resize(copy) -> None:
    with spectra_file(copy) as file:
        group = file[first_group(file)]
        values = group[DEPTH][:51]
        del group[DEPTH]
        group[DEPTH] = values


def _other_grid(copy) -> None:
    with spectra_file(copy) as file:
        for group in file.values():
            group["instrument_wlgrid"][:] *= 1.1


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
        (_resize, r"has shape \(51,\), expected \(52,\)"),
        (_other_grid, "another grid"),
        (
            lambda c: edit_table(c, lambda t: pd.concat([t, t.iloc[[1]]])),
            "planet_ID .* occurs more than once",
        ),
        (lambda c: edit_table(c, _words), "column planet_mass_kg holds 'heavy'"),
        (
            lambda c: edit_table(c, lambda t: t.drop(columns="star_temperature")),
            "column star_temperature is missing",
        ),
    ],
)
def test_structural_faults_stop_with_one_line(copy, spoil, says) -> None:
    spoil(copy)
    with pytest.raises(ArielflowError, match=says) as caught:
        read_split_of(copy)
    message = str(caught.value)
    assert "\n" not in message and ";" in message
    assert "TestData" in message


def _replace_dataset(copy, make) -> None:
    """Another object in place of the first planet's depths."""
    with spectra_file(copy) as file:
        group = file[first_group(file)]
        values = group[DEPTH][:]
        del group[DEPTH]
        make(group, values)


def _elsewhere(copy) -> Path:
    """A file that holds spectra for links to lead to."""
    path = copy[1] / "elsewhere.h5"
    with h5py.File(path, "w") as file:
        file["depth"] = np.full(52, 0.01)
    return path


def _virtual(copy):
    source = h5py.VirtualSource(_elsewhere(copy), "depth", shape=(52,))
    layout = h5py.VirtualLayout((52,), dtype=float)
    layout[:] = source
    return layout


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda c: lambda g, v: g.create_group(DEPTH), "is a group"),
        (lambda c: lambda g, v: g.__setitem__(DEPTH, h5py.SoftLink("/nowhere")), "soft link"),
        (lambda c: lambda g, v: g.__setitem__(DEPTH, h5py.SoftLink(f"{g.name}/{DEPTH}")), "soft"),
        (
            lambda c: lambda g, v: g.__setitem__(DEPTH, h5py.ExternalLink(_elsewhere(c), "depth")),
            "external link",
        ),
        (lambda c: lambda g, v: g.create_virtual_dataset(DEPTH, _virtual(c)), "virtual"),
        (
            lambda c: (
                lambda g, v: g.create_dataset(
                    DEPTH, (52,), float, external=[(str(_elsewhere(c)), 0, 416)]
                )
            ),
            "another file",
        ),
        (lambda c: lambda g, v: g.create_dataset(DEPTH, data=v.astype("S12")), "text"),
        (lambda c: lambda g, v: g.create_dataset(DEPTH, data=v.astype(complex)), "complex"),
        (lambda c: lambda g, v: g.create_dataset(DEPTH, data=v > 0), "booleans"),
        (lambda c: lambda g, v: g.create_dataset(DEPTH, data=v[:, None]), r"shape \(52, 1\)"),
        (lambda c: lambda g, v: g.create_dataset(DEPTH, data=v[0]), r"shape \(\)"),
        (lambda c: lambda g, v: g.create_dataset(DEPTH, (10**12,), float, chunks=(52,)), "shape"),
        (lambda c: lambda g, v: g.create_dataset(DEPTH, (52,), float), "never written"),
    ],
)
def test_spectra_are_plain_numbers_in_the_file_itself(copy, make, says) -> None:
    _replace_dataset(copy, make(copy))
    with pytest.raises(ArielflowError, match=says) as caught:
        read_split_of(copy)
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


def _trace(copy, spoil) -> None:
    path = copy[1] / "TrainingData" / "Ground Truth Package" / "Tracedata.hdf5"
    with h5py.File(path, "r+") as file:
        spoil(next(group for group in file.values() if group["weights"].shape))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda g: g["tracedata"].__setitem__((3, 1), np.nan),
        lambda g: g["tracedata"].__setitem__((3, 1), np.inf),
        lambda g: g["tracedata"].__setitem__((3, 1), 1e300),
        lambda g: g["tracedata"].__setitem__((3, slice(None)), 1e6),
        lambda g: g["tracedata"].__setitem__((3, 0), -1.0),  # a radius
        lambda g: g["tracedata"].__setitem__((3, 1), -600.0),  # a temperature
        lambda g: g["tracedata"].__setitem__((3, 2), 0.5),  # more than all of the gas
        lambda g: g["weights"].__setitem__(3, -0.1),
        lambda g: g["weights"].__setitem__(3, np.nan),
        lambda g: g["weights"].__setitem__(3, np.inf),
        lambda g: g["weights"].__setitem__(slice(None), 0.0),
        lambda g: g["weights"].__setitem__(slice(None), 1e307),
    ],
)
def test_a_trace_that_is_no_posterior_is_left_out_alone(copy, spoil, caplog) -> None:
    _trace(copy, spoil)
    planets, traces, quality = read_split_of(copy, "train")
    assert sorted(traces["row_size"].values) == [0] * 7 + [40] * 3
    assert list(quality["flags"]) == ["bad trace"] and quality["usable"].all()
    assert "trace left out" in quality["found"][0] and "1 traces are left out" in caplog.text
    assert is_usable(planets).all()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda g, v: g.create_dataset("tracedata", data=np.full(v.shape, b"word")), "holds text"),
        (lambda g, v: g.create_dataset("tracedata", data=v[:, :-1]), r"expects \(n, [67]\)"),
        (lambda g, v: g.create_dataset("tracedata", data=v[:-1]), r"weights has shape \(40,\)"),
        (
            lambda g, v: g.create_dataset(
                "tracedata", (10**12, v.shape[1]), float, chunks=(1000, 1)
            ),
            "at most 2000000 values",
        ),
        (lambda g, v: g.create_group("tracedata"), "is a group"),
        (lambda g, v: None, "is missing"),
    ],
)
def test_traces_of_another_shape_or_type_are_one_line(copy, make, says) -> None:
    def spoil(group: h5py.Group) -> None:
        values = group["tracedata"][:]
        del group["tracedata"]
        make(group, values)

    _trace(copy, spoil)
    with pytest.raises(ArielflowError, match=says) as caught:
        read_split_of(copy, "train")
    assert "Tracedata.hdf5" in str(caught.value) and len(str(caught.value)) < 400


def test_training_planets_are_no_test_planets(copy, tmp_path) -> None:
    name, folder = copy
    edition = get_edition(name)
    with pytest.raises(ArielflowError, match="holds the train planets, expected the test planets"):
        ingest(folder / "TrainingData", edition, "test")
    with pytest.raises(ArielflowError, match="holds the test planets, expected the train planets"):
        ingest(folder / "TestData", edition, "train")
    shutil.copytree(folder / "TrainingData", tmp_path / "other")
    with pytest.raises(ArielflowError, match="Ground Truth Package, so its planets are training"):
        ingest(tmp_path / "other", edition, "test")
    link = tmp_path / "link"
    link.symlink_to(folder / "TrainingData")
    with pytest.raises(ArielflowError, match="holds the train planets"):
        ingest(link, edition, "test")


def test_training_spectra_under_other_names_are_no_test_planets(simulated) -> None:
    train, test = simulated.isel(planet=slice(0, 20)), simulated.isel(planet=slice(20, 30))
    refuse_shared_planets(train, test)
    refuse_shared_planets(train, test.assign_coords(planet=train["planet"].values[:10]))
    leaked = train.isel(planet=[7]).assign_coords(planet=["public1"])
    leaked = leaked.assign(transit_depth=leaked["transit_depth"].astype(np.float32))
    leaked = xr.concat([test, leaked], "planet", data_vars="minimal")
    with pytest.raises(ArielflowError, match="public1 has the spectrum of training planet train8"):
        refuse_shared_planets(train, leaked)


@pytest.mark.external
def test_real_test_planets_of_2022(shared) -> None:
    planets, traces, quality = ingest(
        shared / "data" / "adc2022_test", get_edition("adc2022"), "test"
    )
    assert planets.sizes["planet"] == 800 and traces.sizes["obs"] == 0
    assert list(quality["planet_ID"]) == ["13"] and not quality["usable"].any()
    assert is_usable(planets).sum() == 799
    assert (planets["prior_high"] > planets["prior_low"]).all()
