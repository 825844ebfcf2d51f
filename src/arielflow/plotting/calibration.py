"""Figures of calibration by groups of planets, and of what recalibration does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from arielflow.plotting.style import GRID, INK, MUTED, PERCENT, colour, styled

_NAMES = {
    "all": "all planets",
    "signal_to_noise": "signal-to-noise {} [1]",
    "temperature": "equilibrium temperature {} K",
    "cluster": "cluster {}",
}


@styled
def coverage_by_group(table: pd.DataFrame, targets: xr.Dataset, level: int = 68) -> Figure:
    """Share of the truths inside one central interval, by group of planets and target.

    Parameters
    ----------
    table
        One row per group and target: ``covariate``, ``group``, ``target``, ``outside``, and
        ``coverage_<level>`` with the band of an exact posterior in ``_low`` and ``_high``.
    targets
        Any dataset with the targets.
    level
        Nominal coverage [%], one of the table's.
    """
    groups = list(dict.fromkeys(zip(table["covariate"], table["group"], strict=True)))
    names = [str(name) for name in targets["target"].values]
    figure = Figure(
        figsize=(2.6 + 1.25 * len(names), 1.5 + 0.24 * len(groups)), layout="constrained"
    )
    panels = figure.subplots(1, len(names), sharey=True, sharex=True, squeeze=False)[0]
    name = f"coverage_{level}"
    for axes, target, latex in zip(panels, names, targets["target_latex"].values, strict=True):
        own = table[table["target"] == target]
        rows = np.array(
            [groups.index(pair) for pair in zip(own["covariate"], own["group"], strict=True)]
        )
        low, high, share = (
            PERCENT * own[column].to_numpy(dtype=float)
            for column in (f"{name}_low", f"{name}_high", name)
        )
        axes.barh(rows, high - low, left=low, height=0.7, color=GRID, label="exact posterior")
        axes.axvline(level, color=MUTED, linewidth=0.8)
        _points(axes, share, rows, own["outside"].to_numpy(dtype=bool))
        for row in range(1, len(groups)):
            if groups[row][0] != groups[row - 1][0]:
                axes.axhline(row - 0.5, color=MUTED, linewidth=0.6)
        axes.set_title(str(latex))
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(range(len(groups)), [_name(*pair) for pair in groups])
    panels[0].set_ylabel("group of planets")
    panels[0].invert_yaxis()
    panels[len(names) // 2].set_xlabel(f"truths inside the {level} % interval [%]")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def _points(axes: Axes, share: np.ndarray, rows: np.ndarray, outside: np.ndarray) -> None:
    for chosen, face, name in (
        (outside, colour(1), "outside of the band (any level)"),
        (~outside, INK, "inside"),
    ):
        axes.plot(share[chosen], rows[chosen], "o", color=face, markersize=3.5, label=name)


def _name(covariate: str, group: str) -> str:
    if covariate == "detectable":
        return {"yes": "detectable", "no": "not detectable"}[group]
    return _NAMES[covariate].format(group).replace(" to ", "–")


@styled
def recalibration_maps(levels: np.ndarray, shares: np.ndarray, targets: xr.Dataset) -> Figure:
    """Shares of the truths expected below a model's quantiles, less the quantiles' levels.

    Parameters
    ----------
    levels
        Of the quantiles (level,), between 0 and 1.
    shares
        Expected shares (level, target).
    targets
        Any dataset with the targets.
    """
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color=MUTED, linewidth=0.8)
    for index, latex in enumerate(targets["target_latex"].values):
        change = PERCENT * (shares[:, index] - levels)
        axes.plot(PERCENT * levels, change, color=colour(index), label=str(latex))
    axes.set_xlabel("level of the model's quantile [%]")
    axes.set_ylabel("truths below it, less the level [%]")
    axes.set_xlim(0, PERCENT)
    axes.legend(loc="best", ncols=2, fontsize=7)
    return figure
