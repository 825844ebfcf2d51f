"""Calibration of a trained flow by groups of planets, and what recalibration gains.

``python benchmarks/calibration.py RUN`` takes a finished run's flow and forward model. It measures
calibration by groups on 5,000 fresh planets, fits the maps of the quantiles to 5,000 others, and
compares calibration before and after on 5,000 more, of a forest and of dropout too, which are not
as well calibrated; the challenge's score is that of the run's own
test planets, whose true posteriors are known. Samples are kept in ``--state``, chunk by chunk, so
that a call resumes. Writes ``calibration_groups.csv``, ``calibration_gain.csv`` and two figures in
``docs``.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

from arielflow import plotting
from arielflow.core.files import atomic_path
from arielflow.core.schema import is_usable, open_dataset, posterior_dataset
from arielflow.core.seeds import derived_seed
from arielflow.data.forward_models import edition_model
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.evaluation.bootstrap import bootstrap_interval
from arielflow.evaluation.calibration.findings import farthest, findings
from arielflow.evaluation.calibration.fresh import calibrate_groups, fit_recalibration
from arielflow.evaluation.calibration.gain import measure_gain
from arielflow.evaluation.calibration.recalibration import Recalibration, recalibrate_posterior
from arielflow.evaluation.rows import score_posterior
from arielflow.exploration.components import assign_clusters
from arielflow.models.ensemble import Ensemble
from arielflow.models.features import noisy_copies
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.settings.calibration import CalibrationSettings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SEED, CHUNK = 2026, 250
SETTINGS = CalibrationSettings()
SCORES = ("posterior_score", "spectral_score", "final_score")


class Stored:
    """A model's samples of one set of planets, made where they are not kept yet."""

    def __init__(self, bench: Bench, name: str) -> None:
        self.bench, self.name = bench, name
        self.planets = bench.planets(name)
        names = self.planets["planet"].values
        self.place = dict(zip(names, range(len(names)), strict=True))

    def sample(self, planets: xr.Dataset, n_samples: int, *, seed: int) -> xr.Dataset:
        """Posteriors of one chunk of the set; their seed is the set's own."""
        number = self.place[planets["planet"].values[0]] // CHUNK
        path = self.bench.state / f"{self.bench.model}_{self.name}_{number}.npy"
        if not path.is_file():
            own_seed = derived_seed(SEED, f"calibration/{self.name}/sample", number)
            posterior = self.bench.ensemble.sample(planets, n_samples, seed=own_seed)
            with atomic_path(path) as temporary, temporary.open("wb") as stream:
                np.save(stream, posterior["theta"].values.astype(np.float32))
            print(path.stem, flush=True)
        low, high = (planets[f"prior_{end}"].values[:, None] for end in ("low", "high"))
        return posterior_dataset(planets, np.clip(np.load(path).astype(float), low, high))


class Bench:
    """A model of a run, the forward model and where samples are kept."""

    def __init__(self, run: Path, state: Path, model: str) -> None:
        self.run, self.state, self.model = run, state, model
        state.mkdir(parents=True, exist_ok=True)
        self.edition = get_edition("adc2023")
        self.physics = PhysicsSettings(str(run / "opacities"))
        self.transmission = edition_model(self.edition, self.physics)
        self.posterior = open_dataset(run / "posteriors" / "test" / f"{model}.nc")
        members = sorted((run / "models" / model).iterdir())
        self.ensemble = Ensemble(members, self.posterior.attrs["shares"], device="cpu")
        self.exploration = open_dataset(run / "exploration.nc")
        self.train = open_dataset(run / "ingested" / "train.nc")

    def planets(self, name: str) -> xr.Dataset:
        """Fresh planets of a set, with noise."""
        number = SETTINGS.n_fit if name == "fit" else SETTINGS.n_planets
        planets = simulate_planets(
            self.edition,
            number,
            seed=SEED,
            split=f"calibration_{name}",
            prior="matched",
            physics=self.physics,
        )
        usable = planets.isel(planet=is_usable(planets))
        return noisy_copies(usable, derived_seed(SEED, f"calibration/{name}/noise"))

    def cells(self, stored: Stored, recalibration: Recalibration | None = None) -> pd.DataFrame:
        """Calibration by groups of a set, kept in the state."""
        end = "" if recalibration is None else "_recalibrated"
        path = self.state / f"cells_{self.model}_{stored.name}{end}.csv"
        if not path.is_file():
            table = calibrate_groups(
                stored,
                stored.planets,
                lambda part: ForwardModel(self.transmission, part),
                SETTINGS,
                seed=derived_seed(SEED, f"calibration/{stored.name}"),
                clusters=lambda part: assign_clusters(self.exploration, self.train, part),
                recalibration=recalibration,
            )
            table.to_csv(path, index=False)
        return pd.read_csv(path, keep_default_na=False, na_values=[""]).fillna({"units": ""})

    def scores(self, posterior: xr.Dataset, name: str) -> pd.DataFrame:
        """Scores of the run's test planets, kept in the state."""
        path = self.state / f"scores_{name}.csv"
        if not path.is_file():
            planets = open_dataset(self.run / "ingested" / "test.nc")
            truth = open_dataset(self.run / "truth" / "truth.nc")
            table = score_posterior(
                self.edition, posterior, planets, truth, seed=SEED, physics=self.physics
            )
            table.to_csv(path, index=False)
        return pd.read_csv(path)


def gain(bench: Bench) -> tuple[Recalibration, pd.DataFrame]:
    """A model's map, and what it gains on planets and scores of its own."""
    fitting, tested = Stored(bench, "fit"), Stored(bench, "test")
    seeds = (derived_seed(SEED, f"calibration/{name}") for name in ("fit", "test"))
    n_samples = SETTINGS.n_samples
    recalibration = fit_recalibration(fitting, fitting.planets, n_samples, seed=next(seeds))
    recalibration.write(bench.state / f"map_{bench.model}.json")
    path = bench.state / f"gain_{bench.model}.csv"
    if not path.is_file():
        table = measure_gain(tested, tested.planets, recalibration, n_samples, seed=next(seeds))
        scores = score_gain(bench, recalibration)
        pd.concat([table, scores], ignore_index=True).to_csv(path, index=False)
    return recalibration, pd.read_csv(path).assign(model=bench.model)


def score_gain(bench: Bench, recalibration: Recalibration) -> pd.DataFrame:
    """The challenge's scores of the test planets before and after."""
    planets = open_dataset(bench.run / "ingested" / "test.nc")
    mended = recalibrate_posterior(bench.posterior, planets, recalibration)
    before, after = (
        bench.scores(posterior, f"{bench.model}{end}")
        for posterior, end in ((bench.posterior, ""), (mended, "_recalibrated"))
    )
    rows = []
    for score in SCORES:
        first, second = before[score].to_numpy(), after[score].to_numpy()
        change = bootstrap_interval(second - first, SEED)
        row = {"measure": score, "target": "joint", "before": first.mean(), "after": second.mean()}
        ends = {"change": change.estimate, "change_low": change.low, "change_high": change.high}
        rows.append(row | ends | {"n_planets": len(first)})
    return pd.DataFrame(rows)


def told(name: str, table: pd.DataFrame) -> None:
    """Print how many cells are outside, and the worst."""
    print(f"{name}: {table['outside'].sum()} of {len(table)} cells outside of the band")
    for line in [*findings(table)[:12], "farthest: " + farthest(table)]:
        print("  " + line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--state", type=Path, default=ROOT / "results" / "calibration")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    bench = Bench(arguments.run, arguments.state, "flow")
    measured = Stored(bench, "measure")
    before = bench.cells(measured)
    figure = plotting.coverage_by_group(before, measured.planets)
    figure.savefig(DOCS / "figures" / "calibration_groups.png", dpi=90)
    _, first = gain(bench)
    forest = Bench(arguments.run, arguments.state, "random_forest")
    recalibration, second = gain(forest)
    own = Stored(forest, "test")
    tables = {
        "flow, first planets": before,
        "flow": bench.cells(Stored(bench, "test")),
        "random_forest": forest.cells(own),
        "random_forest_recalibrated": forest.cells(own, recalibration),
    }
    for name, table in tables.items():
        told(name, table)
    cells = pd.concat([t.assign(posterior=name) for name, t in tables.items()])
    cells.to_csv(DOCS / "calibration_groups.csv", index=False, float_format="%.4g")
    _, third = gain(Bench(arguments.run, arguments.state, "mc_dropout"))
    gains = pd.concat([first, second, third])
    gains.to_csv(DOCS / "calibration_gain.csv", index=False, float_format="%.5g")
    print(gains[gains["target"].isin(["mean", "joint"])].to_string())
    levels = np.linspace(0.005, 0.995, 199)
    shares = recalibration.level(np.repeat(levels[:, None], len(recalibration.offset), axis=1))
    figure = plotting.recalibration_maps(levels, shares, measured.planets)
    figure.savefig(DOCS / "figures" / "recalibration_maps.png", dpi=90)


if __name__ == "__main__":
    main()
