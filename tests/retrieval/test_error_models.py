"""Error models: residuals' densities that are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from arielflow.retrieval.error_models import _LENGTHS_LOG_UM, _STRENGTHS, log_density

WAVELENGTH_UM = np.geomspace(0.6, 7.5, 12)
ERROR = 1e-5 * np.linspace(1, 3, 12)
CONSTANT = 0.5 * len(WAVELENGTH_UM) * np.log(2 * np.pi)


def residuals(count: int = 5) -> np.ndarray:
    return 2 * np.random.default_rng(1).standard_normal((count, len(WAVELENGTH_UM)))


def test_without_an_error_model_it_is_half_of_chi2() -> None:
    found = log_density("none", WAVELENGTH_UM, ERROR)(residuals())
    assert np.allclose(found, -0.5 * (residuals() ** 2).sum(axis=1))


@pytest.mark.parametrize("name", ["jitter", "correlated"])
def test_the_mixture_is_that_of_its_normal_distributions(name: str) -> None:
    identity, log_um = np.eye(len(WAVELENGTH_UM)), np.log(WAVELENGTH_UM)
    # The same depth everywhere, twice the median error bar where the error is half of it.
    scale = np.diag(np.median(ERROR) / ERROR)
    distance = log_um[:, None] - log_um
    kernels = [np.exp(-0.5 * (distance / length) ** 2) for length in _LENGTHS_LOG_UM]
    kernels = [identity] if name == "jitter" else kernels
    weight = np.log(0.5 / (len(kernels) * len(_STRENGTHS)))
    terms = [np.log(0.5) + multivariate_normal(cov=identity).logpdf(residuals())]
    terms += [
        weight
        + multivariate_normal(cov=identity + s**2 * scale @ kernel @ scale).logpdf(residuals())
        for kernel in kernels
        for s in _STRENGTHS
    ]
    found = log_density(name, WAVELENGTH_UM, ERROR)(residuals())
    assert np.allclose(found, logsumexp(terms, axis=0) + CONSTANT)


def test_smooth_residuals_are_forgiven_as_correlated_and_white_ones_as_jitter() -> None:
    smooth = 4 * np.sin(np.log(WAVELENGTH_UM) * 2)[None]
    white = smooth[:, np.random.default_rng(2).permutation(len(WAVELENGTH_UM))]
    for residual, better, worse in (
        (smooth, "correlated", "jitter"),
        (white, "jitter", "none"),
    ):
        found = {
            name: log_density(name, WAVELENGTH_UM, ERROR)(residual)[0] for name in (better, worse)
        }
        assert found[better] > found[worse]
    noise = np.random.default_rng(3).standard_normal((2000, len(WAVELENGTH_UM)))
    # Right errors lose next to nothing: at most the half of the prior that is not theirs.
    lost = log_density("none", WAVELENGTH_UM, ERROR)(noise) - log_density(
        "correlated", WAVELENGTH_UM, ERROR
    )(noise)
    assert np.quantile(lost, 0.99) <= np.log(2)
