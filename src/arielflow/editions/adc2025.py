"""Ariel Data Challenge 2025 (NeurIPS): detector frames of one or more visits per planet."""

from __future__ import annotations

from arielflow.editions.ariel_frames import SENSORS, channel_wavelengths
from arielflow.editions.frames import FrameEdition, GaussianScore

EDITION = FrameEdition(
    name="adc2025",
    title="Ariel Data Challenge 2025",
    sensors=SENSORS,
    wavelength_um=channel_wavelengths(0.7),
    visits=True,
    labels_table="train.csv",
    adc_table={"train": "adc_info.csv", "test": "adc_info.csv"},
    adc_per_planet=False,
    star_table={"train": "train_star_info.csv", "test": "test_star_info.csv"},
    score=GaussianScore(per_element=True, ideal_sigma=(1e-6, 1e-5), weight=(57.846, 1.0)),
)
