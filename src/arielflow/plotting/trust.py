"""Figures about trust: what certificates see, and what they say of a run's planets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from arielflow.plotting.style import (
    CONTINUOUS,
    MUTED,
    PERCENT,
    colour,
    styled,
    wavelength_axis,
)


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


@styled
def bin_alarms(
    wavelength_um: Mapping[str, np.ndarray],
    deeper: Mapping[str, np.ndarray],
    shallower: Mapping[str, np.ndarray],
) -> Figure:
    """Shares of planets whose spectrum leaves the best fit in single bins, one panel per model.

    Parameters
    ----------
    wavelength_um
        Centres of the bins, shape (wavelength,) [um], by label.
    deeper, shallower
        Shares of the planets beyond the limit on either side, shape (wavelength,), by label.
    """
    figure = Figure(figsize=(8.2, 1.35 * len(deeper) + 0.5), layout="constrained")
    panels = figure.subplots(len(deeper), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (label, above) in zip(panels, deeper.items(), strict=True):
        centre = wavelength_um[label]
        axes.axhline(0, color=MUTED, linewidth=0.7)
        for index, share in enumerate((above, -shallower[label])):
            axes.vlines(centre, 0, PERCENT * share, color=colour(index), linewidth=3.5)
        axes.set_title(label)
        axes.set_ylabel("planets [%]")
        axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
        wavelength_axis(axes, np.concatenate(list(wavelength_um.values())))
        if axes is not panels[-1]:
            axes.set_xlabel("")
    handles = [panels[0].plot([], [], color=colour(index), linewidth=3.5)[0] for index in (0, 1)]
    names = ["spectrum deeper than the fit", "shallower"]
    figure.legend(handles, names, loc="outside upper center", ncols=2)
    return figure


@styled
def absorber_shares(panels: Mapping[str, pd.DataFrame]) -> Figure:
    """Shares by model and absorber as heat maps.

    Parameters
    ----------
    panels
        Shares by title; rows are models, columns absorbers.
    """
    first = next(iter(panels.values()))
    figure = Figure(figsize=(9.6, 0.42 * len(first) + 1.2), layout="constrained")
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, table) in zip(row, panels.items(), strict=True):
        _heat_map(axes, PERCENT * table.to_numpy(), (0, PERCENT), CONTINUOUS, "{:.0f}")
        axes.set_title(f"{title} [%]")
        axes.set_xticks(range(table.shape[1]), list(table.columns), rotation=45, ha="right")
        axes.set_xlabel("absorber")
        axes.set_yticks(range(len(table)), list(table.index))
    row[0].set_ylabel("model")
    return figure


@styled
def opacity_corrections(
    wavelength_um: np.ndarray, corrections: Mapping[str, Mapping[str, np.ndarray]]
) -> Figure:
    """What residuals ask of cross-sections, by wavelength; one panel per absorber.

    Parameters
    ----------
    wavelength_um
        Centres of the bins, shape (wavelength,) [um].
    corrections
        log10 of the factors and their standard deviations, shape (2, wavelength) [dex], by model
        and absorber.
    """
    absorbers = list(next(iter(corrections.values())))
    rows = -(-len(absorbers) // 2)
    figure = Figure(figsize=(8.2, 1.55 * rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, 2, sharey=True, squeeze=False).ravel()
    handles = []
    for index, by_absorber in enumerate(corrections.values()):
        for axes, name in zip(panels, absorbers, strict=False):
            dex, deviation = by_absorber[name]
            axes.fill_between(
                wavelength_um, dex - deviation, dex + deviation, color=colour(index), alpha=0.25,
                linewidth=0,
            )  # fmt: skip
            line = axes.plot(wavelength_um, dex, "o-", color=colour(index), markersize=2.2)[0]
        handles.append(line)
    for place, (axes, name) in enumerate(zip(panels, absorbers, strict=False)):
        axes.axhline(0, color=MUTED, linewidth=0.7)
        axes.set_title(name)
        wavelength_axis(axes, wavelength_um)
        if place < len(absorbers) - 2:
            axes.set_xlabel("")
    for axes in panels[::2]:
        axes.set_ylabel("correction [dex]")
    for axes in panels[len(absorbers) :]:
        axes.set_visible(False)
    figure.legend(handles, list(corrections), loc="outside upper center", ncols=len(handles))
    return figure
