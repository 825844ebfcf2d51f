"""Building blocks that several models share."""

from __future__ import annotations

import torch
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


class ConvolutionalEncoder(nn.Module):
    """Convolutions over wavelength, then a residual network: (row, inputs) to (row, outputs).

    The first ``2 n_bins`` inputs are the depths and the errors, the two channels; the inputs after
    them join behind the convolutions. Every level halves the wavelengths.
    """

    def __init__(
        self,
        inputs: int,
        n_bins: int,
        channels: int,
        width: int,
        blocks: int,
        outputs: int,
        *,
        dropout: float = 0.0,
        levels: int = 2,
    ) -> None:
        super().__init__()
        self.n_bins = n_bins
        layers: list[nn.Module] = []
        for level in range(levels):
            layers += [
                nn.Conv1d(channels if level else 2, channels, kernel_size=5, padding=2),
                nn.SiLU(),
                nn.Conv1d(channels, channels, kernel_size=5, padding=2, stride=2),
                nn.SiLU(),
            ]
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        length = n_bins
        for _ in range(levels):
            length = (length + 1) // 2
        joined = length * channels + inputs - 2 * n_bins
        self.head = ResidualMLP(joined, width, blocks, outputs, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        channels = x[:, : 2 * self.n_bins].unflatten(1, (2, self.n_bins))
        return self.head(torch.cat([self.convolutions(channels), x[:, 2 * self.n_bins :]], dim=1))
