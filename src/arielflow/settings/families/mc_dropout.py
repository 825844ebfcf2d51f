"""Settings of the challenge's baseline; the defaults are those of 2023."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from arielflow.settings.base import Dropout, EstimatorConfig, Rows, Widths
from arielflow.settings.training import TrainingSettings


class Config(EstimatorConfig):
    """Settings; the defaults are the 2023 baseline's."""

    n_rows: Rows = Field(5000, description="First training rows, in table order.")
    repeats: int = Field(
        5, ge=1, le=10_000, description="Noisy copies of each noise-free spectrum."
    )
    validation_fraction: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="Share of the rows held out by the baseline's own random split.",
    )
    filters: Widths = Field((32, 64, 64), description="Of the convolutional blocks.")
    padding: Literal["valid", "same"] = Field(
        "valid", description="Of the convolutions; valid is unpadded."
    )
    extra_inputs: tuple[Literal["star_radius", "planet_radius"], ...] = Field(
        ("star_radius",),
        strict=False,
        max_length=2,
        description="Scalars beside the spectrum: the star's radius in solar radii, the planet's "
        "in Jupiter radii, where known.",
    )
    dense: Widths = Field((500, 100), description="Widths of the dense layers.")
    dropout: Dropout = Field(0.1, description="Probability after each dense layer.")
    training: TrainingSettings = Field(
        TrainingSettings(
            epochs=30,
            batch_size=32,
            learning_rate=1e-3,
            schedule="constant",
            patience=30,
            clip_gradient=None,
            shuffle=False,
        ),
        description="Of the optimisation.",
    )

    def misfit(self, targets: Sequence[str], auxiliaries: Sequence[str]) -> str | None:
        """See :meth:`EstimatorConfig.misfit`."""
        unknown = "planet_radius" in targets or "planet_mass_kg" not in auxiliaries
        if "planet_radius" not in self.extra_inputs or not unknown:
            return None
        return (
            "extra_inputs: planet_radius is not known of these planets (targets "
            f"{', '.join(targets)}; auxiliary columns {', '.join(auxiliaries) or 'none'}); leave "
            "it out"
        )
