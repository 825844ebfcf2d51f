"""Settings of the certificates."""

from __future__ import annotations

from pydantic import Field

from arielflow.settings.base import StrictSettings


class TrustSettings(StrictSettings):
    """What a planet's certificate is measured by."""

    n_calibration: int = Field(
        1000,
        ge=300,
        le=1_000_000,
        description="Fresh simulated planets without a fault that thresholds are set on.",
    )
    n_training: int = Field(
        5000, ge=20, le=1_000_000, description="Training planets that others are compared with."
    )
    n_samples: int = Field(
        32, ge=8, le=4999, description="Posterior samples per planet whose spectra are computed."
    )
    local_test: bool = Field(
        False,
        description="Ask a classifier whether the posterior of spectra like a planet's is "
        "calibrated (L-C2ST): a minute, and 5,000 calibration planets if it is to see much.",
    )
