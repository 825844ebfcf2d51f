"""How unlike the training planets a planet is, in several spaces.

Each space is standardised by its principal components over training planets with noise. The
Mahalanobis distance sees a planet far from all of them, the distance to the nearest neighbours one
in a gap between them, and the rest of a projection one that leaves the space altogether. What an
autoencoder fails to reconstruct is such a rest too, of a space that is not flat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from arielflow.models.base import SpectrumRepresentation

Space = Callable[[xr.Dataset], np.ndarray]
"""From planets to their coordinates (planet, coordinate)."""

_VARIANCE = 0.999
_NEIGHBOURS = 10
_TINY = 1e-12


class Strangeness(Protocol):
    """What :func:`novelty_tests` asks of a space."""

    def __call__(self, planets: xr.Dataset) -> dict[str, np.ndarray]:
        """Values (planet,) by kind of test; larger is stranger."""
        ...


@dataclass(frozen=True)
class Novelty:
    """Distances from training planets in one space.

    Attributes
    ----------
    space : the coordinates
    pca : principal components of the training planets' coordinates
    neighbours : their neighbours
    rest : mean square of what the components leave of them
    """

    space: Space
    pca: PCA
    neighbours: NearestNeighbors
    rest: float

    @classmethod
    def fitted(cls, space: Space, train: xr.Dataset) -> Novelty:
        """Learn a space from training planets with noise."""
        values = space(train)
        pca = PCA(_VARIANCE, whiten=True, svd_solver="full").fit(values)
        scores = pca.transform(values)
        left = float(np.mean(_rest(pca, values, scores)))
        neighbours = NearestNeighbors(n_neighbors=_NEIGHBOURS).fit(scores)
        return cls(space, pca, neighbours, left)

    def scores(self, planets: xr.Dataset) -> np.ndarray:
        """Principal components of unit variance, the widest first, shape (planet, component)."""
        found: np.ndarray = self.pca.transform(self.space(planets))
        return found

    def __call__(self, planets: xr.Dataset) -> dict[str, np.ndarray]:
        """``distance``, ``isolation`` and ``rest``, shape (planet,) each; larger is stranger."""
        values = self.space(planets)
        scores = self.pca.transform(values)
        near, _ = self.neighbours.kneighbors(scores)
        return {
            "distance": np.sqrt(np.sum(scores**2, axis=1)),
            "isolation": near[:, -1],
            "rest": _rest(self.pca, values, scores) / (self.rest + _TINY),
        }


@dataclass(frozen=True)
class Reconstruction:
    """What a trained representation leaves of a planet's scaled spectrum."""

    representation: SpectrumRepresentation
    device: str = "auto"

    def __call__(self, planets: xr.Dataset) -> dict[str, np.ndarray]:
        """``rest``, the mean square over the bins, shape (planet,)."""
        model, device = self.representation, self.device
        decoded = model.decode(model.encode(planets, device=device), device=device)
        return {"rest": np.mean((decoded - model.scaled(planets)) ** 2, axis=1)}


def _rest(pca: PCA, values: np.ndarray, scores: np.ndarray) -> np.ndarray:
    left: np.ndarray = np.mean((values - pca.inverse_transform(scores)) ** 2, axis=1)
    return left


def novelty_tests(spaces: Mapping[str, Strangeness], planets: xr.Dataset) -> pd.DataFrame:
    """Tests in all spaces, columns ``<space>_<kind>``, one row per planet."""
    return pd.DataFrame(
        {
            f"{name}_{kind}": values
            for name, space in spaces.items()
            for kind, values in space(planets).items()
        }
    )
