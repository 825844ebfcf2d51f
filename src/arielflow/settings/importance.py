"""Settings of importance sampling and of what takes over from it."""

from __future__ import annotations

from pydantic import Field

from arielflow.settings.base import ErrorModel, StrictSettings


class ImportanceSettings(StrictSettings):
    """Settings of the importance sampling."""

    n_proposal: int = Field(
        1500, ge=100, le=1_000_000, description="Draws of the amortised posterior."
    )
    n_refined: int = Field(
        800,
        ge=100,
        le=1_000_000,
        description="Most draws of a refined proposal, at least a quarter of which are made; a "
        "quarter while fitted to tempered weights.",
    )
    n_redrawn: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Further draws of it, of which one target each is drawn anew from the prior: "
        "they find what a proposal misses of targets that the data do not constrain.",
    )
    rounds: int = Field(
        7,
        ge=0,
        le=100,
        description="Refined proposals, one fitted after the other, unless there is enough before; "
        "0 for the amortised one alone.",
    )
    effective_aim: int = Field(
        1500,
        ge=1,
        le=10_000_000,
        description="Effective samples that are enough, if the weights' tail is light enough.",
    )
    pareto_shape_aim: float = Field(
        0.7,
        description="Shape of the weights' tail above which more refined proposals follow.",
    )
    efficiency_aim: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Sampling efficiency that is enough after all rounds; below it more follow.",
    )
    most_draws: int = Field(
        10_000,
        ge=100,
        le=10_000_000,
        description="Of all proposals together, beyond which no more follow.",
    )
    components: int = Field(8, ge=1, le=100, description="Of a refined proposal, at most.")
    widening: float = Field(
        1.0,
        ge=1,
        le=100,
        description="Factor on the variances of refined proposals: a wider one costs efficiency, "
        "but misses less of a posterior that no mixture of a few components is like.",
    )
    defensive_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Further draws from the prior, as a share of n_proposal.",
    )
    error_model: ErrorModel = Field(
        "none",
        description="Noise of unknown strength beside the errors, integrated over: white (jitter), "
        "or shared by neighbouring bins (correlated), for where the forward model is wrong.",
    )
    kept_draws: int = Field(
        1000,
        ge=0,
        le=1_000_000,
        description="Weighted draws per planet that the posterior file keeps beside its samples, "
        "with the log-likelihood of every bin: for leaving bins out; 0 for none.",
    )


class FallbackSettings(StrictSettings):
    """When nested sampling takes over from importance sampling."""

    efficiency: float = Field(0.05, ge=0, le=1, description="Below this sampling efficiency.")
    pareto_shape: float = Field(0.7, description="Above this shape of the weights' tail.")
