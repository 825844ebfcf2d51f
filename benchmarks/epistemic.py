"""Does epistemic uncertainty tell what a network has not learnt, and aleatoric what it cannot?

The same test planets are given to small Bayesian ensembles trained on three sets of simulated
planets: as many as asked for, of the whole population; a tenth of those; and as many as the first,
but only planets cooler than the population's median equilibrium temperature. Every planet's
standard deviations are compared with those of the first ensemble in a one-sided Wilcoxon
signed-rank test, over targets (scaled by the prior's width) and planets: for the tenth all test
planets count, for the cool set those hotter than any of its training planets, which are outside
its population.

The planets are observed with ten times the instrument's noise, so that noise, not the network,
limits what a spectrum tells. All trainings take the same number of steps and keep their last
weights: one that stops where its own validation loss is best has taken what it failed to learn for
noise (Rahaman & Thiery 2021, NeurIPS).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.stats import wilcoxon

from arielflow.core.files import write_table
from arielflow.core.schema import ALEATORIC, EPISTEMIC
from arielflow.core.seeds import derived_seed
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.models import make_estimator
from arielflow.models.ensemble import sample_ensemble
from arielflow.models.features import noisy_copies, planet_tensors
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import PhysicsSettings

ROOT = Path(__file__).parents[1]
SEED = 5
SHRINKAGE = 10
VALID_SHARE = 0.1
SAMPLES = 1000
NOISE_FACTOR = 10
SETTINGS = {"embedding": 32, "context_width": 128}
# Every set gets as many steps: a tenth of the planets, ten times the epochs.
TRAINING = {"batch_size": 256, "learning_rate": 3e-3, "patience": None}
LABELS = {
    "all": "whole population",
    "tenth": "a tenth of the planets",
    "cool": "cool half of the population",
}


def faint_planets(n: int, split: str, physics: PhysicsSettings) -> xr.Dataset:
    """Simulated planets of a split, under ``NOISE_FACTOR`` times the instrument's noise."""
    planets = simulate_planets(
        get_edition("adc2023"), n, seed=SEED, split=split, prior="matched", physics=physics
    )
    planets["transit_depth_error"] = NOISE_FACTOR * planets["transit_depth_error"]
    return planets


def training_sets(planets: xr.Dataset, n_train: int) -> dict[str, xr.Dataset]:
    """The three training sets, from twice ``n_train`` simulated planets or more."""
    warmth = planet_tensors(planets).equilibrium_k.numpy()
    cool = np.flatnonzero(warmth < np.median(warmth))[:n_train]
    rows = {"all": np.arange(n_train), "tenth": np.arange(n_train // SHRINKAGE), "cool": cool}
    return {name: planets.isel(planet=index) for name, index in rows.items()}


def spreads(
    name: str, planets: xr.Dataset, test: xr.Dataset, members: int, epochs: int, folder: Path
) -> xr.Dataset:
    """Parts of the test planets' spread by an ensemble trained on planets, over prior widths."""
    n_valid = max(2, round(VALID_SHARE * planets.sizes["planet"]))
    more = SHRINKAGE if name == "tenth" else 1
    folders = [folder / name / str(member) for member in range(members)]
    for member, path in enumerate(folders):
        if not (path / "estimator.json").is_file():
            training = TRAINING | {"epochs": more * epochs}
            settings = SETTINGS | {"training": training, "warm_up": 5 * more}
            estimator = make_estimator("bnn", settings)
            estimator.fit(
                planets.isel(planet=slice(n_valid, None)),
                planets.isel(planet=slice(0, n_valid)),
                seed=derived_seed(SEED, name, member),
            )
            estimator.save(path)
    posterior = sample_ensemble(folders, test, SAMPLES, seed=SEED)
    return posterior[[ALEATORIC, EPISTEMIC]] / (test["prior_high"] - test["prior_low"])


def compare(found: dict[str, xr.Dataset], outside: np.ndarray) -> pd.DataFrame:
    """Median ratios to the first ensemble and p-values that the deviations have risen."""
    lines = []
    everyone = np.full(len(outside), True)
    cases = (("tenth", "all", everyone), ("cool", "outside", outside), ("cool", "inside", ~outside))
    for name, where, rows in cases:
        for part in (ALEATORIC, EPISTEMIC):
            own, first = (found[key][part].values[rows] for key in (name, "all"))
            test = wilcoxon(own.mean(axis=1), first.mean(axis=1), alternative="greater")
            lines.append(
                {
                    "training": name,
                    "test_planets": where,
                    "part": part,
                    "planets": int(rows.sum()),
                    "median_ratio": float(np.median(own / first)),
                    "share_risen": float((own.mean(axis=1) > first.mean(axis=1)).mean()),
                    "p_risen": float(test.pvalue),
                }
            )
    return pd.DataFrame(lines)


def draw(found: dict[str, xr.Dataset], outside: np.ndarray) -> plt.Figure:
    """Deviations of every test planet against those by the ensemble of the whole population."""
    figure, axes = plt.subplots(2, 2, figsize=(7, 6.4), layout="constrained")
    for row, (name, shown) in zip(
        axes, (("tenth", np.full(len(outside), True)), ("cool", outside)), strict=True
    ):
        for axis, part in zip(row, (ALEATORIC, EPISTEMIC), strict=True):
            x, y = (found[key][part].values[shown].mean(axis=1) for key in ("all", name))
            axis.loglog(x, y, ".", markersize=4, alpha=0.6)
            for one in (axis.xaxis, axis.yaxis):
                one.set_major_locator(LogLocator(subs=(1, 2, 5)))
                one.set_major_formatter("{x:g}")
                one.set_minor_formatter(NullFormatter())
            ends = [min(x.min(), y.min()), max(x.max(), y.max())]
            axis.plot(ends, ends, color="0.5", linewidth=0.9)
            axis.set_title(f"{part}, {shown.sum()} planets", fontsize=9)
            axis.set_xlabel(f"{LABELS['all']} [prior widths]")
            axis.set_ylabel(f"{LABELS[name]} [prior widths]")
    return figure


def main() -> None:
    """Simulate, train, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=12_000)
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--state", type=Path, default=ROOT / "results/epistemic")
    parser.add_argument("--table", type=Path, default=ROOT / "benchmarks/epistemic.csv")
    parser.add_argument("--figure", type=Path, default=ROOT / "docs/figures/epistemic.png")
    options = parser.parse_args()
    physics = PhysicsSettings(str(ensure_builtin_opacities(ROOT / "results/opacities")))
    planets, test = (
        faint_planets(n, split, physics)
        for n, split in ((2 * options.train + 200, "train"), (options.test, "test"))
    )
    test = noisy_copies(test, SEED)
    sets = training_sets(planets, options.train)
    hottest = planet_tensors(sets["cool"]).equilibrium_k.max()
    outside = (planet_tensors(test).equilibrium_k > hottest).numpy()
    found = {
        name: spreads(name, part, test, options.members, options.epochs, options.state)
        for name, part in sets.items()
    }
    table = compare(found, outside)
    write_table(table, options.table)
    print(table.to_string(index=False))
    draw(found, outside).savefig(options.figure, dpi=150)


if __name__ == "__main__":
    main()
