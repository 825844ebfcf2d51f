"""The challenge's official baseline: a convolutional network with Monte-Carlo dropout.

Re-written from its published description (Yip et al. 2023): convolutions over the standardised
spectrum, a scalar input appended, two dense layers whose dropout (Gal & Ghahramani 2016) stays on
at prediction, trained on the mean squared error of standardised targets. The yardstick of every
leaderboard; its spread is not a posterior's.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from arielflow.core.code import code_digest
from arielflow.core.device import resolve_device
from arielflow.core.errors import ArielflowError
from arielflow.core.schema import posterior_dataset
from arielflow.core.seeds import fingerprint
from arielflow.models.base import PosteriorEstimator
from arielflow.models.features import PlanetTensors, planet_tensors
from arielflow.models.network_file import load_network, save_network
from arielflow.models.training import train
from arielflow.physics.systems import JUPITER_RADIUS_M, SOLAR_RADIUS_M
from arielflow.settings.families.mc_dropout import Config

_PASSES_AT_ONCE = 20_000


class _Network(nn.Module):
    """Standardisation, convolutions and dense layers: (row, bins), (row, extras) to targets."""

    def __init__(self, config: Config, n_bins: int, n_targets: int) -> None:
        super().__init__()
        n_extra = len(config.extra_inputs)
        for name, size in (("depth", 1), ("extra", n_extra), ("theta", n_targets)):
            self.register_buffer(f"{name}_mean", torch.zeros(size, dtype=torch.float64))
            self.register_buffer(f"{name}_deviation", torch.ones(size, dtype=torch.float64))
        layers: list[nn.Module] = []
        channels, length = 1, n_bins
        for filters in config.filters:
            for _ in range(2):
                layers += [nn.Conv1d(channels, filters, 3, padding=config.padding), nn.ReLU()]
                channels = filters
                length -= 2 if config.padding == "valid" else 0
            layers.append(nn.MaxPool1d(2))
            length //= 2
            if length < 1:
                raise ArielflowError(
                    f"settings of model mc_dropout: filters {list(config.filters)}, padding "
                    f"{config.padding} leave nothing of {n_bins} bins; take fewer, or padding same"
                )
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        widths = [channels * length + n_extra, *config.dense]
        dense: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            dense += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(config.dropout)]
        self.dense = nn.Sequential(*dense, nn.Linear(widths[-1], n_targets))
        self.apply(_initialise_as_baseline)

    def standardise(self, name: str, values: Tensor) -> Tensor:
        mean, deviation = getattr(self, f"{name}_mean"), getattr(self, f"{name}_deviation")
        return ((values - mean) / deviation).float()

    def fit_scaler(self, name: str, values: Tensor) -> None:
        if not values.shape[1]:
            return
        getattr(self, f"{name}_mean").copy_(values.mean(dim=0))
        getattr(self, f"{name}_deviation").copy_(values.std(dim=0).clamp(min=1e-12))

    def embed(self, depth: Tensor, extra: Tensor) -> Tensor:
        """What the dense layers see; free of dropout, so computed once a planet."""
        convolved = self.convolutions(self.standardise("depth", depth)[:, None, :])
        return torch.cat([convolved, self.standardise("extra", extra)], dim=1)


def _initialise_as_baseline(layer: nn.Module) -> None:
    """Glorot-uniform weights and zero biases, the defaults of the baseline's Keras layers.

    It matters: spectral features are small beside the spread of depths over planets, and PyTorch's
    own smaller weights and random biases bury them (the network then learns the radius alone).
    """
    if isinstance(layer, nn.Conv1d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


class Estimator(PosteriorEstimator):
    """See the module's docstring and :class:`PosteriorEstimator`."""

    family: ClassVar[str] = "mc_dropout"
    has_derivatives: ClassVar[bool] = True
    state_files: ClassVar[tuple[str, ...]] = ("network.safetensors",)
    Config = Config
    network: _Network
    n_bins: int

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
        """See :meth:`PosteriorEstimator.fit`; holds out rows of its own, as the baseline does."""
        config = self.config
        quantities = (train_planets[f"{kind}_quantity"].values for kind in ("target", "auxiliary"))
        if fault := self.misfit(*map(list, quantities)):
            raise ArielflowError(fault)
        train_planets = self._trainable(train_planets)
        data = planet_tensors(train_planets.isel(planet=slice(0, config.n_rows)))
        torch.manual_seed(seed)
        order = np.random.default_rng(seed).permutation(len(data))
        n_valid = max(1, round(config.validation_fraction * len(data)))
        rows = {"train": np.sort(order[n_valid:]), "valid": np.sort(order[:n_valid])}
        generator = torch.Generator().manual_seed(seed)
        parts = {
            name: self._repeated(data.rows(torch.as_tensor(index)), generator)
            for name, index in rows.items()
        }
        self.n_bins = data.depth.shape[1]
        self.network = _Network(config, self.n_bins, data.theta.shape[1])
        depth, extra, theta = parts["train"]
        self.network.fit_scaler("depth", depth.reshape(-1, 1))
        self.network.fit_scaler("extra", extra)
        self.network.fit_scaler("theta", theta)

        def loss(split: str, index: Tensor, _: torch.Generator) -> Tensor:
            depth, extra, theta = (values[index.cpu()] for values in parts[split])
            network = self.network
            device = network.theta_mean.device
            predicted = network.dense(network.embed(depth.to(device), extra.to(device)))
            true = network.standardise("theta", theta.to(device))
            return nn.functional.mse_loss(predicted, true)

        return train(
            self.network,
            loss,
            (len(parts["train"][0]), len(parts["valid"][0])),
            config.training,
            seed=seed,
            device=device,
            state_dir=state_dir,
            identity=fingerprint(
                code_digest(type(self).__module__),
                config.model_dump(),
                seed,
                *(values.numpy() for part in parts.values() for values in part),
            ),
        )

    def sees(self, planets: xr.Dataset) -> np.ndarray:
        """See :meth:`PosteriorEstimator.sees`."""
        data = planet_tensors(planets)
        return torch.cat([data.depth, self._extra(data)], dim=1).isfinite().all(dim=1).numpy()

    def _repeated(self, data: PlanetTensors, generator: torch.Generator) -> list[Tensor]:
        """Depths, extra inputs and theta of the noisy copies, one planet's beside each other."""
        copies = self.config.repeats if data.noisy else 1
        repeated = data.rows(torch.arange(len(data)).repeat_interleave(copies))
        return [repeated.with_noise(generator).depth, self._extra(repeated), repeated.theta]

    def _extra(self, data: PlanetTensors) -> Tensor:
        columns = {
            "star_radius": data.star_radius_m / SOLAR_RADIUS_M,
            "planet_radius": None
            if data.known_radius_m is None
            else data.known_radius_m / JUPITER_RADIUS_M,
        }
        chosen = [columns[name] for name in self.config.extra_inputs]
        if any(column is None for column in chosen):
            raise ArielflowError(f"{self.family}: the planets' radius, an input, is not known")
        return torch.stack(chosen, dim=1) if chosen else data.depth[:, :0]

    @torch.no_grad()
    def sample(
        self, planets: xr.Dataset, n_samples: int, *, seed: int, device: str = "auto"
    ) -> xr.Dataset:
        """See :meth:`PosteriorEstimator.sample`; ``n_samples`` stochastic passes, clipped."""
        target = resolve_device(device)
        self._check_seen(planets)
        network, data = self.network.to(target), planet_tensors(planets)
        torch.manual_seed(seed)
        network.eval()
        embedded = network.embed(data.depth.to(target), self._extra(data).to(target))
        network.train()
        at_once = max(1, _PASSES_AT_ONCE // n_samples)
        passes = [
            network.dense(part.repeat_interleave(n_samples, dim=0))
            for part in embedded.split(at_once)
        ]
        network.eval()
        standardised = torch.cat(passes).double().reshape(len(data), n_samples, -1)
        theta = (standardised * network.theta_deviation + network.theta_mean).cpu().numpy()
        low, high = (planets[name].values[:, None, :] for name in ("prior_low", "prior_high"))
        return posterior_dataset(planets, np.clip(theta, low, high))

    def moments(
        self, planets: PlanetTensors, n_samples: int, *, seed: int
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`PosteriorEstimator.moments`; the base draws are what is dropped."""
        network = self.network
        embedded = self.embedding(planets)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network.train()
            passes = network.dense(embedded.repeat_interleave(n_samples, dim=0))
            network.eval()
        theta = passes.double() * network.theta_deviation + network.theta_mean
        theta = theta.unflatten(0, (-1, n_samples))
        theta = theta.clamp(planets.low[:, None], planets.high[:, None])
        return theta.mean(dim=1), theta.var(dim=1)

    def embedding(self, planets: PlanetTensors) -> Tensor:
        """See :meth:`PosteriorEstimator.embedding`."""
        return self.network.eval().embed(planets.depth, self._extra(planets))

    def _save_state(self, directory: Path) -> None:
        path = directory / self.state_files[0]
        save_network(self.network, path, {"n_bins": str(self.n_bins)})

    def _load_state(self, directory: Path) -> None:
        def build(state: dict[str, Tensor], metadata: dict[str, str]) -> _Network:
            self.n_bins = int(metadata["n_bins"])
            return _Network(self.config, self.n_bins, len(state["theta_mean"]))

        self.network = load_network(directory / self.state_files[0], build)
