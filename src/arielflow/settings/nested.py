"""Settings of nested sampling."""

from __future__ import annotations

from pydantic import Field

from arielflow.settings.base import ErrorModel, StrictSettings


class NestedSettings(StrictSettings):
    """Settings of the nested sampler."""

    n_live: int = Field(400, ge=1, le=1_000_000, description="Live points.")
    n_effective: int = Field(
        2500, ge=1, le=10_000_000, description="Effective samples at which sampling stops."
    )
    n_batch: int = Field(512, ge=1, le=1_000_000, description="Likelihoods evaluated at once.")
    n_networks: int = Field(1, ge=0, le=100, description="Networks of nautilus' bounds.")
    n_update: int = Field(
        400,
        ge=1,
        le=1_000_000,
        description="New live points after which a bound is fitted anew; rarer costs calls, saves "
        "time.",
    )
    error_model: ErrorModel = Field(
        "none", description="Noise beside the errors, as of importance sampling."
    )
