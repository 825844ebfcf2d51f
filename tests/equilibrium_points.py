"""Random gases inside a grid of equilibrium chemistry."""

from __future__ import annotations

import numpy as np
import torch

from arielflow.physics.equilibrium import EquilibriumGrid


def inside(grid: EquilibriumGrid, n: int = 4, n_layers: int = 6) -> list[torch.Tensor]:
    """Arguments of gases between the grid's points."""
    generator = torch.Generator().manual_seed(3)

    def between(axis: np.ndarray, *shape: int) -> torch.Tensor:
        share = torch.rand(*shape, generator=generator, dtype=torch.float64)
        return axis[0] + (axis[-1] - axis[0]) * share

    return [
        between(grid.log_metallicity, n),
        between(grid.c_to_o, n),
        between(grid.temperature_k, n, n_layers),
        10 ** between(np.log10(grid.pressure_pa), n_layers),
    ]
