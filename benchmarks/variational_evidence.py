"""Evidence of fitted flows, before and after their check, beside that of nested sampling.

Twenty planets of the default population under the wide retrieval prior, in which most molecules
are not detected and posteriors reach the prior's edge: where a flow misses part of a posterior
without its own draws showing it. ``python benchmarks/variational_evidence.py nested FOLDER`` samples
every planet twice, by two seeds, and keeps a file of each in FOLDER; ``… fits FOLDER`` fits the flows
and writes ``benchmarks/variational_evidence.csv``. Both go on where an earlier call ended.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import xarray as xr

from arielflow.edition_physics import edition_model
from arielflow.editions import get_edition
from arielflow.inference.nested import retrieve
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.simulate import simulate_planets

ROOT = Path(__file__).parents[1]
SEED, N_PLANETS = 2026, 20
NESTED_SEEDS = (2026, 2027)


def systems() -> tuple[ForwardModel, xr.Dataset]:
    """The planets and their forward model."""
    edition = get_edition("adc2023")
    physics = PhysicsSettings(str(ensure_builtin_opacities(ROOT / "results/opacities")))
    planets = simulate_planets(
        edition,
        N_PLANETS,
        seed=SEED,
        split="test",
        prior="wide",
        population="matched",
        physics=physics,
    )
    return ForwardModel(edition_model(edition, physics), planets), planets


def nested(folder: Path) -> None:
    """Log-evidences under the whole prior, a file a planet and seed."""
    forward, planets = systems()
    for seed in NESTED_SEEDS:
        for number, name in enumerate(planets["planet"].values):
            path = folder / f"{name}_{seed}.json"
            if path.is_file():
                continue
            found = retrieve(forward, planets, number, seed=seed)
            width = planets["prior_high"].values[number] - planets["prior_low"].values[number]
            share = found.log_volume - float(sum(map(float, torch.as_tensor(width).log())))
            row = {
                "log_evidence": found.log_evidence + share,
                "effective_samples": found.effective_samples,
                "likelihood_calls": found.likelihood_calls,
                "seconds": found.seconds,
            }
            path.write_text(json.dumps(row))
            print(name, seed, row, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"nested": nested}[sys.argv[1]](Path(sys.argv[2]))
