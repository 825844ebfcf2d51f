"""Posteriors as ArviZ reads them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from arielflow.api.physics import spectrum
from arielflow.core.errors import ArielflowError
from arielflow.core.samples import resample
from arielflow.core.schema import valid_bins
from arielflow.core.seeds import derived_seed
from arielflow.physics.forward import PhysicsSettings
from arielflow.retrieval.planets import choose_planets

_DEPTH = "transit_depth"


def to_arviz(
    posterior: xr.Dataset,
    planets: xr.Dataset,
    *,
    n_draws: int = 1000,
    seed: int = 2026,
    physics: PhysicsSettings | None = None,
) -> xr.DataTree:
    """Posteriors as an ArviZ DataTree, with the log-likelihood of every wavelength bin.

    Needs arviz-base; ``pip install arielflow[arviz]`` brings it, and what arviz-stats needs for
    ``summary`` and ``loo``.

    Parameters
    ----------
    posterior
        Posterior dataset.
    planets
        Planets dataset that holds its planets.
    n_draws
        Draws per planet. Weighted samples are resampled to equal weights.
    seed
        Of the resampling, the draws' order and the noise.
    physics
        Opacities and mode of the forward model (:func:`arielflow.physics_settings`).

    Returns
    -------
    xarray.DataTree
        ``posterior``: a variable per target (chain, draw, planet), one chain of independent draws;
        ``log_likelihood`` and ``posterior_predictive`` (spectra with noise): ``transit_depth``
        (chain, draw, planet, wavelength); ``observed_data`` and ``constant_data``. Bins that are
        not numbers are NaN, and those of draws that the forward model has no spectrum for.

    Raises
    ------
    ArielflowError
        arviz-base is not installed, or the planets lack one of the posterior's.

    Examples
    --------
    >>> import arielflow as af
    >>> inference = af.to_arviz(posterior, planets, n_draws=100)
    >>> sorted(inference.children)[:3]
    ['constant_data', 'log_likelihood', 'observed_data']
    >>> inference["log_likelihood"]["transit_depth"].shape
    (1, 100, 3, 52)
    """
    try:
        from arviz_base import from_dict
    except ImportError:
        raise ArielflowError("to_arviz needs arviz-base; pip install 'arielflow[arviz]'") from None
    names = [str(name) for name in posterior["planet"].values]
    planets = choose_planets(planets, names)
    theta = equal_draws(posterior, n_draws, seed)
    model = spectrum(theta, planets, physics=physics)
    depth, error = (
        np.where(valid_bins(planets), planets[name].values, np.nan)
        for name in (_DEPTH, f"{_DEPTH}_error")
    )
    noise = np.random.default_rng(derived_seed(seed, "noise")).standard_normal(model.shape)
    residual = (depth[:, None] - model) / error[:, None]
    log_likelihood = -0.5 * residual**2 - np.log(error * np.sqrt(2 * np.pi))[:, None]
    bins = ["planet", "wavelength"]
    tree = from_dict(
        {
            "posterior": {
                str(target): theta[None, ..., column].transpose(0, 2, 1)
                for column, target in enumerate(posterior["target"].values)
            },
            "log_likelihood": {_DEPTH: _by_draw(log_likelihood)},
            "posterior_predictive": {_DEPTH: _by_draw(model + noise * error[:, None])},
            "observed_data": {_DEPTH: depth},
            "constant_data": {f"{_DEPTH}_error": error},
        },
        coords={"planet": names, "wavelength": planets["wavelength"].values},
        dims={str(target): ["planet"] for target in posterior["target"].values}
        | {_DEPTH: bins, f"{_DEPTH}_error": bins},
    )
    for target, unit in zip(
        posterior["target"].values, posterior["target_units"].values, strict=True
    ):
        tree["posterior"][str(target)].attrs["units"] = str(unit)
    return tree


def equal_draws(posterior: xr.Dataset, n_draws: int, seed: int) -> np.ndarray:
    """Equally weighted draws (planet, draw, target) of a posterior dataset, in random order."""
    rng = np.random.default_rng(seed)
    pairs = zip(posterior["theta"].values, posterior["weight"].values, strict=True)
    return np.stack([rng.permutation(resample(*pair, n_draws, rng)) for pair in pairs])


def _by_draw(values: np.ndarray) -> np.ndarray:
    """(planet, draw, wavelength) as (chain, draw, planet, wavelength)."""
    return values.transpose(1, 0, 2)[None]
