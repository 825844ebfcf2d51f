"""Coordinates in which the radius is measured from the fitting one, and offsets are integrated out.

A spectrum fixes the radius to a thousandth at given temperature, clouds and abundances, and these
change it by per cents: the posterior is a thin, curved sheet, which no mixture of a few Gaussians
covers. Measured from the radius of least chi2 at the other parameters it is a flat one. Three
steps find that radius to a fraction of its error; where they fall short the coordinates are still
exact, only less flat: a shift by a function of the other parameters changes no volume.

A depth is linear in its instrument's offset: with a normal prior and symmetric errors the
likelihood's integral over it is known, and given all else its posterior is normal.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from arielflow.data.description.parameters import Parameter
from arielflow.retrieval.spectra.model import SpectrumModel

_RADIUS = "planet_radius"
_STEPS = 3
# Of the range around the fitting radius, in standard deviations at fixed other parameters.
_HALF_RANGE = 8.0
# A share of 0.5 + x / 16 is a probit of x / 6.4 near the middle.
_PROBIT_DEVIATION = 1.25 / _HALF_RANGE
_LOG_ZERO = -1e100
_MARGIN = 1e-9
# How far a secant may be from the slope of a scaled atmosphere.
_SECANT_FACTOR = 3.0
_SEED = 0


class _Offset(NamedTuple):
    """An instrument's offset: its column, its prior, and which points it moves (point,)."""

    column: int
    parameter: Parameter
    rows: Tensor

    @property
    def mean(self) -> float:
        """Of its prior, as a fraction of the stellar disc."""
        return self.parameter.si_factor * self.parameter.first

    @property
    def precision(self) -> float:
        """Of its prior: one over the variance."""
        return (self.parameter.si_factor * self.parameter.second) ** -2

    def weighed(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Its own points' weights (n, point), and its precision (n,) given all else."""
        own = weight * self.rows
        return own, self.precision + own.sum(dim=1)


class ShearedModel:
    """A spectrum's model over a unit cube, the radius' side of which is around the fitting one.

    Without a free radius its side is that of the prior. Offsets that can be integrated out are no
    sides of the cube.

    Parameters
    ----------
    model
        The model.
    mode
        What is sampled at the best fit (parameter,).

    Attributes
    ----------
    dimension : int
        Of the cube.
    """

    def __init__(self, model: SpectrumModel, mode: Tensor) -> None:
        self._model, self._mode = model, mode
        free, spectrum = model.description.free, model.spectrum
        self._depth = torch.as_tensor(np.array(spectrum.depth))
        self._offsets = _integrable(model)
        away = {offset.column for offset in self._offsets}
        self._kept = [column for column in range(model.dimension) if column not in away]
        self.dimension = len(self._kept)
        columns = [column for column in self._kept if free[column].name == _RADIUS]
        self._column = columns[0] if columns else None
        if self._column is None:
            return
        self._parameter = free[self._column]
        step = torch.tensor([0.0, 1e-4], dtype=torch.float64)
        values = self._parameter.si(mode[self._column] + step)
        slope = 2 * self._depth / values[0] * float(values[1] - values[0]) / 1e-4
        weight = torch.as_tensor(spectrum.error**-2)
        deviation = float(self._curvature(weight[None], slope[None]).rsqrt())
        low, high = self._parameter.edges
        self._half_range = min(_HALF_RANGE * deviation, high - low)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._mode.tolist()})"

    def start(self, mode: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """A Gaussian in probit coordinates of the priors, in those of this cube.

        Parameters
        ----------
        mode, covariance
            Shapes (parameter,) and (parameter, parameter).
        """
        mode, covariance = mode[self._kept].clone(), covariance[self._kept][:, self._kept].clone()
        if self._column is not None:
            column = self._kept.index(self._column)
            mode[column] = 0
            covariance[column] = covariance[:, column] = 0
            covariance[column, column] = _PROBIT_DEVIATION**2
        return mode, covariance

    @torch.no_grad()
    def sampled(self, cube: np.ndarray) -> Tensor:
        """What is sampled (n, parameter) at points of the cube (n, dimension).

        Offsets are drawn from their posterior given the others.
        """
        sampled = self._placed(cube)
        if not self._offsets:
            return sampled
        generator = torch.Generator().manual_seed(_SEED)
        depth = self._without_offsets(sampled)
        for offset, mean, deviation in self._conditional(self._weight(sampled), depth):
            normal = torch.randn(len(sampled), generator=generator, dtype=torch.float64)
            drawn = mean + deviation * normal
            sampled[:, offset.column] = offset.parameter.from_si(drawn)
        return sampled

    @torch.no_grad()
    def log_likelihood(self, cube: np.ndarray) -> np.ndarray:
        """Natural log-likelihoods (n,) under a uniform prior on the cube.

        Where the radius is not the prior's own share, its prior's density is a part of them.
        """
        sampled = self._placed(cube)
        depth = self._without_offsets(sampled)
        density = torch.zeros(len(sampled), dtype=torch.float64)
        if self._column is not None:
            density += self._parameter.log_density(sampled[:, self._column])
            density += np.log(2 * self._half_range)
        if self._offsets:
            moved = depth.clone()
            for offset, mean, deviation in self._conditional(self._weight(sampled), depth):
                # A normal's integral is its largest value times its width.
                sampled[:, offset.column] = most = offset.parameter.from_si(mean)
                width = deviation / offset.parameter.si_factor * np.sqrt(2 * np.pi)
                density += offset.parameter.log_density(most) + torch.log(width)
                moved += mean[:, None] * offset.rows
            depth = moved
        found = self._model.log_likelihood_by_point(sampled, depth).sum(dim=1) + density
        return np.where(torch.isfinite(found).numpy(), found.numpy(), _LOG_ZERO)

    def _placed(self, cube: np.ndarray) -> Tensor:
        """What is sampled (n, parameter), the offsets at their priors' means."""
        share = torch.full((len(cube), self._model.dimension), 0.5, dtype=torch.float64)
        share[:, self._kept] = torch.as_tensor(cube)
        sampled = self._model.sampled(share)
        if self._column is not None:
            shift = self._half_range * (2 * share[:, self._column] - 1)
            sampled[:, self._column] = self._fitting(sampled) + shift
        return sampled

    def _fitting(self, sampled: Tensor) -> Tensor:
        """The radius, as it is sampled, of least chi2 at the other parameters (n,)."""
        low, high = (
            value + sign * _MARGIN
            for value, sign in zip(self._parameter.edges, (1, -1), strict=True)
        )
        sampled = sampled.clone()
        star_m = self._model.values(sampled)["star_radius"][:, None]
        weight = self._weight(sampled)
        radius = self._mode[self._column].expand(len(sampled))
        before = None
        for _ in range(_STEPS):
            sampled[:, self._column] = radius
            depth = self._without_offsets(sampled)
            depth = torch.where(torch.isfinite(depth), depth, self._depth)
            radius_m = self._parameter.si(radius)
            apparent_m = depth.clamp(min=0).sqrt() * star_m
            # At a given mass, scale heights go with the square of the radius.
            height = (apparent_m / radius_m[:, None] - 1).clamp(min=0)
            derivative = 2 * apparent_m / star_m**2 * (1 + 2 * height)
            residual = self._depth - depth
            for offset, mean, _ in self._conditional(weight, depth):
                residual = residual - mean[:, None] * offset.rows
            excess = (weight * residual * derivative).sum(dim=1)
            slope = self._curvature(weight, derivative)
            if before is not None:
                moved = radius_m - before[0]
                secant = (before[1] - excess) / torch.where(moved == 0, torch.inf, moved)
                bounds = slope / _SECANT_FACTOR, slope * _SECANT_FACTOR
                slope = torch.where(moved == 0, slope, secant.clamp(*bounds))
            before = radius_m, excess
            radius = self._parameter.from_si(radius_m + excess / slope).clamp(low, high)
        return radius

    def _without_offsets(self, sampled: Tensor) -> Tensor:
        """Depths (n, point) without the offsets that are integrated out."""
        depth = self._model.depths(sampled)
        for offset in self._offsets:
            depth = depth - offset.mean * offset.rows
        return depth

    def _weight(self, sampled: Tensor) -> Tensor:
        """One over the points' variances, (n or 1, point)."""
        low, high = self._model.errors(self._model.values(sampled))
        return torch.atleast_2d((0.5 * (low + high)) ** -2)

    def _conditional(self, weight: Tensor, depth: Tensor) -> list[tuple[_Offset, Tensor, Tensor]]:
        """Mean and standard deviation (n,) of every offset at depths (n, point) without any."""
        found = []
        for offset in self._offsets:
            own, precision = offset.weighed(weight)
            pulled = (own * (self._depth - depth)).sum(dim=1) + offset.precision * offset.mean
            found.append((offset, pulled / precision, precision.rsqrt().expand(len(depth))))
        return found

    def _curvature(self, weight: Tensor, derivative: Tensor) -> Tensor:
        """Half the second derivative (n,) of chi2, the offsets following, by a parameter."""
        found = (weight * derivative**2).sum(dim=1)
        for offset in self._offsets:
            own, precision = offset.weighed(weight)
            found = found - (own * derivative).sum(dim=1) ** 2 / precision
        return found


def _integrable(model: SpectrumModel) -> list[_Offset]:
    """The offsets with a normal prior, if all errors are symmetric and something else is free."""
    spectrum = model.spectrum
    if not np.array_equal(spectrum.error_low, spectrum.error_high):
        return []
    names = {f"offset[{name}]": name for name in spectrum.instruments}
    found = [
        _Offset(column, parameter, torch.as_tensor(spectrum.instrument == names[parameter.name]))
        for column, parameter in enumerate(model.description.free)
        if parameter.name in names and parameter.prior == "normal"
    ]
    return found if len(found) < model.dimension else []
