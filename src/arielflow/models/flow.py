"""Conditional neural spline flow: the amortised posterior of theta given spectrum and system.

Rational-quadratic coupling transforms (Durkan et al. 2019) on the coordinates of
``features.TargetCoordinates``, conditioned on an embedding of ``features.Context``; trained by
maximum likelihood with fresh noise at every step (Papamakarios & Murray 2016).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
import xarray as xr
from nflows.distributions.normal import StandardNormal
from nflows.flows import Flow
from nflows.nn.nets import ResidualNet
from nflows.transforms import (
    CompositeTransform,
    PiecewiseRationalQuadraticCouplingTransform,
)
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from arielflow.features import Context, PlanetTensors, TargetCoordinates, planet_tensors
from arielflow.models.base import EstimatorConfig, PosteriorEstimator
from arielflow.models.networks import ResidualMLP
from arielflow.schema import posterior_dataset, target_index
from arielflow.training import TrainingSettings, fingerprint, resolve_device, train

_SAMPLES_AT_ONCE = 50_000


class Config(EstimatorConfig):
    """Settings of the flow.

    Attributes
    ----------
    layer_pairs, bins, hidden, blocks : pairs of coupling layers, spline bins, width and residual
        blocks of each layer's network
    tail_bound : the splines act within this many standard deviations of the prior
    context_width, context_blocks, embedding : the context's residual network and its output
    dropout : in the context's network
    jitter : Gaussian noise on the standardised context in training
    training : of the optimisation
    """

    layer_pairs: int = 3
    bins: int = 10
    hidden: int = 96
    blocks: int = 2
    tail_bound: float = 5.0
    context_width: int = 256
    context_blocks: int = 2
    embedding: int = 64
    dropout: float = 0.0
    jitter: float = 0.0
    training: TrainingSettings = TrainingSettings()


def _masks(n_targets: int, pairs: int) -> list[Tensor]:
    """Which targets each coupling layer transforms (positive) given the others.

    The two layers of a pair transform complementary halves, so every target is transformed in
    every pair; the pairs split by the binary digits of the targets' numbers, so that every two
    targets stand on different sides of some pair.
    """
    digits = max(1, (n_targets - 1).bit_length())
    numbers = torch.arange(n_targets)
    masks = []
    for pair in range(pairs):
        side = 2 * ((numbers >> (pair % digits)) & 1) - 1
        masks += [side, -side]
    return masks


class _FlowNetwork(nn.Module):
    """Scaler, coordinates and flow in one module, so that they are saved together."""

    def __init__(self, config: Config, n_features: int, n_targets: int, radius: int) -> None:
        super().__init__()
        self.context = Context(n_features)
        self.coordinates = TargetCoordinates(n_targets, radius)
        layers = [self._coupling(config, mask) for mask in _masks(n_targets, config.layer_pairs)]
        embedding = ResidualMLP(
            n_features,
            config.context_width,
            config.context_blocks,
            config.embedding,
            dropout=config.dropout,
        )
        self.flow = Flow(CompositeTransform(layers), StandardNormal([n_targets]), embedding)
        self.jitter = config.jitter

    @staticmethod
    def _coupling(config: Config, mask: Tensor) -> PiecewiseRationalQuadraticCouplingTransform:
        return PiecewiseRationalQuadraticCouplingTransform(
            mask=mask,
            transform_net_create_fn=lambda inputs, outputs: ResidualNet(
                inputs,
                outputs,
                hidden_features=config.hidden,
                context_features=config.embedding,
                num_blocks=config.blocks,
                activation=nn.functional.silu,
            ),
            num_bins=config.bins,
            tails="linear",
            tail_bound=config.tail_bound,
        )

    def loss(self, planets: PlanetTensors, generator: torch.Generator) -> Tensor:
        """Mean negative log-likelihood of the coordinates, of planets with noise drawn here."""
        noisy = planets.with_noise(generator)
        theta = self.coordinates.dequantise(noisy, noisy.theta, generator)
        z, _ = self.coordinates(noisy, theta)
        context = self.context(noisy)
        if self.training and self.jitter:
            context = context + self.jitter * torch.randn(context.shape, generator=generator)
        return -self.flow.log_prob(z.float(), context).mean()


class Estimator(PosteriorEstimator):
    """See the module's docstring and :class:`PosteriorEstimator`."""

    family: ClassVar[str] = "flow"
    Config = Config
    has_log_prob: ClassVar[bool] = True
    network: _FlowNetwork

    def fit(
        self,
        train_planets: xr.Dataset,
        valid_planets: xr.Dataset,
        *,
        seed: int,
        device: str = "auto",
        state_dir: Path | None = None,
    ) -> pd.DataFrame:
        """See :meth:`PosteriorEstimator.fit`."""
        data = {"train": planet_tensors(train_planets), "valid": planet_tensors(valid_planets)}
        torch.manual_seed(seed)
        radius = target_index(train_planets, "planet_radius")
        context = Context.fitted(data["train"], seed)
        self.network = self._build(len(context.mean), train_planets.sizes["target"], radius)
        self.network.context = context
        self.network.coordinates = TargetCoordinates.fitted(data["train"], radius)

        def loss(split: str, rows: Tensor, generator: torch.Generator) -> Tensor:
            return self.network.loss(data[split].rows(rows.cpu()), generator)

        return train(
            self.network,
            loss,
            (len(data["train"]), len(data["valid"])),
            self.config.training,
            seed=seed,
            device=device,
            state_dir=state_dir,
            identity=fingerprint(
                self.config.model_dump(),
                seed,
                data["train"].depth.numpy(),
                data["train"].theta.numpy(),
                data["valid"].theta.numpy(),
            ),
        )

    def _build(self, n_features: int, n_targets: int, radius: int | None) -> _FlowNetwork:
        return _FlowNetwork(self.config, n_features, n_targets, -1 if radius is None else radius)

    @torch.no_grad()
    def sample(
        self, planets: xr.Dataset, n_samples: int, *, seed: int, device: str = "auto"
    ) -> xr.Dataset:
        """See :meth:`PosteriorEstimator.sample`; with the density at every sample."""
        target = resolve_device(device)
        data, flow = planet_tensors(planets), self.network.flow.to(target)
        torch.manual_seed(seed)
        at_once = max(1, _SAMPLES_AT_ONCE // n_samples)
        theta, log_prob = [], []
        for rows in torch.arange(len(data)).split(at_once):
            part = data.rows(rows)
            z, density = flow.sample_and_log_prob(n_samples, self.network.context(part).to(target))
            repeated = part.rows(torch.arange(len(rows)).repeat_interleave(n_samples))
            points = z.reshape(-1, z.shape[-1]).cpu().double()
            samples = self.network.coordinates.inverse(repeated, points)
            _, slope = self.network.coordinates(repeated, samples)
            theta.append(samples.reshape(z.shape).numpy())
            log_prob.append((density.cpu() + slope.reshape(density.shape)).double().numpy())
        return posterior_dataset(planets, np.concatenate(theta), log_prob=np.concatenate(log_prob))

    @torch.no_grad()
    def log_prob(self, planets: xr.Dataset, theta: np.ndarray) -> np.ndarray:
        """See :meth:`PosteriorEstimator.log_prob`."""
        data = planet_tensors(planets)
        context = self.network.context(data)
        columns = []
        for sample in range(theta.shape[1]):
            z, slope = self.network.coordinates(data, torch.as_tensor(theta[:, sample]))
            columns.append(self.network.flow.log_prob(z.float(), context).double() + slope)
        return torch.stack(columns, dim=1).numpy()

    def _save_state(self, directory: Path) -> None:
        state = {k: v.contiguous() for k, v in self.network.state_dict().items()}
        shape = {
            "n_features": len(self.network.context.mean),
            "n_targets": len(self.network.coordinates.slab_below),
            "radius": self.network.coordinates.radius,
        }
        save_file(state, directory / "flow.safetensors", {k: str(v) for k, v in shape.items()})

    def _load_state(self, directory: Path) -> None:
        path = directory / "flow.safetensors"
        with safe_open(path, "pt") as file:
            shape = {name: int(value) for name, value in file.metadata().items()}
        self.network = _FlowNetwork(self.config, **shape)
        self.network.load_state_dict(load_file(path))
        self.network.eval()
