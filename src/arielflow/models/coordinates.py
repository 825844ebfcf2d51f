"""The coordinates in which density models describe a planet's parameters."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from arielflow.models.features import PlanetTensors, observed_radius_m, reference_scale_height_m
from arielflow.physics.systems import JUPITER_RADIUS_M

_ATOM_SHARE = 0.02
_ATOM_SLAB = 0.1
_EDGE = 1e-6
_LARGEST_PROBIT = 5.0


class TargetCoordinates(nn.Module):
    """Bijection between theta in a planet's prior box and unconstrained coordinates.

    Every target is mapped to the unit interval of its box and through the normal quantile
    function, so that the prior becomes a standard normal and no sample can leave the box. The
    radius, which a spectrum pins to a fraction of a scale height, becomes its depth below the
    observed radius in scale heights, standardised. A value that many training planets share (an
    absent molecule at the box's edge) is spread uniformly over a slab beyond the edge, whose
    samples are clipped back.

    Parameters
    ----------
    n_targets
        Number of targets.
    radius
        Position of the radius among the targets, or -1.
    """

    def __init__(self, n_targets: int, radius: int = -1) -> None:
        super().__init__()
        self.radius = radius
        double = {"dtype": torch.float64}
        self.register_buffer("centre", torch.zeros((), **double))
        self.register_buffer("spread", torch.ones((), **double))
        self.register_buffer("slab_below", torch.zeros(n_targets, **double))
        self.register_buffer("slab_above", torch.zeros(n_targets, **double))

    @classmethod
    def fitted(cls, train: PlanetTensors, radius: int | None) -> TargetCoordinates:
        """Find atoms and standardise the radius coordinate on the training split."""
        coordinates = cls(train.theta.shape[1], -1 if radius is None else radius)
        width = (train.high - train.low).mean(dim=0)
        share_low = (train.theta <= train.low).double().mean(dim=0)
        share_high = (train.theta >= train.high).double().mean(dim=0)
        coordinates.slab_below.copy_(_ATOM_SLAB * width * (share_low > _ATOM_SHARE))
        coordinates.slab_above.copy_(_ATOM_SLAB * width * (share_high > _ATOM_SHARE))
        if coordinates.radius >= 0:
            below = coordinates._below_observed(train, train.theta[:, coordinates.radius])
            coordinates.centre.copy_(below.mean())
            coordinates.spread.copy_(below.std())
        return coordinates

    def _observed(self, planets: PlanetTensors) -> tuple[Tensor, Tensor]:
        observed = observed_radius_m(planets)
        return observed, reference_scale_height_m(planets, observed)

    def _below_observed(self, planets: PlanetTensors, radius_rjup: Tensor) -> Tensor:
        observed, height = self._observed(planets)
        return (observed - radius_rjup * JUPITER_RADIUS_M) / height

    def _box(self, planets: PlanetTensors) -> tuple[Tensor, Tensor]:
        return planets.low - self.slab_below, planets.high + self.slab_above

    def dequantise(
        self, planets: PlanetTensors, theta: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Theta with atoms at the box's edges spread over their slabs."""
        uniform = torch.rand(theta.shape, generator=generator, dtype=theta.dtype)
        below = (theta <= planets.low) & (self.slab_below > 0)
        above = (theta >= planets.high) & (self.slab_above > 0)
        theta = torch.where(below, planets.low - uniform * self.slab_below, theta)
        return torch.where(above, planets.high + uniform * self.slab_above, theta)

    def forward(self, planets: PlanetTensors, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates of theta, and log |d coordinates / d theta|.

        ``theta`` is (planet, target) or (planet, sample, target); the second result lacks the last
        dimension.
        """
        low, high = (_beside(edge, theta) for edge in self._box(planets))
        unit = ((theta - low) / (high - low)).clamp(_EDGE, 1 - _EDGE)
        z = torch.special.ndtri(unit)
        log_slope = _probit_log_slope(z, low, high)
        if self.radius >= 0:
            observed, height = (_beside(v, theta[..., 0]) for v in self._observed(planets))
            below = (observed - theta[..., self.radius] * JUPITER_RADIUS_M) / height
            z = z.clone()  # its square is part of the slope
            z[..., self.radius] = (below - self.centre) / self.spread
            log_slope[..., self.radius] = self._radius_log_slope(height)
        return z, log_slope.sum(dim=-1)

    def inverse(self, planets: PlanetTensors, z: Tensor) -> tuple[Tensor, Tensor]:
        """Theta inside the prior box, and log |d coordinates / d theta|; shapes as above."""
        low, high = (_beside(edge, z) for edge in self._box(planets))
        bound = z.clamp(-_LARGEST_PROBIT, _LARGEST_PROBIT)
        theta = low + (high - low) * torch.special.ndtr(bound)
        log_slope = _probit_log_slope(bound, low, high)
        if self.radius >= 0:
            observed, height = (_beside(v, z[..., 0]) for v in self._observed(planets))
            below = z[..., self.radius] * self.spread + self.centre
            theta[..., self.radius] = (observed - below * height) / JUPITER_RADIUS_M
            log_slope[..., self.radius] = self._radius_log_slope(height)
        theta = torch.minimum(
            torch.maximum(theta, _beside(planets.low, z)), _beside(planets.high, z)
        )
        return theta, log_slope.sum(dim=-1)

    def _radius_log_slope(self, height: Tensor) -> Tensor:
        return torch.log(JUPITER_RADIUS_M / (height * self.spread))


def _beside(value: Tensor, points: Tensor) -> Tensor:
    """A planets' value (planet, ...) shaped to go with points that may have a sample dimension."""
    return value if value.ndim == points.ndim else value[:, None]


def _probit_log_slope(z: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return 0.5 * z**2 + 0.5 * np.log(2 * np.pi) - torch.log(high - low)
