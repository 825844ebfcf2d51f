r"""What turns the counts of a pixel into electrons: one polynomial per pixel.

Every step between a count and an electron (gain and offset, linearity, flat field) is a polynomial
of the count with coefficients of the pixel, so that all of them together are one polynomial, which
is evaluated once per read. Dark current takes a constant from each pair. The order is that of the
organisers' example: gain and offset, linearity, dark, difference of the pair, flat field.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np

from arielflow.editions.frames import Sensor
from arielflow.frames.calibration_files import CalibrationFrames
from arielflow.settings.frames import CalibrationSettings

_FLATS = (0.2, 5.0)
"""A pixel whose flat field lies outside sees no light that could be told."""


@dataclass(frozen=True)
class PixelResponse:
    """The pixels of a cropped sensor, as :func:`pixel_response` makes them.

    Attributes
    ----------
    coefficients : np.ndarray
        Electrons are the polynomial of the counts with these, ascending, shape
        (power, row, column), flat field included.
    dark : np.ndarray
        Electrons of dark current in the difference of a pair, flat field included, (row, column).
    read_noise : np.ndarray
        Standard deviation of one read [electrons], flat field included, (row, column).
    usable : np.ndarray
        Pixels that count, (row, column).
    """

    coefficients: np.ndarray
    dark: np.ndarray
    read_noise: np.ndarray
    usable: np.ndarray


def pixel_response(
    frames: CalibrationFrames,
    sensor: Sensor,
    gain: float,
    offset: float,
    settings: CalibrationSettings,
) -> PixelResponse:
    """The response of every pixel of the cropped sensor.

    Parameters
    ----------
    frames
        Calibration frames of the whole sensor.
    sensor
        Its crop and integration times.
    gain, offset
        Of the analogue-to-digital converter.
    settings
        Which steps are taken.
    """
    crop = slice(*sensor.crop)
    polynomial = adc_polynomial(gain, offset, settings.adc)
    linearity = (
        frames.linearity[..., crop] if settings.linearity else identity(frames.dark[:, crop])
    )
    coefficients = composed(linearity, *polynomial)
    duration_s = sensor.integration_s[1] - sensor.integration_s[0]
    dark = frames.dark[:, crop] * (duration_s if settings.dark else 0.0)
    read_noise = frames.read[:, crop]
    usable = frames.known[:, crop] & (np.isfinite(coefficients).all(axis=0))
    if settings.dead:
        usable = usable & ~frames.dead[:, crop]
    if settings.hot:
        usable = usable & ~hot_pixels(frames.dark, settings.hot_sigma)[:, crop]
    flat = np.ones_like(dark)
    if settings.flat:
        flat = frames.flat[:, crop]
        lit = (flat > _FLATS[0]) & (flat < _FLATS[1])
        usable, flat = usable & lit, np.where(lit, flat, 1.0)
    coefficients = np.where(usable, coefficients / flat, 0.0)
    return PixelResponse(
        coefficients, np.where(usable, dark / flat, 0.0), read_noise / flat, usable
    )


def adc_polynomial(gain: float, offset: float, convention: str) -> tuple[float, float]:
    """Constant and slope that turn counts into electrons, before linearity.

    ``divide``: electrons = counts / gain + offset; ``multiply``: counts x gain + offset.
    """
    return offset, gain if convention == "multiply" else 1.0 / gain


def identity(like: np.ndarray) -> np.ndarray:
    """Linearity coefficients (2, row, column) of pixels that are linear."""
    return np.stack([np.zeros_like(like), np.ones_like(like)])


def composed(polynomial: np.ndarray, constant: float, slope: float) -> np.ndarray:
    """Coefficients of ``polynomial(constant + slope x)`` in x, of the same shape (power, …)."""
    powers = range(len(polynomial))
    sums = [
        sum(comb(k, low) * constant ** (k - low) * polynomial[k] for k in powers[low:])
        for low in powers
    ]
    return np.stack([slope**low * part for low, part in zip(powers, sums, strict=True)])


def hot_pixels(dark: np.ndarray, sigma: float) -> np.ndarray:
    """Pixels whose dark current is an outlier after iterated clipping, as the example has it."""
    from astropy.stats import sigma_clip  # slow to import, seldom asked for

    clipped = sigma_clip(dark, sigma=sigma, maxiters=5)
    return np.ma.getmaskarray(clipped)


def pair_differences(
    counts: np.ndarray, coefficients: np.ndarray, dark: np.ndarray, tolerance: float = 1e-4
) -> np.ndarray:
    """Electrons that pixels collect between the two reads of every pair.

    Around the middle of the counts that a pixel really has, its polynomial is expanded anew, and
    powers that cannot matter there are left out: reads after a reset differ by their noise alone,
    for which a straight line does, and single precision then keeps all digits.

    Parameters
    ----------
    counts
        Counts of pixels, shape (pixel, frame), an even number of frames.
    coefficients
        Of the pixels' polynomials, shape (power, pixel).
    dark
        Electrons to subtract, shape (pixel,).
    tolerance
        Most electrons that powers left out may amount to.

    Returns
    -------
    np.ndarray
        Single precision, shape (pixel, pair).
    """
    constant, first = _expanded(counts[:, 0::2], coefficients, tolerance)
    total, second = _expanded(counts[:, 1::2], coefficients, tolerance)
    second -= first
    second += (total - constant - dark).astype(np.float32)[:, np.newaxis]
    return second


def _expanded(
    counts: np.ndarray, coefficients: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Polynomials at counts as their value at each pixel's middle, and what is added to that."""
    low, high = counts.min(axis=1).astype(float), counts.max(axis=1).astype(float)
    middle = np.rint(0.5 * (low + high))
    reach = np.maximum(high - middle, middle - low)
    shifted = _shifted(coefficients, middle)
    most = np.abs(shifted) * reach ** np.arange(len(shifted))[:, np.newaxis]
    # What the powers from each one on amount to, largest pixel.
    rest = np.cumsum(most[::-1], axis=0)[::-1].max(axis=1)
    degree = max(1, int(np.sum(rest > tolerance)) - 1)
    x = counts.astype(np.float32)
    x -= middle.astype(np.float32)[:, np.newaxis]
    scaled = shifted[1 : degree + 1].astype(np.float32)[..., np.newaxis]
    if degree == 1:
        x *= scaled[0]
        return shifted[0], x
    value = x * scaled[-1]
    for coefficient in scaled[-2::-1]:
        value += coefficient
        value *= x
    return shifted[0], value


def _shifted(coefficients: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Coefficients of the polynomials around ``middle``, in double precision."""
    shifted = coefficients.astype(float)
    for start in range(len(shifted) - 1):
        for power in range(len(shifted) - 2, start - 1, -1):
            shifted[power] += middle * shifted[power + 1]
    return shifted
