"""Coordinates in which the radius is measured from the one that fits the other parameters.

A spectrum fixes the radius to a thousandth at given temperature, clouds and abundances, and these
change it by per cents: the posterior is a thin, curved sheet, which no mixture of a few Gaussians
covers. Measured from the radius of least chi2 at the other parameters it is a flat one. Three
steps find that radius to a fraction of its error; where they fall short the coordinates are still
exact, only less flat: a shift by a function of the other parameters changes no volume.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

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


class ShearedModel:
    """A spectrum's model over the unit cube, the radius' side of which is around the fitting one.

    Without a free radius the cube is that of the priors.

    Parameters
    ----------
    model
        The model.
    mode
        What is sampled at the best fit (parameter,).
    """

    def __init__(self, model: SpectrumModel, mode: Tensor) -> None:
        self._model, self._mode = model, mode
        names = [parameter.name for parameter in model.description.free]
        self._column = names.index(_RADIUS) if _RADIUS in names else None
        if self._column is None:
            return
        self._parameter = model.description.free[self._column]
        spectrum = model.spectrum
        self._depth = torch.as_tensor(np.array(spectrum.depth))
        self._weight = torch.as_tensor(spectrum.error**-2)
        step = torch.tensor([0.0, 1e-4], dtype=torch.float64)
        values = self._parameter.si(mode[self._column] + step)
        slope = 2 * self._depth / values[0] * float(values[1] - values[0]) / 1e-4
        deviation = float((self._weight * slope**2).sum().rsqrt())
        self._half_range = _HALF_RANGE * deviation

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._mode.tolist()})"

    def start(self, mode: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """A Gaussian in probit coordinates of the priors, in those of this cube.

        Parameters
        ----------
        mode, covariance
            Shapes (parameter,) and (parameter, parameter).
        """
        if self._column is None:
            return mode, covariance
        mode, covariance = mode.clone(), covariance.clone()
        mode[self._column] = 0
        covariance[self._column] = covariance[:, self._column] = 0
        covariance[self._column, self._column] = _PROBIT_DEVIATION**2
        return mode, covariance

    @torch.no_grad()
    def sampled(self, cube: np.ndarray) -> Tensor:
        """What is sampled (n, parameter) at points of the cube (n, parameter)."""
        share = torch.as_tensor(cube)
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
        radius = self._mode[self._column].expand(len(sampled))
        before = None
        for _ in range(_STEPS):
            sampled[:, self._column] = radius
            depth = self._model.depths(sampled)
            depth = torch.where(torch.isfinite(depth), depth, self._depth)
            radius_m = self._parameter.si(radius)
            apparent_m = depth.clamp(min=0).sqrt() * star_m
            # At a given mass, scale heights go with the square of the radius.
            height = (apparent_m / radius_m[:, None] - 1).clamp(min=0)
            derivative = 2 * apparent_m / star_m**2 * (1 + 2 * height)
            excess = (self._weight * (self._depth - depth) * derivative).sum(dim=1)
            slope = (self._weight * derivative**2).sum(dim=1)
            if before is not None:
                moved = radius_m - before[0]
                secant = (before[1] - excess) / torch.where(moved == 0, torch.inf, moved)
                bounds = slope / _SECANT_FACTOR, slope * _SECANT_FACTOR
                slope = torch.where(moved == 0, slope, secant.clamp(*bounds))
            before = radius_m, excess
            radius = self._parameter.from_si(radius_m + excess / slope).clamp(low, high)
        return radius

    def log_likelihood(self, cube: np.ndarray) -> np.ndarray:
        """Natural log-likelihoods (n,) under a uniform prior on the cube.

        Where the radius is not the priors' own share, its prior's density is a part of them.
        """
        if self._column is None:
            return self._model.log_likelihood(cube)
        with torch.no_grad():
            sampled = self.sampled(cube)
            density = self._parameter.log_density(sampled[:, self._column])
            found = self._model.log_likelihood_by_point(sampled).sum(dim=1) + density
        found = (found + np.log(2 * self._half_range)).numpy()
        return np.where(np.isfinite(found), found, _LOG_ZERO)
