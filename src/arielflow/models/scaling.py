"""Scaling of spectra for whatever sees them as they are: exploration and representations."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from arielflow.core.errors import ArielflowError

SCALINGS = ("shape", "standardised")

_INERT_SCATTER = 1e-12


class SpectrumScaling(NamedTuple):
    """How spectra are made comparable: ``(x − centre)/scale``, each of shape (wavelength,)."""

    kind: str
    centre: np.ndarray
    scale: np.ndarray


def spectrum_shape(depth: np.ndarray) -> np.ndarray:
    """Each spectrum minus its own mean, over its own scatter: shape (planet, wavelength).

    Takes out planet radius and scale height to first order (Matchev et al. 2022, eq. 13). A flat
    spectrum has no shape and gives zeros.

    Parameters
    ----------
    depth
        Transit depths, shape (planet, wavelength).
    """
    mean = depth.mean(axis=1, keepdims=True)
    scatter = depth.std(axis=1, keepdims=True)
    flat = scatter <= _INERT_SCATTER * np.abs(mean)
    return np.where(flat, 0.0, (depth - mean) / np.where(flat, 1.0, scatter))


def fit_scaling(depth: np.ndarray, kind: str) -> SpectrumScaling:
    """Learn centre and scale of every bin from training spectra, shape (planet, wavelength).

    Parameters
    ----------
    depth
        Transit depths of the training planets.
    kind
        ``shape``: spectra are reduced to their shape first and only centred; ``standardised``:
        every bin is brought to zero mean and unit variance.

    Raises
    ------
    ArielflowError
        The kind is unknown.
    """
    if kind not in SCALINGS:
        raise ArielflowError(
            f"explore: representation {kind!r} is unknown; choose one of {', '.join(SCALINGS)}"
        )
    if kind == "shape":
        return SpectrumScaling("shape", spectrum_shape(depth).mean(axis=0), np.ones(depth.shape[1]))
    scale = depth.std(axis=0)
    return SpectrumScaling(kind, depth.mean(axis=0), np.where(scale > 0, scale, 1.0))


def apply_scaling(depth: np.ndarray, scaling: SpectrumScaling) -> np.ndarray:
    """Scaled spectra (planet, wavelength) of transit depths of the same shape."""
    spectra = spectrum_shape(depth) if scaling.kind == "shape" else depth
    return (spectra - scaling.centre) / scaling.scale
