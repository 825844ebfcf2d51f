"""White light curves of a planet, and how far averaging them over time takes their noise down."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

_PPM = 1e6
_MINUTES = 60.0


def white_curves(curves: xr.Dataset) -> xr.Dataset:
    """Light curves of whole sensors relative to the star alone.

    A sensor's channels are summed, those without any flux left out. The star's level is the median
    over the first and the last quarter of a visit: in all 673 training planets of 2024 the transit
    lies between them.

    Parameters
    ----------
    curves
        What :func:`arielflow.frames.planet.planet_light_curves` returned.

    Returns
    -------
    xarray.Dataset
        ``flux(visit, sensor, time)`` [1] and ``error``, its standard deviation by photons and
        reads; NaN where there is no light curve.
    """
    shape = tuple(curves.sizes[name] for name in ("visit", "sensor", "time"))
    flux, error = np.full(shape, np.nan), np.full(shape, np.nan)
    for position, sensor in enumerate(curves["sensor"].values):
        own = curves["channel_sensor"].values == sensor
        for visit in range(shape[0]):
            electrons, variance = (
                curves[name].values[visit][:, own] for name in ("flux", "flux_variance")
            )
            lit = np.isfinite(electrons).any(axis=0)
            if not lit.any():
                continue
            total = electrons[:, lit].sum(axis=1)
            ends = np.concatenate(outer_quarters(total))
            level = np.median(ends) if len(ends) else np.nan
            if not level > 0:
                continue
            flux[visit, position] = total / level
            error[visit, position] = np.sqrt(variance[:, lit].sum(axis=1)) / level
    dims = ("visit", "sensor", "time")
    coords = {name: curves[name] for name in dims}
    return xr.Dataset({"flux": (dims, flux), "error": (dims, error)}, coords=coords)


def outer_quarters(curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last quarter of a curve's known values, a value each at least."""
    known = curve[np.isfinite(curve)]
    quarter = max(1, len(known) // 4)
    return known[:quarter], known[len(known) - quarter :]


def noise_by_time_scale(white: xr.Dataset) -> pd.DataFrame:
    """Scatter of white light curves out of transit, averaged over 1, 2, 4 … time bins.

    The scatter over n bins is the root mean square of the difference of neighbouring averages over
    n bins each, divided by the square root of 2 (the overlapping Allan deviation); averages within
    the first and within the last quarter of a visit count, and all visits together.

    Parameters
    ----------
    white
        What :func:`white_curves` returned.

    Returns
    -------
    pandas.DataFrame
        ``sensor``, ``bins``, ``minutes`` [min], ``scatter_ppm`` [ppm], and ``expected_ppm``: that
        of photons and reads alone, which falls with the square root of ``bins``. No rows where
        quarters have fewer than two bins.
    """
    columns = ("sensor", "bins", "minutes", "scatter_ppm", "expected_ppm")
    rows: list[tuple[object, ...]] = []
    time_h = white["time"].values
    bin_minutes = float(time_h[1] - time_h[0]) * _MINUTES if len(time_h) > 1 else np.nan
    for sensor in white["sensor"].values:
        own = white.sel(sensor=sensor)
        quarters = [end for curve in own["flux"].values for end in outer_quarters(curve)]
        errors = own["error"].values
        if not np.isfinite(errors).any():
            continue
        expected = _PPM * float(np.sqrt(np.nanmean(errors**2)))
        bins = 1
        while len(steps := np.concatenate([_steps(end, bins) for end in quarters])):
            scatter = _PPM * float(np.sqrt(np.mean(steps**2) / 2))
            rows.append((str(sensor), bins, bins * bin_minutes, scatter, expected / bins**0.5))
            bins *= 2
    return pd.DataFrame(rows, columns=columns)


def _steps(values: np.ndarray, bins: int) -> np.ndarray:
    """Differences of all pairs of neighbouring averages over so many bins."""
    if len(values) < 2 * bins:
        return np.empty(0)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means = (sums[bins:] - sums[:-bins]) / bins
    steps: np.ndarray = means[bins:] - means[:-bins]
    return steps
