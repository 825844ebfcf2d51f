"""Fluxes of single pairs made into light curves: jitter taken out, outliers left out, binned."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter1d

from arielflow.settings.frames import LightCurveSettings

_NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
_FEWEST = 8
"""Pairs of which less cannot tell an outlier, or a slope, from noise."""
_NEARBY = 15
"""Pairs of the running median that outliers are told from."""


class BinnedCurves(NamedTuple):
    """Light curves of one sensor.

    Attributes
    ----------
    flux : np.ndarray
        Electrons of a time bin, shape (channel, bin).
    variance : np.ndarray
        Of these, by photons and reads, (channel, bin).
    scatter_ratio : np.ndarray
        Scatter from pair to pair over what photons and reads explain, (channel,).
    clipped : int
        Pairs that were left out, over all channels.
    """

    flux: np.ndarray
    variance: np.ndarray
    scatter_ratio: np.ndarray
    clipped: int


def without_jitter(flux: np.ndarray, position: np.ndarray, window: int) -> np.ndarray:
    """Fluxes without the part that follows the image's position.

    How strongly each channel follows is told by what varies faster than the window, so that the
    transit and slow drifts have no say in it.

    Parameters
    ----------
    flux
        Electrons of every pair, shape (channel, pair).
    position
        Of the image [pixels], shape (axis, pair); pairs of unknown position are left as they are.
    window
        Pairs of the running mean that is taken off.
    """
    known = np.isfinite(position).all(axis=0)
    if known.sum() < max(2 * window, _FEWEST):
        return flux
    moved = np.where(known, position - position[:, known].mean(axis=1, keepdims=True), 0.0)
    level = flux.mean(axis=1, keepdims=True)
    level = np.where(level != 0, level, 1.0)
    relative = flux / level
    # Second order too: a pixel's edge answers to the square of a shift.
    moved = np.concatenate([moved, moved**2 - (moved**2).mean(axis=1, keepdims=True)])
    fast = (moved - uniform_filter1d(moved, window, axis=1))[:, known]
    follows = (relative - uniform_filter1d(relative, window, axis=1))[:, known]
    slopes = np.linalg.lstsq(fast.T.astype(float), follows.T.astype(float), rcond=1e-6)[0]
    corrected: np.ndarray = flux - (slopes.T @ moved * level).astype(flux.dtype)
    return corrected


def binned(
    flux: np.ndarray,
    shot_variance: np.ndarray,
    read_variance: np.ndarray,
    pairs: int,
    settings: LightCurveSettings,
) -> BinnedCurves:
    """Light curves from the fluxes of pairs.

    Pairs further from the running median than ``settings.clip_sigma`` are left out, and the bin's
    sum is made up for them. Pairs after the last whole bin are left out.

    Parameters
    ----------
    flux
        Electrons of every pair, shape (channel, pair).
    shot_variance, read_variance
        Variance of a pair at the mean flux, by photons and by reads, (channel,).
    pairs
        Pairs of a bin, at most those that there are.
    settings
        What is an outlier, and whether bins are sums or means.
    """
    n_channels, n_pairs = flux.shape
    n_bins = n_pairs // pairs
    parts = flux[:, : n_bins * pairs].reshape(n_channels, n_bins, pairs).astype(float)
    # Of one pair from the next: blind to the transit and to how many pairs a bin has.
    steps = (
        np.abs(np.diff(flux.astype(float), axis=1)) if n_pairs > 1 else np.zeros((n_channels, 1))
    )
    spread = _NORMAL_MAD * np.median(steps, axis=1) / np.sqrt(2)
    kept = np.ones(parts.shape, bool)
    if settings.clip_sigma is not None and n_pairs >= _FEWEST:
        # Against pairs nearby, among which a transit's ingress is no outlier.
        nearby = _running_median(flux)
        limit = settings.clip_sigma * np.maximum(spread, 1e-12)
        close = np.abs(flux - nearby) <= limit[:, np.newaxis]
        kept = close[:, : n_bins * pairs].reshape(parts.shape)
    count = kept.sum(axis=2)
    mean = np.where(kept, parts, 0.0).sum(axis=2) / np.maximum(count, 1)
    level = flux.mean(axis=1, dtype=float)
    per_pair = shot_variance[:, np.newaxis] * np.maximum(
        mean / np.where(level != 0, level, 1.0)[:, np.newaxis], 0.0
    )
    per_pair = per_pair + read_variance[:, np.newaxis]
    expected = np.sqrt(np.maximum(shot_variance + read_variance, 1e-300))
    scale = pairs if settings.binning == "sum" else 1
    return BinnedCurves(
        mean * scale,
        per_pair / np.maximum(count, 1) * scale**2,
        spread / expected,
        int(kept.size - kept.sum()),
    )


def _running_median(flux: np.ndarray) -> np.ndarray:
    """Medians of ``_NEARBY`` pairs, (channel, pair), flux mirrored at both ends.

    Some five times faster than SciPy's filter of two dimensions; that of one dimension is as fast,
    but SciPy 1.15's could corrupt memory.
    """
    half = _NEARBY // 2
    padded = np.pad(flux, ((0, 0), (half, half)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _NEARBY, axis=1)
    return np.stack([np.partition(channel, half, axis=1)[:, half] for channel in windows])
