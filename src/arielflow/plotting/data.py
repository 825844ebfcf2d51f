"""Figures of the data themselves: quality, population, spectra."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

from arielflow.core.schema import Quality, is_usable
from arielflow.plotting.style import (
    INK,
    central_range,
    colour,
    depth_unit,
    grid_of_panels,
    label_outer,
    styled,
    target_labels,
    wavelength_axis,
)

_LARGE_RANGE = 30.0
_LARGE_NUMBER = 1e5
_FEW_DECADES = 1.8


@styled
def quality_counts(splits: Mapping[str, xr.Dataset]) -> Figure:
    """How many planets of each split bear which quality flag; those without any are good."""
    flags = [flag for flag in Quality if flag]
    names = ["good", *(flag.name.lower().replace("_", " ") for flag in flags)]
    figure = Figure(
        figsize=(6.2, 0.6 + 0.22 * len(names) * max(len(splits), 1)), layout="constrained"
    )
    axes = figure.subplots()
    height = 0.8 / max(len(splits), 1)
    largest = max((planets.sizes["planet"] for planets in splits.values()), default=1)
    for index, (split, planets) in enumerate(splits.items()):
        quality = planets["quality"].values
        counts = [int((quality == 0).sum()), *(int(((quality & f) != 0).sum()) for f in flags)]
        rows = np.arange(len(names)) + (index - (len(splits) - 1) / 2) * height
        # Square roots keep one bad planet visible beside thousands of good ones.
        axes.barh(rows, np.sqrt(counts), height * 0.9, color=colour(index), label=split)
        for row, count in zip(rows, counts, strict=True):
            axes.text(np.sqrt(count) + 0.01 * np.sqrt(largest), row, f"{count:,}", va="center",
                      fontsize=7.5)  # fmt: skip
    powers = [t for t in (1, 10, 100, 1000, 10_000, 100_000) if largest / 150 < t <= largest]
    ticks = [0, *powers]
    axes.set_xticks(np.sqrt(ticks), [f"{t:,}" for t in ticks])
    axes.set_yticks(np.arange(len(names)), names)
    axes.set(xlabel="planets [number, square-root scale]", xlim=(0, 1.12 * np.sqrt(largest)))
    axes.set_ylabel("quality flag")
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower right")
    return figure


def _distribution(axes: Axes, values: Mapping[str, np.ndarray], label: str) -> None:
    finite = {split: v[np.isfinite(v)] for split, v in values.items()}
    finite = {split: v for split, v in finite.items() if len(v)}
    pooled = np.concatenate(list(finite.values()))
    logarithmic = pooled.min() > 0 and (
        pooled.max() / pooled.min() > _LARGE_RANGE or pooled.max() > _LARGE_NUMBER
    )
    low, high = central_range(np.log10(pooled) if logarithmic else pooled, inside=1.0)
    edges = np.linspace(low, high, 31)
    if logarithmic:
        edges = 10**edges
        axes.set_xscale("log")
        if high - low < _FEW_DECADES:
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axes.xaxis.set_major_formatter(LogFormatterSciNotation(labelOnlyBase=False))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.locator_params(axis="x", nbins=5)
    for split, column in finite.items():
        index = list(values).index(split)
        weights = np.full(len(column), 100 / len(column))
        axes.hist(column, edges, weights=weights, histtype="stepfilled", color=colour(index),
                  alpha=0.3)  # fmt: skip
        axes.hist(column, edges, weights=weights, histtype="step", color=colour(index))
    axes.set_xlabel(label)


@styled
def population(splits: Mapping[str, xr.Dataset]) -> Figure | None:
    """Distributions of targets and auxiliary quantities of each split's usable planets.

    Targets without any known value are left out; None if nothing is left.
    """
    splits = {name: planets.isel(planet=is_usable(planets)) for name, planets in splits.items()}
    first = next(iter(splits.values()))
    columns = [
        (label, {name: p["theta"].values[:, i] for name, p in splits.items()})
        for i, label in enumerate(target_labels(first))
    ]
    columns += [
        (
            _auxiliary_label(str(first["auxiliary_quantity"].values[i]), str(unit)),
            {name: p["auxiliary_value"].values[:, i] for name, p in splits.items()},
        )
        for i, unit in enumerate(first["auxiliary_units"].values)
    ]
    columns = [c for c in columns if any(np.isfinite(v).any() for v in c[1].values())]
    if not columns:
        return None
    figure, panels = grid_of_panels(len(columns), columns=4, panel_inches=(2.4, 1.75))
    for index, (axes, (label, values)) in enumerate(zip(panels, columns, strict=True)):
        _distribution(axes, values, label)
        axes.set_ylabel("planets [%]" if index % 4 == 0 else "")
        axes.locator_params(axis="y", nbins=4)
    handles = [axes.plot([], [], color=colour(i), linewidth=4)[0] for i in range(len(splits))]
    figure.legend(handles, list(splits), loc="outside upper center", ncols=len(splits))
    return figure


def _auxiliary_label(quantity: str, unit: str) -> str:
    """``surface_gravity_m_s2`` and ``m s-2`` to a label with the unit in brackets."""
    words = " ".join(quantity.split("_")[: -len(unit.split())])
    raised = re.sub(r"(-?[0-9]+)", r"$^{\1}$", unit)
    return f"{words} [{raised}]"


@styled
def spectra_gallery(planets: xr.Dataset, identifiers: Sequence[str]) -> Figure:
    """Transit depth over wavelength with one-sigma error bars, one panel per planet."""
    chosen = planets.sel(planet=list(identifiers))
    wavelength = chosen["wavelength"].values
    factor, unit = depth_unit(chosen["transit_depth"].values)
    figure, panels = grid_of_panels(len(identifiers), panel_inches=(3.1, 2.0))
    for index, (axes, name) in enumerate(zip(panels, identifiers, strict=True)):
        axes.errorbar(
            wavelength,
            factor * chosen["transit_depth"].values[index],
            factor * chosen["transit_depth_error"].values[index],
            fmt="o", markersize=2.4, linewidth=0.8, color=colour(0), ecolor=colour(5),
        )  # fmt: skip
        axes.set_title(f"planet {name}".replace("$", r"\$"), color=INK)
        axes.set_ylabel(f"transit depth [{unit}]")
        wavelength_axis(axes, wavelength)
    label_outer(panels)
    return figure
