"""Coordinates with the radius measured from the fitting one and no offsets: exact, and flat."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import qmc
from spectrum_results import HOSTILE, make_result, planet

from arielflow.data.description.read import describe_planet
from arielflow.data.spectra.spectrum import ObservedSpectrum
from arielflow.retrieval.spectra.model import SpectrumModel
from arielflow.retrieval.spectra.setup import prepared_model
from arielflow.retrieval.spectra.sheared import ShearedModel

RADII = {
    "uniform": {"uniform": [0.9, 1.5], "unit": "Rjup"},
    "log_uniform": {"log_uniform": [0.9, 1.5], "unit": "Rjup"},
    "normal": {"normal": [1.2, 0.1], "unit": "Rjup"},
}


@pytest.fixture(scope="module")
def model(request, opacities: Path) -> SpectrumModel:
    content = planet()
    content["planet"]["radius"] = RADII[getattr(request, "param", "uniform")]
    spectrum: ObservedSpectrum = make_result(opacities).model.spectrum
    spectrum = replace(spectrum, error_high=spectrum.error_low)
    return prepared_model(describe_planet(content), spectrum, opacities=str(opacities))


def mode_of(model: SpectrumModel) -> torch.Tensor:
    share = torch.full((1, model.dimension), 0.5, dtype=torch.double)
    return model.sampled(share)[0]


def column_of(model: SpectrumModel, name: str) -> int:
    return [parameter.name for parameter in model.description.free].index(name)


@pytest.mark.parametrize("model", RADII, indirect=True)
def test_the_likelihood_is_the_model_s_own(model) -> None:
    """Integrated over the offset numerically; by the densities of their coordinates apart."""
    sheared = ShearedModel(model, mode_of(model))
    assert sheared.dimension == model.dimension - 1
    cube = qmc.Sobol(sheared.dimension, seed=1).random(32) * 0.8 + 0.1
    sampled = sheared.sampled(cube)
    radius, offset = (column_of(model, name) for name in ("planet_radius", f"offset[{HOSTILE}]"))
    prior = model.description.free[offset]
    around = torch.linspace(-500, 500, 501, dtype=torch.float64)
    log_joint = []
    for shift in around:
        moved = sampled.clone()
        moved[:, offset] += shift
        own = model.log_likelihood_by_point(moved).sum(dim=1)
        log_joint.append(own + prior.log_density(moved[:, offset]))
    expected = torch.logsumexp(torch.stack(log_joint), dim=0) + torch.log(around[1] - around[0])
    expected += model.description.free[radius].log_density(sampled[:, radius])
    found = torch.as_tensor(sheared.log_likelihood(cube))
    inside = torch.isfinite(expected)
    assert inside.sum() > 8
    difference = (found - expected)[inside]
    torch.testing.assert_close(difference, difference[:1].expand_as(difference), rtol=0, atol=1e-6)


def test_offsets_are_drawn_from_their_posterior(model) -> None:
    """Of many at one point, mean and scatter are those of the likelihood times the prior."""
    sheared = ShearedModel(model, mode_of(model))
    cube = np.full((4000, sheared.dimension), 0.5)
    column = column_of(model, f"offset[{HOSTILE}]")
    drawn = sheared.sampled(cube)
    one = drawn[:1].expand(501, -1).clone()
    one[:, column] = torch.linspace(-1000, 1000, 501, dtype=torch.float64)
    prior = model.description.free[column]
    density = model.log_likelihood_by_point(one).sum(dim=1) + prior.log_density(one[:, column])
    weight = torch.softmax(density, dim=0)
    mean = float(weight @ one[:, column])
    deviation = float((weight @ (one[:, column] - mean) ** 2).sqrt())
    assert abs(float(drawn[:, column].mean()) - mean) < 4 * deviation / 4000**0.5
    assert float(drawn[:, column].std()) == pytest.approx(deviation, rel=0.05)


def test_the_middle_is_the_fitting_radius(model) -> None:
    """With every offset where it fits best."""
    sheared = ShearedModel(model, mode_of(model))
    cube = qmc.Sobol(sheared.dimension, seed=2).random(16) * 0.4 + 0.3
    # No offset stands before it.
    column, found = column_of(model, "planet_radius"), []
    for share in (0.45, 0.5, 0.55):
        cube[:, column] = share
        found.append(sheared.log_likelihood(cube))
    low, middle, high = found
    good = middle > middle.max() - 1000
    assert good.sum() > 4 and (middle > low)[good].all() and (middle > high)[good].all()


def test_asymmetric_errors_keep_the_offset(opacities) -> None:
    uneven = make_result(opacities).model.spectrum
    model = prepared_model(describe_planet(planet()), uneven, opacities=str(opacities))
    assert ShearedModel(model, mode_of(model)).dimension == model.dimension


def test_without_a_free_radius_the_cube_is_the_priors(opacities) -> None:
    content = planet()
    content["planet"]["radius"] = "1.2 Rjup"
    content["instruments"][HOSTILE]["offset"] = {"uniform": [-300, 300], "unit": "ppm"}
    spectrum = make_result(opacities).model.spectrum
    model = prepared_model(describe_planet(content), spectrum, opacities=str(opacities))
    cube = np.random.default_rng(1).random((5, model.dimension))
    sheared = ShearedModel(model, mode_of(model))
    torch.testing.assert_close(sheared.sampled(cube), model.sampled(torch.as_tensor(cube)))
    np.testing.assert_allclose(sheared.log_likelihood(cube), model.log_likelihood(cube))
