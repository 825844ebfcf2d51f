"""One visit of a planet seen by one sensor: its frames opened, calibrated, summed and binned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.editions import FrameEdition
from arielflow.editions.ariel_frames import AIRS_CH0
from arielflow.editions.frames import Sensor
from arielflow.frames.calibration_files import read_calibration
from arielflow.frames.extraction import SensorCurves, extract
from arielflow.frames.light_curves import BinnedCurves, binned, without_jitter
from arielflow.frames.quality import FrameQuality, Note
from arielflow.frames.response import adc_polynomial, pixel_response
from arielflow.frames.signals import Signal, WrongShapeError
from arielflow.settings.frames import CalibrationSettings, LightCurveSettings

Frames = Literal["bins", "pairs"]
"""Which calibrated frames are kept: averages over the light curves' time bins, or every pair."""

_RESET_ELECTRONS = 200.0
"""Reads after a reset are this near to zero where gain and offset are understood."""


@dataclass(frozen=True)
class Options:
    """How raw frames are made into light curves, and which calibrated ones are kept."""

    calibration: CalibrationSettings
    settings: LightCurveSettings
    frames: Frames | None = None


@dataclass(frozen=True)
class SensorVisit:
    """What one sensor gave in one visit; nothing but notes where its frames are of no use."""

    curves: SensorCurves | None
    light: BinnedCurves | None
    notes: tuple[Note, ...]

    def noted(self, more: list[Note], start: str) -> SensorVisit:
        """The same with more notes, all of them beginning with ``start``."""
        notes = (note._replace(what=start + note.what) for note in (*self.notes, *more))
        return replace(self, notes=tuple(notes))


def sensor_visit(
    edition: FrameEdition,
    folder: Path,
    sensor: Sensor,
    visit: int,
    gain: tuple[float, float],
    options: Options,
) -> SensorVisit:
    """Light curves of one sensor in one visit.

    Parameters
    ----------
    edition
        Names the files.
    folder
        Of the planet.
    sensor, visit
        Which frames.
    gain
        Gain and offset of the sensor's converter.
    options
        How frames are made into light curves.
    """
    signal, notes = _signal(edition, folder, sensor, visit)
    if signal is None:
        return SensorVisit(None, None, tuple(notes))
    n_pairs = signal.n_frames // 2
    pairs = min(bin_pairs(sensor, options.settings.pairs_per_bin), n_pairs)
    frame_pairs = {None: None, "bins": pairs, "pairs": 1}[options.frames]
    try:
        place = edition.calibration_folder(folder, sensor, visit)
        calibration = read_calibration(place, sensor)
        response = pixel_response(calibration, sensor, *gain, options.calibration)
        curves = extract(
            signal, sensor, response, options.calibration, options.settings, frame_pairs
        )
    except ArielflowError as error:
        what = _without_curve(sensor, signal.path, error)
        return SensorVisit(None, None, (*notes, Note(FrameQuality.UNREADABLE_SIGNAL, what)))
    notes = [*notes, *signal.notes, *calibration.notes]
    notes += _doubts(curves, sensor, gain, options.calibration.adc)
    flux = curves.flux
    if options.settings.jitter:
        flux = without_jitter(flux, curves.position, pairs)
    light = binned(
        flux,
        curves.shot_variance,
        curves.read_variance,
        pairs,
        options.settings,
    )
    return SensorVisit(curves, light, tuple(notes))


def bin_pairs(sensor: Sensor, airs_pairs: int | None) -> int:
    """Pairs of a sensor's time bin, where AIRS-CH0's has so many (None: the edition's)."""
    if airs_pairs is None:
        return sensor.pairs_per_bin
    return max(1, round(airs_pairs * AIRS_CH0.pair_s / sensor.pair_s))


def _signal(
    edition: FrameEdition, folder: Path, sensor: Sensor, visit: int
) -> tuple[Signal | None, list[Note]]:
    """Frames of a sensor; those of another file where the two are swapped."""
    path = edition.signal_file(folder, sensor, visit)
    if not path.is_file():
        what = f"{path.name}: missing; {sensor.name} has no light curve"
        return None, [Note(FrameQuality.MISSING_SIGNAL, what)]
    try:
        return Signal(path, sensor, edition.sensors), []
    except ArielflowError as error:
        fault, flag = error, FrameQuality.UNREADABLE_SIGNAL
    if isinstance(fault, WrongShapeError):
        flag |= FrameQuality.WRONG_SHAPE
    for other in edition.sensors:
        swapped = edition.signal_file(folder, other, visit)
        if other is sensor or not swapped.is_file():
            continue
        try:
            signal = Signal(swapped, sensor)
            Signal(path, other)
        except ArielflowError:
            continue
        what = f"{path.name} and {swapped.name} are swapped; taken for one another"
        return signal, [Note(FrameQuality.SWAPPED_SENSORS, what)]
    return None, [Note(flag, _without_curve(sensor, path, fault))]


def _without_curve(sensor: Sensor, path: Path, error: ArielflowError) -> str:
    reason = str(error).removeprefix(f"{path}: ")
    return f"{path.name}: {reason}; {sensor.name} has no light curve"


def _doubts(
    curves: SensorCurves, sensor: Sensor, gain: tuple[float, float], convention: str
) -> list[Note]:
    """What the frames themselves say against how they were understood."""
    notes = []
    if curves.saturated:
        what = f"{sensor.name}: {curves.saturated} pixels reach the converter's end (65535 counts)"
        notes.append(Note(FrameQuality.SATURATED, what))
    counts = float(np.median(curves.first_read))
    other = "multiply" if convention == "divide" else "divide"
    own, turned = (
        constant + slope * counts
        for constant, slope in (adc_polynomial(*gain, way) for way in (convention, other))
    )
    if abs(own) > _RESET_ELECTRONS:
        hint = f"; adc: {other} gives {turned:.0f}" if abs(turned) < abs(own) else ""
        notes.append(
            Note(
                FrameQuality.DOUBTFUL_GAIN,
                f"{sensor.name}: the median of the first read is {own:.0f} electrons, expected "
                f"near 0 with this gain and offset{hint}",
            )
        )
    return notes
