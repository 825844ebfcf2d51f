"""The integration behind flow matching: quadrature, exact density, divergence, bounded memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from arielflow.core.errors import ArielflowError
from arielflow.models import make_estimator
from arielflow.models.families import flow_matching
from arielflow.models.families.flow_matching import Config, _MatchedFlow, gauss_lobatto

SPREAD, CENTRE = 0.1, 1.5


class _GaussianVelocity(torch.nn.Module):
    """What a perfect training learns where z_1 is normal with a known centre and spread."""

    def forward(self, t: Tensor, z: Tensor, embedding: Tensor) -> Tensor:
        variance = (1 - t) ** 2 + (SPREAD * t) ** 2
        return CENTRE + (t * SPREAD**2 - (1 - t)) / variance * (z - t * CENTRE)

    divergence = flow_matching._Velocity.divergence


@pytest.mark.parametrize("nodes", [2, 3, 9])
def test_quadrature_is_exact_for_polynomials_of_its_degree(nodes) -> None:
    times, weights = gauss_lobatto(nodes)
    assert times[0] == 0 and times[-1] == 1 and (np.diff(times) > 0).all()
    for degree in range(2 * nodes - 2):
        assert (weights * times**degree).sum() == pytest.approx(1 / (degree + 1), rel=1e-9)


@pytest.mark.parametrize("solver", ["rk4", "dopri5"])
def test_a_narrow_normal_posterior_and_its_density(solver) -> None:
    density = _MatchedFlow(Config(solver=solver), 7)
    density.velocity = _GaussianVelocity()
    z, log_prob = density.sample_and_log_prob(3000, torch.zeros(1, 64))
    assert z.shape == (1, 3000, 7) and log_prob.shape == (1, 3000)
    expected = torch.distributions.Normal(CENTRE, SPREAD).log_prob(z).sum(dim=2)
    torch.testing.assert_close(log_prob, expected, atol=0.02, rtol=0)
    again = density.log_prob(z[0], torch.zeros(3000, 64))
    torch.testing.assert_close(again, expected[0], atol=0.02, rtol=0)
    assert float(z.mean()) == pytest.approx(CENTRE, abs=0.01)
    assert float(z.std()) == pytest.approx(SPREAD, rel=0.03)


def test_divergence_is_the_trace_of_the_jacobian() -> None:
    velocity = _MatchedFlow(Config(width=16), 3).velocity
    z, embedding, t = torch.randn(4, 3), torch.randn(4, 64), torch.tensor(0.3)
    jacobian = torch.autograd.functional.jacobian(lambda x: velocity(t, x, embedding), z)
    trace = torch.einsum("ikik->i", jacobian)
    torch.testing.assert_close(velocity.divergence(t, z, embedding), trace)


def test_no_more_points_than_the_bound_are_carried_at_once(monkeypatch) -> None:
    density, sizes = _MatchedFlow(Config(width=16), 2), []
    monkeypatch.setattr(flow_matching, "_POINTS_AT_ONCE", 100)
    density.velocity.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[1])))
    embedding = torch.randn(3, 64)
    with torch.no_grad():
        z, log_prob = density.sample_and_log_prob(110, embedding)
        again = density.log_prob(z.flatten(0, 1), embedding.repeat_interleave(110, dim=0))
    assert max(sizes) == 100
    torch.testing.assert_close(again.unflatten(0, (3, 110)), log_prob, atol=1e-3, rtol=0)


def test_times_follow_their_power_law() -> None:
    seen = []
    density = _MatchedFlow(Config(time_exponent=1.0), 2)
    density.velocity.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    generator = torch.Generator().manual_seed(0)
    loss = density.loss(torch.randn(2000, 2), torch.zeros(2000, 64), generator)
    assert math.isfinite(float(loss.detach()))
    assert float(seen[0].mean()) == pytest.approx(2 / 3, abs=0.01)


def test_a_setting_without_effect_is_refused() -> None:
    with pytest.raises(ArielflowError, match="tolerance has no effect"):
        make_estimator("flow_matching", {"tolerance": 1e-3})
