"""Figures of training and of what the models give: losses, leaderboard, predictions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter, NullLocator

from arielflow.core.schema import ALEATORIC, EPISTEMIC, JOINT, REFERENCE_ROWS
from arielflow.plotting.style import (
    GRID,
    INK,
    MAX_POINTS,
    MUTED,
    PERCENT,
    central_range,
    colour,
    grid_of_panels,
    label_outer,
    spread_sample,
    styled,
    target_labels,
    wavelength_axis,
)

_MAX_BARS = 500
_ROBUST_SPAN = 0.97
_ROOM_FOR_TEXT = 1.6
_TWO_SIGMA = 1.96
_EPISTEMIC_SPAN = 300
_EFFICIENCY_TICKS = (0.0001, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)


@styled
def training_curves(histories: Mapping[str, pd.DataFrame]) -> Figure | None:
    """Training (thin) and validation (thick) loss over epochs, one panel per model.

    Parameters
    ----------
    histories
        Tables with ``epoch``, ``train_loss``, ``valid_loss``, by ``model`` or ``model/member``.
        Empty ones (models that are not trained in epochs) are left out; None if nothing is left.
    """
    models: dict[str, list[pd.DataFrame]] = {}
    for name, history in histories.items():
        if len(history):
            models.setdefault(name.split("/")[0], []).append(history)
    if not models:
        return None
    figure, panels = grid_of_panels(len(models), panel_inches=(3.1, 2.3))
    for index, (axes, (model, members)) in enumerate(zip(panels, models.items(), strict=True)):
        for member, history in enumerate(members):
            for column, width, alpha in (("train_loss", 0.8, 0.6), ("valid_loss", 1.7, 1.0)):
                axes.plot(
                    history["epoch"], history[column], color=colour(member), linewidth=width,
                    alpha=alpha,
                )  # fmt: skip
            best = history["valid_loss"].to_numpy(dtype=float)
            if np.isfinite(best).any():
                row = int(np.nanargmin(best))
                axes.plot(history["epoch"].iloc[row], best[row], "o", color=colour(member), ms=4.5)
        axes.set_title(f"{model} · {len(members)} member" + "s" * (len(members) > 1))
        axes.set(xlabel="epoch [number]", ylabel="loss [1]" if index % 3 == 0 else "")
        _clip_to_late_losses(axes, members)
    handles = [panels[0].plot([], [], color=INK, linewidth=w)[0] for w in (0.8, 1.7)]
    handles.append(panels[0].plot([], [], "o", color=INK, ms=4.5)[0])
    names = ["training", "validation", "best validation"]
    figure.legend(handles, names, loc="outside upper center", ncols=3)
    return figure


def _clip_to_late_losses(axes: Axes, members: list[pd.DataFrame]) -> None:
    """Keep a few wild first epochs from flattening the rest."""
    losses = pd.concat([m[["train_loss", "valid_loss"]] for m in members]).to_numpy(dtype=float)
    losses = losses[np.isfinite(losses)]
    if len(losses):
        top = np.quantile(losses, _ROBUST_SPAN)
        margin = 0.06 * (top - losses.min()) or 0.5
        axes.set_ylim(losses.min() - margin, top + margin)


@styled
def leaderboard_chart(leaderboard: pd.DataFrame, score: str, label: str) -> Figure:
    """One score of every model as bars with confidence intervals; reference rows in grey.

    Parameters
    ----------
    leaderboard
        One row per model: ``model``, ``{score}`` and, where known, ``{score}_low`` and
        ``{score}_high``.
    score
        Column to show; rows without it are left out.
    label
        Axis label with unit.
    """
    rows = leaderboard.dropna(subset=[score]).sort_values(score)
    figure = Figure(figsize=(7, 0.75 + 0.34 * len(rows)), layout="constrained")
    axes = figure.subplots()
    values = rows[score].to_numpy(dtype=float)
    reference = rows["model"].isin(REFERENCE_ROWS).to_numpy()
    axes.barh(np.arange(len(rows)), values, 0.62,
              color=np.where(reference, MUTED, colour(0)).tolist(),
              alpha=0.85)  # fmt: skip
    ends = [rows.get(f"{score}_{end}", pd.Series(np.nan, rows.index)) for end in ("low", "high")]
    low, high = (np.where(np.isfinite(e), e, values) for e in (x.to_numpy(float) for x in ends))
    axes.errorbar(
        values, np.arange(len(rows)), xerr=np.abs([values - low, high - values]), fmt="none",
        ecolor=INK, elinewidth=1.1, capsize=2.5,
    )  # fmt: skip
    span = max(high.max(), 0) - min(low.min(), 0) or 1.0
    digits = 3 if span < 10 else 1
    for row, (value, end) in enumerate(zip(values, high, strict=True)):
        axes.text(max(end, value, 0) + 0.015 * span, row, f"{value:.{digits}f}", va="center")
    axes.set_yticks(np.arange(len(rows)), rows["model"])
    axes.set(xlabel=label, xlim=(min(low.min() * 1.05, 0), max(high.max(), 0) + 0.12 * span))
    axes.set_ylabel("model")
    axes.grid(visible=False, axis="y")
    return figure


@styled
def predicted_versus_true(planets: xr.Dataset, quantiles: np.ndarray, truth: np.ndarray) -> Figure:
    """Posterior median with its 68 % bar against the true value, one panel per target.

    Parameters
    ----------
    planets
        Any dataset with the targets' coordinates.
    quantiles
        16, 50 and 84 % of the posteriors, shape (planet, 3, target).
    truth
        True values, shape (planet, target).
    """
    figure, panels = grid_of_panels(truth.shape[1], panel_inches=(2.9, 2.6))
    shown = spread_sample(len(truth), _MAX_BARS)
    faint = 0.55 if len(shown) < 150 else 0.25
    for index, (axes, label) in enumerate(zip(panels, target_labels(planets), strict=True)):
        true, (low, median, high) = truth[shown, index], quantiles[shown, :, index].T
        limits = central_range(true, median)
        axes.plot(limits, limits, color=MUTED, linewidth=0.9)
        bars = axes.errorbar(
            true, median, [median - low, high - median], fmt="o", markersize=2.6, elinewidth=0.7,
            color=colour(0), ecolor=colour(0), rasterized=True,
        )  # fmt: skip
        for part in bars[2]:
            part.set_alpha(faint)
            part.set_rasterized(True)
        inside = np.mean((truth[:, index] >= quantiles[:, 0, index])
                         & (truth[:, index] <= quantiles[:, 2, index]))  # fmt: skip
        axes.set_title(f"{100 * inside:.0f} % of truths inside the 68 % bar", fontsize=8)
        axes.set(xlim=limits, ylim=limits, xlabel=f"true {label}", ylabel=f"posterior {label}")
    return figure


@styled
def coverage_curves(
    coverage: Mapping[str, pd.DataFrame], targets: xr.Dataset, n_planets: int
) -> Figure:
    """Expected against nominal coverage by model: one panel per target and one for all jointly.

    Parameters
    ----------
    coverage
        Tables ``level``, one column per target and ``joint``, by model.
    targets
        Any dataset with the targets' coordinates.
    n_planets
        Planets behind the curves; the band holds 95 % of those of an exact posterior.
    """
    titles = dict(zip(targets["target"].values, targets["target_latex"].values, strict=True))
    titles[JOINT] = "all targets jointly (TARP)"
    figure, panels = grid_of_panels(len(titles), panel_inches=(2.4, 2.3), sharex=True, sharey=True)
    nominal = np.linspace(0, 1, 101)
    margin = _TWO_SIGMA * np.sqrt(nominal * (1 - nominal) / n_planets)
    band = PERCENT * np.clip([nominal - margin, nominal + margin], 0, 1)
    for axes, (column, title) in zip(panels, titles.items(), strict=True):
        axes.fill_between(PERCENT * nominal, *band, color=GRID, linewidth=0)
        axes.plot([0, PERCENT], [0, PERCENT], color=MUTED, linewidth=0.9)
        for index, table in enumerate(coverage.values()):
            curve = table[["level", column]].to_numpy(dtype=float).T
            axes.plot(*(PERCENT * np.pad(curve, ((0, 0), (1, 0)))), color=colour(index))
        axes.set_title(title)
        axes.set(xlim=(0, PERCENT), ylim=(0, PERCENT), aspect="equal")
        axes.set(xlabel="nominal coverage [%]", ylabel="expected coverage [%]")
        axes.tick_params(labelbottom=True)
    label_outer(panels)
    handles = [panels[0].plot([], [], color=colour(index))[0] for index in range(len(coverage))]
    figure.legend(handles, list(coverage), loc="outside upper center", ncols=min(4, len(coverage)))
    return figure


@styled
def importance_quality(
    planets: Mapping[str, pd.DataFrame], efficiency: float, pareto_shape: float
) -> Figure:
    """Sampling efficiencies in order, and the Pareto shape of the weights' tail against them.

    Parameters
    ----------
    planets
        By row of the leaderboard, one row per planet: ``sampling_efficiency``, ``pareto_shape`` and
        ``fallen_back`` (bool), where nested sampling took over.
    efficiency, pareto_shape
        Nested sampling takes over below the one or above the other: drawn as lines.
    """
    figure = Figure(figsize=(7.2, 3.1), layout="constrained")
    left, right = figure.subplots(1, 2)
    for index, (name, table) in enumerate(planets.items()):
        ordered = table.sort_values("sampling_efficiency", ignore_index=True)
        fallen = ordered["fallen_back"].to_numpy(dtype=bool)
        rank = np.arange(1, len(ordered) + 1)
        for axes, x, y in (
            (left, rank, ordered["sampling_efficiency"]),
            (right, ordered["sampling_efficiency"], ordered["pareto_shape"]),
        ):
            axes.plot(x, y, "o", color=colour(index), markersize=3, alpha=0.7, label=name)
            axes.plot(x[fallen], y[fallen], "x", color=INK, markersize=7)
    left.axhline(efficiency, color=MUTED, linewidth=0.9, linestyle="--")
    right.axvline(efficiency, color=MUTED, linewidth=0.9, linestyle="--")
    right.axhline(pareto_shape, color=MUTED, linewidth=0.9, linestyle="--")
    left.set(xlabel="planet, in order of efficiency [number]", yscale="log")
    left.set_ylabel("sampling efficiency [1]")
    right.set(xlabel="sampling efficiency [1]", ylabel="Pareto shape [1]", xscale="log")
    for axis in (left.yaxis, right.xaxis):
        # Matplotlib's own labels of a logarithmic axis collide where it spans little.
        axis.set_major_locator(FixedLocator(_EFFICIENCY_TICKS))
        axis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in _EFFICIENCY_TICKS]))
        axis.set_minor_locator(NullLocator())
    handles, names = left.get_legend_handles_labels()
    handles.append(left.plot([], [], "x", color=INK, markersize=7)[0])
    handles.append(left.plot([], [], color=MUTED, linewidth=0.9, linestyle="--")[0])
    names += ["fell back", "threshold"]
    figure.legend(handles, names, loc="outside upper center", ncols=4)
    return figure


@styled
def spread_parts(parts: Mapping[str, xr.Dataset], targets: xr.Dataset) -> Figure:
    """Epistemic against aleatoric standard deviation of every planet, one panel per target.

    Epistemic ones below a panel's range stand on its edge.

    Parameters
    ----------
    parts
        Datasets with ``aleatoric`` and ``epistemic`` (planet, target), by row of the leaderboard.
    targets
        Any dataset with the targets' coordinates.
    """
    labels = target_labels(targets)
    figure, panels = grid_of_panels(len(labels), panel_inches=(2.6, 2.4))
    for column, (axes, label) in enumerate(zip(panels, labels, strict=True)):
        widths = np.concatenate([p[ALEATORIC].values[:, column] for p in parts.values()])
        top = np.nanmax(widths)
        limits = [min(np.nanmin(widths), top / _EPISTEMIC_SPAN), 1.5 * top]
        axes.plot(limits, limits, color=MUTED, linewidth=0.9)
        for index, values in enumerate(parts.values()):
            shown = spread_sample(values.sizes["planet"], MAX_POINTS)
            x, y = (values[name].values[shown, column] for name in (ALEATORIC, EPISTEMIC))
            axes.plot(
                x, np.maximum(y, limits[0]), "o", color=colour(index), markersize=2.5, alpha=0.5,
                rasterized=True,
            )  # fmt: skip
        axes.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
        axes.set(xlabel=f"aleatoric: {label}", ylabel=f"epistemic: {label}")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
    handles = [
        panels[0].plot([], [], "o", color=colour(index), markersize=4)[0]
        for index in range(len(parts))
    ]
    figure.legend(handles, list(parts), loc="outside upper center", ncols=min(4, len(parts)))
    return figure


@styled
def feature_importances(importances: pd.DataFrame, targets: xr.Dataset) -> Figure:
    """Importance of every spectral bin for every target, over wavelength.

    Parameters
    ----------
    importances
        Columns ``target`` (official name), ``feature``, ``importance`` and ``wavelength`` [µm];
        without a wavelength for features that are not spectral bins, which are listed beside.
    targets
        Any dataset with the targets' coordinates.
    """
    labels = dict(zip(targets["target"].values, targets["target_latex"].values, strict=True))
    figure, panels = grid_of_panels(len(labels), panel_inches=(3.1, 1.95))
    for index, (axes, (target, label)) in enumerate(zip(panels, labels.items(), strict=True)):
        rows = importances[importances["target"] == target]
        bins = rows.dropna(subset=["wavelength"]).sort_values("wavelength")
        wavelength, share = bins["wavelength"].to_numpy(), 100 * bins["importance"].to_numpy()
        axes.fill_between(wavelength, share, step="mid", color=colour(index), alpha=0.3)
        axes.step(wavelength, share, where="mid", color=colour(index))
        axes.set(title=label, ylabel="importance [%]", ylim=(0, None))
        wavelength_axis(axes, wavelength)
        others = rows[rows["wavelength"].isna()].nlargest(3, "importance")
        lines = [
            f"{name.replace('_', ' ')}: {100 * value:.1f} %"
            for name, value in zip(others["feature"].astype(str), others["importance"], strict=True)
        ]
        if lines:
            axes.set_ylim(0, _ROOM_FOR_TEXT * share.max())
            box = {"facecolor": GRID, "alpha": 0.5, "linewidth": 0}
            axes.text(0.98, 0.96, "\n".join(lines), transform=axes.transAxes, ha="right",
                      va="top", fontsize=7, bbox=box)  # fmt: skip
    label_outer(panels)
    return figure
