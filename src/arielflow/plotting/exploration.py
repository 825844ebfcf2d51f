"""Figures of the dataset that :func:`arielflow.exploration.components.explore` makes."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from arielflow.plotting.style import (
    CONTINUOUS,
    GRID,
    INK,
    MUTED,
    PPM,
    central_range,
    colour,
    grid_of_panels,
    label_outer,
    spread_sample,
    styled,
    target_labels,
    wavelength_axis,
)

_MAX_PATTERNS = 6
_LOGARITHMIC_RANGE = 10.0
_MANY_PLANETS = 500


def _split(exploration: xr.Dataset, split: str) -> xr.Dataset:
    chosen = exploration.isel(planet=exploration["split"].values == split)
    return chosen.isel(planet=spread_sample(chosen.sizes["planet"]))


def _component_label(exploration: xr.Dataset, index: int) -> str:
    share = 100 * float(exploration["explained_variance_ratio"][index])
    return f"PC {index + 1} score [1] ({share:.1f} %)"


@styled
def explained_variance(exploration: xr.Dataset) -> Figure:
    """Share of the variance of each principal component, and their running sum."""
    figure = Figure(figsize=(5.4, 2.9), layout="constrained")
    axes = figure.subplots()
    component = exploration["component"].values
    share = 100 * exploration["explained_variance_ratio"].values
    axes.bar(component, share, color=colour(0), width=0.65, label="each")
    axes.plot(component, np.cumsum(share), "o-", color=colour(1), markersize=4, label="running sum")
    axes.set(xlabel="principal component [number]", ylabel="explained variance [%]", ylim=(0, 108))
    axes.set_xticks(component)
    axes.grid(visible=False, axis="x")
    axes.legend(loc="center right")
    return figure


def _patterns(patterns: np.ndarray, wavelength_um: np.ndarray, names: list[str], unit: str):
    figure, panels = grid_of_panels(len(names), panel_inches=(3.1, 1.9))
    for index, (axes, name) in enumerate(zip(panels, names, strict=True)):
        axes.axhline(0, color=MUTED, linewidth=0.7)
        axes.plot(wavelength_um, patterns[index], color=colour(index), marker="o", markersize=2.2)
        axes.set_title(name)
        axes.set_ylabel(unit)
        wavelength_axis(axes, wavelength_um)
    label_outer(panels)
    return figure


@styled
def loadings(exploration: xr.Dataset) -> Figure:
    """Principal components over wavelength."""
    values = exploration["loading"].values[:_MAX_PATTERNS]
    share = 100 * exploration["explained_variance_ratio"].values
    names = [f"PC {i + 1} · {share[i]:.1f} %" for i in range(len(values))]
    return _patterns(values, exploration["wavelength"].values, names, "loading [1]")


@styled
def independent_components(exploration: xr.Dataset) -> Figure:
    """Spectral patterns of the independent components."""
    values = exploration["source_pattern"].values[:_MAX_PATTERNS]
    names = [f"IC {i + 1}" for i in range(len(values))]
    return _patterns(values, exploration["wavelength"].values, names, "pattern [1]")


@styled
def scores_by_target(exploration: xr.Dataset) -> Figure:
    """Training planets in the plane of the first two components, coloured by each target."""
    train = _split(exploration, "train")
    score, theta = train["score"].values, train["theta"].values
    second = min(1, score.shape[1] - 1)
    figure, panels = grid_of_panels(theta.shape[1], panel_inches=(3.0, 2.3))
    for index, (axes, label) in enumerate(zip(panels, target_labels(train), strict=True)):
        points = axes.scatter(
            score[:, 0],
            score[:, second],
            c=theta[:, index],
            cmap=CONTINUOUS,
            s=5,
            linewidths=0,
            rasterized=True,
        )
        figure.colorbar(points, ax=axes, label=label, pad=0.02, aspect=28)
        axes.set_xlabel(_component_label(train, 0))
        axes.set_ylabel(_component_label(train, second))
    label_outer(panels)
    _limit(panels, score[:, 0], score[:, second])
    return figure


def _limit(panels: list[Axes], x: np.ndarray, y: np.ndarray) -> None:
    for axes in panels:
        axes.set_xlim(*central_range(x))
        axes.set_ylim(*central_range(y))


@styled
def mean_versus_scatter(exploration: xr.Dataset) -> Figure:
    """Mean of every spectrum against its scatter over wavelength, as Matchev et al. 2022."""
    figure = Figure(figsize=(5.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for index, split in enumerate(("train", "test")):
        planets = _split(exploration, split)
        axes.scatter(
            PPM * planets["depth_mean"],
            PPM * planets["depth_scatter"],
            s=5 if planets.sizes["planet"] > _MANY_PLANETS else 9,
            alpha=(0.55, 0.8)[index],
            color=colour(index),
            linewidths=0,
            rasterized=True,
            label=f"{split} ({int((exploration['split'] == split).sum()):,} planets)",
        )
    axes.set(xlabel="mean transit depth [ppm]", ylabel="scatter over wavelength [ppm]")
    for name, scale in (("depth_mean", axes.set_xscale), ("depth_scatter", axes.set_yscale)):
        low, high = np.quantile(exploration[name], [0.01, 0.99])
        if low > 0 and high / low > _LOGARITHMIC_RANGE:
            scale("log")
    axes.legend(loc="best", markerscale=2)
    return figure


@styled
def silhouettes(exploration: xr.Dataset) -> Figure:
    """Silhouette score of every number of clusters tried, the chosen one marked."""
    figure = Figure(figsize=(5.4, 2.7), layout="constrained")
    axes = figure.subplots()
    tried, chosen = exploration["n_clusters"].values, exploration.attrs["chosen_clusters"]
    axes.plot(tried, exploration["silhouette"], "o-", color=colour(0), markersize=4)
    best = exploration["silhouette"].sel(n_clusters=chosen)
    axes.plot(chosen, best, "o", color=colour(1), markersize=9, label=f"chosen: {chosen} clusters")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="clusters [number]", ylabel="mean silhouette [1]")
    axes.margins(y=0.15)
    axes.legend(loc="best")
    return figure


@styled
def clusters(exploration: xr.Dataset) -> Figure:
    """Clusters in the plane of the first two components, and their mean spectra."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    wavelength = exploration["wavelength"].values
    second = min(1, exploration.sizes["component"] - 1)
    train, test = _split(exploration, "train"), _split(exploration, "test")
    for index, number in enumerate(exploration["cluster"].values):
        for planets, style in ((train, {"s": 5, "alpha": 0.45}), (test, {"s": 16, "marker": "x"})):
            score = planets["score"].values[planets["cluster_label"].values == number]
            left.scatter(
                score[:, 0], score[:, second], color=colour(index), linewidths=0.7, rasterized=True,
                **style,
            )  # fmt: skip
        mean, scatter = (exploration[f"cluster_{k}"].values[index] for k in ("spectrum", "scatter"))
        size = int(exploration["cluster_size"][index])
        right.fill_between(
            wavelength, mean - scatter, mean + scatter, color=colour(index), alpha=0.15, linewidth=0
        )
        right.plot(wavelength, mean, color=colour(index), label=f"cluster {number} ({size:,})")
    _limit([left], train["score"].values[:, 0], train["score"].values[:, second])
    left.plot([], [], "x", color=INK, markersize=4, label="test planets")
    left.legend(loc="best")
    left.set(xlabel=_component_label(exploration, 0), ylabel=_component_label(exploration, second))
    unit = {"shape": "depth − mean, over scatter [1]"}
    right.set_ylabel(unit.get(exploration.attrs["representation"], "standardised depth [1]"))
    right.axhline(0, color=GRID, linewidth=0.7)
    wavelength_axis(right, wavelength)
    right.legend(loc="best", ncols=2)
    return figure
