"""Constants and the simple relations between a star, its planet and the planet's atmosphere.

SI units throughout. The constants are those of TauREx 3 (through astropy), so that spectra agree.
"""

from __future__ import annotations

import numpy as np

GRAVITATIONAL_CONSTANT = 6.6743e-11
BOLTZMANN_CONSTANT = 1.380649e-23
ATOMIC_MASS_UNIT_KG = 1.66053906892e-27
JUPITER_RADIUS_M = 7.1492e7
JUPITER_MASS_KG = 1.8981245973360505e27
SOLAR_RADIUS_M = 6.957e8
SOLAR_MASS_KG = 1.988409870698051e30
ASTRONOMICAL_UNIT_M = 1.495978707e11
PARSEC_M = 3.0856775814913674e16
DAY_S = 86400.0

MOLECULAR_MASS_U = {
    "H2": 2.01588,
    "He": 4.002602,
    "H2O": 18.01528,
    "CO2": 44.0098,
    "CO": 28.0104,
    "CH4": 16.04276,
    "NH3": 17.03056,
}
HE_H2_RATIO = 0.17
SOLAR_MEAN_MOLECULAR_WEIGHT_U = (MOLECULAR_MASS_U["H2"] + HE_H2_RATIO * MOLECULAR_MASS_U["He"]) / (
    1 + HE_H2_RATIO
)


def equilibrium_temperature_k(
    star_temperature_k: np.ndarray, star_radius_m: np.ndarray, semi_major_axis_au: np.ndarray
) -> np.ndarray:
    """Equilibrium temperature for zero albedo and full redistribution, T_star sqrt(R_star / 2a)."""
    return star_temperature_k * np.sqrt(
        star_radius_m / (2 * semi_major_axis_au * ASTRONOMICAL_UNIT_M)
    )


def surface_gravity_m_s2(planet_mass_kg: np.ndarray, planet_radius_m: np.ndarray) -> np.ndarray:
    """Surface gravity G M / R^2."""
    return GRAVITATIONAL_CONSTANT * planet_mass_kg / planet_radius_m**2


def radius_from_gravity_m(
    planet_mass_kg: np.ndarray, surface_gravity_m_s2: np.ndarray
) -> np.ndarray:
    """Radius at which the tabulated gravity holds, sqrt(G M / g)."""
    return np.sqrt(GRAVITATIONAL_CONSTANT * planet_mass_kg / surface_gravity_m_s2)


def scale_height_m(
    temperature_k: np.ndarray,
    gravity_m_s2: np.ndarray,
    mean_molecular_weight_u: float | np.ndarray = SOLAR_MEAN_MOLECULAR_WEIGHT_U,
) -> np.ndarray:
    """Pressure scale height k T / (mu g) of a hydrogen-dominated atmosphere by default."""
    mass = mean_molecular_weight_u * ATOMIC_MASS_UNIT_KG
    return BOLTZMANN_CONSTANT * temperature_k / (mass * gravity_m_s2)
