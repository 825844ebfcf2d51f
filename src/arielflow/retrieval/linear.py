"""The posterior where the forward model is a straight line: Jacobians, and what a refit absorbs.

With residuals in error bars, the Jacobian J and the variances P of a normal prior, data that
change by d move the best fit by (J'J + 1/P)^-1 J'd (Rodgers 2000, equation 2.45, where this matrix
is called the gain), and leave d less J times that.
"""

from __future__ import annotations

import numpy as np

from arielflow.physics.forward import ForwardModel

# Of the prior's range: the curvature within is a thousandth, single precision far less.
_DIFFERENCE = 1e-3


def jacobian(forward: ForwardModel, planet: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Derivatives of depths by the targets, shape (n, wavelength, target), by differences.

    Parameters
    ----------
    forward
        Forward model.
    planet
        Positions in its data set, shape (n,).
    theta
        Targets, shape (n, target).

    Returns
    -------
    numpy.ndarray
        Per unit of the target; NaN in rows without a spectrum.
    """
    planet, theta = np.asarray(planet), np.asarray(theta, dtype=float)
    low, high = forward.systems.prior[:, planet]
    middle = 0.5 * (low + high)
    # Inwards, so that no step leaves the prior.
    steps = _DIFFERENCE * (high - low) * np.where(theta > middle, -1, 1)
    base = forward.spectra(planet, theta)
    columns = []
    for number in range(theta.shape[1]):
        moved = theta.copy()
        moved[:, number] += steps[:, number]
        columns.append((forward.spectra(planet, moved) - base) / steps[:, number, None])
    return np.stack(columns, axis=2)


def scaled_jacobian(jacobian: np.ndarray, error: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Derivatives in error bars per standard deviation of the prior.

    Parameters
    ----------
    jacobian
        Shape (n, wavelength, target).
    error
        Errors of the depths, shape (n, wavelength).
    prior
        Edges of the uniform prior, shape (2, n, target).
    """
    deviation = (prior[1] - prior[0]) / np.sqrt(12)
    return jacobian * deviation[:, None, :] / error[:, :, None]


def covariance(scaled: np.ndarray) -> np.ndarray:
    """Covariance of the posterior, shape (n, target, target), in deviations of the prior.

    Parameters
    ----------
    scaled
        What :func:`scaled_jacobian` returned.
    """
    normal = scaled.transpose(0, 2, 1) @ scaled + np.eye(scaled.shape[2])
    found: np.ndarray = np.linalg.inv(normal)
    return found


def gain(scaled: np.ndarray) -> np.ndarray:
    """Change of the best fit per change of the data, shape (n, target, wavelength).

    Parameters
    ----------
    scaled
        What :func:`scaled_jacobian` returned; the result is in the same units.
    """
    found: np.ndarray = covariance(scaled) @ scaled.transpose(0, 2, 1)
    return found


def unabsorbed(scaled: np.ndarray, change: np.ndarray) -> np.ndarray:
    """What a refit leaves of a change of the data, both (n, wavelength) in error bars."""
    moved = gain(scaled) @ change[:, :, None]
    left: np.ndarray = change - (scaled @ moved)[:, :, 0]
    return left


def left_matrix(scaled: np.ndarray) -> np.ndarray:
    """Matrix that turns changes of the data into what a refit leaves of them.

    Parameters
    ----------
    scaled
        What :func:`scaled_jacobian` returned; the result is (n, wavelength, wavelength).
    """
    left: np.ndarray = np.eye(scaled.shape[1]) - scaled @ gain(scaled)
    return left
