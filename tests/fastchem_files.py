"""A small chemistry of H, He, C, N, O and S in FastChem's formats.

Equilibrium constants of rigid rotors and harmonic oscillators, from each molecule's energy of
atomisation at 0 K [kJ/mol], rotational constants [cm-1], vibrations [cm-1] and symmetry number, as
tables of the NIST (CCCBDB) and the Active Thermochemical Tables round them. Good enough that
methane, ammonia and water rule where they should.
"""

from __future__ import annotations

import re
from math import pi
from pathlib import Path

import numpy as np
from scipy.constants import R, atomic_mass, c, h, k

from arielflow.settings.equilibrium import EquilibriumSettings

SOLAR = {"H": 12.0, "He": 10.91, "C": 8.46, "N": 7.83, "O": 8.69, "S": 7.12}
_MASS_U = {"H": 1.008, "C": 12.011, "N": 14.007, "O": 15.999, "S": 32.06}
_STATES = {"H": 2, "C": 9, "N": 4, "O": 9, "S": 9}  # of the ground term
_MOLECULES = {
    "H2": (432.1, (59.3,), (4161,), 2),
    "C1O1": (1071.8, (1.92,), (2143,), 1),
    "C1O2": (1598.3, (0.39,), (1333, 667, 667, 2349), 2),
    "H2O1": (917.8, (27.9, 14.5, 9.3), (3657, 1595, 3756), 2),
    "C1H4": (1642.0, (5.24, 5.24, 5.24), (2917, *(1534,) * 2, *(3019,) * 3, *(1306,) * 3), 12),
    "N2": (941.6, (1.99,), (2330,), 2),
    "H3N1": (1157.8, (9.94, 9.94, 6.23), (3337, 950, 3444, 3444, 1627, 1627), 3),
    "C1H1N1_hcn": (1268.3, (1.478,), (2097, 713, 713, 3311), 1),
    "C2H2": (1625.7, (1.177,), (3374, 1974, 3289, 612, 612, 730, 730), 2),
    "H2S1": (726.0, (10.36, 9.02, 4.73), (2615, 1183, 2626), 2),
    "O2S1": (1065.1, (2.03, 0.344, 0.294), (1151, 518, 1362), 2),
}
TEMPERATURE_K = np.geomspace(150, 4000, 200)


def elements_of(symbol: str) -> dict[str, int]:
    """Counts of the elements in a formula in Hill's notation."""
    pairs = re.findall(r"([A-Z][a-z]?)(\d+)", symbol.partition("_")[0])
    return {element: int(count) for element, count in pairs}


def _states(mass_u: float, temperature_k: np.ndarray) -> np.ndarray:
    """States of translation per particle at 1 bar."""
    thermal = (2 * pi * mass_u * atomic_mass * k * temperature_k / h**2) ** 1.5
    return thermal * k * temperature_k / 1e5


def log_constants(symbol: str) -> np.ndarray:
    """Natural log of the equilibrium constant [bar] of a molecule from its atoms."""
    energy, rotations, vibrations, symmetry = _MOLECULES[symbol]
    counts, t = elements_of(symbol), TEMPERATURE_K
    quanta = k * t / (100 * h * c)  # cm-1
    rotation = quanta / rotations[0]
    if len(rotations) == 3:
        rotation = np.sqrt(pi * quanta**3 / np.prod(rotations))
    mass = sum(_MASS_U[element] * count for element, count in counts.items())
    value = np.log(_states(mass, t) * rotation / symmetry) + 1e3 * energy / (R * t)
    value -= sum(np.log1p(-np.exp(-wave / quanta)) for wave in vibrations)
    for element, count in counts.items():
        value -= count * np.log(_STATES[element] * _states(_MASS_U[element], t))
    return value


def fastchem_inputs(folder: Path) -> EquilibriumSettings:
    """Write both files into a folder; the settings that name them, with a grid of few points."""
    t = TEMPERATURE_K
    terms = np.stack([1 / t, np.log(t), np.ones_like(t), t, t**2], axis=1)
    scale = np.abs(terms).max(axis=0)
    rows = ["# log K = a1/T + a2 ln T + a3 + a4 T + a5 T^2", "# rigid rotors", "#"]
    for symbol in _MOLECULES:
        parts = " ".join(f"{element} {count}" for element, count in elements_of(symbol).items())
        fitted = np.linalg.lstsq(terms / scale, log_constants(symbol), rcond=None)[0] / scale
        rows += [f"{symbol} A_name : {parts} # rigid rotor", " ".join(f"{a:.12e}" for a in fitted)]
        rows.append("")
    (folder / "species.dat").write_text("\n".join(rows))
    elements = "".join(f"{symbol}\t{value}\n" for symbol, value in SOLAR.items())
    (folder / "abundances.dat").write_text(f"# near the Sun's\n{elements}")
    return EquilibriumSettings(
        inputs=str(folder),
        species="species.dat",
        abundances="abundances.dat",
        log_metallicity=(-1.0, 0.0, 1.0),
        c_to_o=(0.3, 0.5, 0.7, 0.9, 1.03, 1.1, 1.4),
        temperature_k=(500.0, 700.0, 1000.0, 1400.0, 2000.0),
        pressure_pa=(1e1, 1e3, 1e5),
    )
