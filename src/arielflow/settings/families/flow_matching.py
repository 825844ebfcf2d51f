"""Settings of flow matching."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from arielflow.settings.base import Blocks, Width
from arielflow.settings.families._density import DensityConfig


class Config(DensityConfig):
    """Settings of the velocity and its integration, beside those of every density."""

    width: Width = Field(128, description="Width of the velocity's residual network.")
    blocks: Blocks = Field(3, description="Blocks of the velocity's residual network.")
    frequencies: int = Field(
        4,
        ge=0,
        le=1000,
        description="Of time that the network sees, as sines and cosines of multiples of π t.",
    )
    sigma_min: float = Field(
        1e-4,
        ge=0,
        lt=1,
        description="Width that the path has left at t = 1, in units of the prior's.",
    )
    time_exponent: float = Field(
        0.0, gt=-1, le=100, description="Training times are drawn from p(t) ∝ t**time_exponent."
    )
    solver: Literal["rk4", "dopri5"] = Field(
        "rk4", description="One step between two nodes, or steps by tolerance."
    )
    nodes: int = Field(
        13,
        ge=2,
        le=100,
        description="Times at which the divergence is taken, both ends among them.",
    )
    tolerance: float = Field(
        1e-5, gt=0, le=1, description="Relative and absolute, of solver dopri5."
    )

    @model_validator(mode="after")
    def _of_the_solver(self) -> Self:
        if self.solver == "rk4" and self.tolerance != type(self).model_fields["tolerance"].default:
            raise ValueError("tolerance has no effect without solver dopri5; leave it out")
        return self
