"""Coupling layers of splines, conditioned on a context that many rows may share.

What they compute is nflows' coupling transform with residual networks (Durkan et al. 2019, section
3.2); here one matrix product gives what the context adds to all layers, and the halves are picked
by ``index_select``, whose derivative is an addition.
"""

from __future__ import annotations

import torch
from nflows.transforms import Transform
from torch import Tensor, nn

from arielflow.models.networks.spline import linear_tailed_spline

_LEAST_SHARE = 1e-3


def alternating_halves(n_targets: int, pairs: int) -> list[Tensor]:
    """Which targets each layer transforms (true) given the others, shapes (target,).

    The two layers of a pair transform complementary halves, so every target is transformed in
    every pair; the pairs split by the binary digits of the targets' numbers, so that every two
    targets stand on different sides of some pair.
    """
    digits = max(1, (n_targets - 1).bit_length())
    numbers = torch.arange(n_targets)
    halves = []
    for pair in range(pairs):
        half = ((numbers >> (pair % digits)) & 1).bool()
        halves += [half, ~half]
    return halves


class SplineCouplings(Transform):
    """Coupling layers one after the other.

    Parameters
    ----------
    halves
        What each layer transforms, see :func:`alternating_halves`.
    context
        Number of the context's features.
    hidden, blocks
        Width and residual blocks of each layer's network.
    bins
        Bins of each spline.
    bound
        The splines act from its negative to it.
    """

    def __init__(
        self,
        halves: list[Tensor],
        *,
        context: int,
        hidden: int,
        blocks: int,
        bins: int,
        bound: float,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Coupling(half, hidden, blocks, bins, bound) for half in halves)
        self.of_context = nn.Linear(context, len(halves) * (1 + blocks) * hidden)

    def _added(self, context: Tensor) -> tuple[Tensor, ...]:
        """What the context adds to each layer, shapes (1 + blocks, planet, 1, hidden)."""
        first = self.layers[0]
        shape = len(self.layers), 1 + len(first.blocks), -1
        added = self.of_context(context).unflatten(1, (*shape[:2], first.first.out_features))
        return added.movedim(0, 2)[:, :, :, None].unbind(0)

    def forward(self, points: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Points (row, target) to their images, and the logarithm of the volume's change (row,).

        With fewer contexts (planet, feature) than rows, each is that of as many successive rows as
        the others.
        """
        return self._through(points, context, inverse=False)

    def inverse(self, images: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """The same backwards; the points can be differentiated once, the volume's change cannot."""
        return self._through(images, context, inverse=True)

    def _through(self, points: Tensor, context: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        log_slopes = []
        pairs = list(zip(self.layers, self._added(context), strict=True))
        for layer, added in reversed(pairs) if inverse else pairs:
            points, log_slope = layer(points, added, inverse)
            log_slopes.append(log_slope)
        return points, torch.cat(log_slopes, dim=1).sum(dim=1)


class _Coupling(nn.Module):
    def __init__(self, half: Tensor, hidden: int, blocks: int, bins: int, bound: float) -> None:
        super().__init__()
        changed, given = (part.nonzero()[:, 0] for part in (half, ~half))
        self.register_buffer("changed", changed, persistent=False)
        self.register_buffer("given", given, persistent=False)
        self.register_buffer("order", torch.cat([given, changed]).argsort(), persistent=False)
        self.bound, self.n_edges = bound, 2 * bins
        # Its bias is the context's.
        self.first = nn.Linear(len(given), hidden, bias=False)
        self.blocks = nn.ModuleList(_GatedBlock(hidden) for _ in range(blocks))
        self.last = nn.Linear(hidden, len(changed) * (3 * bins - 1))
        with torch.no_grad():
            # An untrained layer is near a function that does not depend on what is given.
            self.last.weight[:] *= 0.1

    def forward(self, points: Tensor, added: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        given = points.index_select(1, self.given)
        offset, *gates = added
        hidden = self.first(given).view(len(offset), -1, self.first.out_features) + offset
        for block, gate in zip(self.blocks, gates, strict=True):
            hidden = block(hidden, gate)
        shape = self.last(hidden).view(len(points), len(self.changed), -1)
        images, log_slope = linear_tailed_spline(
            points.index_select(1, self.changed),
            shape[..., : self.n_edges],
            shape[..., self.n_edges :],
            self.bound,
            _LEAST_SHARE,
            inverse=inverse,
        )
        return torch.cat([given, images], dim=1).index_select(1, self.order), log_slope


class _GatedBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, hidden: Tensor, gate: Tensor) -> Tensor:
        return torch.addcmul(hidden, self.layers(hidden), gate.sigmoid())
