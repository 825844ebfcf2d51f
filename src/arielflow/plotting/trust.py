"""Figures about trust: what certificates see, and what they say of a run's planets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from arielflow.plotting.style import CONTINUOUS, MUTED, PERCENT, colour, styled


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
    left.set_ylabel("fault")
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


@styled
def test_probabilities(values: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Sorted probabilities of tests against those expected of planets without a fault.

    Parameters
    ----------
    values
        Probabilities (planet,) by what is tested, a panel each, and by test.
    """
    figure = Figure(figsize=(9.2, 3.4), layout="constrained")
    panels = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
    for axes, (title, tests) in zip(panels, values.items(), strict=True):
        axes.axline((1e-3, 1e-3), (1, 1), color=MUTED, linewidth=0.8)
        for index, (name, found) in enumerate(tests.items()):
            expected = (np.arange(len(found)) + 0.5) / len(found)
            label = name.replace("_", " ")
            axes.plot(expected, np.sort(found), color=colour(index), label=label, linewidth=1.2)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(right=1)
        axes.set_ylim(top=1)
        axes.set_title(title)
        axes.set_xlabel("expected probability [1]")
        axes.legend(loc="lower right", fontsize=7)
    panels[0].set_ylabel("probability found [1]")
    return figure
