"""Figure of docs/training_targets.md: what flows trained on other targets make of one planet.

Reads the posteriors and the truth of a finished run (config/benchmark.yaml) that has the rows
``flow_single`` (parameters), ``flow_traces`` and ``flow_mixed``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.ticker import MaxNLocator

from arielflow.core.samples import resample
from arielflow.core.schema import open_dataset, trace_of

ROWS = {"flow_single": "fm", "flow_traces": "traces", "flow_mixed": "mixed"}
BINS = 40


def draw(run: Path, planet: str) -> plt.Figure:
    """Marginal densities of every target: the truth filled, a line for every kind of flow.

    Parameters
    ----------
    run
        Folder of a finished run's results.
    planet
        Identifier of a test planet.
    """
    truth = open_dataset(run / "truth" / "truth.nc")
    planets = open_dataset(run / "ingested" / "test.nc").sel(planet=planet)
    theta_true = truth["theta"].sel(planet=planet).values
    samples, weight = trace_of(truth, planet)
    true_samples = resample(samples, weight, 2000, np.random.default_rng(0))
    posteriors = {
        label: open_dataset(run / "posteriors" / "test" / f"{row}.nc")["theta"].sel(planet=planet)
        for row, label in ROWS.items()
    }
    figure, axes = plt.subplots(2, 4, figsize=(11, 5), layout="constrained")
    for column, axis in enumerate(axes.flat[: true_samples.shape[1]]):
        shown = [true_samples[:, column], *(p.values[:, column] for p in posteriors.values())]
        edges = np.linspace(*np.quantile(np.concatenate(shown), [0.002, 0.998]), BINS)
        axis.hist(shown[0], edges, density=True, color="0.8", label="nested sampling")
        for label, values in zip(posteriors, shown[1:], strict=True):
            axis.hist(values, edges, density=True, histtype="step", linewidth=1.5, label=label)
        axis.axvline(theta_true[column], color="k", linestyle=":", linewidth=1)
        axis.set_xlabel(_label(planets, column))
        axis.set_yticks([])
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.set_ylabel("density")
    axes.flat[-1].axis("off")
    axes.flat[-1].legend(*axes.flat[0].get_legend_handles_labels(), loc="center", frameon=False)
    return figure


def _label(planets: xr.Dataset, column: int) -> str:
    units = str(planets["target_units"].values[column]).replace("R_Jup", r"$R_\mathrm{Jup}$")
    return f"{planets['target_latex'].values[column]} [{units}]"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("results/benchmark"))
    parser.add_argument("--planet", default="public60")
    parser.add_argument("--output", type=Path, default=Path("docs/figures/training_targets.png"))
    given = parser.parse_args()
    draw(given.run, given.planet).savefig(given.output, dpi=110)
