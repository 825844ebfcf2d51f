"""Settings of the fast mode's nodes."""

from __future__ import annotations

from pydantic import Field

from arielflow.settings.base import StrictSettings


class NodeSettings(StrictSettings):
    """How nodes are made."""

    tolerance: float = Field(
        0.08,
        ge=0,
        description="Rms error of a bin [scale heights] below which no further wavelength is "
        "chosen.",
    )
    nodes_per_bin: int = Field(
        40, ge=1, le=100_000, description="Most wavelengths chosen for a bin."
    )
    ray_spacing: int = Field(
        2, ge=1, le=100, description="Distance in layers between the rays that are followed."
    )
    n_select: int = Field(1000, ge=1, le=10_000_000, description="Planets to choose on.")
    n_fit: int = Field(8000, ge=1, le=10_000_000, description="Planets to fit the ridge on.")
    n_validation: int = Field(500, ge=1, le=10_000_000, description="Planets to judge both on.")
    seed: int = Field(2026, ge=0, le=2**63 - 1, description="Of the planets.")
