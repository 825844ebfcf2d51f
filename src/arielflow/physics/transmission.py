"""Batched, differentiable transmission spectra of isothermal, constant-abundance atmospheres.

The scheme is TauREx 3's (Al-Refaie et al. 2021, ApJ 917, 37): layers log-uniform in pressure,
hydrostatic altitudes with gravity falling with height, slant optical depths along the chord of
every layer, cross-sections bilinear in temperature and log10 pressure. Because mixing ratios and
temperature are constant with altitude, the interpolation in pressure folds into the path matrix:
the optical depth of a planet is one matrix product (layers x pressure nodes) (nodes x grid).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from enum import IntFlag

import numpy as np
import torch
from torch import Tensor

from arielflow.core.errors import ArielflowError
from arielflow.physics.absorption import PER_CM2, UNIT_M2, CollisionPair, group_tables
from arielflow.physics.atmosphere import (
    Layers,
    Pressures,
    half_chords,
    hydrostatic_levels,
    layers,
)
from arielflow.physics.cia import CollisionInducedAbsorption
from arielflow.physics.opacity import OpacityTable
from arielflow.physics.rayleigh import rayleigh_cross_section_cm2
from arielflow.physics.rays import Rays, passed
from arielflow.physics.systems import (
    ATOMIC_MASS_UNIT_KG,
    BOLTZMANN_CONSTANT,
    HE_H2_RATIO,
    molecular_mass_u,
)

_FILL_GASES = ("H2", "He")
_HAZE_REFERENCE_UM = 0.35
# Optical depths of a batch: small enough for the cache, large enough to keep two cores busy;
# measured, benchmarks/forward_model.csv.
_BATCH_BYTES = 8e6
# An atmosphere that reaches this many radii within the pressure range has run away.
_DIVERGED_RADII = 1e3


Bins = tuple[np.ndarray, np.ndarray]
"""Centres and full widths of wavelength bins, each of shape (wavelength,) [um]."""


class Flag(IntFlag):
    """Why a planet has no spectrum; several may hold at once."""

    GOOD = 0
    NON_FINITE = 1
    OUT_OF_RANGE = 2
    DIVERGED = 4


@dataclass(frozen=True)
class Planets:
    """Parameters of the planets whose spectra are asked for.

    Attributes
    ----------
    radius_m, mass_kg, temperature_k, star_radius_m : Tensor
        Shape (planet,): radius at the bottom of the atmosphere [m], mass [kg], temperature [K],
        radius of the star [m].
    log_mixing_ratio : Tensor
        log10 volume mixing ratios, shape (planet, molecule); -inf for none.
    cloud_pressure_pa : Tensor | None
        Pressure [Pa] of the top of an opaque cloud deck, shape (planet,), or None.
    haze_log_strength, haze_slope : Tensor | None
        log10 of the haze's cross-section at 0.35 um over H2's Rayleigh scattering, and its power of
        the wavelength (-4 for Rayleigh), shape (planet,), or None.
    """

    radius_m: Tensor
    mass_kg: Tensor
    temperature_k: Tensor
    star_radius_m: Tensor
    log_mixing_ratio: Tensor
    cloud_pressure_pa: Tensor | None = None
    haze_log_strength: Tensor | None = None
    haze_slope: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """The parameters that are given, by name."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in found.items() if value is not None}

    def __getitem__(self, rows: slice | Tensor) -> Planets:
        return replace(self, **{name: value[rows] for name, value in self.tensors().items()})

    def __len__(self) -> int:
        return len(self.radius_m)


class TransmissionModel:
    """Transit depths of planets with isothermal atmospheres of constant composition.

    Parameters
    ----------
    tables
        Absorbing molecules' tables by name, all on one grid of wavenumbers.
    projection
        Matrix (wavelength, wavenumber) from the tables' grid to the bins of the result; rows that
        sum to one average, see :func:`arielflow.physics.binning.binning_matrix`.
    bins
        What the projection averages over, for others to compare their wavelengths with; None if
        it is not told.
    cia
        Collision-induced absorption; none by default, as in the challenge's own model.
    pressures
        Layers and pressure range.
    rays
        Those that are followed; one per layer if left out, as clouds need them.
    he_h2_ratio
        Number ratio of helium to hydrogen in the fill gas.
    device
        Torch device that the tables live on.
    batch_size
        Planets whose optical depths are held at once; bounds the memory. By default as many as
        fit a core's cache, which is fastest.
    dtype
        Precision of cross-sections and optical depths; the geometry is always in double.

    Attributes
    ----------
    calls : int
        Number of spectra computed.
    clamped : int
        Number of spectra outside the temperatures of a table, computed at its edge.
    temperature_range_k : tuple[float, float]
        Lowest and highest temperature that every table has.
    """

    def __init__(
        self,
        tables: Mapping[str, OpacityTable],
        projection: np.ndarray,
        *,
        bins: Bins | None = None,
        cia: Sequence[CollisionInducedAbsorption] = (),
        pressures: Pressures | None = None,
        rays: Rays | None = None,
        he_h2_ratio: float = HE_H2_RATIO,
        device: str = "cpu",
        batch_size: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.molecules, self.bins = tuple(tables), bins
        self.device, self.dtype = torch.device(device), dtype
        self.pressures = pressures or Pressures()
        self.calls = self.clamped = 0
        self.wavenumber_cm1 = next(iter(tables.values())).wavenumber_cm1
        layers_pa = self.pressures.layers_pa
        groups = group_tables(list(tables.values()), layers_pa, self._optical, self._double)
        self._groups = [group for group in groups if group.quadrature is None]
        self._correlated = [group for group in groups if group.quadrature is not None]
        self.temperature_range_k = (
            max(group.temperature_range_k[0] for group in groups),
            min(group.temperature_range_k[1] for group in groups),
        )
        gases = (*self.molecules, *_FILL_GASES)
        native_um = 1e4 / self.wavenumber_cm1
        rayleigh = np.stack([rayleigh_cross_section_cm2(gas, native_um) for gas in gases])
        self._rayleigh = self._optical(rayleigh * PER_CM2)
        self._haze_log_um = self._double(np.log(native_um / _HAZE_REFERENCE_UM))
        reference = rayleigh_cross_section_cm2("H2", np.array([_HAZE_REFERENCE_UM]))
        self._haze_reference = float(reference[0] * PER_CM2)
        self._mass = self._double([molecular_mass_u(gas) for gas in gases]) * ATOMIC_MASS_UNIT_KG
        self._fill = self._double([1 / (1 + he_h2_ratio), he_h2_ratio / (1 + he_h2_ratio)])
        self._cia = [
            CollisionPair(
                table,
                (gases.index(table.pair[0]), gases.index(table.pair[1])),
                self.wavenumber_cm1,
                self._optical,
                self._double,
            )
            for table in cia
        ]
        self._paths = self._path_factors(layers_pa)
        self.projection = np.asarray(projection)
        self._projection = self._double(np.ascontiguousarray(self.projection.T))
        self._follow(rays or Rays.all(self.pressures.n_layers), batch_size)

    def _follow(self, rays: Rays, batch_size: int | None) -> None:
        self._ray_layer = torch.as_tensor(rays.layer, device=self.device)
        self._ray_weight = self._double(rays.weight)
        quadrature = max([len(group.quadrature) for group in self._correlated], default=1)
        width = len(rays.layer) * len(self.wavenumber_cm1) * quadrature * self.dtype.itemsize
        self.batch_size = batch_size or max(2, int(_BATCH_BYTES / width))

    def with_rays(self, rays: Rays) -> TransmissionModel:
        """The same model, following these rays."""
        other = copy(self)
        other._follow(rays, None)
        return other

    def _optical(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(values), dtype=self.dtype).to(self.device)

    def _double(self, values: object) -> Tensor:
        return torch.as_tensor(np.asarray(values, dtype=float)).to(self.device)

    def _path_factors(self, layers_pa: np.ndarray) -> Tensor:
        """Constant matrix D (layer, node) with path matrix = half chords x D / temperature.

        The path through a shell is the difference of two half chords; the difference is taken
        here, of the shells' densities times their interpolation weights, instead of there.
        """
        density = layers_pa / BOLTZMANN_CONSTANT * UNIT_M2
        weights = [group.layer_weights for group in (*self._groups, *self._correlated)]
        # One column more carries Rayleigh scattering and haze, which do not depend on pressure.
        columns = np.column_stack([*weights, np.ones(len(layers_pa))]) * density[:, None]
        if self._cia:
            columns = np.column_stack([columns, density**2])
        return self._double(2 * (columns - np.vstack([columns[1:], np.zeros(columns.shape[1])])))

    def planets(self, *parameters: object, **named: object) -> Planets:
        """Parameters as :class:`Planets`, in double precision on the model's device."""

        def double(value: object) -> Tensor:
            if not isinstance(value, Tensor):
                value = torch.as_tensor(np.array(value, dtype=float))
            return value.to(self.device, torch.float64)

        return Planets(
            *(double(value) for value in parameters),
            **{name: double(value) for name, value in named.items() if value is not None},
        )

    def flags(self, planets: Planets) -> Tensor:
        """Why planets have no spectrum, shape (planet,), bits of :class:`Flag`; 0 is good."""
        with torch.no_grad():
            return self._flags(planets, self._levels(planets)[0])

    @torch.no_grad()
    def _flags(self, planets: Planets, levels: Tensor) -> Tensor:
        flags = torch.zeros(len(planets), dtype=torch.int64, device=self.device)
        for name, value in planets.tensors().items():
            fault = ~torch.isfinite(value)
            if name == "log_mixing_ratio":
                fault = (fault & ~torch.isneginf(value)).any(dim=1)
            flags |= fault * int(Flag.NON_FINITE)
            if not name.startswith(("log_", "haze")):
                flags |= (value <= 0) * int(Flag.OUT_OF_RANGE)
        mixing = 10.0**planets.log_mixing_ratio
        flags |= (mixing.sum(dim=1) > 1) * int(Flag.OUT_OF_RANGE)
        bound = levels[:, -1] < _DIVERGED_RADII * planets.radius_m
        return flags | ((flags == 0) & ~bound) * int(Flag.DIVERGED)

    def __call__(self, *parameters: object, native: bool = False, **named: object) -> Tensor:
        """Transit depths (planet, wavelength), dimensionless, in double precision.

        Parameters
        ----------
        parameters, named
            In the order and by the names of :class:`Planets`, or one such object.
        native
            Return the spectrum on the opacity grid (``wavenumber_cm1``) instead of the bins.

        Notes
        -----
        A planet with parameters that are not finite or not physical, or whose atmosphere runs away
        (scale height comparable with the radius), gets NaN and a gradient of zero; the others are
        not touched by it. :meth:`flags` says why.
        """
        given = parameters and isinstance(parameters[0], Planets)
        planets = parameters[0] if given else self.planets(*parameters, **named)
        if planets.log_mixing_ratio.shape[1:] != (len(self.molecules),):
            raise ArielflowError(
                f"mixing ratios have shape {tuple(planets.log_mixing_ratio.shape)}, expected "
                f"(planet, {len(self.molecules)}): {', '.join(self.molecules)}"
            )
        self.calls += len(planets)
        levels, mixing = self._levels(planets)
        good = self._flags(planets, levels) == 0
        cold, hot = self.temperature_range_k
        temperature = planets.temperature_k.detach()
        self.clamped += int((good & ((temperature < cold) | (temperature > hot))).sum())
        if bool(good.all()):
            return self._spectra(planets, levels, mixing, native)
        width = self._rayleigh.shape[1] if native else self._projection.shape[1]
        depths = torch.full((len(planets), width), torch.nan, dtype=torch.float64)
        planets = planets[good]
        # Computed anew: through those of a faulty planet the others' gradients would be NaN.
        found = self._spectra(planets, *self._levels(planets), native)
        return depths.to(self.device).index_put((good.nonzero()[:, 0],), found)

    def _spectra(self, planets: Planets, levels: Tensor, mixing: Tensor, native: bool) -> Tensor:
        """Spectra of good planets, in batches of bounded memory."""
        # Neighbours in temperature share rows of the tables, see TableGroup.nodes.
        order = planets.temperature_k.detach().argsort(stable=True)
        width = self._rayleigh.shape[1] if native else self._projection.shape[1]
        # Filled in place: results allocated one by one would fragment the heap by gigabytes.
        depths = torch.empty((len(planets), width), dtype=torch.float64, device=self.device)
        for rows in order.split(self.batch_size) if len(order) else ():
            depths[rows] = self._batch(planets[rows], layers(levels[rows]), mixing[rows], native)
        return depths

    def _levels(self, planets: Planets) -> tuple[Tensor, Tensor]:
        """Radii of the levels, and volume mixing ratios: absorbers first, H2 and He filling up."""
        mixing = self._mixing_ratios(planets)
        parameters = planets.radius_m, planets.mass_kg, planets.temperature_k
        return hydrostatic_levels(self.pressures, *parameters, mixing @ self._mass), mixing

    def _mixing_ratios(self, planets: Planets) -> Tensor:
        absorbers = 10.0**planets.log_mixing_ratio
        rest = (1 - absorbers.sum(dim=1, keepdim=True)).clamp(min=0)
        return torch.cat([absorbers, rest * self._fill], dim=1)

    @torch.no_grad()
    def absorbed_by_ray(self, *parameters: object) -> np.ndarray:
        """What every ray adds to the depths of cloudless planets, shape (planet, ray, wavelength).

        Parameters
        ----------
        parameters
            In the order of :class:`Planets`.
        """
        planets = self.planets(*parameters)
        levels, mixing = self._levels(planets)
        geometry = layers(levels)
        transmission = self._log2_transmission(planets, geometry, mixing).exp2_().double()
        ring = 2 * geometry.bottom * geometry.thickness / planets.star_radius_m[:, None] ** 2
        ring = (ring[:, self._ray_layer] * self._ray_weight)[:, :, None]
        return (ring * ((1 - transmission) @ self._projection)).cpu().numpy()

    def mean_mass_kg(self, planets: Planets) -> Tensor:
        """Mean molecular mass of each planet's atmosphere, shape (planet,) [kg]."""
        return self._mixing_ratios(planets) @ self._mass

    def _batch(self, planets: Planets, geometry: Layers, mixing: Tensor, native: bool) -> Tensor:
        star = planets.star_radius_m[:, None]
        ring = 2 * geometry.bottom * geometry.thickness / star**2
        base = (planets.radius_m[:, None] / star) ** 2
        if planets.cloud_pressure_pa is not None:
            # Layers below the deck are opaque, the one that its top lies in partly.
            depth = np.log(self.pressures.bottom_pa) - torch.log(planets.cloud_pressure_pa)
            below = depth[:, None] / self.pressures.log_step
            covered = (below - torch.arange(ring.shape[1], device=self.device)).clamp(0, 1)
            base = base + (ring * covered).sum(dim=1, keepdim=True)
            ring = ring * (1 - covered)
        ring = ring[:, self._ray_layer] * self._ray_weight
        transmission = self._log2_transmission(planets, geometry, mixing)
        absorbed = ring.sum(dim=1, keepdim=True) - passed(ring.to(self.dtype), transmission)
        return base + (absorbed if native else absorbed @ self._projection)

    def _log2_transmission(self, planets: Planets, geometry: Layers, mixing: Tensor) -> Tensor:
        """Binary logarithm of the transmission (planet, ray, wavenumber) along the rays' chords.

        Powers of two take half the time of powers of e, whose kernel is slower still, by an order
        of magnitude, where results underflow.
        """
        temperature = planets.temperature_k
        chords = half_chords(geometry.upper_edge, geometry.tangent[:, self._ray_layer])
        paths = chords @ self._paths / (-np.log(2) * temperature[:, None, None])
        scattered = mixing.to(self.dtype) @ self._rayleigh
        if planets.haze_log_strength is not None:
            strength = mixing[:, -2] * 10.0**planets.haze_log_strength * self._haze_reference
            shape = torch.exp(planets.haze_slope[:, None] * self._haze_log_um)
            scattered = scattered + (strength[:, None] * shape).to(self.dtype)
        nodes = [group.nodes(temperature, mixing) for group in self._groups]
        columns, position = [], 0
        for group in self._groups:
            columns.append(paths[:, :, position : position + group.n_pressures])
            position += group.n_pressures
        first_correlated = position
        position += sum(group.n_pressures for group in self._correlated)
        columns.append(paths[:, :, position : position + 1])
        nodes.append(scattered[:, None, :])
        if self._cia:
            columns.append(paths[:, :, position + 1 :] / temperature[:, None, None])
            nodes.append(sum(p.cross_section(temperature, mixing) for p in self._cia)[:, None, :])
        transmission = torch.cat(columns, dim=2).to(self.dtype) @ torch.cat(nodes, dim=1)
        for group in self._correlated:
            stop = first_correlated + group.n_pressures
            column = paths[:, :, first_correlated:stop].to(self.dtype)
            transmission = transmission + group.log2_transmission(column, temperature, mixing)
            first_correlated = stop
        return transmission
