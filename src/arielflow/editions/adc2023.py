"""Ariel Data Challenge 2023 (ECML-PKDD): seven targets, posterior samples, two official scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from arielflow.editions.adc import (
    GRAVITY,
    STAR_AND_PLANET,
    WAVELENGTH_UM,
    WAVELENGTH_WIDTH_UM,
    abundance,
    temperature,
)
from arielflow.editions.base import Edition, Parameter, Range
from arielflow.editions.official_files import read_official, write_official

RADIUS_RANGE_RJUP = (0.1, 3.0)

EDITION = Edition(
    name="adc2023",
    title="Ariel Data Challenge 2023",
    targets=(
        Parameter(
            "planet_radius",
            "planet_radius",
            "R_Jup",
            r"$R_\mathrm{p}$",
            RADIUS_RANGE_RJUP,
            dict.fromkeys(("matched", "wide", "population"), Range(*RADIUS_RANGE_RJUP)),
            limits=(0.01, np.inf),  # the smallest known planets have 0.03 Jupiter radii
        ),
        temperature(),
        abundance("H2O", -9, -3),
        abundance("CO2", -9, -5),
        abundance("CO", -6, -3),
        abundance("CH4", -9, -3),
        abundance("NH3", -9, -3),
    ),
    # Gravity would give the radius away, which is a target.
    auxiliary=(*STAR_AND_PLANET, replace(GRAVITY, used=False)),
    wavelength_um=WAVELENGTH_UM,
    wavelength_width_um=WAVELENGTH_WIDTH_UM,
    group_template="Planet_{planet_ID}",
    identifier_templates={"train": "train{n}", "test": "public{n}"},
    first_identifier=1,
    sample_limits=(1000, 5000),
    noise="free",
    metrics=("adc2023_posterior", "adc2023_spectral"),
    retrieval_prior="wide",
    tracks={"regular": ".hdf5"},
    reader=read_official,
    writer=write_official,
)
