"""How a network is trained."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from arielflow.settings.base import Epochs, Rows, StrictSettings


class TrainingSettings(StrictSettings):
    """How a network is trained."""

    epochs: Epochs = Field(100, description="Most epochs.")
    batch_size: Rows = Field(512, description="Rows of a step.")
    learning_rate: float = Field(1e-3, gt=0, description="Of AdamW, the largest one.")
    weight_decay: float = Field(0.0, ge=0, le=10, description="Of AdamW.")
    schedule: Literal["one_cycle", "constant"] = Field(
        "one_cycle", description="Course of the learning rate."
    )
    patience: Epochs | None = Field(
        30,
        description="Epochs without a better validation loss before the training stops; null "
        "trains all epochs and keeps the last weights instead of the best.",
    )
    clip_gradient: float | None = Field(
        5.0, gt=0, description="Largest norm of the gradient; null for no limit."
    )
    shuffle: bool = Field(True, description="Rows are drawn in a new order every epoch.")
