"""Settings of a flow fitted to one spectrum."""

from __future__ import annotations

from pydantic import Field

from arielflow.settings.base import Layers, StrictSettings


class VariationalOptions(StrictSettings):
    """What a configuration may say of the fit and its check.

    ``steps * batch + n_elbo + n_check`` and some 300 spectra are computed, somewhat fewer where
    the check does not need all of its own.
    """

    steps: int = Field(200, ge=1, le=100_000, description="Steps of the optimiser, Adam.")
    batch: int = Field(24, ge=2, le=10_000, description="Spectra of a step.")
    learning_rate: float = Field(
        1e-2, gt=0, le=1, description="At first; falls to a fiftieth along a cosine."
    )
    annealed_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="The likelihood's power rises to one over this share of the steps.",
    )
    first_power: float = Field(
        0.3,
        gt=0,
        le=1,
        description="Of the likelihood at first, so that the flow spreads before it settles.",
    )
    layers: Layers = Field(4, description="Coupling layers.")
    bins: int = Field(8, ge=2, le=1000, description="Of every spline.")
    hidden: int = Field(32, ge=1, le=10_000, description="Width of the layers' networks.")
    n_elbo: int = Field(
        512,
        ge=2,
        le=1_000_000,
        description="Draws of the fitted flow, from which the bound is estimated.",
    )
    n_check: int = Field(
        3600,
        ge=120,
        le=1_000_000,
        description="Draws of other proposals, which find what the flow misses.",
    )


class VariationalSettings(VariationalOptions):
    """Settings of the fit and its check; a run's ``posterior.n_samples`` says the last one."""

    n_samples: int = Field(
        4000, ge=1, le=10_000_000, description="Samples kept of the weighted draws."
    )
