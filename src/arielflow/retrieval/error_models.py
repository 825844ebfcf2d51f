"""What the errors of a spectrum may hide: noise that they leave out, integrated over its strength.

A forward model that is wrong is certain of the wrong parameters. With an error model the likelihood
is a mixture: of the errors as they are told, and of errors to which noise of unknown strength is
added, either white (``jitter``) or alike in neighbouring bins (``correlated``). Half of the prior
probability is with the errors as told, the other half is spread evenly over the logarithm of the
strength and over the lengths. The strength is the same in all bins, as a depth: wrong opacities
move precise bins as far as others. The mixture has no further parameter to sample.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp

from arielflow.settings.base import ErrorModel

_STRENGTHS = np.geomspace(0.3, 30, 11)
"""Added noise in median error bars."""

# Lengths over which opacities go wrong together, in ln(wavelength).
_LENGTHS_LOG_UM = (0.05, 0.15, 0.5)
_AS_TOLD = 0.5


def log_density(
    error_model: ErrorModel, wavelength_um: np.ndarray, error: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Natural log-density of residuals, but for that of standard normal ones' constant.

    Parameters
    ----------
    error_model
        ``none``, ``jitter`` or ``correlated``.
    wavelength_um
        Centres of the bins, shape (bin,).
    error
        Their error bars, of any unit, shape (bin,).

    Returns
    -------
    callable
        From residuals in error bars (n, bin) to log-densities (n,): of ``none`` minus half their
        chi2.
    """
    if error_model == "none":
        return lambda residual: -0.5 * np.sum(residual**2, axis=1)
    if error_model == "jitter":
        kernels = [np.eye(len(wavelength_um))]
    else:
        log_um = np.log(wavelength_um)
        distance = log_um[:, None] - log_um
        kernels = [np.exp(-0.5 * (distance / length) ** 2) for length in _LENGTHS_LOG_UM]
    weight = np.median(error) / error
    kernels = [weight[:, None] * kernel * weight for kernel in kernels]
    parts = [np.linalg.eigh(kernel) for kernel in kernels]
    share = np.log((1 - _AS_TOLD) / (len(kernels) * len(_STRENGTHS)))

    def density(residual: np.ndarray) -> np.ndarray:
        terms = [np.log(_AS_TOLD) - 0.5 * np.sum(residual**2, axis=1)]
        for values, vectors in parts:
            squares = (residual @ vectors) ** 2
            # One plus the added variance along every direction (strength, direction).
            variance = 1 + _STRENGTHS[:, None] ** 2 * np.clip(values, 0, None)
            chi2 = squares @ (1 / variance).T
            found = share - 0.5 * (chi2 + np.log(variance).sum(axis=1))
            terms.extend(found.T)
        mixed: np.ndarray = logsumexp(terms, axis=0)
        return mixed

    return density
