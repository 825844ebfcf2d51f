"""The figures of detector frames, drawn of a few made-up numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from arielflow import plotting

TIME_H = np.linspace(0.02, 7.48, 24)
AIRS_UM = np.linspace(1.95, 3.9, 12)
SPECTRUM_UM = np.concatenate([[0.7], AIRS_UM])


def draw_images() -> Figure:
    """Two sensors, the dispersed one's columns descending; its last pixel does not count."""
    rng = np.random.default_rng(0)
    images = {"FGS1": rng.normal(0, 5, (6, 6)), "AIRS-CH0": rng.normal(0, 5, (6, 12))}
    images["FGS1"][3, 3] = 2e4
    images["AIRS-CH0"][3] = np.linspace(1e3, 1e5, 12)
    usable = {name: np.ones(image.shape, np.uint8) for name, image in images.items()}
    usable["AIRS-CH0"][1, -1] = 0
    return plotting.detector_images(images, usable, {"AIRS-CH0": AIRS_UM[::-1]})


def draw_curves() -> Figure:
    """Two visits, the second of which ends early; both sensors."""
    flux = 1 - 0.01 * ((TIME_H > 2.5) & (TIME_H < 5))
    curves = np.stack([flux, np.where(TIME_H < 6, flux + 1e-3, np.nan)])
    both = {"FGS1": curves, "AIRS-CH0": curves}
    error = {name: np.full(curves.shape, 3e-4) for name in both}
    return plotting.light_curves(TIME_H, both, error, ["visit 0", "visit $1"])


def draw_map() -> Figure:
    """One channel of two visits has no light curve."""
    flux = 1 + 1e-3 * np.random.default_rng(1).standard_normal((2, 24, 12))
    flux[:, :, 4] = np.nan
    return plotting.flux_map(TIME_H, AIRS_UM, flux, ["visit 0", "visit 1"])


def draw_positions() -> Figure:
    """Columns are known of one sensor alone."""
    drift = 15.4 + 1e-3 * np.sin(TIME_H)
    return plotting.image_positions(
        TIME_H, {"row": {"FGS1": drift, "AIRS-CH0": drift + 0.1}, "column": {"FGS1": drift}}
    )


def draw_noise() -> Figure:
    """Two planets, whose noise stops falling."""
    table = pd.DataFrame(
        {
            "sensor": ["FGS1"] * 3 + ["AIRS-CH0"] * 3,
            "minutes": [2.4, 4.8, 9.6] * 2,
            "scatter_ppm": [200.0, 150.0, 140.0, 60.0, 45.0, 40.0],
            "expected_ppm": [180.0, 127.0, 90.0, 50.0, 35.0, 25.0],
        }
    )
    return plotting.noise_against_time({"planet 1": table, "planet 2": table})


def draw_spectra() -> Figure:
    """Three planets, of the last of which the truth is not known."""
    depth = 0.01 + 1e-4 * np.random.default_rng(2).standard_normal((3, 13))
    truth = np.full((3, 13), 0.01)
    truth[2] = np.nan
    return plotting.extracted_spectra(
        SPECTRUM_UM, {"box": depth}, {"box": np.full((3, 13), 1e-4)}, truth, ["a", "b", "c"]
    )


FRAME_FIGURES: dict[str, Callable[[], Figure]] = {
    "detector_images": draw_images,
    "light_curves": draw_curves,
    "flux_map": draw_map,
    "image_positions": draw_positions,
    "noise_against_time": draw_noise,
    "extracted_spectra": draw_spectra,
}
