"""Settings of the calibration of detector frames and of the extraction of light curves."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from arielflow.settings.base import StrictSettings


class CalibrationSettings(StrictSettings):
    """From counts to electrons of every pixel."""

    adc: Literal["divide", "multiply"] = Field(
        "divide",
        description="Electrons are counts divided by the gain (or multiplied with it, as the page "
        "of 2024 says) plus the offset; real reset reads are near zero with division.",
    )
    dead: bool = Field(True, description="Leave out the pixels that the calibration calls dead.")
    hot: bool = Field(
        False,
        description="Also leave out pixels of high dark current; cost winners of 2024 some score.",
    )
    hot_sigma: float = Field(
        5.0, gt=0, le=1000, description="Dark current above which a pixel is hot [sigma, clipped]."
    )
    linearity: bool = Field(True, description="Apply the detector's linearity polynomial.")
    dark: bool = Field(True, description="Subtract dark current times integration time.")
    flat: bool = Field(True, description="Divide by the flat field.")
    cosmic_rays: bool = Field(
        False, description="Search every pixel's time series for hits of cosmic rays."
    )
    cosmic_ray_sigma: float = Field(
        8.0, gt=0, le=1000, description="Jump of a pixel that is a hit [sigma of its own scatter]."
    )


class LightCurveSettings(StrictSettings):
    """From calibrated pixels to light curves."""

    background: bool = Field(
        True, description="Subtract what the rows without the star's light show, per channel."
    )
    extraction: Literal["optimal", "aperture"] = Field(
        "optimal",
        description="Weights of the pixels of a channel: its profile over its variance (Horne "
        "1986), or one within the aperture.",
    )
    aperture_rows: int = Field(
        16, ge=1, le=1000, description="Rows of the aperture, centred on the sensor's middle row."
    )
    jitter: bool = Field(
        True, description="Take out what the light curves share with the image's position."
    )
    clip_sigma: float | None = Field(
        5.0,
        gt=0,
        le=1000,
        description="Pairs further from the running median are left out [sigma]; null for none.",
    )
    pairs_per_bin: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="AIRS-CH0 pairs in a time bin, other sensors in proportion; null: 30.",
    )
    binning: Literal["sum", "mean"] = Field(
        "sum", description="Electrons of a bin's pairs are summed, or averaged."
    )


ExtractorName = Literal["constant", "box_baseline"]
EXTRACTORS: tuple[str, ...] = get_args(ExtractorName)
"""Rows of a run with frames, modules of :mod:`arielflow.models.extractors`."""
