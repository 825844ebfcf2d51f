"""Building blocks that several models share."""

from __future__ import annotations

from torch import Tensor, nn


class _ResidualBlock(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ResidualMLP(nn.Sequential):
    """Fully connected network with residual blocks: (row, inputs) to (row, outputs)."""

    def __init__(
        self, inputs: int, width: int, blocks: int, outputs: int, *, dropout: float = 0.0
    ) -> None:
        super().__init__(
            nn.Linear(inputs, width),
            *(_ResidualBlock(width, dropout) for _ in range(blocks)),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(width, outputs),
        )
