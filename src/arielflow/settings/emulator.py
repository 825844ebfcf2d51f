"""Settings of the network in the place of the radiative transfer."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from arielflow.settings.base import EstimatorConfig, Width, Widths
from arielflow.settings.training import TrainingSettings


class Config(EstimatorConfig):
    """Settings of the emulator."""

    architecture: Literal["dense", "convolution"] = Field(
        "dense", description="Dense layers, or a convolution over the inputs before them."
    )
    widths: Widths | None = Field(
        None,
        description="Of the dense layers; null for four of 2,048, or three of 4,096 after a "
        "convolution.",
    )
    channels: Width | None = Field(
        None, description="Of the convolution, null for 256; no setting of dense."
    )
    training: TrainingSettings = Field(
        TrainingSettings(epochs=15, batch_size=128, learning_rate=5e-4, patience=15),
        description="Of the optimisation.",
    )

    @model_validator(mode="after")
    def _applicable(self) -> Self:
        if self.architecture == "dense" and self.channels is not None:
            raise ValueError("channels is a setting of architecture convolution, not of dense")
        return self
