"""What error models are worth where the opacities are wrong: for ``docs/trust.md``.

``python benchmarks/error_models.py RUN`` takes a finished run's flow as the proposal, simulates
fresh planets, distorts the cross-sections by 10^(0.3 g) with g a Gaussian process of unit variance,
adds noise, and counts how often the truth lies inside the intervals of importance sampling with
each error model. Writes ``docs/error_models.csv``; posteriors are kept in ``--state``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

from arielflow.core.files import write_dataset
from arielflow.core.schema import open_dataset
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.evaluation.diagnostics import central_coverage, rank_statistics
from arielflow.models.ensemble import Ensemble
from arielflow.models.features import noisy_copies
from arielflow.physics.forward import PhysicsSettings
from arielflow.retrieval.amortised import Fallback, importance_posteriors
from arielflow.settings.importance import ImportanceSettings
from arielflow.simulation.faults import faulty_depths

ROOT = Path(__file__).parents[1]
SEED, N_SAMPLES = 2026, 1000
LEVELS = np.array([0.68, 0.95])
# A fault that nested sampling would only be certain of: no planet falls back.
NEVER = Fallback(efficiency=0.0, pareto_shape=1e9)
CASES = {
    "right": None,
    "opacities distorted by 0.3 dex": ("distorted_opacities", 0.3),
    "H2O's opacities twice as large": ("scaled_opacities", 2.0),
}


def cases(count: int, physics: PhysicsSettings) -> dict[str, xr.Dataset]:
    """Planets with noise, by what is wrong with their opacities."""
    edition = get_edition("adc2023")
    planets = simulate_planets(
        edition, count, seed=SEED, split="error_models", prior="matched", physics=physics
    )
    found = {}
    for name, fault in CASES.items():
        other = planets
        if fault is not None:
            depth = faulty_depths(edition, planets, *fault, physics=physics, seed=SEED)
            other = planets.assign(
                transit_depth=(("planet", "wavelength"), depth, planets["transit_depth"].attrs)
            )
        found[name] = noisy_copies(other, SEED)
    return found


def measured(posterior: xr.Dataset, planets: xr.Dataset) -> dict[str, float]:
    """Coverage over targets and planets, and what the intervals cost."""
    pairs = list(zip(posterior["theta"].values, posterior["weight"].values, strict=True))
    ranks = rank_statistics(pairs, planets["theta"].values, SEED)
    coverage = central_coverage(ranks, LEVELS)
    width = (planets["prior_high"] - planets["prior_low"]).values / np.sqrt(12)
    deviation = posterior["theta"].values.std(axis=1) / width
    row = {
        f"coverage_{100 * level:.0f}": c.mean() for level, c in zip(LEVELS, coverage, strict=True)
    }
    row |= {
        f"least_coverage_{100 * level:.0f}": c.min()
        for level, c in zip(LEVELS, coverage, strict=True)
    }
    return row | {
        "sharpness": deviation.mean(),
        "efficiency": float(posterior["sampling_efficiency"].median()),
        "pareto_shape": float(posterior["pareto_shape"].median()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--planets", type=int, default=100)
    parser.add_argument("--state", type=Path, default=ROOT / "results" / "error_models")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    physics = PhysicsSettings(str(arguments.run / "opacities"))
    flow = Ensemble(sorted((arguments.run / "models" / "flow").iterdir()), device="cpu")
    rows = []
    for case, planets in cases(arguments.planets, physics).items():
        for error_model in ("none", "jitter", "correlated"):
            path = arguments.state / f"{list(CASES).index(case)}_{error_model}.nc"
            if not path.is_file():
                found, _ = importance_posteriors(
                    get_edition("adc2023"),
                    planets,
                    flow,
                    physics=physics,
                    seed=SEED,
                    n_samples=N_SAMPLES,
                    settings=ImportanceSettings(error_model=error_model, kept_draws=0),
                    fallback=NEVER,
                )
                path.parent.mkdir(parents=True, exist_ok=True)
                write_dataset(found, path)
            row = {"opacities": case, "error_model": error_model, "planets": len(planets.planet)}
            rows.append(row | measured(open_dataset(path), planets))
            print(rows[-1], flush=True)
    pd.DataFrame(rows).to_csv(ROOT / "docs" / "error_models.csv", index=False, float_format="%.3f")


if __name__ == "__main__":
    main()
