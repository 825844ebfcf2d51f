"""Settings of a reaction network and of its compressed stand-in."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from arielflow.settings.base import Blocks, LossWeight, StrictSettings, Width
from arielflow.settings.training import TrainingSettings


class Conditions(StrictSettings):
    """Physical state of the gas, constant in time; a dark cloud by default."""

    temperature_k: float = Field(50.0, ge=10, le=300, description="Of the gas [K].")
    density_cm3: float = Field(
        1e4, gt=0, le=1e12, description="Hydrogen nuclei per volume [cm^-3]."
    )
    ionisation_s: float = Field(
        1e-16, gt=0, le=1e-6, description="Ionisation rate of H2 by cosmic rays [s^-1]."
    )


class Times(StrictSettings):
    """When a trajectory is recorded: logarithmic steps."""

    first_yr: float = Field(
        1.0, gt=0, le=1e12, description="First time, since the start of the chemistry [yr]."
    )
    last_yr: float = Field(1e6, gt=0, le=1e12, description="Last time [yr].")
    number: int = Field(31, ge=3, le=10_000, description="Times in all.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last_yr <= self.first_yr:
            raise ValueError(
                f"last_yr {self.last_yr:g} is not after first_yr {self.first_yr:g}; write the "
                "later one last"
            )
        return self


class CompressionSettings(StrictSettings):
    """Settings of the compressed network."""

    n_latent: int = Field(6, ge=2, le=1024, description="Latent species.")
    width: Width = Field(64, description="Of encoder and decoder.")
    blocks: Blocks = Field(1, description="Of encoder and decoder.")
    reconstruction: LossWeight = Field(1.0, description="Weight of the reconstruction's error.")
    derivative: LossWeight = Field(0.02, description="Weight of the derivatives' errors.")
    trajectory: LossWeight = Field(1.0, description="Weight of the integrated trajectories' error.")
    sparsity: LossWeight = Field(1e-4, description="Weight of the sum of the rates.")
    training: TrainingSettings = Field(
        TrainingSettings(epochs=140, batch_size=16, learning_rate=5e-3, patience=140),
        description="Of the optimisation, a row being a whole trajectory.",
    )
