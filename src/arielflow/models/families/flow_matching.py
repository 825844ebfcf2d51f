"""Flow matching: a learnt velocity carries a normal distribution to the posterior of theta.

Lipman et al. (2023, ICLR) for the method, Wildberger et al. (2023, NeurIPS) for posteriors,
Gebhard et al. (2025, A&A 693, A42) for exoplanets. Noise z_0 and coordinates z_1 of theta are
joined by the straight path z_t = (1 - (1 - σ) t) z_0 + t z_1; the network regresses its velocity
z_1 - (1 - σ) z_0 on z_t, t and the context. Nothing restricts the network's form, and training
solves no equation; sampling and density follow dz/dt = v(z, t) between t = 0 and 1, with
d ln p/dt = -div v.

The divergence costs as many products as there are targets, so it is not a part of the equation that
is solved: it is integrated along the trajectory by a Gauss-Lobatto rule, whose nodes are also the
steps of the fixed-step solver. They crowd at both ends, the last of which is where a narrow
posterior takes shape. What surrounds the density is in ``models.density``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vjp, vmap
from torchdiffeq import odeint

from arielflow.models.families._density import (
    DensityEstimator,
    NetworkShape,
    density_search_space,
)
from arielflow.models.networks.residual import ResidualMLP
from arielflow.settings.families.flow_matching import Config

if TYPE_CHECKING:
    from optuna import Trial

# Points that are carried at once; bounds the memory, above all that of the divergence.
_POINTS_AT_ONCE = 2_000


def search_space(trial: Trial, config: Config) -> dict[str, Any]:
    """Settings that a trial of a hyper-parameter search proposes in place of the model's own.

    What defines the loss (``sigma_min``, ``time_exponent``) stays, or losses could not be compared.
    """
    return density_search_space(trial, config) | {
        "width": trial.suggest_categorical("width", [64, 128, 256]),
        "blocks": trial.suggest_int("blocks", 2, 5),
        "frequencies": trial.suggest_int("frequencies", 2, 8),
    }


def gauss_lobatto(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes, ends included, and weights of the Gauss-Lobatto rule on (0, 1), shape (node,).

    Exact for polynomials up to degree 2 nodes - 3.
    """
    legendre = np.polynomial.Legendre.basis(nodes - 1)
    points = np.concatenate([[-1.0], np.sort(legendre.deriv().roots().real), [1.0]])
    weights = 2 / (nodes * (nodes - 1) * legendre(points) ** 2)
    return (points + 1) / 2, weights / 2


class _Velocity(nn.Module):
    """Velocity (row, target) at points z (row, target), times t (row,) or () and a context."""

    def __init__(self, config: Config, n_targets: int) -> None:
        super().__init__()
        frequencies = torch.pi * torch.arange(1, config.frequencies + 1)
        self.register_buffer("frequencies", frequencies, persistent=False)
        inputs = n_targets + 2 * config.frequencies + config.embedding
        self.network = ResidualMLP(inputs, config.width, config.blocks, n_targets)

    def forward(self, t: Tensor, z: Tensor, embedding: Tensor) -> Tensor:
        angles = (self.frequencies * t[..., None]).expand(len(z), -1)
        return self.network(torch.cat([z, angles.sin(), angles.cos(), embedding], dim=1))

    def divergence(self, t: Tensor, z: Tensor, embedding: Tensor) -> Tensor:
        """Exact divergence (row,): one vector-Jacobian product a target."""
        _, pull_back = vjp(lambda points: self(t, points, embedding), z)
        axes = torch.eye(z.shape[1], device=z.device)
        (slopes,) = vmap(pull_back)(axes[:, None].expand(-1, *z.shape))
        return slopes.diagonal(dim1=0, dim2=2).sum(dim=1)


class _MatchedFlow(nn.Module):
    """The density of the coordinates; see the module's docstring."""

    def __init__(self, config: Config, n_targets: int) -> None:
        super().__init__()
        self.config, self.n_targets = config, n_targets
        self.velocity = _Velocity(config, n_targets)
        times, weights = (torch.as_tensor(a).float() for a in gauss_lobatto(config.nodes))
        self.register_buffer("times", times, persistent=False)
        self.register_buffer("weights", weights, persistent=False)

    def loss(self, z: Tensor, embedding: Tensor, generator: torch.Generator) -> Tensor:
        """Mean squared error of the velocity, summed over the targets.

        Drawn on the CPU always, so that a GPU sees the same noise and times.
        """
        noise = torch.randn(z.shape, generator=generator).to(z.device)
        # Each row has its own share of (0, 1): the loss scatters less than with independent times.
        uniform = (torch.rand(len(z), generator=generator) + torch.arange(len(z))) / len(z)
        t = uniform.pow(1 / (1 + self.config.time_exponent)).to(z.device)
        shrinkage = 1 - self.config.sigma_min
        points = (1 - shrinkage * t[:, None]) * noise + t[:, None] * z
        error = self.velocity(t, points, embedding) - (z - shrinkage * noise)
        return error.square().sum(dim=1).mean()

    def log_prob(self, z: Tensor, embedding: Tensor) -> Tensor:
        """Natural log-density (row,) at z (row, target)."""
        parts = zip(z.split(_POINTS_AT_ONCE), embedding.split(_POINTS_AT_ONCE), strict=True)
        return torch.cat([self._carry(*part, forwards=False)[1] for part in parts])

    def sample_and_log_prob(self, n: int, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Samples (row, n, target) and their natural log-density (row, n)."""
        noise = torch.randn(len(embedding) * n, self.n_targets)
        owner = torch.arange(len(noise)) // n
        carried = [
            self._carry(start.to(embedding.device), embedding[rows.to(embedding.device)])
            for start, rows in zip(
                noise.split(_POINTS_AT_ONCE), owner.split(_POINTS_AT_ONCE), strict=True
            )
        ]
        z, log_prob = map(torch.cat, zip(*carried, strict=True))
        return z.unflatten(0, (-1, n)), log_prob.unflatten(0, (-1, n))

    def _carry(
        self, points: Tensor, embedding: Tensor, *, forwards: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Points (row, target) at the other end of their trajectories, and ln p(z_1) (row,)."""
        times = self.times if forwards else self.times.flip(0)
        tolerance = self.config.tolerance
        trajectory = odeint(
            lambda t, z: self.velocity(t, z, embedding),
            points,
            times,
            method=self.config.solver,
            rtol=tolerance,
            atol=tolerance,
        )
        # The weights are symmetric, so that they fit both directions.
        spread = sum(
            weight * self.velocity.divergence(t, z, embedding)
            for weight, t, z in zip(self.weights, times, trajectory, strict=True)
        )
        noise = trajectory[0] if forwards else trajectory[-1]
        normal = -0.5 * (noise.square() + np.log(2 * np.pi)).sum(dim=1)
        return trajectory[-1], normal - spread


class Estimator(DensityEstimator):
    """See the module's docstring and :class:`PosteriorEstimator`."""

    family: ClassVar[str] = "flow_matching"
    Config = Config
    config: Config

    def _density(self, shape: NetworkShape) -> nn.Module:
        return _MatchedFlow(self.config, shape.n_targets)
