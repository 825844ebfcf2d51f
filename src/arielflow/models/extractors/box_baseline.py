"""The organisers' baseline: how much fainter the star is in transit than out of it.

A box is laid over the white light curve of AIRS-CH0 where it explains most; its depth stands for
all channels, after one factor per channel that labelled planets tell, and the covariance is that
of what this leaves of their spectra.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr
from sklearn.covariance import ledoit_wolf

from arielflow.core.errors import ArielflowError
from arielflow.models.extractors.base import Spectrum, SpectrumExtractor

_DRIFT_DEGREE = 2
_FEWEST_BINS = 8
_FEWEST_PLANETS = 2
_EDGE = 0.05
"""Share of the visit that the transit leaves free at both of its ends, at least."""


class Extractor(SpectrumExtractor):
    """A box over the white light curve."""

    name = "box_baseline"

    def fit(self, curves: Iterable[xr.Dataset], spectra: np.ndarray) -> None:
        """Learn each channel's factor on the box's depth, and the covariance of the rest."""
        depths = np.full(len(spectra), np.nan)
        for planet, light in enumerate(curves):
            try:
                depths[planet] = white_depth(light)
            except ArielflowError:
                continue  # the planet cannot teach, and says so where it is extracted
        known = np.isfinite(depths)
        if known.sum() < _FEWEST_PLANETS:
            raise ArielflowError(
                f"extractor {self.name}: {known.sum()} of {len(spectra)} labelled planets have a "
                f"light curve with a transit, expected at least {_FEWEST_PLANETS}"
            )
        depth, true = depths[known], spectra[known]
        factor = depth @ true / (depth @ depth)
        covariance, _ = ledoit_wolf(true - np.outer(depth, factor), assume_centered=True)
        self.state = {"factor": factor, "covariance": covariance}

    def extract(self, curves: xr.Dataset) -> Spectrum:
        """The box's depth times each channel's factor."""
        return Spectrum(white_depth(curves) * self.state["factor"], self.state["covariance"])


def white_depth(curves: xr.Dataset) -> float:
    """Depth of a box over the white light curve, the mean over visits.

    Raises
    ------
    ArielflowError
        No visit has a light curve in which a transit could be.
    """
    airs = curves["channel_sensor"].values == "AIRS-CH0"
    white = curves["flux"].values[:, :, airs].sum(axis=2)
    found = [
        box_depth(flux[np.isfinite(flux)])
        for flux in white
        if np.isfinite(flux).sum() >= _FEWEST_BINS
    ]
    found = [depth for depth in found if np.isfinite(depth)]
    if not found:
        raise ArielflowError(
            f"planet {curves.attrs['planet_id']}: no visit has {_FEWEST_BINS} time bins of "
            "AIRS-CH0 and a transit in them"
        )
    return float(np.mean(found))


def box_depth(flux: np.ndarray) -> float:
    """Relative depth of the box that, beside a polynomial drift, explains most of a light curve.

    All boxes are tried: with an orthonormal basis of the drift the gain of a box needs nothing but
    cumulative sums.

    Parameters
    ----------
    flux
        Light curve (time,), evenly sampled.

    Returns
    -------
    float
        NaN where no box makes the star fainter.
    """
    n = len(flux)
    relative = flux / flux.mean() - 1
    basis, _ = np.linalg.qr(np.vander(np.linspace(-1, 1, n), _DRIFT_DEGREE + 1))
    rest = relative - basis @ (basis.T @ relative)
    sums = np.concatenate([[0.0], np.cumsum(rest)])
    inside = np.concatenate([np.zeros((1, basis.shape[1])), np.cumsum(basis, axis=0)])
    start, end = np.triu_indices(n + 1, k=max(2, n // 20))
    margin = max(1, round(_EDGE * n))
    kept = (start >= margin) & (end <= n - margin)
    start, end = start[kept], end[kept]
    # Of a box less what the drift explains of it: its square, and its product with the curve.
    square = (end - start) - ((inside[end] - inside[start]) ** 2).sum(axis=1)
    product = sums[end] - sums[start]
    gain = np.where(product < 0, product**2 / np.maximum(square, 1e-9), 0.0)
    if not gain.max() > 0:
        return float("nan")
    best = int(gain.argmax())
    box = np.zeros(n)
    box[start[best] : end[best]] = 1.0
    amplitude = product[best] / square[best]
    drift = 1 + basis @ (basis.T @ (relative - amplitude * box))
    return float(-amplitude / drift[start[best] : end[best]].mean())
