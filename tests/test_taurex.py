"""The forward model against TauREx 3 (Al-Refaie et al. 2021) on the same tables.

Inside the tables' temperatures: outside them and below the lowest pressure TauREx takes zero (cold)
or extrapolates (hot), where this model clamps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from taurex.cache import OpacityCache
from taurex.chemistry import ConstantGas, TaurexChemistry
from taurex.contributions import AbsorptionContribution, RayleighContribution
from taurex.model import TransmissionModel as TaurexModel
from taurex.planet import Planet
from taurex.pressure import SimplePressureProfile
from taurex.stellar import BlackbodyStar
from taurex.temperature import Isothermal

from arielflow.editions.adc import WAVELENGTH_UM, WAVELENGTH_WIDTH_UM
from arielflow.physics.forward import transmission_model
from arielflow.physics.opacity import load_opacities, write_taurex_hdf5
from arielflow.physics.system import HE_H2_RATIO, JUPITER_MASS_KG, JUPITER_RADIUS_M, SOLAR_RADIUS_M
from arielflow.physics.transmission import TransmissionModel

MOLECULES = ("H2O", "CO2", "CO", "CH4", "NH3")
# Radius and mass [Jupiter's], temperature [K], radius of the star [Sun's], log10 mixing ratios.
SPECIAL = [
    [1.4, 0.7, 1810.0, 1.2, -3.0, -5.0, -4.0, -6.0, -7.0],  # hot Jupiter
    [0.2, 0.02, 615.0, 0.5, -2.0, -3.0, -6.0, -2.0, -4.0],  # sub-Neptune
    [1.0, 1.0, 201.0, 1.0, -4.0, -6.0, -4.0, -4.0, -5.0],  # cold edge of the tables
    [1.0, 2.0, 2599.0, 1.0, -4.0, -6.0, -4.0, -4.0, -5.0],  # hot edge of the tables
]


def _random_planets(number: int) -> np.ndarray:
    rng = np.random.default_rng(2023)
    radius = rng.uniform(0.1, 3, number)
    # Gravities of 3 to 60 m/s2: bound atmospheres, as the population has.
    mass = radius**2 * rng.uniform(0.12, 2.4, number)
    rest = [rng.uniform(*span, number) for span in ((200, 2600), (0.8, 2), *[(-12, -1)] * 5)]
    return np.column_stack([radius, mass, *rest])


PLANETS = np.vstack([SPECIAL, _random_planets(50)])


def _arguments(planets: np.ndarray) -> list[torch.Tensor]:
    units = [JUPITER_RADIUS_M, JUPITER_MASS_KG, 1.0, SOLAR_RADIUS_M]
    columns = torch.as_tensor(planets[:, :4] * units).T
    return [*columns, torch.as_tensor(planets[:, 4:])]


def _taurex(planet: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wavenumbers [cm-1] and transit depths of TauREx's own model."""
    radius, mass, temperature, star_radius, *log_mixing_ratio = (float(v) for v in planet)
    gases = TaurexChemistry(fill_gases=["H2", "He"], ratio=HE_H2_RATIO)
    for molecule, value in zip(MOLECULES, log_mixing_ratio, strict=True):
        gases.addGas(ConstantGas(molecule, mix_ratio=10**value))
    model = TaurexModel(
        planet=Planet(planet_mass=mass, planet_radius=radius),
        star=BlackbodyStar(temperature=5700, radius=star_radius),
        temperature_profile=Isothermal(T=temperature),
        chemistry=gases,
        pressure_profile=SimplePressureProfile(100, 1e-5, 1e6),
    )
    # In this order: TauREx leaves out what comes after a layer's optical depth has passed 10.
    model.add_contribution(RayleighContribution())
    model.add_contribution(AbsorptionContribution())
    model.build()
    wavenumber, depth, *_ = model.model()
    return wavenumber, depth


@pytest.fixture(scope="module")
def taurex_opacities(opacities: Path, tmp_path_factory) -> Iterator[Path]:
    """The built-in tables in double precision: TauREx interpolates in the file's own."""
    folder = tmp_path_factory.mktemp("taurex")
    for molecule, table in load_opacities(opacities, MOLECULES).items():
        exact = replace(table, cross_section_cm2=table.cross_section_cm2.astype(float))
        write_taurex_hdf5(folder / f"{molecule}.h5", exact)
    # The cache is a singleton and remembers tables by molecule, not by folder.
    OpacityCache().clear_cache()
    OpacityCache().set_opacity_path(str(folder))
    yield folder
    OpacityCache().clear_cache()


@pytest.fixture(scope="module")
def taurex_depths(taurex_opacities: Path) -> np.ndarray:
    return np.stack([_taurex(planet)[1] for planet in PLANETS])


@pytest.fixture(scope="module", params=[torch.float64, torch.float32], ids=str)
def model(request, taurex_opacities: Path) -> TransmissionModel:
    bins = WAVELENGTH_UM, WAVELENGTH_WIDTH_UM
    return transmission_model(MOLECULES, taurex_opacities, *bins, dtype=request.param)


TOLERANCE_PPM = {torch.float64: 1e-6, torch.float32: 0.05}


def test_native_spectra_agree(model: TransmissionModel, taurex_depths: np.ndarray) -> None:
    found = model(*_arguments(PLANETS), native=True).numpy()
    assert np.isfinite(found).all()
    assert 1e6 * np.abs(found - taurex_depths).max() < TOLERANCE_PPM[model.dtype]


@pytest.mark.parametrize("number", [0, 1, 10])
def test_gradients_agree_with_central_differences(taurex_opacities: Path, number: int) -> None:
    bins = WAVELENGTH_UM, WAVELENGTH_WIDTH_UM
    model = transmission_model(MOLECULES, taurex_opacities, *bins, dtype=torch.float64)
    planet = torch.as_tensor(PLANETS[[number]]).requires_grad_()
    columns = [planet[:, 0] * JUPITER_RADIUS_M, planet[:, 1] * JUPITER_MASS_KG, planet[:, 2]]
    columns += [planet[:, 3] * SOLAR_RADIUS_M, planet[:, 4:]]
    (gradient,) = torch.autograd.grad(model(*columns, native=True).mean(), planet)
    steps = np.array([1e-5, 1e-5, 1e-2, 1e-5, *[1e-4] * 5])
    for column, step in enumerate(steps):
        shift = step * np.eye(9)[column]
        ends = [_taurex(PLANETS[number] + sign * shift)[1].mean() for sign in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * step)
        found = float(gradient[0, column])
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-12), column
