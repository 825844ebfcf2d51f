"""Settings of the autoencoders without nuisance factors."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from arielflow.settings.base import Factor
from arielflow.settings.representations import autoencoder
from arielflow.settings.training import TrainingSettings


class Config(autoencoder.Config):
    """Settings of the autoencoders without nuisance factors."""

    method: Literal["factor", "fader", "poly"] = Field(
        "factor",
        description="What takes the factors out: a discriminator of pairs, an adversary that "
        "predicts them, or a polynomial.",
    )
    nuisance: tuple[Factor, ...] = Field(
        ("temperature", "radius", "noise"),
        min_length=1,
        max_length=3,
        strict=False,
        description="Factors to take out.",
    )
    weight: float | None = Field(
        None, gt=0, le=1e6, description="Of the adversary; null for 0.1; no setting of poly."
    )
    degree: int | None = Field(
        None, ge=1, le=20, description="Of the polynomial; null for 4; a setting of poly alone."
    )
    training: TrainingSettings = Field(
        TrainingSettings(epochs=25, batch_size=256, learning_rate=4e-3, patience=25),
        description="Of the optimisation.",
    )

    @model_validator(mode="after")
    def _applicable(self) -> Self:
        other = "weight" if self.method == "poly" else "degree"
        if getattr(self, other) is not None:
            raise ValueError(f"{other} is no setting of method {self.method}")
        if len(set(self.nuisance)) < len(self.nuisance):
            raise ValueError("nuisance names a factor twice")
        return self
