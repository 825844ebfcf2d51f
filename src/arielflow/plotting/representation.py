"""Figures of learned representations, see :mod:`arielflow.exploration.representations`."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from arielflow.plotting.style import (
    CONTINUOUS,
    MUTED,
    central_range,
    colour,
    grid_of_panels,
    label_outer,
    styled,
    target_labels,
)


@styled
def representation_error(comparison: xr.Dataset) -> Figure:
    """Reconstruction error of test and validation planets against the latent dimension."""
    figure = Figure(figsize=(5.4, 3.3), layout="constrained")
    axes = figure.subplots()
    dimension = comparison["dimension"].values
    for index, name in enumerate(comparison["model"].values):
        model = comparison.sel(model=name)
        label = "PCA" if name == "pca" else str(name).replace("_", " ")
        style = {"color": colour(index), "markersize": 4}
        axes.plot(dimension, model["rms_test"], "o-", label=label, **style)
        axes.plot(dimension, model["rms_valid"], "--", **style)
        if name != "pca":
            chosen = int(model["chosen_dimension"])
            error = float(model["rms_test"].sel(dimension=chosen))
            axes.plot(chosen, error, "o", color=colour(index), markersize=9, fillstyle="none")
    axes.set_yscale("log")
    axes.set_xticks(dimension)
    axes.set(xlabel="latent variables [number]", ylabel="rms error of the scaled spectrum [1]")
    axes.plot([], [], "--", color=MUTED, label="validation planets")
    axes.legend(loc="lower left")
    return figure


def _plane(comparison: xr.Dataset) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The two latent variables of largest variance, with labels; a single one against its rank."""
    latent = comparison["latent"].values
    order = np.argsort(-latent.var(axis=0), kind="stable")
    x = latent[:, order[0]]
    if latent.shape[1] == 1:
        return x, np.argsort(np.argsort(x)) / len(x), ["latent 1 [1]", "rank [1]"]
    return x, latent[:, order[1]], [f"latent {i + 1} [1]" for i in order[:2]]


@styled
def latent_by_target(comparison: xr.Dataset) -> Figure:
    """Validation planets in the latent plane, coloured by each target."""
    x, y, names = _plane(comparison)
    theta, labels = comparison["theta"].values, target_labels(comparison)
    figure, panels = grid_of_panels(theta.shape[1], panel_inches=(3.0, 2.3))
    for index, (axes, label) in enumerate(zip(panels, labels, strict=True)):
        points = axes.scatter(
            x, y, c=theta[:, index], cmap=CONTINUOUS, s=6, linewidths=0, rasterized=True
        )
        figure.colorbar(points, ax=axes, label=label, pad=0.02, aspect=28)
        axes.set(xlabel=names[0], ylabel=names[1], xlim=central_range(x), ylim=central_range(y))
    label_outer(panels)
    return figure


@styled
def latent_by_cluster(comparison: xr.Dataset) -> Figure:
    """Validation planets in the latent plane, coloured by cluster."""
    x, y, names = _plane(comparison)
    label = comparison["cluster_label"].values
    figure = Figure(figsize=(5.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for index, number in enumerate(np.unique(label)):
        own = label == number
        axes.scatter(
            x[own], y[own], color=colour(index), s=8, linewidths=0, rasterized=True,
            label=f"cluster {number} ({int(own.sum()):,})",
        )  # fmt: skip
    axes.set(xlabel=names[0], ylabel=names[1], xlim=central_range(x), ylim=central_range(y))
    axes.legend(loc="best", markerscale=1.6)
    return figure


@styled
def twin_distances(comparison: xr.Dataset) -> Figure:
    """Distances of chemical twins and of random pairs in each model's latent variables."""
    names = [str(name) for name in comparison["model"].values]
    figure, panels = grid_of_panels(len(names), columns=2, panel_inches=(3.3, 2.2))
    for axes, name in zip(panels, names, strict=True):
        model = comparison.sel(model=name)
        bins = np.linspace(0, float(np.quantile(model["random_distance"], 0.995)), 40)
        for index, kind in enumerate(("twin", "random")):
            label = ("chemical twins", "random pairs")[index]
            axes.hist(model[f"{kind}_distance"], bins, color=colour(index), alpha=0.6, label=label)
        axes.set(title=name.replace("_", " "), xlabel="distance [1]", ylabel="pairs [number]")
    panels[0].legend(loc="best")
    label_outer(panels, columns=2)
    return figure
