"""All visits of a planet: raw frames in, light curves with variances out."""

from __future__ import annotations

import xarray as xr

from arielflow.frames.dataset import light_curve_dataset
from arielflow.frames.folder import FrameFolder
from arielflow.frames.quality import FrameQuality, Note
from arielflow.frames.visit import Frames, Options, SensorVisit, sensor_visit
from arielflow.settings.frames import CalibrationSettings, LightCurveSettings


def planet_light_curves(
    folder: FrameFolder,
    planet: str,
    calibration: CalibrationSettings | None = None,
    settings: LightCurveSettings | None = None,
    frames: Frames | None = None,
) -> xr.Dataset:
    """Light curves of all visits of a planet.

    Whatever is wrong with a visit, a sensor or a calibration file is noted, and the rest goes on;
    what has no light curve is NaN.

    Parameters
    ----------
    folder
        The data set.
    planet
        Identifier.
    calibration, settings
        Steps and options; the defaults where None.
    frames
        Also keep the calibrated frames: averages over the time bins, or every pair.

    Returns
    -------
    xarray.Dataset
        ``flux(visit, time, channel)`` [electrons] and ``flux_variance``; ``scatter_ratio`` and
        ``background(visit, channel)``; ``position_row``, ``position_column(visit, sensor, time)``
        [pixels]; ``quality(visit, sensor)``; mean images ``image_<sensor>(visit, row, column)``
        [electrons per pair], ``usable_<sensor>`` and, on request, ``frames_<sensor>(visit,
        frame_bin, row, column)``.
        Attribute ``notes`` holds a line per note.

    Raises
    ------
    ArielflowError
        The data set has no such planet, or its table of gains is of no use.
    """
    options = Options(
        calibration or CalibrationSettings(), settings or LightCurveSettings(), frames
    )
    split = folder.split_of(planet)
    gains = folder.gains(split)
    visits = folder.visits(planet, split)
    own = folder.planet_folder(planet, split)
    found: list[list[SensorVisit]] = []
    for visit in visits:
        found.append([])
        for sensor in folder.edition.sensors:
            gain, offset, doubts = gains.of(planet, sensor)
            if len(visits) > 1 and not found[-1]:
                what = f"one of {len(visits)} visits, each with its own light curves"
                doubts = [*doubts, Note(FrameQuality.SEVERAL_VISITS, what)]
            seen = sensor_visit(folder.edition, own, sensor, visit, (gain, offset), options)
            found[-1].append(seen.noted(doubts, f"visit {visit}: " if len(visits) > 1 else ""))
    return light_curve_dataset(folder.edition, planet, visits, found, options)
