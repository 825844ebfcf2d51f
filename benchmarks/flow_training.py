"""How well a flow is trained in a given processor time: batches, learning rates, planets, sizes.

    python benchmarks/flow_training.py

Trains the default run's flow with other settings on planets drawn from the retrieval prior, on one
core, and compares losses on 1,000 further planets, none of them a run's test planets. Writes
``benchmarks/flow_training.csv``; rows that it holds are not trained again.
"""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import Any

import pandas as pd
import torch

from arielflow.core.config import read_config
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.models import make_estimator
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import PhysicsSettings

ROOT = Path(__file__).parents[1]
FILE = Path(__file__).with_suffix(".csv")
N_VALID, SEED = 1000, 1
DEFAULT = read_config(ROOT / "config.yaml")["model_settings"]["flow"]["settings"]["training"]
CASES: list[tuple[str, int, dict[str, Any]]] = [
    ("before", 19_000, {"epochs": 80, "batch_size": 512, "learning_rate": 0.002}),
    ("default run", 38_000, DEFAULT),
]


def main() -> None:
    torch.set_num_threads(1)
    physics = PhysicsSettings(str(ensure_builtin_opacities(ROOT / "results" / "opacities")))
    n_train = max(number for _, number, _ in CASES)
    planets = simulate_planets(
        get_edition("adc2023"),
        n_train + N_VALID,
        seed=SEED,
        split="train",
        prior="matched",
        physics=physics,
    )
    valid = planets.isel(planet=slice(n_train, None))
    rows = pd.read_csv(FILE).to_dict("records") if FILE.is_file() else []
    for name, number, training in CASES:
        if name in {row["settings"] for row in rows}:
            continue
        flow = make_estimator("flow", {"training": training})
        started = process_time()
        history = flow.fit(planets.isel(planet=slice(number)), valid, seed=SEED)
        rows.append(
            {
                "settings": name,
                "planets": number,
                **training,
                "processor_seconds": round(process_time() - started),
                "train_loss": round(history["train_loss"].iloc[-1], 3),
                "valid_loss": round(history["valid_loss"].min(), 3),
            }
        )
        table = pd.DataFrame(rows)
        table.to_csv(FILE, index=False)
        print(table.to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
