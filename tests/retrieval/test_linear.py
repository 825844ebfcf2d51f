"""Jacobians by differences, and what a refit absorbs, against closed forms."""

from __future__ import annotations

import numpy as np
import torch

from arielflow.data.forward_models import edition_model
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.linear import gain, jacobian, scaled_jacobian, unabsorbed


def test_jacobian_is_the_forward_model_s_derivative(opacities) -> None:
    edition, physics = get_edition("adc2023"), PhysicsSettings(str(opacities))
    planets = simulate_planets(edition, 4, seed=3, split="test", prior="matched", physics=physics)
    forward = ForwardModel(edition_model(edition, physics), planets)
    theta = planets["theta"].values
    found = jacobian(forward, np.arange(4), theta)
    assert found.shape == (4, 52, 7)
    for row in range(4):
        point = torch.tensor(theta[row], requires_grad=True)
        exact = torch.autograd.functional.jacobian(
            lambda value, row=row: forward.depths(row, value[None])[0], point
        ).numpy()
        scale = np.abs(exact).max(axis=0)
        assert (np.abs(found[row] - exact) < 0.03 * scale + 1e-7).all()


def test_a_refit_absorbs_what_the_parameters_can_do_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    slopes = 1e3 * rng.standard_normal((5, 30, 3))
    along = np.einsum("nwt,nt->nw", slopes, rng.standard_normal((5, 3)) / 1e3)
    assert np.abs(unabsorbed(slopes, along)).max() < 1e-5
    other = rng.standard_normal((5, 30))
    left = unabsorbed(slopes, other)
    assert np.abs(np.einsum("nwt,nw->nt", slopes, left)).max() < 1e-2
    # Rodgers' gain: that of a least-squares fit where the prior is wide.
    fitted = np.linalg.lstsq(slopes[0], other[0], rcond=None)[0]
    assert np.allclose(gain(slopes)[0] @ other[0], fitted, rtol=1e-4)


def test_the_scale_is_error_bars_per_deviation_of_the_prior() -> None:
    prior = np.array([[[0.0, -12.0]], [[np.sqrt(12), 0.0]]])
    found = scaled_jacobian(np.ones((1, 2, 2)), np.array([[0.5, 2.0]]), prior)
    assert np.allclose(found[0, :, 0], [2, 0.5])
    assert np.allclose(found[0, :, 1], np.array([2, 0.5]) * np.sqrt(12))
