"""Opacity files as they come: units, names, declared sizes, damaged files, a damaged cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_opacity_folder import BINS, correlated, table, write_cia, write_exo_transmit

from arielflow.core.errors import ArielflowError
from arielflow.physics.builtin_opacity import generate
from arielflow.physics.cia import load_cia, read_hitran_cia
from arielflow.physics.molecule_names import formula, molecule_of_file
from arielflow.physics.opacity import doubts
from arielflow.physics.opacity_cache import load_opacities
from arielflow.physics.opacity_files import read_opacity, scan_opacities
from arielflow.physics.opacity_formats.taurex import read_taurex_hdf5, write_taurex_hdf5
from arielflow.physics.systems import ATOMIC_MASS_UNIT_KG, molecular_mass_u

GRAMS = 1e3 * ATOMIC_MASS_UNIT_KG * molecular_mass_u("H2O")


def refusal(action: Callable[[], object], path: Path) -> str:
    """Text of the one-line error that an action ends in; it names the path."""
    with pytest.raises(ArielflowError) as fault:
        action()
    text = str(fault.value)
    assert str(path) in text and "\n" not in text and len(text) < 700
    return text


def write_with_units(path: Path, name: str, units: object, factor: float = 1.0) -> None:
    """A table whose dataset has other values and says in which unit."""
    write_taurex_hdf5(path, correlated() if name == "kcoeff" else table())
    with h5py.File(path, "r+") as file:
        file[name][...] = file[name][...] * factor
        file[name].attrs["units"] = units


# Units


@pytest.mark.parametrize("name", ["xsecarr", "kcoeff"])
@pytest.mark.parametrize(
    ("units", "per_cm2_molecule"),
    [
        ("cm^2/molecule", 1.0),
        ("cm2/molec", 1.0),
        ("cm^2 molecule^-1", 1.0),
        (np.bytes_(b"CM**2"), 1.0),
        ("", 1.0),
        ("m^2/molecule", 1e-4),
        ("m²", 1e-4),
        ("m^2.molecule^-1", 1e-4),
        ("cm^2/g", 1 / GRAMS),
        ("cm2 g-1", 1 / GRAMS),
        ("m^2/kg", 0.1 / GRAMS),
        ("m2 kg^-1", 0.1 / GRAMS),
    ],
    ids=str,
)
def test_cross_sections_are_converted_from_what_they_say_they_are_in(
    tmp_path: Path, name: str, units: object, per_cm2_molecule: float
) -> None:
    write_with_units(tmp_path / "H2O.h5", name, units, per_cm2_molecule)
    expected = correlated() if name == "kcoeff" else table()
    found = read_opacity(tmp_path / "H2O.h5").cross_section_cm2
    np.testing.assert_allclose(found, expected.cross_section_cm2, rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "units", "words"),
    [
        ("xsecarr", "furlong^2/molecule", "cross-sections in 'furlong"),
        ("xsecarr", "log10(cm^2/molecule)", "cross-sections in 'log10"),
        ("xsecarr", "cm^2/mol", "cross-sections in 'cm"),
        ("xsecarr", [1.0, 2.0], "more or less than one text"),
        ("kcoeff", "km^2", "cross-sections in 'km"),
        ("t", "celsius", "temperatures in 'celsius'"),
        ("p", "psi", "pressures in 'psi'"),
        ("bin_edges", "THz", "spectral grid in 'THz'"),
    ],
)
def test_units_that_are_not_known_are_refused(tmp_path: Path, name, units, words) -> None:
    path = tmp_path / "H2O.h5"
    write_with_units(path, name, units)
    assert words in refusal(lambda: read_opacity(path), path)


@pytest.mark.parametrize(
    ("units", "pascal"), [("kPa", 1e3), ("hPa", 1e2), ("bars", 1e5), ("dyn/cm^2", 0.1)]
)
def test_pressures_in_other_units(tmp_path: Path, units: str, pascal: float) -> None:
    write_with_units(tmp_path / "H2O.h5", "p", units)
    found = read_opacity(tmp_path / "H2O.h5").pressure_pa
    np.testing.assert_allclose(found, pascal * table().pressure_pa)


@pytest.mark.parametrize(("units", "per_um"), [("um", 1.0), ("micron", 1.0), ("nm", 1e3)])
def test_a_grid_of_wavelengths_becomes_wavenumbers(tmp_path: Path, units, per_um) -> None:
    path, expected = tmp_path / "H2O.h5", table()
    for ascending in (True, False):
        write_taurex_hdf5(path, expected)
        step = -1 if ascending else 1
        with h5py.File(path, "r+") as file:
            file["bin_edges"][...] = per_um * 1e4 / expected.wavenumber_cm1[::step]
            file["bin_edges"].attrs["units"] = units
            file["xsecarr"][...] = expected.cross_section_cm2[:, :, ::step]
        found = read_opacity(path)
        np.testing.assert_allclose(found.wavenumber_cm1, expected.wavenumber_cm1)
        np.testing.assert_array_equal(found.cross_section_cm2, expected.cross_section_cm2)


@pytest.mark.parametrize("factor", [0.0, 1e-30, 1e15])
def test_no_table_has_such_cross_sections(tmp_path: Path, factor: float) -> None:
    path = tmp_path / "H2O.h5"
    write_taurex_hdf5(path, replace(table(), cross_section_cm2=factor * table().cross_section_cm2))
    assert "the largest cross-section is" in refusal(lambda: read_opacity(path), path)
    path = tmp_path / "opacH2O.dat"
    write_exo_transmit(path, replace(table(), cross_section_cm2=factor * table().cross_section_cm2))
    assert "the largest cross-section is" in refusal(lambda: read_opacity(path), path)


def test_logarithms_in_place_of_cross_sections_are_told(tmp_path: Path) -> None:
    path = tmp_path / "H2O.h5"
    logarithms = np.log10(table().cross_section_cm2)
    write_taurex_hdf5(path, replace(table(), cross_section_cm2=logarithms))
    assert "10 to the power" in refusal(lambda: read_opacity(path), path)


def test_tables_that_look_like_another_unit_are_told_but_used() -> None:
    made = generate("H2O", temperature_k=np.array([300.0, 2600.0]), pressure_pa=np.array([1, 1e6]))
    assert doubts(made) == []
    square_metres = replace(made, cross_section_cm2=1e-4 * made.cross_section_cm2)
    assert "check the table's unit" in doubts(square_metres)[0]
    in_bar = replace(made, pressure_pa=1e-5 * made.pressure_pa)
    assert "if they are in bar" in doubts(in_bar)[0]


def test_a_grid_that_looks_like_wavelengths_is_told(tmp_path: Path) -> None:
    path, expected = tmp_path / "H2O.h5", table()
    write_taurex_hdf5(path, replace(expected, wavenumber_cm1=1e4 / expected.wavenumber_cm1[::-1]))
    assert "looks like wavelengths" in refusal(
        lambda: load_opacities(tmp_path, ("H2O",), *BINS), path
    )


# Names


@pytest.mark.parametrize(
    ("stem", "molecule"),
    [
        ("12C-16O__Li2015.R15000_0.3-50mu.xsec.TauREx", "CO"),
        ("C-O-NatAbund__Li2015.R15000_0.3-50mu.xsec.TauREx", "CO"),
        ("12C-16O2__UCL-4000.R15000", "CO2"),
        ("1H2-16O__POKAZATEL.R15000", "H2O"),
        ("14N-1H3__CoYuTe", "NH3"),
        ("12C-1H4__YT34to10", "CH4"),
        ("1H-12C-14N__Harris", "HCN"),
        ("1H2-12C-16O__AYTY", "H2CO"),
        ("48Ti-16O__Toto", "TiO"),
        ("23Na__Allard", "Na"),
        ("1H-2H-16O__VTT", "HDO"),
        ("1H3_p__MiZATeP", "H3+"),
        ("1H3-16O_p__eXeL", "H3O+"),
        ("H3_p", "H3+"),
        ("H-", "H-"),
        ("H2-O-NatAbund__x", "H2O"),
        ("CO-Li2015", "CO"),
        ("12C-16O-Li2015", "CO"),
        ("H2O_pokazatel.R10000", "H2O"),
        ("H2O-HITEMP", "H2O"),
        ("H2O (1)", "H2O"),
        ("HCN.R15000", "HCN"),
        ("Na.R1000", "Na"),
        ("co2_ucl4000", "CO2"),
        ("TIO.R1000", "TiO"),
    ],
)
def test_molecules_of_file_names(stem: str, molecule: str) -> None:
    assert molecule_of_file(stem) == molecule


def test_a_formula_is_left_as_it_is() -> None:
    for name in ("H2O", "TiO", "C2H2", "H2", "XeF6", "notes"):
        assert formula(name) == name


def test_tables_without_a_molecule_inside_are_told_by_their_names(tmp_path: Path) -> None:
    for stem in ("C-O-NatAbund__Li2015.R15000", "1H2-16O__POKAZATEL.R15000"):
        write_taurex_hdf5(tmp_path / f"{stem}.xsec.TauREx.h5", table())
        with h5py.File(tmp_path / f"{stem}.xsec.TauREx.h5", "r+") as file:
            del file["mol_name"]
    assert set(scan_opacities(tmp_path)) == {"CO", "H2O"}


def test_hidden_files_are_passed_over_and_others_named(tmp_path: Path) -> None:
    write_taurex_hdf5(tmp_path / "H2O.h5", table())
    for name in ("._H2O.h5", ".DS_Store", "._H2-H2.cia"):
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07" + bytes(100))
    (tmp_path / "CO.pickle").write_bytes(b"x")
    (tmp_path / "older.h5").mkdir()
    assert set(load_opacities(tmp_path, ("H2O",), *BINS)) == {"H2O"}
    text = refusal(lambda: load_opacities(tmp_path, ("H2O", "CO"), *BINS), tmp_path)
    assert "no opacity table for CO; found H2O" in text
    assert "CO.pickle" in text and "older.h5/" in text and "DS_Store" not in text
    for pair in ("H2-H2", "H2-He"):
        write_cia(tmp_path / f"{pair}.cia", pair)
    assert len(load_cia(tmp_path)) == 2


# Declared sizes, links, damage


def _sparse(file: h5py.File, shape: tuple[int, ...], **options: object) -> None:
    del file["xsecarr"]
    file.create_dataset("xsecarr", shape, "f8", **options)


def _vast_axis(file: h5py.File) -> None:
    del file["bin_edges"]
    file.create_dataset("bin_edges", (10**12,), "f8")


def _squeezed(file: h5py.File) -> None:
    """Values that fit their axes and take nearly no place: 64 MB of zeros in kilobytes."""
    for name in ("t", "p", "xsecarr"):
        units = dict(file[name].attrs)
        del file[name]
        file[name] = np.arange(1.0, 201.0)
        file[name].attrs.update(units)
    del file["xsecarr"]
    zeros = np.zeros((200, 200, 400), dtype="f4")
    file.create_dataset("xsecarr", data=zeros, compression="gzip")


def _linked(file: h5py.File) -> None:
    del file["xsecarr"]
    file["xsecarr"] = h5py.ExternalLink("other.h5", "/xsecarr")


HOSTILE = {
    "never written": (lambda f: _sparse(f, (3, 3, 400), chunks=(1, 1, 40)), "never written"),
    "1e12 values": (lambda f: _sparse(f, (10**12,)), "has shape"),
    "axes of 1e12": (_vast_axis, "declares 1000000000000 values"),
    "compressed": (_squeezed, "declares"),
    "external link": (_linked, "external link"),
    "words for numbers": (
        lambda f: (f.__delitem__("t"), f.__setitem__("t", [b"cold", b"hot", b"hotter"])),
        "holds text",
    ),
    "numbers for the name": (
        lambda f: (f.__delitem__("mol_name"), f.__setitem__("mol_name", 5)),
        "expected a text",
    ),
    "group for a dataset": (
        lambda f: (f.__delitem__("p"), f.create_group("p")),
        "expected a dataset",
    ),
    "infinite axis": (lambda f: f["bin_edges"].__setitem__(-1, np.inf), "wavenumber is not"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_tables_that_are_not_what_they_declare_are_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "H2O.h5"
    write_taurex_hdf5(path, table())
    damage, words = HOSTILE[case]
    with h5py.File(path, "r+") as file:
        damage(file)
    assert words in refusal(lambda: read_opacity(path), path)


def test_negative_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "H2O.h5"
    weights = np.array([-0.5, 0.5, 0.5, 0.5])
    write_taurex_hdf5(path, replace(correlated(), quadrature_weights=weights))
    assert "weight is negative" in refusal(lambda: read_opacity(path), path)


@pytest.mark.parametrize("name", ["H2O.h5", "opacH2O.dat"])
def test_holes_and_pipes_are_refused_before_their_checksum(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    assert "the disk holds" in refusal(lambda: load_opacities(tmp_path, ("H2O",), *BINS), path)
    path.unlink()
    os.mkfifo(path)
    assert "pipe" in refusal(lambda: load_opacities(tmp_path, ("H2O",), *BINS), path)


def test_single_precision_stays_what_it_is(tmp_path: Path) -> None:
    values = table().cross_section_cm2.astype(">f4")
    write_taurex_hdf5(tmp_path / "H2O.h5", replace(table(), cross_section_cm2=values))
    found = read_taurex_hdf5(tmp_path / "H2O.h5").cross_section_cm2
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values)


def test_rows_of_an_exo_transmit_table_begin_with_their_pressure(tmp_path: Path) -> None:
    path = tmp_path / "opacH2O.dat"
    write_exo_transmit(path, table(points=30))
    expected = read_opacity(path).cross_section_cm2
    lines = path.read_text().splitlines()
    # Published tables name a row by the logarithm of its pressure.
    by_logarithm = [
        " ".join([repr(float(np.log10(float(line.split()[0])))), *line.split()[1:]])
        if number > 1 and (number - 2) % 4
        else line
        for number, line in enumerate(lines)
    ]
    path.write_text("\n".join(by_logarithm))
    np.testing.assert_array_equal(read_opacity(path).cross_section_cm2, expected)
    # One number less in front and one more behind: still whole blocks.
    lines[2] = ""
    path.write_text("\n".join([*lines, "1e-30"]))
    assert "do not begin with the pressures" in refusal(lambda: read_opacity(path), path)


# Collision-induced absorption


def _rewritten(path: Path, change: Callable[[list[str]], object]) -> None:
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines) + "\n")


CIA = {
    "amagat": (lambda x: x.__setitem__(slice(None), _scaled(x, 7e38)), "another unit"),
    "square metres": (lambda x: x.__setitem__(slice(None), _scaled(x, 1e-10)), "another unit"),
    "negative": (lambda x: x.__setitem__(slice(None), _scaled(x, -1.0)), "mostly negative"),
    "endless": (lambda x: x.__setitem__(0, x[0].replace("    150", "     -1")), "-1 values"),
    "counts more": (
        lambda x: x.__setitem__(0, x[0].replace("    150", "   9999")),
        "not a readable HITRAN",
    ),
    "two pairs": (lambda x: x.__setitem__(0, x[0].replace("H2-H2", "H2-He")), "one pair"),
    "descending": (lambda x: x.__setitem__(slice(1, 3), x[2:0:-1]), "out of order"),
    "cut number": (lambda x: x.__setitem__(-2, x[-2][:-1]), "another unit"),
}


def _scaled(lines: list[str], factor: float) -> list[str]:
    return [
        line if "synthetic" in line else f"{line.split()[0]} {factor * float(line.split()[1]):.4e}"
        for line in lines
    ]


@pytest.mark.parametrize("case", CIA)
def test_cia_files_that_cannot_be_right_are_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "H2-H2.cia"
    write_cia(path)
    change, words = CIA[case]
    _rewritten(path, change)
    assert words in refusal(lambda: read_hitran_cia(path), path)


def test_an_empty_line_between_blocks_loses_nothing(tmp_path: Path) -> None:
    write_cia(tmp_path / "H2-H2.cia")
    _rewritten(tmp_path / "H2-H2.cia", lambda lines: lines.insert(151, ""))
    assert "header" in refusal(
        lambda: read_hitran_cia(tmp_path / "H2-H2.cia"), tmp_path / "H2-H2.cia"
    )


# The cache
