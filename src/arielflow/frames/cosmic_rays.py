"""Hits of cosmic rays: single pairs of a pixel that stand out of its own scatter."""

from __future__ import annotations

import numpy as np


def remove_cosmic_rays(differences: np.ndarray, sigma: float, window: int) -> int:
    """Replace hits by the mean of the pixel's other pairs nearby, in place.

    A window is short against a transit. Its scatter is taken as the median over all windows, which
    few hits cannot raise.

    Parameters
    ----------
    differences
        Electrons by pair, shape (pixel, pair), single precision.
    sigma
        How far above the window's mean a hit stands, in standard deviations.
    window
        Pairs of a window.

    Returns
    -------
    int
        Number of hits.
    """
    n_pixels, n_pairs = differences.shape
    if n_pairs < window:
        window = n_pairs
    count = n_pairs // window
    windows = differences[:, : count * window].reshape(n_pixels, count, window)
    mean = windows.mean(axis=2)
    square = np.einsum("pcw,pcw->pc", windows, windows) / window
    scatter = np.sqrt(np.median(np.maximum(square - mean**2, 0.0), axis=1))
    limit = mean + sigma * scatter[:, np.newaxis]
    peaks = windows.max(axis=2)
    hits = 0
    for pixel, part in zip(*np.nonzero(peaks > limit), strict=True):
        hits += _mend(windows[pixel, part], sigma * float(scatter[pixel]))
    tail = differences[:, count * window :]
    above = tail > limit[:, -1:]
    np.copyto(tail, mean[:, -1:], where=above)
    return hits + int(above.sum())


def _mend(values: np.ndarray, threshold: float) -> int:
    """Replace what stands above the mean of the rest, the highest first."""
    order = np.argsort(values)[::-1]
    hits = 0
    for position in order[: len(values) // 2]:
        rest = np.delete(values, order[: hits + 1])
        if values[position] - rest.mean() <= threshold:
            break
        hits += 1
    if hits:
        values[order[:hits]] = np.delete(values, order[:hits]).mean()
    return hits
