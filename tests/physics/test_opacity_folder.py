"""Folders of opacities that users bring: formats, coverage, the cache, one grid out of several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from arielflow.core.errors import ArielflowError
from arielflow.physics import opacity_cache
from arielflow.physics.cia import load_cia, read_hitran_cia
from arielflow.physics.molecule_names import formula
from arielflow.physics.opacity import OpacityTable, at_wavenumbers, crop, on_one_grid
from arielflow.physics.opacity_cache import cached_table, describe_opacities, load_opacities
from arielflow.physics.opacity_files import read_opacity, scan_opacities
from arielflow.physics.opacity_formats.exo_transmit import read_exo_transmit
from arielflow.physics.opacity_formats.taurex import read_taurex_hdf5, write_taurex_hdf5

BINS = np.array([1.0, 2.0]), np.array([0.2, 0.4])


def table(molecule: str = "H2O", points: int = 400, temperature_k=(300.0, 1000.0, 2600.0)):
    rng = np.random.default_rng(points)
    axes = np.geomspace(4000, 12000, points), np.array(temperature_k), np.array([1e0, 1e3, 1e6])
    values = rng.uniform(1e-24, 1e-20, (3, len(temperature_k), points))
    return OpacityTable(molecule, *axes, values)


def correlated(molecule: str = "H2O") -> OpacityTable:
    base = table(molecule, 60)
    values = np.sort(np.random.default_rng(1).uniform(1e-24, 1e-20, (3, 3, 60, 4)), axis=-1)
    return replace(
        base, cross_section_cm2=values, quadrature_weights=np.array([0.1, 0.4, 0.4, 0.1])
    )


def write_exo_transmit(path: Path, t: OpacityTable) -> None:
    lines = [" ".join(map(repr, map(float, axis))) for axis in (t.temperature_k, t.pressure_pa)]
    for column in range(len(t.wavenumber_cm1))[::-1]:
        lines.append(repr(float(1e-2 / t.wavenumber_cm1[column])))
        for row, pressure in enumerate(t.pressure_pa):
            values = 1e-4 * t.cross_section_cm2[row, :, column]
            lines.append(" ".join(map(repr, map(float, (pressure, *values)))))
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("H2O", "H2O"), ("1H2-16O", "H2O"), ("12C-16O2", "CO2"), ("14N-1H3", "NH3"), ("TiO", "TiO")],
)
def test_formula(name: str, expected: str) -> None:
    assert formula(name) == expected


def test_exo_transmit_round_trip(tmp_path: Path) -> None:
    expected = table(points=30)
    write_exo_transmit(tmp_path / "opacH2O.dat", expected)
    found = read_exo_transmit(tmp_path / "opacH2O.dat")
    assert found.molecule == "H2O"
    for name in ("wavenumber_cm1", "temperature_k", "pressure_pa", "cross_section_cm2"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12)


def test_correlated_k_round_trip(tmp_path: Path) -> None:
    expected = correlated()
    write_taurex_hdf5(tmp_path / "H2O.h5", expected)
    found = read_taurex_hdf5(tmp_path / "H2O.h5")
    assert found.kind == "correlated-k"
    np.testing.assert_array_equal(found.cross_section_cm2, expected.cross_section_cm2)
    np.testing.assert_array_equal(found.quadrature_weights, expected.quadrature_weights)


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_damaged_exo_transmit_file_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "opacH2O.dat"
    write_exo_transmit(path, table(points=30))
    content = path.read_text()
    path.write_text({"cut": content[:-400], "text": content + "no number\n", "empty": ""}[damage])
    with pytest.raises(ArielflowError) as fault:
        read_opacity(path)
    assert str(path) in str(fault.value) and "\n" not in str(fault.value)


def test_a_folder_is_scanned_by_molecule(tmp_path: Path) -> None:
    write_exo_transmit(tmp_path / "opacCO2.dat", table("CO2", 10))
    write_taurex_hdf5(tmp_path / "1H2-16O__POKAZATEL.R15000.TauREx.h5", table("1H2-16O", 10))
    (tmp_path / "notes.txt").write_text("not a table")
    assert {k: p.name[:7] for k, p in scan_opacities(tmp_path).items()} == {
        "H2O": "1H2-16O",
        "CO2": "opacCO2",
    }
    assert describe_opacities(tmp_path, ["CO2"])["CO2"]["path"].endswith("opacCO2.dat")
    write_exo_transmit(tmp_path / "opacH2O.dat", table("H2O", 10))
    with pytest.raises(ArielflowError, match="two tables of H2O"):
        scan_opacities(tmp_path)
    with pytest.raises(ArielflowError, match="no such folder"):
        scan_opacities(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (crop(table(), (0.95, 2.0)), r"H2O\.h5: covers .* um, the bins need 0.900-2.200 um"),
        (table(temperature_k=(600.0, 2600.0)), r"H2O\.h5: covers 600-2600 K, needed are 500-2500"),
        (table(temperature_k=(300.0, 2000.0)), r"H2O\.h5: covers 300-2000 K, needed are 500-2500"),
    ],
)
def test_a_table_that_covers_too_little_is_refused(tmp_path: Path, made, words) -> None:
    write_taurex_hdf5(tmp_path / "H2O.h5", made)
    with pytest.raises(ArielflowError, match=words):
        load_opacities(tmp_path, ("H2O",), *BINS)


def test_the_finest_grid_is_everyones(tmp_path: Path) -> None:
    write_taurex_hdf5(tmp_path / "H2O.h5", table("H2O", 400))
    write_taurex_hdf5(tmp_path / "CO.h5", table("CO", 150))
    found = load_opacities(tmp_path, ("H2O", "CO"), *BINS)
    grid = found["H2O"].wavenumber_cm1
    np.testing.assert_array_equal(found["CO"].wavenumber_cm1, grid)
    source = table("CO", 150)
    expected = np.interp(grid, source.wavenumber_cm1, source.cross_section_cm2[1, 2])
    np.testing.assert_allclose(found["CO"].cross_section_cm2[1, 2], expected, rtol=1e-12)
    low, high = 1e4 / grid[[-1, 0]]
    assert 0.88 < low < 0.9 and 2.2 < high < 2.23, "cropped to the bins"


def test_beyond_its_own_grid_a_table_is_zero() -> None:
    found = at_wavenumbers(table(points=50), np.array([3000.0, 5000.0, 13000.0]))
    assert (found.cross_section_cm2[..., [0, 2]] == 0).all()
    assert (found.cross_section_cm2[..., 1] > 0).all()


def test_kinds_do_not_mix() -> None:
    with pytest.raises(ArielflowError, match="two kinds"):
        on_one_grid({"H2O": table(), "CO": correlated("CO")})
    other = replace(correlated("CO"), wavenumber_cm1=np.geomspace(4000, 12001, 60))
    with pytest.raises(ArielflowError, match=r"k-tables of .* differ"):
        on_one_grid({"H2O": correlated(), "CO": other})


def test_the_cache_is_keyed_by_content(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "H2O.h5"
    write_taurex_hdf5(path, table())
    expected = cached_table(path).cross_section_cm2
    monkeypatch.setattr(opacity_cache, "read_opacity", lambda p: pytest.fail("read again"))
    again = cached_table(path)
    assert isinstance(again.cross_section_cm2, np.memmap)
    np.testing.assert_array_equal(again.cross_section_cm2, expected)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with h5py.File(path, "r+") as file:
        file["xsecarr"][...] = 2 * expected
    np.testing.assert_array_equal(cached_table(path).cross_section_cm2, 2 * expected)
    assert len(list((tmp_path / "cache" / "arielflow" / "tables").iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_taurex_hdf5(tmp_path / "H2O.h5", table())
    np.testing.assert_array_equal(
        cached_table(tmp_path / "H2O.h5").cross_section_cm2, table().cross_section_cm2
    )


# Collision-induced absorption


def write_cia(
    path: Path,
    pair: str = "H2-H2",
    bands=((20, 3000, (200, 400, 1000, 3000)),),
    strength: float = 1e-45,
) -> None:
    """A file in HITRAN's layout: bands given by their ends and temperatures."""
    lines = []
    for low, high, temperatures in bands:
        grid = np.arange(low, high + 1, 20.0)
        for temperature in temperatures:
            lines.append(
                f"{pair:>20}{low:10.3f}{high:10.3f}{len(grid):7d}{temperature:7.1f}"
                f"{strength:10.3e} {-0.999:6.3f}  synthetic                  1"
            )
            # Zero at its ends, as real bands are.
            shape = np.sin(np.pi * (grid - low) / (high - low)) ** 2
            values = strength * (temperature / 300) * shape
            lines += [f"{x:10.4f} {y:10.4e}" for x, y in zip(grid, values, strict=True)]
    path.write_text("\n".join(lines) + "\n")


def test_cia_bands_are_brought_to_one_grid(tmp_path: Path) -> None:
    write_cia(tmp_path / "a.cia", bands=((20, 3000, (200, 400, 1000)), (4000, 6000, (300, 400))))
    found = read_hitran_cia(tmp_path / "a.cia")
    assert found.pair == ("H2", "H2")
    np.testing.assert_array_equal(found.temperature_k, [200, 300, 400, 1000])
    first, second = found.cross_section_cm5[:, 10], found.cross_section_cm5[:, -10]
    np.testing.assert_allclose(first[1], (first[0] + first[2]) / 2, rtol=1e-4)
    assert second[0] == 0 and second[3] == 0 and (second[1:3] > 0).all()


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_damaged_cia_file_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "H2-H2.cia"
    write_cia(path)
    content = path.read_text()
    path.write_text({"cut": content[:-200], "text": "a b c\n" + content, "empty": ""}[damage])
    with pytest.raises(ArielflowError) as fault:
        read_hitran_cia(path)
    assert str(path) in str(fault.value) and "\n" not in str(fault.value)


def test_both_pairs_are_needed(tmp_path: Path) -> None:
    write_cia(tmp_path / "H2-H2.cia")
    with pytest.raises(ArielflowError, match="found H2-H2; fetch"):
        load_cia(tmp_path)
    write_cia(tmp_path / "H2-He.cia", "H2-He")
    assert {t.pair for t in load_cia(tmp_path)} == {("H2", "H2"), ("H2", "He")}
