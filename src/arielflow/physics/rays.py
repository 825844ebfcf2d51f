"""Fewer rays than layers: a quadrature in the tangent radius, for the fast mode.

What a ray loses is a smooth function of its tangent radius, except where the tables' linear
interpolation in log pressure has its kinks, so that every second ray tells what those between lose.
The depth is a sum over the layers' rays; the weights that make the sum over a few of them most like
the sum over all are found by least squares over random planets, the ends of the sum included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from arielflow.physics.atmosphere import differentiated

# Along directions with smaller singular values than this part of the largest, weights stay equal.
_LEAST_SINGULAR = 1e-4


@dataclass(frozen=True)
class Rays:
    """The layers that rays are followed through, and what each counts.

    Attributes
    ----------
    layer : np.ndarray
        Positions of the layers from the bottom up, ascending, shape (ray,).
    weight : np.ndarray
        Number of layers that each stands for, shape (ray,).
    """

    layer: np.ndarray
    weight: np.ndarray

    @classmethod
    def all(cls, n_layers: int) -> Rays:
        """One ray per layer."""
        return cls(np.arange(n_layers), np.ones(n_layers))

    @classmethod
    def fitted(cls, absorbed: np.ndarray, every: int) -> Rays:
        """Every so many layers, weighted so that their sum is most like that of all.

        Parameters
        ----------
        absorbed
            What the rays of all layers add to depths of any unit, shape (depth, layer).
        every
            Distance between rays in layers.
        """
        layer = np.arange(0, absorbed.shape[1], every)
        chosen = absorbed[:, layer]
        missing = absorbed.sum(axis=1) - every * chosen.sum(axis=1)
        change = np.linalg.lstsq(chosen, missing, rcond=_LEAST_SINGULAR)[0]
        return cls(layer, every + change)


class _Passed(torch.autograd.Function):
    """See :func:`passed`; PyTorch's own derivatives take more passes over the rays' light."""

    @staticmethod
    def forward(ctx, ring: Tensor, log2_transmission: Tensor) -> Tensor:
        transmission = log2_transmission.exp2()
        ctx.save_for_backward(ring, transmission)
        ctx.save_for_forward(ring, transmission)
        return (ring[:, None, :] @ transmission)[:, 0]

    @staticmethod
    def jvp(ctx, ring_tangent: Tensor, log2_tangent: Tensor) -> Tensor:
        ring, transmission = ctx.saved_tensors
        change = ring_tangent[:, None, :] @ transmission
        weighted = ring[:, None, :] @ (transmission * log2_tangent)
        return (change + np.log(2) * weighted)[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        ring, transmission = ctx.saved_tensors
        of_ring = (transmission @ gradient[:, :, None])[:, :, 0]
        of_log2 = transmission * gradient[:, None, :]
        return of_ring, of_log2.mul_((np.log(2) * ring)[:, :, None])


def passed(ring: Tensor, log2_transmission: Tensor) -> Tensor:
    """Light that rays let through, shape (planet, wavelength).

    Parameters
    ----------
    ring
        Area that each ray stands for, shape (planet, ray).
    log2_transmission
        Binary logarithm of the transmission, shape (planet, ray, wavelength); overwritten where no
        derivative is asked for.
    """
    if differentiated(ring) or differentiated(log2_transmission):
        return _Passed.apply(ring, log2_transmission)
    return (ring[:, None, :] @ log2_transmission.exp2_())[:, 0]
