"""Temperature by pressure: Guillot's analytic profile, and points joined by lines.

Both as TauREx 3 has them, so that spectra agree; differentiable in all their parameters.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import expn
from torch import Tensor
from torch.autograd.function import once_differentiable


class _SecondExponentialIntegral(torch.autograd.Function):
    """E_2 of positive numbers, which PyTorch lacks; its derivative is -E_1."""

    @staticmethod
    def forward(ctx, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        ctx.save_for_forward(values)
        return _expn(2, values)

    @staticmethod
    def jvp(ctx, tangent: Tensor) -> Tensor:
        (values,) = ctx.saved_tensors
        return -_expn(1, values) * tangent

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> Tensor:
        (values,) = ctx.saved_tensors
        return -_expn(1, values) * gradient


def _expn(order: int, values: Tensor) -> Tensor:
    found = expn(order, values.detach().cpu().numpy())
    return torch.as_tensor(found).to(values.device, values.dtype)


def guillot(
    pressure_pa: Tensor,
    gravity_m_s2: Tensor,
    irradiation_temperature_k: Tensor,
    internal_temperature_k: Tensor,
    infrared_opacity_m2_kg: Tensor,
    visible_opacity_m2_kg: Tensor,
    second_visible_opacity_m2_kg: Tensor | None = None,
    second_share: Tensor | None = None,
) -> Tensor:
    """Temperatures (n, layer) [K] of an irradiated atmosphere in radiative equilibrium.

    Guillot (2010, A&A 520, A27), averaged over the planet, with two visible streams as in Line et
    al. (2012, ApJ 749, 93).

    Parameters
    ----------
    pressure_pa
        Pressures of the layers, shape (layer,) [Pa].
    gravity_m_s2
        At the planet's radius, shape (n,).
    irradiation_temperature_k, internal_temperature_k
        Of the irradiation, averaged over the planet, and of the heat from inside, shape (n,).
    infrared_opacity_m2_kg, visible_opacity_m2_kg
        Mean opacities for thermal and for stellar light, shape (n,).
    second_visible_opacity_m2_kg, second_share
        Mean opacity for part of the stellar light, and that part, 0 to 1; none if left out.
    """
    depth = infrared_opacity_m2_kg[:, None] * pressure_pa / gravity_m_s2[:, None]
    first = _visible_stream(visible_opacity_m2_kg / infrared_opacity_m2_kg, depth)
    if second_visible_opacity_m2_kg is not None and second_share is not None:
        second = _visible_stream(second_visible_opacity_m2_kg / infrared_opacity_m2_kg, depth)
        first = first + second_share[:, None] * (second - first)
    inner = internal_temperature_k[:, None] ** 4 * (2 / 3 + depth)
    return (0.75 * (inner + irradiation_temperature_k[:, None] ** 4 * first)) ** 0.25


def _visible_stream(ratio: Tensor, depth: Tensor) -> Tensor:
    """What visible light of some opacity over the thermal one adds, shape (n, layer)."""
    ratio = ratio[:, None]
    seen = ratio * depth
    outer = 1 + (seen / 2 - 1) * torch.exp(-seen)
    inner = ratio * (1 - depth**2 / 2) * _SecondExponentialIntegral.apply(seen)
    return 2 / 3 * (1 + outer / ratio + inner)


def joined_points(pressure_pa: Tensor, point_pressure_pa: Tensor, temperature_k: Tensor) -> Tensor:
    """Temperatures (n, layer) [K], linear in log pressure between points and constant beyond.

    Parameters
    ----------
    pressure_pa
        Pressures of the layers, shape (layer,) [Pa].
    point_pressure_pa
        Pressures of the points from the bottom up, shape (n, point) [Pa]; rows in which they do
        not fall give NaN.
    temperature_k
        Temperatures there, shape (n, point).
    """
    points, wanted = point_pressure_pa.log().flip(1), pressure_pa.log()
    values = temperature_k.flip(1)
    wanted = wanted.expand(len(points), -1)
    found = torch.searchsorted(points.detach().contiguous(), wanted.contiguous())
    upper = found.clamp(1, points.shape[1] - 1)
    low, high = points.gather(1, upper - 1), points.gather(1, upper)
    fraction = ((wanted - low) / (high - low)).clamp(0, 1)
    joined = values.gather(1, upper - 1) * (1 - fraction) + values.gather(1, upper) * fraction
    falling = (points.diff(dim=1) > 0).all(dim=1)
    return torch.where(falling[:, None], joined, torch.nan)


def moving_average(n_layers: int, share: float = 0.1) -> np.ndarray:
    """Matrix (layer, layer) that averages over a share of the layers, an odd number of them.

    The layers nearer to either end than half a window stay as they are, as in TauREx 3.
    """
    window = int(n_layers * share)
    window += window % 2 == 0
    matrix, border = np.eye(n_layers), window // 2
    for layer in range(border, n_layers - border):
        matrix[layer] = 0
        matrix[layer, layer - border : layer + border + 1] = 1 / window
    return matrix
