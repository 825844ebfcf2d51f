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

from typing import ClassVar

import numpy as np
import torch
import xarray as xr
from sklearn.preprocessing import PolynomialFeatures
from torch import Tensor, nn

from arielflow.core.device import resolve_device
from arielflow.core.errors import ArielflowError
from arielflow.core.schema import target_index
from arielflow.models.networks.residual import ResidualMLP
from arielflow.models.representations import autoencoder
from arielflow.settings.representations.disentangled import Config

_WEIGHT = 0.1
_DEGREE = 4


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


class Representation(autoencoder.Representation):
    """See the module's docstring and :class:`SpectrumRepresentation`.

    With ``poly``, encoding needs planets with known factors.
    """

    family: ClassVar[str] = "disentangled"
    Config = Config
    network: _Network

    def _build(self, n_bins: int) -> _Network:
        return _Network(self.config, n_bins)

    def _prepare(self, train: xr.Dataset, scaled: np.ndarray) -> None:
        """Fit the scaling of the factors and, where there is one, the polynomial of them."""
        network, raw = self.network, nuisance_factors(train, self.config.nuisance)
        network.factor_mean.copy_(torch.as_tensor(raw.mean(axis=0)))
        network.factor_deviation.copy_(torch.as_tensor(raw.std(axis=0)))
        if self.config.method == "poly":
            terms = network.polynomial.transform(network.factors(raw).numpy())
            found = np.linalg.lstsq(terms, scaled, rcond=None)[0]
            network.coefficients.copy_(torch.as_tensor(found))

    def _factors(self, planets: xr.Dataset) -> Tensor:
        """Standardised factors (planet, factor), double precision."""
        return self.network.factors(nuisance_factors(planets, self.config.nuisance))

    def _inputs(self, planets: xr.Dataset) -> Tensor:
        """What is encoded: scaled spectra, less the polynomial's prediction where there is one."""
        spectra = torch.as_tensor(self.scaled(planets))
        if self.config.method == "poly":
            spectra = spectra - self.network.predicted(self._factors(planets))
        return spectra.float()

    def _given(self, planets: xr.Dataset) -> tuple[Tensor, ...]:
        return self._inputs(planets), self._factors(planets).float()

    def _loss(
        self, split: str, generator: torch.Generator, spectra: Tensor, factors: Tensor
    ) -> Tensor:
        network = self.network
        if network.method == "poly":
            return super()._loss(split, generator, spectra)
        latent, divergence = network.draw(spectra, generator)
        decoded = network.decoder(torch.cat([latent, factors], dim=1))
        error = network.penalised_error(spectra, decoded, divergence)
        # The adversary climbs what it learns, the encoder's reversed gradient descends it.
        sign = -1 if split == "train" else 1
        return error + sign * network.weight * network.learnt(latent, factors)

    @torch.no_grad()
    def decode(self, latent: np.ndarray, *, device: str = "auto") -> np.ndarray:
        """Scaled spectra (planet, wavelength) of planets with the mean nuisance factors."""
        average = torch.zeros(len(latent), len(self.config.nuisance), dtype=torch.float64)
        if self.config.method == "poly":
            decoded = super().decode(latent, device=device)
            return decoded + self.network.predicted(average).numpy()
        network = self.network.to(resolve_device(device))
        given = torch.cat([torch.as_tensor(self._checked(latent)), average], dim=1).float()
        return network.decoder(given.to(network.centre.device)).cpu().double().numpy()
