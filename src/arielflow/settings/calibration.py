"""Settings of calibration on further simulated planets, and of what is fitted to it."""

from __future__ import annotations

from pydantic import Field

from arielflow.settings.base import StrictSettings


class CalibrationSettings(StrictSettings):
    """What calibration by groups of planets is measured by, and recalibration fitted to."""

    n_planets: int = Field(
        5000,
        ge=300,
        le=1_000_000,
        description="Further simulated planets that calibration is measured on.",
    )
    n_fit: int = Field(
        5000,
        ge=300,
        le=1_000_000,
        description="Others that recalibration is fitted on.",
    )
    n_samples: int = Field(
        1000, ge=100, le=4999, description="Posterior samples per planet that truths are ranked in."
    )
    n_groups: int = Field(
        5,
        ge=1,
        le=50,
        description="Groups of equally many planets by signal-to-noise, and by temperature.",
    )
