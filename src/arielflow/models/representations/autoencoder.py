"""Autoencoders of spectra: deterministic, or variational (Kingma & Welling 2014, arXiv:1312.6114).

Self-supervised: they see spectra and no parameters. The variational one draws the latent variables
from a Gaussian per planet and pays ``kl_weight`` for every nat by which this one differs from a
standard normal (as in Higgins et al. 2017, beta-VAE, with the squared error as the likelihood);
encoding gives its mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from arielflow.core.code import code_digest
from arielflow.core.device import resolve_device
from arielflow.core.seeds import fingerprint
from arielflow.models.network_file import load_network, save_network
from arielflow.models.networks.residual import ResidualMLP
from arielflow.models.representations.scaled import ScaledRepresentation
from arielflow.models.training import train
from arielflow.settings.representations.autoencoder import Config


class Network(nn.Module):
    """Encoder to a Gaussian of the latent variables, and decoder, with the scaling as buffers."""

    def __init__(self, config: Config, n_bins: int, n_conditions: int = 0) -> None:
        super().__init__()
        self.kl_weight = config.kl_weight
        width, blocks = config.width, config.blocks
        self.encoder = ResidualMLP(n_bins, width, blocks, 2 * config.n_latent)
        self.decoder = ResidualMLP(config.n_latent + n_conditions, width, blocks, n_bins)
        for name in ("centre", "scale"):
            self.register_buffer(name, torch.zeros(n_bins, dtype=torch.float64))

    def encode(self, spectra: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of the latent variables, each (planet, latent)."""
        mean, log_variance = self.encoder(spectra).chunk(2, dim=1)
        return mean, log_variance

    def draw(self, spectra: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Latent variables (planet, latent), and their divergence from the normal (planet,)."""
        mean, log_variance = self.encode(spectra)
        if not self.kl_weight:
            return mean, torch.zeros(len(mean), device=mean.device)
        # On the CPU always, so that a GPU sees the same noise.
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1)
        return mean + torch.exp(0.5 * log_variance) * noise, divergence

    def penalised_error(self, spectra: Tensor, decoded: Tensor, divergence: Tensor) -> Tensor:
        """Mean squared error a bin, with the weighted divergence."""
        error = nn.functional.mse_loss(decoded, spectra)
        return error + self.kl_weight * divergence.mean() / spectra.shape[1]


class Representation(ScaledRepresentation):
    """See the module's docstring and :class:`SpectrumRepresentation`.

    A representation that an autoencoder is part of overrides ``_build``, ``_prepare``, ``_inputs``,
    ``_given``, ``_loss`` and ``decode``; training and files are the same.
    """

    family: ClassVar[str] = "autoencoder"
    state_files: ClassVar[tuple[str, ...]] = ("network.safetensors",)
    Config = Config
    network: Network

    def _build(self, n_bins: int) -> Network:
        """The untrained network."""
        return Network(self.config, n_bins)

    def _prepare(self, train: xr.Dataset, scaled: np.ndarray) -> None:
        """Fit what of the network is not trained by steps; nothing here."""

    def _inputs(self, planets: xr.Dataset) -> Tensor:
        """What is encoded (planet, wavelength)."""
        return _tensor(self.scaled(planets))

    def _given(self, planets: xr.Dataset) -> tuple[Tensor, ...]:
        """What the loss takes of planets, the inputs first; all with one row per planet."""
        return (self._inputs(planets),)

    def _loss(self, split: str, generator: torch.Generator, spectra: Tensor) -> Tensor:
        """Mean loss of rows of a split."""
        latent, divergence = self.network.draw(spectra, generator)
        return self.network.penalised_error(spectra, self.network.decoder(latent), divergence)

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
        """See :meth:`TrainedModel.fit`."""
        scaled = self._fit_scaling(train_planets)
        torch.manual_seed(seed)
        self.network = self._build(scaled.shape[1])
        self._prepare(train_planets, scaled)
        given = {"train": self._given(train_planets), "valid": self._given(valid_planets)}

        def loss(split: str, rows: Tensor, generator: torch.Generator) -> Tensor:
            chosen = (values[rows.cpu()].to(self.network.centre.device) for values in given[split])
            return self._loss(split, generator, *chosen)

        return train(
            self.network,
            loss,
            tuple(len(values[0]) for values in given.values()),
            self.config.training,
            seed=seed,
            device=device,
            state_dir=state_dir,
            identity=fingerprint(
                code_digest(type(self).__module__),
                self.config.model_dump(),
                seed,
                *(values.numpy() for pair in given.values() for values in pair),
            ),
        )

    @torch.no_grad()
    def encode(self, planets: xr.Dataset, *, device: str = "auto") -> np.ndarray:
        """See :meth:`SpectrumRepresentation.encode`."""
        network = self.network.to(resolve_device(device))
        spectra = self._inputs(planets).to(network.centre.device)
        return network.encode(spectra)[0].cpu().double().numpy()

    @torch.no_grad()
    def decode(self, latent: np.ndarray, *, device: str = "auto") -> np.ndarray:
        """See :meth:`SpectrumRepresentation.decode`."""
        network = self.network.to(resolve_device(device))
        given = _tensor(self._checked(latent)).to(network.centre.device)
        return network.decoder(given).cpu().double().numpy()

    def _save_state(self, directory: Path) -> None:
        for name, values in self._scaling_arrays().items():
            getattr(self.network, name).copy_(torch.as_tensor(values))
        save_network(self.network, directory / self.state_files[0])

    def _load_state(self, directory: Path) -> None:
        path = directory / self.state_files[0]
        self.network = load_network(path, lambda state, _: self._build(len(state["centre"])))
        self._restore_scaling(
            {name: getattr(self.network, name).numpy().copy() for name in ("centre", "scale")}
        )


def _tensor(values: np.ndarray) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32)
