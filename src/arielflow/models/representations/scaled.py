"""What the representations share: the scaling of the spectra that they encode."""

from __future__ import annotations

import numpy as np
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.models.base import SpectrumRepresentation
from arielflow.models.scaling import SpectrumScaling, apply_scaling, fit_scaling


class ScaledRepresentation(SpectrumRepresentation):
    """A representation of spectra scaled as for the exploration.

    Its configuration has ``n_latent`` and ``scaling``.
    """

    _scaling: SpectrumScaling

    @property
    def n_latent(self) -> int:
        """Number of latent variables."""
        return self.config.n_latent

    def _fit_scaling(self, train: xr.Dataset) -> np.ndarray:
        """Learn the scaling from the training planets and return their scaled spectra."""
        depth = train["transit_depth"].values
        most = min(depth.shape)
        if self.n_latent > most:
            raise ArielflowError(
                f"settings of model {self.family}: n_latent is {self.n_latent}, expected at most "
                f"{most} for {depth.shape[0]} planets and {depth.shape[1]} bins"
            )
        self._scaling = fit_scaling(depth, self.config.scaling)
        return apply_scaling(depth, self._scaling)

    def scaled(self, planets: xr.Dataset) -> np.ndarray:
        """See :meth:`SpectrumRepresentation.scaled`."""
        depth, n_bins = planets["transit_depth"].values, len(self._scaling.centre)
        if depth.shape[1] != n_bins:
            raise ArielflowError(
                f"{self.family}: spectra of {depth.shape[1]} bins, expected {n_bins}; train it on "
                "planets of this edition"
            )
        return apply_scaling(depth, self._scaling)

    def _checked(self, latent: np.ndarray) -> np.ndarray:
        if latent.ndim != 2 or latent.shape[1] != self.n_latent:
            raise ArielflowError(
                f"{self.family}: latent variables of shape {latent.shape}, expected "
                f"(planet, {self.n_latent}); give what encode returns"
            )
        return latent

    def _scaling_arrays(self) -> dict[str, np.ndarray]:
        return {"centre": self._scaling.centre, "scale": self._scaling.scale}

    def _restore_scaling(self, arrays: dict[str, np.ndarray]) -> None:
        centre, scale = arrays["centre"], arrays["scale"]
        if centre.ndim != 1 or scale.shape != centre.shape or not (scale > 0).all():
            raise ValueError(f"scaling of shapes {centre.shape} and {scale.shape}")
        if {centre.dtype, scale.dtype} != {np.dtype(float)}:
            raise ValueError(f"scaling of types {centre.dtype} and {scale.dtype}")
        if not np.isfinite([centre, scale]).all():
            raise ValueError("scaling that is not finite")
        self._scaling = SpectrumScaling(self.config.scaling, centre, scale)
