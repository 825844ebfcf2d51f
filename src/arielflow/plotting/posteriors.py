"""Figures of posteriors of single planets: corner plots, and marginals beside the literature."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from arielflow.core.samples import WeightedSamples, weighted_quantiles
from arielflow.plotting.style import (
    INK,
    central_range,
    colour,
    grid_of_panels,
    styled,
    target_labels,
)

with warnings.catch_warnings():
    # corner imports arviz where it finds it, which announces its own plans.
    warnings.simplefilter("ignore")
    import corner

_LEVELS = (0.393, 0.865)
"""Probability inside the one- and two-sigma contour of a two-dimensional Gaussian."""
_SMOOTHING_BINS = 1.0
_VIEW_MARGIN = 0.2
_LEAST_VISIBLE = 0.05
_REFERENCE_STYLE = {"linestyle": (0, (4, 2))}


@styled
def corner_plot(
    targets: xr.Dataset,
    samples: Mapping[str, WeightedSamples],
    reference: WeightedSamples | None = None,
    theta: np.ndarray | None = None,
    reference_name: str = "nested sampling",
) -> Figure:
    """Joint posteriors of one planet from several models over each other.

    The first model and the reference set the view; broader models run out of it, and one that has
    next to nothing inside is only named.

    Parameters
    ----------
    targets
        Any dataset with the targets' coordinates.
    samples
        Samples (sample, target) and weights (sample,) by the model's name.
    reference
        Samples and weights of the true posterior, drawn in ink.
    theta
        True parameters (target,), marked by lines; NaN where unknown.
    """
    layers = [(name, value, colour(i)) for i, (name, value) in enumerate(samples.items())]
    leading = layers[:1]
    if reference is not None:
        layers.append((reference_name, reference, INK))
        leading.append(layers[-1])
    labels = target_labels(targets)
    known = theta is not None and np.isfinite(theta).any()
    limits = _common_limits([value for _, value, _ in leading], theta if known else None)
    hidden = [name for name, value, _ in layers if _least_visible(*value, limits) < _LEAST_VISIBLE]
    size = 1.45 * len(labels) + 0.7
    figure = Figure(figsize=(size, size))
    for index, (name, (theta_samples, weight), shade) in enumerate(layers):
        if name in hidden:
            continue
        corner.corner(
            theta_samples,
            weights=weight / weight.sum(),
            bins=28,
            fig=figure,
            color=shade,
            range=limits,
            labels=labels,
            levels=_LEVELS,
            smooth=_SMOOTHING_BINS,
            smooth1d=_SMOOTHING_BINS,
            plot_datapoints=False,
            plot_density=False,
            # Only the first model is filled: stacked fills hide each other.
            fill_contours=index == 0,
            no_fill_contours=index > 0,
            hist_kwargs={"linewidth": 1.4},
            contour_kwargs={"linewidths": 1.1},
            max_n_ticks=4,
            label_kwargs={"fontsize": 8},
            labelpad=0.06,
        )
    _finish_corner(figure, labels, theta if known else None)
    handles = [Line2D([], [], color=shade, linewidth=2.5) for _, _, shade in layers]
    names = [f"{name} (outside the view)" if name in hidden else name for name, _, _ in layers]
    if known:
        handles.append(Line2D([], [], color=INK, **_REFERENCE_STYLE))
        names.append("true value")
    figure.legend(handles, names, loc="upper right", bbox_to_anchor=(0.97, 0.97), fontsize=10)
    return figure


def _common_limits(
    values: Sequence[WeightedSamples], theta: np.ndarray | None
) -> list[tuple[float, float]]:
    edges = np.concatenate([weighted_quantiles(*value, [0.003, 0.997]) for value in values])
    if theta is not None:
        edges = np.concatenate([edges, np.where(np.isfinite(theta), theta, edges[0])[np.newaxis]])
    low, high = np.array([central_range(column, inside=1.0) for column in edges.T]).T
    return list(
        zip(low - _VIEW_MARGIN * (high - low), high + _VIEW_MARGIN * (high - low), strict=True)
    )


def _least_visible(
    theta: np.ndarray, weight: np.ndarray, limits: Sequence[tuple[float, float]]
) -> float:
    """Smallest share of a posterior inside any of the panels."""
    low, high = np.array(limits).T
    inside = ((theta >= low) & (theta <= high)).astype(float)
    return float((inside.T @ (inside * weight[:, np.newaxis])).min() / weight.sum())


def _finish_corner(figure: Figure, labels: list[str], theta: np.ndarray | None) -> None:
    n = len(labels)
    panels = np.array(figure.axes).reshape(n, n)
    margin = 0.72 / figure.get_figwidth()
    figure.subplots_adjust(margin, margin, 0.99, 0.99, wspace=0.06, hspace=0.06)
    for row in range(n):
        panels[row, row].set_ylim(0, None)
        panels[row, row].relim()
        panels[row, row].autoscale(axis="y")
        panels[row, row].spines["left"].set_visible(False)
        for column in range(row + 1):
            axes = panels[row, column]
            axes.grid(visible=False)
            axes.tick_params(labelsize=7, length=2.5)
            if theta is None:
                continue
            style = {"color": INK, "linewidth": 0.9, **_REFERENCE_STYLE}
            if np.isfinite(theta[column]):
                axes.axvline(theta[column], **style)
            if column < row and np.isfinite(theta[row]):
                axes.axhline(theta[row], **style)


@styled
def posterior_beside_literature(
    targets: xr.Dataset,
    samples: Mapping[str, WeightedSamples],
    literature: Sequence[Mapping[str, object]],
) -> Figure:
    """Marginal posteriors of an observed planet, published values as points with error bars.

    Parameters
    ----------
    targets
        Any dataset with the targets' coordinates.
    samples
        Samples (sample, target) and weights (sample,) by the model's name.
    literature
        Rows with ``source``, ``quantity`` (of a target), ``value`` and ``error`` in the target's
        unit; rows about other quantities are passed over.
    """
    labels, quantities = target_labels(targets), targets["target_quantity"].values
    figure, panels = grid_of_panels(len(labels), panel_inches=(2.9, 2.2))
    sources = list(dict.fromkeys(str(row["source"]) for row in literature))
    for index, (axes, label) in enumerate(zip(panels, labels, strict=True)):
        published = [row for row in literature if row["quantity"] == quantities[index]]
        spans = [np.add(row["value"], np.outer([-1, 1], row["error"])) for row in published]
        low, high = central_range(*[theta[:, index] for theta, _ in samples.values()], *spans)
        edges = np.linspace(low, high, 36)
        for number, (theta, weight) in enumerate(samples.values()):
            axes.hist(theta[:, index], edges, weights=weight, density=True, histtype="stepfilled",
                      color=colour(number), alpha=0.15)  # fmt: skip
            axes.hist(theta[:, index], edges, weights=weight, density=True, histtype="step",
                      color=colour(number), linewidth=1.3)  # fmt: skip
        top = axes.get_ylim()[1]
        for level, row in enumerate(published):
            marker = {"fmt": "D", "markersize": 4, "capsize": 2.5, "color": INK}
            axes.errorbar(
                row["value"],
                top * (1.06 + 0.1 * level),
                xerr=row["error"],
                markerfacecolor=INK if row["source"] == sources[0] else "none",
                **marker,
            )
        axes.set(ylim=(0, top * (1.06 + 0.1 * max(len(published), 1))), xlabel=label, yticks=[])
        axes.set_ylabel("density [per unit]" if index % 3 == 0 else "")
        axes.grid(visible=False, axis="y")
    handles = [Line2D([], [], color=colour(i), linewidth=2.5) for i in range(len(samples))]
    handles += [
        Line2D([], [], color=INK, marker="D", markersize=4, linestyle="-",
               markerfacecolor=(INK if i == 0 else "none"), markeredgecolor=INK)
        for i in range(len(sources))
    ]  # fmt: skip
    names = [*samples, *sources]
    figure.legend(handles, names, loc="outside upper center", ncols=min(4, len(names)))
    return figure
