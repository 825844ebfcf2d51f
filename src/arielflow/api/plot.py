"""Figures of one planet: joint posteriors, and its spectrum beside what they predict.

Figures are plain :class:`matplotlib.figure.Figure` objects: ``figure.savefig("corner.svg")``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from arielflow.api.inference_data import equal_draws
from arielflow.api.physics import spectrum as model_spectrum
from arielflow.core.samples import WeightedSamples
from arielflow.core.schema import trace_of
from arielflow.physics.forward import PhysicsSettings
from arielflow.plotting import corner_plot, predicted_spectrum
from arielflow.retrieval.planets import choose_planets

Posteriors = xr.Dataset | Mapping[str, xr.Dataset]
"""A posterior dataset, or several by the names that a legend calls them."""


def corner(posterior: Posteriors, planet: str, *, truth: xr.Dataset | None = None) -> Figure:
    """Joint posteriors of one planet; contours hold 39 and 86 %.

    Parameters
    ----------
    posterior
        Posterior dataset, or several by name, to draw over each other.
    planet
        Its identifier.
    truth
        Planets with their truth (:func:`arielflow.read_truth`), of which the true posterior and
        the true values are drawn where they are known.

    Raises
    ------
    ArielflowError
        A dataset lacks the planet.

    Examples
    --------
    >>> import arielflow as af
    >>> figure = af.plot.corner(posterior, "public1", truth=truth)
    >>> len(figure.axes)
    49
    """
    chosen = {name: choose_planets(one, [planet]) for name, one in _named(posterior).items()}
    samples = {name: (d["theta"].values[0], d["weight"].values[0]) for name, d in chosen.items()}
    first = next(iter(chosen.values()))
    if truth is None:
        return corner_plot(first, samples)
    theta = choose_planets(truth, [planet])["theta"].values[0]
    reference: WeightedSamples | None = trace_of(truth, planet) if "trace" in truth else None
    if reference is not None and not len(reference[1]):
        reference = None
    return corner_plot(first, samples, reference, theta, reference_name="true posterior")


def spectrum(
    posterior: Posteriors,
    planets: xr.Dataset,
    planet: str,
    *,
    n_draws: int = 300,
    seed: int = 2026,
    physics: PhysicsSettings | None = None,
) -> Figure:
    """One planet's spectrum under the spectra that its posterior predicts, and the residuals.

    Parameters
    ----------
    posterior
        Posterior dataset, or several by name, to draw over each other.
    planets
        Planets dataset that holds the planet.
    planet
        Its identifier.
    n_draws
        Draws of the posterior whose spectra are computed.
    seed
        Of the choice of the draws and of the noise.
    physics
        Opacities and mode of the forward model (:func:`arielflow.physics_settings`).

    Raises
    ------
    ArielflowError
        A dataset lacks the planet, or the forward model cannot be had for it.

    Examples
    --------
    >>> import arielflow as af
    >>> figure = af.plot.spectrum(posterior, planets, "public1", n_draws=20)
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['transit depth [%]', 'residual [error bars]']
    """
    observed = choose_planets(planets, [planet])
    predicted = {}
    for name, one in _named(posterior).items():
        draws = equal_draws(choose_planets(one, [planet]), n_draws, seed)
        predicted[name] = model_spectrum(draws, observed, physics=physics)[0]
    noise = np.random.default_rng(seed).standard_normal((n_draws, observed.sizes["wavelength"]))
    return predicted_spectrum(observed, predicted, noise)


def _named(posterior: Posteriors) -> dict[str, xr.Dataset]:
    if isinstance(posterior, xr.Dataset):
        return {str(posterior.attrs.get("model", "posterior")): posterior}
    return dict(posterior)
