"""Score and calibration of an ensemble against its number of members, from a finished run.

Writes a table and a figure; the run's own members are used, the first N of them for every N. Scores
are of the run's test planets. Calibration needs no nested sampling, only true parameters: it is of
further planets of the test split, simulated here, since a few dozen cannot tell two models apart.
How the calibration error changes from one member to N has a bootstrap interval over those planets,
the same ones for both.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.ticker import MaxNLocator

from arielflow.core.files import write_table
from arielflow.core.schema import JOINT, open_dataset
from arielflow.core.seeds import derived_seed
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.evaluation.better_scores import r2_score
from arielflow.evaluation.bootstrap import Interval, bootstrap_interval, bootstrap_statistic
from arielflow.evaluation.calibration import calibrate_model
from arielflow.evaluation.diagnostics import calibration_error, central_coverage
from arielflow.evaluation.rows import score_posterior
from arielflow.models.ensemble import sample_ensemble
from arielflow.physics.forward import PhysicsSettings

CALIBRATION_SAMPLES = 1000
RESAMPLES = 500


def further_planets(run: Path, config: dict, number: int) -> xr.Dataset:
    """Planets with known theta that follow the run's test planets, of a simulated run."""
    simulation = config["simulation"]
    planets = simulate_planets(
        get_edition(config["edition"]),
        simulation["n_test"] + number,
        seed=config["seed"],
        split="test",
        prior=config["dataset"]["prior"],
        population=simulation["population"],
        physics=PhysicsSettings(str(run / "opacities")),
    )
    return planets.isel(planet=slice(simulation["n_test"], None))


def measure(run: Path, model: str, n_calibration: int) -> pd.DataFrame:
    """A row for every number of members: score, calibration error, its change, coverage.

    Parameters
    ----------
    run
        Folder of a finished run's results with known truth.
    model
        Row whose members are used.
    n_calibration
        Planets of the calibration.
    """
    config = json.loads((run / "manifest.json").read_text())["config"]
    edition, seed = get_edition(config["edition"]), config["seed"]
    test = open_dataset(run / "ingested/test.nc")
    truth = open_dataset(run / "truth/truth.nc")
    owner = config["model_settings"][model].get("members_of") or model
    members = [
        run / f"models/{owner}/{number}"
        for number in range(config["model_settings"][model]["members"])
    ]
    further = further_planets(run, config, n_calibration)
    lines, first = [], None
    for count in range(1, len(members) + 1):
        used = members[:count]
        posterior = sample_ensemble(
            used, test, config["posterior"]["n_samples"], seed=derived_seed(seed, f"sample/{model}")
        )
        scores = score_posterior(edition, posterior, test, truth, seed=seed)
        values = scores["posterior_score"].to_numpy()
        _, low, high = bootstrap_interval(values, seed)
        mean = posterior["theta"].values.mean(axis=1)
        calibration = calibrate_model(
            used, further, further["theta"].values, CALIBRATION_SAMPLES, seed=seed
        )
        first = calibration.ranks if first is None else first
        change = change_of_error(first, calibration.ranks, seed)
        table = calibration.table.set_index("target")
        single = table.drop(JOINT)
        lines.append(
            {
                "members": count,
                "posterior_score": values.mean(),
                "posterior_score_low": low,
                "posterior_score_high": high,
                "r2_mean": r2_score(truth["theta"].values, mean).mean(),
                "calibration_error": single["calibration_error"].mean(),
                "change_of_error": float(change.estimate),
                "change_of_error_low": float(change.low),
                "change_of_error_high": float(change.high),
                "calibration_error_joint": table["calibration_error"][JOINT],
                "calibration_planets": n_calibration,
                "coverage_68": single["coverage_68"].mean(),
                "coverage_95": single["coverage_95"].mean(),
            }
        )
        print(lines[-1], flush=True)
    return pd.DataFrame(lines)


def change_of_error(first: np.ndarray, ranks: np.ndarray, seed: int) -> Interval:
    """Calibration error of ``ranks`` less that of ``first`` (planet, target), same planets."""

    def change(rows: np.ndarray) -> float:
        new, old = (calibration_error(central_coverage(part[rows])) for part in (ranks, first))
        return new - old

    return bootstrap_statistic(change, len(ranks), seed, n=RESAMPLES)


def draw(table: pd.DataFrame) -> plt.Figure:
    """Score, calibration error and coverage against the number of members."""
    figure, axes = plt.subplots(1, 3, figsize=(9.5, 2.9), layout="constrained")
    score = table["posterior_score"].to_numpy()
    ends = np.abs(table[["posterior_score_low", "posterior_score_high"]].T.to_numpy() - score)
    axes[0].errorbar(table["members"], score, ends, fmt="o-", capsize=3)
    axes[0].set_ylabel("official posterior score [0…1000]")
    axes[1].plot(table["members"], table["calibration_error"], "o-", label="mean over targets")
    axes[1].plot(table["members"], table["calibration_error_joint"], "s--", label="joint (TARP)")
    axes[1].set(ylabel="calibration error [1]", ylim=(0, None))
    axes[1].legend(frameon=False)
    for level, style in ((68, "o-"), (95, "s--")):
        axes[2].plot(table["members"], 100 * table[f"coverage_{level}"], style, label=f"{level} %")
        axes[2].axhline(level, color="0.6", linewidth=0.8)
    axes[2].set_ylabel("truths inside the interval [%]")
    axes[2].legend(frameon=False)
    for panel in axes:
        panel.set_xlabel("members [number]")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run, such as results/lecture")
    parser.add_argument("--model", default="bnn_ensemble")
    parser.add_argument("--calibration-planets", type=int, default=5000)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--figure", type=Path, required=True)
    options = parser.parse_args()
    table = measure(options.run, options.model, options.calibration_planets)
    write_table(table, options.table)
    draw(table).savefig(options.figure, dpi=150)


if __name__ == "__main__":
    main()
