"""The whole configuration of a run with detector frames."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from arielflow.settings.base import EachOnce, StrictSettings
from arielflow.settings.editions import FrameEditionName
from arielflow.settings.frames import CalibrationSettings, ExtractorName, LightCurveSettings
from arielflow.settings.run import AnyRun


class FramesSection(StrictSettings):
    """Frames, light curves and the spectra that are made of them."""

    path: Annotated[str, Field(min_length=1)] = Field(
        description="Folder of the challenge's files, with train/, test/ and the tables."
    )
    planets_per_job: int = Field(
        25, ge=1, le=10_000, description="Planets that one job calibrates, one after another."
    )
    calibration: CalibrationSettings = CalibrationSettings()
    light_curves: LightCurveSettings = LightCurveSettings()
    extractors: Annotated[list[ExtractorName], EachOnce] = Field(
        ["box_baseline"],
        min_length=1,
        description="Rows of the leaderboard beside the floor, constant, which is always there.",
        json_schema_extra={"uniqueItems": True},
    )
    validation_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of the labelled planets that rows are scored on."
    )
    submitted: ExtractorName = Field(
        "box_baseline", description="Row whose spectra of the test planets are submitted."
    )


class FrameRunConfig(AnyRun):
    """One run of an edition with detector frames.

    It shares a name, a seed and where it runs with the runs of the other editions. What those say
    beyond it, of posteriors and their physics, has no place here.
    """

    edition: FrameEditionName = Field(
        description="Edition of the challenge that the files belong to."
    )
    frames: FramesSection
