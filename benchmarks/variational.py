"""The per-planet variational flow against nested sampling, and model selection by its evidence.

``python benchmarks/variational.py posteriors`` fits the first test planets of the default run and
compares them with the shipped nested-sampling truth (``benchmarks/variational.csv``; the scores of
its independent rerun stand beside, and are the ceiling). ``python benchmarks/variational.py
selection`` simulates noisy spectra with one to three detectable molecules and searches for these
(``benchmarks/model_selection.csv``). Rows are written as they come; a rerun goes on after the last.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch

from arielflow.data.forward_models import edition_model
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.evaluation.better_scores import weighted_ks_score
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.model_selection import ALL, FLAT_LINE, select_molecules
from arielflow.retrieval.probit import ProbitPosterior, laplace
from arielflow.retrieval.variational import fit_variational
from arielflow.simulation.library import TruthLibrary

ROOT = Path(__file__).parents[1]
TRUTH = ROOT / "data/embedded/truth.h5"
SEED, N_PLANETS, N_CASES = 2026, 10, 10
# Five sigma for one parameter.
DETECTABLE = 25.0
COSTS = ("log_evidence", "likelihood_calls")


def physics() -> PhysicsSettings:
    return PhysicsSettings(str(ensure_builtin_opacities(ROOT / "results/opacities")))


def append(path: Path, n_rows: int, make: Callable[[int], dict]) -> None:
    """Make the rows that the table still lacks, each written at once."""
    done = len(pd.read_csv(path)) if path.is_file() else 0
    for number in range(done, n_rows):
        row = pd.DataFrame([make(number)])
        row.to_csv(path, mode="a", header=not path.is_file(), index=False)
        print(row.iloc[0].to_dict(), flush=True)
    print(pd.read_csv(path).to_string(index=False))


def posteriors() -> None:
    edition, settings = get_edition("adc2023"), physics()
    planets = simulate_planets(
        edition, N_PLANETS, seed=SEED, split="test", prior="matched", physics=settings
    )
    forward = ForwardModel(edition_model(edition, settings), planets)
    library = TruthLibrary(TRUTH)
    bounds = planets["score_low"].values, planets["score_high"].values

    def score(theta: np.ndarray, truth: np.ndarray) -> tuple[float, np.ndarray]:
        equal = (np.full(len(x), 1 / len(x)) for x in (theta, truth))
        return weighted_ks_score(theta, next(equal), truth, next(equal), *bounds)

    def row(number: int) -> dict:
        planet = planets.isel(planet=[number])
        truth, rerun = (library.look_up(planet, "test", run) for run in ("truth", "rerun"))
        found = fit_variational(forward, number, seed=SEED)
        ks_score, ks = score(found.theta, truth)
        with h5py.File(TRUTH) as file:
            nested = {name: file[f"test/truth/{name}"][number] for name in COSTS}
        return {
            "planet": str(planet["planet"].values[0]),
            "ks_score": round(ks_score, 1),
            "ks_score_rerun": round(score(rerun, truth)[0], 1),
            "worst_target": edition.target_names[int(np.argmax(ks))],
            "worst_ks": round(float(ks.max()), 4),
            "forward_calls": found.forward_calls,
            "nested_calls": int(nested["likelihood_calls"]),
            "elbo": round(found.elbo, 3),
            "elbo_error": round(found.elbo_error, 4),
            "log_evidence": round(found.log_evidence, 3),
            "log_evidence_error": round(found.log_evidence_error, 4),
            "log_evidence_nested": round(nested["log_evidence"] + log_share(forward, number), 3),
            "efficiency": round(found.sampling_efficiency, 4),
            "warning": found.warning,
        }

    append(Path(__file__).with_suffix(".csv"), N_PLANETS, row)


def log_share(forward: ForwardModel, number: int) -> float:
    """What turns the truth's log-evidence under its radius box into that under the whole prior."""
    return ProbitPosterior(forward, number).log_share


def selection() -> None:
    edition, settings = get_edition("adc2023"), physics()
    systems = simulate_planets(
        edition,
        N_CASES,
        seed=SEED,
        split="test",
        # In the matched box no molecule can be absent: at its floor CO, 1e-6, is still seen.
        prior="wide",
        population="matched",
        physics=settings,
    )
    transmission = edition_model(edition, settings)

    def row(number: int) -> dict:
        planets = systems.isel(planet=[number]).copy(deep=True)
        forward = ForwardModel(transmission, planets)
        rng = np.random.default_rng([SEED, number])
        present = detectable_case(forward, planets, 1 + number % 3, rng)
        error = planets["transit_depth_error"].values
        planets["transit_depth"].values += error * rng.standard_normal(error.shape)
        found = select_molecules(forward, 0, seed=SEED)
        table = found.table.set_index("model")
        evidence = {
            "flat line": table.loc[FLAT_LINE, "log_evidence"],
            "all molecules": table.loc[ALL, "log_evidence"],
            "selected": table.loc[table["selected"], "log_evidence"].iloc[0],
        }
        return {
            "planet": str(planets["planet"].values[0]),
            "present": "+".join(present),
            "selected": "+".join(found.molecules),
            "right": set(present) == set(found.molecules),
            **{f"log-evidence of {name}": round(value, 2) for name, value in evidence.items()},
            "models": len(table),
            "forward_calls": int(table["forward_calls"].sum()),
        }

    append(Path(__file__).with_name("model_selection.csv"), N_CASES, row)


def detectable_case(forward: ForwardModel, planets, n_present: int, rng) -> list[str]:
    """Give the planet the noise-free spectrum of ``n_present`` molecules that it shows, and none
    of the others: without any one of them the best fit is worse by DETECTABLE in chi-square."""
    molecules = list(forward.transmission.molecules)
    columns = [list(planets["target_quantity"].values).index(name) for name in molecules]
    ranges = [get_edition("adc2023").targets[column].priors["matched"] for column in columns]
    low, high = np.array([(span.low, span.high) for span in ranges]).T
    while True:
        chosen = rng.permutation(len(molecules))[:n_present]
        abundance = np.full(len(molecules), -np.inf)
        abundance[chosen] = (high - (high - low) * 0.5 * rng.random(len(molecules)))[chosen]
        theta = planets["theta"].values.copy()
        theta[0, columns] = abundance
        planets["transit_depth"].values[:] = forward.spectra(0, theta)
        present = [molecules[i] for i in sorted(chosen)]
        if all(best_chi_square(forward, name) > DETECTABLE for name in present):
            planets["theta"].values[:] = theta
            return present


def best_chi_square(forward: ForwardModel, absent: str) -> float:
    posterior = ProbitPosterior(forward, 0, [absent])
    mode, _ = laplace(posterior, SEED)
    with torch.no_grad():
        return float(posterior.residuals(mode[None]).square().sum())


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"posteriors": posteriors, "selection": selection}[sys.argv[1]]()
