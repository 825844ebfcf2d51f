"""Reading the labelled WFC3 spectra, and what every kind of bad file comes to."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from arielflow.core.errors import ArielflowError
from arielflow.data.ingest import ingest, refuse_shared_planets
from arielflow.editions import get_edition
from arielflow.editions.official_files import (
    read_official,
)
from arielflow.editions.wfc3 import FILES, N_ROWS, WAVELENGTH_UM


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


def test_thousands_of_faulty_planets_are_told_and_counted(tmp_path, caplog) -> None:
    folder = _wfc3_folder(tmp_path)
    table = np.load(folder / "testing.npy")
    table[:] = 1.4
    table[:, 13:] = 600, -1, -1, -1, 0
    table[:15_000, 14] = 5  # more than all of the atmosphere
    table[15_000, 0] = 1e300
    np.save(folder / "testing.npy", table)
    start = time.process_time()  # what is quadratic in planets takes minutes
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        planets, _, quality = ingest(folder, get_edition("wfc3"), "train")
        refuse_shared_planets(planets, planets.isel(planet=[]))
    assert time.process_time() - start < 30
    assert f"and {len(quality) - 5} more" in caplog.text
    assert len(quality) > 10_000 and set(quality["flags"]) >= {"implausible theta"}


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
