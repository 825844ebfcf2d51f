"""One planet's likelihood in coordinates in which its prior is a standard normal.

Every target's side of the prior box is mapped to the unit interval and through the normal quantile
function. Molecules may be left out, which lowers the dimension.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import qmc
from torch import Tensor
from torch.autograd import forward_ad

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import FEWEST_VALID_BINS
from arielflow.physics.forward import ForwardModel
from arielflow.physics.systems import Systems
from arielflow.retrieval.likelihood import sampling_box

# Beyond it the prior has less than 6e-7 of its mass, and theta no slope left.
_LARGEST_PROBIT = 5.0
_SCREENED, _STARTS, _STEPS = 64, 4, 25
_FIRST_DAMPING, _DAMPING_DOWN, _DAMPING_UP, _HOPELESS_DAMPING = 1e-2, 5.0, 4.0, 1e4
_TOLERANCE = 1e-3
_LONGEST_STEP = 1.5


class NormalPosterior(ABC):
    """Unnormalised posterior in coordinates ``z`` (n, dimension) whose prior is a standard normal.

    Attributes
    ----------
    dimension : number of coordinates
    log_share : what is added to a log-evidence under the sampled prior for that under the whole one
    calls : spectra computed so far; one with its derivative counts as one
    """

    dimension: int
    log_share: float = 0.0
    calls: int = 0

    @abstractmethod
    def residuals(self, z: Tensor) -> Tensor:
        """What half the squares of, summed, are minus the log-likelihood but for a constant.

        Shape (n, residual); NaN where the model has no spectrum.
        """

    @abstractmethod
    def log_likelihood(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Natural log-likelihoods (n,), and which of them the model has a spectrum for.

        The others are zero, with a gradient of zero.
        """

    @abstractmethod
    def theta(self, z: Tensor) -> Tensor:
        """Parameters (n, target) at coordinates."""

    @staticmethod
    def log_prior(z: Tensor) -> Tensor:
        """Natural logarithm of the prior's density (n,)."""
        return -0.5 * (z.square() + np.log(2 * np.pi)).sum(dim=1)

    def jacobian(self, z: Tensor) -> Tensor:
        """Derivatives of the residuals, shape (n, residual, dimension), in forward mode."""
        n_rows = len(z)
        primal = z.detach().repeat_interleave(self.dimension, dim=0).requires_grad_()
        direction = torch.eye(self.dimension, dtype=torch.float64).repeat(n_rows, 1)
        with forward_ad.dual_level():
            dual = self.residuals(forward_ad.make_dual(primal, direction))
            tangent = forward_ad.unpack_dual(dual).tangent.detach()
        return tangent.reshape(n_rows, self.dimension, -1).transpose(1, 2)


class ProbitPosterior(NormalPosterior):
    """Unnormalised posterior of one planet of a data set, its prior a box.

    Parameters
    ----------
    forward, planet
        Forward model of a data set, and a position in that.
    absent
        Molecules without any abundance; they are no coordinates.
    box
        Edges (2, target) of the prior, as :func:`arielflow.retrieval.likelihood.sampling_box`
        cuts it, which makes them if left out.

    Attributes
    ----------
    box : edges of all targets, shape (2, target)

    Raises
    ------
    ArielflowError
        An absent molecule is no target, or nothing is left to retrieve.
    """

    def __init__(
        self,
        forward: ForwardModel,
        planet: int,
        absent: Sequence[str] = (),
        box: np.ndarray | None = None,
    ) -> None:
        self._forward, self._planet = forward, planet
        systems = forward.systems
        # Bins without a value are left out of the likelihood.
        used = systems.valid_bins(planet)
        self._used = None if used.all() else torch.as_tensor(used)
        self._depth, self._error = (
            torch.as_tensor(values[planet][used]) for values in (systems.depth, systems.error)
        )
        self._constant = -float(torch.log(self._error * np.sqrt(2 * np.pi)).sum())
        box = sampling_box(systems, planet) if box is None else box
        self.box = torch.as_tensor(box)
        fixed = [_column(systems, molecule) for molecule in absent]
        self._free = [i for i in range(box.shape[1]) if i not in fixed]
        if not self._free:
            raise ArielflowError("no target is left to retrieve; leave fewer molecules out")
        self.dimension = len(self._free)
        low, high = systems.prior[:, planet]
        prior, sampled = high - low, box[1] - box[0]
        # The box cuts the prior in radius: the same integral, but a denser prior.
        self.log_share = float(np.sum(np.log(sampled[self._free] / prior[self._free])))

    def theta(self, z: Tensor) -> Tensor:
        """Targets (n, target) of coordinates; -inf for absent molecules."""
        low, high = self.box[:, self._free]
        share = torch.special.ndtr(z.clamp(-_LARGEST_PROBIT, _LARGEST_PROBIT))
        full = torch.full((len(z), self.box.shape[1]), -torch.inf, dtype=torch.float64)
        columns = torch.as_tensor(self._free)
        return full.index_copy(1, columns, low + (high - low) * share)

    def coordinates(self, theta: np.ndarray) -> Tensor:
        """Coordinates (n, dimension) of targets (n, target)."""
        low, high = self.box[:, self._free]
        share = (torch.as_tensor(theta)[:, self._free] - low) / (high - low)
        edge = torch.special.ndtr(torch.tensor(-_LARGEST_PROBIT, dtype=torch.float64))
        return torch.special.ndtri(share.clamp(edge, 1 - edge))

    def residuals(self, z: Tensor) -> Tensor:
        """Model less data in error bars (n, wavelength); NaN where the model has no spectrum."""
        self.calls += len(z)
        depths = self._forward.depths(np.array(self._planet), self.theta(z)).cpu()
        if self._used is not None:
            depths = depths[:, self._used]
        return (depths - self._depth) / self._error

    def log_likelihood(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`NormalPosterior`."""
        residual = self.residuals(z)
        good = torch.isfinite(residual).all(dim=1)
        # Chosen before it is squared: NaN times a gradient of zero would be NaN.
        residual = torch.where(good[:, None], residual, 0.0)
        value = self._constant - 0.5 * residual.square().sum(dim=1)
        return torch.where(good, value, 0.0), good


def check_spectrum(systems: Systems, planet: int) -> None:
    """Refuse a spectrum that is not finite in too many bins.

    Raises
    ------
    ArielflowError
        It is not.
    """
    used = systems.valid_bins(planet)
    if used.mean() < FEWEST_VALID_BINS:
        raise ArielflowError(
            f"planet {systems.names[planet]}: its spectrum or errors are not finite in "
            f"{(~used).sum()} of {len(used)} bins; leave it out or mend its data"
        )


def _column(systems: Systems, molecule: str) -> int:
    if molecule not in systems.targets:
        raise ArielflowError(
            f"absent molecule {molecule} is no target of this edition; it has "
            f"{', '.join(systems.targets)}"
        )
    return systems.targets[molecule]


def laplace(
    posterior: NormalPosterior, seed: int, *, screened: int = _SCREENED, starts: int = _STARTS
) -> tuple[Tensor, Tensor]:
    """Most probable coordinates (dimension,) and the inverse curvature (dimension, dimension).

    Levenberg-Marquardt from the best of some points of the prior. The prior is a residual of one
    error bar a coordinate, so unlike in :mod:`arielflow.retrieval.best_fit` no
    direction is without slope, and the curvature is that of the posterior.

    Parameters
    ----------
    posterior, seed
        What is looked at, and the seed of the points.
    screened, starts
        Points of the prior, a power of two, and how many of the best are followed.

    Raises
    ------
    ArielflowError
        The model has no spectrum anywhere that was tried.
    """
    sequence = qmc.Sobol(posterior.dimension, seed=seed).random(screened)
    z = torch.special.ndtri(torch.as_tensor(sequence).clamp(1e-3, 1 - 1e-3))
    residual = _residuals(posterior, z)
    best = torch.argsort(_cost(z, residual))[:starts]
    best = best[torch.isfinite(_cost(z, residual)[best])]
    if not len(best):
        raise ArielflowError(
            f"the forward model has no spectrum at any of {screened} points of the prior; check "
            "the planet's mass, star and prior box"
        )
    mode = _levenberg_marquardt(posterior, z[best], residual[best])
    jacobian = posterior.jacobian(mode[None])[0]
    return mode, torch.linalg.inv(_with_prior(jacobian.T @ jacobian))


def _levenberg_marquardt(posterior: NormalPosterior, z: Tensor, residual: Tensor) -> Tensor:
    """The best coordinates (dimension,) that starts ``z`` (start, dimension) lead to."""
    z, residual, cost = z.clone(), residual.clone(), _cost(z, residual)
    damping = torch.full((len(z),), _FIRST_DAMPING, dtype=torch.float64)
    running = torch.ones(len(z), dtype=torch.bool)
    for _ in range(_STEPS):
        rows = running.nonzero()[:, 0]
        if not len(rows):
            break
        jacobian = posterior.jacobian(z[rows])
        transposed = jacobian.transpose(1, 2)
        slope = (transposed @ residual[rows, :, None])[:, :, 0] + z[rows]
        normal = _with_prior(transposed @ jacobian)
        scale = torch.diag_embed(normal.diagonal(dim1=1, dim2=2))
        step = torch.linalg.solve(normal + damping[rows, None, None] * scale, slope)
        trial = z[rows] - step.clamp(-_LONGEST_STEP, _LONGEST_STEP)
        trial = trial.clamp(-_LARGEST_PROBIT, _LARGEST_PROBIT)
        trial_residual = _residuals(posterior, trial)
        decrease = cost[rows] - _cost(trial, trial_residual)
        better = decrease > 0
        taken = rows[better]
        z[taken], residual[taken] = trial[better], trial_residual[better]
        cost[taken] = _cost(z[taken], residual[taken])
        damping[rows] *= torch.where(better, 1 / _DAMPING_DOWN, _DAMPING_UP)
        ended = (better & (decrease < _TOLERANCE)) | (damping[rows] > _HOPELESS_DAMPING)
        running[rows] = ~ended
    return z[cost.argmin()]


def _residuals(posterior: NormalPosterior, z: Tensor) -> Tensor:
    with torch.no_grad():
        return posterior.residuals(z)


def _with_prior(normal: Tensor) -> Tensor:
    return normal + torch.eye(normal.shape[-1], dtype=normal.dtype)


def _cost(z: Tensor, residual: Tensor) -> Tensor:
    """Minus twice the log-posterior (n,), but for a constant; infinite without a spectrum."""
    return (residual.square().sum(dim=1) + z.square().sum(dim=1)).nan_to_num(nan=torch.inf)
