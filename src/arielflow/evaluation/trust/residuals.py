"""What the best fit leaves of a spectrum, and tests whether that is noise.

With the Jacobian J of the scaled forward model, the residuals of a right model are M times the
noise, M = 1 - J (J'J + 1)^-1 J' (:func:`arielflow.retrieval.linear.left_matrix`). Their covariance
MM is therefore known planet by planet, and so is what to expect of any sum of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.physics.forward import ForwardModel
from arielflow.retrieval.best_fit import maximum_a_posteriori
from arielflow.retrieval.linear import jacobian, left_matrix, scaled_jacobian
from arielflow.settings.best_fit import FitSettings

REFIT = FitSettings(max_steps=12, tolerance=3e-3)
"""Of the refit: it starts near the best fit, and a hundredth of chi2 is no alarm."""

# Lengths over which opacities and instruments go wrong together, in ln(wavelength).
_LENGTHS_LOG_UM = (0.05, 0.15, 0.5)
_WIDTHS_LOG_UM = (0.05, 0.1, 0.2, 0.4)
# Where the instruments of Ariel meet.
_EDGES_UM = (1.05, 1.95, 3.9)
_POWERS = (-8.0, -4.0, -1.0)
# A pattern that a refit absorbs nearly all of says nothing.
_LEAST_LEFT = 0.2

RESIDUAL_TESTS = ("chi2", *(f"smooth_{length:g}" for length in _LENGTHS_LOG_UM), "pattern")
"""Columns of :func:`residual_tests` that are tests."""

PATTERN_DESCRIPTION = ("pattern_name", "pattern_um", "pattern_sigma")
"""Columns that tell what the strongest pattern is."""


@dataclass(frozen=True)
class Refit:
    """Best fits of planets.

    Attributes
    ----------
    residual : np.ndarray
        Spectrum less best fit in error bars, shape (planet, wavelength); zero in bins without a
        value, NaN for planets without a fit.
    slopes : np.ndarray
        Derivatives in error bars per standard deviation of the prior, shape (planet, wavelength,
        target).
    theta : np.ndarray
        Best fits, shape (planet, target).
    """

    residual: np.ndarray
    slopes: np.ndarray
    theta: np.ndarray

    @property
    def chi2(self) -> np.ndarray:
        """Sum of squares (planet,)."""
        found: np.ndarray = np.sum(self.residual**2, axis=1)
        return found


def refit(forward: ForwardModel, planets: xr.Dataset, start: np.ndarray) -> Refit:
    """Best fit of every planet by the model's own parameters.

    Parameters
    ----------
    forward
        Forward model of these planets.
    planets
        Planets dataset.
    start
        Where the fits start, shape (planet, target).
    """
    found = maximum_a_posteriori(forward, planets, seed=0, settings=REFIT, start=start)
    theta, error = found["theta"].values, planets["transit_depth_error"].values
    residual = (planets["transit_depth"].values - found["fitted_depth"].values) / error
    slopes = np.zeros((*residual.shape, theta.shape[1]))
    fitted = np.flatnonzero(np.isfinite(residual).all(axis=1))
    derivatives = jacobian(forward, fitted, theta[fitted])
    prior = forward.systems.prior[:, fitted]
    slopes[fitted] = np.nan_to_num(scaled_jacobian(derivatives, error[fitted], prior))
    return Refit(residual, slopes, theta)


def residual_tests(found: Refit, wavelength_um: np.ndarray) -> pd.DataFrame:
    """Tests of residuals against noise, larger where they look less like it.

    Parameters
    ----------
    found
        What :func:`refit` returned.
    wavelength_um
        Centres of the bins, shape (wavelength,).

    Returns
    -------
    pandas.DataFrame
        One row per planet: ``chi2``; ``smooth_<length>``, the sum over pairs of bins of residuals
        that are alike over a length in ln(wavelength), in standard deviations; ``pattern``, the
        mean likelihood ratio of patterns (bands, steps between instruments, slopes), as a
        logarithm. ``pattern_um`` and ``pattern_sigma`` are where the strongest pattern lies and its
        signed significance, ``pattern_name`` what it is. NaN for planets without a fit.
    """
    log_um = np.log(wavelength_um)
    good = np.isfinite(found.residual).all(axis=1)
    residual = np.where(good[:, None], found.residual, 0.0)
    left = left_matrix(found.slopes)
    covariance = left @ left.transpose(0, 2, 1)
    table = pd.DataFrame({"chi2": np.sum(residual**2, axis=1)})
    for length in _LENGTHS_LOG_UM:
        table[f"smooth_{length:g}"] = _smooth(residual, covariance, log_um, length)
    table = table.join(_patterns(residual, covariance, wavelength_um))
    table.loc[~good, list(RESIDUAL_TESTS)] = np.nan
    return table


def _smooth(
    residual: np.ndarray, covariance: np.ndarray, log_um: np.ndarray, length: float
) -> np.ndarray:
    """Score test of residuals that are alike over a length, in standard deviations."""
    alike = np.exp(-0.5 * ((log_um[:, None] - log_um) / length) ** 2)
    seen = np.einsum("ni,ij,nj->n", residual, alike, residual)
    product = alike @ covariance
    mean = np.trace(product, axis1=1, axis2=2)
    variance = 2 * np.einsum("nij,nji->n", product, product)
    found: np.ndarray = (seen - mean) / np.sqrt(variance)
    return found


def _patterns(
    residual: np.ndarray, covariance: np.ndarray, wavelength_um: np.ndarray
) -> pd.DataFrame:
    names, centres, bank = pattern_bank(wavelength_um)
    deviation = np.sqrt(np.einsum("ti,nij,tj->nt", bank, covariance, bank, optimize=True))
    strength = (residual @ bank.T) / np.maximum(deviation, _LEAST_LEFT)
    squared = 0.5 * strength**2
    largest = squared.max(axis=1)
    ratio = largest + np.log(np.mean(np.exp(squared - largest[:, None]), axis=1))
    best = np.argmax(np.abs(strength), axis=1)
    return pd.DataFrame(
        {
            "pattern": ratio,
            "pattern_name": np.array(names)[best],
            "pattern_um": centres[best],
            "pattern_sigma": strength[np.arange(len(best)), best],
        }
    )


def pattern_bank(wavelength_um: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Shapes that faults take: single bins, bands of several widths, steps and slopes.

    Returns
    -------
    names : list[str]
        In words.
    centres_um : numpy.ndarray
        Where they lie, shape (pattern,) [um].
    bank : numpy.ndarray
        Shape (pattern, wavelength), unit sums of squares.
    """
    log_um, low_um = np.log(wavelength_um), wavelength_um.min()
    rows = [
        ("one bin", centre, one)
        for centre, one in zip(wavelength_um, np.eye(len(log_um)), strict=True)
    ]
    for width in _WIDTHS_LOG_UM:
        for centre in np.arange(log_um.min(), log_um.max(), width / 2):
            band = np.exp(-0.5 * ((log_um - centre) / width) ** 2)
            low, high = np.exp([centre - width, centre + width])
            rows.append((f"a band at {low:.2g}-{high:.2g} um", np.exp(centre), band))
    inside = [edge for edge in _EDGES_UM if low_um < edge < wavelength_um.max()]
    rows += [(f"a step at {e:g} um", e, (wavelength_um > e).astype(float)) for e in inside]
    rows += [
        ("a slope towards short wavelengths", low_um, (wavelength_um / low_um) ** p)
        for p in _POWERS
    ]
    bank = np.array([shape for _, _, shape in rows])
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    return [name for name, _, _ in rows], np.array([centre for _, centre, _ in rows]), bank
