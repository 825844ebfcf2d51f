"""Cross-section tables: the file format, the built-in generator, Rayleigh scattering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from arielflow.core.errors import ArielflowError
from arielflow.editions import get_edition
from arielflow.physics.binning import binning_matrix
from arielflow.physics.builtin_opacity import ensure_builtin_opacities, generate
from arielflow.physics.molecular_bands import MOLECULES
from arielflow.physics.opacity import OpacityTable, bin_means, rms_dex
from arielflow.physics.opacity_cache import load_opacities
from arielflow.physics.opacity_formats.exo_transmit import read_exo_transmit
from arielflow.physics.opacity_formats.taurex import read_taurex_hdf5, write_taurex_hdf5
from arielflow.physics.rayleigh import rayleigh_cross_section_cm2

NAMES = ["H2O", "CO2", "CO", "CH4", "NH3"]
BINS = (get_edition("adc2023").wavelength_um, get_edition("adc2023").wavelength_width_um)


@pytest.fixture(scope="module")
def tables(opacities: Path) -> dict[str, OpacityTable]:
    return {name: read_taurex_hdf5(opacities / f"{name}.h5") for name in NAMES}


def _table() -> OpacityTable:
    rng = np.random.default_rng(3)
    return OpacityTable(
        "H2O",
        np.linspace(1000.0, 2000.0, 7),
        np.array([200.0, 400.0, 900.0]),
        np.array([1e0, 1e3]),
        rng.uniform(1e-24, 1e-20, (2, 3, 7)),
    )


def _mean(
    table: OpacityTable, low_um: float, high_um: float, *, temperature_k: float, pressure_pa: float
) -> float:
    """Mean cross-section of a wavelength range at a node of the table [cm2]."""
    wavelength_um = 1e4 / table.wavenumber_cm1
    inside = (wavelength_um >= low_um) & (wavelength_um <= high_um)
    row = list(table.pressure_pa).index(pressure_pa)
    column = list(table.temperature_k).index(temperature_k)
    return float(table.cross_section_cm2[row, column, inside].astype(float).mean())


# The file format


def test_a_table_survives_the_round_trip(tmp_path: Path) -> None:
    table = _table()
    write_taurex_hdf5(tmp_path / "H2O.h5", table)
    back = read_taurex_hdf5(tmp_path / "H2O.h5")
    assert back.molecule == "H2O"
    for name in ("wavenumber_cm1", "temperature_k", "pressure_pa", "cross_section_cm2"):
        np.testing.assert_array_equal(getattr(back, name), getattr(table, name))
    assert list(tmp_path.iterdir()) == [tmp_path / "H2O.h5"], "a temporary file was left behind"


@pytest.mark.parametrize("units", ["bar", np.bytes_(b"bar")], ids=["text", "bytes"])
def test_pressures_in_bar_are_read_as_pascal(tmp_path: Path, units: str | bytes) -> None:
    path = tmp_path / "H2O.h5"
    write_taurex_hdf5(path, _table())
    with h5py.File(path, "r+") as file:
        file["p"].attrs["units"] = units
    np.testing.assert_allclose(read_taurex_hdf5(path).pressure_pa, [1e5, 1e8])


def _replace(file: h5py.File, name: str, values: object) -> None:
    units = dict(file[name].attrs)
    del file[name]
    file[name] = values
    file[name].attrs.update(units)


DAMAGE: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "no dataset": (lambda f: f.__delitem__("xsecarr"), "xsecarr"),
    "no units": (lambda f: f["p"].attrs.__delitem__("units"), "units"),
    "unknown units": (lambda f: f["p"].attrs.__setitem__("units", "furlong"), "furlong"),
    "shape": (lambda f: _replace(f, "t", [200.0, 400.0]), "shape"),
    "scalar axis": (lambda f: _replace(f, "t", 200.0), "t has shape (), expected (n,)"),
    "descending": (lambda f: _replace(f, "bin_edges", f["bin_edges"][()][::-1]), "wavenumber is"),
    "NaN on an axis": (lambda f: _replace(f, "t", [200.0, np.nan, 900.0]), "temperature is not"),
    "zero pressure": (lambda f: _replace(f, "p", [0.0, 1e3]), "pressure is not"),
    "negative": (lambda f: _replace(f, "xsecarr", -f["xsecarr"][()]), "negative"),
    "not finite": (lambda f: _replace(f, "xsecarr", f["xsecarr"][()] * np.inf), "non-finite"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_table_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    path = tmp_path / "H2O.h5"
    write_taurex_hdf5(path, _table())
    damage, expected = DAMAGE[case]
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(ArielflowError) as fault:
        read_taurex_hdf5(path)
    text = str(fault.value)
    assert str(path) in text and expected in text and "\n" not in text


def test_a_missing_and_a_cut_off_file_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "H2O.h5"
    with pytest.raises(ArielflowError, match=r"H2O\.h5: no such file"):
        read_taurex_hdf5(path)
    write_taurex_hdf5(path, _table())
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(ArielflowError) as fault:
        read_taurex_hdf5(path)
    assert str(path) in str(fault.value) and "\n" not in str(fault.value)


def test_missing_molecules_are_named(tmp_path: Path) -> None:
    # CO2.h5 must not pass for CO.
    write_taurex_hdf5(tmp_path / "CO2.h5", replace(_table(), molecule="CO2"))
    with pytest.raises(ArielflowError, match="no opacity table for H2O, CO;"):
        load_opacities(tmp_path, ["H2O", "CO2", "CO"], *BINS)


# The built-in tables


def test_the_tables_share_one_grid_that_covers_the_challenge(tables: dict) -> None:
    assert list(tables) == NAMES
    assert set(MOLECULES) == set(NAMES)
    first = tables["H2O"]
    for name, table in tables.items():
        assert table.molecule == name
        for axis in ("wavenumber_cm1", "temperature_k", "pressure_pa"):
            np.testing.assert_array_equal(getattr(table, axis), getattr(first, axis))
        values = table.cross_section_cm2
        assert np.all(np.isfinite(values)) and np.all(values > 0)
    steps = first.wavenumber_cm1[1:] / first.wavenumber_cm1[:-1]
    np.testing.assert_allclose(1 / np.log(steps), 300.0, rtol=5e-3)
    assert first.temperature_k[0] <= 200 and first.temperature_k[-1] >= 2600
    assert first.pressure_pa[0] <= 1 and first.pressure_pa[-1] >= 1e6
    edition = get_edition("adc2023")
    matrix = binning_matrix(
        first.wavenumber_cm1, edition.wavelength_um, edition.wavelength_width_um
    )
    np.testing.assert_allclose(matrix.sum(axis=1), 1)


# (molecule, band [um], window on the short side, window on the long side, least contrast)
BANDS = [
    ("H2O", (1.35, 1.45), (1.25, 1.29), (1.65, 1.70), 10),
    ("H2O", (1.82, 1.94), (1.65, 1.70), (2.15, 2.25), 10),
    ("H2O", (2.60, 2.75), (2.15, 2.25), (3.60, 3.80), 30),
    ("H2O", (5.9, 6.6), (3.60, 3.80), (7.8, 8.0), 3),
    ("CO2", (1.95, 2.08), (1.80, 1.90), (2.25, 2.45), 10),
    ("CO2", (2.65, 2.82), (2.25, 2.45), (3.2, 3.8), 100),
    ("CO2", (4.20, 4.40), (3.2, 3.8), (5.5, 6.5), 1000),
    ("CO", (2.30, 2.40), (2.05, 2.15), (2.8, 3.2), 30),
    ("CO", (4.50, 4.85), (3.6, 4.0), (5.8, 6.5), 100),
    ("CH4", (1.62, 1.72), (1.50, 1.56), (1.95, 2.05), 3),
    ("CH4", (2.20, 2.45), (1.95, 2.05), (2.70, 2.85), 3),
    ("CH4", (3.20, 3.45), (2.70, 2.85), (4.5, 5.2), 30),
    ("CH4", (7.4, 7.9), (4.5, 5.2), None, 100),
    ("NH3", (1.48, 1.55), (1.38, 1.42), (1.72, 1.80), 5),
    ("NH3", (1.94, 2.06), (1.72, 1.80), (2.40, 2.45), 3),
    ("NH3", (2.85, 3.10), (2.55, 2.65), (4.5, 5.0), 10),
    ("NH3", (5.9, 6.4), (4.5, 5.0), (7.6, 8.0), 3),
]


@pytest.mark.parametrize(
    ("name", "band", "short", "long", "contrast"), BANDS, ids=[f"{b[0]} {b[1][0]}" for b in BANDS]
)
def test_bands_stand_out_where_the_molecule_has_them(
    tables: dict, name: str, band: tuple, short: tuple, long: tuple | None, contrast: float
) -> None:
    peak = _mean(tables[name], *band, temperature_k=600.0, pressure_pa=1e4)
    for window in filter(None, (short, long)):
        beside = _mean(tables[name], *window, temperature_k=600.0, pressure_pa=1e4)
        assert peak > contrast * beside, f"{name} {band} against {window}: {peak / beside:.2g}"


# Integrated intensities at 296 K [cm per molecule] of HITRAN (Gordon et al. 2022)
INTENSITIES = [
    ("CO", (2000.0, 2300.0), 9.8e-18),
    ("CO", (4100.0, 4400.0), 7.5e-20),
    ("CO2", (2250.0, 2420.0), 9.2e-17),
    ("CH4", (2800.0, 3250.0), 1.1e-17),
]


@pytest.mark.parametrize(("name", "range_cm1", "intensity"), INTENSITIES)
def test_integrated_intensities_are_the_literature_s(
    name: str, range_cm1: tuple, intensity: float
) -> None:
    table = generate(name, temperature_k=np.array([296.0]), pressure_pa=np.array([1e4]))
    inside = (table.wavenumber_cm1 >= range_cm1[0]) & (table.wavenumber_cm1 <= range_cm1[1])
    integral = np.trapezoid(
        table.cross_section_cm2[0, 0, inside].astype(float), table.wavenumber_cm1[inside]
    )
    assert integral == pytest.approx(intensity, rel=0.15)


@pytest.mark.parametrize("name", NAMES)
def test_heat_widens_bands_and_keeps_their_strength(tables: dict, name: str) -> None:
    table = tables[name]
    cold, hot = (list(table.temperature_k).index(t) for t in (400.0, 2000.0))
    values = table.cross_section_cm2[list(table.pressure_pa).index(1e3)].astype(float)
    # Windows lie below the band's median; they fill much faster than the peaks change.
    low = [np.median(np.log10(values[t])) for t in (cold, hot)]
    peak = [np.log10(values[t].max()) for t in (cold, hot)]
    assert low[1] - low[0] > 0.5
    assert -1.0 < peak[1] - peak[0] < 0.1
    # The sum rule: the strength of all bands together hardly depends on temperature.
    total = [np.trapezoid(values[t], table.wavenumber_cm1) for t in (cold, hot)]
    assert 0.6 < total[1] / total[0] < 1.3


@pytest.mark.parametrize("name", NAMES)
def test_pressure_fills_windows_and_keeps_bands(tables: dict, name: str) -> None:
    table = tables[name]
    values = table.cross_section_cm2[:, list(table.temperature_k).index(400.0)].astype(float)
    # Below 1e-30 cm2 lie the rounding of the convolution and the tables' floor.
    absorbing = values[-1] > 1e-30
    windows = absorbing & (values[0] < np.quantile(values[0, absorbing], 0.3))
    in_windows = [np.log10(v[windows]).mean() for v in values]
    assert np.all(np.diff(in_windows) >= 0) and in_windows[-1] - in_windows[0] > 0.5
    total = np.trapezoid(values, table.wavenumber_cm1, axis=1)
    np.testing.assert_allclose(total, total[0], rtol=0.02)


def test_tables_are_made_once_and_always_the_same(tmp_path: Path, opacities: Path) -> None:
    ensure_builtin_opacities(tmp_path)
    stamp = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(stamp) == {f"{name}.h5" for name in NAMES}
    with h5py.File(tmp_path / "CO.h5", "r+") as file:
        file.attrs["arielflow_builtin"] = '{"version": "of yesterday"}'
    ensure_builtin_opacities(tmp_path)
    again = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert {name for name in stamp if stamp[name] != again[name]} == {"CO.h5"}
    for name in NAMES:
        mine = read_taurex_hdf5(tmp_path / f"{name}.h5").cross_section_cm2
        np.testing.assert_array_equal(
            mine, read_taurex_hdf5(opacities / f"{name}.h5").cross_section_cm2
        )


# Means in bins


def test_bin_means_interpolate_and_clamp() -> None:
    grid = np.linspace(1000.0, 2000.0, 101)
    temperature_k, pressure_pa = np.array([200.0, 400.0]), np.array([1e0, 1e2])
    values = np.array([[1.0, 3.0], [5.0, 7.0]])[:, :, None] * np.ones(101)
    table = OpacityTable("H2O", grid, temperature_k, pressure_pa, values)
    bins = np.array([6.0, 8.0]), np.array([0.5, 1.0])
    for temperature, pressure, mean in ((300, 1e0, 2), (300, 1e1, 4), (100, 1e5, 5), (900, 1, 3)):
        np.testing.assert_allclose(bin_means(table, temperature, pressure, *bins), mean)
    weights = np.array([0.25, 0.75])
    correlated = replace(
        table, cross_section_cm2=values[..., None] * [1.0, 2.0], quadrature_weights=weights
    )
    np.testing.assert_allclose(bin_means(correlated, 300, 1e1, *bins), 4 * 1.75)
    with pytest.raises(ArielflowError, match="reaches beyond"):
        bin_means(table, 300, 1e1, np.array([4.0]), np.array([0.5]))


def test_rms_counts_the_strong_bins_only() -> None:
    reference = np.array([1.0, 0.1, 1e-6])
    assert rms_dex(np.array([10.0, 0.01, 1.0]), reference) == pytest.approx(1.0)


# Rayleigh scattering

# Cross-sections at 0.55 and 2 um [cm2], computed with TauREx 3.3.2 (taurex.util.scattering)
RAYLEIGH_CM2 = {
    "H2": (9.377100501658e-28, 5.107556864609e-30),
    "He": (6.041373762461e-29, 3.429590775000e-31),
    "H2O": (3.779069866161e-27, 2.086759250490e-29),
    "CO2": (1.152966846145e-26, 6.133685790843e-29),
    "CO": (5.733976883205e-27, 3.123150086396e-29),
    "CH4": (1.152953893046e-26, 6.260682584456e-29),
    "NH3": (7.408008637003e-27, 3.943170408700e-29),
}


@pytest.mark.parametrize("gas", RAYLEIGH_CM2)
def test_rayleigh_cross_sections_are_those_of_taurex(gas: str) -> None:
    np.testing.assert_allclose(
        rayleigh_cross_section_cm2(gas, np.array([0.55, 2.0])), RAYLEIGH_CM2[gas], rtol=1e-9
    )


def test_an_unknown_gas_does_not_scatter() -> None:
    assert not rayleigh_cross_section_cm2("XeF6", np.array([1.0])).any()


# Against published tables

PUBLISHED_TEMPERATURE_K = 1000.0
MAX_RMS_DEX = 0.7


@pytest.mark.external
@pytest.mark.parametrize("name", ["H2O", "CO2", "CH4"])
def test_bin_means_agree_with_published_tables(
    tables: dict, published_opacities: Path, name: str
) -> None:
    published = read_exo_transmit(published_opacities / f"opac{name}.dat")
    rms = {}
    for pressure_pa in (1e2, 1e3, 1e4, 1e5):
        at = (PUBLISHED_TEMPERATURE_K, pressure_pa, *BINS)
        rms[pressure_pa] = rms_dex(bin_means(tables[name], *at), bin_means(published, *at))
    print(f"{name}: rms [dex] by pressure [Pa]: {rms}")
    assert max(rms.values()) <= MAX_RMS_DEX, rms
