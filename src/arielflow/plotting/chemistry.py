"""Figures of a compressed reaction network; data of :mod:`arielflow.chemistry.evaluate`."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from arielflow.plotting.style import colour, grid_of_panels, label_outer, styled

_TIME = "time [yr]"
_CLOUDS = 3


@styled
def abundance_trajectories(evaluation: xr.Dataset, species: list[str]) -> Figure:
    """Abundances of a few species in a few clouds: full solver as lines, compressed as dots."""
    figure, panels = grid_of_panels(len(species), panel_inches=(2.9, 2.2))
    time = evaluation["time"].values
    for axes, name in zip(panels, species, strict=True):
        one = evaluation.sel(species=name)
        for cloud in range(min(_CLOUDS, evaluation.sizes["cloud"])):
            axes.plot(time, one["abundance"][cloud], color=colour(cloud), linewidth=1.2)
            axes.plot(
                time[::3], one["predicted"][cloud][::3], "o", color=colour(cloud), markersize=2.4
            )
        axes.set(xscale="log", yscale="log", xlabel=_TIME, ylabel="abundance per H [1]", title=name)
    label_outer(panels)
    return figure


@styled
def abundance_errors(evaluation: xr.Dataset) -> Figure:
    """Relative error against time, and by species."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.7))
    error, time = 100 * evaluation["relative_error"].values, evaluation["time"].values
    low, middle, high = np.quantile(error, [0.1, 0.5, 0.9], axis=(0, 2))
    left.fill_between(time, low, high, color=colour(0), alpha=0.2, linewidth=0)
    left.plot(time, middle, color=colour(0), label="median, shaded 10 to 90 %")
    left.set(xscale="log", yscale="log", xlabel=_TIME, ylabel="relative error [%]")
    left.legend(loc="best")
    median = np.median(error, axis=(0, 1))
    order = np.argsort(median)
    right.bar(np.arange(len(order)), median[order], color=colour(0), width=0.7)
    right.set_xticks(
        np.arange(len(order)), evaluation["species"].values[order], rotation=90, fontsize=7
    )
    right.set(xlabel="species [name]", ylabel="median relative error [%]", yscale="log")
    right.grid(visible=False, axis="x")
    return figure


@styled
def latent_trajectories(evaluation: xr.Dataset) -> Figure:
    """Latent abundances over time in a few clouds."""
    clouds = min(_CLOUDS, evaluation.sizes["cloud"])
    figure, panels = grid_of_panels(clouds, panel_inches=(2.9, 2.3))
    for cloud, axes in enumerate(panels):
        for index in range(evaluation.sizes["latent"]):
            path = evaluation["latent"].values[cloud, :, index]
            axes.plot(evaluation["time"], path, color=colour(index), label=f"z{index + 1}")
        title = f"cloud {cloud + 1}"
        axes.set(xscale="log", xlabel=_TIME, ylabel="latent abundance [1]", title=title)
    panels[0].legend(loc="best", ncols=2)
    label_outer(panels)
    return figure
