"""Rational-quadratic splines with linear tails, for the coupling layers of flows.

The function is that of Durkan et al. (2019, equations 4 to 8) and of nflows. nflows computes
every knot and picks the points between the tails by boolean masks; here only the bin of each point
is computed, of all points at once, and the derivatives are written out: for the few numbers of a
training batch most of the time is that of calling operations, and PyTorch would record one node
for each of some fifty.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class _Bin(NamedTuple):
    """The bin in which each point lies, shapes (row, target); its number (row, target, 1)."""

    number: Tensor
    left: Tensor
    width: Tensor
    bottom: Tensor
    height: Tensor
    first_slope: Tensor
    last_slope: Tensor


class _Inside(NamedTuple):
    """A point in its bin: its place from 0 to 1, and the terms of equations 4 and 5."""

    place: Tensor
    between: Tensor
    mean_slope: Tensor
    bend: Tensor
    denominator: Tensor
    rise: Tensor
    numerator: Tensor


def linear_tailed_spline(
    points: Tensor,
    edges: Tensor,
    slopes: Tensor,
    bound: float,
    least: float,
    *,
    inverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Monotone spline from [-bound, bound] to itself, the identity outside.

    Parameters
    ----------
    points
        Where it is evaluated, shape (row, target).
    edges
        Shape (row, target, 2 K): logits of the K bins' widths, then of their heights.
    slopes
        Shape (row, target, K - 1): the inner knots' slopes, before a softplus.
    bound
        Half the width of the interval.
    least
        Least share of a bin in the interval, and least slope.
    inverse
        Evaluate the inverse function. Its values can be differentiated once, its slopes cannot.

    Returns
    -------
    values : torch.Tensor
        Shape (row, target).
    log_slope : torch.Tensor
        Logarithm of the derivative of what was evaluated, shape (row, target).
    """
    if inverse:
        with torch.no_grad():
            values, log_slope = _inverse(points, edges, slopes, bound, least)
        if torch.is_grad_enabled():
            # One Newton step, which moves nothing but has the derivatives of an implicit function.
            images, _ = _Spline.apply(values, edges, slopes, bound, least)
            values = values + (points - images) * log_slope.exp()
        return values, log_slope
    return _Spline.apply(points, edges, slopes, bound, least)


def _found_bin(
    clamped: Tensor, edges: Tensor, slopes: Tensor, bound: float, least: float, axis: int
) -> tuple[_Bin, Tensor]:
    """The bin of each point, whose coordinate is the first (axis 0) or the second.

    Also the softmax of ``edges``, shape (row, target, 2, K).
    """
    n_bins = edges.shape[-1] // 2
    shares = edges.unflatten(-1, (2, n_bins)).softmax(-1)
    sizes = torch.add(2 * bound * least, shares, alpha=2 * bound * (1 - n_bins * least))
    ends = sizes.cumsum(-1)
    inner = ends[..., axis, :-1].contiguous()
    number = torch.searchsorted(inner, clamped[..., None] + bound, right=True)
    at = number[..., None].expand(*number.shape[:-1], 2, 1)
    size = sizes.gather(-1, at)[..., 0]
    start = ends.gather(-1, at)[..., 0] - size - bound
    # Both ends of the interval have the slope of the tails.
    padded = nn.functional.pad(slopes, (1, 1), value=float(np.log(np.expm1(1 - least))))
    slope = nn.functional.softplus(padded.gather(-1, torch.cat([number, number + 1], -1))) + least
    (left, bottom), (width, height) = start.unbind(-1), size.unbind(-1)
    return _Bin(number, left, width, bottom, height, *slope.unbind(-1)), shares


def _inside(place: Tensor, of: _Bin) -> _Inside:
    square = place.square()
    between = place - square
    mean_slope = of.height / of.width
    bend = of.first_slope + of.last_slope - 2 * mean_slope
    denominator = torch.addcmul(mean_slope, bend, between)
    rise = mean_slope * square + of.first_slope * between
    # A sum of what is positive: differences would round to zero beside steep slopes.
    numerator = (
        of.last_slope * square + 2 * mean_slope * between + of.first_slope * (1 - place).square()
    )
    return _Inside(place, between, mean_slope, bend, denominator, rise, numerator)


def _log_slope(at: _Inside) -> Tensor:
    return ((at.mean_slope / at.denominator).square() * at.numerator).log()


class _Spline(torch.autograd.Function):
    """Values and logarithms of slopes."""

    @staticmethod
    def forward(ctx, points, edges, slopes, bound: float, least: float) -> tuple[Tensor, Tensor]:
        clamped = points.clamp(-bound, bound)
        of, shares = _found_bin(clamped, edges, slopes, bound, least, axis=0)
        at = _inside((clamped - of.left) / of.width, of)
        tail = clamped != points
        values = torch.addcdiv(of.bottom, of.height * at.rise, at.denominator)
        ctx.save_for_backward(tail, shares, slopes, *of, *at)
        ctx.constants = bound, least
        return torch.where(tail, points, values), _log_slope(at).masked_fill(tail, 0.0)

    @staticmethod
    @once_differentiable
    def backward(ctx, of_value: Tensor, of_log: Tensor) -> tuple[Tensor | None, ...]:
        tail, shares, slopes, *saved = ctx.saved_tensors
        bound, least = ctx.constants
        of, at = _Bin(*saved[: len(_Bin._fields)]), _Inside(*saved[len(_Bin._fields) :])
        of_log = of_log.masked_fill(tail, 0.0)
        inner = of_value.masked_fill(tail, 0.0)
        of_point, along, first, last = _local_gradients(inner, of_log, of, at)
        of_edges = _edge_gradients(along, of, shares, bound, least)
        padded = torch.zeros(
            *slopes.shape[:-1], slopes.shape[-1] + 2, dtype=slopes.dtype, device=slopes.device
        )
        knots = torch.cat([of.number, of.number + 1], -1)
        padded.scatter_(-1, knots, torch.stack([first, last], -1))
        of_slopes = padded[..., 1:-1] * slopes.sigmoid()
        return torch.where(tail, of_value, of_point), of_edges, of_slopes, None, None


def _local_gradients(
    of_value: Tensor, of_log: Tensor, of: _Bin, at: _Inside
) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor, Tensor]:
    """Gradients by the point; by starts and sizes of the bin on both axes; by its two slopes.

    Starts and sizes have the shape (row, target, 2), the others (row, target).
    """
    place, between, mean_slope, bend, denominator, rise, numerator = at
    per_denominator, per_numerator = 1 / denominator, of_log / numerator
    flat = 1 - 2 * place
    # What the value, height x rise / denominator, and -2 log(denominator) have in common.
    of_rise = of_value * of.height * per_denominator
    of_denominator = -(of_rise * rise + 2 * of_log) * per_denominator
    of_place = (
        of_rise * (2 * mean_slope * place + of.first_slope * flat)
        + of_denominator * bend * flat
        + per_numerator * (of.last_slope - of.first_slope - bend * flat)
    )
    of_mean_slope = (
        of_rise * (place - between)
        + of_denominator * (1 - 2 * between)
        + 2 * (of_log / mean_slope + per_numerator * between)
    )
    by_bend = (of_denominator - per_numerator) * between
    first = of_rise * between + by_bend + per_numerator * (1 - place)
    last = by_bend + per_numerator * place
    of_point = of_place / of.width
    of_width = -(of_point * place + of_mean_slope * mean_slope / of.width)
    of_height = of_value * rise * per_denominator + of_mean_slope / of.width
    starts = torch.stack([-of_point, of_value], -1)
    return of_point, (starts, torch.stack([of_width, of_height], -1)), first, last


def _edge_gradients(
    along: tuple[Tensor, Tensor], of: _Bin, shares: Tensor, bound: float, least: float
) -> Tensor:
    """Gradient by the logits of all bins, shape (row, target, 2 K)."""
    n_bins = shares.shape[-1]
    numbers = torch.arange(n_bins, device=shares.device)
    starts, sizes = (part[..., None] for part in along)
    number, none = of.number[..., None], sizes.new_zeros(())
    # A bin starts where the sizes of those before it end.
    of_sizes = torch.where(numbers < number, starts, torch.where(numbers == number, sizes, none))
    weighted = shares * of_sizes
    of_logits = torch.addcmul(weighted, shares, weighted.sum(-1, keepdim=True), value=-1)
    return (of_logits * (2 * bound * (1 - n_bins * least))).flatten(-2)


def _inverse(
    points: Tensor, edges: Tensor, slopes: Tensor, bound: float, least: float
) -> tuple[Tensor, Tensor]:
    clamped = points.clamp(-bound, bound)
    of, _ = _found_bin(clamped, edges, slopes, bound, least, axis=1)
    mean_slope = of.height / of.width
    bend = of.first_slope + of.last_slope - 2 * mean_slope
    above = clamped - of.bottom
    a = above * bend + of.height * (mean_slope - of.first_slope)
    b = of.height * of.first_slope - above * bend
    c = -mean_slope * above
    # Rounding takes the discriminant of a point at a knot below zero, or the root out of the bin.
    place = 2 * c / (-b - (b.square() - 4 * a * c).clamp(min=0).sqrt())
    place = place.clamp(0, 1)
    tail = clamped != points
    values = torch.where(tail, points, place * of.width + of.left)
    return values, -_log_slope(_inside(place, of)).masked_fill(tail, 0.0)
