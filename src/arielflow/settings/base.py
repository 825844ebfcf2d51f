"""What the settings of all models and trainings have in common: strict types and sane ranges.

A setting that no run could survive (a width of -1, 1e9 layers, a learning rate that is not finite)
is refused where it is read, not by the job that has waited for its turn.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class StrictSettings(BaseModel):
    """Base of settings: frozen, without unknown names, NaN or infinities; ``True`` is no number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


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
Widths = Annotated[tuple[Width, ...], Field(strict=False, max_length=100)]
"""Of successive layers; a list, which is all that YAML and JSON have, will do."""
