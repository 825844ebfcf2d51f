"""Conditional neural spline flows: the amortised posterior of theta given spectrum and system.

Rational-quadratic splines (Durkan et al. 2019) in one of three architectures: ``coupling`` (joint,
fast both ways), ``autoregressive`` (joint, sampled one target after the other) and
``independent`` (one one-dimensional flow a target, the winning design of 2023, whose score is
marginal). What surrounds them is in ``models.density``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from nflows.distributions.normal import StandardNormal
from nflows.flows import Flow
from nflows.transforms import (
    CompositeTransform,
    MaskedPiecewiseRationalQuadraticAutoregressiveTransform,
    ReversePermutation,
    Transform,
)
from torch import Tensor, nn

from arielflow.models.families._density import (
    DensityEstimator,
    NetworkShape,
    density_search_space,
)
from arielflow.models.networks.coupling import SplineCouplings, alternating_halves
from arielflow.settings.families.flow import Config

if TYPE_CHECKING:
    from optuna import Trial


def search_space(trial: Trial, config: Config) -> dict[str, Any]:
    """Settings that a trial of a hyper-parameter search proposes in place of the model's own.

    The architecture stays: it decides what a sample costs, which the loss does not see.
    """
    depth = "layer_pairs" if config.architecture == "coupling" else "layers"
    return density_search_space(trial, config) | {
        depth: trial.suggest_int(depth, 2, 5),
        "bins": trial.suggest_int("bins", 6, 16, step=2),
        "hidden": trial.suggest_categorical("hidden", [48, 96, 192]),
        "blocks": trial.suggest_int("blocks", 1, 3),
    }


def _autoregressive(config: Config, n_targets: int) -> Transform:
    return MaskedPiecewiseRationalQuadraticAutoregressiveTransform(
        features=n_targets,
        hidden_features=config.hidden,
        context_features=config.embedding,
        num_blocks=config.blocks,
        activation=nn.functional.silu,
        num_bins=config.bins,
        tails="linear",
        tail_bound=config.tail_bound,
    )


class _JointFlow(nn.Module):
    """A flow of all targets together."""

    def __init__(self, transforms: list[Transform], n_targets: int) -> None:
        super().__init__()
        self.flow = Flow(CompositeTransform(transforms), StandardNormal([n_targets]))

    def loss(self, z: Tensor, embedding: Tensor, generator: torch.Generator) -> Tensor:
        """Mean negative log-likelihood."""
        return -self.log_prob(z, embedding).mean()

    def log_prob(self, z: Tensor, embedding: Tensor) -> Tensor:
        """Natural log-density (row,) at z (row, target)."""
        return self.flow.log_prob(z, embedding)

    def sample_and_log_prob(self, n: int, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Samples (row, n, target) and their natural log-density (row, n)."""
        return self.flow.sample_and_log_prob(n, embedding)


class _CouplingFlow(_JointFlow):
    """A flow whose layers know that all samples of a planet have one context."""

    shares_context = True

    def log_prob(self, z: Tensor, embedding: Tensor) -> Tensor:
        """See the base class, whose flow wants a context for every row."""
        noise, slope = self.flow._transform(z, context=embedding)
        return self.flow._distribution.log_prob(noise) + slope

    def sample_and_log_prob(self, n: int, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        base, transform = self.flow._distribution, self.flow._transform
        noise, log_prob = base.sample_and_log_prob(n, context=embedding)
        z, slope = transform.inverse(noise.flatten(0, 1), context=embedding)
        return z.view(noise.shape), log_prob - slope.view(log_prob.shape)


def _coupling_flow(config: Config, n_targets: int) -> _CouplingFlow:
    couplings = SplineCouplings(
        alternating_halves(n_targets, config.layer_pairs),
        context=config.embedding,
        hidden=config.hidden,
        blocks=config.blocks,
        bins=config.bins,
        bound=config.tail_bound,
    )
    return _CouplingFlow([couplings], n_targets)


class _IndependentFlows(nn.Module):
    """One-dimensional flows, one per target; their joint density is the product."""

    def __init__(self, config: Config, n_targets: int) -> None:
        super().__init__()
        # With a single feature an autoregressive layer depends on the context alone.
        self.flows = nn.ModuleList(
            _JointFlow([_autoregressive(config, 1) for _ in range(config.layers)], 1)
            for _ in range(n_targets)
        )

    def loss(self, z: Tensor, embedding: Tensor, generator: torch.Generator) -> Tensor:
        """Mean negative log-likelihood, summed over the targets."""
        return -self.log_prob(z, embedding).mean()

    def log_prob(self, z: Tensor, embedding: Tensor) -> Tensor:
        """Natural log-density (row,) at z (row, target)."""
        parts = [flow.log_prob(z[:, [t]], embedding) for t, flow in enumerate(self.flows)]
        return torch.stack(parts).sum(dim=0)

    def sample_and_log_prob(self, n: int, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Samples (row, n, target) and their natural log-density (row, n)."""
        parts = [flow.sample_and_log_prob(n, embedding) for flow in self.flows]
        return torch.cat([z for z, _ in parts], dim=2), torch.stack([p for _, p in parts]).sum(0)


class Estimator(DensityEstimator):
    """See the module's docstring and :class:`PosteriorEstimator`."""

    family: ClassVar[str] = "flow"
    Config = Config
    config: Config

    def _density(self, shape: NetworkShape) -> nn.Module:
        config, n_targets = self.config, shape.n_targets
        if config.architecture == "independent":
            return _IndependentFlows(config, n_targets)
        if config.architecture == "coupling":
            return _coupling_flow(config, n_targets)
        layers = [_autoregressive(config, n_targets) for _ in range(config.layers)]
        # The first target of one layer is the last of the next, so that each sees all others.
        order = [ReversePermutation(n_targets) for _ in layers]
        return _JointFlow([t for pair in zip(layers, order, strict=True) for t in pair], n_targets)
