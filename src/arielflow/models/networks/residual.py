"""Building blocks that several models share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from arielflow.settings.base import Activation

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
}


def activation_layer(name: Activation) -> nn.Module:
    """The layer of a nonlinearity's name."""
    return _ACTIVATIONS[name]()


class _ResidualBlock(nn.Module):
    def __init__(self, width: int, dropout: float, activation: Activation) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            activation_layer(activation),
            nn.Dropout(dropout),
            nn.Linear(width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ResidualMLP(nn.Sequential):
    """Fully connected network with residual blocks: (row, inputs) to (row, outputs)."""

    def __init__(
        self,
        inputs: int,
        width: int,
        blocks: int,
        outputs: int,
        *,
        dropout: float = 0.0,
        activation: Activation = "silu",
    ) -> None:
        super().__init__(
            nn.Linear(inputs, width),
            *(_ResidualBlock(width, dropout, activation) for _ in range(blocks)),
            activation_layer(activation),
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
        activation: Activation = "silu",
        levels: int = 2,
    ) -> None:
        super().__init__()
        self.n_bins = n_bins
        layers: list[nn.Module] = []
        for level in range(levels):
            layers += [
                nn.Conv1d(channels if level else 2, channels, kernel_size=5, padding=2),
                activation_layer(activation),
                nn.Conv1d(channels, channels, kernel_size=5, padding=2, stride=2),
                activation_layer(activation),
            ]
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        length = n_bins
        for _ in range(levels):
            length = (length + 1) // 2
        joined = length * channels + inputs - 2 * n_bins
        self.head = ResidualMLP(
            joined, width, blocks, outputs, dropout=dropout, activation=activation
        )

    def forward(self, x: Tensor) -> Tensor:
        channels = x[:, : 2 * self.n_bins].unflatten(1, (2, self.n_bins))
        return self.head(torch.cat([self.convolutions(channels), x[:, 2 * self.n_bins :]], dim=1))


class WarmUp(nn.Module):
    """Weight of a divergence that rises from near 0 to 1 over the first epochs of a training.

    Counts the rows of the training losses, in a buffer, so that a resumed training goes on from
    where it stood. Outside training the weight is 1: validation losses can be compared.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", torch.ones(()))
        self.register_buffer("seen", torch.zeros(()))

    def over(self, rows: int) -> None:
        """Say over how many training rows the weight rises; with 0 it is 1 from the start."""
        self.rows.fill_(max(1, rows))

    def forward(self, n_rows: int) -> Tensor:
        """Weight of a loss of ``n_rows`` rows."""
        if not self.training:
            return torch.ones_like(self.seen)
        self.seen += n_rows
        return (self.seen / self.rows).clamp(max=1)
