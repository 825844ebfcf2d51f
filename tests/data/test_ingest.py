"""Reading the official files: round trips, and what every kind of bad file comes to."""

from __future__ import annotations

import os
import shutil
import time
import tracemalloc
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import Quality, describe, is_usable, trace_of
from arielflow.data.ingest import ingest, refuse_shared_planets
from arielflow.data.simulated_planets import simulate_planets
from arielflow.data.splits import read_split, split_planets, subset
from arielflow.editions import get_edition
from arielflow.editions.official_files import (
    AUXILIARY_TABLE,
    GROUND_TRUTH,
    PARAMETER_TABLE,
    read_official,
    write_official,
)
from arielflow.editions.wfc3 import FILES, N_ROWS, WAVELENGTH_UM

ERRORS, DEPTH = "instrument_noise", "instrument_spectrum"


def _traces(planets: xr.Dataset, annotated: int) -> xr.Dataset:
    rng = np.random.default_rng(0)
    sizes = np.where(np.arange(planets.sizes["planet"]) < annotated, 40, 0)
    weight = rng.random(sizes.sum())
    trace = np.repeat(planets["theta"].values, sizes, axis=0)
    trace = trace + 0.01 * np.abs(trace) * rng.normal(size=trace.shape)
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
        (_resize, r"has shape \(51,\), expected \(52,\)"),
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


def _replace_dataset(copy, make) -> None:
    """Another object in place of the first planet's depths."""
    with _spectra(copy) as file:
        group = file[_first(file)]
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
        _read(copy)
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


def _rename(copy, new: str, table: str | None = None) -> None:
    """Another identifier for the first planet; ``table`` spells it otherwise in the table."""
    with _spectra(copy) as file:
        file.move(_first(file), f"Planet_{new}")
        old = {f"Planet_{name}" for name in _table(copy)["planet_ID"]} - set(file)
    (name,) = (group.removeprefix("Planet_") for group in old)
    _edit_table(copy, lambda t: t.assign(planet_ID=t["planet_ID"].replace(name, table or new)))


def _table(copy) -> pd.DataFrame:
    return pd.read_csv(
        copy[1] / "TestData" / "AuxillaryTable.csv", dtype={"planet_ID": str}, na_filter=False
    )


@pytest.mark.parametrize("name", ["NA", "nan", "007", "1e3", "β Pic b", "WASP-39 b", "None", "-"])
def test_identifiers_stay_the_words_that_they_are(copy, name) -> None:
    _rename(copy, name)
    planets, _, quality = _read(copy)
    assert name in planets["planet"].values and quality.empty


def test_blanks_around_an_identifier_do_not_count(copy) -> None:
    _rename(copy, "HD 1", "  HD 1 ")
    assert "HD 1" in _read(copy)[0]["planet"].values


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "is empty"),
        ("a/b", "slash"),
        ("a\tb", "does not print"),
        ("a\x07b", "does not print"),
        ("x" * 5000, "has 5000 characters"),
    ],
)
def test_identifiers_that_name_no_group_are_refused_with_their_row(copy, name, says) -> None:
    _edit_table(
        copy, lambda t: t.assign(planet_ID=[*t["planet_ID"][:4], name, *t["planet_ID"][5:]])
    )
    with pytest.raises(ArielflowError, match=says) as caught:
        _read(copy)
    assert "row 5" in str(caught.value) and len(str(caught.value)) < 400


def _edit_text(copy, edit) -> None:
    path = copy[1] / "TestData" / "AuxillaryTable.csv"
    path.write_text(edit(path.read_text()))


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda t: t.replace(",", ";"), "separated by ';'"),
        (
            lambda t: t.replace("\n", ",True\n").replace(",True", ",star_mass_kg", 1),
            "more than once",
        ),
        (lambda t: "", "no header"),
        (lambda t: t + "one,two\n", "has 2 cells"),
        (lambda t: ",".join(f"c{i}" for i in range(100_000)) + "\n" + t, "columns|characters"),
        (lambda t: t.replace("planet_ID", "name", 1), "column planet_ID is missing"),
    ],
)
def test_malformed_tables_are_one_short_line(copy, edit, says) -> None:
    _edit_text(copy, edit)
    with pytest.raises(ArielflowError, match=says) as caught:
        _read(copy)
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_rows_without_content_do_not_count(copy) -> None:
    columns = _table(copy).shape[1]
    _edit_text(copy, lambda t: t + "\n" + "," * (columns - 1) + "\n")
    assert _read(copy)[0].sizes["planet"] == 10


def test_a_column_of_true_and_false_holds_no_numbers(copy) -> None:
    _edit_table(copy, lambda t: t.assign(star_mass_kg=True))
    with pytest.raises(ArielflowError, match=r"column star_mass_kg holds 'True'.*10 such cells"):
        _read(copy)


def test_pipes_are_refused_and_not_waited_for(copy) -> None:
    path = copy[1] / "TestData" / "AuxillaryTable.csv"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ArielflowError, match="pipe"):
        _read(copy)


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
    planets, traces, quality = _read(copy, "train")
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
        _read(copy, "train")
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


def _wfc3_folder(folder: Path) -> Path:
    content = {
        "testing.npy": np.tile(1.4, (N_ROWS, 18)),
        "error_bars.npy": np.full(13, 0.01),
        "wavelength.npy": WAVELENGTH_UM,
        "WASP12b.npy": np.full((1, 13), 1.4),
    }
    assert list(content) == list(FILES)
    for name, values in content.items():
        np.save(folder / name, values)
    return folder


def _as_archive(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, a=np.ones(3))


def _huge(path: Path) -> None:
    with path.open("wb") as stream:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**20,)}
        np.lib.format.write_array_header_1_0(stream, header)


@pytest.mark.parametrize(
    "spoil",
    [
        _as_archive,
        _huge,
        lambda path: np.save(path, np.full((1, 13), "1.4")),
        lambda path: np.save(path, np.full((1, 13), 1.4j)),
        lambda path: np.save(path, np.full((1, 13), True)),
        lambda path: np.save(path, np.zeros((1, 13), dtype=[("a", float)])),
        lambda path: np.save(path, np.full((1, 13), None)),
        lambda path: np.save(path, np.full((13, 1), 1.4)),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
    ],
)
def test_wfc3_files_hold_plain_numbers(tmp_path, spoil) -> None:
    folder = _wfc3_folder(tmp_path)
    edition = get_edition("wfc3")
    assert ingest(folder, edition, "observed")[0].sizes["planet"] == 1
    spoil(folder / "WASP12b.npy")
    with pytest.raises(ArielflowError, match=r"WASP12b\.npy") as caught:
        ingest(folder, edition, "observed")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("testing.npy", 0.01),
        ("WASP12b.npy", 1e4),
        ("error_bars.npy", 0.01),
        ("error_bars.npy", 1e4),
    ],
)
def test_wfc3_files_in_another_unit_than_percent_are_refused(tmp_path, name, factor) -> None:
    folder = _wfc3_folder(tmp_path)
    np.save(folder / name, factor * np.load(folder / name))
    with pytest.raises(ArielflowError, match=rf"{name}: median .* percent"):
        ingest(folder, get_edition("wfc3"), "train" if name == "testing.npy" else "observed")


@pytest.mark.parametrize("table", [AUXILIARY_TABLE, f"{GROUND_TRUTH}/{PARAMETER_TABLE}"])
def test_a_table_of_many_more_rows_than_planets_is_not_read(copy, table) -> None:
    path = copy[1] / "TrainingData" / table
    row = path.read_text().splitlines()[1]
    with path.open("a") as stream:
        stream.writelines(f"{row}\n" for _ in range(300_000))
    tracemalloc.start()
    with pytest.raises(ArielflowError, match="lines, expected one per planet"):
        _read(copy, "train")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_thousands_of_faulty_planets_are_told_fast_and_counted(tmp_path, caplog) -> None:
    folder = _wfc3_folder(tmp_path)
    table = np.load(folder / "testing.npy")
    table[:] = 1.4
    table[:, 13:] = 600, -1, -1, -1, 0
    table[:15_000, 14] = 5  # more than all of the atmosphere
    table[15_000, 0] = 1e300
    np.save(folder / "testing.npy", table)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        planets, _, quality = ingest(folder, get_edition("wfc3"), "train")
        refuse_shared_planets(planets, planets.isel(planet=[]))
    assert time.process_time() - start < 3
    assert f"and {len(quality) - 5} more" in caplog.text
    assert len(quality) > 10_000 and set(quality["flags"]) >= {"implausible theta"}


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


def test_split_keeps_identifiers_as_they_are(simulated, tmp_path) -> None:
    names = ["NA", "nan", "007", "HD 1, b", 'say "b"', *map(str, range(295))]
    planets = simulated.assign_coords(planet=names)
    split_planets(planets, 0.1, seed=1).to_csv(tmp_path / "split.csv", index=False)
    split = read_split(tmp_path / "split.csv")
    found = [
        p for part in ("train", "valid") for p in subset(planets, split, part)["planet"].values
    ]
    assert sorted(found) == sorted(names)
    (tmp_path / "split.csv").write_text("planet\n1\n")
    with pytest.raises(ArielflowError, match="expected planet_ID and subset"):
        read_split(tmp_path / "split.csv")


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
