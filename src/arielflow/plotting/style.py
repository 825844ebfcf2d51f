"""The look of every figure: palette, axes, labels with units.

Figures are built as plain :class:`matplotlib.figure.Figure` objects, without pyplot's state. The
series colours are those of Okabe & Ito (2008), told apart with every kind of colour blindness.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

INK = "#24303c"
MUTED = "#6b7886"
GRID = "#d9e0e6"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7f6bb3", "#8c564b")
"""Distinct colours of models, components and clusters, in the order of use."""
CONTINUOUS = ListedColormap(mpl.colormaps["viridis"](np.linspace(0.12, 1, 256)), "viridis_cut")
"""Viridis without its darkest end, which would vanish on the report's dark page."""
MAX_POINTS = 3000
PANEL_INCHES = (2.75, 2.25)
PPM = 1e6
PERCENT = 100.0
_WAVELENGTH_TICKS_UM = (0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30)
_RC = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": mpl.cycler(color=SERIES),
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "figure.dpi": 110,
    "savefig.dpi": 130,
    "figure.facecolor": "white",
    "path.simplify_threshold": 0.5,
}

Arguments = ParamSpec("Arguments")


def styled(plot: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Run a plotting function in the project's style, leaving matplotlib's settings alone."""

    @wraps(plot)
    def in_style(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with mpl.rc_context(_RC):
            return plot(*args, **kwargs)

    return in_style


def colour(index: int) -> str:
    """The colour of the series with this index; they repeat after eight."""
    return SERIES[index % len(SERIES)]


def grid_of_panels(
    n_panels: int,
    columns: int = 3,
    panel_inches: tuple[float, float] = PANEL_INCHES,
    **subplots: object,
) -> tuple[Figure, list[Axes]]:
    """A figure with ``n_panels`` equal panels in rows of at most ``columns``."""
    columns = min(columns, n_panels)
    rows = -(-n_panels // columns)
    width = max(panel_inches[0] * columns, 3.4)
    figure = Figure(figsize=(width, panel_inches[1] * rows + 0.2), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, **subplots).ravel()
    for spare in panels[n_panels:]:
        spare.remove()
    return figure, list(panels[:n_panels])


def label_outer(panels: list[Axes], columns: int = 3) -> None:
    """Keep axis labels of the first column and of the last panel of every column."""
    for index, axes in enumerate(panels):
        if index + columns < len(panels):
            axes.set_xlabel("")
        if index % columns:
            axes.set_ylabel("")


def target_labels(dataset: xr.Dataset) -> list[str]:
    """Axis labels of the targets, symbol and unit, from the dataset's coordinates."""
    units = [str(u).replace("R_Jup", r"$R_\mathrm{Jup}$") for u in dataset["target_units"].values]
    return [f"{s} [{u}]" for s, u in zip(dataset["target_latex"].values, units, strict=True)]


def wavelength_axis(axes: Axes, wavelength_um: np.ndarray) -> None:
    """Label the horizontal axis as wavelength; logarithmic where it spans more than a factor 3."""
    low, high = float(wavelength_um.min()), float(wavelength_um.max())
    axes.set_xlabel("wavelength [µm]")
    if high / low <= 3:
        axes.set_xlim(low - 0.02 * (high - low), high + 0.02 * (high - low))
        return
    axes.set_xscale("log")
    axes.set_xlim(low * 0.9, high * 1.06)
    narrow = axes.get_position().width * axes.figure.get_figwidth() < 2.6
    wanted = (0.5, 1, 2, 3, 5, 7) if narrow else _WAVELENGTH_TICKS_UM
    ticks = [tick for tick in wanted if low * 0.9 <= tick <= high * 1.06]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())


def plain(text: str) -> str:
    """Text in which matplotlib finds no formula."""
    return text.replace("$", r"\$")


def depth_unit(depth: np.ndarray) -> tuple[float, str]:
    """Factor and unit in which transit depths read well: percent above 0.1 %, else ppm."""
    return (PERCENT, "%") if np.nanmedian(depth) > 1e-3 else (PPM, "ppm")


def spread_sample(n: int, maximum: int = MAX_POINTS) -> np.ndarray:
    """Indices of at most ``maximum`` of ``n`` points, evenly spread and the same every time."""
    return np.unique(np.linspace(0, n - 1, min(n, maximum)).astype(int)) if n else np.arange(0)


def central_range(*samples: np.ndarray, inside: float = 0.998) -> tuple[float, float]:
    """Limits holding the central part of all samples, widened a little."""
    values = np.concatenate([np.ravel(s) for s in samples])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = np.quantile(values, [(1 - inside) / 2, (1 + inside) / 2])
    margin = 0.04 * (high - low) or max(abs(low), 1.0) * 0.05
    return float(low - margin), float(high + margin)
