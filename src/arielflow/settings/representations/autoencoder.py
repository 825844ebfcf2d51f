"""Settings of the autoencoders of spectra."""

from __future__ import annotations

from pydantic import Field

from arielflow.settings.base import Blocks, EstimatorConfig, Latent, LossWeight, Scaling, Width
from arielflow.settings.training import TrainingSettings


class Config(EstimatorConfig):
    """Settings of the autoencoders."""

    n_latent: Latent = Field(5, description="Number of latent variables.")
    kl_weight: LossWeight = Field(
        3e-4,
        description="Weight of the divergence from the standard normal; 0 for a deterministic one.",
    )
    width: Width = Field(128, description="Of encoder and decoder.")
    blocks: Blocks = Field(1, description="Of encoder and decoder.")
    scaling: Scaling = Field("shape", description="Of the spectra.")
    training: TrainingSettings = Field(
        TrainingSettings(epochs=20, batch_size=256, learning_rate=4e-3, patience=20),
        description="Of the optimisation.",
    )
