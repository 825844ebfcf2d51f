"""Does epistemic uncertainty tell what a network has not learnt, and aleatoric what it cannot?

The labelled WFC3 planets, whose noise and degeneracies limit what any number of them teaches. The
same test planets are given to Bayesian ensembles trained on the whole training set, on a tenth of
it, and on its cooler half. Every test planet's standard deviations are compared with those of the
first ensemble in a one-sided Wilcoxon signed-rank test over planets (mean over targets, in prior
widths): for the tenth on all test planets, for the cool half on those hotter than any of its
planets, which are outside its population.

Settings are those of ``config/wfc3.yaml`` but for the length of the training, since a member that
is stopped where its own validation loss is best has taken what it failed to learn for noise: its
variance is right by itself, and too large in a mixture (Rahaman & Thiery 2021, NeurIPS). Here
trainings get longer, by half each time, until the validation planets' log-density by the mixture
of all members falls, and each keeps the weights of its last epoch.
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
from wfc3_splits import MODEL, ROOT, planets_of

from arielflow.config import read_config
from arielflow.ingest import split_planets, subset
from arielflow.models import make_estimator
from arielflow.models.ensemble import Ensemble, sample_ensemble
from arielflow.provenance import derived_seed, write_table
from arielflow.schema import ALEATORIC, EPISTEMIC

SHRINKAGE = 10
SHORTEST_EPOCHS = 40
LENGTHENING = 1.5
SAMPLES = 500
LABELS = {
    "all": "whole training set",
    "tenth": "a tenth of it",
    "cool": "its cooler half",
}


def training_sets(train: xr.Dataset) -> dict[str, xr.Dataset]:
    """The three training sets."""
    cool = np.flatnonzero(temperature(train) < np.median(temperature(train)))
    rows = {
        "all": np.arange(train.sizes["planet"]),
        "tenth": np.arange(train.sizes["planet"] // SHRINKAGE),
        "cool": cool,
    }
    return {name: train.isel(planet=index) for name, index in rows.items()}


def temperature(planets: xr.Dataset) -> np.ndarray:
    """True temperature (planet,) in K."""
    return planets["theta"].sel(target="planet_temp").values


def train_ensemble(
    planets: xr.Dataset, config: dict, epochs: int, members: int, folder: Path
) -> tuple[list[Path], float]:
    """Folders of the members, and mean log-density of the validation planets by their mixture."""
    spec, seed = config["model_settings"][MODEL], derived_seed(config["seed"], folder.name)
    parts = split_planets(planets, config["dataset"]["validation_fraction"], seed)
    train, valid = (subset(planets, parts, name) for name in ("train", "valid"))
    training = spec["settings"]["training"] | {"epochs": epochs, "patience": None}
    folders = [folder / str(epochs) / str(member) for member in range(members)]
    for member, path in enumerate(folders):
        if not (path / "estimator.json").is_file():
            estimator = make_estimator(spec["family"], spec["settings"] | {"training": training})
            estimator.fit(train, valid, seed=derived_seed(seed, "member", member))
            estimator.save(path)
    log_prob = Ensemble(folders).log_prob(valid, valid["theta"].values[:, None, :])
    return folders, float(log_prob.mean())


def best_ensemble(
    planets: xr.Dataset, config: dict, members: int, folder: Path
) -> tuple[list[Path], int]:
    """Folders of the ensemble of the best length of training, and its epochs."""
    epochs, best, folders, kept = SHORTEST_EPOCHS, -np.inf, [], 0
    while True:
        trained, log_prob = train_ensemble(planets, config, epochs, members, folder)
        print(
            f"{folder.name}: {epochs} epochs, log p(truth) of the mixture {log_prob:.3f}",
            flush=True,
        )
        if log_prob < best:
            return folders, kept
        best, folders, kept = log_prob, trained, epochs
        epochs = round(LENGTHENING * epochs)


def compare(
    found: dict[str, xr.Dataset], outside: np.ndarray, epochs: dict[str, int]
) -> pd.DataFrame:
    """Median ratios to the first ensemble and p-values that the deviations have risen."""
    everyone = np.full(len(outside), True)
    cases = (("tenth", "all", everyone), ("cool", "outside", outside), ("cool", "inside", ~outside))
    lines = []
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
                    "epochs": epochs[name],
                    "epochs_all": epochs["all"],
                }
            )
    return pd.DataFrame(lines)


def draw(found: dict[str, xr.Dataset], outside: np.ndarray) -> plt.Figure:
    """Deviations of every test planet against those by the ensemble of the whole training set."""
    figure, axes = plt.subplots(2, 2, figsize=(7, 6.4), layout="constrained")
    for row, (name, shown) in zip(
        axes, (("tenth", np.full(len(outside), True)), ("cool", outside)), strict=True
    ):
        for axis, part in zip(row, (ALEATORIC, EPISTEMIC), strict=True):
            x, y = (found[key][part].values[shown].mean(axis=1) for key in ("all", name))
            axis.loglog(x, y, ".", markersize=3, alpha=0.4)
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
    """Train, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--test", type=int, default=1000, help="test planets")
    parser.add_argument("--state", type=Path, default=ROOT / "results/epistemic")
    parser.add_argument("--table", type=Path, default=ROOT / "benchmarks/epistemic.csv")
    parser.add_argument("--figure", type=Path, default=ROOT / "docs/figures/epistemic.png")
    options = parser.parse_args()
    config = read_config(ROOT / "config.yaml", ROOT / "config/wfc3.yaml")
    train, test = planets_of(0, (ROOT / config["dataset"]["path"]).resolve())
    test = test.isel(planet=slice(0, options.test))
    sets, found, epochs = training_sets(train), {}, {}
    for name, planets in sets.items():
        folders, epochs[name] = best_ensemble(
            planets, config, options.members, options.state / name
        )
        posterior = sample_ensemble(folders, test, SAMPLES, seed=config["seed"])
        width = test["prior_high"] - test["prior_low"]
        found[name] = posterior[[ALEATORIC, EPISTEMIC]] / width
    outside = temperature(test) > temperature(sets["cool"]).max()
    table = compare(found, outside, epochs)
    write_table(table, options.table)
    print(table.to_string(index=False))
    draw(found, outside).savefig(options.figure, dpi=150)


if __name__ == "__main__":
    main()
