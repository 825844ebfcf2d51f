"""A model as a function of spectra in depth units that can be differentiated.

The path goes through the model's own features (scale heights above the observed radius, scalers,
principal components) and through its draws, whose base draws are fixed, so that a derivative is
that of what the model answers and not of an inner quantity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from arielflow.core.errors import ArielflowError
from arielflow.models.base import PosteriorEstimator
from arielflow.models.ensemble import Ensemble
from arielflow.models.features import PlanetTensors, planet_tensors

Quantity = Literal["mean", "width", "log_prob"]
"""What is explained: mean or log10 of the standard deviation of every target's posterior, or the
natural logarithm of the density at a given theta."""

Function = Callable[[Tensor, Tensor], Tensor]
"""Depths (row, wavelength) and the planet of each row (row,) to values (row, output)."""


class Mixed(NamedTuple):
    """Members of a model and their shares of the mixture."""

    estimators: Sequence[PosteriorEstimator]
    shares: np.ndarray

    @classmethod
    def of(cls, ensemble: Ensemble) -> Mixed:
        """Of a loaded ensemble."""
        return cls(ensemble.estimators, ensemble.shares)

    @property
    def has_derivatives(self) -> bool:
        """Every member can be differentiated."""
        return all(estimator.has_derivatives for estimator in self.estimators)

    @property
    def has_log_prob(self) -> bool:
        """Every member has a density."""
        return all(estimator.has_log_prob for estimator in self.estimators)


class SpectrumFunction:
    """A model's answer as a function of its planets' depths.

    Parameters
    ----------
    model
        Members, on the CPU.
    planets
        Planets dataset, usable planets only; gives all that is no depth.
    quantity
        What the outputs are, see :data:`Quantity`; of ``log_prob`` there is one.
    n_samples
        Draws a row, for the models that have no closed form.
    seed
        Of the base draws.
    theta
        Points (planet, target) of ``log_prob``, target units; the planets' own if left out.

    Attributes
    ----------
    depth, error : torch.Tensor
        Of the planets (planet, wavelength).

    Raises
    ------
    ArielflowError
        A member cannot be differentiated, or has no density.
    """

    def __init__(
        self,
        model: Mixed,
        planets: xr.Dataset,
        quantity: Quantity,
        *,
        n_samples: int = 256,
        seed: int = 0,
        theta: np.ndarray | None = None,
    ) -> None:
        able = model.has_log_prob if quantity == "log_prob" else model.has_derivatives
        if not able:
            families = ", ".join(sorted({estimator.family for estimator in model.estimators}))
            raise ArielflowError(
                f"explain: {families} cannot be differentiated for {quantity}; use finite "
                "differences or permutation"
            )
        self._model, self._quantity = model, quantity
        self._n_samples, self._seed = n_samples, seed
        self.tensors = planet_tensors(planets)
        points = self.tensors.theta if theta is None else theta
        self._theta = torch.as_tensor(points, dtype=torch.float64)

    @property
    def depth(self) -> Tensor:
        return self.tensors.depth

    @property
    def error(self) -> Tensor:
        return self.tensors.error

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return 1 if self._quantity == "log_prob" else self.tensors.low.shape[1]

    def __call__(self, depth: Tensor, row: Tensor) -> Tensor:
        """Values (row, output) at depths (row, wavelength) of the planets at ``row``."""
        planets = replace(self.tensors.rows(row), depth=depth)
        if self._quantity == "log_prob":
            return self._log_prob(planets, self._theta[row])[:, None]
        mean, variance = self.moments(planets)
        return mean if self._quantity == "mean" else 0.5 * variance.log10()

    def moments(self, planets: PlanetTensors) -> tuple[Tensor, Tensor]:
        """Mean and variance of the mixture (row, target), by total variance."""
        shares = torch.as_tensor(self._model.shares)[:, None, None]
        found = [
            estimator.moments(planets, self._n_samples, seed=self._seed + number)
            for number, estimator in enumerate(self._model.estimators)
        ]
        means, variances = (torch.stack(parts) for parts in zip(*found, strict=True))
        mean = (shares * means).sum(dim=0)
        return mean, (shares * (variances + (means - mean).square())).sum(dim=0)

    def _log_prob(self, planets: PlanetTensors, theta: Tensor) -> Tensor:
        shares = torch.as_tensor(self._model.shares).log()
        parts = [
            share + estimator.log_density(planets, theta)
            for share, estimator in zip(shares, self._model.estimators, strict=True)
        ]
        return torch.logsumexp(torch.stack(parts), dim=0)
