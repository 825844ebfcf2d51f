"""Batched, differentiable transmission spectra of hydrostatic atmospheres.

The scheme is TauREx 3's (Al-Refaie et al. 2021, ApJ 917, 37): layers log-uniform in pressure,
hydrostatic altitudes with gravity falling with height, slant optical depths along the chord of
every layer, cross-sections bilinear in temperature and log10 pressure. Isothermal atmospheres of
constant composition are the fast case, see :mod:`arielflow.physics.extinction`.
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
from arielflow.physics.atmosphere import (
    Layers,
    Pressures,
    half_chords,
    hydrostatic_levels,
    layers,
)
from arielflow.physics.cia import CollisionInducedAbsorption
from arielflow.physics.extinction import Extinction
from arielflow.physics.opacity import OpacityTable
from arielflow.physics.rays import Rays, passed
from arielflow.physics.systems import ATOMIC_MASS_UNIT_KG, HE_H2_RATIO, molecular_mass_u

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
    radius_m, mass_kg, star_radius_m : Tensor
        Radius at the bottom of the atmosphere [m], mass [kg], radius of the star [m], shape
        (planet,).
    temperature_k : Tensor
        Shape (planet,), or (planet, layer) from the bottom up [K].
    log_mixing_ratio : Tensor
        log10 volume mixing ratios, shape (planet, molecule), or (planet, layer, molecule); -inf for
        none.
    cloud_pressure_pa : Tensor | None
        Pressure [Pa] of the top of an opaque cloud deck, shape (planet,), or None.
    haze_log_strength, haze_slope : Tensor | None
        log10 of the haze's cross-section at 0.35 um over H2's Rayleigh scattering, and its power of
        the wavelength (-4 for Rayleigh), shape (planet,), or None.
    cloud_fraction : Tensor | None
        Share of the planet's limb, 0 to 1, that clouds and haze cover, shape (planet,); all of it
        if None.
    """

    radius_m: Tensor
    mass_kg: Tensor
    temperature_k: Tensor
    star_radius_m: Tensor
    log_mixing_ratio: Tensor
    cloud_pressure_pa: Tensor | None = None
    haze_log_strength: Tensor | None = None
    haze_slope: Tensor | None = None
    cloud_fraction: Tensor | None = None

    @property
    def layered(self) -> bool:
        """Whether temperature or composition are given layer by layer."""
        return self.temperature_k.ndim == 2 or self.log_mixing_ratio.ndim == 3

    def aligned(self, n_layers: int) -> Planets:
        """Temperature (planet, layer), composition (planet, 1 or layer, molecule), if layered."""
        if not self.layered:
            return self
        temperature, mixing = self.temperature_k, self.log_mixing_ratio
        return replace(
            self,
            temperature_k=(
                temperature if temperature.ndim == 2 else temperature[:, None].expand(-1, n_layers)
            ),
            log_mixing_ratio=mixing if mixing.ndim == 3 else mixing[:, None, :],
        )

    def tensors(self) -> dict[str, Tensor]:
        """The parameters that are given, by name."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in found.items() if value is not None}

    def __getitem__(self, rows: slice | Tensor) -> Planets:
        return replace(self, **{name: value[rows] for name, value in self.tensors().items()})

    def __len__(self) -> int:
        return len(self.radius_m)


class TransmissionModel:
    """Transit depths of planets.

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
        layers_pa = self.pressures.layers_pa
        self._extinction = Extinction(tables, cia, layers_pa, self.device, dtype)
        self.wavenumber_cm1 = self._extinction.wavenumber_cm1
        self.temperature_range_k = self._extinction.temperature_range_k
        masses = [molecular_mass_u(gas) for gas in self._extinction.gases]
        self._mass = self._double(masses) * ATOMIC_MASS_UNIT_KG
        self._fill = self._double([1 / (1 + he_h2_ratio), he_h2_ratio / (1 + he_h2_ratio)])
        self.projection = np.asarray(projection)
        self._projection = self._double(np.ascontiguousarray(self.projection.T))
        self._follow(rays or Rays.all(self.pressures.n_layers), batch_size)

    def _follow(self, rays: Rays, batch_size: int | None) -> None:
        self._ray_layer = torch.as_tensor(rays.layer, device=self.device)
        self._ray_weight = self._double(rays.weight)
        width = len(rays.layer) * len(self.wavenumber_cm1) * self.dtype.itemsize
        width *= self._extinction.n_quadrature
        self.batch_size = batch_size or max(2, int(_BATCH_BYTES / width))

    def with_rays(self, rays: Rays) -> TransmissionModel:
        """The same model, following these rays."""
        other = copy(self)
        other._follow(rays, None)
        return other

    def _double(self, values: object) -> Tensor:
        return torch.as_tensor(np.asarray(values, dtype=float)).to(self.device)

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
            planets = planets.aligned(self.pressures.n_layers)
            return self._flags(planets, self._levels(planets)[0])

    @torch.no_grad()
    def _flags(self, planets: Planets, levels: Tensor) -> Tensor:
        flags = torch.zeros(len(planets), dtype=torch.int64, device=self.device)
        for name, value in planets.tensors().items():
            value = value.flatten(1) if value.ndim > 1 else value[:, None]
            fault = ~torch.isfinite(value)
            if name == "log_mixing_ratio":
                fault &= ~torch.isneginf(value)
            flags |= fault.any(dim=1) * int(Flag.NON_FINITE)
            if name == "cloud_fraction":
                flags |= ((value < 0) | (value > 1)).any(dim=1) * int(Flag.OUT_OF_RANGE)
            elif not name.startswith(("log_", "haze")):
                flags |= (value <= 0).any(dim=1) * int(Flag.OUT_OF_RANGE)
        too_much = (10.0**planets.log_mixing_ratio).sum(dim=-1) > 1
        too_much = too_much.any(dim=1) if too_much.ndim == 2 else too_much
        flags |= too_much * int(Flag.OUT_OF_RANGE)
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
        if planets.log_mixing_ratio.shape[-1] != len(self.molecules):
            raise ArielflowError(
                f"mixing ratios have shape {tuple(planets.log_mixing_ratio.shape)}, expected "
                f"(planet, {len(self.molecules)}): {', '.join(self.molecules)}"
            )
        self.calls += len(planets)
        planets = planets.aligned(self.pressures.n_layers)
        levels, mixing = self._levels(planets)
        good = self._flags(planets, levels) == 0
        cold, hot = self.temperature_range_k
        temperature = planets.temperature_k.detach()
        beyond = (temperature < cold) | (temperature > hot)
        self.clamped += int((good & (beyond.any(dim=1) if beyond.ndim == 2 else beyond)).sum())
        if bool(good.all()):
            return self._spectra(planets, levels, mixing, native)
        width = self._width(native)
        depths = torch.full((len(planets), width), torch.nan, dtype=torch.float64)
        planets = planets[good]
        # Computed anew: through those of a faulty planet the others' gradients would be NaN.
        found = self._spectra(planets, *self._levels(planets), native)
        return depths.to(self.device).index_put((good.nonzero()[:, 0],), found)

    def _spectra(self, planets: Planets, levels: Tensor, mixing: Tensor, native: bool) -> Tensor:
        """Spectra of good planets, in batches of bounded memory."""
        # Neighbours in temperature share rows of the tables, see TableGroup.nodes.
        temperature = planets.temperature_k.detach()
        temperature = temperature[:, 0] if planets.layered else temperature
        order = temperature.argsort(stable=True)
        # Filled in place: results allocated one by one would fragment the heap by gigabytes.
        size = len(planets), self._width(native)
        depths = torch.empty(size, dtype=torch.float64, device=self.device)
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
        rest = (1 - absorbers.sum(dim=-1, keepdim=True)).clamp(min=0)
        return torch.cat([absorbers, rest * self._fill], dim=-1)

    def _width(self, native: bool) -> int:
        return len(self.wavenumber_cm1) if native else self._projection.shape[1]

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
        chords = self._chords(geometry)
        parameters = planets.temperature_k, mixing
        transmission = self._extinction.log2_transmission(chords, *parameters).exp2_().double()
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
        clear = cloudy = ring[:, self._ray_layer] * self._ray_weight
        if planets.cloud_pressure_pa is not None:
            covered = self._covered(planets.cloud_pressure_pa)
            cloudy = cloudy * (1 - covered[:, self._ray_layer])
            if planets.cloud_fraction is not None:
                covered = covered * planets.cloud_fraction[:, None]
            base = base + (ring * covered).sum(dim=1, keepdim=True)
        chords, state = self._chords(geometry), (planets.temperature_k, mixing)
        haze = None
        if planets.haze_log_strength is not None:
            haze = self._extinction.haze(mixing, planets.haze_log_strength, planets.haze_slope)
        parts = [(cloudy, haze)]
        if planets.cloud_fraction is not None:
            fraction = planets.cloud_fraction[:, None]
            clear, cloudy = clear * (1 - fraction), cloudy * fraction
            # Without haze both parts of the limb differ in their opaque layers alone.
            parts = [(clear + cloudy, None)] if haze is None else [(clear, None), (cloudy, haze)]
        absorbed = 0
        for area, scattering in parts:
            transmission = self._extinction.log2_transmission(chords, *state, scattering)
            through = passed(area.to(self.dtype), transmission)
            absorbed = absorbed + (area.sum(dim=1, keepdim=True) - through)
        return base + (absorbed if native else absorbed @ self._projection)

    def _covered(self, cloud_pressure_pa: Tensor) -> Tensor:
        """Share (planet, layer) below the deck's top: 1, or a part of the layer it lies in."""
        depth = np.log(self.pressures.bottom_pa) - torch.log(cloud_pressure_pa)
        below = depth[:, None] / self.pressures.log_step
        return (below - torch.arange(self.pressures.n_layers, device=self.device)).clamp(0, 1)

    def _chords(self, geometry: Layers) -> Tensor:
        return half_chords(geometry.upper_edge, geometry.tangent[:, self._ray_layer])
