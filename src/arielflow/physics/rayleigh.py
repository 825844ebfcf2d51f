"""Rayleigh scattering cross-sections of the gases of the forward model.

Refractivities and King factors as in TauREx 3 (Al-Refaie et al. 2021): H2 and He after Dalgarno &
Williams (1962) and Dalgarno (1960); the molecules after Sneep & Ubachs (2005) and Cox (2000),
water scaled from dry air (Ciddor 1996).
"""

from __future__ import annotations

import numpy as np

_LOSCHMIDT_M3 = 2.6867805e25
_CM2_PER_M2 = 1e4
KNOWN_GASES = ("H2", "He", "H2O", "CO2", "CO", "CH4", "NH3")


def _refractivity(gas: str, wavelength_um: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
    """Refractive index minus one, and the King factor."""
    inverse_square = wavelength_um**-2
    if gas == "CO2":
        terms = (
            (6.991e-2, 166.175),
            (1.44720e-3, 79.609),
            (6.42941e-5, 56.3064),
            (5.21306e-5, 46.0196),
            (1.46847e-6, 0.0584738),
        )
        return sum(a / (b - inverse_square) for a, b in terms), 1.1364
    if gas == "CH4":
        # 4.02e-6 a squared wavenumber in cm-1: 402 in um-2.
        return 1e-8 * (46662.0 + 402.0 * inverse_square), 1.0
    if gas == "CO":
        return 32.7e-5 * (1 + 8.1e-3 * inverse_square), 1.016
    if gas == "NH3":
        return 37.0e-5 * (1 + 12.0e-3 * inverse_square), 1.0
    if gas == "H2O":
        air = 0.05792105 / (238.0185 - inverse_square) + 0.00167917 / (57.362 - inverse_square)
        depolarisation = 0.17
        return 0.85 * air, (6 + 3 * depolarisation) / (6 - 7 * depolarisation)
    raise ValueError(f"no refractivity of {gas}")


def rayleigh_cross_section_cm2(gas: str, wavelength_um: np.ndarray) -> np.ndarray:
    """Rayleigh scattering cross-section [cm2 per particle] at ``wavelength_um`` [um].

    Zero for a gas that is not one of ``KNOWN_GASES``: a trace gas adds little to what H2 and He
    scatter.
    """
    wavelength_um = np.asarray(wavelength_um, dtype=float)
    if gas not in KNOWN_GASES:
        return np.zeros_like(wavelength_um)
    angstrom = wavelength_um * 1e4
    if gas == "H2":
        return 8.14e-13 * angstrom**-4 * (1 + 1.572e6 * angstrom**-2 + 1.981e12 * angstrom**-4)
    if gas == "He":
        return 5.484e-14 * angstrom**-4 * (1 + 2.44e5 * angstrom**-2)
    excess, king = _refractivity(gas, wavelength_um)
    index = 1 + excess
    polarisability = (index**2 - 1) / (_LOSCHMIDT_M3 * (index**2 + 2))
    cross_section_m2 = 24 * np.pi**3 * king * polarisability**2 / (wavelength_um * 1e-6) ** 4
    return cross_section_m2 * _CM2_PER_M2
