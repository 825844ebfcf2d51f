"""Settings of the random forest."""

from __future__ import annotations

from pydantic import Field

from arielflow.settings.base import EstimatorConfig, Rows


class Config(EstimatorConfig):
    """Settings of the forest; the defaults are the paper's but for the number of trees."""

    trees: int = Field(300, ge=1, le=100_000, description="Of the joint forest.")
    importance_trees: int = Field(
        50,
        ge=0,
        le=100_000,
        description="Of each target's own forest; 0 leaves the importances out.",
    )
    min_impurity_decrease: float = Field(
        0.01, ge=0, le=1e4, description="On targets scaled to 0…100."
    )
    n_rows: Rows = Field(16_000, description="Training planets used at most.")
    repeats: int = Field(
        1, ge=1, le=10_000, description="Noisy copies of each noise-free spectrum."
    )
