"""Collision-induced absorption in photochem's and pyratbay's formats, beside HITRAN's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from opacity_twins import write_photochem, write_photochem_cia, write_pyratbay_cia
from test_opacity_folder import write_cia
from test_opacity_input import refusal

from arielflow.core.errors import ArielflowError
from arielflow.physics.cia import CollisionInducedAbsorption, cia_files, load_cia, read_cia
from arielflow.physics.opacity_files import Format, format_of, read_opacity, scan_opacities

LOSCHMIDT_PER_CM3 = 2.686780111e19


def test_photochem_values_come_back(tmp_path: Path) -> None:
    expected = write_photochem_cia(tmp_path / "He-H2.h5")
    found = read_cia(tmp_path / "He-H2.h5")
    assert found.pair == ("H2", "He")
    np.testing.assert_allclose(found.cross_section_cm5, expected[::-1].T, rtol=1e-6)
    np.testing.assert_allclose(found.wavenumber_cm1, 1e4 / np.geomspace(0.6, 200, 40)[::-1])
    np.testing.assert_array_equal(found.temperature_k, [100, 1000, 3000])


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_pyratbay_values_come_back(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "CIA_Borysow.dat"
    expected = write_pyratbay_cia(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_text().replace("\n", ending).encode())
    found = read_cia(path)
    assert found.pair == ("H2", "He")
    np.testing.assert_allclose(
        found.cross_section_cm5, expected.T / LOSCHMIDT_PER_CM3**2, rtol=1e-6
    )
    np.testing.assert_allclose(found.wavenumber_cm1, np.linspace(20, 10_000, 50), atol=0.06)
    np.testing.assert_array_equal(found.temperature_k, [300, 1000, 3000])


def test_a_folder_may_mix_formats(tmp_path: Path) -> None:
    write_cia(tmp_path / "H2-H2.cia")
    write_pyratbay_cia(tmp_path / "h2he.txt")
    write_photochem_cia(tmp_path / "CO2-CO2.h5")
    write_photochem(tmp_path / "H2O.h5")
    (tmp_path / ".hidden.cia").write_text("no CIA")
    (tmp_path / "notes.txt").write_text("@ notes")
    assert [path.name for path in cia_files(tmp_path)] == ["CO2-CO2.h5", "H2-H2.cia", "h2he.txt"]
    assert {table.pair for table in load_cia(tmp_path)} == {("H2", "H2"), ("H2", "He")}
    assert set(scan_opacities(tmp_path)) == {"H2O"}
    write_photochem_cia(tmp_path / "H2-He.h5")
    with pytest.raises(ArielflowError, match="found H2-H2, H2-He, H2-He"):
        load_cia(tmp_path)


def test_files_are_read_as_what_they_are(tmp_path: Path) -> None:
    write_photochem_cia(tmp_path / "H2-He.h5")
    write_photochem(tmp_path / "H2O.h5")
    assert format_of(tmp_path / "H2-He.h5") is Format.PHOTOCHEM_CIA
    for read, name in ((read_opacity, "H2-He.h5"), (read_cia, "H2O.h5"), (read_cia, "no.cia")):
        refusal(lambda read=read, path=tmp_path / name: read(path), tmp_path / name)


@pytest.mark.parametrize("name", ["pair.h5", "h2-he.h5", "H2.h5"])
def test_a_name_that_is_no_pair_is_refused(tmp_path: Path, name: str) -> None:
    write_photochem_cia(tmp_path / name)
    assert "pair of gases" in refusal(lambda: read_cia(tmp_path / name), tmp_path / name)


def _replaced(name: str, change: Callable[[np.ndarray], object]) -> Callable[[h5py.File], None]:
    def replace_it(file: h5py.File) -> None:
        values = file[name][()]
        del file[name]
        file[name] = change(values)

    return replace_it


PHOTOCHEM_DAMAGE = {
    "no temperatures": (lambda f: f.__delitem__("T"), "T is missing"),
    "axes swapped": (_replaced("log10xs", lambda x: x.T), "has shape (3, 40)"),
    "descending": (_replaced("wavelengths", lambda x: x[::-1]), "not ascending"),
    "no wavelength": (_replaced("wavelengths", lambda x: x * 0), "not ascending"),
    "NaN for a wavelength": (_replaced("wavelengths", lambda x: x * np.nan), "not ascending"),
    "negative temperatures": (_replaced("T", lambda x: x - 500), "not ascending"),
    "NaN": (_replaced("log10xs", lambda x: x * np.nan), "non-finite"),
    "values themselves": (_replaced("log10xs", lambda x: 10.0**x), "the largest value is"),
    "absurd": (_replaced("log10xs", lambda x: -100 * x), "non-finite"),
    "only zeros": (_replaced("log10xs", lambda x: x * 0 - 200), "the largest value is 0"),
}


@pytest.mark.parametrize("case", PHOTOCHEM_DAMAGE)
def test_damaged_photochem_files_are_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "H2-H2.h5"
    write_photochem_cia(path)
    damage, words = PHOTOCHEM_DAMAGE[case]
    with h5py.File(path, "r+") as file:
        damage(file)
    assert words in refusal(lambda: read_cia(path), path)


def _changed(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


PYRATBAY_DAMAGE = {
    "cut in a row": (lambda t: t[:-20], "its rows hold"),
    "cut to the headings": (lambda t: t[: t.index("@DATA")], "nothing below @DATA"),
    "no temperatures": (_changed("  300  1000  3000", ""), "nothing below @TEMPERATURES"),
    "one temperature less": (_changed("  300  1000", " 1000"), "its rows hold [4] numbers"),
    "a word": (_changed("e-", "x-"), "could not convert"),
    "three gases": (_changed("H2  He", "H2 He CO"), "two gases"),
    "one gas": (_changed("H2  He", "H2"), "two gases"),
    "heading twice": (_changed("@DATA", "@SPECIES"), "repeated heading"),
    "unknown heading": (_changed("@DATA", "@VALUES"), "unknown or repeated heading"),
    "text first": (lambda t: "H2 He\n" + t, "before the first heading"),
    "descending": (_changed("     20.0", " 200000.0"), "not ascending"),
    "NaN": (_changed("     20.0", "      nan"), "not ascending"),
    "descending temperatures": (_changed("  300  1000", " 1000   300"), "not ascending"),
    "negative": (lambda t: t.replace(" 1.", " -1.").replace(" 5.", " -5."), "negative"),
    "in cm5": (lambda t: t.replace("e-", "e-3"), "the largest value is"),
    "Latin-1": (lambda t: t + "# \udce9", "not a readable CIA file"),
}


@pytest.mark.parametrize("case", PYRATBAY_DAMAGE)
def test_damaged_pyratbay_files_are_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "CIA.dat"
    write_pyratbay_cia(path)
    damage, words = PYRATBAY_DAMAGE[case]
    path.write_bytes(damage(path.read_text()).encode(errors="surrogateescape"))
    assert words in refusal(lambda: read_cia(path), path)


# Real files


def real(shared: Path, name: str) -> CollisionInducedAbsorption:
    path = shared / "data" / "opacities" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return read_cia(path)


@pytest.mark.external
@pytest.mark.parametrize(
    ("ours", "other", "factor"),
    [
        ("CIA_Borysow_H2H2_0060-7000K_0.6-500um.dat", "H2-H2.h5", 1.3),
        ("CIA_Borysow_H2He_0050-7000K_0.5-031um.dat", "H2-He.h5", 2.5),
    ],
)
def test_real_files_of_pyratbay_and_photochem_agree(
    shared: Path, ours: str, other: str, factor: float
) -> None:
    """Where absorption is strong, at 1000 K from 1 to 20 um; the sources are not the same."""
    tables = real(shared, f"CIA_pyratbay/{ours}"), real(shared, f"photochem_clima_data/CIA/{other}")
    assert tables[0].pair == tables[1].pair
    grid = np.linspace(1e4 / 20, 1e4, 400)
    first, second = (
        np.interp(grid, t.wavenumber_cm1, t.cross_section_cm5[list(t.temperature_k).index(1000)])
        for t in tables
    )
    ratio = (first / second)[first > 0.1 * first.max()]
    print(f"{other}: ratio {np.percentile(ratio, [0, 5, 50, 95, 100])}")
    assert abs(np.median(ratio) - 1) < 0.2
    assert 1 / factor < ratio.min() and ratio.max() < factor
