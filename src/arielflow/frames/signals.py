"""The raw frames of a visit, a block of pixels at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.parquet import ParquetTable
from arielflow.editions.frames import Sensor
from arielflow.frames.quality import FrameQuality, Note


class WrongShapeError(ArielflowError):
    """Frames have another shape than the sensor."""


class Signal:
    """Counts of a sensor during a visit; a column of the file is a pixel, a row a frame.

    Attributes
    ----------
    path : Path
        Of the file.
    n_frames : int
        Even: a last frame without its partner is left out.
    notes : tuple[Note, ...]
        What is wrong with the file.

    Raises
    ------
    ArielflowError
        The file is missing or damaged, or its frames are not the sensor's.
    """

    def __init__(self, path: Path, sensor: Sensor, others: tuple[Sensor, ...] = ()) -> None:
        self._table, self._sensor = ParquetTable(path), sensor
        self.path = path
        table, n_pixels = self._table, sensor.shape[0] * sensor.shape[1]
        # Frames behind one another in a single column are the same numbers.
        self._flat = table.n_columns == 1 and table.n_rows % n_pixels == 0
        n_frames = table.n_rows // n_pixels if self._flat else table.n_rows
        if not self._flat and table.n_columns != n_pixels:
            raise WrongShapeError(
                f"{path}: has {table.n_columns} columns, expected {n_pixels} "
                f"({sensor.shape[0]} x {sensor.shape[1]} pixels){self._swapped(others)}"
            )
        if n_frames < 2:
            raise ArielflowError(f"{path}: holds {n_frames} frames, expected {sensor.n_frames}")
        self.n_frames = n_frames - n_frames % 2
        self.notes = self._checked(path, n_frames)
        self._whole: np.ndarray | None = None

    def counts(self, rows: slice, columns: slice) -> np.ndarray:
        """Counts of the pixels of these rows and columns, shape (row, column, frame), uint16.

        Raises
        ------
        ArielflowError
            The file is damaged, or a value is missing or no count.
        """
        shape = self._sensor.shape
        if self._flat:
            if self._whole is None:
                counts = self._table.columns([0], np.uint16)
                self._whole = counts.reshape(-1, *shape)[: self.n_frames]
            return np.moveaxis(self._whole[:, rows, columns], 0, -1)
        positions = np.arange(shape[0] * shape[1]).reshape(shape)[rows, columns]
        counts = self._table.columns(positions.ravel().tolist(), np.uint16)
        return counts.reshape(*positions.shape, -1)[..., : self.n_frames]

    def _swapped(self, others: tuple[Sensor, ...]) -> str:
        """Whose frames they look like instead."""
        for other in others:
            if self._table.n_columns == other.shape[0] * other.shape[1]:
                return f"; they look like {other.name}'s: are the files swapped?"
        return "; fetch the file again"

    def _checked(self, path: Path, n_frames: int) -> tuple[Note, ...]:
        expected = self._sensor.n_frames
        if n_frames == expected:
            return ()
        what = f"{path.name}: {n_frames} frames, expected {expected}; those are used"
        fewer = n_frames < expected
        return (Note(FrameQuality.FEW_FRAMES if fewer else FrameQuality.WRONG_SHAPE, what),)
