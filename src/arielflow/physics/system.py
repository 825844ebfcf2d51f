"""Constants and the simple relations between a star, its planet and the planet's atmosphere.

SI units throughout. The constants are those of TauREx 3 (through astropy), so that spectra agree.
"""

from __future__ import annotations

import re

import numpy as np

from arielflow.core.errors import ArielflowError

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
_ATOMIC_MASS_U = {
    "H": 1.00794,
    "C": 12.0107,
    "N": 14.0067,
    "O": 15.9994,
    "F": 18.9984,
    "Na": 22.98977,
    "Si": 28.0855,
    "P": 30.97376,
    "S": 32.065,
    "Cl": 35.453,
    "K": 39.0983,
    "Ca": 40.078,
    "Ti": 47.867,
    "V": 50.9415,
    "Cr": 51.9961,
    "Fe": 55.845,
}
HE_H2_RATIO = 0.17
SOLAR_MEAN_MOLECULAR_WEIGHT_U = (MOLECULAR_MASS_U["H2"] + HE_H2_RATIO * MOLECULAR_MASS_U["He"]) / (
    1 + HE_H2_RATIO
)


def molecular_mass_u(formula: str) -> float:
    """Mass of a molecule [u]: TauREx 3's for the challenge's gases, else summed over its atoms.

    Raises
    ------
    ArielflowError
        The formula holds an element that is not known.
    """
    if formula in MOLECULAR_MASS_U:
        return MOLECULAR_MASS_U[formula]
    parts = re.findall(r"([A-Z][a-z]?)(\d*)", formula)
    unknown = [element for element, _ in parts if element not in _ATOMIC_MASS_U]
    if unknown or "".join(element + count for element, count in parts) != formula:
        raise ArielflowError(
            f"{formula!r}: no molecular mass; expected a formula of "
            f"{', '.join(_ATOMIC_MASS_U)}, such as HCN"
        )
    return sum(_ATOMIC_MASS_U[element] * int(count or 1) for element, count in parts)


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
