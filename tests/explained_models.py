"""Stand-ins for trained models whose explanations are known exactly."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from arielflow.models.ensemble import Mixture


class LinearModel:
    """A posterior whose mean is linear in the depths, and whose width is given.

    Parameters
    ----------
    slope
        Derivative of the mean by the depths (target, wavelength).
    width
        Standard deviation of every target (target,).
    bend
        Of the mean, which is ``bend`` times the hyperbolic tangent of its linear value over
        ``bend``; none if left out.
    """

    family = "linear"
    has_derivatives = has_log_prob = True

    def __init__(self, slope: np.ndarray, width: np.ndarray, bend: float | None = None) -> None:
        self._slope, self._width = torch.as_tensor(slope), torch.as_tensor(width)
        self._bend = bend

    def mean(self, depth: Tensor) -> Tensor:
        linear = depth @ self._slope.T
        return linear if self._bend is None else self._bend * torch.tanh(linear / self._bend)

    def moments(self, planets, n_samples: int, *, seed: int) -> tuple[Tensor, Tensor]:
        mean = self.mean(planets.depth)
        return mean, (self._width**2).expand_as(mean)

    def log_density(self, planets, theta: Tensor) -> Tensor:
        return -0.5 * (((theta - self.mean(planets.depth)) / self._width) ** 2).sum(dim=1)

    def embedding(self, planets) -> Tensor:
        return planets.depth


class LinearEnsemble:
    """What an ensemble of one :class:`LinearModel` is asked for."""

    def __init__(self, model: LinearModel) -> None:
        self.estimators, self.shares, self.device = [model], np.ones(1), "cpu"
        self._model = model

    def mixture(self, planets: xr.Dataset, n_samples: int, *, seed: int) -> Mixture:
        mean = self._model.mean(torch.as_tensor(planets["transit_depth"].values)).numpy()
        drawn = np.random.default_rng(seed).standard_normal((len(mean), n_samples, mean.shape[1]))
        theta = mean[:, None] + self._model._width.numpy() * drawn
        return Mixture(theta, {}, np.full(len(mean), "", dtype=object))
