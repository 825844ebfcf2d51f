"""What planets are grouped by when calibration is measured: all of it known without the truth."""

from __future__ import annotations

import numpy as np
import xarray as xr

from arielflow.core.schema import MOLECULES, signal_to_noise
from arielflow.evaluation.calibration.groups import (
    Grouping,
    all_planets,
    numbered_groups,
    quantile_groups,
    yes_no_groups,
)
from arielflow.evaluation.explain.agreement import detectable
from arielflow.evaluation.explain.gain import linear_gain
from arielflow.physics.forward import ForwardModel
from arielflow.physics.systems import Systems
from arielflow.retrieval.linear import jacobian


def detectable_molecules(
    forward: ForwardModel, planets: xr.Dataset, theta_mean: np.ndarray
) -> np.ndarray:
    """Whether the spectrum tells a molecule's amount (planet, target); False for other targets.

    See :func:`arielflow.evaluation.explain.agreement.detectable`; the forward model is a straight
    line around the posterior's mean, since groups by the truth's place would not be calibrated.

    Parameters
    ----------
    forward
        Forward model of these planets.
    planets
        Usable planets.
    theta_mean
        Means of their posteriors (planet, target).
    """
    low, high = planets["prior_low"].values, planets["prior_high"].values
    error = planets["transit_depth_error"].values
    slopes = jacobian(forward, np.arange(len(theta_mean)), theta_mean)
    quantities = [str(name) for name in planets["target_quantity"].values]
    told = detectable(linear_gain(slopes, error, low, high), quantities, theta_mean, low, high)
    found: np.ndarray = told & _molecules(planets)
    return found


def _molecules(planets: xr.Dataset) -> np.ndarray:
    return np.isin(planets["target_quantity"].values.astype(str), MOLECULES)


def planet_groups(
    planets: xr.Dataset,
    theta_mean: np.ndarray,
    forward: ForwardModel,
    *,
    n_groups: int,
    clusters: np.ndarray | None = None,
) -> list[Grouping]:
    """Groups of planets by everything that calibration is measured by.

    ``all``; ``signal_to_noise``, see
    :func:`arielflow.core.schema.signal_to_noise`; ``temperature``, the equilibrium
    temperature that star and orbit give; ``cluster``; ``detectable``, of every molecule for itself.

    Parameters
    ----------
    planets
        Usable planets, their spectra with noise.
    theta_mean
        Means of their posteriors (planet, target).
    forward
        Forward model of these planets.
    n_groups
        Number of groups by signal-to-noise and by temperature.
    clusters
        Number of every planet's cluster (planet,).
    """
    n_planets, n_targets = theta_mean.shape
    found = [
        all_planets(n_planets, n_targets),
        quantile_groups("signal_to_noise", "1", signal_to_noise(planets), n_groups, n_targets),
    ]
    temperature_k = Systems.of(planets).equilibrium_temperature_k
    if temperature_k is not None:
        found.append(quantile_groups("temperature", "K", temperature_k, n_groups, n_targets))
    if clusters is not None:
        found.append(numbered_groups("cluster", clusters, n_targets))
    told = detectable_molecules(forward, planets, theta_mean)
    return [*found, yes_no_groups("detectable", told, _molecules(planets))]
