"""Latent variables of a spectrum without what nuisance factors leave in it.

After de Mijolla et al. 2021 (ApJ 913, 12), who take temperature and gravity out of stellar spectra
so that what remains tells chemistry. Nuisance factors here are those of a planet: temperature,
radius and noise level. Three ways:

- ``factor``: a discriminator tells pairs of latent variables and own factors from pairs with the
  factors of another planet; the encoder makes that impossible.
- ``fader``: an adversary predicts the factors from the latent variables (Lample et al. 2017,
  arXiv:1706.00409); the encoder makes that impossible.
- ``poly``: what a polynomial of the factors predicts of the scaled spectra is taken off before they
  are encoded.

In the first two the decoder is given the factors, and a reversed gradient (Ganin & Lempitsky 2015,
arXiv:1409.7495) trains encoder and adversary in one pass.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
import torch
import xarray as xr
from pydantic import Field, model_validator
from safetensors.torch import load_file, save_file
from sklearn.preprocessing import PolynomialFeatures
from torch import Tensor, nn

from arielflow.errors import ArielflowError
from arielflow.models import autoencoder
from arielflow.models.networks import ResidualMLP
from arielflow.models.scaled import ScaledRepresentation
from arielflow.schema import target_index
from arielflow.training import TrainingSettings, fingerprint, resolve_device, train

Factor = Literal["temperature", "radius", "noise"]
_WEIGHT = 0.1
_DEGREE = 4


class Config(autoencoder.Config):
    """Settings: those of :class:`arielflow.models.autoencoder.Config`, and

    Attributes
    ----------
    method : ``factor``, ``fader`` or ``poly``, see the module's docstring
    nuisance : factors to take out
    weight : of the adversary; None for 0.1; not a setting of ``poly``
    degree : of the polynomial; None for 4; a setting of ``poly`` alone
    """

    method: Literal["factor", "fader", "poly"] = "factor"
    nuisance: tuple[Factor, ...] = Field(("temperature", "radius", "noise"), min_length=1)
    weight: float | None = Field(None, gt=0)
    degree: int | None = Field(None, ge=1)
    training: TrainingSettings = TrainingSettings(
        epochs=25, batch_size=256, learning_rate=4e-3, patience=25
    )

    @model_validator(mode="after")
    def _applicable(self) -> Config:
        other = "weight" if self.method == "poly" else "degree"
        if getattr(self, other) is not None:
            raise ValueError(f"{other} is no setting of method {self.method}")
        return self


def nuisance_factors(planets: xr.Dataset, names: tuple[str, ...]) -> np.ndarray:
    """Factors (planet, factor): temperature [K], log10 of radius [R_Jup] and of the median error.

    Raises
    ------
    ArielflowError
        The planets lack one, or their parameters are not known.
    """
    columns = []
    for name in names:
        if name == "noise":
            columns.append(np.log10(np.median(planets["transit_depth_error"].values, axis=1)))
            continue
        column = target_index(planets, f"planet_{name}")
        if column is None or not np.isfinite(planets["theta"].values[:, column]).all():
            raise ArielflowError(
                f"disentangle.nuisance: {name} is no known target of these planets; choose among "
                "what they have, or planets with known parameters"
            )
        values = planets["theta"].values[:, column]
        columns.append(np.log10(values) if name == "radius" else values)
    return np.stack(columns, axis=1)


class _Reversed(torch.autograd.Function):
    """Identity whose gradient has the other sign."""

    @staticmethod
    def forward(_, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(_, gradient: Tensor) -> Tensor:
        return -gradient


class _Network(autoencoder.Network):
    """An autoencoder with conditions, an adversary, and the scaling of the factors as buffers."""

    def __init__(self, config: Config, n_bins: int) -> None:
        n_factors = len(config.nuisance)
        super().__init__(config, n_bins, 0 if config.method == "poly" else n_factors)
        self.method, self.weight = config.method, config.weight or _WEIGHT
        self.polynomial = PolynomialFeatures(config.degree or _DEGREE)
        n_terms = self.polynomial.fit(np.zeros((1, n_factors))).n_output_features_
        double = {"dtype": torch.float64}
        self.register_buffer("factor_mean", torch.zeros(n_factors, **double))
        self.register_buffer("factor_deviation", torch.ones(n_factors, **double))
        self.register_buffer("coefficients", torch.zeros(n_terms, n_bins, **double))
        if config.method == "factor":
            self.adversary = ResidualMLP(config.n_latent + n_factors, config.width, 1, 1)
        elif config.method == "fader":
            self.adversary = ResidualMLP(config.n_latent, config.width, 1, n_factors)

    def factors(self, raw: np.ndarray) -> Tensor:
        """Standardised factors (planet, factor) on the CPU, double precision."""
        mean, deviation = self.factor_mean.cpu(), self.factor_deviation.cpu()
        return (torch.as_tensor(raw) - mean) / deviation

    def predicted(self, factors: Tensor) -> Tensor:
        """What the polynomial of the standardised factors predicts (planet, wavelength)."""
        return torch.as_tensor(self.polynomial.transform(factors.numpy())) @ self.coefficients.cpu()

    def learnt(self, latent: Tensor, factors: Tensor) -> Tensor:
        """What the adversary learns from the latent variables: 0 for nothing, 1 for all."""
        hidden = _Reversed.apply(latent)
        if self.method == "fader":
            return 1 - nn.functional.mse_loss(self.adversary(hidden), factors)
        # Factors of the next planet of the batch: as probable, but not the planet's own.
        pairs = [torch.cat([hidden, f], dim=1) for f in (factors, factors.roll(1, dims=0))]
        own, other = (self.adversary(pair) for pair in pairs)
        entropy = nn.functional.softplus(-own).mean() + nn.functional.softplus(other).mean()
        return 1 - entropy / (2 * np.log(2))


class Representation(ScaledRepresentation):
    """See the module's docstring and :class:`SpectrumRepresentation`.

    With ``poly``, encoding needs planets with known factors.
    """

    family: ClassVar[str] = "disentangled"
    Config = Config
    network: _Network

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
        self.network = network = _Network(self.config, scaled.shape[1])
        raw = nuisance_factors(train_planets, self.config.nuisance)
        network.factor_mean.copy_(torch.as_tensor(raw.mean(axis=0)))
        network.factor_deviation.copy_(torch.as_tensor(raw.std(axis=0)))
        if self.config.method == "poly":
            terms = network.polynomial.transform(network.factors(raw).numpy())
            found = np.linalg.lstsq(terms, scaled, rcond=None)[0]
            network.coefficients.copy_(torch.as_tensor(found))
        splits = {"train": train_planets, "valid": valid_planets}
        spectra = {name: self._inputs(planets) for name, planets in splits.items()}
        factors = {
            name: network.factors(nuisance_factors(planets, self.config.nuisance)).float()
            for name, planets in splits.items()
        }

        def loss(split: str, rows: Tensor, generator: torch.Generator) -> Tensor:
            place = network.centre.device
            x, f = (values[split][rows.cpu()].to(place) for values in (spectra, factors))
            latent, divergence = network.draw(x, generator)
            if network.method == "poly":
                return network.penalised_error(x, network.decoder(latent), divergence)
            decoded = network.decoder(torch.cat([latent, f], dim=1))
            error = network.penalised_error(x, decoded, divergence)
            # The adversary climbs what it learns, the encoder's reversed gradient descends it.
            sign = -1 if split == "train" else 1
            return error + sign * network.weight * network.learnt(latent, f)

        return train(
            network,
            loss,
            tuple(len(values) for values in spectra.values()),
            self.config.training,
            seed=seed,
            device=device,
            state_dir=state_dir,
            identity=fingerprint(
                self.config.model_dump(), seed, spectra["train"].numpy(), factors["train"].numpy()
            ),
        )

    def _inputs(self, planets: xr.Dataset) -> Tensor:
        """What is encoded: scaled spectra, less the polynomial's prediction where there is one."""
        spectra = torch.as_tensor(self.scaled(planets))
        if self.config.method == "poly":
            raw = nuisance_factors(planets, self.config.nuisance)
            spectra = spectra - self.network.predicted(self.network.factors(raw))
        return spectra.float()

    @torch.no_grad()
    def encode(self, planets: xr.Dataset, *, device: str = "auto") -> np.ndarray:
        """See :meth:`SpectrumRepresentation.encode`."""
        network = self.network.to(resolve_device(device))
        return network.encode(self._inputs(planets).to(network.centre.device))[0].cpu().numpy()

    @torch.no_grad()
    def decode(self, latent: np.ndarray, *, device: str = "auto") -> np.ndarray:
        """Scaled spectra (planet, wavelength) of planets with the mean nuisance factors."""
        network = self.network.to(resolve_device(device))
        place = network.centre.device
        given = torch.as_tensor(self._checked(latent), dtype=torch.float32).to(place)
        average = torch.zeros(len(latent), len(self.config.nuisance), dtype=torch.float64)
        if self.config.method == "poly":
            decoded = network.decoder(given).cpu().double() + network.predicted(average)
        else:
            decoded = network.decoder(torch.cat([given, average.float().to(place)], dim=1)).cpu()
        return decoded.double().numpy()

    def _save_state(self, directory: Path) -> None:
        for name, values in self._scaling_arrays().items():
            getattr(self.network, name).copy_(torch.as_tensor(values))
        state = {k: v.contiguous() for k, v in self.network.cpu().state_dict().items()}
        save_file(state, directory / "network.safetensors")

    def _load_state(self, directory: Path) -> None:
        state = load_file(directory / "network.safetensors")
        self.network = _Network(self.config, len(state["centre"]))
        self.network.load_state_dict(state)
        self.network.eval()
        self._restore_scaling({name: state[name].numpy() for name in ("centre", "scale")})
