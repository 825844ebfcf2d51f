"""What of a planet is compared: its spectrum in scale heights, its noise, its system."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import is_usable
from arielflow.core.seeds import derived_seed
from arielflow.models.features import (
    context_feature_names,
    context_features,
    finite_context,
    noisy_copies,
    planet_tensors,
)

FEWEST_PLANETS = 20
_CLIP_STANDARD_DEVIATIONS = 10.0
# Of a component, in variances of a standardised feature, as in the models' own context.
_LEAST_VARIANCE = 1e-3


@dataclass(frozen=True)
class Compared:
    """One set's usable planets, as the tests look at them.

    Attributes
    ----------
    planets : xr.Dataset
        With the noise that was drawn.
    spectrum : np.ndarray
        Depth above the planet's own radius in scale heights (asinh beyond five); in editions
        without described systems the depth itself (planet, wavelength).
    context : np.ndarray
        All that the models see of a planet but its prior box (planet, feature).
    noise : np.ndarray
        log10 of error bar over the planet's mean depth (planet, wavelength).
    system : np.ndarray
        Auxiliary values; log10 of those that are positive by nature (planet, auxiliary).
    theta : np.ndarray
        (planet, target), NaN where unknown.
    left_out : int
        Planets that were not compared: unusable, or without finite features.
    """

    planets: xr.Dataset
    spectrum: np.ndarray
    context: np.ndarray
    noise: np.ndarray
    system: np.ndarray
    theta: np.ndarray
    left_out: int

    @property
    def n_planets(self) -> int:
        """Planets that are compared."""
        return len(self.spectrum)


def compared(planets: xr.Dataset, *, name: str, seed: int, noise: bool = True) -> Compared:
    """Usable planets of a set, with noise drawn on noise-free spectra, and their features.

    Parameters
    ----------
    planets
        Planets dataset.
    name
        Of the set, in messages; also makes its noise another set's not.
    seed
        Of the noise.
    noise
        Draw noise on spectra that are stored without.

    Raises
    ------
    ArielflowError
        Fewer than 20 planets can be compared.
    """
    usable = planets.isel(planet=is_usable(planets))
    if noise:
        usable = noisy_copies(usable, derived_seed(seed, f"drift {name}"))
    if usable.sizes["planet"]:
        usable = usable.isel(planet=finite_context(planet_tensors(usable)).numpy())
    found = usable.sizes["planet"]
    if found < FEWEST_PLANETS:
        raise ArielflowError(
            f"drift: {name} has {found} usable planets of {planets.sizes['planet']}, expected at "
            f"least {FEWEST_PLANETS}; give a larger set, or look at its quality flags"
        )
    context = context_features(planet_tensors(usable)).numpy()
    seen = [not feature.startswith("prior ") for feature in context_feature_names(usable)]
    depth, error = (usable[v].values for v in ("transit_depth", "transit_depth_error"))
    with np.errstate(all="ignore"):  # impossible errors become NaN or infinite, and are left out
        noise_level = np.log10(error / np.abs(depth.mean(axis=1, keepdims=True)))
    return Compared(
        planets=usable,
        spectrum=context[:, : usable.sizes["wavelength"]],
        context=context[:, seen],
        noise=noise_level,
        system=usable["auxiliary_value"].values,
        theta=usable["theta"].values,
        left_out=planets.sizes["planet"] - found,
    )


def standardised(reference: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both samples in the pooled sample's standard deviations around its mean, cut at ten.

    Every planet weighs the same, whichever set it is of, so that neither is told from the other and
    tests by relabelling stay valid however few planets one of them has.
    """
    pooled = np.concatenate([reference, test])
    centre, scatter = pooled.mean(axis=0), pooled.std(axis=0)
    scale = np.where(scatter > 1e-12 * np.abs(centre), scatter, 1.0)
    limit = _CLIP_STANDARD_DEVIATIONS
    first, second = (np.clip((x - centre) / scale, -limit, limit) for x in (reference, test))
    return first, second


def with_components(reference: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standardised features, and beside them their principal components of equal variance.

    What tells one molecule from another is a small part of the variance of neighbouring bins; a
    classifier finds it sooner where it is as large as the rest.
    """
    first, second = standardised(reference, test)
    pooled = np.concatenate([first, second])
    # A set of fewer planets than bins must not have a say of its own: its planets would be the only
    # ones that its directions take to be near.
    covariance = pooled.T @ pooled / len(pooled)
    variance, direction = np.linalg.eigh(covariance)
    turn = direction / np.sqrt(np.clip(variance, 0, None) + _LEAST_VARIANCE)
    return np.hstack([first, first @ turn]), np.hstack([second, second @ turn])
