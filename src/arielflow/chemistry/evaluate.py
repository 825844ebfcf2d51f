"""How well and how fast a compressed reaction network stands in for the full one."""

from __future__ import annotations

from time import process_time

import numpy as np
import torch
import xarray as xr

from arielflow.chemistry.compressed import CompressedNetwork

_BATCH = 1000
_REPEATS = 5


def evaluate_compression(model: CompressedNetwork, clouds: xr.Dataset) -> xr.Dataset:
    """Compare a compressed network with the full solver on clouds that it was not trained on.

    Parameters
    ----------
    model
        Trained compressed network; it is given the abundances at the first time.
    clouds
        Trajectories of :func:`arielflow.chemistry.solver.trajectories`.

    Returns
    -------
    xarray.Dataset
        Over *cloud, time, species*: ``abundance`` (the full solver's), ``predicted`` and
        ``relative_error``, the difference over the full solver's abundance; the
        ``latent(cloud, time, latent)`` abundances. Attributes: medians of the relative error over
        everything of ``predicted`` (``median_error``, with ``mean_error`` and ``percentile_90``)
        and of encoder and decoder alone (``median_reconstruction_error``); processor seconds a
        cloud of the full solver, and of the compressed one alone and in a batch of ``batch``
        clouds, with ``threads``.
    """
    y = clouds["abundance"].values
    predicted = model.predict(y[:, 0])
    error = np.abs(predicted / y - 1)
    reconstruction = np.abs(model.reconstruct(y) / y - 1)
    batch = np.resize(y[:, 0], (_BATCH, y.shape[2]))
    dims = ("cloud", "time", "species")
    return xr.Dataset(
        {
            "abundance": clouds["abundance"],
            "predicted": (dims, predicted, {"long_name": "predicted abundance", "units": "1"}),
            "relative_error": (dims, error, {"long_name": "relative error", "units": "1"}),
            "latent": (
                ("cloud", "time", "latent"),
                model.latent_path(y[:, 0]),
                {"long_name": "latent abundance", "units": "1"},
            ),
        },
        attrs={
            "median_error": float(np.median(error)),
            "mean_error": float(error.mean()),
            "percentile_90": float(np.quantile(error, 0.9)),
            "median_reconstruction_error": float(np.median(reconstruction)),
            "full_seconds": float(clouds["solver_seconds"].median()),
            "alone_seconds": _seconds(model, y[:1, 0]),
            "batch_seconds": _seconds(model, batch) / _BATCH,
            "batch": _BATCH,
            "threads": torch.get_num_threads(),
        },
    )


def _seconds(model: CompressedNetwork, first: np.ndarray) -> float:
    """Median processor time of a prediction [s]; the full solver's is a median too."""
    spans = []
    for _ in range(_REPEATS):
        began = process_time()
        model.predict(first)
        spans.append(process_time() - began)
    return float(np.median(spans))
