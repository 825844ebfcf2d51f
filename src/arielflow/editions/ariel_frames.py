"""What the challenges of 2024 and 2025 share: Ariel's two sensors and their channels."""

from __future__ import annotations

import numpy as np

from arielflow.editions.frames import Sensor

FGS1 = Sensor(
    name="FGS1",
    n_frames=135_000,
    shape=(32, 32),
    crop=(0, 32),
    dispersed=False,
    integration_s=(0.1, 0.2),
    pair_s=0.4,
    pairs_per_bin=360,
    background_rows=((0, 4), (28, 32)),
)
AIRS_CH0 = Sensor(
    name="AIRS-CH0",
    n_frames=11_250,
    shape=(32, 356),
    crop=(39, 321),
    dispersed=True,
    integration_s=(0.1, 4.5),
    pair_s=4.8,
    pairs_per_bin=30,
    background_rows=((0, 8), (24, 32)),
)
# Both bins last 144 s, so that a bin of one sensor is a bin of the other.
SENSORS = (FGS1, AIRS_CH0)

# Wavelength of a detector column [um]: axis_info.parquet's own numbers, to rounding.
_COLUMN_UM = np.polynomial.Polynomial(
    [4.0784631408988705, -0.004433634065929632, -6.913472144801841e-06]
)
AIRS_COLUMN_UM = _COLUMN_UM(np.arange(AIRS_CH0.shape[1]))


def channel_wavelengths(fgs1_um: float) -> np.ndarray:
    """Wavelengths of the channels [um]: FGS1's, and AIRS-CH0's columns in ascending order."""
    first, end = AIRS_CH0.crop
    return np.concatenate([[fgs1_um], AIRS_COLUMN_UM[first:end][::-1]])
