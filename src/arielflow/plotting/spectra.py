"""Figures of one spectrum's retrieval: the fit, the joint posterior, the temperature profile."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from arielflow.plotting.style import (
    INK,
    MUTED,
    central_range,
    colour,
    depth_unit,
    plain,
    styled,
    wavelength_axis,
)

with warnings.catch_warnings():
    # corner imports arviz where it finds it, which announces its own plans.
    warnings.simplefilter("ignore")
    import corner

_MARKERS = "osD^vP<>Xp"
_MANY_POINTS = 120
_LONGEST_NAME = 34
_LEGEND_COLUMNS = 3
_LEAST_SIGMA, _MOST_SIGMA = 3.4, 8.0
_LEVELS = (0.393, 0.865)
_SMOOTHING_CELLS = 1.6
_FEW, _WIDE_PANEL, _PANEL = 4, 1.9, 1.45
_SHADES = {"95": 0.16, "68": 0.30}


@styled
def spectrum_figure(points: pd.DataFrame, curve: pd.DataFrame) -> Figure:
    """Observed depths and the model's bands over wavelength, and residuals below.

    Parameters
    ----------
    points
        One row per point: ``wavelength_um``, ``width_um``, ``depth``, ``error_low``,
        ``error_high``, ``offset`` (taken from the depth), ``instrument``, ``model_median``,
        ``residual_sigma``; depths are fractions.
    curve
        The model between them: ``wavelength_um``, ``median``, ``low_68``, ``high_68``, ``low_95``,
        ``high_95``; rows of NaN break the line.
    """
    names = list(dict.fromkeys(points["instrument"]))
    lines = -(-(len(names) + 2) // _LEGEND_COLUMNS)
    figure = Figure(figsize=(8.2, 4.9 + 0.2 * lines), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    half = 0.5 * points["width_um"]
    low_um, high_um = points["wavelength_um"] - half, points["wavelength_um"] + half
    span = np.array([low_um.min(), high_um.max()])
    factor, unit = depth_unit(points["depth"].to_numpy())
    inside = curve[curve["wavelength_um"].between(*span)]
    _draw_model(above, inside, factor)
    below.axhspan(-1, 1, color=MUTED, alpha=0.14, linewidth=0)
    below.axhline(0, color=INK, linewidth=0.8)
    for number, name in enumerate(names):
        own = points[points["instrument"] == name]
        style = _point_style(number, len(points))
        across = {"xerr": 0.5 * own["width_um"], **style}
        depth = factor * (own["depth"] - own["offset"])
        errors = factor * own[["error_low", "error_high"]].to_numpy().T
        above.errorbar(own["wavelength_um"], depth, errors, label=_shortened(name), **across)
        shown = own["residual_sigma"].clip(-_MOST_SIGMA, _MOST_SIGMA)
        below.errorbar(own["wavelength_um"], shown, 1.0, **across)
    most = points["residual_sigma"].abs().max() + 1
    below.set_ylim(*(side * np.clip(most, _LEAST_SIGMA, _MOST_SIGMA + 0.6) for side in (-1, 1)))
    above.set_ylabel(f"transit depth [{unit}]")
    below.set_ylabel("data − model [σ]")
    wavelength_axis(below, span)
    above.set_xlabel("")
    figure.align_ylabels([above, below])
    handles, labels = above.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=min(_LEGEND_COLUMNS, len(labels))
    )
    return figure


def _draw_model(axes: Axes, curve: pd.DataFrame, factor: float) -> None:
    for part, alpha in _SHADES.items():
        low, high = (factor * curve[f"{side}_{part}"] for side in ("low", "high"))
        axes.fill_between(curve["wavelength_um"], low, high, color=MUTED, alpha=alpha, linewidth=0,
                          label="model, 68 and 95 %" if part == "68" else None)  # fmt: skip
    median = factor * curve["median"]
    axes.plot(curve["wavelength_um"], median, color=INK, linewidth=0.8, label="model, median")


def _point_style(number: int, n_points: int) -> dict[str, object]:
    many = n_points > _MANY_POINTS
    return {
        "fmt": _MARKERS[number % len(_MARKERS)],
        "color": colour(number),
        "markersize": 2.4 if many else 3.8,
        "elinewidth": 0.6 if many else 0.9,
        "markeredgewidth": 0,
        "zorder": 3,
    }


def _shortened(name: str) -> str:
    short = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
    return plain(short) or "no name"


@styled
def corner_figure(samples: np.ndarray, labels: Sequence[str]) -> Figure:
    """The joint posterior of all pairs of parameters; above each, its median and central 68 %.

    Parameters
    ----------
    samples
        Equally weighted (sample, parameter).
    labels
        Symbol and unit of each parameter.
    """
    n = len(labels)
    # corner refuses fewer samples than parameters; repeated, their histograms are the same.
    samples = np.tile(samples, (-(-n // len(samples)), 1))
    limits = [central_range(column, inside=0.998) for column in samples.T]
    size = (_WIDE_PANEL if n <= _FEW else _PANEL) * n + 0.9
    figure = Figure(figsize=(size, size))
    with warnings.catch_warnings():
        # A posterior within a cell of the histogram has no contours, which the picture shows.
        warnings.simplefilter("ignore")
        corner.corner(
            samples,
            bins=24,
            fig=figure,
            color=colour(0),
            range=limits,
            labels=list(labels),
            levels=_LEVELS,
            smooth=_SMOOTHING_CELLS,
            smooth1d=1.0,
            plot_datapoints=False,
            plot_density=False,
            fill_contours=True,
            hist_kwargs={"linewidth": 1.3},
            contour_kwargs={"linewidths": 0.9},
            max_n_ticks=3,
            label_kwargs={"fontsize": 9.5},
            labelpad=0.12,
        )
    panels = np.array(figure.axes).reshape(n, n)
    margin = (0.86 + 0.14 * any("\n" in label for label in labels)) / size
    figure.subplots_adjust(margin, margin, 0.985, 1 - 0.34 / size, wspace=0.07, hspace=0.07)
    for row in range(n):
        for axes in panels[row, : row + 1]:
            axes.grid(visible=False)
            axes.tick_params(labelsize=8, length=2.5)
        own = panels[row, row]
        own.relim()
        own.autoscale(axis="y")
        own.set_ylim(0, None)
        own.spines["left"].set_visible(False)
        own.set_title(_interval(samples[:, row]), fontsize=8.5, pad=4)
    return figure


def _interval(values: np.ndarray) -> str:
    """Median and central 68 % as a formula, with two digits of the shorter side."""
    low, median, high = np.quantile(values, [0.16, 0.5, 0.84])
    shorter = min(high - median, median - low) or abs(median) or 1.0
    digits = int(np.clip(1 - np.floor(np.log10(shorter)), 0, 6))
    lower, upper = f"{median - low:.{digits}f}", f"{high - median:.{digits}f}"
    return rf"${median:.{digits}f}_{{-{lower}}}^{{+{upper}}}$"


@styled
def profile_figure(profile: pd.DataFrame) -> Figure:
    """Temperature over pressure, which falls upwards, with the central 68 and 95 %.

    Parameters
    ----------
    profile
        ``pressure_bar``, and [K] ``median``, ``low_68``, ``high_68``, ``low_95``, ``high_95``.
    """
    figure = Figure(figsize=(4.8, 4.6), layout="constrained")
    axes = figure.subplots()
    pressure = profile["pressure_bar"]
    for part, alpha in _SHADES.items():
        low, high = profile[f"low_{part}"], profile[f"high_{part}"]
        axes.fill_betweenx(pressure, low, high, color=colour(0), alpha=alpha, linewidth=0,
                           label=f"{part} %")  # fmt: skip
    axes.plot(profile["median"], pressure, color=colour(0), label="median")
    axes.set_yscale("log")
    axes.set_ylim(pressure.max(), pressure.min())
    axes.set(xlabel="temperature [K]", ylabel="pressure [bar]")
    figure.legend(loc="outside upper center", ncols=3)
    return figure
