"""The transmission model seen from a data set: an edition's theta in, its planets' spectra out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from arielflow.core.code import code_digest
from arielflow.core.errors import ArielflowError
from arielflow.core.files import sha256
from arielflow.physics.atmosphere import Pressures
from arielflow.physics.cia import cia_files, load_cia
from arielflow.physics.nodes import FastTransmission, read_nodes
from arielflow.physics.opacity import projection
from arielflow.physics.opacity_cache import describe_opacities, load_opacities
from arielflow.physics.systems import HE_H2_RATIO, JUPITER_RADIUS_M, Systems
from arielflow.physics.transmission import Bins, Planets, TransmissionModel

# Wavelengths and widths are the same where they differ by less than this part of a bin.
_SAME_BIN = 0.01


@dataclass(frozen=True)
class PhysicsSettings:
    """Which opacities and which mode of the forward model; small, so that jobs can be sent it.

    Attributes
    ----------
    opacities : str
        Folder of opacity tables.
    nodes : str | None
        File of the fast mode's nodes; None for the reference mode.
    cia : bool
        Collision-induced absorption, from the folder's files of it.
    """

    opacities: str
    nodes: str | None = None
    cia: bool = False


def transmission_model(
    molecules: Sequence[str],
    settings: PhysicsSettings,
    wavelength_um: np.ndarray,
    wavelength_width_um: np.ndarray,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    pressures: Pressures | None = None,
    he_h2_ratio: float = HE_H2_RATIO,
) -> TransmissionModel:
    """The reference mode on the tables of a folder, for these molecules and bins."""
    bins = wavelength_um, wavelength_width_um
    tables = load_opacities(settings.opacities, tuple(molecules), *bins)
    return TransmissionModel(
        tables,
        projection(tables[molecules[0]], *bins),
        bins=bins,
        cia=load_cia(settings.opacities) if settings.cia else (),
        pressures=pressures,
        he_h2_ratio=he_h2_ratio,
        device=device,
        dtype=dtype,
    )


def fast_or_reference(
    molecules: Sequence[str],
    settings: PhysicsSettings,
    wavelength_um: np.ndarray,
    wavelength_width_um: np.ndarray,
    *,
    device: str = "cpu",
) -> TransmissionModel | FastTransmission:
    """The forward model in the mode that the settings name.

    Raises
    ------
    ArielflowError
        The nodes were made from other tables, bins or settings than these.
    """
    bins = wavelength_um, wavelength_width_um
    if settings.nodes is None:
        return transmission_model(molecules, settings, *bins, device=device)
    nodes = read_nodes(settings.nodes)
    nodes.check(settings.nodes, fingerprint(molecules, settings, *bins))
    tables = load_opacities(settings.opacities, tuple(molecules), *bins)
    cia = load_cia(settings.opacities) if settings.cia else ()

    def reference() -> TransmissionModel:
        # Made of tables already read: a file gone by then would look like a planet's fault.
        matrix = projection(tables[molecules[0]], *bins)
        return TransmissionModel(tables, matrix, bins=bins, cia=cia, device=device)

    return FastTransmission(nodes, tables, reference, bins=bins, cia=cia, device=device)


def fingerprint(
    molecules: Sequence[str],
    settings: PhysicsSettings,
    wavelength_um: np.ndarray,
    wavelength_width_um: np.ndarray,
) -> str:
    """Checksum of all that shapes spectra and the fast mode's nodes: tables, bins, code."""
    cia = cia_files(settings.opacities) if settings.cia else []
    content = {
        "bins": [np.asarray(b).tolist() for b in (wavelength_um, wavelength_width_um)],
        "cia": [sha256(path) for path in cia],
        "code": code_digest("arielflow.physics"),
        "tables": {
            name: entry["sha256"]
            for name, entry in describe_opacities(settings.opacities, list(molecules)).items()
        },
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class ForwardModel:
    """Transit depths of a data set's planets for any values of its targets.

    Parameters
    ----------
    transmission
        The radiative-transfer model.
    planets
        Planets dataset: gives the stars, the planets' masses and the meaning of the targets. The
        radius comes from mass and gravity where it is not a target.

    Attributes
    ----------
    systems : stars, planets and spectra of the data set

    Raises
    ------
    ArielflowError
        The data set lacks a quantity that the model needs, or its bins are not the model's.
    """

    def __init__(
        self, transmission: TransmissionModel | FastTransmission, planets: xr.Dataset
    ) -> None:
        self.transmission = transmission
        # Emulators have no bins of their own here; those that come from a file check them there.
        if (bins := getattr(transmission, "bins", None)) is not None:
            _check_bins(bins, planets)
        self.systems = systems = Systems.of(planets)
        for quantity in ("planet_temperature", *transmission.molecules):
            if quantity not in systems.targets:
                raise ArielflowError(
                    f"the forward model needs the target {quantity}, edition "
                    f"{planets.attrs.get('edition')} has {list(systems.targets)}; "
                    "leave its opacity out or use another edition"
                )
        self._temperature = systems.targets["planet_temperature"]
        self._molecules = [systems.targets[name] for name in transmission.molecules]
        self._radius = systems.targets.get("planet_radius")
        self._mass_kg = _needed(systems.planet_mass_kg, "planet_mass_kg")
        self._star_radius_m = _needed(systems.star_radius_m, "star_radius_m")
        if self._radius is None:
            self._fixed_radius_m = _needed(systems.planet_radius_m, "surface_gravity_m_s2")

    def depths(
        self, planet: int | np.ndarray, theta: Tensor, radius_factor: Tensor | None = None
    ) -> Tensor:
        """Transit depths (n, wavelength) as a differentiable function of ``theta``.

        Parameters
        ----------
        planet
            Positions in the data set, shape (n,), or one position for all rows.
        theta
            Targets in the edition's order and units, shape (n, target), double precision.
        radius_factor
            Multiplies the planets' radii, shape (n,); one if left out.

        Notes
        -----
        Rows that the model has no spectrum for are NaN, with a gradient of zero.
        """
        parameters = self._parameters(np.broadcast_to(planet, len(theta)), theta, radius_factor)
        return self.transmission(*parameters)

    def atmospheres(self, planet: np.ndarray, theta: Tensor) -> Planets:
        """Parameters of the radiative transfer at ``theta`` (n, target), see :meth:`depths`."""
        return Planets(*self._parameters(planet, theta, None))

    def _parameters(
        self, planet: np.ndarray, theta: Tensor, radius_factor: Tensor | None
    ) -> tuple[Tensor, ...]:
        def constant(values: np.ndarray) -> Tensor:
            return torch.as_tensor(values[planet]).to(theta.device)

        if self._radius is None:
            radius_m = constant(self._fixed_radius_m)
        else:
            radius_m = theta[:, self._radius] * JUPITER_RADIUS_M
        return (
            radius_m if radius_factor is None else radius_m * radius_factor,
            constant(self._mass_kg),
            theta[:, self._temperature],
            constant(self._star_radius_m),
            theta[:, self._molecules],
        )

    def spectra(self, planet: int | np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Transit depths (n, wavelength) of ``theta`` (n, target) as arrays, see :meth:`depths`."""
        with torch.no_grad():
            return self.depths(planet, torch.as_tensor(np.asarray(theta, float))).cpu().numpy()


def _needed(values: np.ndarray | None, quantity: str) -> np.ndarray:
    if values is None:
        raise ArielflowError(f"the forward model needs the auxiliary {quantity}; none is given")
    return values


def _check_bins(bins: Bins, planets: xr.Dataset) -> None:
    """Refuse planets in other bins than a model's: the fit would be of other wavelengths."""
    centre, width = bins
    asked = planets["wavelength"].values
    same = asked.shape == centre.shape and np.all(np.abs(asked - centre) < _SAME_BIN * width)
    if same and "wavelength_width" in planets:
        difference = np.abs(planets["wavelength_width"].values - width)
        same = bool(np.all(difference < _SAME_BIN * width))
    if not same:
        raise ArielflowError(
            f"the forward model has {len(centre)} bins from {centre[0]:.4g} to {centre[-1]:.4g} "
            f"um, the planets {len(asked)} from {asked[0]:.4g} to {asked[-1]:.4g} um, or of other "
            "widths; make the model with the planets' bins"
        )
