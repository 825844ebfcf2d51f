"""Small tables of spectra in the format of the challenges with detector frames."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from arielflow.editions import FrameEdition
from arielflow.evaluation.frames.submission import write_frame_submission

PLANETS = ["34983", "342072318", "1103775", "785834", "499191466", "9"]


class Answers(NamedTuple):
    """True spectra and answers (planet, channel)."""

    truth: np.ndarray
    spectrum: np.ndarray
    sigma: np.ndarray


def answers(n_planets: int = len(PLANETS), n_channels: int = 283, seed: int = 0) -> Answers:
    """Depths of planets of different sizes with one band each, and answers at 50 ppm."""
    rng = np.random.default_rng(seed)
    channel = np.linspace(0, 1, n_channels)
    middle, height = rng.random((2, n_planets, 1))
    white = 10 ** rng.uniform(-3.2, -2.2, (n_planets, 1))
    truth = white * (1 + 0.1 * height * np.exp(-(((channel - middle) / 0.1) ** 2)))
    sigma = 5e-5 * rng.uniform(0.5, 2, truth.shape)
    return Answers(truth, truth + sigma * rng.normal(size=truth.shape), sigma)


def write_labels(
    path: Path, edition: FrameEdition, truth: np.ndarray, planets: list[str] | None = None
) -> Path:
    """Write a table of labels."""
    table = pd.DataFrame(truth, columns=edition.spectrum_columns)
    table.insert(0, "planet_id", planets or PLANETS)
    table.to_csv(path, index=False)
    return path


def written(edition: FrameEdition, folder: Path) -> tuple[Path, Path]:
    """A valid submission and the labels of its six planets, in another order."""
    truth, spectrum, sigma = answers()
    submission, labels = folder / "submission.csv", folder / "labels.csv"
    write_frame_submission(submission, edition, PLANETS, spectrum, sigma)
    return submission, write_labels(labels, edition, truth[::-1], PLANETS[::-1])
