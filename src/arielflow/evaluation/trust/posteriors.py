"""Tests of a posterior against the spectrum that it is of, through the forward model.

A few samples are enough: an exact posterior's samples have likelihood over density of one constant,
fit the spectrum no worse than its width allows, have the best fit among them, and predict every bin
with its noise (probability integral transform, Gelman et al. 2014, Bayesian Data Analysis, 6.3).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import logsumexp
from scipy.stats import norm

from arielflow.core.samples import effective_sample_size
from arielflow.physics.forward import ForwardModel
from arielflow.retrieval.amortised import Proposal

POSTERIOR_TESTS = ("weight_loss", "excess_chi2", "outlying_fit", "outlying_bin", "epistemic_share")


class Density(Proposal, Protocol):
    """A posterior that may have a density, such as :class:`arielflow.models.ensemble.Ensemble`."""

    @property
    def has_log_prob(self) -> bool:
        """It has a density."""
        ...


class Predictions(NamedTuple):
    """Samples of posteriors and their spectra.

    Attributes
    ----------
    theta : np.ndarray
        Shape (planet, sample, target).
    log_prob : np.ndarray | None
        Natural log-density (planet, sample) where the model has one.
    chi2 : np.ndarray
        Of the samples' spectra, shape (planet, sample); infinite without a spectrum.
    outlying_bin : np.ndarray
        Least probability that the samples, with noise, predict for a bin's depth or one further
        out, as a negative natural logarithm (planet,).
    epistemic_share : np.ndarray
        Largest share, over the targets, of the variance that is between networks (planet,); NaN
        where the model does not tell.
    """

    theta: np.ndarray
    log_prob: np.ndarray | None
    chi2: np.ndarray
    outlying_bin: np.ndarray
    epistemic_share: np.ndarray

    def best(self) -> np.ndarray:
        """The sample (planet, target) whose spectrum fits best."""
        found: np.ndarray = self.theta[np.arange(len(self.theta)), np.argmin(self.chi2, axis=1)]
        return found


def predict(
    model: Density, forward: ForwardModel, planets: xr.Dataset, n_samples: int, *, seed: int
) -> Predictions:
    """Sample a model and compute the samples' spectra.

    Parameters
    ----------
    model
        Trained model.
    forward
        Forward model of these planets.
    planets
        Usable planets, their spectra with noise.
    n_samples
        Samples per planet.
    seed
        Of the sampling.
    """
    posterior = model.sample(planets, n_samples, seed=seed)
    theta = posterior["theta"].values
    count, bins = len(theta), planets.sizes["wavelength"]
    rows = np.arange(count).repeat(n_samples)
    spectra = forward.spectra(rows, theta.reshape(len(rows), -1)).reshape(count, n_samples, bins)
    depth, error = planets["transit_depth"].values, planets["transit_depth_error"].values
    residual = (depth[:, None] - spectra) / error[:, None]
    chi2 = np.nan_to_num(np.sum(residual**2, axis=2), nan=np.inf)
    epistemic = np.full(count, np.nan)
    if "epistemic" in posterior:
        between, within = (posterior[name].values ** 2 for name in ("epistemic", "aleatoric"))
        total = between + within
        share = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
        epistemic = np.max(share, axis=1)
    return Predictions(
        theta,
        model.log_prob(planets, theta) if model.has_log_prob else None,
        chi2,
        _outlying_bin(residual),
        epistemic,
    )


def _outlying_bin(residual: np.ndarray) -> np.ndarray:
    """Of residuals (planet, sample, bin) in error bars; NaN for planets without any."""
    known = ~np.isnan(residual)
    # A sample without a spectrum predicts nothing.
    count = np.log(np.maximum(known.sum(axis=1), 1))
    lower, upper = (
        logsumexp(np.where(known, norm.logcdf(sign * residual), -np.inf), axis=1) - count
        for sign in (1, -1)
    )
    found = np.where(known.any(axis=1), -np.minimum(lower, upper), np.nan)
    return np.where(known.any(axis=(1, 2)), np.nanmax(found, axis=1, initial=0), np.nan)


def posterior_tests(
    model: Density,
    planets: xr.Dataset,
    predicted: Predictions,
    best_theta: np.ndarray,
    best_chi2: np.ndarray,
) -> pd.DataFrame:
    """Tests of a posterior, larger where it looks less like the exact one.

    Parameters
    ----------
    model, planets
        As of :func:`predict`.
    predicted
        What that returned.
    best_theta, best_chi2
        Best fits, shapes (planet, target) and (planet,).

    Returns
    -------
    pandas.DataFrame
        One row per planet. ``excess_chi2``: mean chi2 of the samples over the best fit's (an exact
        Gaussian posterior has one per parameter that the spectrum constrains). With a density also
        ``weight_loss``: samples over effective samples of importance weights, as a logarithm; and
        ``outlying_fit``: how far the best fit's density lies below that of the samples' mean, in
        nats. ``outlying_bin`` and ``epistemic_share``, see :class:`Predictions`.
    """
    excess = predicted.chi2.mean(axis=1) - best_chi2
    table = pd.DataFrame({"weight_loss": np.nan, "excess_chi2": excess}, index=range(len(excess)))
    table["outlying_fit"], table["outlying_bin"] = np.nan, predicted.outlying_bin
    table["epistemic_share"] = predicted.epistemic_share
    if predicted.log_prob is None:
        return table
    log_weight = -0.5 * predicted.chi2 - predicted.log_prob
    table["weight_loss"] = [_weight_loss(row) for row in log_weight]
    known = np.isfinite(best_theta).all(axis=1)
    density = model.log_prob(planets.isel(planet=known), best_theta[known][:, None])[:, 0]
    table.loc[known, "outlying_fit"] = predicted.log_prob[known].mean(axis=1) - density
    return table.replace([np.inf, -np.inf], np.nan)


def _weight_loss(log_weight: np.ndarray) -> float:
    largest = log_weight.max()
    if not np.isfinite(largest):
        return float(np.log(len(log_weight)))
    loss = np.log(len(log_weight) / effective_sample_size(np.exp(log_weight - largest)))
    # An exact posterior's weights differ by rounding alone, which is no loss.
    return float(np.round(loss, 6))
