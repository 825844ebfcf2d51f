"""Tables in the formats of NEMESIS, photochem and petitRADTRANS 3: values back, damaged files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from opacity_twins import (
    nemesis,
    photochem_edges_um,
    write_nemesis,
    write_petitradtrans,
    write_photochem,
)
from test_opacity_folder import correlated, table
from test_opacity_input import refusal

from arielflow.core.errors import ArielflowError
from arielflow.physics.binning import cells_as_bins
from arielflow.physics.opacity import OpacityTable, bin_means, doubts
from arielflow.physics.opacity_cache import cached_table
from arielflow.physics.opacity_files import format_of, read_opacity, scan_opacities
from arielflow.physics.opacity_formats.taurex import read_taurex_hdf5, write_taurex_hdf5


def with_cells(base: OpacityTable) -> OpacityTable:
    """A k-table whose cells are not those that midpoints would give."""
    edges = np.geomspace(3900, 12_300, len(base.wavenumber_cm1) + 1)
    bounds = np.stack([edges[:-1], edges[1:]], axis=1)
    return replace(base, wavenumber_cm1=0.2 * edges[:-1] + 0.8 * edges[1:], cell_bounds_cm1=bounds)


# NEMESIS


def test_nemesis_values_come_back(tmp_path: Path) -> None:
    k = nemesis()
    write_nemesis(tmp_path / "h2owasp43.kta", k)
    found = read_opacity(tmp_path / "h2owasp43.kta")
    assert found.molecule == "H2O" and found.kind == "correlated-k"
    np.testing.assert_allclose(found.wavenumber_cm1, 1e4 / k.wavelength_um[::-1], rtol=1e-6)
    np.testing.assert_allclose(found.pressure_pa, 1e5 * k.pressure_bar, rtol=1e-6)
    np.testing.assert_allclose(found.temperature_k, k.temperature_k)
    np.testing.assert_allclose(found.quadrature_weights, k.weights, rtol=1e-6)
    expected = 1e-20 * k.values[::-1].transpose(1, 2, 0, 3)
    np.testing.assert_allclose(found.cross_section_cm2, expected, rtol=1e-6)


def test_channels_that_stand_apart_leave_a_gap(tmp_path: Path) -> None:
    write_nemesis(tmp_path / "H2O.kta", nemesis())
    bounds = read_opacity(tmp_path / "H2O.kta").cell_bounds_cm1
    ends_um = 1e4 / bounds[::-1, ::-1]
    expected = [(1.05, 1.15), (1.15, 1.25), (1.25, 1.35), (1.35, 1.45), (3.15, 4.05), (4.05, 4.95)]
    np.testing.assert_allclose(ends_um, expected, rtol=1e-5)


@pytest.mark.parametrize(("width_um", "half"), [(0.0, 0.05), (0.2, 0.1)])
def test_nemesis_regular_grids_have_a_step_and_perhaps_a_width(
    tmp_path: Path, width_um: float, half: float
) -> None:
    k = nemesis(wavelength_um=(1.0, 1.1, 1.2), step_um=0.1, width_um=width_um)
    write_nemesis(tmp_path / "H2O.kta", k)
    centre, width = cells_as_bins(
        (found := read_opacity(tmp_path / "H2O.kta")).wavenumber_cm1, found.cell_bounds_cm1
    )
    np.testing.assert_allclose(centre, [1.0, 1.1, 1.2], rtol=1e-6)
    np.testing.assert_allclose(width, 2 * half, rtol=1e-5)


@pytest.mark.parametrize(
    ("gas", "name", "expected"),
    [
        (6, "ch4wasp43", "CH4"),
        (5, "CO", "CO"),
        (5, "12C-16O__Li2015.R1000", "CO"),
        (36, "H2S", "H2S"),
        (31, "H2S", "H2S"),  # HITRAN's number
        (31, "table", "HC3N"),  # NEMESIS's
        (60, "sodium", "Na"),
        (0, "SiO", "SiO"),
    ],
)
def test_nemesis_gases_have_a_number_and_a_name(
    tmp_path: Path, gas: int, name: str, expected: str
) -> None:
    write_nemesis(tmp_path / f"{name}.kta", nemesis(gas))
    assert scan_opacities(tmp_path) == {expected: tmp_path / f"{name}.kta"}
    assert read_opacity(tmp_path / f"{name}.kta").molecule == expected


@pytest.mark.parametrize(
    ("gas", "name", "words"),
    [(6, "H2O", "gas 6 is CH4, its name says H2O"), (999, "table", "has the number 999")],
)
def test_nemesis_gases_that_are_unclear_are_refused(
    tmp_path: Path, gas: int, name: str, words: str
) -> None:
    path = tmp_path / f"{name}.kta"
    write_nemesis(path, nemesis(gas))
    assert words in refusal(lambda: read_opacity(path), path)
    assert words in refusal(lambda: scan_opacities(tmp_path), path)


def _word(position: int, value: int) -> Callable[[bytes], bytes]:
    new = np.array([value], "<i4").tobytes()
    return lambda content: content[: 4 * position] + new + content[4 * position + 4 :]


def _real(position: int, value: float) -> Callable[[bytes], bytes]:
    new = np.array([value], "<f4").tobytes()
    return lambda content: content[: 4 * position] + new + content[4 * position + 4 :]


NEMESIS_DAMAGE = {
    "empty": (lambda c: b"", "0 bytes"),
    "cut in the header": (lambda c: c[:30], "30 bytes"),
    "cut in the axes": (lambda c: c[:90], "90 bytes"),
    "cut by a byte": (lambda c: c[:-1], "its header declares"),
    "longer": (lambda c: c + bytes(4), "its header declares"),
    "text": (lambda c: b"wavelength, k\n" * 40, "its header declares"),
    "noise": (lambda c: np.random.default_rng(0).bytes(4000), "its header declares"),
    "other byte order": (
        lambda c: np.frombuffer(c, "<i4").astype(">i4").tobytes(),
        "its header declares",
    ),
    "more wavelengths": (_word(1, 7), "its header declares"),
    "no wavelength": (_word(1, 0), "declares 0 wavelengths"),
    "2e9 pressures": (_word(5, 2**31 - 1), "declares 2147483647 pressures"),
    "temperatures by pressure": (_word(6, -3), "differ from pressure to pressure"),
    "k inside of the axes": (_word(0, 12), "with k from 12"),
    "endless step": (_real(3, np.inf), "no start, step and width"),
    "no step": (_real(3, 0.0), "no start, step and width"),
    "weights of two": (_real(14, 1.1), "weights do not sum to one"),
    "NaN for a weight": (_real(14, np.nan), "weights do not sum to one"),
    "descending pressures": (_real(20, 1e9), "pressure is not one ascending row"),
    "no temperature": (_real(24, np.nan), "temperature is not one ascending row"),
    "no wavelengths": (_real(27, np.nan), "its wavelengths do not ascend"),
    "wavenumbers": (_real(32, 4500.0), "if these are wavenumbers"),
    "negative k": (_real(40, -1.0), "negative or non-finite"),
    "NaN for a k": (_real(40, np.nan), "negative or non-finite"),
    "absurd k": (_real(40, 1e25), "the largest cross-section is"),
}


@pytest.mark.parametrize("case", NEMESIS_DAMAGE)
def test_damaged_nemesis_tables_are_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "H2O.kta"
    write_nemesis(path, nemesis())
    damage, words = NEMESIS_DAMAGE[case]
    path.write_bytes(damage(path.read_bytes()))
    assert words in refusal(lambda: read_opacity(path), path)


# photochem


def test_photochem_values_come_back(tmp_path: Path) -> None:
    expected = write_photochem(tmp_path / "water.h5")
    found = read_opacity(tmp_path / "water.h5")
    assert found.molecule == "H2O"
    np.testing.assert_allclose(
        found.cross_section_cm2, expected[::-1].transpose(2, 1, 0, 3), rtol=1e-6
    )
    assert not found.cross_section_cm2[:, :, -1].any()
    np.testing.assert_allclose(found.pressure_pa, [0.1, 1e2, 1e5, 1e7], rtol=1e-6)
    edges = photochem_edges_um()
    centre, width = cells_as_bins(found.wavenumber_cm1, found.cell_bounds_cm1)
    np.testing.assert_allclose(centre - width / 2, edges[:-1], rtol=1e-12)
    np.testing.assert_allclose(centre + width / 2, edges[1:], rtol=1e-12)


def _replaced(name: str, change: Callable[[np.ndarray], object]) -> Callable[[h5py.File], None]:
    def replace_it(file: h5py.File) -> None:
        values = file[name][()]
        del file[name]
        file[name] = change(values)

    return replace_it


PHOTOCHEM_DAMAGE = {
    "no weights": (lambda f: f.__delitem__("weights"), "weights is missing"),
    "no k": (lambda f: f.__delitem__("log10k"), "no table of a molecule"),
    "one edge less": (_replaced("wavelengths", lambda x: x[1:]), "has shape (30, 3, 4, 2)"),
    "axes swapped": (_replaced("log10k", lambda x: x.T), "has shape (2, 4, 3, 30)"),
    "descending edges": (_replaced("wavelengths", lambda x: x[::-1]), "do not ascend"),
    "NaN for an edge": (_replaced("wavelengths", lambda x: x * np.nan), "do not ascend"),
    "no edges": (_replaced("wavelengths", lambda x: x[:0]), "expected"),
    "pressures in bar": (_replaced("log10P", lambda x: 10.0 ** x[::-1]), "pressure is not"),
    "huge pressure": (_replaced("log10P", lambda x: 1e3 * x), "pressure is not"),
    "NaN for a k": (_replaced("log10k", lambda x: x * np.nan), "negative or non-finite"),
    "k itself": (_replaced("log10k", lambda x: 10.0**x), "the largest cross-section"),
    "absurd k": (_replaced("log10k", lambda x: x + 1e6), "negative or non-finite"),
    "only zeros": (_replaced("log10k", lambda x: x * 0 - 60), "the largest cross-section"),
    "weights of two": (_replaced("weights", lambda x: 2 * x), "weights do not sum"),
    "text for k": (_replaced("log10k", lambda x: "none"), "holds text"),
}


@pytest.mark.parametrize("case", PHOTOCHEM_DAMAGE)
def test_damaged_photochem_tables_are_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "H2O.h5"
    write_photochem(path)
    damage, words = PHOTOCHEM_DAMAGE[case]
    with h5py.File(path, "r+") as file:
        damage(file)
    assert words in refusal(lambda: read_opacity(path), path)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_photochem_files_that_are_cut_off_are_refused(tmp_path: Path, part: float) -> None:
    path = tmp_path / "H2O.h5"
    write_photochem(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    refusal(lambda: read_opacity(path), path)


# petitRADTRANS 3


@pytest.mark.parametrize(
    ("name", "correlated_k"),
    [
        ("1H2-16O__POKAZATEL.R1000_0.3-50mu.ktable.petitRADTRANS.h5", True),
        ("1H2-16O__HITEMP.R1e6_0.3-28mu.xsec.petitRADTRANS.h5", False),
        ("1H2-16O__POKAZATEL.R15000_0.3-50mu.xsec.TauREx.h5", False),
    ],
)
def test_petitradtrans_values_come_back(tmp_path: Path, name: str, correlated_k: bool) -> None:
    expected = with_cells(correlated()) if correlated_k else table()
    write_petitradtrans(tmp_path / name, expected)
    assert scan_opacities(tmp_path) == {"H2O": tmp_path / name}
    found = read_opacity(tmp_path / name)
    for axis in ("wavenumber_cm1", "temperature_k", "pressure_pa", "cross_section_cm2"):
        np.testing.assert_allclose(getattr(found, axis), getattr(expected, axis), rtol=1e-12)
    if correlated_k:
        np.testing.assert_allclose(found.cell_bounds_cm1, expected.cell_bounds_cm1, rtol=1e-12)
        np.testing.assert_array_equal(found.quadrature_weights, expected.quadrature_weights)


def test_petitradtrans_names_say_the_molecule_and_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "12C-16O2__UCL-4000.R1000_0.3-50mu.ktable.petitRADTRANS.h5"
    write_petitradtrans(path, with_cells(correlated("CO2")))
    with h5py.File(path, "r+") as file:
        del file["mol_name"], file["p"].attrs["units"]
    found = read_opacity(path)
    assert found.molecule == "CO2"
    np.testing.assert_allclose(found.pressure_pa, correlated().pressure_pa, rtol=1e-12)


PETITRADTRANS_DAMAGE = {
    "temperatures by pressure": (
        _replaced("temperature_grid_type", lambda x: np.array([b"pressure-dependent"])),
        "expected 'regular'",
    ),
    "edges elsewhere": (_replaced("bin_edges", lambda x: x + 500), "do not enclose"),
    "NaN for an edge": (_replaced("bin_edges", lambda x: x * np.nan), "do not enclose"),
    "equal edges": (_replaced("bin_edges", lambda x: np.full_like(x, 5e3)), "do not enclose"),
}


@pytest.mark.parametrize("case", PETITRADTRANS_DAMAGE)
def test_damaged_petitradtrans_tables_are_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "H2O.ktable.petitRADTRANS.h5"
    write_petitradtrans(path, with_cells(correlated()))
    damage, words = PETITRADTRANS_DAMAGE[case]
    with h5py.File(path, "r+") as file:
        damage(file)
    assert words in refusal(lambda: read_opacity(path), path)


def test_cells_survive_writing_and_the_cache(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    expected = with_cells(correlated())
    write_taurex_hdf5(tmp_path / "H2O.h5", expected)
    found = [read_taurex_hdf5(tmp_path / "H2O.h5")]
    found += [cached_table(tmp_path / "H2O.h5") for _ in range(2)]
    for each in found:
        np.testing.assert_allclose(each.cell_bounds_cm1, expected.cell_bounds_cm1, rtol=1e-12)
    write_nemesis(tmp_path / "apart.kta", nemesis())
    apart = read_opacity(tmp_path / "apart.kta")
    with pytest.raises(ArielflowError, match="leave gaps"):
        write_taurex_hdf5(tmp_path / "CO.h5", apart)


# Telling formats apart


def test_other_files_are_no_tables(tmp_path: Path) -> None:
    write_photochem(tmp_path / "H2O.h5")
    with h5py.File(tmp_path / "bins.h5", "w") as file:
        file["ir_wavl"] = np.arange(3.0)
    (tmp_path / "notes.txt").write_bytes(b"\xe9\x00 binary")
    (tmp_path / "lines.par").write_text("x")
    (tmp_path / "folder.kta").mkdir()
    assert scan_opacities(tmp_path) == {"H2O": tmp_path / "H2O.h5"}
    for name in ("bins.h5", "notes.txt", "lines.par", "folder.kta"):
        assert format_of(tmp_path / name) is None
    for name in ("bins.h5", "notes.txt", "folder.kta", "absent.kta"):
        refusal(lambda path=tmp_path / name: read_opacity(path), tmp_path / name)


# Real files


def real_table(shared: Path, name: str) -> OpacityTable:
    path = shared / "data" / "opacities" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return read_opacity(path)


@pytest.mark.external
@pytest.mark.parametrize("name", ["H2O", "CO2", "CH4", "CO"])
def test_real_tables_of_nemesis_and_photochem_agree(shared: Path, name: str) -> None:
    ours = real_table(shared, f"nemesispy/{name.lower()}wasp43.kta")
    other = real_table(shared, f"photochem_clima_data/kdistributions/{name}.h5")
    assert (ours.molecule, other.molecule) == (name, name)
    assert doubts(ours) == doubts(other) == []
    # In photochem's cells, the wider ones, as far as NEMESIS's contiguous channels cover them.
    centre, width = cells_as_bins(other.wavenumber_cm1, other.cell_bounds_cm1)
    inside = (centre - width / 2 > 1.125) & (centre + width / 2 < 1.65)
    at = (1000.0, 1e3, centre[inside], width[inside])
    expected, found = bin_means(other, *at), bin_means(ours, *at)
    # Windows differ by more: the line lists are not the same, nor the wings of their lines.
    strong = expected > 0.03 * expected.max()
    ratio = np.log10(found[strong] / expected[strong])
    print(f"{name}: log10 of the ratio {ratio} at {centre[inside][strong]} um")
    assert inside.sum() == 4 and strong.any() and np.abs(ratio).max() < 0.3
