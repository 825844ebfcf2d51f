"""What the Ariel Data Challenges of 2022 and 2023 share: the grid, the star and planet columns."""

from __future__ import annotations

import numpy as np

from arielflow.editions.base import AuxiliaryColumn, Parameter, Range

# The 52-bin grid of Ariel at the challenge's resolving powers: (centre, full width) [um].
_GRID_UM = """
0.55 0.10083333  0.7 0.20416667  0.95 0.30767045  1.156375 0.11301861  1.27490344 0.12460302
1.40558104 0.13737483  1.5496531 0.15145575  1.70849254 0.16697996  1.88361302 0.18409541
1.9695975 0.03919888  2.00918641 0.03998678  2.04957106 0.04079051  2.09076743 0.0416104
2.13279186 0.04244677  2.17566098 0.04329995  2.21939176 0.04417028  2.26400154 0.0450581
2.30950797 0.04596377  2.35592908 0.04688764  2.40328325 0.04783008  2.45158925 0.04879147
2.50086619 0.04977218  2.5511336 0.0507726  2.60241139 0.05179313  2.65471985 0.05283417
2.70807972 0.05389614  2.76251213 0.05497945  2.81803862 0.05608453  2.8746812 0.05721183
2.93246229 0.05836179  2.99140478 0.05953486  3.05153202 0.06073151  3.11286781 0.06195222
3.17543645 0.06319746  3.23926272 0.06446773  3.30437191 0.06576353  3.37078978 0.06708537
3.43854266 0.06843379  3.50765736 0.06980931  3.57816128 0.07121248  3.65008232 0.07264385
3.72344897 0.07410399  4.03216667 0.26461764  4.30545796 0.28255283  4.59727234 0.30170364
4.90886524 0.32215244  5.24157722 0.34398722  5.59683967 0.36730191  5.97618103 0.39219681
6.3812333 0.41877904  6.81373911 0.44716295  7.2755592 0.47747067
"""
WAVELENGTH_UM, WAVELENGTH_WIDTH_UM = np.array(_GRID_UM.split(), dtype=float).reshape(-1, 2).T

LOG_SCORE_BOUNDS = (-12.0, -1.0)
TEMPERATURE_SCORE_BOUNDS_K = (0.0, 7000.0)
# Within the built-in opacity tables, which the retrieval prior must not leave.
TEMPERATURE_LIMITS_K = (200.0, 2500.0)

# The limits take in every host and planet that is known, and leave out its value in other units.
STAR_AND_PLANET = (
    # The nearest star to the far side of the Galaxy.
    AuxiliaryColumn("star_distance", "star_distance_pc", "pc", (1.0, 1e5), used=False),
    # 0.01 (brown dwarfs with planets) to 20 solar masses.
    AuxiliaryColumn("star_mass_kg", "star_mass_kg", "kg", (2e28, 4e31), used=False),
    # White dwarfs (WD 1856, 0.013 solar radii) to red giants of 100 solar radii.
    AuxiliaryColumn("star_radius_m", "star_radius_m", "m", (5e6, 7e10)),
    # Y dwarfs to the hottest subdwarfs and white dwarfs.
    AuxiliaryColumn("star_temperature", "star_temperature_k", "K", (400.0, 6e4)),
    # 0.005 Earth masses (Kepler-37 b has about 0.01) to 200 Jupiter masses; the challenge's
    # heaviest companion has 132.
    AuxiliaryColumn("planet_mass_kg", "planet_mass_kg", "kg", (3e22, 4e29)),
    # Pulsar planets to orbits beyond Neptune's.
    AuxiliaryColumn("planet_orbital_period", "orbital_period_day", "day", (0.03, 1e5), used=False),
    # Pulsar planets to companions that are seen directly.
    AuxiliaryColumn("planet_distance", "semi_major_axis_au", "AU", (1e-3, 1e4)),
)
# Super-puffs (Kepler-51 d, 0.6 m s-2) to the densest brown dwarfs (log g 5.5 in cgs).
GRAVITY = AuxiliaryColumn("planet_surface_gravity", "surface_gravity_m_s2", "m s-2", (0.1, 5e3))


def temperature(name: str = "planet_temp") -> Parameter:
    """The isothermal atmosphere's temperature.

    The matched prior spans 30 % on both sides of the equilibrium temperature, the real
    population a tenth.
    """
    return Parameter(
        name,
        "planet_temperature",
        "K",
        r"$T_\mathrm{p}$",
        TEMPERATURE_SCORE_BOUNDS_K,
        {
            "matched": Range(0.7, 1.3, relative_to_equilibrium=True, limits=TEMPERATURE_LIMITS_K),
            "wide": Range(*TEMPERATURE_LIMITS_K),
            "population": Range(
                0.9, 1.1, relative_to_equilibrium=True, limits=TEMPERATURE_LIMITS_K
            ),
        },
        quartile_name="T",
        limits=(30.0, np.inf),  # colder than any transiting planet
    )


def abundance(molecule: str, low: float, high: float) -> Parameter:
    """Log10 volume mixing ratio of a molecule, with the range that planets were drawn from."""
    formula = "".join(f"_{{{c}}}" if c.isdigit() else c for c in molecule)
    return Parameter(
        f"log_{molecule}",
        molecule,
        "dex",
        rf"$\log_{{10}} X_{{\mathrm{{{formula}}}}}$",
        LOG_SCORE_BOUNDS,
        {
            "matched": Range(low, high),
            "wide": Range(*LOG_SCORE_BOUNDS),
            "population": Range(low, high),
        },
        limits=(-np.inf, 0.0),  # a mixing ratio of one
    )
