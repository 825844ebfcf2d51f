"""Examples: the training planets that a model takes for most like a planet."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
import xarray as xr
from sklearn.neighbors import NearestNeighbors

from arielflow.core.errors import ArielflowError
from arielflow.evaluation.explain.differentiable import Mixed
from arielflow.models.features import planet_tensors

# Whitening would make the many directions with the rest as important as those that matter.
_KEPT_VARIANCE = 0.98


def embeddings(model: Mixed, planets: xr.Dataset) -> np.ndarray:
    """What the members' context networks make of planets, side by side (planet, feature).

    Raises
    ------
    ArielflowError
        A member has no context network.
    """
    if not model.has_derivatives:
        families = ", ".join(sorted({estimator.family for estimator in model.estimators}))
        raise ArielflowError(f"explain: {families} has no embedding; choose a network's family")
    tensors = planet_tensors(planets)
    with torch.no_grad():
        parts = [estimator.embedding(tensors) for estimator in model.estimators]
    return torch.cat(parts, dim=1).double().numpy()


class Whitening:
    """Linear map after which the training planets' embeddings have unit covariance.

    Only the principal directions that hold most of their variance are kept.

    Parameters
    ----------
    embedding
        Of the training planets (planet, feature).
    """

    def __init__(self, embedding: np.ndarray) -> None:
        self._mean = embedding.mean(axis=0)
        variance, direction = np.linalg.eigh(np.cov(embedding.T))
        share = np.cumsum(variance[::-1]) / variance.sum()
        kept = slice(-1 - int(np.searchsorted(share, _KEPT_VARIANCE)), None)
        self._matrix = direction[:, kept] / np.sqrt(variance[kept])

    def __call__(self, embedding: np.ndarray) -> np.ndarray:
        """Whitened embeddings (planet, direction)."""
        whitened: np.ndarray = (embedding - self._mean) @ self._matrix
        return whitened


def nearest_planets(
    model: Mixed, planets: xr.Dataset, training: xr.Dataset, count: int = 5
) -> pd.DataFrame:
    """The training planets nearest to each planet in the whitened space of the embedding.

    Parameters
    ----------
    model
        Members that have a context network.
    planets, training
        Planets datasets, usable planets only.
    count
        Neighbours a planet.

    Returns
    -------
    pandas.DataFrame
        ``planet``, ``rank`` (from 1), ``neighbour``, ``distance`` (in standard deviations of the
        embedding), ``atypical`` (share of the training planets that are nearer to their own
        nearest: close to 1, the model has seen nothing like it) and the neighbour's true value of
        every target.
    """
    known = embeddings(model, training)
    whitening = Whitening(known)
    search = NearestNeighbors(n_neighbors=min(count, len(known))).fit(whitening(known))
    own, _ = search.kneighbors(n_neighbors=1)
    distance, row = search.kneighbors(whitening(embeddings(model, planets)))
    names, neighbours = (data["planet"].values.astype(str) for data in (planets, training))
    return pd.DataFrame(
        {
            "planet": np.repeat(names, row.shape[1]),
            "rank": np.tile(np.arange(1, row.shape[1] + 1), len(names)),
            "neighbour": neighbours[row.ravel()],
            "distance": distance.ravel(),
            "atypical": np.searchsorted(np.sort(own[:, 0]), distance.ravel()) / len(known),
        }
        | dict(
            zip(
                training["target"].values.astype(str),
                training["theta"].values[row.ravel()].T,
                strict=True,
            )
        )
    )
