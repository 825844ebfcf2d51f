"""Settings of conditional neural spline flows."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from arielflow.settings.base import Blocks, Layers, Width
from arielflow.settings.families._density import DensityConfig


class Config(DensityConfig):
    """Settings of the flow, beside those of every density."""

    architecture: Literal["coupling", "autoregressive", "independent"] = Field(
        "coupling",
        description="Joint and fast both ways; joint, sampled one target after the other; or one "
        "one-dimensional flow per target.",
    )
    layer_pairs: Layers = Field(2, description="Pairs of coupling layers.")
    layers: Layers = Field(
        3, description="Autoregressive layers, or layers of each one-dimensional flow."
    )
    bins: int = Field(10, ge=2, le=512, description="Spline bins of each layer.")
    hidden: Width = Field(96, description="Width of each layer's network.")
    blocks: Blocks = Field(2, description="Residual blocks of each layer's network.")
    tail_bound: float = Field(
        5.0,
        gt=0,
        le=100,
        description="The splines act within this many standard deviations of the prior.",
    )

    @model_validator(mode="after")
    def _of_the_architecture(self) -> Self:
        idle = "layers" if self.architecture == "coupling" else "layer_pairs"
        if getattr(self, idle) != type(self).model_fields[idle].default:
            raise ValueError(f"{idle} has no effect on architecture {self.architecture}")
        return self
