"""Leaving bins out by importance weights beside nested sampling without them.

    python benchmarks/leave_one_out.py refits STATE --planets FILE --opacities FOLDER
    python benchmarks/leave_one_out.py compare STATE --planets FILE --opacities FOLDER --members ...

For three planets of a run's ingested test spectra, noise drawn onto them, ``refits`` samples the
posterior anew without each bin, some thirty seconds a bin, and keeps a file of each in STATE, so
that it goes on where an earlier call ended; the planets take turns, so that a part of the bins is a
part of each planet's. ``compare`` samples the same spectra by importance sampling from a run's
flow (its members' folders), leaves the same bins out by weights, and writes a table of the bins
that have been refitted, of its own name beside this file.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from scipy.special import logsumexp

from arielflow.core.files import atomic_path
from arielflow.core.schema import open_dataset
from arielflow.data.forward_models import edition_model
from arielflow.editions import get_edition
from arielflow.evaluation.leave_one_out import LARGEST_SHAPE, leave_one_out
from arielflow.models.ensemble import Ensemble
from arielflow.models.features import noisy_copies
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.amortised import Importance
from arielflow.retrieval.kept_draws import keep_draws
from arielflow.retrieval.likelihood import under_whole_prior
from arielflow.retrieval.nested import retrieve
from arielflow.retrieval.planets import Retrieval
from arielflow.settings.nested import NestedSettings

ROOT = Path(__file__).parents[1]
SEED, N_PLANETS = 2026, 3
# Rarer bounds: as exact, in two thirds of the time.
SETTINGS = NestedSettings(n_update=1600)
# Bins agree within as many combined errors, or within so little that it does not matter.
ERRORS, TOLERANCE = 2.0, 0.05


def noisy_planets(file: Path) -> xr.Dataset:
    """The first planets of a run's test data, noise drawn onto their spectra."""
    planets = open_dataset(file).isel(planet=slice(0, N_PLANETS))
    return noisy_copies(planets, SEED)


def without_bin(planets: xr.Dataset, number: int) -> xr.Dataset:
    """The same spectra, one bin of which has no value."""
    masked = planets.copy(deep=True)
    masked["transit_depth"].values[:, number] = np.nan
    masked["transit_depth_error"].values[:, number] = np.nan
    return masked


def refit(forward: ForwardModel, whole: ForwardModel, planet: int, number: int) -> dict:
    """What the other bins predict of one, its density taken at samples of the refit."""
    found = retrieve(forward, planet, seed=SEED, settings=SETTINGS)
    found = under_whole_prior(found, forward.systems, planet)
    systems = whole.systems
    depth, error = systems.depth[planet, number], systems.error[planet, number]
    model = whole.spectra(planet, found.theta)[:, number]
    log_density = -0.5 * ((model - depth) / error) ** 2 - np.log(error * np.sqrt(2 * np.pi))
    elpd = float(logsumexp(log_density, b=found.weight))
    ratio = np.exp(log_density - elpd)
    return {
        "elpd": elpd,
        "elpd_error": float(np.sqrt(np.sum((found.weight * (ratio - 1)) ** 2))),
        "log_evidence": found.log_evidence,
        "effective_samples": found.effective_samples,
        "likelihood_calls": found.likelihood_calls,
        "seconds": found.seconds,
    }


def refits(state: Path, planets: xr.Dataset, physics: PhysicsSettings) -> None:
    """Refit all planets without each of their bins, one bin of every planet after another."""
    edition = get_edition("adc2023")
    transmission = edition_model(edition, physics)
    whole = ForwardModel(transmission, planets)
    state.mkdir(parents=True, exist_ok=True)
    # Far apart first: what is there when a call ends is spread over all wavelengths.
    order = [bin_ for start in range(8) for bin_ in range(start, planets.sizes["wavelength"], 8)]
    for number in order:
        forward = ForwardModel(transmission, without_bin(planets, number))
        for planet in range(planets.sizes["planet"]):
            file = state / f"{planet}_{number}.json"
            if file.is_file():
                continue
            row = refit(forward, whole, planet, number)
            with atomic_path(file) as temporary:
                temporary.write_text(json.dumps(row))
            print(planet, number, row, flush=True)


def compare(
    state: Path, planets: xr.Dataset, physics: PhysicsSettings, members: list[Path]
) -> pd.DataFrame:
    """One row a planet and bin that has been refitted; natural logarithms."""
    method = Importance(Ensemble(members))
    retrieval = Retrieval(get_edition("adc2023"), planets, physics, SEED)
    results = retrieval.results(method)
    kept = keep_draws(results, retrieval.forward, method.kept_draws, SEED)
    rows = []
    for planet, draws in kept.items():
        found = leave_one_out(draws.log_likelihood, draws.weight)
        for number, wavelength_um in enumerate(planets["wavelength"].values):
            file = state / f"{planet}_{number}.json"
            if not file.is_file():
                continue
            refitted = json.loads(file.read_text())
            rows.append(
                {
                    "planet": str(planets["planet"].values[planet]),
                    "wavelength_um": wavelength_um,
                    "elpd": found.elpd[number],
                    "elpd_error": found.elpd_error[number],
                    "pareto_shape": found.pareto_shape[number],
                    "p_loo": found.p_loo[number],
                    "elpd_refit": refitted["elpd"],
                    "elpd_refit_error": refitted["elpd_error"],
                    # Exact too, but as uncertain as two evidences.
                    "evidence_ratio": results[planet].log_evidence - refitted["log_evidence"],
                }
            )
    table = pd.DataFrame(rows)
    difference = (table["elpd"] - table["elpd_refit"]).abs()
    error = np.hypot(table["elpd_error"], table["elpd_refit_error"])
    return table.assign(
        difference=table["elpd"] - table["elpd_refit"],
        agrees=difference <= np.maximum(ERRORS * error, TOLERANCE),
    )


def main() -> None:
    """Read the command line and do as it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("refits", "compare"))
    parser.add_argument("state", type=Path)
    parser.add_argument("--planets", type=Path, required=True, help="a run's ingested/test.nc")
    parser.add_argument("--opacities", type=Path, help="folder of tables; built-in if left out")
    parser.add_argument("--members", type=Path, nargs="+", help="a run's models/flow/*")
    given = parser.parse_args()
    if given.step == "compare" and not given.members:
        parser.error("compare needs --members, the folders of a run's trained flow")
    folder = given.opacities or ensure_builtin_opacities(ROOT / "results/opacities")
    physics = PhysicsSettings(str(folder))
    planets = noisy_planets(given.planets)
    if given.step == "refits":
        refits(given.state, planets, physics)
        return
    table = compare(given.state, planets, physics, given.members)
    table.round(4).to_csv(Path(__file__).with_suffix(".csv"), index=False)
    print(table.to_string(index=False))
    flagged = int((table["pareto_shape"] > LARGEST_SHAPE).sum())
    print(f"{100 * table['agrees'].mean():.0f} % of {len(table)} bins agree; {flagged} flagged")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(1)
    main()
