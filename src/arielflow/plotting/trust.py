"""Figures about trust: what certificates see, and what they say of a run's planets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from arielflow.plotting.style import CONTINUOUS, PERCENT, styled

VERDICT_COLOURS = {"green": "#009e73", "amber": "#e69f00", "red": "#c1272d"}


@styled
def fault_power(table: pd.DataFrame, words: Mapping[str, str]) -> Figure:
    """How well certificates tell faulty spectra, by fault and by the chi2 that a refit leaves.

    Parameters
    ----------
    table
        One row per fault and interval: ``fault``, ``chi2_low``, ``chi2_high``,
        ``auroc_certificate``, ``red`` (share of the planets).
    words
        What the faults are, by name.
    """
    figure = Figure(figsize=(9.2, 0.34 * len(words) + 1.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    intervals = list(dict.fromkeys(zip(table["chi2_low"], table["chi2_high"], strict=True)))
    panels = (
        (left, "auroc_certificate", "area under the ROC curve", (0.5, 1.0), 1, "{:.2f}"),
        (right, "red", "called red [%]", (0, PERCENT), PERCENT, "{:.0f}"),
    )
    for axes, column, title, limits, scale, text in panels:
        cells = np.full((len(words), len(intervals)), np.nan)
        for row in table.itertuples():
            place = list(words).index(row.fault), intervals.index((row.chi2_low, row.chi2_high))
            cells[place] = scale * getattr(row, column)
        _heat_map(axes, cells, limits, CONTINUOUS, text)
        axes.set_title(title)
        axes.set_xticks(range(len(intervals)), [f"{a:g}–{b:g}" for a, b in intervals])
        axes.set_xlabel("χ² left by the best refit [1]")
        axes.set_yticks(range(len(words)), list(words.values()))
    return figure


def _heat_map(
    axes: Axes, cells: np.ndarray, limits: tuple[float, float], colours: Colormap, text: str
) -> None:
    axes.imshow(cells, aspect="auto", cmap=colours, vmin=limits[0], vmax=limits[1])
    axes.grid(visible=False)
    middle = 0.5 * sum(limits)
    for (row, column), value in np.ndenumerate(cells):
        if np.isfinite(value):
            ink = "black" if value > middle else "white"
            axes.text(column, row, text.format(value), ha="center", va="center", color=ink)
