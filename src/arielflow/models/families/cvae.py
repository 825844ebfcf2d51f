"""Conditional variational autoencoder: a latent variable makes a simple density of theta flexible.

Sohn et al. (2015, NeurIPS) for the method, Gabbard et al. (2022, Nat. Phys. 18) for posteriors.
Given the embedded spectrum x and the coordinates c of theta, three networks give normal
distributions: the prior p(z|x) of the latent variable, its encoder q(z|x, c) in training, and the
decoder p(c|z, x). The last has independent targets, so that whatever correlates them must pass
through z: it cannot be left unused as easily as with a decoder that knows all shapes by itself. The
loss is the negative evidence lower bound, its divergence of q from p warmed up over the first
epochs (Sønderby et al. 2016, NeurIPS), with z drawn by reparameterisation (Kingma & Welling 2014).

Samples pass from p(z|x) through the decoder. The density is the importance-weighted bound of Burda
et al. (2016, ICLR), a lower bound in expectation that closes with ``importance_draws``. Its draws
of the encoder are a fixed Sobol sequence through the normal quantile function: the same theta
always gets the same density.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn.functional import softplus
from torch.quasirandom import SobolEngine

from arielflow.models.families._density import (
    DensityEstimator,
    NetworkShape,
    density_search_space,
)
from arielflow.models.features import PlanetTensors
from arielflow.models.networks.residual import ResidualMLP, WarmUp
from arielflow.settings.base import Activation
from arielflow.settings.families.cvae import Config

if TYPE_CHECKING:
    import xarray as xr
    from optuna import Trial

# The narrowest width that a distribution may take, in units of the prior's.
_NARROWEST = 1e-3
_POINTS_AT_ONCE = 2_000


def search_space(trial: Trial, config: Config) -> dict[str, Any]:
    """Settings that a trial of a hyper-parameter search proposes in place of the model's own.

    The warm-up stays, it belongs to the training's length.
    """
    return density_search_space(trial, config) | {
        "latent": trial.suggest_int("latent", 4, 16, step=4),
        "width": trial.suggest_categorical("width", [64, 128, 256]),
        "blocks": trial.suggest_int("blocks", 1, 3),
    }


class _Normals(nn.Module):
    """Network whose outputs are the means and widths of independent normals."""

    def __init__(
        self, inputs: int, width: int, blocks: int, outputs: int, activation: Activation
    ) -> None:
        super().__init__()
        self.network = ResidualMLP(inputs, width, blocks, 2 * outputs, activation=activation)

    def forward(self, *inputs: Tensor) -> Independent:
        mean, width = self.network(torch.cat(inputs, dim=-1)).chunk(2, dim=-1)
        return Independent(
            Normal(mean, softplus(width) + _NARROWEST, validate_args=False), 1, validate_args=False
        )


class _Autoencoder(nn.Module):
    """The density of the coordinates; see the module's docstring."""

    def __init__(self, config: Config, n_targets: int) -> None:
        super().__init__()
        sizes = (config.width, config.blocks)
        given, latent = config.embedding, config.latent
        self.prior = _Normals(given, *sizes, latent, config.activation)
        self.encoder = _Normals(given + n_targets, *sizes, latent, config.activation)
        self.decoder = _Normals(given + latent, *sizes, n_targets, config.activation)
        self.warm_up = WarmUp()
        points = SobolEngine(latent, scramble=True, seed=0).draw(config.importance_draws)
        normals = torch.special.ndtri(points.double().clamp(1e-6, 1 - 1e-6)).float()
        self.register_buffer("normals", normals, persistent=False)

    def loss(self, z: Tensor, embedding: Tensor, generator: torch.Generator) -> Tensor:
        """Mean negative evidence lower bound, the divergence in closed form.

        Drawn on the CPU always, so that a GPU sees the same noise.
        """
        encoded = self.encoder(embedding, z)
        noise = torch.randn(encoded.mean.shape, generator=generator).to(z.device)
        decoded = self.decoder(embedding, encoded.mean + encoded.stddev * noise)
        divergence = kl_divergence(encoded, self.prior(embedding)).mean()
        return self.warm_up(len(z)) * divergence - decoded.log_prob(z).mean()

    def log_prob(self, z: Tensor, embedding: Tensor) -> Tensor:
        """Natural log-density (row,) at z (row, target)."""
        parts = zip(z.split(_POINTS_AT_ONCE), embedding.split(_POINTS_AT_ONCE), strict=True)
        return torch.cat([self._importance_weighted(*part) for part in parts])

    def _importance_weighted(self, z: Tensor, embedding: Tensor) -> Tensor:
        encoded, prior = self.encoder(embedding, z), self.prior(embedding)
        latent = encoded.mean + encoded.stddev * self.normals[:, None]
        decoded = self.decoder(embedding.expand(len(latent), -1, -1), latent)
        log_weight = decoded.log_prob(z) + prior.log_prob(latent) - encoded.log_prob(latent)
        return torch.logsumexp(log_weight, dim=0) - np.log(len(latent))

    def sample_and_log_prob(self, n: int, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Samples (row, n, target) and their natural log-density (row, n).

        Drawn on the CPU always, so that a GPU gives the same samples.
        """
        given = embedding.repeat_interleave(n, dim=0)
        prior = self.prior(given)
        latent = prior.mean + prior.stddev * torch.randn(prior.mean.shape).to(given.device)
        decoded = self.decoder(given, latent)
        z = decoded.mean + decoded.stddev * torch.randn(decoded.mean.shape).to(given.device)
        return z.unflatten(0, (-1, n)), self.log_prob(z, given).unflatten(0, (-1, n))


class Estimator(DensityEstimator):
    """See the module's docstring and :class:`PosteriorEstimator`."""

    family: ClassVar[str] = "cvae"
    Config = Config
    config: Config

    def _density(self, shape: NetworkShape) -> nn.Module:
        return _Autoencoder(self.config, shape.n_targets)

    def _prepare(self, planets: xr.Dataset, seen: PlanetTensors, seed: int) -> None:
        super()._prepare(planets, seen, seed)
        self.network.density.warm_up.over(len(seen) * self.config.warm_up)
