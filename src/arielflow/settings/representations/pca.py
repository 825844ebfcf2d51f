"""Settings of principal components."""

from __future__ import annotations

from pydantic import Field

from arielflow.settings.base import EstimatorConfig, Latent, Scaling


class Config(EstimatorConfig):
    """Settings of principal components."""

    n_latent: Latent = Field(5, description="Number of components.")
    scaling: Scaling = Field("shape", description="Of the spectra.")
