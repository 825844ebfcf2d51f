"""The fast mode: chosen wavelengths and rays stand for whole tables and all layers.

For every bin, wavelengths whose depths reproduce it over random planets are chosen along the
non-negative path of a lasso, as many as it needs; then a ridge regression maps the depths at all
chosen wavelengths to all bins. Both are linear in the depth above the bare disk, so one matrix does
it. Tables of which the larger part would be chosen are used whole. At the nodes half of the rays
are followed, see :mod:`arielflow.physics.rays`. Planets outside the range that was trained on are
computed by the reference mode and counted.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from arielflow.core.array_files import read_npz
from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path
from arielflow.core.readers import guarded
from arielflow.physics.atmosphere import Pressures
from arielflow.physics.cia import CollisionInducedAbsorption
from arielflow.physics.opacity import OpacityTable
from arielflow.physics.rays import Rays
from arielflow.physics.systems import (
    BOLTZMANN_CONSTANT,
    GRAVITATIONAL_CONSTANT,
)
from arielflow.physics.transmission import Bins, Planets, TransmissionModel

log = logging.getLogger(__name__)

_REMEDY = "build them again"


@dataclass(frozen=True)
class NodeRange:
    """Planets that nodes are trained on; wider than any prior.

    Attributes
    ----------
    temperature_k, log_mixing_ratio, scale_height_over_radius : tuple[float, float]
        Lowest and highest values; a molecule less abundant than the lowest counts as inside, it no
        longer absorbs.
    """

    temperature_k: tuple[float, float] = (200.0, 3400.0)
    log_mixing_ratio: tuple[float, float] = (-12.0, -1.0)
    scale_height_over_radius: tuple[float, float] = (1e-4, 0.033)


@dataclass(frozen=True)
class NodeSet:
    """Chosen wavelengths, the matrix from the depths at them to the bins, and the rays.

    Attributes
    ----------
    index : np.ndarray
        Positions in the reference mode's grid, ascending, shape (node,).
    matrix : np.ndarray
        Shape (wavelength, node).
    rays : Rays
        Those that are followed.
    fingerprint : str
        Checksum of the tables and settings that the nodes belong to.
    range : NodeRange
        Planets that they hold for.
    validation : dict[str, float]
        Rms, 99th percentile and largest error [ppm] on planets not seen, and their number; these
        are drawn from the population, with abundances over the whole range.
    """

    index: np.ndarray
    matrix: np.ndarray
    rays: Rays
    fingerprint: str
    range: NodeRange
    validation: dict[str, float]

    def check(self, path: str | Path, fingerprint: str) -> None:
        """Refuse nodes that belong to other tables or settings."""
        if self.fingerprint != fingerprint:
            raise ArielflowError(
                f"{path}: the nodes were made from other opacity tables, bins or code; "
                "build them again"
            )


def write_nodes(nodes: NodeSet, path: str | Path) -> None:
    """Write nodes as an ``.npz`` file, atomically."""
    meta = {
        "fingerprint": nodes.fingerprint,
        "range": asdict(nodes.range),
        "validation": nodes.validation,
    }
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            index=nodes.index,
            matrix=nodes.matrix,
            ray_layer=nodes.rays.layer,
            ray_weight=nodes.rays.weight,
            meta=np.array(json.dumps(meta, sort_keys=True)),
        )


def read_nodes(path: str | Path) -> NodeSet:
    """Read nodes.

    Raises
    ------
    ArielflowError
        The file is missing or damaged.
    """
    arrays = read_npz(path, _REMEDY)
    with guarded(path, "file of the fast mode's nodes", _REMEDY):
        meta = json.loads(str(arrays["meta"]))
        span = NodeRange(**{name: _pair(values) for name, values in meta["range"].items()})
        index, matrix = arrays["index"], arrays["matrix"]
        rays = Rays(arrays["ray_layer"], arrays["ray_weight"])
        _check_positions(index, "wavelengths")
        _check_positions(rays.layer, "rays")
        if matrix.ndim != 2 or matrix.dtype.kind != "f" or matrix.shape[1] != len(index):
            raise ValueError(f"its matrix has shape {matrix.shape} for {len(index)} wavelengths")
        if rays.weight.shape != rays.layer.shape or rays.weight.dtype.kind != "f":
            raise ValueError(f"it has {rays.weight.shape} weights for {len(rays.layer)} rays")
        if not (np.isfinite(matrix).all() and np.isfinite(rays.weight).all()):
            raise ValueError("its matrix or its rays' weights are not finite")
        errors = {str(name): float(value) for name, value in meta["validation"].items()}
        return NodeSet(index, matrix, rays, str(meta["fingerprint"]), span, errors)


def _check_positions(positions: np.ndarray, what: str) -> None:
    if positions.ndim != 1 or positions.dtype.kind not in "iu" or not len(positions):
        raise ValueError(f"its positions of {what} are no row of integers")
    if positions[0] < 0 or np.any(np.diff(positions) <= 0):
        raise ValueError(f"its positions of {what} do not ascend")


def _pair(values: list[float]) -> tuple[float, float]:
    low, high = (float(value) for value in values)
    if not low < high:
        raise ValueError(f"its range from {low:g} to {high:g} is empty")
    return low, high


class FastTransmission:
    """Transit depths through nodes; the reference mode where they do not hold.

    Takes the same arguments as :class:`TransmissionModel`. Clouds, haze and spectra on the native
    grid go to the reference mode, as do planets outside the nodes' range.

    Parameters
    ----------
    nodes
        Made for these tables.
    tables, cia
        The reference mode's.
    reference
        Makes the reference mode, the first time that it is needed.
    bins
        See :class:`TransmissionModel`.
    device
        Torch device.

    Attributes
    ----------
    outside
        Number of spectra that went to the reference mode.
    """

    def __init__(
        self,
        nodes: NodeSet,
        tables: Mapping[str, OpacityTable],
        reference: Callable[[], TransmissionModel],
        *,
        bins: Bins | None = None,
        cia: Sequence[CollisionInducedAbsorption] = (),
        device: str = "cpu",
    ) -> None:
        grid = next(iter(tables.values())).wavenumber_cm1
        n_bins = len(nodes.matrix) if bins is None else len(bins[0])
        n_layers = Pressures().n_layers
        if (
            nodes.index[-1] >= len(grid)
            or nodes.rays.layer[-1] >= n_layers
            or len(nodes.matrix) != n_bins
        ):
            raise ArielflowError(
                f"the nodes of the fast mode have position {nodes.index[-1]} of {len(grid)} "
                f"wavelengths, {nodes.rays.layer[-1]} of {n_layers} layers and "
                f"{len(nodes.matrix)} of {n_bins} bins; {_REMEDY}"
            )
        at_nodes = {
            name: replace(
                table,
                wavenumber_cm1=table.wavenumber_cm1[nodes.index],
                cross_section_cm2=table.cross_section_cm2[:, :, nodes.index],
            )
            for name, table in tables.items()
        }
        self._at_nodes = TransmissionModel(
            at_nodes, nodes.matrix, bins=bins, cia=cia, rays=nodes.rays, device=device
        )
        self._load_reference = reference
        self._reference: TransmissionModel | None = None
        self.nodes, self.molecules = nodes, self._at_nodes.molecules
        self.outside = 0

    @property
    def calls(self) -> int:
        """Number of spectra computed, in either mode."""
        return self._at_nodes.calls + (self._reference.calls if self._reference else 0)

    @property
    def clamped(self) -> int:
        """Number of spectra outside the temperatures of a table."""
        return self._at_nodes.clamped + (self._reference.clamped if self._reference else 0)

    @property
    def bins(self) -> Bins | None:
        """See :class:`TransmissionModel`."""
        return self._at_nodes.bins

    @property
    def temperature_range_k(self) -> tuple[float, float]:
        """See :class:`TransmissionModel`."""
        return self._at_nodes.temperature_range_k

    @property
    def reference(self) -> TransmissionModel:
        """The reference mode on the same tables."""
        if self._reference is None:
            self._reference = self._load_reference()
        return self._reference

    def flags(self, planets: Planets) -> Tensor:
        """See :meth:`TransmissionModel.flags`."""
        return self._at_nodes.flags(planets)

    def planets(self, *parameters: object, **named: object) -> Planets:
        """See :meth:`TransmissionModel.planets`."""
        return self._at_nodes.planets(*parameters, **named)

    def inside(self, planets: Planets) -> Tensor:
        """Boolean (planet,): the nodes hold for it. Faulty planets count as inside."""
        span = self.nodes.range
        with torch.no_grad():
            clouds = planets.cloud_pressure_pa is not None or planets.haze_log_strength is not None
            if clouds or planets.layered:
                return self.flags(planets) != 0
            mean_mass = self._at_nodes.mean_mass_kg(planets)
            ratio = BOLTZMANN_CONSTANT * planets.temperature_k * planets.radius_m
            ratio = ratio / (GRAVITATIONAL_CONSTANT * planets.mass_kg * mean_mass)
            good = (ratio > span.scale_height_over_radius[0]) & (
                ratio < span.scale_height_over_radius[1]
            )
            good &= (planets.temperature_k >= span.temperature_k[0]) & (
                planets.temperature_k <= span.temperature_k[1]
            )
            good &= (planets.log_mixing_ratio <= span.log_mixing_ratio[1]).all(dim=1)
            return good | (self.flags(planets) != 0)

    def __call__(self, *parameters: object, native: bool = False, **named: object) -> Tensor:
        """Transit depths, see :class:`TransmissionModel`."""
        given = parameters and isinstance(parameters[0], Planets)
        planets = parameters[0] if given else self.planets(*parameters, **named)
        if native:
            return self.reference(planets, native=True)
        inside = self.inside(planets)
        if bool(inside.all()):
            return self._at_nodes(planets)
        rest = (~inside).nonzero()[:, 0]
        if not self.outside:
            log.info("fast mode: spectra outside its range go through the reference mode")
        self.outside += len(rest)
        depths = torch.empty(
            (len(planets), len(self.nodes.matrix)), dtype=torch.float64, device=inside.device
        )
        depths = depths.index_put((inside.nonzero()[:, 0],), self._at_nodes(planets[inside]))
        return depths.index_put((rest,), self.reference(planets[rest]))
