"""What certificates see of faults, and what they cannot: for ``docs/trust.md``.

``python benchmarks/faults.py RUN`` takes a finished run's flow and forward model. Thresholds are
set on fresh planets without a fault, false alarms are counted on others, and every fault of
``src/arielflow/simulation/faults.py`` is put into further ones, with 1 to 300 of chi2 left by the
best refit.
Everything is kept in ``--state``, chunk by chunk, so that a call resumes. Writes
``trust_power.csv``, ``trust_errors.csv``, ``trust_coverage.csv`` and a figure in ``docs``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from scipy.stats import binom, norm, spearmanr
from sklearn.metrics import roc_auc_score

from arielflow.core.files import atomic_path
from arielflow.core.schema import is_usable, open_dataset
from arielflow.data.forward_models import edition_model
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.evaluation.better_scores import energy_score
from arielflow.evaluation.diagnostics import central_coverage, rank_statistics
from arielflow.evaluation.trust.certificate import planet_tests
from arielflow.evaluation.trust.model import model_spaces
from arielflow.evaluation.trust.residuals import PATTERN_DESCRIPTION, refit
from arielflow.evaluation.trust.thresholds import Reference
from arielflow.models.ensemble import Ensemble
from arielflow.models.features import noisy_copies
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.plotting import fault_power
from arielflow.settings.trust import TrustSettings
from arielflow.simulation.faults import FAULTS, with_fault

ROOT = Path(__file__).parents[1]
CHUNK, SEED, N_ERROR_SAMPLES = 250, 2026, 256
N_SAMPLES = TrustSettings().n_samples
CHI2_EDGES = (1, 3, 10, 30, 50, 100, 300)
UNSEEN = "scaled_opacities"
LEVELS = (0.5, 0.68, 0.95)
TRUTH = ("fault_chi2", "energy_score", "log_prob_true")


@dataclass
class Bench:
    """A run's trained flow, its forward model and where results are kept."""

    run: Path
    state: Path
    members: list[Path]

    def __post_init__(self) -> None:
        torch.set_num_threads(1)
        self.edition = get_edition("adc2023")
        self.physics = PhysicsSettings(str(self.run / "opacities"))
        self.transmission = edition_model(self.edition, self.physics)
        self.ensemble = Ensemble(self.members, device="cpu")
        train = open_dataset(self.run / "ingested" / "prior.nc")
        usable = np.flatnonzero(is_usable(train))[:5000]
        self.spaces = model_spaces(self.ensemble, train.isel(planet=usable).load(), SEED)

    def planets(self, name: str, number: int) -> xr.Dataset:
        """One chunk of the fresh planets of a set."""
        return simulate_planets(
            self.edition,
            CHUNK,
            seed=SEED + number,
            split=name,
            prior="matched",
            physics=self.physics,
        )

    def tested(self, name: str, number: int, fault: str | None = None) -> pd.DataFrame:
        """Tests of one chunk, and how wrong the flow's posteriors are; from the state if there."""
        path = self.state / f"{fault or name}_{number}.csv"
        if not path.is_file():
            planets, left = self.planets(name, number), np.zeros(CHUNK)
            if fault:
                wanted = np.random.default_rng(number).uniform(*np.log(CHI2_EDGES)[[0, -1]], CHUNK)
                planets = with_fault(
                    self.edition,
                    planets,
                    fault,
                    physics=self.physics,
                    seed=number,
                    chi2=np.exp(wanted),
                )
                good = np.isfinite(planets["transit_depth"].values).all(axis=1)
                planets = planets.isel(planet=good)
                forward = ForwardModel(self.transmission, planets)
                left = refit(forward, planets, planets["theta"].values).chi2
            table = self._tested(planets, left, number)
            self.state.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                table.to_csv(temporary)
            print(f"{path.stem}: {len(table)} planets", flush=True)
        return pd.read_csv(path, index_col=0)

    def _tested(self, planets: xr.Dataset, left: np.ndarray, number: int) -> pd.DataFrame:
        noisy = noisy_copies(planets, SEED + 1000 + number)
        forward = ForwardModel(self.transmission, noisy)
        table = planet_tests(
            self.ensemble, forward, noisy, self.spaces, seed=number, n_samples=N_SAMPLES
        )
        theta = noisy["theta"].values
        samples = self.ensemble.sample(noisy, N_ERROR_SAMPLES, seed=number)["theta"].values
        low, high = noisy["prior_low"].values, noisy["prior_high"].values
        weight = np.full(N_ERROR_SAMPLES, 1 / N_ERROR_SAMPLES)
        scores = [
            energy_score(own, weight, *rest)
            for own, *rest in zip(samples, theta, low, high, strict=True)
        ]
        density = self.ensemble.log_prob(noisy, theta[:, None])[:, 0]
        return table.assign(fault_chi2=left, energy_score=scores, log_prob_true=density)

    def many(self, name: str, chunks: int, fault: str | None = None) -> pd.DataFrame:
        """All chunks of a set."""
        parts = [self.tested(name, number, fault) for number in range(chunks)]
        return pd.concat(parts, ignore_index=True)


def coverage(bench: Bench, chunks: int, verdicts: np.ndarray) -> pd.DataFrame:
    """Share of the truths inside the flow's central intervals, of all clean planets and of some."""
    ranks = []
    for number in range(chunks):
        noisy = noisy_copies(bench.planets("clean", number), SEED + 1000 + number)
        samples = bench.ensemble.sample(noisy, N_ERROR_SAMPLES, seed=number)["theta"].values
        weight = np.full(N_ERROR_SAMPLES, 1 / N_ERROR_SAMPLES)
        pairs = [(theta, weight) for theta in samples]
        ranks.append(rank_statistics(pairs, noisy["theta"].values, seed=number))
    found, rows = np.concatenate(ranks), []
    for name, chosen in (("all", verdicts != ""), ("green", verdicts == "green")):
        shares = central_coverage(found[chosen], np.array(LEVELS))
        for level, share in zip(LEVELS, shares, strict=True):
            low, high = np.array(binom.interval(0.95, chosen.sum(), level)) / chosen.sum()
            row = {
                "planets": name,
                "number": chosen.sum(),
                "level": level,
                "low": low,
                "high": high,
            }
            targets = noisy["target"].values
            rows.append(row | dict(zip(targets, share, strict=True)))
    return pd.DataFrame(rows)


def probabilities(reference: Reference, tests: pd.DataFrame) -> pd.DataFrame:
    """Probability of every test, and the smallest of all as ``certificate``."""
    found = reference.probabilities(tests)
    return found.assign(certificate=reference.smallest(found))


def power(reference: Reference, clean: pd.DataFrame, fault: str, tests: pd.DataFrame) -> list[dict]:
    """One line per interval of chi2: AUROC of every test, share called red or amber."""
    usual, strange = probabilities(reference, clean), probabilities(reference, tests)
    verdicts = reference.verdicts(reference.probabilities(tests))
    rows = []
    for low, high in pairwise(CHI2_EDGES):
        inside = tests["fault_chi2"].between(low, high).to_numpy()
        if inside.sum() < 20:
            continue
        row = {
            "fault": fault,
            "chi2_low": low,
            "chi2_high": high,
            "planets": int(inside.sum()),
            "red": np.mean(verdicts[inside] == "red"),
            "amber": np.mean(verdicts[inside] == "amber"),
            # A filter that knows the fault's shape sees it at sqrt(chi2) standard deviations.
            "auroc_matched_filter": np.mean(
                norm.cdf(np.sqrt(tests["fault_chi2"].to_numpy()[inside] / 2))
            ),
        }
        label = np.repeat([0, 1], [len(usual), inside.sum()])
        for name in usual:
            values = -np.log(np.concatenate([usual[name], strange[name][inside]]))
            row[f"auroc_{name}"] = roc_auc_score(label, np.nan_to_num(values))
        rows.append(row)
    return rows


def errors(reference: Reference, fault: str, tests: pd.DataFrame) -> dict[str, object]:
    """Rank correlation of the certificate with how wrong the posterior is."""
    suspicion = -np.log(probabilities(reference, tests)["certificate"])
    return {
        "fault": fault,
        "planets": len(tests),
        "chi2_median": tests["fault_chi2"].median(),
        "chi2_largest": tests["fault_chi2"].max(),
        "rank_correlation_energy_score": spearmanr(suspicion, tests["energy_score"]).statistic,
        "rank_correlation_log_prob": spearmanr(suspicion, -tests["log_prob_true"]).statistic,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--state", type=Path, default=ROOT / "results" / "faults")
    parser.add_argument("--calibration", type=int, default=20, help="chunks of 250 planets")
    parser.add_argument("--clean", type=int, default=20, help="chunks of 250 planets")
    parser.add_argument("--faulty", type=int, default=2, help="chunks of 250 planets, per fault")
    arguments = parser.parse_args()
    members = sorted((arguments.run / "models" / "flow").iterdir())
    bench = Bench(arguments.run, arguments.state, members)
    faulty = {name: bench.many("faulty", arguments.faulty, name) for name in FAULTS}
    reference = Reference(tests_of(bench.many("calibration", arguments.calibration)))
    clean = bench.many("clean", arguments.clean)
    verdicts = reference.verdicts(reference.probabilities(clean))
    print({name: f"{np.mean(verdicts == name):.4f}" for name in ("green", "amber", "red")})
    covered = coverage(bench, arguments.clean, verdicts)
    covered.to_csv(ROOT / "docs" / "trust_coverage.csv", index=False, float_format="%.4f")
    print(covered.to_string())
    table = pd.DataFrame(
        [row for name, tests in faulty.items() for row in power(reference, clean, name, tests)]
    )
    table.to_csv(ROOT / "docs" / "trust_power.csv", index=False, float_format="%.3f")
    wrong = pd.DataFrame([errors(reference, name, tests) for name, tests in faulty.items()])
    everything = pd.concat(faulty.values(), ignore_index=True)
    wrong.loc[len(wrong)] = errors(reference, "all", everything)
    seen = pd.concat([t for n, t in faulty.items() if n != UNSEEN], ignore_index=True)
    wrong.loc[len(wrong)] = errors(reference, f"all but {UNSEEN}", seen)
    wrong.loc[len(wrong)] = errors(reference, "none", clean)
    wrong.to_csv(ROOT / "docs" / "trust_errors.csv", index=False, float_format="%.3g")
    print(table[["fault", "chi2_low", "planets", "red", "auroc_certificate"]].to_string())
    print(wrong.to_string())
    figure = fault_power(table, {name: fault.words for name, fault in FAULTS.items()})
    figure.savefig(ROOT / "docs" / "figures" / "trust_power.png", dpi=90)


def tests_of(table: pd.DataFrame) -> pd.DataFrame:
    """The tests alone."""
    return table.drop(columns=[*TRUTH, *PATTERN_DESCRIPTION])


if __name__ == "__main__":
    main()
