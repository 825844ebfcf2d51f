"""Small data sets of detector frames in the official layout, made by the tests that read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from arielflow.editions import FrameEdition
from arielflow.editions.ariel_frames import AIRS_COLUMN_UM
from arielflow.editions.frames import Sensor

GAIN, OFFSET = 0.4369, -1000.0
PAIRS = {"AIRS-CH0": 120, "FGS1": 1440}
"""Pairs of a visit: four time bins."""
POWERS = np.array([0.14, 0.9999, -5.7e-9, 1.2e-11, -6e-17, 1.3e-22])
"""Linearity polynomial of a typical pixel of 2025."""
READ_NOISE = 13.0


@dataclass
class Twin:
    """A data set that was written, and what its planets' frames were made from.

    Attributes
    ----------
    path : Path
    electrons : dict
        By planet, visit and sensor the expected electrons of a pair out of transit, (row, column).
    transit : dict[str, np.ndarray]
        By sensor the relative flux of every pair.
    depth : dict[str, np.ndarray]
        By planet its true spectrum.
    """

    path: Path
    electrons: dict[tuple[str, int, str], np.ndarray] = field(default_factory=dict)
    transit: dict[str, np.ndarray] = field(default_factory=dict)
    depth: dict[str, np.ndarray] = field(default_factory=dict)


def write_twin(
    path: Path,
    edition: FrameEdition,
    planets: dict[str, tuple[str, ...]],
    *,
    seed: int = 1,
    visits: int = 1,
    noise: bool = True,
    pairs: dict[str, int] | None = None,
) -> Twin:
    """Write a data set with some planets by split."""
    rng = np.random.default_rng(seed)
    twin = Twin(path)
    path.mkdir(parents=True, exist_ok=True)
    pairs = pairs or PAIRS
    for sensor in edition.sensors:
        twin.transit[sensor.name] = transit(pairs[sensor.name])
    for split, names in planets.items():
        for name in names:
            twin.depth[name] = (
                0.01 + 0.01 * rng.random() + 2e-4 * rng.standard_normal(edition.n_channels)
            )
            for visit in range(visits):
                for sensor in edition.sensors:
                    _write_visit(twin, edition, split, name, visit, sensor, rng, noise)
    write_tables(twin, edition, planets)
    return twin


def transit(n_pairs: int, share: float = 1 / 3) -> np.ndarray:
    """Share of a transit's depth that is missing from every pair; it lasts a share of the visit."""
    phase = (np.arange(n_pairs) + 0.5) / n_pairs
    return np.clip((share / 2 - np.abs(phase - 0.5)) / 0.02 + 0.5, 0, 1)


def stellar_image(sensor: Sensor) -> np.ndarray:
    """Electrons of a pair that the star leaves on a sensor, (row, column)."""
    rows, columns = (np.arange(n) for n in sensor.shape)
    profile = np.exp(-0.5 * ((rows - 15.4) / 1.1) ** 2) + 0.03 / (1 + ((rows - 15.4) / 2.0) ** 2)
    if not sensor.dispersed:
        across = np.exp(-0.5 * ((columns - 15.7) / 1.1) ** 2)
        image = np.outer(profile, across)
        return 2.2e5 * image / image.sum()
    column_flux = 1e5 * np.exp(-1.5 * (AIRS_COLUMN_UM - 1.95))
    return np.outer(profile / profile.sum(), column_flux)


def calibration(sensor: Sensor, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Calibration frames of a sensor with some dead and hot pixels."""
    shape = sensor.shape
    dark = 0.0063 + 0.0005 * rng.standard_normal(shape)
    dark.flat[rng.choice(dark.size, 4, replace=False)] = 5.0
    dead = np.zeros(shape, bool)
    dead.flat[rng.choice(dead.size, 4, replace=False)] = True
    flat = 1 + 0.027 * rng.standard_normal(shape)
    linear = POWERS[:, np.newaxis, np.newaxis] * (1 + 0.02 * rng.standard_normal((6, *shape)))
    linear[1] = POWERS[1]
    return {
        "dark": dark,
        "dead": dead,
        "flat": flat,
        "read": np.full(shape, READ_NOISE),
        "linear_corr": linear.reshape(-1, shape[1]),
    }


def converted(electrons: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """Counts of a detector that holds these electrons, (…, row, column); powers (6, row, column).

    Pixels by themselves have no rows and columns: electrons (…), powers (6,).
    """
    detected = electrons.copy()
    for _ in range(3):  # the polynomial's inverse, which is near to a straight line
        detected -= np.polynomial.polynomial.polyval(detected, powers, tensor=False) - electrons
    return np.clip(np.rint((detected - OFFSET) * GAIN), 0, 65535).astype(np.uint16)


def write_frame(path: Path, values: np.ndarray) -> None:
    """Write a calibration frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {f"column_{number}": column for number, column in enumerate(values.T)}
    pq.write_table(pa.table(columns), path)


def write_signal(path: Path, counts: np.ndarray) -> None:
    """Write frames (frame, row, column) as the challenge does, a column per pixel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_frame(path, counts.reshape(len(counts), -1))


def _write_visit(
    twin: Twin,
    edition: FrameEdition,
    split: str,
    name: str,
    visit: int,
    sensor: Sensor,
    rng: np.random.Generator,
    noise: bool,
) -> None:
    folder = twin.path / split / name
    frames = calibration(sensor, rng)
    for what, values in frames.items():
        write_frame(edition.calibration_folder(folder, sensor, visit) / f"{what}.parquet", values)
    star, sky = stellar_image(sensor), 3.0
    depth = np.full(sensor.shape[1], twin.depth[name][0])
    if sensor.dispersed:
        depth[slice(*sensor.crop)] = twin.depth[name][1:][::-1]
    missing = twin.transit[sensor.name][:, np.newaxis, np.newaxis]
    pairs = star * (1 - depth * missing) + sky
    twin.electrons[name, visit, sensor.name] = star
    duration_s = sensor.integration_s
    seen = np.stack([0 * pairs, pairs], axis=1) * frames["flat"]
    seen += frames["dark"] * np.array(duration_s)[:, np.newaxis, np.newaxis]
    if noise:
        seen[:, 1] += rng.standard_normal(pairs.shape) * np.sqrt(seen[:, 1].clip(0))
        seen += READ_NOISE * rng.standard_normal(seen.shape)
    counts = converted(seen, frames["linear_corr"].reshape(6, *sensor.shape))
    counts = counts.reshape(-1, *sensor.shape)
    write_signal(edition.signal_file(folder, sensor, visit), counts)


def write_tables(twin: Twin, edition: FrameEdition, planets: dict[str, tuple[str, ...]]) -> None:
    """Write a data set's tables: gains, stars, labels, wavelengths."""
    gain = {
        f"{s.name}_adc_{what}": value
        for s in edition.sensors
        for what, value in (("offset", OFFSET), ("gain", GAIN))
    }
    for split, names in planets.items():
        rows = [{"planet_id": name, **gain} for name in names] if edition.adc_per_planet else [gain]
        pd.DataFrame(rows).to_csv(twin.path / edition.adc_table[split], index=False)
        if edition.star_table:
            star = {
                "Rs": 1.1,
                "Ms": 1.0,
                "Ts": 5577.0,
                "Mp": 0.7,
                "e": 0.0,
                "P": 3.3,
                "sma": 8.5,
                "i": 89.1,
            }
            rows = [{"planet_id": name, **star} for name in names]
            pd.DataFrame(rows).to_csv(twin.path / edition.star_table[split], index=False)
    labels = pd.DataFrame(
        [twin.depth[name] for name in planets.get("train", ())], columns=edition.spectrum_columns
    )
    labels.insert(0, "planet_id", list(planets.get("train", ())))
    labels.to_csv(twin.path / edition.labels_table, index=False)
    length = max(sensor.n_frames for sensor in edition.sensors)
    axis = np.full(length, np.nan)
    axis[: len(AIRS_COLUMN_UM)] = AIRS_COLUMN_UM
    pq.write_table(pa.table({"AIRS-CH0-axis2-um": axis}), twin.path / "axis_info.parquet")
    wavelengths = pd.DataFrame([edition.wavelength_um], columns=edition.spectrum_columns)
    wavelengths.to_csv(twin.path / "wavelengths.csv", index=False)
