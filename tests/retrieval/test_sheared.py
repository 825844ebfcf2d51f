"""Coordinates with the radius measured from the fitting one: exact, and flat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import qmc
from spectrum_results import make_result, planet

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
    return prepared_model(describe_planet(content), spectrum, opacities=str(opacities))


def mode_of(model: SpectrumModel) -> torch.Tensor:
    share = torch.full((1, model.dimension), 0.5, dtype=torch.double)
    return model.sampled(share)[0]


@pytest.mark.parametrize("model", RADII, indirect=True)
def test_the_likelihood_is_the_model_s_own(model) -> None:
    """The same points, by either way, differ by the densities of their coordinates."""
    sheared = ShearedModel(model, mode_of(model))
    cube = qmc.Sobol(model.dimension, seed=1).random(32) * 0.8 + 0.1
    sampled = sheared.sampled(cube)
    column = [p.name for p in model.description.free].index("planet_radius")
    density = model.description.free[column].log_density(sampled[:, column])
    expected = model.log_likelihood_by_point(sampled).sum(dim=1) + density
    found = torch.as_tensor(sheared.log_likelihood(cube))
    inside = torch.isfinite(expected)
    assert inside.sum() > 8
    difference = (found - expected)[inside]
    torch.testing.assert_close(difference, difference[:1].expand_as(difference), rtol=0, atol=1e-6)


def test_the_middle_is_the_fitting_radius(model) -> None:
    sheared = ShearedModel(model, mode_of(model))
    column = [p.name for p in model.description.free].index("planet_radius")
    cube = qmc.Sobol(model.dimension, seed=2).random(16) * 0.4 + 0.3
    chi2 = []
    for share in (0.25, 0.5, 0.75):
        cube[:, column] = share
        residual = model.depths(sheared.sampled(cube)).numpy() - model.spectrum.depth
        chi2.append(torch.as_tensor((residual / model.spectrum.error) ** 2).sum(dim=1))
    low, middle, high = torch.stack(chi2)
    # Where the spectrum is far from met, two steps come close to the radius only.
    good = middle < 1000
    assert good.sum() > 4 and (middle < low)[good].all() and (middle < high)[good].all()


def test_without_a_free_radius_the_cube_is_the_priors(opacities) -> None:
    content = planet()
    content["planet"]["radius"] = "1.2 Rjup"
    spectrum = make_result(opacities).model.spectrum
    model = prepared_model(describe_planet(content), spectrum, opacities=str(opacities))
    cube = np.random.default_rng(1).random((5, model.dimension))
    sheared = ShearedModel(model, mode_of(model))
    torch.testing.assert_close(sheared.sampled(cube), model.sampled(torch.as_tensor(cube)))
    np.testing.assert_allclose(sheared.log_likelihood(cube), model.log_likelihood(cube))
