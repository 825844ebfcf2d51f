"""Bayesian neural networks: a Gaussian of theta whose network's weights are uncertain.

The network gives mean and Cholesky factor of a full-covariance Gaussian of the coordinates of
theta, so that it learns the correlations between targets and how they depend on the spectrum
(plan-net, Cobb et al. 2019, AJ 158, 33), or a mixture of such. Its weights, all of them or those of
the last layer, have normal priors and an approximate posterior that Pyro fits by stochastic
variational inference (Hoffman et al. 2013, JMLR 14, 1303): the loss is the negative evidence lower
bound per training planet. ``bayesian: none`` trains the same network without priors, a member of a
deep ensemble (Lakshminarayanan et al. 2017, NeurIPS).

A trained model is a fixed number of weight draws. Its posterior of theta is their mixture, and the
law of total variance splits its variance: within the draws (*aleatoric*: noise and degeneracy,
which more training planets do not remove) and between them (*epistemic*: the network's own).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pyro.distributions as dist
import torch
import xarray as xr
from torch import Tensor, nn

from arielflow.core.schema import ALEATORIC, EPISTEMIC, describe
from arielflow.models.families._density import (
    DensityEstimator,
    NetworkShape,
    context_encoder,
    density_search_space,
)
from arielflow.models.features import PlanetTensors, planet_tensors
from arielflow.models.networks.mixture import gaussian_mixture, marginal_moments, mixture_outputs
from arielflow.models.networks.residual import activation_layer
from arielflow.models.networks.weight_posterior import WeightPosterior
from arielflow.settings.families.bnn import Config

if TYPE_CHECKING:
    from optuna import Trial

_PLANETS_AT_ONCE = 100
_NEEDS_PRIORS = ("guide", "rank", "prior_scale", "kl_weight", "weight_draws", "warm_up")


def search_space(trial: Trial, config: Config) -> dict[str, Any]:
    """Settings that a trial of a hyper-parameter search proposes in place of the model's own."""
    return density_search_space(trial, config) | {
        "components": trial.suggest_int("components", 1, 4),
    }


class _Network(nn.Module):
    """Encoder and last layer: context (row, feature) to the outputs of a mixture (row, number)."""

    def __init__(self, config: Config, shape: NetworkShape) -> None:
        super().__init__()
        self.body = nn.Sequential(
            context_encoder(config, shape.n_inputs, shape.n_bins),
            activation_layer(config.activation),
        )
        outputs = mixture_outputs(shape.n_targets, config.components)
        self.last = nn.Linear(config.embedding, outputs)

    def forward(self, context: Tensor) -> Tensor:
        return self.last(self.body(context))


class _BayesianDensity(nn.Module):
    """Mixture over draws of the weights; without priors, the one network's Gaussian mixture."""

    def __init__(self, config: Config, shape: NetworkShape) -> None:
        super().__init__()
        self.n_targets, self.components = shape.n_targets, config.components
        network = _Network(config, shape)
        self.weights: WeightPosterior | None = None
        self.network: _Network | None = None
        if config.bayesian == "none":
            self.network = network
            return
        self.weights = WeightPosterior(
            network,
            network if config.bayesian == "all" else network.last,
            self._mixture,
            (torch.zeros(2, shape.n_inputs), torch.zeros(2, shape.n_targets)),
            guide=config.guide,
            rank=config.rank,
            prior_scale=config.prior_scale,
            kl_weight=config.kl_weight,
            n_draws=config.weight_draws,
        )

    def _mixture(self, outputs: Tensor) -> dist.MixtureSameFamily:
        return gaussian_mixture(outputs, self.n_targets, self.components)

    def loss(self, z: Tensor, context: Tensor, generator: torch.Generator) -> Tensor:
        """Negative evidence lower bound per row, or mean negative log-likelihood without priors."""
        if self.weights is not None:
            return self.weights.loss(context, z)
        return -self._mixture(self.network(context)).log_prob(z).mean()

    def predictive(self, context: Tensor) -> dist.MixtureSameFamily:
        """Mixtures of shape (draw, row), one for every draw of the weights."""
        if self.weights is not None:
            return self._mixture(self.weights.outputs(context))
        return self._mixture(self.network(context)[None])

    def log_prob(self, z: Tensor, context: Tensor) -> Tensor:
        """Natural log-density (row,) at z (row, target)."""
        return _over_draws(self.predictive(context).log_prob(z))

    def sample_and_log_prob(self, n: int, context: Tensor) -> tuple[Tensor, Tensor]:
        """Samples (row, n, target) and their natural log-density (row, n).

        Drawn on the CPU always, so that a GPU gives the same samples. The draws of the weights
        take turns, so that they are represented evenly.
        """
        predictive = self.predictive(context)
        n_draws, n_rows = predictive.batch_shape
        draw = (torch.arange(n) % n_draws)[torch.randperm(n)]
        shares = predictive.mixture_distribution.probs.cpu()
        uniform = torch.rand(n_rows, n, 1)
        below = shares.cumsum(dim=-1)[draw].transpose(0, 1) < uniform
        component = below.sum(dim=-1).clamp(max=self.components - 1)
        noise = torch.randn(n_rows, n, self.n_targets, 1).to(context.device)
        gaussians = predictive.component_distribution
        chosen = draw[None], torch.arange(n_rows)[:, None], component
        z = gaussians.loc[chosen] + (gaussians.scale_tril[chosen] @ noise).squeeze(-1)
        log_prob = _over_draws(predictive.log_prob(z.transpose(0, 1)[:, None]).transpose(0, 1))
        return z, log_prob.transpose(0, 1)


def _over_draws(log_prob: Tensor) -> Tensor:
    """Mean density over the first axis."""
    return torch.logsumexp(log_prob, dim=0) - np.log(len(log_prob))


class Estimator(DensityEstimator):
    """See the module's docstring and :class:`PosteriorEstimator`.

    The posterior of a network with priors has the standard deviations ``aleatoric`` and
    ``epistemic`` (planet, target), in the targets' units.
    """

    family: ClassVar[str] = "bnn"
    Config = Config
    config: Config

    def _encoder(self, shape: NetworkShape) -> nn.Module:
        # The network is part of the density, since its weights are drawn there.
        return nn.Identity()

    def _density(self, shape: NetworkShape) -> nn.Module:
        return _BayesianDensity(self.config, shape)

    def _prepare(self, planets: xr.Dataset, seen: PlanetTensors, seed: int) -> None:
        super()._prepare(planets, seen, seed)
        if self.network.density.weights is not None:
            self.network.density.weights.expect(len(seen), self.config.warm_up)

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
        """See :meth:`DensityEstimator.fit`; draws the weights in the end."""
        history = super().fit(
            train_planets,
            valid_planets,
            seed=seed,
            device=device,
            state_dir=state_dir,
            annotated=annotated,
        )
        if self.network.density.weights is not None:
            self.network.density.weights.draw(seed)
        return history

    @torch.no_grad()
    def sample(
        self, planets: xr.Dataset, n_samples: int, *, seed: int, device: str = "auto"
    ) -> xr.Dataset:
        """See :meth:`DensityEstimator.sample`; with the parts of the variance."""
        posterior = super().sample(planets, n_samples, seed=seed, device=device)
        if self.network.density.weights is None:
            return posterior
        data, network, parts = planet_tensors(planets), self._on(device), []
        for rows in torch.arange(len(data)).split(_PLANETS_AT_ONCE):
            part = data.rows(rows).to(self._home)
            predictive = network.density.predictive(network.embed(part))
            mean, variance = _moments(network.coordinates, part, predictive)
            parts.append((variance.mean(dim=0), mean.var(dim=0, correction=0)))
        for name, variance in zip((ALEATORIC, EPISTEMIC), zip(*parts, strict=True), strict=True):
            deviation = torch.cat(variance).sqrt().cpu().numpy()
            posterior[name] = (("planet", "target"), deviation)
        return describe(posterior)

    def moments(
        self, planets: PlanetTensors, n_samples: int, *, seed: int
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`PosteriorEstimator.moments`; by quadrature, without draws."""
        network = self.network.eval()
        predictive = network.density.predictive(network.embed(planets))
        mean, variance = _moments(network.coordinates, planets, predictive)
        return mean.mean(dim=0), variance.mean(dim=0) + mean.var(dim=0, correction=0)

    def embedding(self, planets: PlanetTensors) -> Tensor:
        """See :meth:`PosteriorEstimator.embedding`; the means of the coordinates.

        The network has no embedding of its own that all draws of the weights share.
        """
        network = self.network.eval()
        predictive = network.density.predictive(network.embed(planets.to(self._home)))
        return predictive.mean.mean(dim=0)


def _moments(
    coordinates: nn.Module, planets: PlanetTensors, predictive: dist.MixtureSameFamily
) -> tuple[Tensor, Tensor]:
    """Means and variances (draw, planet, target) of theta, of every draw of the weights."""

    def targets(z: Tensor) -> Tensor:
        by_planet = z.movedim(-2, 0)
        theta, _ = coordinates.inverse(planets, by_planet.flatten(1, -2))
        return theta.reshape(by_planet.shape).movedim(0, -2)

    return marginal_moments(predictive, targets)
