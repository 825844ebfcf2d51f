"""The flow of one posterior: splines of a standard normal, then an affine map to where it lies."""

from __future__ import annotations

import numpy as np
import torch
from nflows.nn.nets import ResidualNet
from nflows.transforms import (
    CompositeTransform,
    PiecewiseRationalQuadraticCDF,
    PiecewiseRationalQuadraticCouplingTransform,
)
from torch import Tensor, nn

_TAIL_BOUND = 5.0
# nflows adds the softplus of its parameter to this least slope; a slope of one is the identity.
_LEAST_SLOPE = 1e-3
_FIRST_SCATTER = 1e-3
_LARGEST_GRADIENT = 10.0
_START_STEPS, _START_BATCH, _START_RATE = 300, 256, 5e-3
# Keeps the covariance of samples invertible where they sit on a few points.
_LEAST_VARIANCE = 1e-8


class PosteriorFlow(nn.Module):
    """Density of unconstrained coordinates ``z`` (n, dimension), begun at a normal distribution.

    Rational-quadratic splines (Durkan et al. 2019), first of every coordinate by itself, then of
    halves of them given the others, act on a standard normal; a triangular affine map, begun at
    the identity, and the fixed one of ``mean`` and ``covariance`` follow. In double precision: the
    splines' inverse is a root that single precision may not find.

    Parameters
    ----------
    mean, covariance
        Of the normal distribution begun at, shapes (dimension,) and (dimension, dimension).
    shape
        ``layers`` (of couplings), ``bins`` (of every spline) and ``hidden`` (width of networks).
    """

    def __init__(self, mean: Tensor, covariance: Tensor, shape: dict[str, int]) -> None:
        super().__init__()
        dimension = len(mean)
        self.shift = nn.Parameter(torch.zeros(dimension))
        self.log_scale = nn.Parameter(torch.zeros(dimension))
        self.shear = nn.Parameter(torch.zeros(dimension, dimension))
        self.splines = _splines(dimension, **shape)
        self.double()
        self.register_buffer("mean", mean)
        self.register_buffer("factor", torch.linalg.cholesky(covariance))

    def _matrix(self) -> Tensor:
        return torch.tril(self.shear, -1) + torch.diag(self.log_scale.exp())

    def push(self, base: Tensor) -> Tensor:
        """Coordinates (n, dimension) of draws of a standard normal."""
        inner, _ = self.splines(base)
        return self.mean + (self.shift + inner @ self._matrix().T) @ self.factor.T

    def forward(self, z: Tensor) -> Tensor:
        """Natural logarithm of the density at ``z``, shape (n,)."""
        outer = torch.linalg.solve_triangular(self.factor, (z - self.mean).T, upper=False)
        inner = torch.linalg.solve_triangular(
            self._matrix(), outer - self.shift[:, None], upper=False
        )
        base, slope = self.splines.inverse(inner.T)
        slope = slope - self.log_scale.sum() - self.factor.diagonal().log().sum()
        return slope - 0.5 * (base.square() + np.log(2 * np.pi)).sum(dim=1)


def _splines(dimension: int, layers: int, bins: int, hidden: int) -> CompositeTransform:
    options = {"num_bins": bins, "tails": "linear", "tail_bound": _TAIL_BOUND}
    marginal = PiecewiseRationalQuadraticCDF([dimension], **options)
    # nflows begins at random; near the identity the flow begins where it was told to.
    nn.init.normal_(marginal.unnormalized_widths, std=_FIRST_SCATTER)
    nn.init.normal_(marginal.unnormalized_heights, std=_FIRST_SCATTER)
    nn.init.constant_(marginal.unnormalized_derivatives, np.log(np.expm1(1 - _LEAST_SLOPE)))
    # A single coordinate has none to be conditioned on.
    masks = _masks(dimension, layers) if dimension > 1 else []
    couplings = [
        PiecewiseRationalQuadraticCouplingTransform(
            mask=mask,
            transform_net_create_fn=lambda inputs, outputs: ResidualNet(
                inputs,
                outputs,
                hidden_features=hidden,
                num_blocks=1,
                activation=nn.functional.silu,
            ),
            **options,
        )
        for mask in masks
    ]
    return CompositeTransform([marginal, *couplings])


def _masks(dimension: int, layers: int) -> list[Tensor]:
    """Which coordinates each layer transforms (positive) given the others.

    Layers alternate between a half and the other one; halves are split by a binary digit of the
    coordinates' numbers, another one every two layers.
    """
    digits = (dimension - 1).bit_length()
    numbers = torch.arange(dimension)
    sides = [2 * ((numbers >> (layer // 2 % digits)) & 1) - 1 for layer in range(layers)]
    return [side if layer % 2 else -side for layer, side in enumerate(sides)]


def flow_like(z: Tensor, shape: dict[str, int], generator: torch.Generator) -> PosteriorFlow:
    """A flow fitted to samples ``z`` (n, dimension) by maximum likelihood."""
    floor = _LEAST_VARIANCE * torch.eye(z.shape[1], dtype=torch.float64)
    flow = PosteriorFlow(z.mean(dim=0), torch.cov(z.T).reshape(floor.shape) + floor, shape)
    optimizer = torch.optim.Adam(flow.parameters(), lr=_START_RATE)
    for _ in range(_START_STEPS):
        rows = torch.randint(len(z), (_START_BATCH,), generator=generator)
        optimizer.zero_grad()
        (-flow(z[rows]).mean()).backward()
        bounded_step(flow, optimizer)
    return flow


def bounded_step(flow: PosteriorFlow, optimizer: torch.optim.Optimizer) -> None:
    """One step along a gradient of bounded length; none where it is not finite."""
    length = nn.utils.clip_grad_norm_(flow.parameters(), _LARGEST_GRADIENT)
    if torch.isfinite(length):
        optimizer.step()
