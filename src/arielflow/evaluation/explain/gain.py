"""The physics' own sensitivity of a posterior to a spectrum, which explanations are held against.

For a forward model f with Jacobian J, Gaussian noise of covariance N and a prior of covariance P,
the posterior mean moves with the data by the gain

    K = (Jᵀ N⁻¹ J + P⁻¹)⁻¹ Jᵀ N⁻¹

(Tarantola 2005, Inverse Problem Theory, chapter 3; Rodgers 2000, Inverse Methods for Atmospheric
Sounding, section 2.4). It is not |∂f/∂θ|: a bin in which a molecule absorbs tells little of it
where another absorbs as well. Beyond the linear case the derivative is exactly the posterior
covariance of theta and spectrum times N⁻¹ (:func:`posterior_gain`).

Everything is per error bar: gains are K N^½, the change of a target when one bin's depth rises by
its error.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from arielflow.retrieval.linear import covariance, gain, scaled_jacobian

_UNIFORM_VARIANCE = 1 / 12


class Gain(NamedTuple):
    """Sensitivity of a posterior to its spectrum.

    Attributes
    ----------
    gain : np.ndarray
        Change of the posterior mean per error bar (planet, target, wavelength), target units.
    deviation : np.ndarray
        Standard deviation of the posterior (planet, target), target units.
    """

    gain: np.ndarray
    deviation: np.ndarray


def linear_gain(
    derivative: np.ndarray, error: np.ndarray, low: np.ndarray, high: np.ndarray
) -> Gain:
    """Gain of the linear problem around a point, under the variances of a uniform prior.

    Parameters
    ----------
    derivative
        Jacobian (planet, wavelength, target).
    error
        Error bars of the depths (planet, wavelength).
    low, high
        Edges of the prior's box (planet, target); its variance is that of a uniform
        distribution, a twelfth of the squared width.
    """
    # In deviations of the prior: the targets' own units differ by orders of magnitude.
    scaled = scaled_jacobian(derivative, error, np.stack([low, high]))
    bad = ~np.isfinite(scaled).all(axis=(1, 2))
    scaled[bad] = 0
    unit = (high - low) * np.sqrt(_UNIFORM_VARIANCE)
    found = gain(scaled) * unit[:, :, None]
    deviation = np.sqrt(np.diagonal(covariance(scaled), axis1=1, axis2=2)) * unit
    found[bad], deviation[bad] = np.nan, np.nan
    return Gain(found, deviation)


def posterior_gain(
    theta: np.ndarray, weight: np.ndarray, spectra: np.ndarray, error: np.ndarray
) -> Gain:
    """Gain of any posterior under Gaussian noise, from its samples and their spectra.

    The derivative of the posterior mean by a depth is the posterior's covariance of theta with the
    model's depth there, over the error squared; nothing is linearised.

    Parameters
    ----------
    theta, weight
        Samples (planet, sample, target) and weights (planet, sample).
    spectra
        The forward model's depths of the samples (planet, sample, wavelength).
    error
        Error bars (planet, wavelength).
    """
    share = (weight / weight.sum(axis=1, keepdims=True))[:, :, None]
    about = theta - (share * theta).sum(axis=1, keepdims=True)
    signal = (spectra - (share * spectra).sum(axis=1, keepdims=True)) / error[:, None, :]
    gain = (share * about).swapaxes(1, 2) @ signal
    return Gain(gain, np.sqrt((share * about**2).sum(axis=1)))
