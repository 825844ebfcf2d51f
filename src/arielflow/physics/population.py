"""A population of star-planet systems that looks like the challenge's, and Ariel's error bars.

The marginal distributions and correlations follow the 800 published test systems of the 2022
challenge: stellar temperature, radius and mass correlated by 0.81; equilibrium temperature
log-normal around 1,000 K; the median error bar of a planet 1/1.6 of the transit depth of one
scale height, with 7 % scatter (there 1.37-1.74 in the central 90 %), since Ariel's observing plan
repeats transits until the atmosphere is seen.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np

from arielflow.physics.systems import (
    ASTRONOMICAL_UNIT_M,
    DAY_S,
    GRAVITATIONAL_CONSTANT,
    JUPITER_RADIUS_M,
    equilibrium_temperature_k,
    scale_height_m,
    surface_gravity_m_s2,
)

_BLOCK = 512
_EQUILIBRIUM_TEMPERATURE_K = (230.0, 3000.0)
# Beyond this scale height over radius a hydrostatic atmosphere runs away within ten decades of
# pressure; 95 % of the published systems stay below it.
_MAX_SCALE_HEIGHT_OVER_RADIUS = 0.03
_MAX_RADIUS_RATIO = 0.25
_SCALE_HEIGHT_DEPTH_OVER_ERROR = (1.6, 0.07)

# Ariel's channels: upper wavelength [um] and the relative photon-conversion efficiency that brings
# the black-body photon noise to the published error bars' shape.
_CHANNELS = ((0.6, 0.13), (0.81, 0.11), (1.1, 0.14), (1.95, 0.2), (3.9, 0.13), (np.inf, 0.28))
# Beyond these wavelengths [um] the errors grow faster than photon noise, with these powers.
_EXCESS = ((2.0, 0.5), (5.0, 2.0))
_HC_OVER_K_UM_K = 14387.768775


def _candidates(rng: np.random.Generator, radius_rjup: tuple[float, float], log_uniform: bool):
    """One block of systems, physical or not; every draw has a fixed place in the stream."""
    normal = rng.standard_normal((_BLOCK, 7))
    uniform = rng.random(_BLOCK)
    correlated = 0.9 * normal[:, :1] + np.sqrt(1 - 0.9**2) * normal[:, 1:4]
    star_temperature = 5650 * np.exp(0.17 * correlated[:, 0])
    star_radius = 7.6e8 * np.exp(0.42 * correlated[:, 1])
    star_mass = 1.95e30 * np.exp(0.30 * correlated[:, 2])
    equilibrium = 1010 * np.exp(0.50 * normal[:, 4])
    low, high = radius_rjup
    radius = low * (high / low) ** uniform if log_uniform else low + (high - low) * uniform
    gravity = 10.5 * np.exp(0.55 * normal[:, 5])
    axis = star_radius / 2 * (star_temperature / equilibrium) ** 2 / ASTRONOMICAL_UNIT_M
    period = 2 * np.pi * np.sqrt((axis * ASTRONOMICAL_UNIT_M) ** 3 / GRAVITATIONAL_CONSTANT)
    return {
        "star_distance_pc": 400 * np.exp(0.95 * normal[:, 6]),
        "star_mass_kg": star_mass,
        "star_radius_m": star_radius,
        "star_temperature_k": star_temperature,
        "planet_mass_kg": gravity * (radius * JUPITER_RADIUS_M) ** 2 / GRAVITATIONAL_CONSTANT,
        "orbital_period_day": period / np.sqrt(star_mass) / DAY_S,
        "semi_major_axis_au": axis,
        "planet_radius_rjup": radius,
    }


def _physical(systems: dict[str, np.ndarray]) -> np.ndarray:
    radius = systems["planet_radius_rjup"] * JUPITER_RADIUS_M
    equilibrium = _equilibrium(systems)
    gravity = surface_gravity_m_s2(systems["planet_mass_kg"], radius)
    return (
        (equilibrium > _EQUILIBRIUM_TEMPERATURE_K[0])
        & (equilibrium < _EQUILIBRIUM_TEMPERATURE_K[1])
        & (scale_height_m(equilibrium, gravity) < _MAX_SCALE_HEIGHT_OVER_RADIUS * radius)
        & (radius < _MAX_RADIUS_RATIO * systems["star_radius_m"])
        & (systems["semi_major_axis_au"] * ASTRONOMICAL_UNIT_M > 2 * systems["star_radius_m"])
    )


def _equilibrium(systems: dict[str, np.ndarray]) -> np.ndarray:
    return equilibrium_temperature_k(
        systems["star_temperature_k"], systems["star_radius_m"], systems["semi_major_axis_au"]
    )


def draw_systems(
    n_planets: int,
    *,
    seed: int,
    split: str,
    radius_rjup: tuple[float, float],
    log_uniform_radius: bool = False,
) -> dict[str, np.ndarray]:
    """Draw star-planet systems.

    The first n systems of a seed and split are the same however many are drawn. Whether a
    system is kept depends on the system alone, never on the atmosphere drawn for it later, so the
    prior of temperature and abundances stays uniform.

    Parameters
    ----------
    n_planets
        Number of systems.
    seed, split
        Seed of the data set, and the name of the split, which has its own stream.
    radius_rjup
        Range of the planet's radius at 10 bar [Jupiter radii].
    log_uniform_radius
        Draw radii uniformly in their logarithm, as real planets are, instead of uniformly.

    Returns
    -------
    dict
        Arrays (n_planets,) by quantity, units in the names.
    """
    blocks: list[dict[str, np.ndarray]] = []
    found = 0
    while found < n_planets:
        rng = np.random.default_rng([seed, crc32(f"{split}/systems".encode()), len(blocks)])
        block = _candidates(rng, radius_rjup, log_uniform_radius)
        keep = _physical(block)
        blocks.append({name: values[keep] for name, values in block.items()})
        found += int(keep.sum())
    return {
        name: np.concatenate([block[name] for block in blocks])[:n_planets] for name in blocks[0]
    }


def transit_depth_errors(
    systems: dict[str, np.ndarray],
    wavelength_um: np.ndarray,
    wavelength_width_um: np.ndarray,
    *,
    seed: int,
    split: str,
) -> np.ndarray:
    """One-sigma errors (planet, wavelength) of the transit depths.

    Shape over wavelength: photon noise of a black-body star in Ariel's channels with a thermal
    excess at long wavelengths; level: proportional to the transit depth of one scale height,
    2 R_p H / R_star^2.
    """
    n_planets = len(systems["star_radius_m"])
    rng = np.random.default_rng([seed, crc32(f"{split}/errors".encode())])
    scatter, tilt = rng.standard_normal((n_planets, 2)).T
    temperature = systems["star_temperature_k"][:, None]
    photons = wavelength_um**-4 / np.expm1(_HC_OVER_K_UM_K / (wavelength_um * temperature))
    edges, efficiency = np.array(_CHANNELS).T
    photons = photons * wavelength_width_um * efficiency[np.searchsorted(edges, wavelength_um)]
    excess = [np.maximum(wavelength_um / start, 1) ** power for start, power in _EXCESS]
    shape = (
        np.prod(excess, axis=0)
        / np.sqrt(photons)
        * np.exp(0.15 * tilt[:, None] * np.log(wavelength_um / 2.5))
    )
    shape /= np.median(shape, axis=1, keepdims=True)

    radius = systems["planet_radius_rjup"] * JUPITER_RADIUS_M
    gravity = surface_gravity_m_s2(systems["planet_mass_kg"], radius)
    height = scale_height_m(_equilibrium(systems), gravity)
    one_scale_height = 2 * radius * height / systems["star_radius_m"] ** 2
    ratio, spread = _SCALE_HEIGHT_DEPTH_OVER_ERROR
    level = one_scale_height / ratio * np.exp(spread * scatter)
    return level[:, None] * shape
