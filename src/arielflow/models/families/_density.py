"""What the models with a density share: context, coordinates, training targets, sampling.

A density family (``flow``, ``flow_matching``, ``bnn``, ``cvae``) supplies the conditional density
of the coordinates; everything around it is here: an encoder of spectrum and system, the bijection
of ``coordinates.TargetCoordinates``, and training on one of three kinds of targets:

``fm``
    Parameters of the forward model, the spectrum with fresh noise at every step: learns the
    posterior under the prior that the planets were drawn from (Papamakarios & Murray 2016).
``traces``
    Samples of the annotated planets' nested sampling, drawn by weight afresh at every step, beside
    the spectrum as stored, which is what they were sampled for: learns the annotator's posterior
    (the winners' choice in 2023).
``mixed``
    ``fm`` first, then ``traces`` from those weights at a low learning rate.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from arielflow.core.code import code_digest
from arielflow.core.device import resolve_device
from arielflow.core.errors import ArielflowError
from arielflow.core.schema import posterior_dataset, target_index
from arielflow.core.seeds import fingerprint
from arielflow.models.base import PosteriorEstimator
from arielflow.models.coordinates import TargetCoordinates
from arielflow.models.features import (
    Context,
    PlanetTensors,
    TraceDraws,
    finite_context,
    planet_tensors,
    spectra,
)
from arielflow.models.network_file import load_network, save_network
from arielflow.models.networks.residual import ConvolutionalEncoder, ResidualMLP
from arielflow.models.training import train
from arielflow.settings.families._density import DensityConfig
from arielflow.settings.training import TrainingSettings

if TYPE_CHECKING:
    from optuna import Trial

# A batch that fits the cache; larger ones are slower.
_SAMPLES_AT_ONCE = 5_000
_VALIDATION_SHARE = 0.1
_FEWEST_ANNOTATED = 2


def density_search_space(trial: Trial, config: DensityConfig) -> dict[str, Any]:
    """The part of a hyper-parameter search that every density family has, as settings."""
    learning_rate = trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True)
    proposed = {
        "context_width": trial.suggest_categorical("context_width", [128, 256, 512]),
        "context_blocks": trial.suggest_int("context_blocks", 1, 4),
        "embedding": trial.suggest_categorical("embedding", [32, 64, 128]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.2, step=0.05),
        "training": {
            # Three digits, so that the file that people read holds what was trained.
            "learning_rate": float(f"{learning_rate:.3g}"),
            "batch_size": trial.suggest_categorical("batch_size", [128, 256, 512]),
        },
    }
    if config.context_network == "convolution":
        proposed["channels"] = trial.suggest_categorical("channels", [16, 32, 64])
    return proposed


def context_encoder(config: DensityConfig, n_inputs: int, n_bins: int) -> nn.Module:
    """Network from a context (planet, input) to its embedding (planet, ``config.embedding``)."""
    sizes = (config.context_width, config.context_blocks, config.embedding)
    settings = {"dropout": config.dropout, "activation": config.activation}
    if config.context_network == "mlp":
        return ResidualMLP(n_inputs, *sizes, **settings)
    return ConvolutionalEncoder(n_inputs, n_bins, config.channels, *sizes, **settings)


class NetworkShape(NamedTuple):
    """Sizes that a network is built from, saved with it.

    Attributes
    ----------
    n_features : int
        Number of features of spectrum and system.
    n_bins : int
        Number of wavelength bins.
    n_targets : int
        Number of targets.
    radius : int
        Position of the radius among the targets, or -1.
    """

    n_features: int
    n_bins: int
    n_targets: int
    radius: int

    @property
    def n_inputs(self) -> int:
        """Size of the context: features and their principal components."""
        return 2 * self.n_features

    def possible(self) -> bool:
        """The sizes fit one another."""
        return 0 < self.n_bins <= self.n_features and -1 <= self.radius < self.n_targets


class DensityNetwork(nn.Module):
    """Scaler, coordinates, encoder and density in one module, so that they are saved together.

    Parameters
    ----------
    config
        The family's settings.
    encoder
        From features to their embedding.
    density
        Conditional density with ``loss(z, embedding, generator)``, ``log_prob(z, embedding)`` and
        ``sample_and_log_prob(n, embedding)``. With the attribute ``shares_context`` it takes one
        embedding for as many successive rows of ``z`` as there are for the others.
    shape
        Sizes of data and targets.
    """

    def __init__(
        self,
        config: DensityConfig,
        encoder: nn.Module,
        density: nn.Module,
        shape: NetworkShape,
    ) -> None:
        super().__init__()
        self.context = Context(shape.n_features, physical=config.physical_features)
        self.coordinates = TargetCoordinates(shape.n_targets, shape.radius)
        self.encoder = encoder
        self.density = density
        self.jitter, self.error_factors = config.jitter, config.error_factors
        self.shape = shape

    def embed(self, planets: PlanetTensors) -> Tensor:
        """Embedding (planet, feature) of spectra and systems."""
        return self.encoder(self.context(planets))

    def loss(self, planets: PlanetTensors, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Mean loss of theta (planet, target) given the planets, which get their noise here."""
        if self.training and self.error_factors is not None:
            planets = planets.with_other_errors(self.error_factors, generator)
        noisy = planets.with_noise(generator)
        spread = self.coordinates.dequantise(noisy, theta, generator)
        z, _ = self.coordinates(noisy, spread)
        context = self.context(noisy)
        if self.training and self.jitter:
            noise = torch.randn(context.shape, generator=generator).to(context.device)
            context = context + self.jitter * noise
        return self.density.loss(z.float(), self.encoder(context), generator)


class DensityEstimator(PosteriorEstimator):
    """A conditional density of theta; see the module's docstring and the base class."""

    Config: ClassVar[type[DensityConfig]]
    has_log_prob: ClassVar[bool] = True
    has_derivatives: ClassVar[bool] = True
    state_files: ClassVar[tuple[str, ...]] = ("density.safetensors",)
    config: DensityConfig
    network: DensityNetwork

    @abstractmethod
    def _density(self, shape: NetworkShape) -> nn.Module:
        """The untrained density of the coordinates."""

    def _encoder(self, shape: NetworkShape) -> nn.Module:
        """The untrained network that makes the density's context."""
        return context_encoder(self.config, shape.n_inputs, shape.n_bins)

    def fit(
        self,
        train_planets: xr.Dataset,
        valid_planets: xr.Dataset,
        *,
        seed: int,
        device: str = "auto",
        state_dir: Path | None = None,
        annotated: xr.Dataset | None = None,
    ) -> pd.DataFrame:
        """See :meth:`PosteriorEstimator.fit`; the second training's epochs follow the first's."""
        torch.manual_seed(seed)
        train_planets, valid_planets = map(self._trainable, (train_planets, valid_planets))
        parts = {"train": planet_tensors(train_planets), "valid": planet_tensors(valid_planets)}
        traces = None if self.config.targets == "fm" else self._split_annotated(annotated, seed)
        seen = parts["train"] if traces is None or self.config.targets == "mixed" else None
        self._prepare(train_planets, seen or traces["train"].planets, seed)
        histories = []
        if self.config.targets != "traces":
            histories.append(
                self._train(parts, self.config.training, seed, device, _below(state_dir, "fm"))
            )
        if traces is not None:
            mixed = self.config.targets == "mixed"
            settings = self.config.fine_tuning if mixed else self.config.training
            folder = _below(state_dir, "traces")
            histories.append(self._train(traces, settings, seed, device, folder))
        history = pd.concat(histories, ignore_index=True)
        history["epoch"] = np.arange(len(history))
        return history

    def _prepare(self, planets: xr.Dataset, seen: PlanetTensors, seed: int) -> None:
        """Build the network, its scalers fitted on what it will see in training."""
        radius = target_index(planets, "planet_radius")
        context = Context.fitted(seen, seed, physical=self.config.physical_features)
        shape = NetworkShape(
            n_features=len(context.mean),
            n_bins=planets.sizes["wavelength"],
            n_targets=planets.sizes["target"],
            radius=-1 if radius is None else radius,
        )
        self.network = self._build(shape)
        self.network.context = context
        self.network.coordinates = TargetCoordinates.fitted(seen, radius)

    def _build(self, shape: NetworkShape) -> DensityNetwork:
        return DensityNetwork(self.config, self._encoder(shape), self._density(shape), shape)

    def _train(
        self,
        parts: dict[str, PlanetTensors] | dict[str, TraceDraws],
        settings: TrainingSettings,
        seed: int,
        device: str,
        state_dir: Path | None,
    ) -> pd.DataFrame:
        sizes = {
            name: len(part) * (self.config.draws if isinstance(part, TraceDraws) else 1)
            for name, part in parts.items()
        }

        def loss(split: str, rows: Tensor, generator: torch.Generator) -> Tensor:
            part = parts[split]
            chosen = rows.cpu() % len(part)
            if isinstance(part, TraceDraws):
                planets, theta = part.draw(chosen, generator)
            else:
                planets = part.rows(chosen)
                theta = planets.theta
            home = next(self.network.parameters()).device
            return self.network.loss(planets.to(home), theta.to(home), generator)

        return train(
            self.network,
            loss,
            (sizes["train"], sizes["valid"]),
            settings,
            seed=seed,
            device=device,
            state_dir=state_dir,
            identity=fingerprint(
                code_digest(type(self).__module__),
                self.config.model_dump(),
                seed,
                *(value for part in parts.values() for value in part.identity()),
                *(value.detach().cpu().numpy() for value in self.network.state_dict().values()),
            ),
        )

    @torch.no_grad()
    def sample(
        self, planets: xr.Dataset, n_samples: int, *, seed: int, device: str = "auto"
    ) -> xr.Dataset:
        """See :meth:`PosteriorEstimator.sample`; with the density at every sample."""
        self._check_seen(planets)
        data, network = planet_tensors(planets), self._on(device)
        torch.manual_seed(seed)
        theta, log_prob = [], []
        for rows in torch.arange(len(data)).split(max(1, _SAMPLES_AT_ONCE // n_samples)):
            part = data.rows(rows).to(self._home)
            z, density = network.density.sample_and_log_prob(n_samples, network.embed(part))
            samples, slope = network.coordinates.inverse(part, z.double())
            theta.append(samples.cpu().numpy())
            log_prob.append((density + slope).cpu().numpy())
        return posterior_dataset(planets, np.concatenate(theta), log_prob=np.concatenate(log_prob))

    @torch.no_grad()
    def log_prob(
        self, planets: xr.Dataset, theta: np.ndarray, *, device: str = "auto"
    ) -> np.ndarray:
        """See :meth:`PosteriorEstimator.log_prob`."""
        self._check_seen(planets)
        data, network = planet_tensors(planets), self._on(device)
        n_samples = theta.shape[1]
        parts = []
        for rows in torch.arange(len(data)).split(max(1, _SAMPLES_AT_ONCE // n_samples)):
            part = data.rows(rows).to(self._home)
            embedding = network.embed(part)
            if not getattr(network.density, "shares_context", False):
                embedding = embedding.repeat_interleave(n_samples, dim=0)
            points = torch.as_tensor(theta[rows.numpy()], device=self._home)
            z, slope = network.coordinates(part, points)
            density = network.density.log_prob(z.float().flatten(0, 1), embedding)
            parts.append((density.reshape(slope.shape) + slope).cpu())
        return torch.cat(parts).numpy()

    def moments(
        self, planets: PlanetTensors, n_samples: int, *, seed: int
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`PosteriorEstimator.moments`; the draws are reparameterised."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self.network.eval()
            z, _ = network.density.sample_and_log_prob(n_samples, network.embed(planets))
        theta, _ = network.coordinates.inverse(planets, z.double())
        return theta.mean(dim=1), theta.var(dim=1)

    def log_density(self, planets: PlanetTensors, theta: Tensor) -> Tensor:
        """See :meth:`PosteriorEstimator.log_density`."""
        network = self.network.eval()
        z, slope = network.coordinates(planets, theta)
        return network.density.log_prob(z.float(), network.embed(planets)) + slope

    def embedding(self, planets: PlanetTensors) -> Tensor:
        """See :meth:`PosteriorEstimator.embedding`."""
        return self.network.eval().embed(planets.to(self._home))

    def sees(self, planets: xr.Dataset) -> np.ndarray:
        """See :meth:`PosteriorEstimator.sees`."""
        return finite_context(planet_tensors(planets), self.config.physical_features).numpy()

    def _split_annotated(self, annotated: xr.Dataset | None, seed: int) -> dict[str, TraceDraws]:
        """Annotated planets for training and, a tenth of them, for early stopping."""
        rows = np.empty(0) if annotated is None else np.flatnonzero(self.sees(spectra(annotated)))
        count = len(rows)
        if annotated is None or count < _FEWEST_ANNOTATED:
            raise ArielflowError(
                f"targets traces or mixed: {count} usable training planets have nested-sampling "
                f"traces, expected at least {_FEWEST_ANNOTATED}; give the data set its "
                "Tracedata.hdf5, or choose targets: fm"
            )
        order = np.random.default_rng([seed, 2]).permutation(count)
        n_valid = max(1, round(_VALIDATION_SHARE * count))
        chosen = {"valid": np.sort(order[:n_valid]), "train": np.sort(order[n_valid:])}
        return {name: TraceDraws(annotated, rows[part]) for name, part in chosen.items()}

    def _on(self, device: str) -> DensityNetwork:
        return self.network.to(resolve_device(device)).eval()

    @property
    def _home(self) -> torch.device:
        return next(self.network.parameters()).device

    def _save_state(self, directory: Path) -> None:
        shape = {k: str(v) for k, v in self.network.shape._asdict().items()}
        save_network(self.network, directory / self.state_files[0], shape)

    def _load_state(self, directory: Path) -> None:
        def build(state: dict[str, Tensor], metadata: dict[str, str]) -> DensityNetwork:
            shape = NetworkShape(**{name: int(value) for name, value in metadata.items()})
            known = len(state["context.mean"]), len(state["coordinates.slab_below"])
            measured = bool(state["coordinates.spread"] != 1)  # only where the radius is a target
            if (
                known != (shape.n_features, shape.n_targets)
                or measured != (shape.radius >= 0)
                or not shape.possible()
            ):
                raise ValueError(f"its sizes are {tuple(shape)}, its tensors' {known}")
            return self._build(shape)

        self.network = load_network(directory / self.state_files[0], build)


def _below(folder: Path | None, name: str) -> Path | None:
    return None if folder is None else Path(folder) / name
