"""Figures of what a model looked at: attribution bands, agreement with physics, counterfactuals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from arielflow.plotting.style import (
    INK,
    MUTED,
    colour,
    depth_unit,
    plain,
    styled,
    target_labels,
    wavelength_axis,
)


class Band(Protocol):
    """An interval of wavelength that belongs to a molecule."""

    @property
    def molecule(self) -> str: ...
    @property
    def low_um(self) -> float: ...
    @property
    def high_um(self) -> float: ...


_SIGNED = "RdBu_r"
_RISES, _FALLS = "#b2182b", "#2166ac"
_ROW_INCHES = 0.95
_BAND_ALPHA = 0.16
_MOST_GROUPS = 30
# Ends of the scale of shifts; a model that hardly learnt anything has none as large as the lower.
_LEAST_SHIFT, _LEAST_TOP = 0.1, 0.2


@styled
def attribution_bands(
    planet: xr.Dataset, attributions: Mapping[str, np.ndarray], bands: Sequence[Band]
) -> Figure:
    """A spectrum coloured by what each bin does to an answer, and the attributions below.

    Parameters
    ----------
    planet
        One planet of a planets dataset.
    attributions
        By name, (target, wavelength), in target units per error bar. The first one's shares of its
        largest value colour the strip of every target, the others are drawn as lines beside it.
    bands
        Molecular bands to mark.
    """
    labels = target_labels(planet)
    wavelength = planet["wavelength"].values
    figure = Figure(figsize=(8.2, 2.1 + _ROW_INCHES * len(labels)), layout="constrained")
    panels = figure.subplots(
        len(labels) + 1, 1, sharex=True, height_ratios=(2.2, *[1] * len(labels))
    )
    factor, unit = depth_unit(planet["transit_depth"].values)
    depth, error = (
        factor * planet[name].values for name in ("transit_depth", "transit_depth_error")
    )
    panels[0].errorbar(wavelength, depth, error, fmt="o-", color=INK, ms=2.5, lw=0.8)
    panels[0].set_ylabel(f"transit depth [{unit}]")
    panels[0].set_title(plain(str(planet["planet"].values)))
    marked = _mark_bands(panels, bands, wavelength)
    for column, (axes, label) in enumerate(zip(panels[1:], labels, strict=True)):
        for number, (name, values) in enumerate(attributions.items()):
            own = values[column]
            if number == 0:
                _signed_bars(axes, planet, own)
            else:
                axes.plot(wavelength, own, "o-", ms=2, lw=1, color=INK, label=name)
        axes.axhline(0, color=MUTED, lw=0.7)
        symbol, target_unit = label[:-1].rsplit(" [", 1)
        axes.set_ylabel(f"{symbol}\n[{target_unit}/σ]", fontsize=7.5)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    wavelength_axis(panels[-1], wavelength)
    handles = [axes_handle for axes_handle in panels[1].get_lines()[:1] if len(attributions) > 1]
    names = [f"{name} (line)" for name in list(attributions)[1:]]
    first = next(iter(attributions))
    figure.legend(
        [*handles, *marked.values()],
        [*names, *marked],
        loc="outside upper center",
        ncols=7,
        title=f"change of the answer per error bar: {first} (bars)",
        title_fontsize=8,
    )
    return figure


def _signed_bars(axes: Axes, planet: xr.Dataset, values: np.ndarray) -> None:
    colours = np.where(values > 0, _RISES, _FALLS)
    width = 0.85 * planet["wavelength_width"].values
    axes.bar(planet["wavelength"].values, values, width, color=colours.tolist(), alpha=0.8)


def _mark_bands(
    panels: Sequence[Axes], bands: Sequence[Band], wavelength: np.ndarray
) -> dict[str, object]:
    """Shade the bands within the spectrum; a handle of every molecule."""
    order = list(dict.fromkeys(band.molecule for band in bands))
    marked: dict[str, object] = {}
    for band in bands:
        low, high = max(band.low_um, wavelength[0]), min(band.high_um, wavelength[-1])
        if low >= high:
            continue
        shade = colour(order.index(band.molecule))
        for axes in panels:
            patch = axes.axvspan(low, high, color=shade, alpha=_BAND_ALPHA, lw=0)
        marked.setdefault(band.molecule, patch)
    return marked


@styled
def agreement_chart(table: pd.DataFrame) -> Figure:
    """Median rank correlation with the gain by method and target, as a heat map.

    Parameters
    ----------
    table
        ``method``, ``target`` and ``median_rho``; methods and targets in the order of their rows.
    """
    methods, targets = (list(dict.fromkeys(table[name])) for name in ("method", "target"))
    values = table.pivot(index="method", columns="target", values="median_rho")
    values = values.loc[methods, targets].to_numpy(dtype=float)
    # One method alone still needs the height that the colours' label takes.
    figure = Figure(figsize=(7.6, max(2.4, 1.0 + 0.27 * len(methods))), layout="constrained")
    axes = figure.subplots()
    _heat_map(axes, values, targets, methods, -1, 1, "median rank correlation\nwith the gain [1]")
    return figure


def _heat_map(
    axes: Axes,
    values: np.ndarray,
    columns: list[str],
    rows: list[str],
    low: float,
    high: float,
    label: str,
    map_name: str = _SIGNED,
) -> None:
    image = axes.imshow(values, cmap=map_name, vmin=low, vmax=high, aspect="auto")
    axes.figure.colorbar(image, ax=axes, label=label)
    axes.set_xticks(range(len(columns)), [plain(name) for name in columns], rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), [plain(name) for name in rows])
    axes.set(xlabel="target", ylabel="method")
    axes.grid(visible=False)
    span = high - low
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        if np.isfinite(value):
            place = (value - low) / span
            dark = abs(place - 0.5) > 0.36 if map_name == _SIGNED else place < 0.5
            axes.text(
                column, row, f"{value:.2f}", ha="center", va="center", fontsize=7,
                color="white" if dark else INK,
            )  # fmt: skip


@styled
def sanity_chart(trained: pd.DataFrame, untrained: pd.DataFrame) -> Figure:
    """A method's agreement with the gain on the trained model and on random networks.

    Parameters
    ----------
    trained
        ``target``, ``median_rho``, ``low_rho`` and ``high_rho``, a row a target.
    untrained
        ``target`` and ``median_rho``, a row a target and random network.
    """
    targets = list(trained["target"])
    figure = Figure(figsize=(6.6, 3.0), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(targets))
    for row, target in enumerate(targets):
        values = untrained.loc[untrained["target"] == target, "median_rho"].to_numpy()
        spread = np.linspace(-0.2, 0.2, len(values))
        label = "networks of random weights" if row == 0 else None
        axes.plot(row + spread, values, "o", ms=3.5, color=MUTED, alpha=0.8, label=label)
    middle = trained["median_rho"].to_numpy()
    ends = np.abs([middle - trained["low_rho"], trained["high_rho"] - middle])
    axes.errorbar(
        place, middle, ends, fmt="D", color=colour(0), ms=5, lw=1.2,
        label="trained (median and quartiles)",
    )  # fmt: skip
    axes.axhline(0, color=INK, lw=0.7)
    axes.set_xticks(place, [plain(name) for name in targets], rotation=20)
    axes.set(xlabel="target", ylabel="rank correlation with the gain [1]", ylim=(-1.05, 1.05))
    axes.legend(loc="lower left", ncols=2)
    return figure


@styled
def band_importance(table: pd.DataFrame) -> Figure:
    """Permutation importance of bands for every target, over all planets and by cluster.

    Parameters
    ----------
    table
        ``cluster`` (0 for all), ``group``, ``target``, ``shift`` and ``planets``.
    """
    clusters = list(dict.fromkeys(table["cluster"]))
    groups = list(dict.fromkeys(table["group"]))[:_MOST_GROUPS]
    targets = list(dict.fromkeys(table["target"]))
    figure = Figure(
        figsize=(2.2 + 2.3 * len(clusters), 1.3 + 0.21 * len(groups)), layout="constrained"
    )
    panels = figure.subplots(1, len(clusters), sharey=True, squeeze=False)[0]
    top = max(_LEAST_TOP, float(table["shift"].max()))
    for axes, cluster in zip(panels, clusters, strict=True):
        own = table[table["cluster"] == cluster]
        values = own.pivot(index="group", columns="target", values="shift").loc[groups, targets]
        image = axes.imshow(
            np.log10(values.clip(lower=_LEAST_SHIFT)), cmap="viridis",
            vmin=np.log10(_LEAST_SHIFT), vmax=np.log10(top), aspect="auto",
        )  # fmt: skip
        axes.set_xticks(range(len(targets)), [plain(name) for name in targets], rotation=90)
        axes.set_yticks(range(len(groups)), [plain(name.replace("um", "µm")) for name in groups])
        axes.grid(visible=False)
        name = "all planets" if cluster == 0 else f"cluster {cluster}"
        axes.set_title(f"{name} ({own['planets'].iloc[0]})")
        axes.set_xlabel("target")
    panels[0].set_ylabel("band whose bins are exchanged")
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if tick <= top]
    bar = figure.colorbar(image, ax=panels, label="rms shift of the posterior mean [σ]")
    bar.set_ticks(np.log10(ticks), labels=["≤ 0.1", *(f"{tick:g}" for tick in ticks[1:])])
    return figure


@styled
def counterfactual_spectra(planet: xr.Dataset, change: np.ndarray, bands: Sequence[Band]) -> Figure:
    """The least change of a spectrum that moves each target's answer by one standard deviation.

    Parameters
    ----------
    planet
        One planet of a planets dataset.
    change
        In error bars (target, wavelength); NaN or zero where none was found.
    bands
        Molecular bands to mark.
    """
    labels = target_labels(planet)
    wavelength = planet["wavelength"].values
    figure = Figure(figsize=(8.2, 0.9 + _ROW_INCHES * len(labels)), layout="constrained")
    panels = figure.subplots(len(labels), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    marked = _mark_bands(panels, bands, wavelength)
    for axes, label, own in zip(panels, labels, change, strict=True):
        _signed_bars(axes, planet, own)
        axes.axhline(0, color=MUTED, lw=0.7)
        symbol = label.rsplit(" [", 1)[0]
        axes.set_ylabel(f"{symbol}\n[σ]", fontsize=7.5)
        axes.text(
            0.995, 0.9, f"length {np.linalg.norm(own):.2f} σ", transform=axes.transAxes,
            ha="right", va="top", fontsize=7.5,
        )  # fmt: skip
    wavelength_axis(panels[-1], wavelength)
    title = f"{plain(str(planet['planet'].values))}: least change of the depths, in error bars"
    figure.legend(
        marked.values(), list(marked), loc="outside upper center", ncols=7, title=title,
        title_fontsize=9,
    )  # fmt: skip
    return figure
