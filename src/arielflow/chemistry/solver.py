"""Trajectories of a reaction network: a stiff solver and random clouds to start from."""

from __future__ import annotations

from time import process_time

import numpy as np
import xarray as xr
from scipy.integrate import solve_ivp

from arielflow.chemistry.network import Network
from arielflow.core.errors import ArielflowError
from arielflow.settings.chemistry import Times

YEAR_S = 3.15576e7
FLOOR = 1e-20
"""Smallest abundance that is distinguished from zero."""
_RELATIVE_TOLERANCE = 1e-6
_ABSOLUTE_TOLERANCE = 1e-24
# Helium per hydrogen nucleus, and the ranges of what varies.
_HELIUM = 0.1
_OXYGEN = (1e-4, 6e-4)
_CARBON_TO_OXYGEN = (0.2, 0.9)
_ATOMIC_HYDROGEN = (1e-3, 0.3)


def recorded_times(times: Times) -> np.ndarray:
    """The times (time,) at which a trajectory is recorded [yr]."""
    return np.geomspace(times.first_yr, times.last_yr, times.number)


def initial_abundances(network: Network, n_clouds: int, seed: int) -> np.ndarray:
    """Random diffuse clouds (cloud, species), abundances per hydrogen nucleus.

    Carbon is ionised or, in part, bound in CO; oxygen is atomic; the rest of the hydrogen is
    molecular; electrons make the gas neutral. Oxygen and the share of atomic hydrogen are
    log-uniform, carbon over oxygen and the share of carbon in CO uniform.
    """
    rng = np.random.default_rng(seed)
    oxygen = np.exp(rng.uniform(*np.log(_OXYGEN), n_clouds))
    carbon = oxygen * rng.uniform(*_CARBON_TO_OXYGEN, n_clouds)
    atomic = np.exp(rng.uniform(*np.log(_ATOMIC_HYDROGEN), n_clouds))
    bound = carbon * rng.uniform(0, 1, n_clouds)
    start = {
        "H": atomic,
        "H2": (1 - atomic) / 2,
        "He": np.full(n_clouds, _HELIUM),
        "CO": bound,
        "C+": carbon - bound,
        "O": oxygen - bound,
        "e-": carbon - bound,
    }
    zero = np.zeros(n_clouds)
    return np.stack([start.get(name, zero) for name in network.species], axis=1)


def solve(network: Network, start: np.ndarray, times_yr: np.ndarray) -> np.ndarray:
    """Integrate one cloud with implicit backward differences and the analytic Jacobian.

    Parameters
    ----------
    network
        Rate equations.
    start
        Abundances (species,) at time zero.
    times_yr
        When to record [yr], ascending, shape (time,).

    Returns
    -------
    numpy.ndarray
        Abundances (time, species).

    Raises
    ------
    ArielflowError
        The abundances are not finite or negative, or the solver gives up.
    """
    if start.shape != (len(network.species),) or not np.all(np.isfinite(start)) or start.min() < 0:
        raise ArielflowError(
            f"chemistry: abundances of shape {start.shape} to start from, expected "
            f"({len(network.species)},), finite and not negative: {', '.join(network.species)}"
        )
    found = solve_ivp(
        lambda _, y: network.derivative(y),
        (0, times_yr[-1] * YEAR_S),
        start,
        method="BDF",
        t_eval=times_yr * YEAR_S,
        jac=lambda _, y: network.jacobian(y),
        rtol=_RELATIVE_TOLERANCE,
        atol=_ABSOLUTE_TOLERANCE,
    )
    if not found.success:
        raise ArielflowError(
            f"chemistry: the solver stopped at {found.t[-1]:.3g} s: {found.message}"
        )
    return found.y.T


def trajectories(network: Network, n_clouds: int, times_yr: np.ndarray, *, seed: int) -> xr.Dataset:
    """Trajectories of random clouds.

    Returns
    -------
    xarray.Dataset
        Over *cloud, time, species*: ``abundance`` per hydrogen nucleus, at least ``FLOOR``, and
        ``slope``, see :func:`logarithmic_slope`; ``solver_seconds(cloud)``, the processor time of
        each.
    """
    abundance, seconds = [], []
    for start in initial_abundances(network, n_clouds, seed):
        began = process_time()
        abundance.append(solve(network, start, times_yr))
        seconds.append(process_time() - began)
    y, dims = np.maximum(abundance, FLOOR), ("cloud", "time", "species")
    slope = logarithmic_slope(network, y, times_yr)
    result = xr.Dataset(
        {"abundance": (dims, y), "slope": (dims, slope), "solver_seconds": ("cloud", seconds)},
        coords={"time": times_yr, "species": network.species},
    )
    for name, long_name, units in (
        ("abundance", "abundance per hydrogen nucleus", "1"),
        ("slope", "derivative of log10 abundance by logarithmic time", "dex"),
        ("solver_seconds", "processor time of the full solver", "s"),
        ("time", "time since the start of the chemistry", "yr"),
    ):
        result[name].attrs |= {"long_name": long_name, "units": units}
    return result


def logarithmic_slope(network: Network, y: np.ndarray, times_yr: np.ndarray) -> np.ndarray:
    """Derivative of log10 abundances by the logarithmic time that runs from 0 to 1.

    Parameters
    ----------
    network
        Whose rate equations give it exactly.
    y
        Abundances, shape (cloud, time, species); at the floor the slope is zero.
    times_yr
        Recorded times (time,) [yr].

    Returns
    -------
    numpy.ndarray
        Shape (cloud, time, species) [dex].
    """
    span = np.log(times_yr[-1] / times_yr[0])
    by_time = network.derivative(y) * (times_yr * YEAR_S * span)[:, None]
    return np.where(y > FLOOR, by_time / (y * np.log(10)), 0.0)
