r"""Pixels of a visit summed into channels, while they are read.

The weights of a channel's pixels are their mean image over their variance, which is all of the
profile-weighted sum of Horne (1986) that hangs on single pixels; what normalises it is known when
the last pixel has been read. So every pixel is read once, and no frame is ever held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from arielflow.editions.frames import Sensor
from arielflow.frames.cosmic_rays import remove_cosmic_rays
from arielflow.frames.response import PixelResponse, pair_differences
from arielflow.frames.signals import Signal
from arielflow.settings.frames import CalibrationSettings, LightCurveSettings

_SATURATED = np.iinfo(np.uint16).max
_COLUMNS_AT_ONCE = 16
_VALUES_AT_ONCE = 1 << 18
"""Single-precision values of a block of work, 1 MB, which stays in a processor's cache."""
_FAINT = 0.01
"""Rows and columns with less of the brightest one's light do not tell where the image is."""


@dataclass(frozen=True)
class SensorCurves:
    """What is left of a visit's frames of one sensor.

    Attributes
    ----------
    flux : np.ndarray
        Electrons of every pair, shape (channel, pair), columns in the detector's order.
    shot_variance, read_variance : np.ndarray
        Variance of a pair's flux by the photons of the mean flux and by the reads, (channel,).
    background : np.ndarray
        Electrons of a pair and pixel that were subtracted, (channel,).
    image : np.ndarray
        Mean electrons of a pair without the background, (row, column); zero where not usable.
    usable : np.ndarray
        Pixels that count, (row, column).
    position : np.ndarray
        Light-weighted mean row of every pair, and column where columns are no channels,
        (axis, pair).
    first_read : np.ndarray
        Counts of the first frame, (row, column).
    cosmic_rays, saturated : int
        Hits that were replaced, and pixels with a count at the converter's end.
    frames : np.ndarray | None
        Calibrated electrons of a pair, averaged over bins of pairs, background included, (bin,
        row, column), where they were asked for; NaN where not usable.
    """

    flux: np.ndarray
    shot_variance: np.ndarray
    read_variance: np.ndarray
    background: np.ndarray
    image: np.ndarray
    usable: np.ndarray
    position: np.ndarray
    first_read: np.ndarray
    cosmic_rays: int
    saturated: int
    frames: np.ndarray | None


def extract(
    signal: Signal,
    sensor: Sensor,
    response: PixelResponse,
    calibration: CalibrationSettings,
    settings: LightCurveSettings,
    frame_pairs: int | None = None,
) -> SensorCurves:
    """Light curves of a sensor's channels, pair by pair.

    Parameters
    ----------
    signal
        The frames of a visit.
    response
        What turns counts of the sensor's cropped pixels into electrons.
    calibration, settings
        How cosmic rays are searched, and how pixels are weighted.
    frame_pairs
        Pairs of a bin of calibrated frames to keep; None for none.

    Raises
    ------
    ArielflowError
        The file of the frames is damaged.
    """
    sums = _Sums(sensor, response, signal.n_frames // 2, settings, frame_pairs)
    for rows, columns, counts in _blocks(signal, sensor, response):
        pixels = (rows, columns)
        sums.saturated += int(np.count_nonzero(counts.max(axis=1) == _SATURATED))
        sums.first_read[pixels] = counts[:, 0].reshape(response.usable[pixels].shape)
        electrons = pair_differences(
            counts,
            response.coefficients[(slice(None), *pixels)].reshape(-1, len(counts)),
            response.dark[pixels].ravel(),
        )
        if calibration.cosmic_rays:
            sums.cosmic_rays += remove_cosmic_rays(
                electrons, calibration.cosmic_ray_sigma, sensor.pairs_per_bin
            )
        sums.add(rows, columns, electrons)
    return sums.curves()


def _blocks(
    signal: Signal, sensor: Sensor, response: PixelResponse
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Rows and columns of the cropped sensor with their counts, (pixel, frame).

    Where columns are channels all pixels of one come together, otherwise those without the star's
    light come first: the background is known before it is needed.
    """
    n_rows, n_columns = response.usable.shape
    first = sensor.crop[0]
    if sensor.dispersed:
        for start in range(0, n_columns, _COLUMNS_AT_ONCE):
            end = min(start + _COLUMNS_AT_ONCE, n_columns)
            counts = signal.counts(slice(0, n_rows), slice(first + start, first + end))
            for column in range(start, end):
                yield slice(0, n_rows), slice(column, column + 1), counts[:, column - start]
        return
    dark_rows = [row for span in sensor.background_rows for row in range(*span)]
    step = max(1, 2 * _VALUES_AT_ONCE // signal.n_frames)
    for row in [*dark_rows, *(row for row in range(n_rows) if row not in dark_rows)]:
        counts = signal.counts(slice(row, row + 1), slice(first, first + n_columns))[0]
        for start in range(0, n_columns, step):
            part = slice(start, min(start + step, n_columns))
            yield slice(row, row + 1), part, counts[part]


class _Sums:
    """What is added up while the pixels pass by."""

    def __init__(
        self,
        sensor: Sensor,
        response: PixelResponse,
        n_pairs: int,
        settings: LightCurveSettings,
        frame_pairs: int | None,
    ) -> None:
        self._sensor, self._response, self._settings = sensor, response, settings
        n_channels = sensor.n_channels
        n_rows, n_columns = response.usable.shape
        self._flux = np.zeros((n_channels, n_pairs), np.float32)
        # Light by row and, where columns are no channels, by column.
        axes = (n_rows,) if sensor.dispersed else (n_rows, n_columns)
        self._light = [np.zeros((length, n_pairs), np.float32) for length in axes]
        self._image = np.zeros((n_rows, n_columns))
        # By channel: flux of all pixels, and weighted; weighted variances; background.
        self._total, self._weighted, self._shot, self._read = np.zeros((4, n_channels))
        self._background = np.zeros(n_channels)
        self._dark: list[np.ndarray] = []
        self._in_aperture = _aperture(sensor, settings)
        self._frame_pairs = frame_pairs
        n_bins = n_pairs // frame_pairs if frame_pairs else 0
        self._frames = np.full((n_bins, n_rows, n_columns), np.nan, np.float32)
        self.first_read = np.zeros((n_rows, n_columns), np.uint16)
        self.cosmic_rays = self.saturated = 0

    def add(self, rows: slice, columns: slice, electrons: np.ndarray) -> None:
        """Add pixels of one channel, electrons (pixel, pair)."""
        usable = self._response.usable[rows, columns]
        channel = columns.start if self._sensor.dispersed else 0
        mean = electrons.mean(axis=1).reshape(usable.shape).astype(float)
        background = self._seen_background(channel, rows, mean, usable)
        image = np.where(usable, mean - background, 0.0)
        self._image[rows, columns] = image
        weight, flux = self._weights(rows, columns, image, usable, background)
        self._flux[channel] += weight.ravel().astype(np.float32) @ electrons
        self._flux[channel] -= np.float32(weight.sum() * background)
        self._total[channel] += flux.sum()
        self._weighted[channel] += (weight * image).sum()
        self._shot[channel] += (weight**2 * np.maximum(image + background, 0.0)).sum()
        self._read[channel] += 2 * (weight**2 * self._response.read_noise[rows, columns] ** 2).sum()
        self._add_light(rows, columns, electrons, usable, background)
        if self._frame_pairs:
            self._add_frames(rows, columns, electrons, usable, self._frame_pairs)

    def curves(self) -> SensorCurves:
        """The light curves, once all pixels have been added."""
        scale = self._total / np.where(self._weighted != 0, self._weighted, np.nan)
        return SensorCurves(
            flux=self._flux * scale[:, np.newaxis].astype(np.float32),
            shot_variance=self._shot * scale**2,
            read_variance=self._read * scale**2,
            background=self._background,
            image=self._image,
            usable=self._response.usable,
            position=np.stack([_centroid(light) for light in self._light]),
            first_read=self.first_read,
            cosmic_rays=self.cosmic_rays,
            saturated=self.saturated,
            frames=self._frames if self._frame_pairs else None,
        )

    def _seen_background(
        self, channel: int, rows: slice, mean: np.ndarray, usable: np.ndarray
    ) -> float:
        """Mean of the pixels without the star's light: constant in time, so it adds no noise."""
        if not self._settings.background:
            return 0.0
        inside = np.zeros(self._response.usable.shape[0], bool)
        for span in self._sensor.background_rows:
            inside[slice(*span)] = True
        found = mean[inside[rows]][usable[inside[rows]]]
        if self._sensor.dispersed:
            self._dark = [found]
        elif len(found):
            self._dark.append(found)
        seen = np.concatenate(self._dark) if self._dark else np.zeros(0)
        self._background[channel] = seen.mean() if len(seen) else 0.0
        return float(self._background[channel])

    def _weights(
        self,
        rows: slice,
        columns: slice,
        image: np.ndarray,
        usable: np.ndarray,
        background: float,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weights of pixels, up to a factor of the channel, and the flux that they stand for."""
        if self._settings.extraction == "aperture":
            weight = (usable & self._in_aperture[rows, np.newaxis]).astype(float)
            return weight, weight * image
        light = np.maximum(image, 0.0)
        variance = light + max(background, 0.0) + 2 * self._response.read_noise[rows, columns] ** 2
        return np.where(usable, light / np.maximum(variance, 1e-12), 0.0), image

    def _add_light(
        self,
        rows: slice,
        columns: slice,
        electrons: np.ndarray,
        usable: np.ndarray,
        background: float,
    ) -> None:
        light = electrons - np.float32(background)
        light[~usable.ravel()] = 0.0
        if self._sensor.dispersed:
            self._light[0][rows] += light
        else:
            self._light[0][rows] += light.sum(axis=0)
            self._light[1][columns] += light

    def _add_frames(
        self, rows: slice, columns: slice, electrons: np.ndarray, usable: np.ndarray, pairs: int
    ) -> None:
        n_bins = len(self._frames)
        binned = electrons[:, : n_bins * pairs].reshape(*usable.shape, n_bins, pairs).mean(axis=3)
        binned[~usable] = np.nan
        self._frames[:, rows, columns] = np.moveaxis(binned, 2, 0)


def _aperture(sensor: Sensor, settings: LightCurveSettings) -> np.ndarray:
    """Rows within the aperture."""
    n_rows = sensor.shape[0]
    first = max(0, (n_rows - settings.aperture_rows) // 2)
    rows = np.arange(n_rows)
    return (rows >= first) & (rows < first + settings.aperture_rows)


def _centroid(light: np.ndarray) -> np.ndarray:
    """Mean position of the light of every pair, over the positions that are bright on average."""
    mean = light.mean(axis=1)
    bright = mean > _FAINT * mean.max()
    where = np.arange(len(light), dtype=np.float32)[bright]
    total = light[bright].sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = where @ light[bright] / total
    return np.where(np.isfinite(found), found, np.nan)
