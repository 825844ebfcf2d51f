"""What models see of a planet, and what they are shown in training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from arielflow.models.features import Context, PlanetTensors, planet_tensors


@pytest.fixture(scope="module")
def planets(simulated: xr.Dataset) -> PlanetTensors:
    return planet_tensors(simulated)


def test_half_of_noise_free_spectra_get_other_errors_within_the_factors(planets) -> None:
    found, again = (
        planets.with_other_errors((0.4, 1.1), torch.Generator().manual_seed(1)) for _ in range(2)
    )
    factor = found.error / planets.error
    assert torch.equal(found.error, again.error) and torch.equal(found.depth, planets.depth)
    # One factor per planet: a spectrum's errors keep their shape.
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))
    changed = (factor[:, 0] - 1).abs() > 1e-9
    assert 0.4 < changed.double().mean() < 0.6
    assert factor.min() >= 0.4 - 1e-9 and factor.max() <= 1.1 + 1e-9
    # Log-uniform: as many below the geometric mean as above.
    below = factor[changed, 0].log() < np.log(0.4 * 1.1) / 2
    assert 0.35 < below.double().mean() < 0.65


def test_spectra_stored_with_noise_keep_their_errors(planets) -> None:
    noisy = replace(planets, noisy=False)
    assert noisy.with_other_errors((0.4, 1.1), torch.Generator()) is noisy


def test_components_are_uncorrelated_and_of_like_variance(planets) -> None:
    context = Context.fitted(planets, 1)
    seen = context(planets.with_noise(torch.Generator().manual_seed(1)))
    count = len(context.mean)
    assert seen.shape == (len(planets), 2 * count) and seen.dtype == torch.float32
    covariance = torch.cov(seen[:, count:].T.double())
    variance = covariance.diagonal()
    # What hardly varies is not blown up.
    assert variance.max() < 1.05 and (variance > 0.9).sum() > 50
    correlation = covariance / (variance[:, None] * variance).sqrt().clamp(min=0.1)
    assert (correlation - torch.diag(correlation.diagonal())).abs().max() < 0.1
