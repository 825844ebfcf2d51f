"""The interface of everything that turns spectra into posteriors."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import BaseModel, ConfigDict, ValidationError

from arielflow.errors import ArielflowError


class EstimatorConfig(BaseModel):
    """Base of the models' settings: frozen, and strict about names and types."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PosteriorEstimator(ABC):
    """A model of the posterior of theta given a spectrum.

    ``fit``, ``sample`` and ``log_prob`` take planets datasets with usable planets only.

    Attributes
    ----------
    family : name of the module that holds the model
    Config : the model's settings
    has_log_prob : the model has a density
    """

    family: ClassVar[str]
    Config: ClassVar[type[EstimatorConfig]]
    has_log_prob: ClassVar[bool] = False

    def __init__(self, config: EstimatorConfig) -> None:
        self.config = config

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> PosteriorEstimator:
        """Make an estimator from a configuration's settings.

        Raises
        ------
        ArielflowError
            A setting is unknown or of the wrong type; the message lists the valid ones.
        """
        try:
            return cls(cls.Config(**settings))
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
            )
            valid = ", ".join(cls.Config.model_fields)
            raise ArielflowError(
                f"settings of model {cls.family}: {faults}; valid settings are {valid}"
            ) from None

    @abstractmethod
    def fit(
        self,
        train: xr.Dataset,
        valid: xr.Dataset,
        *,
        seed: int,
        device: str = "auto",
        state_dir: Path | None = None,
    ) -> pd.DataFrame:
        """Train and return the history: ``epoch``, ``train_loss``, ``valid_loss`` (may be empty).

        Parameters
        ----------
        train, valid
            Planets datasets with theta.
        seed
            Seed of everything random in the training.
        device
            ``auto``, ``cpu`` or ``cuda``.
        state_dir
            Folder for what an interrupted training resumes from.
        """

    @abstractmethod
    def sample(
        self, planets: xr.Dataset, n_samples: int, *, seed: int, device: str = "auto"
    ) -> xr.Dataset:
        """Posterior dataset with ``n_samples`` samples a planet, inside each planet's prior box."""

    def log_prob(self, planets: xr.Dataset, theta: np.ndarray) -> np.ndarray:
        """Natural log-density (planet, sample) at theta (planet, sample, target), target units."""
        raise NotImplementedError(f"{self.family} has no density")

    def feature_importances(self) -> pd.DataFrame | None:
        """Importance of every feature for every target, or None where the model has none."""
        return None

    @abstractmethod
    def _save_state(self, directory: Path) -> None:
        """Write the trained state."""

    @abstractmethod
    def _load_state(self, directory: Path) -> None:
        """Read what :meth:`_save_state` wrote."""

    def save(self, directory: str | Path) -> None:
        """Write the trained model to a folder, without anything that runs code when loaded."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        description = {"family": self.family, "settings": self.config.model_dump(mode="json")}
        (directory / "estimator.json").write_text(json.dumps(description, indent=1) + "\n")
        self._save_state(directory)

    @classmethod
    def load(cls, directory: str | Path) -> PosteriorEstimator:
        """Read a model that :meth:`save` wrote."""
        description = json.loads((Path(directory) / "estimator.json").read_text())
        estimator = cls.from_settings(description["settings"])
        estimator._load_state(Path(directory))
        return estimator
