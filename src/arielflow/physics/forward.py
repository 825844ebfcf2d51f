"""The transmission model seen from a data set: an edition's theta in, its planets' spectra out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from arielflow.errors import ArielflowError
from arielflow.physics.opacity import load_opacities
from arielflow.physics.system import JUPITER_RADIUS_M, radius_from_gravity_m
from arielflow.physics.transmission import TransmissionModel
from arielflow.schema import auxiliary_values, target_index


def transmission_model(
    molecules: Sequence[str],
    opacities: str | Path,
    wavelength_um: np.ndarray,
    wavelength_width_um: np.ndarray,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> TransmissionModel:
    """The reference forward model on the tables of a folder, for these molecules and bins."""
    tables = load_opacities(opacities, molecules)
    return TransmissionModel(tables, wavelength_um, wavelength_width_um, device=device, dtype=dtype)


class ForwardModel:
    """Transit depths of a data set's planets for any values of its targets.

    Parameters
    ----------
    transmission
        The radiative-transfer model.
    planets
        Planets dataset: gives the stars, the planets' masses and the meaning of the targets. The
        radius comes from mass and gravity where it is not a target.

    Raises
    ------
    ArielflowError
        The data set lacks a quantity that the model needs.
    """

    def __init__(self, transmission: TransmissionModel, planets: xr.Dataset) -> None:
        self.transmission = transmission
        self._temperature = self._column(planets, "planet_temperature")
        self._molecules = [self._column(planets, name) for name in transmission.molecules]
        self._radius = target_index(planets, "planet_radius")
        self._mass_kg = self._auxiliary(planets, "planet_mass_kg")
        self._star_radius_m = self._auxiliary(planets, "star_radius_m")
        if self._radius is None:
            gravity = self._auxiliary(planets, "surface_gravity_m_s2")
            self._fixed_radius_m = radius_from_gravity_m(self._mass_kg, gravity)

    @staticmethod
    def _column(planets: xr.Dataset, quantity: str) -> int:
        index = target_index(planets, quantity)
        if index is None:
            raise ArielflowError(
                f"the forward model needs the target {quantity}, edition "
                f"{planets.attrs.get('edition')} has {list(planets['target_quantity'].values)}; "
                "leave its opacity out or use another edition"
            )
        return index

    @staticmethod
    def _auxiliary(planets: xr.Dataset, quantity: str) -> np.ndarray:
        values = auxiliary_values(planets, quantity)
        if values is None:
            raise ArielflowError(f"the forward model needs the auxiliary {quantity}; none is given")
        return values

    def spectra(self, planet: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Transit depths (n, wavelength) of ``theta`` (n, target) around the planets given.

        Parameters
        ----------
        planet
            Positions in the data set, shape (n,), or one position for all rows.
        theta
            Targets in the edition's order and units, shape (n, target).
        """
        planet = np.broadcast_to(planet, len(theta))
        radius_m = (
            self._fixed_radius_m[planet]
            if self._radius is None
            else theta[:, self._radius] * JUPITER_RADIUS_M
        )
        with torch.no_grad():
            depths = self.transmission(
                radius_m,
                self._mass_kg[planet],
                theta[:, self._temperature],
                self._star_radius_m[planet],
                theta[:, self._molecules],
            )
        return depths.cpu().numpy()
