"""Ariel Data Challenge 2024 (NeurIPS): detector frames of one visit per planet."""

from __future__ import annotations

from arielflow.editions.ariel_frames import SENSORS, channel_wavelengths
from arielflow.editions.frames import FrameEdition, GaussianScore, Reference

EDITION = FrameEdition(
    name="adc2024",
    title="Ariel Data Challenge 2024",
    sensors=SENSORS,
    wavelength_um=channel_wavelengths(0.705),
    visits=False,
    labels_table="train_labels.csv",
    adc_table={"train": "train_adc_info.csv", "test": "test_adc_info.csv"},
    adc_per_planet=True,
    star_table={},
    score=GaussianScore(
        per_element=False,
        ideal_sigma=(1e-5, 1e-5),
        reference=Reference(0.0025517145902829823, 0.0017261973793536417),
    ),
)
