"""Calibration frames of a sensor: dark, dead, flat, linearity, read noise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.parquet import read_numbers
from arielflow.editions.frames import Sensor
from arielflow.frames.quality import FrameQuality, Note

# What stands in for a file that is missing: a detector without faults, Ariel's read noise.
_NEUTRAL = {"dark": 0.0, "dead": 0.0, "flat": 1.0, "read": 13.0}
_LINEARITY = "linear_corr"
_MOST_POWERS = 20


@dataclass(frozen=True)
class CalibrationFrames:
    """Of a whole sensor, shape (row, column) where not stated.

    Attributes
    ----------
    dark : np.ndarray
        Dark current [electrons per second].
    dead : np.ndarray
        Pixels that do not respond.
    flat : np.ndarray
        Relative response.
    read : np.ndarray
        Standard deviation of one read [electrons].
    linearity : np.ndarray
        Coefficients (power, row, column), ascending: electrons of a linear detector from what
        this one shows.
    known : np.ndarray
        Pixels of which every file has a number.
    notes : tuple[Note, ...]
        What is wrong with the files.
    """

    dark: np.ndarray
    dead: np.ndarray
    flat: np.ndarray
    read: np.ndarray
    linearity: np.ndarray
    known: np.ndarray
    notes: tuple[Note, ...]


def read_calibration(folder: Path, sensor: Sensor) -> CalibrationFrames:
    """Calibration frames from their folder.

    A file that is missing, damaged or of another shape is replaced by a detector without that
    fault, and a pixel without a number is not known; both are noted.

    Parameters
    ----------
    folder
        Holds ``dark.parquet``, ``dead.parquet``, ``flat.parquet``, ``linear_corr.parquet`` and
        ``read.parquet``.
    sensor
        Whose shape they must have.
    """
    notes: list[Note] = []
    known = np.ones(sensor.shape, bool)
    frames = {}
    for name, neutral in _NEUTRAL.items():
        found = _read(folder / f"{name}.parquet", sensor, notes, powers=None)
        frames[name] = np.full(sensor.shape, neutral) if found is None else found
    linearity = _read(folder / f"{_LINEARITY}.parquet", sensor, notes, powers=_MOST_POWERS)
    if linearity is None:
        linearity = np.stack([np.zeros(sensor.shape), np.ones(sensor.shape)])
    for name, values in (*frames.items(), (_LINEARITY, linearity)):
        finite = np.isfinite(values)
        if not finite.all():
            lost = ~finite.reshape(-1, *sensor.shape).all(axis=0)
            known &= ~lost
            notes.append(
                Note(
                    FrameQuality.NAN_CALIBRATION,
                    f"{folder.name}/{name}.parquet: {lost.sum()} pixels without a number are left "
                    "out",
                )
            )
            values[~finite] = 0.0
    if not known.any():
        raise ArielflowError(f"{folder}: no pixel has a number in every file; fetch them again")
    return CalibrationFrames(
        frames["dark"],
        frames["dead"] != 0,
        frames["flat"],
        frames["read"],
        linearity,
        known,
        tuple(notes),
    )


def _read(path: Path, sensor: Sensor, notes: list[Note], powers: int | None) -> np.ndarray | None:
    """One file, as (row, column) or (power, row, column); None, and a note, if it is of no use."""
    where = f"{path.parent.name}/{path.name}"
    try:
        values = read_numbers(path)
    except ArielflowError as error:
        reason = "missing" if not path.exists() else str(error).removeprefix(f"{path}: ")
        notes.append(Note(FrameQuality.MISSING_CALIBRATION, f"{where}: {reason}; none applied"))
        return None
    rows, columns = sensor.shape
    whole = values.size and values.size % (rows * columns) == 0
    count = values.size // (rows * columns)
    if not whole or not 1 <= count <= (powers or 1):
        expected = f"{rows} x {columns}" if powers is None else f"(powers x {rows}) x {columns}"
        notes.append(
            Note(
                FrameQuality.WRONG_SHAPE,
                f"{where}: has {values.shape[0]} x {values.shape[1]} values, expected {expected}; "
                "none applied",
            )
        )
        return None
    if not np.isfinite(values).any():
        notes.append(Note(FrameQuality.NAN_CALIBRATION, f"{where}: holds no number; none applied"))
        return None
    values = np.ascontiguousarray(values)
    return values.reshape(sensor.shape if powers is None else (count, *sensor.shape))
