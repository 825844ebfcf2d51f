"""The forward model against TauREx 3 (Al-Refaie et al. 2021) on the same tables.

Inside the tables' temperatures: outside them and below the lowest pressure TauREx takes zero (cold)
or extrapolates (hot), where this model clamps.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from taurex_peer import (
    MOLECULES,
    model_arguments,
    random_planets,
    taurex_binned,
    taurex_depth,
    use_opacities,
)
from test_opacity_folder import write_cia

from arielflow.editions.adc import WAVELENGTH_UM, WAVELENGTH_WIDTH_UM
from arielflow.physics.forward import PhysicsSettings, transmission_model
from arielflow.physics.opacity import crop
from arielflow.physics.opacity_cache import load_opacities
from arielflow.physics.opacity_files import read_opacity
from arielflow.physics.opacity_formats.taurex import write_taurex_hdf5
from arielflow.physics.transmission import TransmissionModel

BINS = WAVELENGTH_UM, WAVELENGTH_WIDTH_UM
SPECIAL = [
    [1.4, 0.7, 1810.0, 1.2, -3.0, -5.0, -4.0, -6.0, -7.0],  # hot Jupiter
    [0.2, 0.02, 615.0, 0.5, -2.0, -3.0, -6.0, -2.0, -4.0],  # sub-Neptune
    [1.0, 1.0, 201.0, 1.0, -4.0, -6.0, -4.0, -4.0, -5.0],  # cold edge of the tables
    [1.0, 2.0, 2599.0, 1.0, -4.0, -6.0, -4.0, -4.0, -5.0],  # hot edge of the tables
]
PLANETS = np.vstack([SPECIAL, random_planets(50)])
TOLERANCE_PPM = {torch.float64: 1e-6, torch.float32: 0.05}


@pytest.fixture(scope="module")
def exact_tables(opacities: Path, tmp_path_factory) -> PhysicsSettings:
    """The built-in tables in double precision: TauREx interpolates in the file's own."""
    folder = tmp_path_factory.mktemp("taurex")
    for molecule, table in load_opacities(opacities, MOLECULES, *BINS).items():
        exact = replace(table, cross_section_cm2=table.cross_section_cm2.astype(float))
        write_taurex_hdf5(folder / f"{molecule}.h5", exact)
    return PhysicsSettings(str(folder))


@pytest.fixture
def taurex_opacities(exact_tables: PhysicsSettings) -> PhysicsSettings:
    """The same, and TauREx, whose settings are global, pointed to them."""
    use_opacities(exact_tables.opacities)
    return exact_tables


@pytest.fixture(scope="module")
def taurex_depths(exact_tables: PhysicsSettings) -> np.ndarray:
    use_opacities(exact_tables.opacities)
    return np.stack([taurex_depth(planet) for planet in PLANETS])


@pytest.fixture(scope="module", params=[torch.float64, torch.float32], ids=str)
def model(request, exact_tables: PhysicsSettings) -> TransmissionModel:
    return transmission_model(MOLECULES, exact_tables, *BINS, dtype=request.param)


def test_native_spectra_agree(model: TransmissionModel, taurex_depths: np.ndarray) -> None:
    found = model(*model_arguments(PLANETS), native=True).numpy()
    assert np.isfinite(found).all()
    assert 1e6 * np.abs(found - taurex_depths).max() < TOLERANCE_PPM[model.dtype]


def test_binned_spectra_agree(model: TransmissionModel, taurex_depths: np.ndarray) -> None:
    expected = taurex_binned(model.wavenumber_cm1, taurex_depths, *BINS)
    found = model(*model_arguments(PLANETS)).numpy()
    assert 1e6 * np.abs(found - expected).max() < TOLERANCE_PPM[model.dtype]


def test_collision_induced_absorption_agrees(
    taurex_opacities: PhysicsSettings, tmp_path: Path
) -> None:
    for path in Path(taurex_opacities.opacities).iterdir():
        (tmp_path / path.name).symlink_to(path)
    pairs = ("H2-H2", "H2-He")
    for number, pair in enumerate(pairs):
        # Transparent between the bands: TauREx stops once all wavelengths are opaque.
        bands = ((1000, 6000, (200, 400, 1000, 3000)), (7000 + 500 * number, 12000, (300, 2000)))
        write_cia(tmp_path / f"{pair}.cia", pair, bands, strength=2e-45)
    use_opacities(tmp_path)
    some = PLANETS[:24]
    expected = np.stack([taurex_depth(planet, cia_pairs=pairs) for planet in some])
    use_opacities(taurex_opacities.opacities)
    settings = replace(taurex_opacities, opacities=str(tmp_path), cia=True)
    model = transmission_model(MOLECULES, settings, *BINS, dtype=torch.float64)
    found = model(*model_arguments(some), native=True).numpy()
    assert 1e6 * np.abs(found - expected).max() < 1e-3
    without = transmission_model(MOLECULES, taurex_opacities, *BINS)(
        *model_arguments(some), native=True
    ).numpy()
    assert 1e6 * np.abs(found - without).max() > 10


def test_clouds_agree_where_their_top_is_a_level(
    taurex_opacities: PhysicsSettings,
) -> None:
    levels = np.geomspace(1e6, 1e-5, 101)[[5, 20, 35]]
    model = transmission_model(MOLECULES, taurex_opacities, *BINS, dtype=torch.float64)
    for planet, top in zip(PLANETS[:3], levels, strict=True):
        expected = taurex_depth(planet, cloud_pressure_pa=top)
        found = model(*model_arguments(planet[None]), native=True, cloud_pressure_pa=[top])
        assert 1e6 * np.abs(found.numpy() - expected).max() < 1e-6


def test_correlated_k_agrees_for_one_gas(tmp_path: Path, opacities: Path) -> None:
    # TauREx adds the k-coefficients of several gases; of one there is nothing to add.
    source = load_opacities(opacities, ["H2O"], *BINS)["H2O"]
    spread = np.array([0.2, 0.6, 1.5, 6.0])
    table = replace(
        source,
        cross_section_cm2=source.cross_section_cm2[..., None].astype(float) * spread,
        quadrature_weights=np.array([0.2, 0.3, 0.3, 0.2]),
    )
    write_taurex_hdf5(tmp_path / "H2O.h5", table)
    # TauREx 3.3.2 cannot read its HDF5 k-tables with h5py 3; the pickled ones it can.
    content = {
        "bin_centers": table.wavenumber_cm1,
        "ngauss": 4,
        "t": table.temperature_k,
        "p": table.pressure_pa * 1e-5,
        "kcoeff": table.cross_section_cm2,
        "weights": table.quadrature_weights,
        "name": "H2O",
    }
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "H2O.pickle").write_bytes(pickle.dumps(content))
    planets = PLANETS[:12, :5]
    use_opacities(tmp_path / "pickled", correlated=True)
    expected = np.stack([taurex_depth(planet, ("H2O",)) for planet in planets])
    settings = PhysicsSettings(str(tmp_path))
    model = transmission_model(["H2O"], settings, *BINS, dtype=torch.float64)
    found = model(*model_arguments(planets), native=True).numpy()
    assert 1e6 * np.abs(found - expected).max() < 1e-6


@pytest.mark.external
def test_published_tables_agree(published_opacities: Path, tmp_path: Path) -> None:
    molecules = ("H2O", "CO2", "CH4")
    # Through HDF5: TauREx's own reader of this format takes the pressures for bars.
    for molecule in molecules:
        table = read_opacity(published_opacities / f"opac{molecule}.dat")
        write_taurex_hdf5(tmp_path / f"{molecule}.h5", crop(table, (0.45, 8.0)))
    use_opacities(tmp_path)
    planets = PLANETS[PLANETS[:, 2] > 300][:12, [0, 1, 2, 3, 4, 5, 7]]
    native = np.stack([taurex_depth(planet, molecules) for planet in planets])
    grid = read_opacity(tmp_path / "H2O.h5").wavenumber_cm1
    expected = taurex_binned(grid, native, *BINS)
    settings = PhysicsSettings(str(published_opacities))
    for dtype, tolerance_ppm in TOLERANCE_PPM.items():
        model = transmission_model(molecules, settings, *BINS, dtype=dtype)
        found = model(*model_arguments(planets)).numpy()
        assert 1e6 * np.abs(found - expected).max() < tolerance_ppm


@pytest.mark.parametrize("number", [0, 1, 10])
def test_gradients_agree_with_central_differences(
    taurex_opacities: PhysicsSettings, number: int
) -> None:
    model = transmission_model(MOLECULES, taurex_opacities, *BINS, dtype=torch.float64)
    arguments = [a.requires_grad_() for a in model_arguments(PLANETS[[number]])]
    depth = model(*arguments, native=True).mean()
    gradients = torch.autograd.grad(depth, arguments)
    # Chain rule from the model's SI arguments back to the planet's own units.
    units = [a.item() / p for a, p in zip(arguments[:4], PLANETS[number, :4], strict=True)]
    found = [float(g) * u for g, u in zip(gradients[:4], units, strict=True)]
    found += gradients[4][0].tolist()
    steps = np.array([1e-5, 1e-5, 1e-2, 1e-5, *[1e-4] * 5])
    for column, step in enumerate(steps):
        shift = step * np.eye(9)[column]
        ends = [taurex_depth(PLANETS[number] + sign * shift).mean() for sign in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * step)
        assert found[column] == pytest.approx(expected, rel=1e-4, abs=1e-12), column
