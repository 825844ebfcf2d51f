"""Sections of a run's configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from arielflow.settings.base import EachOnce, Factor, Scaling, StrictSettings
from arielflow.settings.calibration import CalibrationSettings
from arielflow.settings.chemistry import CompressionSettings, Conditions, Times
from arielflow.settings.editions import LimitName, Prior
from arielflow.settings.emulator import Config as EmulatorConfig
from arielflow.settings.families import Family
from arielflow.settings.importance import FallbackSettings, ImportanceSettings
from arielflow.settings.trust import TrustSettings
from arielflow.settings.variational import VariationalOptions

# A pattern ends in $(?!\n), since $ alone lets a last newline pass. Other braces than those of an
# environment's variable are Snakemake's wildcards.
PathText = Annotated[str, Field(pattern=r"^([^{}\n]|\$\{\w+\})+$(?!\n)")]
_BelowPath = Annotated[str, Field(pattern=r"^[^/.{}][^/{}]*(/[^/.{}][^/{}]*)*$(?!\n)")]
_Bins = Annotated[int, Field(ge=1, le=52)]  # of a spectrum
_Cluster = Annotated[int, Field(ge=2, le=100)]
# Far above what a run needs, see RunConfig.
_Planets = Annotated[int, Field(ge=0, le=10_000_000)]
_Minutes = Annotated[int, Field(ge=0, le=100_000)]  # planets that take minutes each
_Clouds = Annotated[int, Field(ge=1, le=1_000_000)]
_UNIQUE = {"uniqueItems": True}


class SourceSettings(StrictSettings):
    """A file that is brought from elsewhere."""

    url: str = Field(
        pattern=r"^(https?|s3)://[^{}\s]+$(?!\n)",
        description="Address of the file, http, https or s3.",
    )
    checksum: str = Field(
        None,
        pattern=r"^(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})$(?!\n)",
        description="md5 or sha256 of the file, needed for http and https.",
    )

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if self.checksum is None and self.url.startswith("http"):
            raise ValueError(
                "'checksum' is missing, which http and https need; add md5:… or sha256:…"
            )
        return self


class DatasetSettings(StrictSettings):
    """Where the data come from and the prior that posteriors refer to."""

    path: PathText | None = Field(
        description="Folder of real data in the edition's layout; null simulates a data set."
    )
    test_path: PathText | None = Field(
        description="Folder of test data, if not path's or the simulation's."
    )
    sources: dict[_BelowPath, SourceSettings] = Field(
        description="Files to bring into path before they are read, by their names below it."
    )
    prior: Prior = Field(description="Retrieval prior; population is the one of edition wfc3.")
    validation_fraction: float = Field(
        gt=0,
        le=0.5,
        description="Share of the usable training planets held out for early stopping.",
    )
    limits: dict[LimitName, Annotated[list[float], Field(min_length=2, max_length=2)]] = Field(
        description="Lowest and highest plausible value by column or parameter, in its unit, for "
        "legitimate extremes."
    )


class PhysicsSection(StrictSettings):
    """The forward model."""

    opacities: PathText = Field(description="builtin, or a folder with one table per molecule.")
    mode: Literal["reference", "fast"] = Field(
        description="Every wavelength of the tables, or nodes chosen among them once."
    )
    cia: bool = Field(
        description="Collision-induced absorption, from the folder's files of it; off in "
        "the challenge."
    )


class SimulationSettings(StrictSettings):
    """Sizes of a simulated data set."""

    n_train: int = Field(
        ge=20, le=10_000_000, description="Training planets; the challenge has 41,423."
    )
    n_traces: _Minutes = Field(
        description="Training planets with nested-sampling traces (the first ones)."
    )
    n_test: int = Field(
        ge=1,
        le=100_000,
        description="Test planets, all with truth and an independent rerun of it; the challenge "
        "has 685.",
    )
    n_prior: _Planets = Field(
        description="Further training planets, drawn from the retrieval prior, without traces."
    )
    population: Prior = Field(
        description="Prior that simulated planets are drawn from; population is the real one."
    )
    truth_library: list[PathText] = Field(
        description="Files of shipped truth; planets that are in none are sampled live."
    )


class ExploreSettings(StrictSettings):
    """Exploration of the spectra."""

    n_components: int = Field(ge=2, le=52, description="Principal components kept.")
    clusters: list[_Cluster] = Field(
        min_length=2,
        max_length=2,
        description="Smallest and largest number of clusters tried.",
    )
    representation: Scaling = Field(
        description="Spectra standardised each by itself, or bin by bin over the training split."
    )


class RepresentationSettings(StrictSettings):
    """Autoencoders of the spectra, beside principal components of the same dimensions."""

    models: Annotated[list[Literal["autoencoder", "variational_autoencoder"]], EachOnce] = Field(
        description="Autoencoders to train; none for no comparison.", json_schema_extra=_UNIQUE
    )
    dimensions: Annotated[list[_Bins], EachOnce] = Field(
        min_length=1,
        description="Numbers of latent variables tried.",
        json_schema_extra=_UNIQUE,
    )
    settings: dict[str, Any] = Field(
        description="Network, weight of the divergence and training of every autoencoder."
    )


class DisentangleSettings(StrictSettings):
    """Latent variables without nuisance factors; needs simulated spectra or their physics."""

    methods: Annotated[list[Literal["factor", "fader", "poly"]], EachOnce] = Field(
        description="Ways to take the factors out; none for no comparison.",
        json_schema_extra=_UNIQUE,
    )
    nuisance: Annotated[list[Factor], EachOnce] = Field(
        min_length=1, description="Factors that are taken out.", json_schema_extra=_UNIQUE
    )
    n_latent: _Bins = Field(description="Latent variables of every model.")
    settings: dict[str, Any] = Field(
        description="Network, adversary or polynomial, and training of every model."
    )


class ModelSettings(StrictSettings):
    """A model of the run, a row of the leaderboard."""

    family: Family = Field(
        None, description="Module under arielflow/models/families; the model's name if left out."
    )
    members: int = Field(
        1, ge=1, le=1000, description="Members of the ensemble, one job each (1 if left out)."
    )
    members_of: str | None = Field(
        None,
        description="Another model whose first members this one uses instead of its own.",
    )
    planets: Literal["dataset", "prior", "auto"] = Field(
        "dataset",
        description="Trained on the data set's planets, or on simulation.n_prior from the prior; "
        "auto takes the latter where there are any and the data set is simulated too.",
    )
    folds: bool = Field(
        False, description="Every member is validated on its own fold of the training planets."
    )
    mixing: Literal["uniform", "stacking"] = Field(
        "uniform",
        description="Members count the same, or by their density on the validation planets.",
    )
    processes: int = Field(
        1,
        ge=1,
        le=1024,
        description="Processes that share the training of each member, one per GPU (1 if left "
        "out).",
    )
    nodes: int = Field(
        1,
        ge=1,
        le=1024,
        description="Nodes that the processes are spread over evenly (1 if left out).",
    )
    settings: dict[str, Any] = Field({}, description="Settings of the family.")


class PosteriorSettings(StrictSettings):
    """Posteriors of the test planets."""

    n_samples: int = Field(
        ge=100, le=4999, description="Samples per planet; a submission needs 1001 to 4999."
    )
    chunks: int = Field(
        ge=1,
        le=2000,  # Snakemake plans a thousand jobs in seconds, a million not in an hour
        description="Jobs that the test planets of a retrieval are dealt to.",
    )


class ImportanceSection(StrictSettings):
    """Importance sampling of the test planets through the forward model."""

    models: Annotated[list[str], EachOnce] = Field(
        description="Models with a density, each of which gets two rows.",
        json_schema_extra=_UNIQUE,
    )
    settings: ImportanceSettings
    fallback: FallbackSettings


class VariationalSection(StrictSettings):
    """A flow fitted to every test planet through the forward model, row flow_variational."""

    start: str | None = Field(
        description="laplace, or a model whose draws the fit starts from; null for no such row."
    )
    settings: VariationalOptions


class TrustSection(StrictSettings):
    """Certificates: how far each planet's posterior can be trusted."""

    models: Literal["auto"] | Annotated[list[str], EachOnce] = Field(
        description="Models whose posteriors are certified, their importance rows with them; auto "
        "for the model of the submission, none where the edition has no forward model."
    )
    settings: TrustSettings


class CalibrationSection(StrictSettings):
    """Calibration by groups of further simulated planets, on request, and rows that it mends."""

    recalibrated: Annotated[list[str], EachOnce] = Field(
        description="Models whose posteriors' quantiles are recalibrated, each of which gets a row "
        "<model>_recalibrated.",
        json_schema_extra=_UNIQUE,
    )
    settings: CalibrationSettings


class SurrogateSettings(StrictSettings):
    """The network in the forward model's place; made on request, no part of the report."""

    settings: EmulatorConfig
    n_retrievals: int = Field(
        ge=0,
        le=10_000,  # minutes each
        description="Test planets that are retrieved with it and compared with their truth.",
    )


class ChemistrySettings(StrictSettings):
    """A reaction network and its compressed stand-in; made on request, a page of its own."""

    conditions: Conditions
    times: Times
    n_train: int = Field(ge=2, le=1_000_000, description="Clouds to train on.")
    n_valid: _Clouds = Field(description="Clouds to choose the epoch by.")
    n_test: _Clouds = Field(description="Clouds to measure errors on.")
    compression: CompressionSettings


class TuningSettings(StrictSettings):
    """Search of a model's settings; made on request, no part of the report."""

    trials: int = Field(
        ge=1,
        le=10_000,  # a training each
        description="Trainings in all, the first with the model's own settings.",
    )
    epochs: int = Field(ge=1, le=100_000, description="Most epochs of a trial.")
    n_rows: int = Field(ge=20, le=10_000_000, description="Training planets of a trial at most.")


class SubmissionSettings(StrictSettings):
    """The official files."""

    model: str = Field(
        description="Row whose official files are written; one of models or their importance rows."
    )
