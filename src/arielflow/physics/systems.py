"""Stars and their planets: constants, simple relations, and the systems of a data set.

SI units throughout. The constants are those of TauREx 3 (through astropy), so that spectra agree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import auxiliary_values

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


@dataclass(frozen=True)
class Systems:
    """The systems of a data set: all that the forward model and a retrieval ask of its planets.

    Columns are looked up once, by :meth:`of`, and handed on as this object.

    Attributes
    ----------
    names : identifiers (planet,)
    targets : column of every target by its quantity
    prior : edges (2, planet, target) of the retrieval prior
    depth, error : transit depths and their errors (planet, wavelength); NaN where a bin has none
    wavelength_um : centres of the bins (wavelength,)
    star_radius_m, star_temperature_k, planet_mass_kg : (planet,), None where the data set has no
        such column
    planet_radius_m : where it follows from mass and gravity, (planet,); None where the radius is a
        target or cannot be known
    equilibrium_temperature_k : (planet,), None where the data set does not describe star and orbit
    """

    names: np.ndarray
    targets: Mapping[str, int]
    prior: np.ndarray
    depth: np.ndarray
    error: np.ndarray
    wavelength_um: np.ndarray
    star_radius_m: np.ndarray | None
    star_temperature_k: np.ndarray | None
    planet_mass_kg: np.ndarray | None
    planet_radius_m: np.ndarray | None
    equilibrium_temperature_k: np.ndarray | None

    @classmethod
    def of(cls, planets: xr.Dataset) -> Systems:
        """Resolve the systems of a planets dataset."""
        star = [
            auxiliary_values(planets, quantity)
            for quantity in ("star_temperature_k", "star_radius_m", "semi_major_axis_au")
        ]
        mass = auxiliary_values(planets, "planet_mass_kg")
        gravity = auxiliary_values(planets, "surface_gravity_m_s2")
        quantities = planets["target_quantity"].values
        targets = {str(quantity): column for column, quantity in enumerate(quantities)}
        radius = equilibrium = None
        # Impossible systems become NaN or infinite here, by which they are known.
        with np.errstate(all="ignore"):
            if "planet_radius" not in targets and mass is not None and gravity is not None:
                radius = radius_from_gravity_m(mass, gravity)
            if all(values is not None for values in star):
                equilibrium = equilibrium_temperature_k(*star)
        return cls(
            names=planets["planet"].values,
            targets=targets,
            prior=np.stack([planets["prior_low"].values, planets["prior_high"].values]),
            depth=planets["transit_depth"].values,
            error=planets["transit_depth_error"].values,
            wavelength_um=planets["wavelength"].values,
            star_radius_m=star[1],
            star_temperature_k=star[0],
            planet_mass_kg=mass,
            planet_radius_m=radius,
            equilibrium_temperature_k=equilibrium,
        )

    def valid_bins(self, planet: int) -> np.ndarray:
        """Boolean (wavelength,): depth and error of the bin are numbers."""
        return np.isfinite(self.depth[planet]) & np.isfinite(self.error[planet])
