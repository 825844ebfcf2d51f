"""TauREx 3 set up for the planets of :mod:`arielflow.physics`: the peer of its forward model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from taurex.binning import FluxBinner
from taurex.cache import CIACache, GlobalCache, OpacityCache
from taurex.cache.ktablecache import KTableCache
from taurex.chemistry import ConstantGas, TaurexChemistry
from taurex.contributions import (
    AbsorptionContribution,
    CIAContribution,
    RayleighContribution,
    SimpleCloudsContribution,
)
from taurex.model import TransmissionModel
from taurex.planet import Planet
from taurex.pressure import SimplePressureProfile
from taurex.stellar import BlackbodyStar
from taurex.temperature import Isothermal, TemperatureProfile

from arielflow.physics.systems import HE_H2_RATIO, JUPITER_MASS_KG, JUPITER_RADIUS_M, SOLAR_RADIUS_M

MOLECULES = ("H2O", "CO2", "CO", "CH4", "NH3")


def random_planets(number: int, seed: int = 2023) -> np.ndarray:
    """Planets (number, 9) over the whole prior, inside the built-in tables' temperatures.

    Columns: radius and mass [Jupiter's], temperature [K], radius of the star [Sun's], log10 mixing
    ratios. Gravities of 3 to 60 m/s2: bound atmospheres, as the population has.
    """
    rng = np.random.default_rng(seed)
    radius = rng.uniform(0.1, 3, number)
    mass = radius**2 * rng.uniform(0.12, 2.4, number)
    rest = [rng.uniform(*span, number) for span in ((200, 2600), (0.8, 2), *[(-12, -1)] * 5)]
    return np.column_stack([radius, mass, *rest])


def model_arguments(planets: np.ndarray) -> list[torch.Tensor]:
    """The arguments of :class:`arielflow.physics.transmission.TransmissionModel`."""
    units = [JUPITER_RADIUS_M, JUPITER_MASS_KG, 1.0, SOLAR_RADIUS_M]
    columns = torch.as_tensor(planets[:, :4] * units).T
    return [*columns, torch.as_tensor(planets[:, 4:])]


def use_opacities(folder: str | Path, *, correlated: bool = False) -> None:
    """Point TauREx to a folder of tables; its caches remember them by molecule, not by folder."""
    GlobalCache()["opacity_method"] = "ktables" if correlated else "xsec"
    OpacityCache().clear_cache()
    KTableCache().clear_cache()
    CIACache().init()
    OpacityCache().set_opacity_path(str(folder))
    KTableCache().set_ktable_path(str(folder))
    CIACache().set_cia_path(str(folder))


def taurex_model(
    planet: Sequence[float],
    molecules: Sequence[str] = MOLECULES,
    *,
    cia_pairs: Sequence[str] = (),
    cloud_pressure_pa: float | None = None,
    profile: TemperatureProfile | None = None,
) -> TransmissionModel:
    """TauREx's own model of one planet, ready for ``model()``; isothermal without a profile."""
    radius, mass, temperature, star_radius, *log_mixing_ratio = (float(v) for v in planet)
    gases = TaurexChemistry(fill_gases=["H2", "He"], ratio=HE_H2_RATIO)
    for molecule, value in zip(molecules, log_mixing_ratio, strict=True):
        gases.addGas(ConstantGas(molecule, mix_ratio=10**value))
    model = TransmissionModel(
        planet=Planet(planet_mass=mass, planet_radius=radius),
        star=BlackbodyStar(temperature=5700, radius=star_radius),
        temperature_profile=profile or Isothermal(T=temperature),
        chemistry=gases,
        pressure_profile=SimplePressureProfile(100, 1e-5, 1e6),
    )
    # In this order: TauREx leaves out what comes after a layer's optical depth has passed 10.
    model.add_contribution(RayleighContribution())
    if cia_pairs:
        model.add_contribution(CIAContribution(cia_pairs=list(cia_pairs)))
    model.add_contribution(AbsorptionContribution())
    if cloud_pressure_pa is not None:
        model.add_contribution(SimpleCloudsContribution(clouds_pressure=cloud_pressure_pa))
    model.build()
    return model


def taurex_depth(planet: Sequence[float], *arguments, **options) -> np.ndarray:
    """Transit depths of one planet on the tables' grid, ascending wavenumber."""
    return taurex_model(planet, *arguments, **options).model()[1]


def taurex_binned(
    wavenumber_cm1: np.ndarray,
    depth: np.ndarray,
    wavelength_um: np.ndarray,
    wavelength_width_um: np.ndarray,
) -> np.ndarray:
    """Depths (..., wavenumber) averaged over wavelength bins by TauREx's own flux binner."""
    low = 1e4 / (wavelength_um + 0.5 * wavelength_width_um)
    high = 1e4 / (wavelength_um - 0.5 * wavelength_width_um)
    order = np.argsort(low)
    binner = FluxBinner(0.5 * (low + high)[order], (high - low)[order])
    binned = binner.bindown(wavenumber_cm1, depth)[1]
    return binned[..., np.argsort(order)]
