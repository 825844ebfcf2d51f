"""Coarse tables and tables of part of an instrument: cells and the bins that are covered."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from opacity_twins import (
    nemesis,
    photochem_edges_um,
    write_nemesis,
    write_photochem,
)
from test_opacity_folder import BINS, correlated, table

from arielflow.core.errors import ArielflowError
from arielflow.physics.binning import (
    binning_matrix,
    cells_as_bins,
    cells_of,
    cells_per_bin,
    coarser_than_bins,
)
from arielflow.physics.forward import PhysicsSettings, transmission_model
from arielflow.physics.opacity import crop, mixing_fault, on_one_grid, projection
from arielflow.physics.opacity_cache import load_covering, load_opacities
from arielflow.physics.opacity_coverage import check_coverage, covered
from arielflow.physics.opacity_files import read_opacity
from arielflow.physics.opacity_formats.taurex import write_taurex_hdf5

# Ends of cells [um] that no midpoints between points would give.
EDGES_UM = np.array([1.0, 1.1, 1.5, 1.6, 2.4])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def cells() -> tuple[np.ndarray, np.ndarray]:
    """Grid and bounds of the cells between these edges, ascending [cm-1]."""
    edges = 1e4 / EDGES_UM[::-1]
    return (edges[:-1] + edges[1:]) / 2, np.stack([edges[:-1], edges[1:]], axis=1)


# Binning


def test_a_bin_is_averaged_over_the_cells_own_edges() -> None:
    grid, bounds = cells()
    # 1.05-1.3 um holds half of the first cell and half of the second, in wavelength.
    weights = binning_matrix(grid, np.array([1.175]), np.array([0.25]), bounds)[0, ::-1]
    parts = np.array([1e4 / 1.05 - 1e4 / 1.1, 1e4 / 1.1 - 1e4 / 1.3])
    np.testing.assert_allclose(weights, [*parts / parts.sum(), 0, 0], rtol=1e-12)
    without = binning_matrix(grid, np.array([1.175]), np.array([0.25]))[0, ::-1]
    assert abs(without[0] - weights[0]) > 0.05


def test_a_grid_without_edges_is_binned_as_before() -> None:
    grid = np.geomspace(2000, 12_000, 500)
    bins = np.linspace(1.0, 4.5, 20), np.full(20, 0.1)
    given = binning_matrix(grid, *bins, cells_of(grid))
    np.testing.assert_allclose(binning_matrix(grid, *bins), given, rtol=1e-12)


def test_cells_as_bins_are_averaged_over_themselves() -> None:
    grid, bounds = cells()
    centre, width = cells_as_bins(grid, bounds)
    np.testing.assert_allclose(centre - width / 2, EDGES_UM[:-1])
    np.testing.assert_allclose(centre + width / 2, EDGES_UM[1:])
    matrix = binning_matrix(grid, centre, width, bounds)
    np.testing.assert_allclose(matrix, np.eye(4)[::-1], atol=1e-9)
    inside = cells_as_bins(grid)
    assert np.diag(binning_matrix(grid, *inside)[:, ::-1]).min() > 0.7


def test_bins_beyond_the_grid_or_in_a_gap_are_refused() -> None:
    _, bounds = cells()
    gap = np.delete(bounds, 1, axis=0)
    for centre, given in ((2.39, bounds), (0.99, bounds), (1.52, gap)):
        with pytest.raises(ArielflowError, match=f"bin at {centre:.3f} um reaches beyond"):
            binning_matrix(given.mean(axis=1), np.array([centre]), np.array([0.05]), given)
    assert binning_matrix(gap.mean(axis=1), np.array([1.3]), np.array([0.4]), gap).sum() == 1


def test_bins_narrower_than_cells_are_told() -> None:
    grid, bounds = cells()
    centre, width = np.array([1.05, 1.3, 1.55, 2.0, 3.0]), np.array([0.1, 0.2, 0.2, 0.1, 0.1])
    count = cells_per_bin(grid, centre, width, bounds)
    assert count[0] == pytest.approx(1) and 0 < count[1] < 1 and count[2] > 1 and count[4] == 0
    np.testing.assert_array_equal(
        coarser_than_bins(grid, centre, width, bounds), [False, True, False, True, False]
    )


# Coverage


def test_covered_bins_keep_clear_of_gaps_and_ends(tmp_path: Path) -> None:
    write_nemesis(tmp_path / "H2O.kta", nemesis())
    found = read_opacity(tmp_path / "H2O.kta")
    centre = np.array([1.0, 1.1, 1.25, 1.45, 2.5, 3.2, 4.05, 4.9, 5.0])
    inside = covered({"H2O": found}, centre, np.full(9, 0.1))
    assert list(centre[inside]) == [1.1, 1.25, 3.2, 4.05, 4.9]
    projection(found, centre[inside], np.full(5, 0.1))
    both = covered({"H2O": found, "CO": correlated("CO")}, centre, np.full(9, 0.1))
    assert list(centre[both]) == [1.1, 1.25]  # the other one ends at 2.5 um
    for leave_out in centre[~inside]:
        with pytest.raises(ArielflowError):
            projection(found, np.array([leave_out]), np.array([0.1]))


def test_strict_loading_refuses_gaps_and_narrow_temperatures(tmp_path: Path) -> None:
    write_nemesis(tmp_path / "H2O.kta", nemesis())
    with pytest.raises(ArielflowError, match=r"leave gaps, the bin at 2\.500 um"):
        load_opacities(tmp_path, ("H2O",), np.array([1.2, 2.5]), np.array([0.1, 0.1]))
    (tmp_path / "H2O.kta").unlink()
    write_photochem(tmp_path / "H2O.h5")
    with pytest.raises(ArielflowError, match="covers 100-2000 K, needed are 500-2500 K"):
        load_opacities(tmp_path, ("H2O",), *BINS)


def test_lenient_loading_gives_the_covered_bins_and_warns(tmp_path: Path, caplog) -> None:
    for name in ("H2O", "CO2"):
        write_photochem(tmp_path / f"{name}.h5", name)
    centre, width = np.array([0.3, 1.0, 2.0, 11.0]), np.full(4, 0.1)
    with caplog.at_level(logging.WARNING):
        tables, inside = load_covering(tmp_path, ("H2O", "CO2"), centre, width)
    assert list(inside) == [False, True, True, False] and list(tables) == ["H2O", "CO2"]
    assert "covers 100-2000 K, usual are 500-2500 K" in caplog.text
    matrix = projection(tables["H2O"], centre[inside], width[inside])
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    edges = 1e4 / tables["H2O"].cell_bounds_cm1
    assert edges.min() > 0.5 and edges.max() < 3.0, "not cropped"
    with pytest.raises(ArielflowError, match=r"no bin between 20\.000 and 20\.000 um .*H2O 0\.4"):
        load_covering(tmp_path, ("H2O",), np.array([20.0]), np.array([0.1]))


def test_lenient_and_strict_loading_agree_where_all_is_covered(tmp_path: Path) -> None:
    write_taurex_hdf5(tmp_path / "H2O.h5", table())
    strict = load_opacities(tmp_path, ("H2O",), *BINS)["H2O"]
    lenient, inside = load_covering(tmp_path, ("H2O",), *BINS)
    assert inside.all()
    np.testing.assert_array_equal(strict.cross_section_cm2, lenient["H2O"].cross_section_cm2)


def test_tables_with_edges_reach_as_far_as_these(tmp_path: Path) -> None:
    write_photochem(tmp_path / "H2O.h5", hottest_k=2600.0)
    found = read_opacity(tmp_path / "H2O.h5")
    edges = photochem_edges_um()
    whole = np.array([(edges[0] + edges[-1]) / 2]), np.array([edges[-1] - edges[0]])
    check_coverage("H2O.h5", found, *whole)
    with pytest.raises(ArielflowError, match=r"covers 0\.400-10\.000 um, the bins need"):
        check_coverage("H2O.h5", found, whole[0], 1.01 * whole[1])
    part = crop(found, (1.0, 2.0))
    check_coverage("H2O.h5", part, np.array([1.5]), np.array([1.0]))


def test_k_tables_that_differ_are_not_mixed(tmp_path: Path) -> None:
    write_photochem(tmp_path / "H2O.h5")
    water = read_opacity(tmp_path / "H2O.h5")
    other = replace(water, molecule="CO2")
    assert mixing_fault({"H2O": water, "CO2": other}) is None
    write_nemesis(tmp_path / "CO.kta", nemesis(5))
    for changed, words in (
        (read_opacity(tmp_path / "CO.kta"), "wavenumbers"),
        (replace(other, cell_bounds_cm1=None), "cells around"),
        (replace(other, quadrature_weights=np.array([0.5, 0.5])), "quadrature weights"),
        (replace(other, cross_section_cm2=None, quadrature_weights=None), "two kinds"),
    ):
        with pytest.raises(ArielflowError, match=words):
            on_one_grid({"H2O": water, "other": changed})


def test_the_forward_model_bins_with_the_tables_own_edges(tmp_path: Path) -> None:
    for name in ("H2O", "CO2"):
        write_photochem(tmp_path / f"{name}.h5", name, hottest_k=2600.0)
    centre, width = np.array([1.0, 1.5, 3.0]), np.array([0.3, 0.3, 0.3])
    model = transmission_model(("H2O", "CO2"), PhysicsSettings(str(tmp_path)), centre, width)
    tables = load_opacities(tmp_path, ("H2O", "CO2"), centre, width)
    expected = projection(tables["H2O"], centre, width)
    np.testing.assert_allclose(model.projection, expected)
    parameters = [[7e7], [1.9e27], [1200.0], [7e8], [[-4.0, -4.0]]]
    depths = model(*(torch.tensor(values, dtype=torch.float64) for values in parameters)).numpy()
    assert np.isfinite(depths).all() and (depths > (7e7 / 7e8) ** 2).all()
