"""Absorbers that residuals point to, against distortions that were put in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from arielflow.evaluation.trust.absorbers import (
    Distortion,
    corrected,
    evidence_of_distortion,
    shared_distortion,
)
from arielflow.evaluation.trust.residuals import Refit
from arielflow.retrieval.linear import left_matrix, unabsorbed

WAVELENGTH_UM = np.geomspace(0.6, 7.5, 24)
CENTRES_UM = (1.4, 2.7, 4.3)
# In error bars per dex: three absorbers of one broad band each, and all of them strong.
BANDS = 30 * np.exp(-0.5 * (np.log(WAVELENGTH_UM / np.array(CENTRES_UM)[:, None]) / 0.35) ** 2)
TRUE_DEX = 0.2 * np.sin(9 * np.log(WAVELENGTH_UM))


def linear_fits(
    count: int, seed: int, distorted: int, dex: np.ndarray | float
) -> tuple[Refit, np.ndarray]:
    """Fits of planets with their own amounts of each absorber, one of them distorted."""
    rng = np.random.default_rng(seed)
    effects = BANDS[:, None, :] * rng.uniform(0.2, 1.0, (3, count, 1))
    # Amounts are known to within 3 dex before the fit, and the radius is not held.
    slopes = np.concatenate([3 * effects, np.full((1, count, 24), 100.0)]).transpose(1, 2, 0)
    change = rng.standard_normal((count, 24)) + effects[distorted] * dex
    return Refit(unabsorbed(slopes, change), slopes, np.zeros((count, 4))), effects


def test_the_evidence_is_that_of_the_joint_normal_distribution() -> None:
    found, effects = linear_fits(3, 1, 0, TRUE_DEX)
    evidence = evidence_of_distortion(found, effects, 0.3)
    for planet in range(3):
        left = left_matrix(found.slopes)[planet]
        data = np.linalg.solve(left, found.residual[planet])
        noise = np.linalg.inv(left)
        for absorber in range(3):
            added = np.diag((0.3 * effects[absorber, planet]) ** 2)
            expected = multivariate_normal.logpdf(data, cov=noise + added)
            expected -= multivariate_normal.logpdf(data, cov=noise)
            assert evidence[absorber, planet] == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("guilty", range(3))
def test_the_distorted_absorber_is_found_and_its_correction_helps_other_planets(guilty) -> None:
    found, effects = linear_fits(300, 2, guilty, TRUE_DEX)
    assert np.mean(evidence_of_distortion(found, effects).argmax(axis=0) == guilty) > 0.85
    others, their_effects = linear_fits(300, 3, guilty, TRUE_DEX)
    left = {
        absorber: corrected(
            others,
            their_effects[[absorber]],
            shared_distortion(found, effects[[absorber]]),
        ).chi2.mean()
        for absorber in range(3)
    }
    assert left[guilty] == pytest.approx(20, abs=1.5)
    assert min(left[other] for other in {0, 1, 2} - {guilty}) > 1.4 * left[guilty]


def test_the_correction_is_the_distortion_up_to_a_constant() -> None:
    found, effects = linear_fits(300, 4, 1, TRUE_DEX)
    correction = shared_distortion(found, effects)
    seen = BANDS[1] > 5
    error = (correction.dex[1] - TRUE_DEX)[seen]
    assert np.std(error) < 0.02
    innocent = correction.dex[[0, 2]] / correction.deviation_dex[[0, 2]]
    assert np.abs(innocent).max() < 4.5


def test_a_factor_on_all_bins_is_absorbed_by_the_amount() -> None:
    found, effects = linear_fits(300, 5, 0, 0.3)
    assert found.chi2.mean() == pytest.approx(20, abs=1.5)
    assert np.mean(evidence_of_distortion(found, effects) > 0) < 0.05
    correction = shared_distortion(found, effects)
    assert np.abs(correction.dex / correction.deviation_dex).max() < 4.5


def test_without_a_correction_residuals_stay() -> None:
    found, effects = linear_fits(10, 6, 2, TRUE_DEX)
    nothing = Distortion(np.zeros((3, 24)), np.zeros((3, 24)))
    assert np.allclose(corrected(found, effects, nothing).residual, found.residual)
