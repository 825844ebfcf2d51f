"""Principal components as a representation: what every autoencoder has to beat."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import xarray as xr
from safetensors.numpy import save_file
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from arielflow.core.array_files import read_safetensors
from arielflow.core.readers import listed
from arielflow.models.description import REMEDY
from arielflow.models.representations.scaled import ScaledRepresentation
from arielflow.settings.representations.pca import Config


class Representation(ScaledRepresentation):
    """See the module's docstring and :class:`SpectrumRepresentation`."""

    family: ClassVar[str] = "pca"
    state_files: ClassVar[tuple[str, ...]] = ("components.safetensors",)
    Config = Config

    def fit(
        self,
        train: xr.Dataset,
        valid: xr.Dataset,
        *,
        seed: int,
        device: str = "auto",
        state_dir: Path | None = None,
        annotated: xr.Dataset | None = None,
    ) -> pd.DataFrame:
        """See :meth:`TrainedModel.fit`; the history is empty, nothing here is random."""
        spectra = self._fit_scaling(train)
        with threadpool_limits(1):
            pca = PCA(self.n_latent, svd_solver="full").fit(spectra)
        self._components = pca.components_
        return pd.DataFrame(columns=["epoch", "train_loss", "valid_loss"])

    def encode(self, planets: xr.Dataset, *, device: str = "auto") -> np.ndarray:
        """See :meth:`SpectrumRepresentation.encode`."""
        return self.scaled(planets) @ self._components.T

    def decode(self, latent: np.ndarray, *, device: str = "auto") -> np.ndarray:
        """See :meth:`SpectrumRepresentation.decode`."""
        return self._checked(latent) @ self._components

    def _save_state(self, directory: Path) -> None:
        arrays = self._scaling_arrays() | {"components": np.ascontiguousarray(self._components)}
        save_file(arrays, directory / self.state_files[0])

    def _load_state(self, directory: Path) -> None:
        arrays, _ = read_safetensors(directory / self.state_files[0], REMEDY)
        if set(arrays) != {"components", "centre", "scale"}:
            raise ValueError(f"it holds {listed(sorted(arrays))}")
        self._components = components = arrays.pop("components")
        self._restore_scaling(arrays)
        expected = (self.n_latent, len(self._scaling.centre))
        if (components.shape, components.dtype) != (expected, np.dtype(float)):
            raise ValueError(f"components of shape {components.shape}, expected {expected}")
        if not np.isfinite(components).all():
            raise ValueError("components that are not finite")
