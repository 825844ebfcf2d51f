"""The fast mode: some 800 chosen wavelengths stand for tables of tens of thousands.

For every bin, the wavelengths whose depths reproduce it best are chosen by a non-negative path of
the lasso over random planets; then a ridge regression maps the depths at all chosen wavelengths
to all bins. Both are linear in the depth above the bare disk, so one matrix does it, and the
spectrum at the nodes is exact. Planets outside the range that was trained on are computed by the
reference mode and counted.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import Ridge, lars_path
from torch import Tensor

from arielflow.errors import ArielflowError
from arielflow.physics.cia import CollisionInducedAbsorption
from arielflow.physics.opacity import OpacityTable
from arielflow.physics.system import (
    ATOMIC_MASS_UNIT_KG,
    BOLTZMANN_CONSTANT,
    GRAVITATIONAL_CONSTANT,
    HE_H2_RATIO,
    JUPITER_RADIUS_M,
    SOLAR_RADIUS_M,
    molecular_mass_u,
    scale_height_m,
    surface_gravity_m_s2,
)
from arielflow.physics.transmission import Planets, TransmissionModel
from arielflow.provenance import atomic_path

log = logging.getLogger(__name__)

_RIDGES = 10.0 ** np.arange(-9.0, -1.0)
_HELD_OUT = 0.2
_CHUNK = 100


@dataclass(frozen=True)
class NodeRange:
    """Planets that nodes are trained on; wider than any prior.

    Attributes
    ----------
    temperature_k, log_mixing_ratio, scale_height_over_radius : lowest and highest values; a
        molecule less abundant than the lowest counts as inside, it no longer absorbs
    """

    temperature_k: tuple[float, float] = (200.0, 3400.0)
    log_mixing_ratio: tuple[float, float] = (-12.0, -1.0)
    scale_height_over_radius: tuple[float, float] = (3e-4, 0.037)


@dataclass(frozen=True)
class NodeSettings:
    """How nodes are made.

    Attributes
    ----------
    nodes_per_bin : most wavelengths chosen for a bin
    n_select, n_fit, n_validation : planets to choose on, to fit the ridge on, to judge both on
    seed : of the planets
    """

    nodes_per_bin: int = 16
    n_select: int = 1500
    n_fit: int = 4000
    n_validation: int = 500
    seed: int = 2026


@dataclass(frozen=True)
class NodeSet:
    """Chosen wavelengths and the matrix from the depths at them to the bins.

    Attributes
    ----------
    index : positions in the reference mode's grid, ascending, shape (node,)
    matrix : shape (wavelength, node)
    fingerprint : checksum of the tables and settings that the nodes belong to
    range : planets that they hold for
    validation : rms, 99th percentile and largest error [ppm] on planets not seen, and their number
    """

    index: np.ndarray
    matrix: np.ndarray
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
        text = json.dumps(meta, sort_keys=True)
        np.savez(stream, index=nodes.index, matrix=nodes.matrix, meta=np.array(text))


def read_nodes(path: str | Path) -> NodeSet:
    """Read nodes.

    Raises
    ------
    ArielflowError
        The file is missing or damaged.
    """
    try:
        with np.load(path) as file:
            meta = json.loads(str(file["meta"]))
            span = NodeRange(**{name: tuple(v) for name, v in meta["range"].items()})
            return NodeSet(
                file["index"], file["matrix"], meta["fingerprint"], span, meta["validation"]
            )
    except (OSError, KeyError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ArielflowError(
            f"{path}: no readable nodes of the fast mode ({reason}); build them again"
        ) from None


def draw_planets(
    number: int, n_molecules: int, molecules: Sequence[str], span: NodeRange, seed: int
) -> list[np.ndarray]:
    """Arguments of :class:`TransmissionModel` for random planets over a range."""
    rng = np.random.default_rng(seed)
    radius = rng.uniform(0.1, 3, number) * JUPITER_RADIUS_M
    ratio = np.exp(rng.uniform(*np.log(span.scale_height_over_radius), number))
    temperature = rng.uniform(*span.temperature_k, number)
    log_mixing = rng.uniform(*span.log_mixing_ratio, (number, n_molecules))
    star = np.maximum(rng.uniform(0.8, 2, number) * SOLAR_RADIUS_M, radius / 0.25)
    mass_u = _mean_mass_u(log_mixing, molecules)
    kinetic = BOLTZMANN_CONSTANT * temperature / (mass_u * ATOMIC_MASS_UNIT_KG)
    mass = kinetic * radius / (GRAVITATIONAL_CONSTANT * ratio)
    return [radius, mass, temperature, star, log_mixing]


def _mean_mass_u(log_mixing: np.ndarray, molecules: Sequence[str]) -> np.ndarray:
    mixing = 10.0**log_mixing
    fill = (molecular_mass_u("H2") + HE_H2_RATIO * molecular_mass_u("He")) / (1 + HE_H2_RATIO)
    heavy = mixing @ np.array([molecular_mass_u(name) for name in molecules])
    return heavy + (1 - mixing.sum(axis=1)) * fill


def _scaled(
    model: TransmissionModel, planets: list[np.ndarray], columns: np.ndarray | None, report
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depths above the disk at the grid's columns and in the bins, in units of 2 R H / Rs^2."""
    radius, mass, temperature, star, log_mixing = planets
    gravity = surface_gravity_m_s2(mass, radius)
    height = scale_height_m(temperature, gravity, _mean_mass_u(log_mixing, model.molecules))
    unit = (2 * radius * height / star**2)[:, None]
    base = ((radius / star) ** 2)[:, None]
    native, binned = [], []
    for start in range(0, len(radius), _CHUNK):
        part = slice(start, start + _CHUNK)
        with torch.no_grad():
            depth = model(*(p[part] for p in planets), native=True).cpu().numpy() - base[part]
        depth = depth / unit[part]
        binned.append(depth @ model.projection.T)
        native.append((depth if columns is None else depth[:, columns]).astype(np.float32))
        report(len(depth))
    return np.concatenate(native), np.concatenate(binned), unit


def build_nodes(
    model: TransmissionModel,
    fingerprint: str,
    *,
    settings: NodeSettings | None = None,
    span: NodeRange | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NodeSet:
    """Choose nodes for the reference mode given, fit their matrix and measure its errors.

    Parameters
    ----------
    model
        Reference mode on the tables in use.
    fingerprint
        Checksum of the tables and settings, kept with the nodes.
    settings, span
        How they are made, and the planets that they are made for.
    progress
        Called with the number of planets computed and of all.
    """
    settings, span = settings or NodeSettings(), span or NodeRange()
    sizes = (settings.n_select, settings.n_fit, settings.n_validation)
    done = 0

    def report(number: int) -> None:
        nonlocal done
        done += number
        if progress:
            progress(done, sum(sizes))

    select, fit, validation = (
        draw_planets(n, len(model.molecules), model.molecules, span, [settings.seed, part])
        for part, n in enumerate(sizes)
    )
    native, binned, _ = _scaled(model, select, None, report)
    index = _choose(native, binned, model.projection, settings.nodes_per_bin)
    at_nodes, binned, _ = _scaled(model, fit, index, report)
    matrix = _ridge(at_nodes.astype(float), binned)
    at_nodes, binned, unit = _scaled(model, validation, index, report)
    error_ppm = np.abs((at_nodes @ matrix.T - binned) * unit) * 1e6
    found = {
        "planets": len(error_ppm),
        "rms_ppm": float(np.sqrt(np.mean(error_ppm**2))),
        "p99_ppm": float(np.quantile(error_ppm, 0.99)),
        "max_ppm": float(error_ppm.max()),
    }
    log.info("fast mode: %d of %d wavelengths, %s", len(index), native.shape[1], found)
    return NodeSet(index, matrix, fingerprint, span, found)


def _choose(
    native: np.ndarray, binned: np.ndarray, projection: np.ndarray, nodes_per_bin: int
) -> np.ndarray:
    """Positions of the wavelengths that reproduce the bins with non-negative weights."""
    chosen: set[int] = set()
    for row, target in zip(projection, binned.T, strict=True):
        inside = np.flatnonzero(row > 0)
        _, active, _ = lars_path(
            native[:, inside].astype(float),
            target,
            method="lasso",
            positive=True,
            max_iter=nodes_per_bin,
        )
        chosen.update(inside[active].tolist())
    return np.array(sorted(chosen))


def _ridge(at_nodes: np.ndarray, binned: np.ndarray) -> np.ndarray:
    """Matrix (wavelength, node); the strength of the ridge is chosen on planets held out."""
    held_out = int(_HELD_OUT * len(at_nodes))
    x, y = at_nodes[held_out:], binned[held_out:]
    scale = float(np.mean(x**2)) * len(x)

    def fit(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
        return Ridge(alpha=strength * scale, fit_intercept=False).fit(x, y).coef_

    errors = [
        np.mean((at_nodes[:held_out] @ fit(x, y, s).T - binned[:held_out]) ** 2) for s in _RIDGES
    ]
    best = _RIDGES[int(np.argmin(errors))]
    log.info("fast mode: ridge %g of %s", best, np.sqrt(errors))
    return fit(at_nodes, binned, best)


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
    device
        Torch device.

    Attributes
    ----------
    outside : number of spectra that went to the reference mode
    """

    def __init__(
        self,
        nodes: NodeSet,
        tables: Mapping[str, OpacityTable],
        reference: Callable[[], TransmissionModel],
        *,
        cia: Sequence[CollisionInducedAbsorption] = (),
        device: str = "cpu",
    ) -> None:
        at_nodes = {
            name: replace(
                table,
                wavenumber_cm1=table.wavenumber_cm1[nodes.index],
                cross_section_cm2=table.cross_section_cm2[:, :, nodes.index],
            )
            for name, table in tables.items()
        }
        self._at_nodes = TransmissionModel(at_nodes, nodes.matrix, cia=cia, device=device)
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
            if planets.cloud_pressure_pa is not None or planets.haze_log_strength is not None:
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
