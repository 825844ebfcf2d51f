"""Visits of full size in the layout of 2025's challenge, with the noise of real detectors.

What they hold: photons (Poisson) and reads (13 electrons), reset reads around 437 counts, flat
field, dark current, dead and hot pixels, linearity, a foreground, cosmic rays, a drift that differs
by wavelength, a transit of two hours, and FGS1's jitter. Each pixel is made and packed by itself,
so that the frames of a visit never lie in memory as more than the counts that are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from frame_twins import (
    READ_NOISE,
    Twin,
    calibration,
    converted,
    stellar_image,
    transit,
    write_frame,
    write_tables,
)
from scipy.interpolate import CubicSpline

from arielflow.core.files import atomic_path
from arielflow.editions import FrameEdition
from arielflow.editions.frames import Sensor

VISIT_H, TRANSIT_H = 7.5, 2.0
RESET_ELECTRONS = 7.0
SKY_ELECTRONS = 8.0
"""Foreground of a pair and pixel of AIRS-CH0; over 32 rows it is 1 % of the median channel."""
HITS_PER_S = 5 * 18e-4**2
"""Cosmic rays on a pixel of 18 um, at 5 a second and square centimetre; an assumption."""
HIT_ELECTRONS = 2000.0
JITTER_PIXELS = {"FGS1": 0.1, "AIRS-CH0": 0.005}
RESPONSE_PER_PIXEL = 0.05
"""Light gained by a shift of one pixel: FGS1 then scatters by 5,000 ppm more than its photons."""


class Star:
    """Light of a star with a transiting planet on a sensor, pair by pair.

    Parameters
    ----------
    sensor
        Where it falls.
    depth
        Of the edition's channels.
    n_pairs
        Pairs of the visit.
    rng
        Draws the image's shifts.
    """

    def __init__(
        self, sensor: Sensor, depth: np.ndarray, n_pairs: int, rng: np.random.Generator
    ) -> None:
        image = stellar_image(sensor)
        self._n_columns = sensor.shape[1]
        shift = JITTER_PIXELS[sensor.name] * rng.standard_normal((2, n_pairs))
        self._rows = _moved(image.sum(axis=1) / image.sum(), shift[0])
        across = image.sum(axis=0)
        self._columns = across[:, np.newaxis] if sensor.dispersed else _moved(across, shift[1])
        self._depth = np.full(self._n_columns, depth[0])
        if sensor.dispersed:
            self._depth[slice(*sensor.crop)] = depth[1:][::-1]
        self._missing = transit(n_pairs, TRANSIT_H / VISIT_H)
        phase = np.linspace(-1, 1, n_pairs)
        self._drift = 2e-3 * phase - 1e-3 * phase**2
        self._response = 1 + RESPONSE_PER_PIXEL * shift[0]

    def on_pixel(self, row: int, column: int) -> np.ndarray:
        """Electrons expected of every pair."""
        seen = 1 - self._depth[column] * self._missing
        # The drift is half as large at one end of the columns and half as large again at the other.
        seen *= (1 + (0.5 + column / self._n_columns) * self._drift) * self._response
        return np.clip(seen * self._rows[row] * self._columns[column], 0, None)


def write_visits(path: Path, edition: FrameEdition, planets: Sequence[str], seed: int) -> None:
    """Write a data set of training planets of one visit each; visits that are there are kept."""
    twin = Twin(path)
    path.mkdir(parents=True, exist_ok=True)
    for planet in planets:
        rng = np.random.default_rng([seed, int(planet)])
        shape = 2e-4 * rng.standard_normal(edition.n_channels)
        twin.depth[planet] = 0.01 + 0.01 * rng.random() + shape
        folder = path / "train" / planet
        for sensor, own in zip(edition.sensors, rng.spawn(len(edition.sensors)), strict=True):
            if not edition.signal_file(folder, sensor, 0).is_file():
                write_visit(folder, edition, sensor, twin.depth[planet], own)
    write_tables(twin, edition, {"train": tuple(planets)})


def write_visit(
    folder: Path,
    edition: FrameEdition,
    sensor: Sensor,
    depth: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Write the frames and the calibration of one sensor into a planet's folder."""
    frames = calibration(sensor, rng)
    for what, values in frames.items():
        write_frame(edition.calibration_folder(folder, sensor, 0) / f"{what}.parquet", values)
    powers = frames["linear_corr"].reshape(6, *sensor.shape)
    star = Star(sensor, depth, sensor.n_frames // 2, rng)
    sky = SKY_ELECTRONS if sensor.dispersed else 0.0
    columns = {}
    for number, (row, column) in enumerate(np.ndindex(sensor.shape)):
        gain = 0.0 if frames["dead"][row, column] else frames["flat"][row, column]
        light = gain * (star.on_pixel(row, column) + sky)
        electrons = _reads(light, sensor, frames["dark"][row, column], rng)
        counts = converted(electrons, powers[:, row, column])
        columns[f"column_{number}"] = pa.array(counts.ravel())
    with atomic_path(edition.signal_file(folder, sensor, 0)) as temporary:
        pq.write_table(pa.table(columns), temporary)


def _reads(light: np.ndarray, sensor: Sensor, dark: float, rng: np.random.Generator) -> np.ndarray:
    """Electrons of both reads of every pair, (pair, 2), from the light that is expected."""
    n_pairs, (first_s, second_s) = len(light), sensor.integration_s
    reads = RESET_ELECTRONS + READ_NOISE * rng.standard_normal((n_pairs, 2))
    reads += dark * np.array([first_s, second_s])
    reads[:, 1] += rng.poisson(light)
    hits = rng.poisson(HITS_PER_S * (second_s - first_s) * n_pairs)
    reads[rng.integers(n_pairs, size=hits), 1] += rng.exponential(HIT_ELECTRONS, hits)
    return reads


def _moved(profile: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """A profile that is shifted by so many pixels in every pair, (pixel, pair)."""
    where = np.arange(len(profile))[:, np.newaxis] - shift
    return np.asarray(CubicSpline(np.arange(len(profile)), profile)(where))
