"""The splines of the coupling layers against nflows' own."""

from __future__ import annotations

import pytest
import torch
from nflows.transforms.splines import unconstrained_rational_quadratic_spline
from torch import Tensor

from arielflow.models.networks.spline import linear_tailed_spline

BOUND, LEAST = 5.0, 1e-3


def drawn(n_bins: int, rows: int = 300) -> tuple[Tensor, Tensor, Tensor]:
    """Points in and beyond the interval, logits of the bins and slopes of the knots."""
    generator = torch.Generator().manual_seed(3)
    shapes = (rows, 3), (rows, 3, 2 * n_bins), (rows, 3, n_bins - 1)
    points, edges, slopes = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes
    )
    points = 3 * points
    points[:4, 0] = torch.tensor([-BOUND, BOUND, -2 * BOUND, 2 * BOUND])
    return points, 2 * edges, 2 * slopes


@pytest.mark.parametrize(("n_bins", "inverse"), [(2, False), (10, False), (10, True)])
def test_values_slopes_and_gradients_are_those_of_nflows(n_bins: int, inverse: bool) -> None:
    results = []
    for ours in (True, False):
        points, edges, slopes = (part.requires_grad_() for part in drawn(n_bins))
        if ours:
            values, log_slope = linear_tailed_spline(
                points, edges, slopes, BOUND, LEAST, inverse=inverse
            )
        else:
            values, log_slope = unconstrained_rational_quadratic_spline(
                points,
                *edges.tensor_split(2, dim=-1),
                slopes,
                inverse=inverse,
                tails="linear",
                tail_bound=BOUND,
            )
        found = [values, log_slope]
        # The slopes of the inverse are not differentiable.
        (values.sin() if inverse else values.sin() + log_slope).sum().backward()
        found += [points.grad, edges.grad, slopes.grad]
        results.append([part.detach() for part in found])
    for ours, theirs in zip(*results, strict=True):
        # The derivative at the two ends of the interval is either side's.
        torch.testing.assert_close(ours[2:], theirs[2:], rtol=1e-9, atol=1e-9)


def test_the_inverse_undoes_it() -> None:
    points, edges, slopes = drawn(10)
    values, there = linear_tailed_spline(points, edges, slopes, BOUND, LEAST)
    back, again = linear_tailed_spline(values, edges, slopes, BOUND, LEAST, inverse=True)
    torch.testing.assert_close(back, points, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(again, -there, rtol=1e-7, atol=1e-7)
    assert (values[points.abs() > BOUND] == points[points.abs() > BOUND]).all()
    assert (there[points.abs() > BOUND] == 0).all()


def test_single_precision_finds_the_root_at_every_knot() -> None:
    _, edges, slopes = (part.float() for part in drawn(10, rows=2000))
    heights = edges[..., 10:].softmax(-1) * (1 - 10 * LEAST) + LEAST
    knots = 2 * BOUND * heights.cumsum(-1)[..., 4] - BOUND
    values, log_slope = linear_tailed_spline(knots, edges, slopes, BOUND, LEAST, inverse=True)
    assert values.isfinite().all() and log_slope.isfinite().all()
    assert (values.abs() <= BOUND * (1 + 1e-6)).all()


def test_steep_knots_leave_the_slope_positive_in_single_precision() -> None:
    points, edges, slopes = (part.float() for part in drawn(10, rows=2000))
    values, log_slope = linear_tailed_spline(points, 5 * edges, 1e4 * slopes, BOUND, LEAST)
    assert values.isfinite().all() and log_slope.isfinite().all()
