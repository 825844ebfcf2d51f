"""Geometry of a hydrostatic, isothermal atmosphere in layers of equal steps in log pressure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.function import once_differentiable

from arielflow.physics.systems import BOLTZMANN_CONSTANT, GRAVITATIONAL_CONSTANT


@dataclass(frozen=True)
class Pressures:
    """Layers between two pressures.

    Attributes
    ----------
    n_layers : int
        Number of layers.
    bottom_pa, top_pa : float
        Pressures at the planet's radius and at the top [Pa].
    """

    n_layers: int = 100
    bottom_pa: float = 1e6
    top_pa: float = 1e-5

    @property
    def log_step(self) -> float:
        """Natural logarithm of the ratio of pressures across a layer."""
        return float(np.log(self.bottom_pa / self.top_pa)) / self.n_layers

    @property
    def layers_pa(self) -> np.ndarray:
        """Pressures of the layers, geometric means of their levels, from the bottom up."""
        levels = np.geomspace(self.bottom_pa, self.top_pa, self.n_layers + 1)
        return np.sqrt(levels[1:] * levels[:-1])


@dataclass(frozen=True)
class Layers:
    """Radii of the layers of several planets [m], shape (planet, layer), from the bottom up.

    Attributes
    ----------
    bottom : Tensor
        Radius of each layer's lower level.
    thickness : Tensor
        Thickness of each layer.
    tangent : Tensor
        Radius of each ray's tangent point, one ray per layer.
    upper_edge : Tensor
        Upper edges of the shells that the rays cross.
    """

    bottom: Tensor
    thickness: Tensor
    tangent: Tensor
    upper_edge: Tensor


def hydrostatic_levels(
    pressures: Pressures, radius: Tensor, mass: Tensor, temperature: Tensor, mean_mass: Tensor
) -> Tensor:
    """Radii (planet, layer + 1) of the levels [m], gravity falling with height.

    One step per layer, z' = z + k T r^2 / (mu G M) ln(P / P'), as in TauREx 3.

    Parameters
    ----------
    radius, mass
        Of the planets, at the bottom of the atmosphere, shape (planet,) [m], [kg].
    temperature, mean_mass
        Shape (planet,), or by layer: (planet, layer) [K] and (planet, 1 or layer) [kg].
    """
    growth = BOLTZMANN_CONSTANT * temperature * pressures.log_step / GRAVITATIONAL_CONSTANT
    if growth.ndim == 2:
        steps = (growth / (mean_mass * mass[:, None])).unbind(dim=1)
    else:
        steps = [growth / (mean_mass * mass)] * pressures.n_layers
    levels = [radius]
    for step in steps:
        levels.append(levels[-1] + step * levels[-1] ** 2)
    return torch.stack(levels, dim=1)


def layers(levels: Tensor) -> Layers:
    """Layers between levels (planet, layer + 1); rays run half the first layer above them."""
    bottom, thickness = levels[:, :-1], levels.diff(dim=1)
    tangent = bottom + 0.5 * thickness[:, :1]
    return Layers(bottom, thickness, tangent, tangent + 0.5 * thickness)


def differentiated(value: Tensor) -> bool:
    """Whether derivatives, of either mode, are asked for."""
    return value.requires_grad or forward_ad.unpack_dual(value).tangent is not None


def half_chords(upper_edge: Tensor, tangent: Tensor) -> Tensor:
    """Distance (planet, ray, shell) [m] from a ray's tangent point to a shell's upper edge.

    Zero for shells below the ray; the path through a shell is twice the difference of neighbours.

    Parameters
    ----------
    upper_edge
        Radii (planet, shell) [m].
    tangent
        Radii (planet, ray) [m].
    """
    return _HalfChords.apply(upper_edge, tangent)


class _HalfChords(torch.autograd.Function):
    """Root of the difference of squares; its derivatives are radii over chords."""

    @staticmethod
    def forward(ctx, upper_edge: Tensor, tangent: Tensor) -> Tensor:
        chords = upper_edge[:, None, :] - tangent[:, :, None]
        chords.mul_(upper_edge[:, None, :] + tangent[:, :, None]).clamp_(min=0).sqrt_()
        ctx.save_for_backward(upper_edge, tangent, chords)
        ctx.save_for_forward(upper_edge, tangent, chords)
        return chords

    @staticmethod
    def jvp(ctx, upper_tangent: Tensor, ray_tangent: Tensor) -> Tensor:
        upper_edge, tangent, chords = ctx.saved_tensors
        along = (upper_edge * upper_tangent)[:, None, :] - (tangent * ray_tangent)[:, :, None]
        return (along / chords).masked_fill_(chords == 0, 0.0)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        upper_edge, tangent, chords = ctx.saved_tensors
        over = (gradient / chords).masked_fill_(chords == 0, 0.0)
        return upper_edge * over.sum(dim=1), -tangent * over.sum(dim=2)
