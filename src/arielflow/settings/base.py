"""What all settings have in common: strict types and sane ranges.

A setting that no run could survive (a width of -1, 1e9 layers, a learning rate that is not finite)
is refused where it is read, not by the job that has waited for its turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Item = TypeVar("Item")
ErrorModel = Literal["none", "jitter", "correlated"]
"""What a retrieval takes a spectrum's errors for: as told, or less than the truth by white noise,
or by noise that neighbouring bins share."""


class StrictSettings(BaseModel):
    """Base of settings: frozen, without unknown names, NaN or infinities; ``True`` is no number."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        # Built where they are used first, of which a parse of the Snakefile has few.
        defer_build=True,
        # Python's own expressions, which the schema's readers have too.
        regex_engine="python-re",
    )

    @model_validator(mode="before")
    @classmethod
    def _beside_what_is_given(cls, given: Any) -> Any:
        """What a group of settings does not name keeps this model's default, not the group's."""
        if not isinstance(given, Mapping):
            return given
        stated = {
            name: field.default.model_dump(exclude_unset=True)
            for name, field in cls.model_fields.items()
            if isinstance(field.default, StrictSettings) and isinstance(given.get(name), Mapping)
        }
        return {**given, **{name: {**stated[name], **given[name]} for name in stated}}


class EstimatorConfig(StrictSettings):
    """Base of the settings of trained models."""

    @property
    def needs_traces(self) -> bool:
        """Such a model learns from the nested sampling of the annotated planets."""
        return False

    def misfit(self, targets: Sequence[str], auxiliaries: Sequence[str]) -> str | None:
        """Why these settings do not go with data of these quantities, None if they do.

        Parameters
        ----------
        targets, auxiliaries
            Quantities of an edition's targets and auxiliary columns.
        """
        return None


def _each_once(items: list[Item]) -> list[Item]:
    if any(item in items[:number] for number, item in enumerate(items)):
        raise PydanticCustomError("repeated", "expected every item once")
    return items


EachOnce = AfterValidator(_each_once)
"""Marks a list in which no item may stand twice."""

Epochs = Annotated[int, Field(ge=1, le=100_000)]
Rows = Annotated[int, Field(ge=1, le=100_000_000)]
Width = Annotated[int, Field(ge=1, le=16_384)]
"""Of a layer, or channels of a convolution."""
Layers = Annotated[int, Field(ge=1, le=100)]
Blocks = Annotated[int, Field(ge=0, le=100)]
"""Residual blocks between the first and the last layer of a network; 0 leaves them out."""
Draws = Annotated[int, Field(ge=1, le=100_000)]
Latent = Annotated[int, Field(ge=1, le=1024)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
LossWeight = Annotated[float, Field(ge=0, le=1e6)]
Widths = Annotated[tuple[Width, ...], Field(strict=False, max_length=100)]
"""Of successive layers; a list, which is all that YAML and JSON have, will do."""
Activation = Literal[
    "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid", "softplus"
]
Scaling = Literal["shape", "standardised"]
"""Of spectra: each standardised by itself, or bin by bin over the training split."""
Factor = Literal["temperature", "radius", "noise"]
"""Nuisance factors of a planet that a representation may be freed from."""
