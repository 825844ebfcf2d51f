"""Figures of detector frames: images, light curves, their noise, and the spectra made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from arielflow.plotting.style import (
    CONTINUOUS,
    GRID,
    INK,
    PPM,
    central_range,
    colour,
    grid_of_panels,
    label_outer,
    plain,
    styled,
    wavelength_axis,
)

_LINEAR_ELECTRONS = 100.0
"""Below this the images' scale is linear, so that the background's noise does not fill it."""
_FEWEST_PPM = 100.0
_MARKERS = "os^Dv"


@styled
def detector_images(
    images: Mapping[str, np.ndarray],
    usable: Mapping[str, np.ndarray],
    wavelength_um: Mapping[str, np.ndarray],
) -> Figure:
    """Mean images of the sensors, with the pixels marked that do not count.

    Parameters
    ----------
    images
        By sensor electrons of a pair of reads (row, column).
    usable
        By sensor which pixels count, true or 1 (row, column).
    wavelength_um
        Of the columns (column,) [um], in any order, for the sensors whose columns are channels.
    """
    figure = Figure(figsize=(8.6, 2.75), layout="constrained")
    widths = [2.7 if name in wavelength_um else 1.0 for name in images]
    panels = figure.subplots(1, len(images), squeeze=False, width_ratios=widths)[0]
    for axes, (name, image) in zip(panels, images.items(), strict=True):
        good, columns = usable[name].astype(bool), np.arange(image.shape[1], dtype=float)
        axes.set_xlabel("column [pixels]")
        if name in wavelength_um:
            order = np.argsort(wavelength_um[name])
            image, good, columns = image[:, order], good[:, order], wavelength_um[name][order]
            axes.set_xlabel("wavelength [µm]")
        rows, shown = np.arange(len(image), dtype=float), np.where(good, image, np.nan)
        top = float(np.nanmax(shown, initial=_LINEAR_ELECTRONS))
        low = float(np.nanmin(shown, initial=0.0))
        cells = axes.pcolormesh(
            columns, rows, shown, cmap=CONTINUOUS, shading="nearest", rasterized=True,
            norm=AsinhNorm(_LINEAR_ELECTRONS, vmin=low, vmax=top),
        )  # fmt: skip
        bad_rows, bad_columns = np.nonzero(~good)
        axes.plot(
            columns[bad_columns], rows[bad_rows], "x", color=colour(1), markersize=3.5,
            markeredgewidth=1.0, clip_on=False, rasterized=len(bad_rows) > 300,
            in_layout=False,  # without any, their extent would upset the layout
        )  # fmt: skip
        axes.set_title(
            f"{plain(name)} · {len(bad_rows):,} of {good.size:,} pixels left out",
            loc="left",
        )
        axes.set_ylabel("row [pixels]")
        axes.grid(visible=False)
        bar = figure.colorbar(cells, ax=axes, pad=0.01, label="electrons per pair [e⁻]")
        _electron_ticks(bar.ax, low, top)
    return figure


def _electron_ticks(axes: Axes, low: float, top: float) -> None:
    """Zero and powers of ten, which the scale's own ticks are not."""
    ticks = [0.0, *(t for t in (1e2, 1e3, 1e4, 1e5, 1e6) if t <= top)]
    axes.yaxis.set_major_locator(FixedLocator([t for t in ticks if t >= low]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


@styled
def light_curves(
    time_h: np.ndarray,
    flux: Mapping[str, np.ndarray],
    error: Mapping[str, np.ndarray],
    visits: Sequence[str],
) -> Figure:
    """White light curves with error bars, a panel per sensor and a colour per visit.

    Parameters
    ----------
    time_h
        Since the visit's start (time,) [h].
    flux, error
        By sensor the relative flux and its standard deviation (visit, time).
    visits
        Names of the visits, for the legend.
    """
    figure = Figure(figsize=(8.2, 0.7 + 2.0 * len(flux)), layout="constrained")
    panels = figure.subplots(len(flux), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, curves) in zip(panels, flux.items(), strict=True):
        for visit, curve in enumerate(curves):
            axes.errorbar(
                time_h, curve, error[name][visit], fmt=_MARKERS[visit % len(_MARKERS)],
                color=colour(visit), markersize=2.8, elinewidth=0.8, markeredgewidth=0,
                label=plain(visits[visit]),
            )  # fmt: skip
        axes.set_title(plain(name), loc="left")
        axes.set_ylabel("relative flux [1]")
    panels[-1].set_xlabel("time since the visit's start [h]")
    if len(visits) > 1:
        panels[0].legend(loc="lower left")
    figure.align_ylabels(panels)
    return figure


@styled
def flux_map(
    time_h: np.ndarray, wavelength_um: np.ndarray, flux: np.ndarray, visits: Sequence[str]
) -> Figure:
    """Relative flux over time and wavelength, a panel per visit.

    Parameters
    ----------
    time_h
        Since the visit's start (time,) [h].
    wavelength_um
        Of the channels, ascending (channel,) [um].
    flux
        Relative flux (visit, time, channel).
    visits
        Names of the visits.
    """
    figure = Figure(figsize=(8.2, 0.5 + 2.5 * len(flux)), layout="constrained")
    panels = figure.subplots(len(flux), 1, sharex=True, squeeze=False)[:, 0]
    low, high = central_range(flux, inside=0.98)
    for axes, name, values in zip(panels, visits, flux, strict=True):
        cells = axes.pcolormesh(
            time_h, wavelength_um, values.T, cmap=CONTINUOUS, vmin=low, vmax=high,
            shading="nearest", rasterized=True,
        )  # fmt: skip
        axes.set_facecolor(GRID)
        axes.set_ylabel("wavelength [µm]")
        axes.grid(visible=False)
        if len(visits) > 1:
            axes.set_title(plain(name), loc="left")
    panels[-1].set_xlabel("time since the visit's start [h]")
    figure.colorbar(cells, ax=panels, pad=0.01, label="relative flux [1]", extend="both")
    return figure


@styled
def image_positions(
    time_h: np.ndarray, positions: Mapping[str, Mapping[str, np.ndarray]]
) -> Figure:
    """Where the image lies on the sensor over time, against its median: slow drifts and jitter.

    Parameters
    ----------
    time_h
        Since the visit's start (time,) [h].
    positions
        By axis, ``row`` and ``column``, and by name of sensor and visit the light-weighted mean
        position (time,) [pixels].
    """
    figure = Figure(figsize=(8.2, 0.9 + 1.7 * len(positions)), layout="constrained")
    panels = figure.subplots(len(positions), 1, sharex=True, squeeze=False)[:, 0]
    names = list(dict.fromkeys(name for curves in positions.values() for name in curves))
    for axes, (axis, curves) in zip(panels, positions.items(), strict=True):
        for name, curve in curves.items():
            shift = curve - np.nanmedian(curve)
            axes.plot(time_h, shift, color=colour(names.index(name)), linewidth=0.9,
                      label=plain(name))  # fmt: skip
        axes.set_ylabel(f"shift in {axis}s [pixels]")
    panels[-1].set_xlabel("time since the visit's start [h]")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    figure.align_ylabels(panels)
    return figure


@styled
def noise_against_time(noise: Mapping[str, pd.DataFrame]) -> Figure:
    """Scatter of white light curves against the time that they are averaged over.

    Parameters
    ----------
    noise
        By planet ``sensor``, ``minutes`` [min], ``scatter_ppm`` and ``expected_ppm`` [ppm], as
        :func:`arielflow.evaluation.frames.noise.noise_by_time_scale` makes it.
    """
    figure, panels = grid_of_panels(len(noise), sharey=True)
    sensors = list(dict.fromkeys(name for table in noise.values() for name in table["sensor"]))
    for axes, (planet, table) in zip(panels, noise.items(), strict=True):
        for name, own in table.groupby("sensor", sort=False):
            shade = colour(sensors.index(name))
            axes.plot(own["minutes"], own["scatter_ppm"], "o-", color=shade, markersize=3.5)
            axes.plot(own["minutes"], own["expected_ppm"], "--", color=shade, linewidth=1.0)
        axes.set(xscale="log", yscale="log", title=plain(planet))
        axes.set_xlabel("averaged over [min]")
        axes.set_ylabel("scatter [ppm]")
        axes.xaxis.set_major_locator(FixedLocator(table["minutes"].unique()))
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        for axis, form in ((axes.xaxis, "{:.2g}"), (axes.yaxis, "{:,.0f}")):
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(lambda value, _, form=form: form.format(value)))
    label_outer(panels)
    first = panels[0]
    handles = [first.plot([], [], "o-", color=colour(i), markersize=3.5)[0]
               for i in range(len(sensors))]  # fmt: skip
    handles += [first.plot([], [], "--", color=INK, linewidth=1.0)[0]]
    names = [*map(plain, sensors), "photons and reads alone"]
    columns = len(names) if len(panels) > 1 else 1
    figure.legend(handles, names, loc="outside upper center", ncols=columns)
    return figure


@styled
def extracted_spectra(
    wavelength_um: np.ndarray,
    depth: Mapping[str, np.ndarray],
    sigma: Mapping[str, np.ndarray],
    truth: np.ndarray | None,
    titles: Sequence[str],
) -> Figure:
    """Extracted spectra with bands of one standard deviation, beside the true ones; by planet.

    Parameters
    ----------
    wavelength_um
        Of the channels, FGS1's first, then AIRS-CH0's ascending (channel,) [um].
    depth, sigma
        By extractor transit depth and standard deviation (planet, channel) [1].
    truth
        True depth (planet, channel) [1], or None.
    titles
        Of the panels, one per planet.
    """
    n_columns = min(2, len(titles))
    n_rows = -(-len(titles) // n_columns)
    figure = Figure(figsize=(4.1 * n_columns, 0.5 + 2.4 * n_rows), layout="constrained")
    # FGS1's channel lies far off the others: a narrow panel of its own beside theirs.
    panels = figure.subplots(
        n_rows, 2 * n_columns, squeeze=False, width_ratios=[0.1, 1.0] * n_columns
    ).reshape(-1, 2)
    for spare in panels[len(titles) :].ravel():
        spare.remove()
    for planet, (pair, title) in enumerate(zip(panels, titles, strict=False)):
        for index, name in enumerate(depth):
            _draw_spectrum(pair, wavelength_um, PPM * depth[name][planet],
                           PPM * sigma[name][planet], colour(index), name)  # fmt: skip
        true = None if truth is None else PPM * truth[planet]
        if true is not None:
            pair[0].plot(wavelength_um[:1], true[:1], "D", color=INK, markersize=3.5, zorder=4)
            pair[1].plot(wavelength_um[1:], true[1:], color=INK, linewidth=1.0, label="truth")
        limits = _depth_limits([PPM * found[planet] for found in depth.values()], true)
        for axes in pair:
            axes.set_ylim(*limits)
        pair[0].set_xticks(wavelength_um[:1], [f"{wavelength_um[0]:.1f}"])
        pair[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        pair[1].tick_params(labelleft=False, left=False)
        pair[1].spines["left"].set_visible(False)
        pair[1].set_title(plain(title))
        wavelength_axis(pair[1], wavelength_um[1:])
        if planet % n_columns == 0:
            pair[0].set_ylabel("transit depth [ppm]")
        if planet + n_columns < len(titles):
            pair[1].set_xlabel("")
    handles, labels = panels[0][1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return figure


def _draw_spectrum(
    pair: Sequence[Axes],
    wavelength_um: np.ndarray,
    depth_ppm: np.ndarray,
    sigma_ppm: np.ndarray,
    shade: str,
    name: str,
) -> None:
    """A point for the sensor with one channel, a line with its band for the other."""
    first, rest = pair
    first.errorbar(
        wavelength_um[:1], depth_ppm[:1], sigma_ppm[:1], fmt="o", color=shade, markersize=3.5,
        elinewidth=1.0, capsize=2,
    )  # fmt: skip
    low, high = (depth_ppm + side * sigma_ppm for side in (-1, 1))
    rest.fill_between(
        wavelength_um[1:], low[1:], high[1:], color=shade, alpha=0.22, linewidth=0,
    )  # fmt: skip
    rest.plot(wavelength_um[1:], depth_ppm[1:], color=shade, linewidth=0.8, label=plain(name))


def _depth_limits(found: Sequence[np.ndarray], true: np.ndarray | None) -> tuple[float, float]:
    """Limits that hold the truth and nearly all channels; a few wild ones are cut off."""
    low, high = central_range(*found, inside=0.96)
    if true is not None and np.isfinite(true).any():
        low, high = min(low, float(np.nanmin(true))), max(high, float(np.nanmax(true)))
    margin = max(0.12 * (high - low), 0.5 * (_FEWEST_PPM - (high - low)))
    return low - margin, high + margin
