"""The grid of equilibrium chemistry beside FastChem itself: the table of ``docs/equilibrium.md``.

    python benchmarks/equilibrium_grid.py FOLDER

FOLDER is FastChem's folder ``input``. Random points, uniform in log10 metallicity, C/O, temperature
and log10 pressure; those where a molecule's mixing ratio is above 1e-10 count for it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

from arielflow.physics.equilibrium import AXES, EquilibriumGrid, make_grid
from arielflow.physics.fastchem import EquilibriumGas
from arielflow.settings.equilibrium import EquilibriumSettings

MOLECULES = ("H2O", "CO", "CO2", "CH4", "NH3", "HCN", "SO2", "H2S")
FILL = ("C2H2", "N2", "H2", "He")
N_POINTS = 2000
LEAST_LOG_RATIO = -10.0


def random_points(grid: EquilibriumGrid) -> np.ndarray:
    """Points inside a grid's axes, shape (point, axis)."""
    ends = np.array([getattr(grid, name)[[0, -1]] for name in AXES])
    ends[-1] = np.log10(ends[-1])
    points = np.random.default_rng(2026).uniform(*ends.T, (N_POINTS, len(AXES)))
    points[:, -1] = 10 ** points[:, -1]
    return points


def interpolated(grid: EquilibriumGrid, points: np.ndarray) -> np.ndarray:
    """log10 mixing ratios by the grid, shape (point, molecule)."""
    found = [
        grid.mixing_ratios(point[:1], point[1:2], point[2:3, None], point[3:])[0, 0]
        for point in torch.tensor(points)
    ]
    return torch.stack(found).log10().numpy()


def main(inputs: str) -> None:
    """Print the time that the grid takes and its errors by molecule."""
    settings = EquilibriumSettings(inputs=inputs)
    start = time.process_time()
    grid = make_grid((*MOLECULES, *FILL), settings)
    print(f"{time.process_time() - start:.0f} s of one core, {grid.log_mixing_ratio.shape}")
    folder = Path(inputs)
    gas = EquilibriumGas(folder / settings.species, folder / settings.abundances, grid.molecules)
    points = random_points(grid)
    direct = np.concatenate([gas.log_mixing_ratios(*p[:2], p[2:3], p[3:]) for p in points])
    error = np.abs(interpolated(grid, points) - direct)[:, : len(MOLECULES)]
    counts = direct[:, : len(MOLECULES)] > LEAST_LOG_RATIO
    rows = {name: error[counts[:, i], i] for i, name in enumerate(MOLECULES)}
    rows["all"] = error[counts]
    print("| Molecule | Points | Median | 95 % | 99 % | Largest |\n|---|---|---|---|---|---|")
    for name, chosen in rows.items():
        median, most, nearly_all = np.quantile(chosen, [0.5, 0.95, 0.99])
        print(
            f"| {name} | {len(chosen)} | {median:.4f} | {most:.3f} | {nearly_all:.2f} "
            f"| {chosen.max():.2f} |"
        )


if __name__ == "__main__":
    main(sys.argv[1])
