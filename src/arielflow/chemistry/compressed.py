"""A reaction network compressed by an autoencoder (Grassi et al. 2022, A&A 668, A139).

An encoder turns the logarithmic abundances of all species into a few positive *latent species*.
These evolve by a small reaction network of their own, with mass-action rates that are learnt,

    i → i + 1  at rate k_i z_i,        i + (i - 1) → 2 (i - 1)  at rate q_i z_i z_(i-1),

around a ring, so that the sum of the latent abundances is conserved; a decoder gives the abundances
back. Time is the logarithm of time, from 0 at the first recorded time to 1 at the last. The losses
are errors of the reconstruction, of the derivatives in latent and in full space, and of integrated
trajectories (as in Sulzer & Buck 2023, arXiv:2312.06015).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn
from torch.func import jvp
from torchdiffeq import odeint

from arielflow.chemistry.solver import FLOOR
from arielflow.core.code import code_digest
from arielflow.core.config import strict_settings
from arielflow.core.errors import ArielflowError
from arielflow.core.seeds import fingerprint
from arielflow.models.description import model_guard, read_description, write_description
from arielflow.models.network_file import load_network, save_network
from arielflow.models.networks.residual import ResidualMLP
from arielflow.models.training import train
from arielflow.settings.chemistry import CompressionSettings

_DESCRIPTION = "compressed.json"
_WEIGHTS = "network.safetensors"
# Species that hardly vary would be blown up by their standard deviation alone [dex].
_SMALLEST_SCALE = 0.05
# A reaction slower than this leaves no trace within the unit of time.
_INERT_RATE = 1e-3


class LatentNetwork(nn.Module):
    """Mass-action kinetics of the latent species; see the module's docstring."""

    def __init__(self, n_latent: int) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.randn(2, n_latent, n_latent) * 0.5 - 1.0)
        ring = torch.eye(n_latent).roll(1, dims=1)
        self.register_buffer("present", torch.stack([ring, ring.T]))

    def rates(self) -> Tensor:
        """Rate coefficients (order, from, to) of the lone and of the catalysed reactions."""
        return nn.functional.softplus(self.raw) * self.present

    def matrix(self) -> Tensor:
        """Gains less losses (from, 2 latent): of the lone reactions, then of the catalysed ones."""
        lone, catalysed = self.rates()
        return torch.cat([lone - torch.diag(lone.sum(dim=1)), catalysed - catalysed.T], dim=1)

    @staticmethod
    def derivative(matrix: Tensor, z: Tensor) -> Tensor:
        """Derivative of latent abundances (…, latent) by the logarithmic time."""
        lone, catalysed = (z @ matrix).chunk(2, dim=-1)
        return lone + z * catalysed


class _Modules(nn.Module):
    """Encoder, latent network and decoder; standardisation of log10 abundances as buffers."""

    def __init__(self, settings: CompressionSettings, n_species: int, n_times: int) -> None:
        super().__init__()
        width, blocks, latent = settings.width, settings.blocks, settings.n_latent
        self.encoder = ResidualMLP(n_species, width, blocks, latent)
        self.decoder = ResidualMLP(latent, width, blocks, n_species)
        self.kinetics = LatentNetwork(latent)
        self.register_buffer("mean", torch.zeros(n_species))
        self.register_buffer("scale", torch.ones(n_species))
        self.register_buffer("time", torch.linspace(0, 1, n_times))

    def encode(self, log_abundance: Tensor) -> Tensor:
        """Latent abundances (…, latent) of log10 abundances (…, species)."""
        return nn.functional.softplus(self.encoder((log_abundance - self.mean) / self.scale))

    def decode(self, z: Tensor) -> Tensor:
        """The log10 abundances (…, species) of latent abundances (…, latent)."""
        return self.decoder(z) * self.scale + self.mean

    def evolve(self, z: Tensor) -> Tensor:
        """Latent abundances (time, cloud, latent) from those at the first time (cloud, latent)."""
        matrix = self.kinetics.matrix()
        return odeint(
            lambda _, state: self.kinetics.derivative(matrix, state), z, self.time, method="rk4"
        )


class CompressedNetwork:
    """A trained stand-in of a reaction network; see the module's docstring.

    Attributes
    ----------
    settings : CompressionSettings
        Settings of the compression.
    species : list[str]
        Names of the species, in the order of the abundances' last axis.
    times_yr : np.ndarray
        Recorded times (time,) [yr].
    """

    def __init__(self, settings: CompressionSettings) -> None:
        self.settings = settings

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> CompressedNetwork:
        """An untrained one.

        Raises
        ------
        ArielflowError
            A setting is unknown or out of range; the message lists the valid ones.
        """
        return cls(strict_settings(CompressionSettings, settings, "chemistry.compression"))

    def fit(
        self,
        clouds: xr.Dataset,
        valid: xr.Dataset,
        *,
        seed: int,
        device: str = "auto",
        state_dir: Path | None = None,
    ) -> pd.DataFrame:
        """Train on trajectories and return the history: ``epoch``, ``train_loss``, ``valid_loss``.

        Parameters
        ----------
        clouds, valid
            Trajectories of :func:`arielflow.chemistry.solver.trajectories`.
        seed, device, state_dir
            What the training takes, see :func:`arielflow.models.training.train`.
        """
        self.species = [str(name) for name in clouds["species"].values]
        self.times_yr = clouds["time"].values
        splits = {"train": clouds, "valid": valid}
        data = {
            name: (
                _tensor(log_abundance(part["abundance"].values)),
                _tensor(part["slope"].values),
            )
            for name, part in splits.items()
        }
        torch.manual_seed(seed)
        self.network = network = _Modules(self.settings, len(self.species), len(self.times_yr))
        known = data["train"][0].flatten(0, 1)
        network.mean.copy_(known.mean(dim=0))
        network.scale.copy_(known.std(dim=0).clamp(min=_SMALLEST_SCALE))

        def loss(split: str, rows: Tensor, _: torch.Generator) -> Tensor:
            x, slope = (values[rows.cpu()].to(network.mean.device) for values in data[split])
            return self._loss(x, slope)

        return train(
            network,
            loss,
            (clouds.sizes["cloud"], valid.sizes["cloud"]),
            self.settings.training,
            seed=seed,
            device=device,
            state_dir=state_dir,
            identity=fingerprint(
                code_digest(type(self).__module__),
                self.settings.model_dump(),
                seed,
                *(values.numpy() for pair in data.values() for values in pair),
            ),
        )

    def _loss(self, x: Tensor, slope: Tensor) -> Tensor:
        """Weighted sum of the losses of log10 abundances (cloud, time, species) and slopes."""
        settings, network = self.settings, self.network
        with torch.enable_grad():
            z, z_slope = jvp(network.encode, (x,), (slope,))
        kinetics = network.kinetics.derivative(network.kinetics.matrix(), z)
        back, back_slope = jvp(network.decode, (z,), (kinetics,))
        path = network.evolve(z[:, 0]).transpose(0, 1)
        derivative = (z_slope - kinetics).abs().mean() + (back_slope - slope).abs().mean()
        trajectory = (network.decode(path) - x).abs().mean() + (path - z).abs().mean()
        return (
            settings.reconstruction * (back - x).abs().mean()
            + settings.derivative * derivative
            + settings.trajectory * trajectory
            + settings.sparsity * network.kinetics.rates().sum()
        )

    @torch.no_grad()
    def encode(self, abundance: np.ndarray) -> np.ndarray:
        """Latent abundances (…, latent) of abundances (…, species)."""
        return self.network.encode(_tensor(log_abundance(abundance))).numpy()

    @torch.no_grad()
    def reconstruct(self, abundance: np.ndarray) -> np.ndarray:
        """Abundances (…, species) through encoder and decoder, without any dynamics."""
        decoded = self.network.decode(self.network.encode(_tensor(log_abundance(abundance))))
        return 10.0 ** decoded.double().numpy()

    @torch.no_grad()
    def predict(self, first: np.ndarray) -> np.ndarray:
        """Abundances (cloud, time, species) from those at the first time (cloud, species).

        Raises
        ------
        ArielflowError
            The number of species is another, or an abundance is not finite or negative.
        """
        return 10.0 ** self.network.decode(self._path(first)).double().numpy()

    @torch.no_grad()
    def latent_path(self, first: np.ndarray) -> np.ndarray:
        """Latent abundances (cloud, time, latent) behind :meth:`predict`."""
        return self._path(first).numpy()

    def _path(self, first: np.ndarray) -> Tensor:
        wanted = len(self.species)
        if first.ndim != 2 or first.shape[1] != wanted or not (first >= 0).all():
            raise ArielflowError(
                f"chemistry: abundances of shape {first.shape}, expected (cloud, {wanted}), finite "
                f"and not negative, in the order {', '.join(self.species)}"
            )
        z = self.network.encode(_tensor(log_abundance(first)))
        return self.network.evolve(z).transpose(0, 1)

    @torch.no_grad()
    def reactions(self) -> pd.DataFrame:
        """Latent reactions that matter: ``reaction`` and ``rate``, the fastest first."""
        rows = [
            {"reaction": text.format(i + 1, j + 1), "rate": float(rates[i, j])}
            for text, rates in zip(
                ("z{0} → z{1}", "z{0} + z{1} → 2 z{1}"), self.network.kinetics.rates(), strict=True
            )
            for i, j in np.ndindex(*rates.shape)
            if rates[i, j] > _INERT_RATE
        ]
        table = pd.DataFrame(rows, columns=["reaction", "rate"])
        return table.sort_values("rate", ascending=False, ignore_index=True)

    def save(self, directory: str | Path) -> None:
        """Write the trained network to a folder, as safetensors and JSON."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        save_network(self.network, directory / _WEIGHTS)
        description = {
            "settings": self.settings.model_dump(mode="json"),
            "species": self.species,
            "times_yr": self.times_yr.tolist(),
        }
        write_description(directory / _DESCRIPTION, description, [_WEIGHTS])

    @classmethod
    def load(cls, directory: str | Path) -> CompressedNetwork:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ArielflowError
            The folder holds no compressed network, or it is damaged.
        """
        path = Path(directory) / _DESCRIPTION
        if not path.is_file():
            raise ArielflowError(f"{directory}: holds no compressed network; train it first")
        description = read_description(path, ["settings", "species", "times_yr"], [_WEIGHTS])
        with model_guard(directory):
            model = cls.from_settings(description["settings"])
            model.species = [str(name) for name in description["species"]]
            model.times_yr = np.array(description["times_yr"], dtype=float)
            if model.times_yr.ndim != 1 or not (np.diff(model.times_yr) > 0).all():
                raise ValueError("times_yr do not ascend")

            def build(state: dict[str, Tensor], _: dict[str, str]) -> _Modules:
                sizes = len(model.species), len(model.times_yr)
                if sizes != (len(state["mean"]), len(state["time"])):
                    raise ValueError(f"{sizes[0]} species and {sizes[1]} times")
                return _Modules(model.settings, *sizes)

            model.network = load_network(Path(directory) / _WEIGHTS, build)
        return model


def log_abundance(abundance: np.ndarray) -> np.ndarray:
    """The log10 of abundances, cut at the floor."""
    return np.log10(np.maximum(abundance, FLOOR))


def _tensor(values: np.ndarray) -> Tensor:
    return torch.as_tensor(np.asarray(values), dtype=torch.float32)
