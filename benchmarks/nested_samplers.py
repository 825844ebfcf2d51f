"""nautilus against UltraNest on three test planets of the default run: calls, time, samples.

The likelihood, the priors and the thread (one) are the same for both. Writes
``benchmarks/nested_samplers.csv``; the choice that it led to is in ``docs/truth.md``.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import torch
import ultranest

from arielflow.core.samples import effective_sample_size
from arielflow.data.forward_models import edition_model
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.likelihood import gaussian_log_likelihood, sampling_box
from arielflow.retrieval.nested import nested_sampling
from arielflow.settings.nested import NestedSettings

ROOT = Path(__file__).parents[1]
N_PLANETS, SEED = 3, 2026


def run_ultranest(log_likelihood, box: np.ndarray, names: list[str]) -> dict[str, float]:
    """UltraNest with its region sampler, 400 live points, vectorised."""
    started = perf_counter()
    sampler = ultranest.ReactiveNestedSampler(
        names,
        log_likelihood,
        lambda cube: box[0] + (box[1] - box[0]) * cube,
        vectorized=True,
        ndraw_min=512,
    )
    result = sampler.run(
        min_num_live_points=400, show_status=False, viz_callback=False, max_ncalls=400_000
    )
    weight = np.asarray(result["weighted_samples"]["weights"])
    return {
        "likelihood_calls": result["ncall"],
        "seconds": perf_counter() - started,
        "effective_samples": effective_sample_size(weight),
        "log_evidence": result["logz"],
    }


def main() -> None:
    torch.set_num_threads(1)
    edition = get_edition("adc2023")
    folder = ensure_builtin_opacities(ROOT / "results" / "benchmark_opacities")
    physics = PhysicsSettings(str(folder))
    planets = simulate_planets(
        edition, N_PLANETS, seed=SEED, split="test", prior="matched", physics=physics
    )
    forward = ForwardModel(edition_model(edition, physics), planets)
    rows = []
    for planet, name in enumerate(planets["planet"].values):
        log_likelihood = gaussian_log_likelihood(forward, planet)
        box = sampling_box(forward.systems, planet)
        nautilus = nested_sampling(log_likelihood, *box, seed=SEED, settings=NestedSettings())
        keys = ("likelihood_calls", "seconds", "effective_samples", "log_evidence")
        rows.append(
            {"planet": name, "sampler": "nautilus"} | {key: getattr(nautilus, key) for key in keys}
        )
        np.random.seed(SEED)  # noqa: NPY002 - UltraNest draws from the global stream
        names = [str(target) for target in planets["target"].values]
        rows.append(
            {"planet": name, "sampler": "ultranest"} | run_ultranest(log_likelihood, box, names)
        )
        print(pd.DataFrame(rows[-2:]).to_string(index=False), flush=True)
    table = pd.DataFrame(rows)
    table["seconds_per_1000_effective"] = 1000 * table["seconds"] / table["effective_samples"]
    table.round(3).to_csv(Path(__file__).with_suffix(".csv"), index=False)
    print(table.to_string(index=False))
    cost = table.groupby("sampler")["seconds_per_1000_effective"].median()
    print(
        f"time for the same effective samples, UltraNest / nautilus: "
        f"{cost['ultranest'] / cost['nautilus']:.1f}"
    )


if __name__ == "__main__":
    main()
