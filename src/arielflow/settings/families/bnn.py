"""Settings of Bayesian neural networks."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from arielflow.settings.families._density import DensityConfig

_NEEDS_PRIORS = ("guide", "rank", "prior_scale", "kl_weight", "weight_draws", "warm_up")


class Config(DensityConfig):
    """Settings of the Bayesian network, beside those of every density."""

    bayesian: Literal["last_layer", "all", "none"] = Field(
        "last_layer", description="Weights that have priors."
    )
    guide: Literal["mean_field", "low_rank", "flow"] = Field(
        "mean_field",
        description="Posterior of the weights: independent normals, a normal with a low-rank "
        "covariance, or affine coupling layers.",
    )
    rank: int = Field(10, ge=1, le=1000, description="Of guide low_rank.")
    components: int = Field(1, ge=1, le=1000, description="Gaussians of the mixture.")
    prior_scale: float = Field(
        1.0,
        gt=0,
        le=1e6,
        description="Of the weights' normal priors, divided by the root of a layer's inputs.",
    )
    # For a cold one speaks that planets are seen with fresh noise again and again (Nabarro et al.
    # 2022, UAI).
    kl_weight: float = Field(
        1.0,
        gt=0,
        le=1e6,
        description="Of the weights' divergence from the prior; below 1 a cold posterior (Wenzel "
        "et al. 2020, ICML).",
    )
    weight_draws: int = Field(
        30, ge=2, le=10_000, description="Draws of the weights that the trained model consists of."
    )
    warm_up: int = Field(
        5,
        ge=0,
        le=100_000,
        description="Epochs over which the weights' divergence from the prior comes into the loss.",
    )

    @model_validator(mode="after")
    def _of_the_weights(self) -> Self:
        fields = type(self).model_fields
        changed = [name for name in _NEEDS_PRIORS if getattr(self, name) != fields[name].default]
        if self.bayesian == "none" and changed:
            raise ValueError(f"{changed[0]} has no effect on bayesian none; leave it out")
        if self.guide != "low_rank" and "rank" in changed:
            raise ValueError("rank has no effect without guide low_rank; leave it out")
        if self.guide == "flow" and self.bayesian == "all":
            raise ValueError("guide flow is for bayesian last_layer; all weights are too many")
        return self
