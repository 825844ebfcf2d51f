"""Best fit of every planet of a data set at once.

The prior is a uniform box, so the maximum a posteriori is the point of least chi-square inside it.
Every target is carried through a sigmoid onto its side of the box and the residuals are minimised
by Levenberg-Marquardt steps. First-order methods (Adam) crawl here: where the radius is known the
valleys are narrow, a known disk leaves chi-square steep in some directions and flat in others; and
a quasi-Newton method on the summed objective (L-BFGS) would couple the planets' steps. The planets
are independent least-squares problems of a few parameters each, so their normal equations are
solved one by one in one batch, each planet with its own damping and its own end. The Jacobian comes
from forward differences: one spectrum a parameter, at a fourth of the cost of forward-mode
differentiation, and a thousandth off, which does not move where the fits end.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import IntFlag
from time import perf_counter

import numpy as np
import torch
import xarray as xr
from scipy.stats import qmc
from torch import Tensor

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import TARGET_COORDINATES, describe, is_usable
from arielflow.physics.forward import ForwardModel
from arielflow.retrieval.likelihood import sampling_box
from arielflow.settings.best_fit import FitSettings

Progress = Callable[[int, int], None]
"""Called with the number of steps taken and of fits that still run."""

# Beyond it the sigmoid is within 3e-4 of the box's edge and has no slope left.
_LARGEST_COORDINATE = 8.0
_LONGEST_STEP = 2.0
_FIRST_DAMPING, _LEAST_DAMPING, _HOPELESS_DAMPING = 1e-2, 1e-9, 1e7
_DAMPING_DOWN, _DAMPING_UP = 5.0, 4.0
# Keeps directions without any slope (a molecule too rare to absorb) from dividing by zero.
_DAMPING_FLOOR = 1e-4
_DIFFERENCE = 1e-3


class FitFlag(IntFlag):
    """Why a planet has no fit."""

    GOOD = 0
    UNUSABLE = 1
    NO_SPECTRUM = 2


class _Problem:
    """Residuals and Jacobians of rows (planet, coordinates), the coordinates unbounded."""

    def __init__(
        self,
        forward: ForwardModel,
        positions: np.ndarray,
        radius_tolerance: float,
    ) -> None:
        self._forward, self._radius_tolerance = forward, radius_tolerance
        systems = forward.systems
        # Rows of planets that are not fitted stay NaN and are never asked for.
        box = np.full(systems.prior.shape, np.nan)
        for position in positions:
            # A planet without a box stays NaN too: none of its points has a spectrum.
            with suppress(ArielflowError):
                box[:, position] = sampling_box(systems, int(position))
        self._low, self._span = torch.as_tensor(box[0]), torch.as_tensor(box[1] - box[0])
        self._depth, self._error = map(torch.as_tensor, (systems.depth, systems.error))
        self.n_parameters = box.shape[2] + (radius_tolerance > 0)

    def physical(self, position: Tensor, coordinate: Tensor) -> tuple[Tensor, Tensor | None]:
        """Targets, and the radius's factor where it is fitted."""
        share = torch.sigmoid(coordinate)
        n_targets = self._low.shape[1]
        theta = self._low[position] + self._span[position] * share[:, :n_targets]
        if not self._radius_tolerance:
            return theta, None
        return theta, 1 + self._radius_tolerance * (2 * share[:, n_targets] - 1)

    def coordinates(self, position: Tensor, theta: Tensor) -> Tensor:
        """Coordinates (row, parameter) of targets, the radius's factor one."""
        share = (theta - self._low[position]) / self._span[position]
        added = torch.full((len(share), self.n_parameters - share.shape[1]), 0.5)
        return torch.logit(torch.cat([share, added.double()], dim=1), eps=1e-3)

    def depths(self, position: Tensor, coordinate: Tensor) -> Tensor:
        """Transit depths (row, wavelength) of the model."""
        return self._forward.depths(position.numpy(), *self.physical(position, coordinate)).cpu()

    def residuals(self, position: Tensor, coordinate: Tensor) -> Tensor:
        """Model less data in error bars, shape (row, wavelength)."""
        with torch.no_grad():
            depths = self.depths(position, coordinate)
        return (depths - self._depth[position]) / self._error[position]

    def normal_equations(
        self, position: Tensor, coordinate: Tensor, residual: Tensor
    ) -> tuple[Tensor, Tensor]:
        """J^T J (row, parameter, parameter) and J^T r (row, parameter)."""
        columns = []
        for number in range(self.n_parameters):
            moved = coordinate.clone()
            moved[:, number] += _DIFFERENCE
            columns.append((self.residuals(position, moved) - residual) / _DIFFERENCE)
        # A spectrum that is lost within the difference has no slope there.
        jacobian = torch.stack(columns, dim=2).nan_to_num(nan=0.0)
        transposed = jacobian.transpose(1, 2)
        return transposed @ jacobian, (transposed @ residual[:, :, None])[:, :, 0]


@dataclass
class _Fits:
    """State of the running fits, one row a planet and start."""

    position: Tensor
    coordinate: Tensor
    residual: Tensor
    chi2: Tensor
    converged: Tensor


def _chi2(residual: Tensor) -> Tensor:
    """Sum of squares (row,); infinite where the model has no spectrum."""
    return residual.square().sum(dim=1).nan_to_num(nan=torch.inf)


def _screen(
    problem: _Problem, positions: np.ndarray, settings: FitSettings, seed: int
) -> tuple[_Fits, np.ndarray]:
    """The best points of one sequence shared by all planets, and which planets had none.

    A sequence of their own would make planets' fits depend on which others there are.
    """
    sequence = qmc.Sobol(problem.n_parameters, seed=seed).random(settings.n_screened)
    points = torch.logit(torch.as_tensor(sequence), eps=1e-3)
    position = torch.as_tensor(positions)
    costs = torch.stack(
        [_chi2(problem.residuals(position, point.expand(len(position), -1))) for point in points],
        dim=1,
    )
    best = torch.argsort(costs, dim=1, stable=True)[:, : settings.n_starts]
    lost = ~torch.isfinite(costs).any(dim=1)
    position = position[~lost].repeat_interleave(settings.n_starts)
    coordinate = points[best[~lost].ravel()]
    residual = problem.residuals(position, coordinate)
    running = torch.zeros(len(position), dtype=torch.bool)
    fits = _Fits(position, coordinate, residual, _chi2(residual), running)
    return fits, positions[lost.numpy()]


def _begun(problem: _Problem, positions: np.ndarray, start: np.ndarray) -> tuple[_Fits, np.ndarray]:
    """Fits that begin at one point each, and which planets have no spectrum there."""
    position = torch.as_tensor(positions)
    coordinate = problem.coordinates(position, torch.as_tensor(start[positions]))
    residual = problem.residuals(position, coordinate)
    chi2 = _chi2(residual)
    good = torch.isfinite(chi2)
    running = torch.zeros(int(good.sum()), dtype=torch.bool)
    fits = _Fits(position[good], coordinate[good], residual[good], chi2[good], running)
    return fits, positions[~good.numpy()]


def _levenberg_marquardt(
    problem: _Problem, fits: _Fits, settings: FitSettings, progress: Progress | None
) -> None:
    """Improve all rows in place until each has converged or the steps are used up."""
    n_rows, n_parameters = fits.coordinate.shape
    negligible = settings.negligible_rms_sigma**2 * fits.residual.shape[1]
    normal = torch.zeros(n_rows, n_parameters, n_parameters, dtype=torch.float64)
    gradient = torch.zeros(n_rows, n_parameters, dtype=torch.float64)
    damping = torch.full((n_rows,), _FIRST_DAMPING, dtype=torch.float64)
    moved = torch.ones(n_rows, dtype=torch.bool)
    fits.converged |= fits.chi2 < negligible
    ended = fits.converged | ~torch.isfinite(fits.chi2)
    for step in range(settings.max_steps):
        active = (~ended).nonzero()[:, 0]
        if not len(active):
            return
        fresh = active[moved[active]]
        if len(fresh):
            normal[fresh], gradient[fresh] = problem.normal_equations(
                fits.position[fresh], fits.coordinate[fresh], fits.residual[fresh]
            )
        trial = fits.coordinate[active] - _step(normal[active], gradient[active], damping[active])
        trial = trial.clamp(-_LARGEST_COORDINATE, _LARGEST_COORDINATE)
        residual = problem.residuals(fits.position[active], trial)
        chi2 = _chi2(residual)
        decrease = fits.chi2[active] - chi2
        better = decrease > 0
        small = better & (decrease < settings.tolerance * fits.chi2[active])
        chosen = active[better]
        fits.coordinate[chosen], fits.residual[chosen] = trial[better], residual[better]
        fits.chi2[chosen] = chi2[better]
        moved[active] = better
        damping[active] = torch.where(
            better, damping[active] / _DAMPING_DOWN, damping[active] * _DAMPING_UP
        ).clamp(min=_LEAST_DAMPING)
        # Without any downhill step, however short, the fit sits in a minimum too.
        stuck = damping[active] > _HOPELESS_DAMPING
        fits.converged[active] = small | stuck | (fits.chi2[active] < negligible)
        ended = ended | fits.converged
        if progress is not None:
            progress(step + 1, int((~ended).sum()))


def _step(normal: Tensor, gradient: Tensor, damping: Tensor) -> Tensor:
    """Solution of the damped normal equations, bounded in every coordinate."""
    diagonal = normal.diagonal(dim1=1, dim2=2)
    floor = _DAMPING_FLOOR * diagonal.amax(dim=1, keepdim=True) + torch.finfo(normal.dtype).tiny
    damped = normal + torch.diag_embed(damping[:, None] * (diagonal + floor))
    # The variant that does not raise: one planet's singular matrix is its own misfortune.
    step, _ = torch.linalg.solve_ex(damped, gradient[:, :, None])
    return step[:, :, 0].clamp(-_LONGEST_STEP, _LONGEST_STEP)


def maximum_a_posteriori(
    forward: ForwardModel,
    planets: xr.Dataset,
    *,
    seed: int,
    settings: FitSettings | None = None,
    start: np.ndarray | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Point of highest posterior density of every planet under its uniform retrieval prior.

    Parameters
    ----------
    forward
        Forward model of these planets.
    planets
        Planets dataset; its prior box bounds the fit.
    seed
        Of the points that are tried first.
    settings
        Of the fit.
    start
        Theta (planet, target) from which every planet's only fit starts; by default the best
        points of those that the settings screen.
    progress
        Told about the steps.

    Returns
    -------
    xarray.Dataset
        ``theta(planet, target)``, ``radius_factor(planet)``, ``fitted_depth(planet, wavelength)``,
        ``chi2(planet)``, ``residual_rms_sigma(planet)`` (rms over the wavelengths of the residual
        in error bars), ``converged(planet)`` and ``flags(planet)`` (bits of :class:`FitFlag`).
        Planets with a flag have NaN and are not converged; they do not touch the others.
        Attributes: ``seconds``, ``forward_calls`` (spectra computed, derivatives counted as one
        each).

    Raises
    ------
    ArielflowError
        A radius that is a target was to be fitted twice.
    """
    settings = settings or FitSettings()
    if settings.radius_tolerance and "planet_radius" in forward.systems.targets:
        raise ArielflowError(
            f"radius_tolerance is {settings.radius_tolerance:g}, expected 0: the radius is a "
            f"target of edition {planets.attrs.get('edition')} already; set it to 0"
        )
    started, calls = perf_counter(), forward.transmission.calls
    usable = np.flatnonzero(is_usable(planets))
    problem = _Problem(forward, usable, settings.radius_tolerance)
    flags = np.where(is_usable(planets), 0, int(FitFlag.UNUSABLE))
    n_starts = settings.n_starts if start is None else 1
    if start is None:
        fits, lost = _screen(problem, usable, settings, seed)
    else:
        fits, lost = _begun(problem, usable, start)
    flags[lost] = int(FitFlag.NO_SPECTRUM)
    _levenberg_marquardt(problem, fits, settings, progress)
    result = _dataset(problem, fits, planets, n_starts)
    result["flags"] = ("planet", flags, {"long_name": "why there is no fit", "units": "1"})
    result.attrs = {
        "edition": planets.attrs.get("edition", ""),
        "seed": seed,
        "seconds": perf_counter() - started,
        "forward_calls": forward.transmission.calls - calls,
    }
    return result


def _dataset(problem: _Problem, fits: _Fits, planets: xr.Dataset, n_starts: int) -> xr.Dataset:
    """The best start of every planet; NaN for planets without a fit."""
    n_planets, n_wavelengths = planets["transit_depth"].shape
    best = fits.chi2.reshape(-1, n_starts).argmin(dim=1) + n_starts * torch.arange(
        len(fits.chi2) // n_starts
    )
    rows = fits.position[best]
    theta, factor = problem.physical(rows, fits.coordinate[best])
    with torch.no_grad():
        depths = problem.depths(rows, fits.coordinate[best])
    found = {
        "theta": (("planet", "target"), theta),
        "radius_factor": (("planet",), torch.ones(len(rows)) if factor is None else factor),
        "fitted_depth": (("planet", "wavelength"), depths),
        "chi2": (("planet",), fits.chi2[best]),
        "residual_rms_sigma": (("planet",), torch.sqrt(fits.chi2[best] / n_wavelengths)),
    }
    variables = {}
    for name, (dims, values) in found.items():
        full = np.full((n_planets, *values.shape[1:]), np.nan)
        full[rows.numpy()] = values.numpy()
        variables[name] = dims, full
    converged = np.zeros(n_planets, dtype=bool)
    converged[rows.numpy()] = fits.converged[best].numpy()
    variables["converged"] = ("planet",), converged
    names = (*TARGET_COORDINATES, "planet", "wavelength")
    result = describe(xr.Dataset(variables, coords={name: planets[name] for name in names}))
    for name, long_name in _LONG_NAMES.items():
        result[name].attrs = {"long_name": long_name, "units": "1"}
    return result


_LONG_NAMES = {
    "radius_factor": "fitted radius over the one given",
    "fitted_depth": "transit depth of the best fit",
    "chi2": "sum of squared residuals in error bars",
    "residual_rms_sigma": "rms of the residuals in error bars",
    "converged": "the fit ended in a minimum",
}
