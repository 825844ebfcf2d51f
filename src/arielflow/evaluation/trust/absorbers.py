"""Whose opacity would have to differ for the residuals of best fits to be noise.

Cross-sections of one absorber that are wrong by d dex, bin by bin, change a spectrum by E d, where
the diagonal matrix E holds the derivatives by that absorber's opacity; a refit leaves M E d of it
(:func:`arielflow.retrieval.linear.left_matrix`). With a normal prior on d, independent in all
bins, the residuals have a marginal likelihood in closed form, one per absorber. Many planets with
the same line list share one d: what some of them ask for can be tried on others.

All of it is a straight line in d. A factor that is the same in all bins leaves no residual, so that
d is known up to a constant per absorber; wrong dependence on temperature is not thought of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from arielflow.evaluation.trust.residuals import Refit
from arielflow.retrieval.linear import left_matrix

DISTORTION_DEX = 0.3
"""Standard deviation of the distortions' prior: a factor of two."""


@dataclass(frozen=True)
class Distortion:
    """Cross-sections' logarithms, corrected, that the planets share.

    Attributes
    ----------
    dex : np.ndarray
        log10 of the factors on the absorbers' opacities, shape (absorber, wavelength).
    deviation_dex : np.ndarray
        Standard deviations, same shape.
    """

    dex: np.ndarray
    deviation_dex: np.ndarray


def evidence_of_distortion(
    found: Refit, effects: np.ndarray, deviation_dex: float = DISTORTION_DEX
) -> np.ndarray:
    """How much likelier every planet's residuals are if one absorber's opacity is distorted.

    Parameters
    ----------
    found
        Best fits, all of them finite.
    effects
        Change of the depths in error bars per dex of every absorber's opacity, shape (absorber,
        planet, wavelength).
    deviation_dex
        Of the distortions.

    Returns
    -------
    numpy.ndarray
        Natural logarithm of the Bayes factor against noise alone, shape (absorber, planet).
    """
    left = left_matrix(found.slopes)
    scaled = deviation_dex * effects
    pull = scaled * found.residual
    curvature = np.eye(scaled.shape[2]) + scaled[..., :, None] * left * scaled[..., None, :]
    moved = np.linalg.solve(curvature, pull[..., None])[..., 0]
    logarithm: np.ndarray = 0.5 * (np.sum(pull * moved, axis=-1) - np.linalg.slogdet(curvature)[1])
    return logarithm


def shared_distortion(
    found: Refit, effects: np.ndarray, deviation_dex: float = DISTORTION_DEX
) -> Distortion:
    """The distortions of all given absorbers that explain the planets' residuals together.

    A planet's error bars grow until its own residuals are as large as expected, so that the few
    planets with the largest residuals do not decide alone.

    Parameters
    ----------
    found, effects, deviation_dex
        See :func:`evidence_of_distortion`.
    """
    left = left_matrix(found.slopes)
    weight = 1 / np.maximum(1, found.chi2 / np.trace(left, axis1=1, axis2=2))
    count, _, width = effects.shape
    curvature = np.einsum("n,ani,nij,bnj->aibj", weight, effects, left, effects, optimize=True)
    curvature = curvature.reshape(count * width, count * width)
    curvature += np.eye(count * width) / deviation_dex**2
    pull = np.einsum("n,ani,ni->ai", weight, effects, found.residual).ravel()
    covariance = np.linalg.inv(curvature)
    shape = count, width
    return Distortion(
        (covariance @ pull).reshape(shape), np.sqrt(np.diag(covariance)).reshape(shape)
    )


def corrected(found: Refit, effects: np.ndarray, distortion: Distortion) -> Refit:
    """What refits would leave with the opacities corrected, to first order.

    Parameters
    ----------
    found, effects
        See :func:`evidence_of_distortion`.
    distortion
        What :func:`shared_distortion` returned, of these or of other planets.
    """
    change = np.einsum("ani,ai->ni", effects, distortion.dex)
    left = np.einsum("nij,nj->ni", left_matrix(found.slopes), change)
    return replace(found, residual=found.residual - left)
