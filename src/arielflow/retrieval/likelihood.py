"""The likelihood of one planet's spectrum, and the box of the prior where it can be above zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.physics.forward import ForwardModel
from arielflow.physics.systems import (
    JUPITER_RADIUS_M,
    Systems,
    scale_height_m,
    surface_gravity_m_s2,
)
from arielflow.retrieval.error_models import log_density
from arielflow.retrieval.method import WeightedResult
from arielflow.settings.base import ErrorModel

_LOG_ZERO = -1e100
# If none of so many draws has a spectrum, sampling would go on for ever.
_HOPELESS_CALLS = 5000
_WIDENINGS = (1.0, 2.0, 4.0)


Found = TypeVar("Found", bound=WeightedResult)


def sampling_box(systems: Systems, planet: int, widen: float = 1.0) -> np.ndarray:
    """The prior's box of one planet, (2, target), cut in radius to where the likelihood can be.

    The 10-bar radius lies below the smallest transit radius by at most some fifteen scale heights
    of the hottest atmosphere that the prior allows; the cut changes no posterior and saves calls.
    ``widen`` multiplies the margins.

    Raises
    ------
    ArielflowError
        No radius of the prior can have made the spectrum, or an edge is not finite.
    """
    box = systems.prior[:, planet].astype(float)
    column = systems.targets.get("planet_radius")
    if column is not None:
        prior = box[:, column].copy()
        edges = _radius_edges_m(systems, planet, box, widen) / JUPITER_RADIUS_M
        box[:, column] = np.clip(edges, *prior)
        if not box[0, column] < box[1, column]:
            depth = systems.depth[planet]
            raise ArielflowError(
                f"planet {systems.names[planet]}: its observed depths, "
                f"{np.nanmin(depth):.4g} to {np.nanmax(depth):.4g}, ask for a radius of "
                f"{edges[0]:.4g} to {edges[1]:.4g} Jupiter radii, the prior has {prior[0]:g} to "
                f"{prior[1]:g}; check the units of depth, star radius and mass"
            )
    if not (np.isfinite(box).all() and (box[0] < box[1]).all()):
        raise ArielflowError(
            f"planet {systems.names[planet]}: its prior is no box of finite edges, "
            f"{box[0]} to {box[1]}; check its star and planet and the prior"
        )
    return box


def _radius_edges_m(systems: Systems, planet: int, box: np.ndarray, widen: float) -> np.ndarray:
    """Smallest and largest 10-bar radius [m] that the spectrum leaves possible."""
    star_radius, mass = systems.star_radius_m[planet], systems.planet_mass_kg[planet]
    error = systems.error[planet]
    depth = np.where(np.isfinite(error), systems.depth[planet], np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        smallest = int(np.nanargmin(depth)) if np.isfinite(depth).any() else 0
        seen = star_radius * np.sqrt(depth[smallest])
        hottest = box[1, systems.targets["planet_temperature"]]
        height = scale_height_m(hottest, surface_gravity_m_s2(mass, seen))
        below = min(15 * widen * height, 0.6 * seen)
        above = 8 * widen * error[smallest] * star_radius**2 / (2 * seen) + 1e-4 * seen
    return np.array([seen - below, seen + above])


def widened(attempt: Callable[[np.ndarray], Found], systems: Systems, planet: int) -> Found:
    """What an attempt finds in a planet's box, (2, target), once its samples fit into that.

    Where they touch an edge that is not the prior's own, the attempt is made again in a box with
    wider margins in radius.

    Raises
    ------
    ArielflowError
        The samples still touch such an edge in the widest box, or there is no box.
    """
    for widen in _WIDENINGS:
        box = sampling_box(systems, planet, widen)
        found = attempt(box)
        if not touches_cut(found.theta, found.weight, box, systems, planet):
            return found
    raise ArielflowError(
        f"planet {systems.names[planet]}: the posterior touches the edge of the radius box even "
        "when widened; check its spectrum and mass"
    )


def touches_cut(
    theta: np.ndarray, weight: np.ndarray, box: np.ndarray, systems: Systems, planet: int
) -> bool:
    """Whether weighted samples touch an edge of ``box`` (2, target) that is not the prior's."""
    prior = systems.prior[:, planet]
    margin = 0.01 * (box[1] - box[0])
    near_low = weight @ (theta < box[0] + margin) > 0.01
    near_high = weight @ (theta > box[1] - margin) > 0.01
    return bool(np.any((near_low & (box[0] > prior[0])) | (near_high & (box[1] < prior[1]))))


def under_whole_prior(found: Found, systems: Systems, planet: int) -> Found:
    """A result with its ``log_evidence`` under the whole prior instead of under the sampled box.

    The box cuts the prior where the likelihood vanishes: the same integral, but a denser prior.
    ``log_volume`` is the logarithm of the box's volume, and then of the prior's.
    """
    low, high = systems.prior[:, planet]
    volume = np.sum(np.log(high - low))
    return replace(
        found, log_evidence=found.log_evidence + found.log_volume - volume, log_volume=volume
    )


def gaussian_log_likelihood(
    forward: ForwardModel, planet: int, error_model: ErrorModel = "none"
) -> Callable[[np.ndarray], np.ndarray]:
    """Independent Gaussian errors around the stored spectrum; normalised in the data.

    Bins without a value (NaN) are left out.

    Parameters
    ----------
    forward, planet
        Forward model of a data set, and a position in that.
    error_model
        What the errors may leave out, see :mod:`arielflow.retrieval.error_models`.

    Returns
    -------
    callable
        Natural log-likelihoods (n,) of points (n, target). It raises :class:`ArielflowError` once
        thousands of points have been asked for and the model had a spectrum for none.
    """
    systems = forward.systems
    used = systems.valid_bins(planet)
    depth, error = systems.depth[planet][used], systems.error[planet][used]
    constant = -np.sum(np.log(error)) - 0.5 * len(error) * np.log(2 * np.pi)
    density = log_density(error_model, systems.wavelength_um[used], error)
    calls, met = 0, False

    def log_likelihood(theta: np.ndarray) -> np.ndarray:
        nonlocal calls, met
        model = forward.spectra(planet, theta)
        model = model if used.all() else model[:, used]
        good = np.isfinite(model).all(axis=1)
        value = constant + density(np.where(good[:, None], (model - depth) / error, 0.0))
        calls, met = calls + len(theta), met or bool(good.any())
        if not met and calls >= _HOPELESS_CALLS:
            raise ArielflowError(_hopeless(systems.names[planet], calls, depth, model))
        return np.where(good, value, _LOG_ZERO)

    return log_likelihood


def log_likelihood_by_bin(forward: ForwardModel, planet: int, theta: np.ndarray) -> np.ndarray:
    """Natural log-likelihoods (n, wavelength) of single bins, see :func:`gaussian_log_likelihood`.

    Parameters
    ----------
    forward, planet
        Forward model of a data set, and a position in that.
    theta
        Points (n, target).

    Returns
    -------
    numpy.ndarray
        NaN in bins without a value, and for points that the model has no spectrum for.
    """
    systems = forward.systems
    error = np.where(systems.valid_bins(planet), systems.error[planet], np.nan)
    residual = (forward.spectra(planet, theta) - systems.depth[planet]) / error
    return -0.5 * residual**2 - np.log(error * np.sqrt(2 * np.pi))


def _hopeless(name: str, calls: int, depth: np.ndarray, model: np.ndarray) -> str:
    found = model[np.isfinite(model)]
    modelled = f"{np.median(found):.4g}" if len(found) else "none"
    return (
        f"planet {name}: the forward model has a spectrum for none of {calls} draws of the prior "
        f"(observed depth {np.median(depth):.4g}, the model's {modelled}); check the planet's "
        "mass, its star and their units"
    )
