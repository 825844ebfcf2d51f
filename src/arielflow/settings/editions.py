"""What settings must fit in an edition's data; a test keeps it in step with the editions.

The editions themselves bring NumPy and their files' readers, which no parse of a Snakefile needs.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

EditionName = Literal[
    "adc2022",
    "adc2023",
    "wfc3",
]
EDITION_NAMES: tuple[str, ...] = get_args(EditionName)
FrameEditionName = Literal["adc2024", "adc2025"]
FRAME_EDITION_NAMES: tuple[str, ...] = get_args(FrameEditionName)
"""Editions whose planets are detector frames and whose answer is the spectrum."""
Prior = Literal["matched", "wide", "population"]
LimitName = Literal[
    "star_distance",
    "star_mass_kg",
    "star_radius_m",
    "star_temperature",
    "planet_mass_kg",
    "planet_orbital_period",
    "planet_distance",
    "planet_radius_m",
    "planet_surface_gravity",
    "planet_radius",
    "planet_temp",
    "log_H2O",
    "log_CO2",
    "log_CO",
    "log_CH4",
    "log_NH3",
    "log_HCN",
    "log_kappa0",
    "mean_density",
    "equilibrium_temperature",
    "depth_ratio",
    "error_ratio",
    "radius_ratio",
    "kepler_ratio",
]
"""Columns, targets and derived quantities of the editions whose plausible values may be set."""


class EditionFacts(NamedTuple):
    """What the settings of a run must fit.

    Attributes
    ----------
    n_bins : of a spectrum
    targets, auxiliaries : their quantities, in the official order
    priors : names of the retrieval priors
    submitted : there are submissions, with 1,001 to 4,999 samples per planet
    """

    n_bins: int
    targets: tuple[str, ...]
    auxiliaries: tuple[str, ...]
    priors: tuple[str, ...]
    submitted: bool


_STAR_AND_PLANET = (
    "star_distance_pc",
    "star_mass_kg",
    "star_radius_m",
    "star_temperature_k",
    "planet_mass_kg",
    "orbital_period_day",
    "semi_major_axis_au",
)
_PRIORS = ("matched", "wide", "population")
FACTS: dict[str, EditionFacts] = {
    "adc2022": EditionFacts(
        52,
        ("planet_temperature", "H2O", "CO2", "CH4", "CO", "NH3"),
        (*_STAR_AND_PLANET, "tabulated_planet_radius_m", "surface_gravity_m_s2"),
        _PRIORS,
        submitted=True,
    ),
    "adc2023": EditionFacts(
        52,
        ("planet_radius", "planet_temperature", "H2O", "CO2", "CO", "CH4", "NH3"),
        (*_STAR_AND_PLANET, "surface_gravity_m_s2"),
        _PRIORS,
        submitted=True,
    ),
    "wfc3": EditionFacts(
        13,
        ("planet_temperature", "H2O", "HCN", "NH3", "cloud_opacity"),
        (),
        ("population",),
        submitted=False,
    ),
}
