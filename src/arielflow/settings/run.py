"""The whole configuration of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from arielflow.settings.base import EachOnce, StrictSettings
from arielflow.settings.editions import FACTS, EditionName
from arielflow.settings.families import FAMILIES, family_config
from arielflow.settings.representations import representation_config
from arielflow.settings.sections import (
    CalibrationSection,
    ChemistrySettings,
    DatasetSettings,
    DisentangleSettings,
    ExploreSettings,
    ImportanceSection,
    ModelSettings,
    PhysicsSection,
    PosteriorSettings,
    RepresentationSettings,
    SimulationSettings,
    SubmissionSettings,
    SurrogateSettings,
    TrustSection,
    TuningSettings,
    VariationalSection,
)

RECALIBRATED = "_recalibrated"
"""End of the names of rows with recalibrated quantiles."""

_ModelName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$(?!\n)", max_length=50)]


class AnyRun(StrictSettings):
    """What a run has whatever its edition."""

    run: str = Field(
        pattern=r"^[A-Za-z0-9_-]+$(?!\n)",
        max_length=100,
        description="Name of the run, letters, digits, _ and -; its results go to results/<run>.",
    )
    edition: str = Field(description="Edition of the challenge that the files belong to.")
    seed: int = Field(ge=0, le=2**63 - 1, description="Seed from which every job's seed follows.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        description="Where networks are trained; cuda fails where there is none, auto falls back."
    )
    container: Annotated[str, Field(min_length=1)] | None = Field(
        description="Image that jobs run in where containers are asked for (a .sif file or an "
        "address)."
    )
    publish: Annotated[str, Field(pattern=r"^s3://[^/{}\s]+(/[^/{}\s]+)*$(?!\n)")] | None = Field(
        description="Place in S3-compatible storage that the results are copied to; null for none."
    )


class RunConfig(AnyRun):
    """One run. Every key is required unless it says otherwise; unknown keys are errors.

    Sizes have a largest value, far above what a run needs, so that a slip of the finger is told
    before it fills a disk or a queue.
    """

    edition: EditionName = Field(
        description="Edition of the challenge that the files belong to; those with detector "
        "frames, adc2024 and adc2025, have settings of their own."
    )
    dataset: DatasetSettings
    physics: PhysicsSection
    simulation: SimulationSettings
    explore: ExploreSettings
    representation: RepresentationSettings
    disentangle: DisentangleSettings
    models: Annotated[list[_ModelName], EachOnce] = Field(
        min_length=1,
        max_length=50,
        description="Models of the run, the leaderboard's rows; small letters, digits and _.",
        json_schema_extra={"uniqueItems": True},
    )
    model_settings: dict[str, ModelSettings] = Field(
        description="Settings by model; a model left out has its family's defaults."
    )
    posterior: PosteriorSettings
    importance: ImportanceSection
    variational: VariationalSection
    trust: TrustSection
    calibration: CalibrationSection
    surrogate: SurrogateSettings
    chemistry: ChemistrySettings
    tuning: TuningSettings
    submission: SubmissionSettings


class Part(NamedTuple):
    """Settings whose class hangs on what else the configuration says.

    Attributes
    ----------
    place : where they stand
    kind : their class
    settings : as configured, with what their place fixes
    trained : they belong to a model of the run, which must fit the run's data
    """

    place: str
    kind: type[StrictSettings]
    settings: Mapping[str, Any]
    trained: bool = False


def run_parts(config: Mapping[str, Any]) -> Iterator[Part]:
    """Settings of the models and autoencoders of a configuration that :class:`RunConfig` allows."""
    models, given = config["models"], config["model_settings"]
    for name in dict.fromkeys([*models, *given]):
        spec = given.get(name, {})
        family = spec.get("family", name)
        if family in FAMILIES:
            place, settings = f"model_settings.{name}.settings", spec.get("settings", {})
            yield Part(place, family_config(family), settings, name in models)
    nuisance = {"nuisance": config["disentangle"]["nuisance"]}
    for section, key, more in (
        ("representation", "models", {}),
        ("disentangle", "methods", nuisance),
    ):
        for name in config[section][key]:
            kind, fixed = representation_config(name)
            yield Part(
                f"{section}.settings ({name})", kind, config[section]["settings"] | more | fixed
            )


def certified_models(config: Mapping[str, Any]) -> list[str]:
    """Models of a run whose posteriors get certificates.

    Where ``trust.models`` is auto it is the one that the submitted row comes from; a row that comes
    from none has no certificates.
    """
    chosen = config["trust"]["models"]
    if chosen != "auto":
        return list(chosen)
    # Only where star and planet are described is there a forward model.
    if not FACTS[config["edition"]].auxiliaries:
        return []
    row = config["submission"]["model"]
    for end in ("_importance_fallback", "_importance", RECALIBRATED):
        row = row.removesuffix(end)
    return [row] if row in config["models"] else []


def model_spec(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Entries of ``model_settings`` for a model, with the defaults for what is left out.

    ``planets: auto`` is told as what it comes to.
    """
    spec = dict(ModelSettings(**config["model_settings"].get(name, {})))
    if spec["planets"] == "auto":
        own = config["dataset"]["path"] is None and config["simulation"]["n_prior"] > 0
        spec["planets"] = "prior" if own else "dataset"
    return spec | {"family": spec["family"] or name}
