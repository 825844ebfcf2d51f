"""The posterior where the forward model is a straight line: Jacobians, and what a refit absorbs.

With residuals in error bars, the Jacobian J and the variances P of a normal prior, data that
change by d move the best fit by (J'J + 1/P)^-1 J'd (Rodgers 2000, equation 2.45, where this matrix
is called the gain), and leave d less J times that.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.autograd import forward_ad

from arielflow.physics.forward import ForwardModel

# Bounds the memory: derivatives keep the optical depths of a chunk.
_CHUNK = 40


def jacobian(forward: ForwardModel, planet: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Derivatives of depths by the targets, shape (n, wavelength, target).

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
    planet, values = np.asarray(planet), torch.as_tensor(np.asarray(theta, dtype=float))
    parts = [
        torch.stack(
            [_column(forward, planet[rows], values[rows], n) for n in range(values.shape[1])], dim=2
        )
        for rows in np.array_split(np.arange(len(values)), max(1, -(-len(values) // _CHUNK)))
    ]
    return torch.cat(parts).cpu().numpy()


def _column(
    forward: ForwardModel, planet: np.ndarray, theta: torch.Tensor, number: int
) -> torch.Tensor:
    direction = torch.zeros_like(theta)
    direction[:, number] = 1
    # The model takes its differentiable path only where gradients are asked for.
    primal = theta.detach().requires_grad_()
    with torch.enable_grad(), forward_ad.dual_level():
        depths = forward.depths(planet, forward_ad.make_dual(primal, direction))
        value, tangent = forward_ad.unpack_dual(depths)
    value = value.detach()
    tangent = torch.zeros_like(value) if tangent is None else tangent.detach()
    return torch.where(torch.isfinite(value), tangent, torch.nan)


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


def gain(scaled: np.ndarray) -> np.ndarray:
    """Change of the best fit per change of the data, shape (n, target, wavelength).

    Parameters
    ----------
    scaled
        What :func:`scaled_jacobian` returned; the result is in the same units.
    """
    transposed = scaled.transpose(0, 2, 1)
    normal = transposed @ scaled + np.eye(scaled.shape[2])
    found: np.ndarray = np.linalg.solve(normal, transposed)
    return found


def unabsorbed(scaled: np.ndarray, change: np.ndarray) -> np.ndarray:
    """What a refit leaves of a change of the data, both (n, wavelength) in error bars."""
    moved = gain(scaled) @ change[:, :, None]
    left: np.ndarray = change - (scaled @ moved)[:, :, 0]
    return left
