"""False alarms of certificates of an importance row, and its coverage: for ``docs/trust.md``.

``python benchmarks/importance_certificates.py RUN`` samples the planets without a fault of
``benchmarks/faults.py`` by importance sampling from the run's flow and certifies them, with limits
from that script's calibration planets. Results are kept in its ``--state``, chunk by chunk, so that
a call resumes. Writes ``docs/trust_importance.csv``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from faults import CHUNK, LEVELS, ROOT, SEED, TRUTH, Bench, tests_of
from scipy.stats import binom

from arielflow.core.schema import open_dataset
from arielflow.evaluation.diagnostics import central_coverage, rank_statistics
from arielflow.evaluation.trust.rows import certify_rows
from arielflow.models.features import noisy_copies
from arielflow.retrieval.amortised import Importance
from arielflow.retrieval.planets import retrieve_planets
from arielflow.settings.importance import ImportanceSettings

N_SAMPLES, ROW = 1000, "flow_importance"
WEIGHTS = ("effective_samples", "pareto_shape", "sampling_efficiency")


def sampled(bench: Bench, number: int) -> tuple[xr.Dataset, xr.Dataset]:
    """Planets of one chunk with noise, and their posteriors; from the state if there."""
    noisy = noisy_copies(bench.planets("clean", number), SEED + 1000 + number)
    path = bench.state / f"{ROW}_{number}.nc"
    if not path.is_file():
        method = Importance(bench.ensemble, ImportanceSettings(kept_draws=0))
        retrieve_planets(
            bench.edition,
            noisy,
            method,
            path,
            physics=bench.physics,
            seed=SEED + number,
            n_samples=N_SAMPLES,
        )
        print(path.stem, flush=True)
    return noisy, open_dataset(path).load()


def ranked(bench: Bench, number: int, calibration: pd.DataFrame) -> pd.DataFrame:
    """Verdicts of one chunk, and the ranks of the true parameters in the samples."""
    noisy, posterior = sampled(bench, number)
    tests = bench.tested("clean", number).drop(columns=list(TRUTH))
    table = certify_rows(noisy, {"flow": tests}, {"flow": calibration}, {ROW: posterior})
    weight = np.full(N_SAMPLES, 1 / N_SAMPLES)
    pairs = [(theta, weight) for theta in posterior["theta"].values]
    ranks = rank_statistics(pairs, noisy["theta"].values, seed=number)
    found = pd.DataFrame(ranks, columns=noisy["target"].values)
    found["verdict"] = table.loc[table["row"] == ROW, "verdict"].to_numpy()
    return found.assign(**{name: posterior[name].values for name in WEIGHTS})


def counted(table: pd.DataFrame, targets: list[str]) -> pd.DataFrame:
    """Shares of verdicts, and the green planets' coverage with its 95 % interval."""
    lines = []
    shares = {name: np.mean(table["verdict"] == name) for name in ("green", "amber", "red")}
    green = table.loc[table["verdict"] == "green", targets].to_numpy()
    covered = central_coverage(green, np.array(LEVELS))
    for level, share in zip(LEVELS, covered, strict=True):
        low, high = np.array(binom.interval(0.95, len(green), level)) / len(green)
        line = {"planets": len(table), **shares, "level": level, "low": low, "high": high}
        lines.append(line | dict(zip(targets, share, strict=True)))
    return pd.DataFrame(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--state", type=Path, default=ROOT / "results" / "faults")
    parser.add_argument("--calibration", type=int, default=20, help=f"chunks of {CHUNK} planets")
    parser.add_argument("--clean", type=int, default=20, help=f"chunks of {CHUNK} planets")
    given = parser.parse_args()
    bench = Bench(given.run, given.state, sorted((given.run / "models" / "flow").iterdir()))
    for number in range(given.clean):
        sampled(bench, number)
    calibration = tests_of(bench.many("calibration", given.calibration))
    parts = [ranked(bench, number, calibration) for number in range(given.clean)]
    table = pd.concat(parts, ignore_index=True)
    print(table[list(WEIGHTS)].describe().to_string())
    targets = [str(name) for name in bench.planets("clean", 0)["target"].values]
    summary = counted(table, targets)
    print(summary.to_string())
    path = ROOT / "docs" / "trust_importance.csv"
    summary.to_csv(path, index=False, float_format="%.4f")


if __name__ == "__main__":
    main()
