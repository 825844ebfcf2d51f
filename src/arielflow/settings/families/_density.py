"""Settings that every family with a density has."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from arielflow.settings.base import Activation, Blocks, Draws, Dropout, EstimatorConfig, Width
from arielflow.settings.training import TrainingSettings

_Factors = Annotated[tuple[PositiveFloat, ...], Field(strict=False, min_length=2, max_length=2)]


class DensityConfig(EstimatorConfig):
    """Settings that every density family has."""

    targets: Literal["fm", "traces", "mixed"] = Field(
        "fm",
        description="Trained on the forward model's parameters with fresh noise, on samples of the "
        "annotated planets' nested sampling, or on the first and then the second.",
    )
    physical_features: bool = Field(
        True,
        description="Depths in scale heights above the observed radius instead of as they are.",
    )
    context_network: Literal["mlp", "convolution"] = Field(
        "mlp",
        description="Network of the context; the convolution runs over wavelength, with the errors "
        "as a channel.",
    )
    context_width: Width = Field(256, description="Width of the context's residual network.")
    context_blocks: Blocks = Field(2, description="Blocks of the context's residual network.")
    embedding: Width = Field(64, description="Output of the context's network.")
    channels: Width = Field(32, description="Of the convolutions.")
    activation: Activation = Field("silu", description="Nonlinearity of the context's network.")
    dropout: Dropout = Field(0.0, description="In the context's network.")
    jitter: float = Field(
        0.0, ge=0, le=10, description="Gaussian noise on the standardised context in training."
    )
    error_factors: _Factors | None = Field(
        (0.4, 1.1),
        description="Least and largest factor on the errors of half the noise-free spectra in "
        "training, drawn anew at every step; null for none.",
    )
    training: TrainingSettings = Field(
        TrainingSettings(), description="Of the optimisation; where there are two, of the first."
    )
    draws: Draws = Field(64, description="Trace samples of every annotated planet in one epoch.")
    fine_tuning: TrainingSettings = Field(
        TrainingSettings(epochs=20, learning_rate=2e-4, patience=5),
        description="Of the second optimisation of targets mixed.",
    )

    @property
    def needs_traces(self) -> bool:
        """See :class:`EstimatorConfig`."""
        return self.targets != "fm"

    @model_validator(mode="after")
    def _applicable(self) -> Self:
        """Refuse settings that the others leave without effect, and factors upside down."""
        if self.error_factors is not None and self.error_factors[0] >= self.error_factors[1]:
            raise ValueError(f"error_factors: {list(self.error_factors)} do not ascend")
        rules = {
            "draws": (self.targets == "fm", "targets traces or mixed"),
            "fine_tuning": (self.targets != "mixed", "targets mixed"),
            "channels": (self.context_network == "mlp", "context_network convolution"),
        }
        for name, (idle, needed) in rules.items():
            if idle and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no effect without {needed}; leave it out")
        return self
