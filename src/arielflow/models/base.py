"""The interfaces of trained models: spectra to posteriors or latents, parameters to spectra."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.config import strict_settings
from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed, shown
from arielflow.models.description import (
    REMEDY,
    model_guard,
    read_description,
    write_description,
)
from arielflow.settings.base import EstimatorConfig

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from torch import Tensor

    from arielflow.models.features import PlanetTensors
    from arielflow.physics.forward import ForwardModel


class TrainedModel(ABC):
    """What every model has: settings, a training, and a folder that it is saved to.

    Attributes
    ----------
    family : str
        Name of the module that holds the model.
    Config : type[EstimatorConfig]
        The model's settings.
    description_file : str
        File of the saved model's family and settings.
    state_files : tuple[str, ...]
        Files that may be beside it, all that the trained state consists of.
    """

    family: ClassVar[str]
    Config: ClassVar[type[EstimatorConfig]]
    description_file: ClassVar[str]
    state_files: ClassVar[tuple[str, ...]]

    def __init__(self, config: EstimatorConfig) -> None:
        self.config = config

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Self:
        """Make an untrained model from a configuration's settings.

        Raises
        ------
        ArielflowError
            A setting is unknown or of the wrong type; the message lists the valid ones.
        """
        return cls(strict_settings(cls.Config, settings, f"settings of model {cls.family}"))

    @abstractmethod
    def fit(
        self,
        train: xr.Dataset,
        valid: xr.Dataset,
        *,
        seed: int,
        device: str = "auto",
        state_dir: Path | None = None,
        annotated: xr.Dataset | None = None,
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
        annotated
            Training planets with their traces (:func:`arielflow.data.splits.annotated_planets`),
            for the models that learn from them.
        """

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
        self._save_state(directory)
        description = {"family": self.family, "settings": self.config.model_dump(mode="json")}
        write_description(directory / self.description_file, description, self.state_files)

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read a model that :meth:`save` wrote.

        Raises
        ------
        ArielflowError
            The folder holds no such model, or it is damaged.
        """
        directory = Path(directory)
        if not (directory / cls.description_file).is_file():
            raise ArielflowError(
                f"{directory}: holds no {cls.description_file} of a trained {cls.family}; "
                "train it first"
            )
        description = read_description(
            directory / cls.description_file, ["family", "settings"], cls.state_files
        )
        if description["family"] != cls.family:
            raise ArielflowError(
                f"{directory}: holds a model of family {shown(description['family'])}, expected "
                f"{cls.family}; {REMEDY}"
            )
        with model_guard(directory):
            model = cls.from_settings(description["settings"])
            model._load_state(directory)
        return model


class PosteriorEstimator(TrainedModel):
    """A model of the posterior of theta given a spectrum.

    ``fit``, ``sample`` and ``log_prob`` take planets datasets with usable planets only.

    Attributes
    ----------
    has_log_prob : bool
        The model has a density.
    has_derivatives : bool
        Its moments can be differentiated by the spectrum, and it has an embedding.
    """

    description_file: ClassVar[str] = "estimator.json"
    has_log_prob: ClassVar[bool] = False
    has_derivatives: ClassVar[bool] = False

    @abstractmethod
    def sample(
        self, planets: xr.Dataset, n_samples: int, *, seed: int, device: str = "auto"
    ) -> xr.Dataset:
        """Posterior with ``n_samples`` samples per planet, inside each planet's prior box."""

    @abstractmethod
    def sees(self, planets: xr.Dataset) -> np.ndarray:
        """Boolean (planet,): all that the model makes of the planet's data is finite."""

    def _check_seen(self, planets: xr.Dataset) -> None:
        seen = self.sees(planets)
        if not seen.all():
            raise ArielflowError(
                f"{self.family}: the features of {listed(list(planets['planet'].values[~seen]))} "
                "are not finite; check the star, the planet and the errors"
            )

    def _trainable(self, planets: xr.Dataset) -> xr.Dataset:
        """The planets that the model can be trained on; what is left out is said."""
        seen = self.sees(planets)
        if seen.all():
            return planets
        names = listed(list(planets["planet"].values[~seen]))
        if not seen.any():
            raise ArielflowError(
                f"{self.family}: the features of all {len(seen)} training planets ({names}) are "
                "not finite; check stars, planets and errors"
            )
        log.warning(
            "%s: %d training planets are left out, their features are not finite: %s",
            self.family,
            (~seen).sum(),
            names,
        )
        return planets.isel(planet=seen)

    def misfit(self, targets: Sequence[str], auxiliaries: Sequence[str]) -> str | None:
        """Why these settings do not go with data of these quantities, None if they do.

        Parameters
        ----------
        targets, auxiliaries
            Quantities of an edition's targets and auxiliary columns.
        """
        fault = self.config.misfit(targets, auxiliaries)
        return fault and f"settings of model {self.family}: {fault}"

    def log_prob(
        self, planets: xr.Dataset, theta: np.ndarray, *, device: str = "auto"
    ) -> np.ndarray:
        """Natural log-density (planet, sample) at theta (planet, sample, target), target units."""
        raise NotImplementedError(f"{self.family} has no density")

    def moments(
        self, planets: PlanetTensors, n_samples: int, *, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Posterior's mean and variance (planet, target), differentiable by the planets' tensors.

        From ``n_samples`` draws with fixed base draws where there is no closed form; the same seed
        and number of planets give the same base draws, and the caller's generator is left alone.
        """
        raise NotImplementedError(f"{self.family} has no derivatives")

    def log_density(self, planets: PlanetTensors, theta: Tensor) -> Tensor:
        """Natural log-density (planet,) at theta (planet, target), differentiable by the planets.

        The tensors' twin of :meth:`log_prob`, on the device that the network is on.
        """
        raise NotImplementedError(f"{self.family} has no density")

    def embedding(self, planets: PlanetTensors) -> Tensor:
        """What the context network makes of the planets, shape (planet, feature)."""
        raise NotImplementedError(f"{self.family} has no embedding")

    def feature_importances(self) -> pd.DataFrame | None:
        """Importance of every feature for every target, or None where the model has none."""
        return None


class SpectrumEmulator(TrainedModel):
    """A trained stand-in for the radiative transfer: parameters to a spectrum.

    Called like :class:`arielflow.physics.transmission.TransmissionModel`, whose place it takes in
    :class:`arielflow.physics.forward.ForwardModel`.

    Attributes
    ----------
    molecules : tuple[str, ...]
        Absorbing molecules, in the order of the columns of ``log_mixing_ratio``.
    wavelength_um : np.ndarray
        Centres of the spectrum's bins, shape (wavelength,) [um].
    """

    description_file: ClassVar[str] = "emulator.json"
    molecules: tuple[str, ...]
    wavelength_um: np.ndarray

    @abstractmethod
    def __call__(
        self,
        radius_m: Tensor | np.ndarray,
        mass_kg: Tensor | np.ndarray,
        temperature_k: Tensor | np.ndarray,
        star_radius_m: Tensor | np.ndarray,
        log_mixing_ratio: Tensor | np.ndarray,
    ) -> Tensor:
        """Transit depths (planet, wavelength) in double precision, differentiable.

        Parameters
        ----------
        radius_m, mass_kg, temperature_k, star_radius_m
            Shape (planet,): the planet's radius at the bottom of the atmosphere [m] and mass [kg],
            temperature [K], radius of the star [m].
        log_mixing_ratio
            log10 volume mixing ratios, shape (planet, molecule).

        Raises
        ------
        ArielflowError
            The number of molecules is not the emulator's.
        """

    @abstractmethod
    def predict(self, *parameters: np.ndarray) -> np.ndarray:
        """The same as calling it, in batches and without gradients, as an array."""

    @abstractmethod
    def forward_model(self, planets: xr.Dataset) -> ForwardModel:
        """A forward model of these planets that the emulator computes, for a retrieval.

        Raises
        ------
        ArielflowError
            The emulator was trained for other bins than the planets have.
        """


class SpectrumRepresentation(TrainedModel):
    """A few latent variables of a spectrum, and the spectrum back from them.

    What is encoded and reconstructed is the *scaled* spectrum (see
    :func:`arielflow.models.scaling.fit_scaling`), the same for every representation of a run, so
    that their errors can be compared.

    Attributes
    ----------
    n_latent : int
        Number of latent variables.
    """

    description_file: ClassVar[str] = "representation.json"
    n_latent: int

    @abstractmethod
    def scaled(self, planets: xr.Dataset) -> np.ndarray:
        """The planets' scaled spectra, shape (planet, wavelength), without a unit."""

    @abstractmethod
    def encode(self, planets: xr.Dataset, *, device: str = "auto") -> np.ndarray:
        """Latent variables (planet, latent) of usable planets.

        Raises
        ------
        ArielflowError
            The planets have other bins than those it was trained on.
        """

    @abstractmethod
    def decode(self, latent: np.ndarray, *, device: str = "auto") -> np.ndarray:
        """Scaled spectra (planet, wavelength) of latent variables (planet, latent).

        Raises
        ------
        ArielflowError
            The number of latent variables is not the representation's.
        """
