"""Settings of conditional variational autoencoders."""

from __future__ import annotations

from pydantic import Field

from arielflow.settings.base import Blocks, Draws, Latent, Width
from arielflow.settings.families._density import DensityConfig


class Config(DensityConfig):
    """Settings of the autoencoder, beside those of every density."""

    latent: Latent = Field(8, description="Dimension of the latent variable.")
    width: Width = Field(
        128, description="Width of the residual networks of prior, encoder and decoder."
    )
    blocks: Blocks = Field(2, description="Blocks of these networks.")
    warm_up: int = Field(
        10, ge=0, le=100_000, description="Epochs over which the divergence comes into the loss."
    )
    importance_draws: Draws = Field(
        32, description="Draws of the encoder for each density, a power of two."
    )
