"""Ariel Data Challenge 2022 (NeurIPS): six targets, the radius given; light and regular track."""

from __future__ import annotations

from arielflow.editions.adc import (
    GRAVITY,
    STAR_AND_PLANET,
    WAVELENGTH_UM,
    WAVELENGTH_WIDTH_UM,
    abundance,
    temperature,
)
from arielflow.editions.base import AuxiliaryColumn, Edition
from arielflow.editions.official_files import read_official, write_official

EDITION = Edition(
    name="adc2022",
    title="Ariel Data Challenge 2022",
    targets=(
        temperature(),
        abundance("H2O", -9, -3),
        abundance("CO2", -9, -4),
        abundance("CH4", -9, -3),
        abundance("CO", -6, -3),
        abundance("NH3", -9, -4),
    ),
    auxiliary=(
        *STAR_AND_PLANET,
        # Made with a Jupiter radius of 69,911 km where the forward model used 71,492 km, so it is
        # 2.3 % small in every row: the radius to compute with follows from mass and gravity.
        AuxiliaryColumn(
            "planet_radius_m", "tabulated_planet_radius_m", "m", (1e6, 3e8), used=False
        ),
        GRAVITY,
    ),
    wavelength_um=WAVELENGTH_UM,
    wavelength_width_um=WAVELENGTH_WIDTH_UM,
    group_template="Planet_{planet_ID}",
    identifier_templates={"train": "{n}", "test": "{n}"},
    first_identifier=0,
    # The strict checker of 2022 wants more than 1,000 and fewer than 5,000 samples.
    sample_limits=(1001, 4999),
    noise="free",
    metrics=("adc2022_regular", "adc2022_light"),
    retrieval_prior="wide",
    tracks={"regular": ".hdf5", "light": ".csv"},
    reader=read_official,
    writer=write_official,
)
