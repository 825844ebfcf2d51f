"""Figures of drift between a training set and a test set."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from arielflow.plotting.style import (
    INK,
    MUTED,
    PERCENT,
    colour,
    plain,
    styled,
    wavelength_axis,
)

_LEVEL = 0.01
_SHIFT = "shift [standard deviations]"


def _zero_line(axes: Axes, *, vertical: bool = False) -> None:
    (axes.axvline if vertical else axes.axhline)(0, color=MUTED, linewidth=0.9)


@styled
def drift_by_bin(spectrum: pd.DataFrame, noise: pd.DataFrame) -> Figure:
    """Shift of depths and of error bars from training to test set, bin by bin.

    Parameters
    ----------
    spectrum, noise
        Columns ``wavelength_um``, ``shift``, ``shift_low``, ``shift_high`` (in standard
        deviations), ``ks_distance`` and ``q_value``; filled points have a q-value of at most .01.
    """
    figure = Figure(figsize=(7.2, 5.0), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey="row")
    titles = ("depth in scale heights", "error bar over mean depth")
    for index, (table, title) in enumerate(zip((spectrum, noise), titles, strict=True)):
        wavelength = table["wavelength_um"].to_numpy(dtype=float)
        differs = table["q_value"].to_numpy(dtype=float) <= _LEVEL
        shift, distance = panels[:, index]
        shift.fill_between(
            wavelength, table["shift_low"], table["shift_high"], color=colour(index), alpha=0.25,
            linewidth=0,
        )  # fmt: skip
        _zero_line(shift)
        for axes, values in (
            (shift, table["shift"].to_numpy(dtype=float)),
            (distance, PERCENT * table["ks_distance"].to_numpy(dtype=float)),
        ):
            axes.plot(wavelength, values, color=colour(index), linewidth=0.9)
            for chosen, face in ((differs, colour(index)), (~differs, "white")):
                axes.plot(
                    wavelength[chosen], values[chosen], "o", color=colour(index),
                    markerfacecolor=face, markersize=3.5,
                )  # fmt: skip
        distance.set_ylim(0, None)
        shift.set_title(title)
        wavelength_axis(distance, wavelength)
    panels[0, 0].set_ylabel(_SHIFT)
    panels[1, 0].set_ylabel("largest distance of the\ncumulative distributions [%]")
    handles = [
        panels[0, 0].plot([], [], "o", color=INK, markerfacecolor=face, markersize=4)[0]
        for face in (INK, "white")
    ]
    names = [f"false-discovery rate ≤ {_LEVEL:g}", "no difference seen"]
    figure.legend(handles, names, loc="outside upper center", ncols=2)
    return figure


@styled
def drift_scores(score: np.ndarray, is_test: np.ndarray, auroc: float) -> Figure:
    """Scores of the classifier that tells test from training planets, and its ROC curve.

    Parameters
    ----------
    score
        Probability of the test set for planets that the classifier had not seen (planet,).
    is_test
        Which set a planet belongs to (planet,).
    auroc
        Area under the curve, for the title.
    """
    figure = Figure(figsize=(7.2, 3.1), layout="constrained")
    left, right = figure.subplots(1, 2)
    samples = {"training planets": score[~is_test], "test planets": score[is_test]}
    edges = np.linspace(0, 1, 31)
    for index, (name, values) in enumerate(samples.items()):
        weights = np.full(len(values), PERCENT / len(values))
        left.hist(values, edges, weights=weights, histtype="stepfilled", alpha=0.3,
                  color=colour(index), label=name)  # fmt: skip
        left.hist(values, edges, weights=weights, histtype="step", color=colour(index))
    left.set(xlabel="probability of the test set [1]", ylabel="planets [%]", xlim=(0, 1))
    left.legend(loc="best")
    threshold = np.concatenate([[np.inf], np.unique(score)[::-1]])
    found, false = (
        np.array([PERCENT * np.mean(score[chosen] >= edge) for edge in threshold])
        for chosen in (is_test, ~is_test)
    )
    right.plot([0, PERCENT], [0, PERCENT], color=MUTED, linewidth=0.9)
    right.plot(false, found, color=INK)
    right.set(xlim=(0, PERCENT), ylim=(0, PERCENT), aspect="equal")
    right.set(xlabel="training planets taken for test [%]", ylabel="test planets found [%]")
    right.set_title(f"area under the curve {auroc:.3f}")
    return figure


@styled
def drift_of_parameters(parameters: pd.DataFrame) -> Figure:
    """Shift of systems and targets from training to test set, in standard deviations.

    Parameters
    ----------
    parameters
        Columns ``column`` (its name), ``shift``, ``shift_low``, ``shift_high``, ``ks_distance`` and
        ``q_value``; filled points have a q-value of at most .01.
    """
    figure = Figure(figsize=(7.2, 1.2 + 0.26 * len(parameters)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(parameters))
    shift, low, high, distance, q_value = (
        parameters[name].to_numpy(dtype=float)
        for name in ("shift", "shift_low", "shift_high", "ks_distance", "q_value")
    )
    differs = q_value <= _LEVEL
    left.errorbar(shift, rows, xerr=[shift - low, high - shift], fmt="none", ecolor=colour(0))
    _zero_line(left, vertical=True)
    for axes, values in ((left, shift), (right, PERCENT * distance)):
        for chosen, face in ((differs, colour(0)), (~differs, "white")):
            axes.plot(values[chosen], rows[chosen], "o", color=colour(0), markerfacecolor=face,
                      markersize=4.5)  # fmt: skip
    left.set_yticks(rows, [plain(str(name)) for name in parameters["column"]])
    left.set(xlabel=_SHIFT, ylabel="column")
    right.set(xlabel="largest distance of the\ncumulative distributions [%]", xlim=(0, None))
    left.invert_yaxis()
    return figure
