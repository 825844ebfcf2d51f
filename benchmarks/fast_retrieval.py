"""One retrieval through the fast mode, through the reference mode, and by another sampler.

A test planet of the default population, its spectrum from the reference mode on built-in tables of
R = 15,000; seven parameters. Prints and saves ``benchmarks/fast_retrieval.csv``: seconds,
likelihood calls, log-evidence, and for every parameter 1000 (1 - KS) against the fast mode's
posterior.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import nestle
import numpy as np
import pandas as pd
import torch
from forward_model import make_nodes, settings

from arielflow.core.samples import weighted_ks
from arielflow.data.forward_models import edition_model
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.physics.forward import ForwardModel
from arielflow.physics.systems import Systems
from arielflow.retrieval.likelihood import gaussian_log_likelihood, sampling_box
from arielflow.retrieval.nested import nested_sampling
from arielflow.settings.nested import NestedSettings

RESOLVING_POWER, SEED, PLANET = 15000, 2026, 0
SETTINGS = NestedSettings(n_effective=5000)


def run_nestle(log_likelihood, box: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict]:
    """nestle (multi-ellipsoid nested sampling, one point a call) with 1,000 live points."""
    started = perf_counter()
    result = nestle.sample(
        lambda theta: float(log_likelihood(theta[None])[0]),
        lambda cube: box[0] + (box[1] - box[0]) * cube,
        box.shape[1],
        npoints=1000,
        method="multi",
        dlogz=0.1,
        rstate=np.random.RandomState(SEED),
    )
    cost = {
        "seconds": perf_counter() - started,
        "likelihood_calls": result.ncall,
        "log_evidence": result.logz,
    }
    return result.samples, result.weights / result.weights.sum(), cost


def save(rows: list[dict], posteriors: dict, targets: list[str]) -> None:
    """Print and write what there is so far; the first posterior is the one compared with."""
    for row in rows:
        theta, weight = posteriors[row["retrieval"]]
        scores = 1000 * (1 - weighted_ks(*posteriors["nautilus, fast"], theta, weight))
        row |= {f"ks_score_{n}": s for n, s in zip(targets, scores, strict=True)}
    table = pd.DataFrame(rows).round(3)
    table.to_csv(Path(__file__).with_suffix(".csv"), index=False)
    print(table.T.to_string(header=False), flush=True)


def main() -> None:
    torch.set_num_threads(2)
    edition = get_edition("adc2023")
    reference = settings(RESOLVING_POWER)
    fast = make_nodes(reference)
    planets = simulate_planets(
        edition, PLANET + 1, seed=SEED, split="test", prior="matched", physics=reference
    )
    likelihoods = {
        mode: gaussian_log_likelihood(
            ForwardModel(edition_model(edition, physics), planets), PLANET
        )
        for mode, physics in (("fast", fast), ("reference", reference))
    }
    box = sampling_box(Systems.of(planets), PLANET)
    posteriors, rows = {}, []
    for mode, likelihood in likelihoods.items():
        result = nested_sampling(likelihood, *box, seed=SEED, settings=SETTINGS)
        keys = ("seconds", "likelihood_calls", "log_evidence")
        name = f"nautilus, {mode}"
        posteriors[name] = result.theta, result.weight
        rows.append({"retrieval": name} | {key: getattr(result, key) for key in keys})
        save(rows, posteriors, edition.target_names)
    name = "nestle, fast"
    *posteriors[name], cost = run_nestle(likelihoods["fast"], box)
    rows.append({"retrieval": name} | cost)
    save(rows, posteriors, edition.target_names)


if __name__ == "__main__":
    main()
