"""The model of one observed spectrum: parameters in, depths and likelihoods out.

The prior is the unit cube: every free parameter is drawn at a cumulative share of its own prior.
Instruments add offsets to the depths and may inflate the errors, which the likelihood is then
normalised for.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from arielflow.data.description.read import Description
from arielflow.data.spectra.spectrum import ObservedSpectrum
from arielflow.physics.parametric import ParametricModel
from arielflow.retrieval.probit import NormalPosterior

_LOG_ZERO = -1e100
_HALF_LOG_TWO_PI = 0.5 * float(np.log(2 * np.pi))
# Keeps the square root of the errors' inflation away from zero, where it has no slope.
_LEAST_INFLATION = 0.5
_LARGEST_PROBIT = 5.0


class SpectrumModel:
    """Depths and likelihoods of one spectrum.

    Parameters
    ----------
    physics
        The forward model in the spectrum's bins: what has its ``depths``.
    description
        What is free and what is fixed.
    spectrum
        What was observed.

    Attributes
    ----------
    names, units : tuple[str, ...]
        Of what is sampled, parameter by parameter.
    dimension : int
        Number of free parameters.
    calls : int
        Spectra computed so far.
    """

    def __init__(
        self, physics: ParametricModel, description: Description, spectrum: ObservedSpectrum
    ) -> None:
        self.physics, self.description, self.spectrum = physics, description, spectrum
        self.names = tuple(p.sampled_name for p in description.free)
        self.units = tuple(p.sampled_unit for p in description.free)
        self.dimension = len(self.names)
        self.calls = 0
        self._depth, self._low, self._high = (
            torch.as_tensor(np.array(values))
            for values in (spectrum.depth, spectrum.error_low, spectrum.error_high)
        )
        self._symmetric = bool(torch.equal(self._low, self._high))
        self._rows = {
            name: torch.as_tensor(spectrum.instrument == name) for name in spectrum.instruments
        }
        self._inflated = any(
            f"{key}[{name}]" in description.parameters
            for key in ("error_factor", "jitter")
            for name in spectrum.instruments
        )

    def sampled(self, share: Tensor | np.ndarray) -> Tensor:
        """What is sampled (n, parameter) at shares (n, parameter) of the priors."""
        share = torch.as_tensor(share)
        columns = [p.sampled(share[:, i]) for i, p in enumerate(self.description.free)]
        return torch.stack(columns, dim=1) if columns else share

    def values(self, sampled: Tensor) -> dict[str, Tensor]:
        """All parameters by name in SI units, shape (n,) each."""
        found = {
            name: torch.full((len(sampled),), value, dtype=torch.float64)
            for name, value in self.description.fixed.items()
        }
        for column, parameter in enumerate(self.description.free):
            found[parameter.name] = parameter.si(sampled[:, column])
        return found

    def depths(self, sampled: Tensor, *, offsets: bool = True) -> Tensor:
        """Depths (n, point), with the instruments' offsets unless they are not wanted."""
        values = self.values(sampled)
        return self._depths(values) if offsets else self._atmosphere(values)

    def _atmosphere(self, values: Mapping[str, Tensor]) -> Tensor:
        some = next(iter(values.values()))
        self.calls += len(some)
        return self.physics.depths(values).cpu()

    def _depths(self, values: Mapping[str, Tensor]) -> Tensor:
        depth = self._atmosphere(values)
        for name, rows in self._rows.items():
            if (offset := values.get(f"offset[{name}]")) is not None:
                depth = depth + offset[:, None] * rows
        return depth

    def errors(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Lower and upper errors at :meth:`values`, shape (point,), (n, point) where inflated."""
        if not self._inflated:
            return self._low, self._high
        some = next(iter(values.values()))
        factor = torch.ones(len(some), len(self._depth), dtype=torch.float64)
        added = torch.zeros_like(factor)
        for name, rows in self._rows.items():
            if (own := values.get(f"error_factor[{name}]")) is not None:
                factor = torch.where(rows, own[:, None], factor)
            if (own := values.get(f"jitter[{name}]")) is not None:
                added = torch.where(rows, own[:, None], added)
        low, high = (
            torch.sqrt((factor * error) ** 2 + added**2) for error in (self._low, self._high)
        )
        return low, high

    def residuals(self, sampled: Tensor, depth: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Model less data in error bars, and the errors' mean, (n, point) or (point,).

        The split normal distribution: where the model lies above the data, the upper error counts.

        Parameters
        ----------
        sampled
            Shape (n, parameter).
        depth
            What :meth:`depths` gives for them, where that is known already.
        """
        values = self.values(sampled)
        depth = self._depths(values) if depth is None else depth
        missing = ~torch.isfinite(depth)
        # Without NaN inside: times a gradient of zero they would be NaN.
        difference = torch.where(missing, 0.0, depth) - self._depth
        low, high = self.errors(values)
        error = low if self._symmetric else torch.where(difference > 0, high, low)
        return torch.where(missing, torch.nan, difference / error), 0.5 * (low + high)

    def log_likelihood_by_point(self, sampled: Tensor, depth: Tensor | None = None) -> Tensor:
        """Natural log-likelihoods (n, point), see :meth:`residuals`; NaN without a spectrum."""
        residual, error = self.residuals(sampled, depth)
        return -0.5 * residual.square() - torch.log(error) - _HALF_LOG_TWO_PI

    def log_likelihood(self, share: np.ndarray) -> np.ndarray:
        """Natural log-likelihoods (n,) at shares (n, parameter) of the priors."""
        with torch.no_grad():
            found = self.log_likelihood_by_point(self.sampled(torch.as_tensor(share))).sum(dim=1)
        return np.where(torch.isfinite(found).numpy(), found.numpy(), _LOG_ZERO)

    @property
    def smallest_errors(self) -> Tensor:
        """The least that the errors' mean may be (point,), for what measures their inflation."""
        if not self._inflated:
            return 0.5 * (self._low + self._high)
        least = self.description.free
        edges = torch.tensor(
            [[p.edges[0] if np.isfinite(p.edges[0]) else p.first - 3 * p.second for p in least]]
        )
        low, high = self.errors(self.values(edges.double()))
        return 0.5 * (low + high)[0].clamp(min=1e-3 * self._low.min())

    @property
    def inflated(self) -> bool:
        """Whether a parameter changes the errors."""
        return self._inflated


class SpectrumPosterior(NormalPosterior):
    """The posterior of one spectrum in coordinates whose prior is a standard normal."""

    def __init__(self, model: SpectrumModel) -> None:
        self.model, self.dimension = model, model.dimension
        self._smallest = model.smallest_errors

    def share(self, z: Tensor) -> Tensor:
        """Cumulative shares (n, dimension) of the priors at coordinates."""
        return torch.special.ndtr(z.clamp(-_LARGEST_PROBIT, _LARGEST_PROBIT))

    def theta(self, z: Tensor) -> Tensor:
        """What is sampled (n, dimension) at coordinates."""
        return self.model.sampled(self.share(z))

    def residuals(self, z: Tensor) -> Tensor:
        """See :class:`arielflow.retrieval.probit.NormalPosterior`.

        Inflated errors add one a point, whose square is twice the logarithm of the inflation.
        """
        self.calls += len(z)
        residual, error = self.model.residuals(self.theta(z))
        if not self.model.inflated:
            return residual
        inflation = torch.log(error / self._smallest).clamp(min=0)
        return torch.cat([residual, torch.sqrt(2 * (inflation + _LEAST_INFLATION))], dim=1)

    def log_likelihood(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`arielflow.retrieval.probit.NormalPosterior`."""
        self.calls += len(z)
        found = self.model.log_likelihood_by_point(self.theta(z))
        good = torch.isfinite(found).all(dim=1)
        return torch.where(good[:, None], found, 0.0).sum(dim=1), good
