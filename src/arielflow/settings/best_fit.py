"""Settings of the spectra's best fits."""

from __future__ import annotations

from pydantic import Field

from arielflow.settings.base import StrictSettings


class FitSettings(StrictSettings):
    """Settings of the fit."""

    n_screened: int = Field(
        32, ge=1, le=1_000_000, description="Points of the box tried for every planet."
    )
    n_starts: int = Field(2, ge=1, le=1_000_000, description="Of which the best are started from.")
    max_steps: int = Field(
        40, ge=1, le=100_000, description="Levenberg-Marquardt steps, accepted or not."
    )
    tolerance: float = Field(
        1e-3,
        ge=0,
        description="Relative decrease of chi-square below which a fit has converged.",
    )
    negligible_rms_sigma: float = Field(
        0.01,
        ge=0,
        description="Residual rms, in error bars, below which nothing is left to fit.",
    )
    radius_tolerance: float = Field(
        0.0,
        ge=0,
        description="Where the radius is no target, how far it may deviate from the one given, as "
        "a fraction; zero holds it.",
    )
