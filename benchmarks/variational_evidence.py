"""Evidence of fitted flows, before and after their check, beside that of nested sampling.

Twenty planets of the default population under the wide retrieval prior, in which some molecules are
not detected and posteriors reach the prior's edge: where a flow misses part of a posterior without
its own draws showing it. ``python benchmarks/variational_evidence.py nested FOLDER`` samples every
planet by nested sampling and keeps a file of each in FOLDER; ``python
benchmarks/variational_evidence.py fits FOLDER`` fits the flows and then writes
``benchmarks/variational_evidence.csv``. Both go on where an earlier call ended.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

from arielflow.data.forward_models import edition_model
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.nested import retrieve
from arielflow.retrieval.planets import planet_seed
from arielflow.retrieval.variational import fit_variational

ROOT = Path(__file__).parents[1]
SEED, N_PLANETS = 2026, 20
# Fits and nested sampling agree within as many errors of the evidence.
ERRORS = 3.0
FIT = ("log_evidence", "log_evidence_error", "elbo", "elbo_error", "sampling_efficiency")
FIT += ("pareto_shape", "forward_calls", "seconds", "warning")


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


def each(folder: Path, ending: str, make: Callable[[int], dict]) -> pd.DataFrame:
    """One row per planet, each kept in a file of its own and made only where that is missing."""
    rows = {}
    for number in range(N_PLANETS):
        name = f"public{number + 1}"
        path = folder / f"{name}_{ending}.json"
        if not path.is_file():
            row = make(number)
            path.write_text(json.dumps(row))
            print(name, row, flush=True)
        rows[name] = json.loads(path.read_text())
    return pd.DataFrame.from_dict(rows, orient="index")


def nested(folder: Path) -> pd.DataFrame:
    """Log-evidences under the whole prior."""
    forward, planets = systems()

    def row(number: int) -> dict:
        found = retrieve(forward, number, seed=SEED)
        width = planets["prior_high"].values[number] - planets["prior_low"].values[number]
        return {
            "log_evidence": found.log_evidence + found.log_volume - float(np.sum(np.log(width))),
            "effective_samples": found.effective_samples,
            "likelihood_calls": found.likelihood_calls,
            "seconds": found.seconds,
        }

    return each(folder, str(SEED), row)


def fits(folder: Path) -> None:
    """The flows, and the table of both."""
    forward, planets = systems()

    def row(number: int) -> dict:
        seed = planet_seed(SEED, str(planets["planet"].values[number]))
        found = fit_variational(forward, number, seed=seed)
        return {name: getattr(found, name) for name in FIT}

    fitted, truth = each(folder, "fit", row), nested(folder)
    table = pd.DataFrame(
        {
            "planet": fitted.index,
            "log_evidence_nested": truth["log_evidence"],
            # As two runs of a hundred planets differ (importance_evidence.csv: 0.021 / sqrt(2)).
            "log_evidence_nested_error": truth["effective_samples"] ** -0.5,
            "nested_calls": truth["likelihood_calls"],
            **{name: fitted[name] for name in FIT if name not in ("seconds", "warning")},
        }
    )
    table["difference"] = table["log_evidence"] - table["log_evidence_nested"]
    within = table["difference"].abs() <= ERRORS * table["log_evidence_error"]
    table["within_3_errors"] = within
    table["warning"] = fitted["warning"]
    table.round(4).to_csv(Path(__file__).with_suffix(".csv"), index=False)
    print(table.to_string(index=False))
    print(f"{(within | (table['warning'] != '')).sum()} of {N_PLANETS} agree or warn")


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"nested": nested, "fits": fits}[sys.argv[1]](Path(sys.argv[2]))
