"""Which bins carry which detection."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, SymLogNorm
from matplotlib.figure import Figure

from arielflow.plotting.style import GRID, INK, SERIES, plain, styled, wavelength_axis

_LEAST_LIMIT = 0.5
_LINEAR = 1.0
# Against, nothing, for; the colours of the first two series are told apart with any eyes.
_FOR_AND_AGAINST = LinearSegmentedColormap.from_list(
    "for_and_against", [SERIES[1], "#f7f7f7", SERIES[0]]
)


@styled
def detection_map(
    wavelength_um: np.ndarray,
    losses: Mapping[str, np.ndarray],
    needs_refit: Mapping[str, np.ndarray] | None = None,
    rests_on: Mapping[str, int | None] | None = None,
) -> Figure:
    """What leaving a part of the model out loses in predictions, part by part and bin by bin.

    Parameters
    ----------
    wavelength_um
        Centres of the bins (bin,), ascending [um].
    losses
        By part, such as a molecule: loss of expected log predictive density (bin,), NaN where it
        is not known.
    needs_refit
        By part: bins (bin,) whose loss is not to be trusted; they bear a dot.
    rests_on
        By part: the bin that a detection rests on alone, if any; it bears a frame.
    """
    # Wide enough for the report to let it be scrolled on a narrow screen rather than shrunk.
    figure = Figure(figsize=(7.6, 1.15 + 0.3 * len(losses)), layout="constrained")
    axes = figure.subplots()
    axes.grid(visible=False)
    edges = _edges(wavelength_um)
    rows = np.arange(len(losses) + 1) - 0.5
    values = np.array(list(losses.values()), dtype=float)
    found = np.abs(values[np.isfinite(values)])
    limit = max(_LEAST_LIMIT, float(found.max(initial=0)))
    # A strong band loses hundreds; what decides about a weak one must be seen beside it.
    norm = SymLogNorm(_LINEAR, vmin=-limit, vmax=limit)
    image = axes.pcolormesh(edges, rows, values, cmap=_FOR_AND_AGAINST, norm=norm, rasterized=True)
    axes.set_facecolor(GRID)
    for row, name in enumerate(losses):
        if needs_refit is not None:
            dotted = wavelength_um[needs_refit[name]]
            axes.plot(dotted, np.full(len(dotted), row), ".", color=INK, markersize=3)
        if rests_on is not None and (bin_ := rests_on.get(name)) is not None:
            corner, width = (edges[bin_], row - 0.5), edges[bin_ + 1] - edges[bin_]
            axes.add_patch(
                mpl.patches.Rectangle(corner, width, 1, fill=False, color=INK, linewidth=1.6)
            )
    axes.set_yticks(range(len(losses)), [plain(name) for name in losses])
    axes.set_ylabel("part of the model")
    axes.invert_yaxis()
    wavelength_axis(axes, wavelength_um)
    axes.set_xlim(edges[0], edges[-1])
    figure.colorbar(image, ax=axes, label="loss of elpd [1]", pad=0.01)
    return figure


def _edges(wavelength_um: np.ndarray) -> np.ndarray:
    """Edges (bin + 1,) half-way between the centres, in logarithms."""
    if len(wavelength_um) == 1:
        return wavelength_um[0] * np.array([0.95, 1.05])
    log = np.log(wavelength_um)
    middle = 0.5 * (log[1:] + log[:-1])
    return np.exp(np.concatenate([[2 * log[0] - middle[0]], middle, [2 * log[-1] - middle[-1]]]))
