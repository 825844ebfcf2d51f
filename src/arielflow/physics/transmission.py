"""Batched, differentiable transmission spectra of isothermal, constant-abundance atmospheres.

The scheme is TauREx 3's (Al-Refaie et al. 2021, ApJ 917, 37): layers log-uniform in pressure,
hydrostatic altitudes with gravity falling with height, slant optical depths along the chord of
every layer, cross-sections bilinear in temperature and log10 pressure. Because mixing ratios and
temperature are constant with altitude, the interpolation in pressure folds into the path matrix:
the optical depth of a planet is one matrix product (layers x pressure nodes) (nodes x grid).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from arielflow.errors import ArielflowError
from arielflow.physics.binning import binning_matrix
from arielflow.physics.opacity import CrossSection
from arielflow.physics.rayleigh import rayleigh_cross_section_cm2
from arielflow.physics.system import (
    ATOMIC_MASS_UNIT_KG,
    BOLTZMANN_CONSTANT,
    GRAVITATIONAL_CONSTANT,
    HE_H2_RATIO,
    MOLECULAR_MASS_U,
)

# Cross-sections are held in units of 1e-26 m2, in which they fit single precision.
_CROSS_SECTION_UNIT_M2 = 1e-26
_M2_PER_CM2 = 1e-4
_FILL_GASES = ("H2", "He")


def _interpolation_weights(nodes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Linear interpolation from ``nodes`` to ``points`` as a matrix, clamped at both ends."""
    upper = np.clip(np.searchsorted(nodes, points), 1, len(nodes) - 1)
    fraction = np.clip((points - nodes[upper - 1]) / (nodes[upper] - nodes[upper - 1]), 0, 1)
    weights = np.zeros((len(points), len(nodes)))
    rows = np.arange(len(points))
    weights[rows, upper - 1] = 1 - fraction
    weights[rows, upper] = fraction
    return weights


class TransmissionModel:
    """Transit depths of planets with isothermal atmospheres of constant composition.

    Parameters
    ----------
    cross_sections
        Absorbing molecules' tables by name, all on one grid of pressure, temperature, wavenumber.
    wavelength_um, wavelength_width_um
        Bins of the result, shape (wavelength,) [um].
    n_layers, pressure_pa
        Number of layers and the pressures at the bottom and the top [Pa].
    he_h2_ratio
        Number ratio of helium to hydrogen in the fill gas.
    device
        Torch device that the tables live on.
    batch_size
        Planets computed at once; bounds the memory.
    dtype
        Of cross-sections and optical depths; the geometry is in double precision always.

    Raises
    ------
    ArielflowError
        The tables do not share a grid, or leave a bin uncovered.
    """

    def __init__(
        self,
        cross_sections: Mapping[str, CrossSection],
        wavelength_um: np.ndarray,
        wavelength_width_um: np.ndarray,
        *,
        n_layers: int = 100,
        pressure_pa: tuple[float, float] = (1e6, 1e-5),
        he_h2_ratio: float = HE_H2_RATIO,
        device: str = "cpu",
        batch_size: int = 32,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.molecules = tuple(cross_sections)
        self.batch_size = batch_size
        self.device = torch.device(device)
        self.dtype = dtype
        self.calls = 0
        tables = list(cross_sections.values())
        self._check_grids(tables)
        first = tables[0]
        self.wavenumber_cm1 = first.wavenumber_cm1
        self.temperature_range_k = (float(first.temperature_k[0]), float(first.temperature_k[-1]))
        gases = (*self.molecules, *_FILL_GASES)
        native_um = 1e4 / first.wavenumber_cm1
        rayleigh = np.stack([rayleigh_cross_section_cm2(gas, native_um) for gas in gases])
        scale = _M2_PER_CM2 / _CROSS_SECTION_UNIT_M2
        # (temperature, molecule, pressure x wavenumber): one row of the first axis a table node.
        stacked = np.stack([table.cross_section_cm2 for table in tables]).transpose(2, 0, 1, 3)
        self._sigma = self._optical(stacked.reshape(*stacked.shape[:2], -1) * scale)
        self._rayleigh = self._optical(rayleigh * scale)
        self._table_temperature = self._double(first.temperature_k)
        self._mass = self._double([MOLECULAR_MASS_U[gas] for gas in gases]) * ATOMIC_MASS_UNIT_KG
        self._fill = self._double([1 / (1 + he_h2_ratio), he_h2_ratio / (1 + he_h2_ratio)])

        levels = np.geomspace(*pressure_pa, n_layers + 1)
        layers = np.sqrt(levels[1:] * levels[:-1])
        self._log_step = float(np.log(levels[0] / levels[1]))
        self._layer_pressure = self._double(layers)
        self._n_layers = n_layers
        weights = _interpolation_weights(np.log10(first.pressure_pa), np.log10(layers))
        # The last column carries Rayleigh scattering, which does not depend on pressure.
        self._pressure_weights = self._double(np.column_stack([weights, np.ones(n_layers)]))
        bins = binning_matrix(first.wavenumber_cm1, wavelength_um, wavelength_width_um)
        self._bins = self._double(bins.T)

    def _optical(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(values), dtype=self.dtype).to(self.device)

    def _double(self, values: object) -> Tensor:
        return torch.as_tensor(np.asarray(values, dtype=float)).to(self.device)

    @staticmethod
    def _check_grids(tables: list[CrossSection]) -> None:
        first = tables[0]
        for table in tables[1:]:
            for name in ("wavenumber_cm1", "temperature_k", "pressure_pa"):
                if not np.array_equal(getattr(first, name), getattr(table, name)):
                    raise ArielflowError(
                        f"opacities of {first.molecule} and {table.molecule} differ in {name}; "
                        "use tables made on one grid"
                    )

    def __call__(
        self,
        radius_m: Tensor,
        mass_kg: Tensor,
        temperature_k: Tensor,
        star_radius_m: Tensor,
        log_mixing_ratio: Tensor,
        *,
        native: bool = False,
    ) -> Tensor:
        """Transit depths (planet, wavelength), dimensionless, in double precision.

        Parameters
        ----------
        radius_m, mass_kg, temperature_k, star_radius_m
            Shape (planet,): radius at the bottom of the atmosphere [m], mass [kg], temperature
            [K], radius of the star [m].
        log_mixing_ratio
            log10 volume mixing ratios, shape (planet, molecule), in the order of ``molecules``.
        native
            Return the spectrum on the opacity grid (``wavenumber_cm1``) instead of the bins.

        Notes
        -----
        An atmosphere that diverges (scale height comparable with the radius) gives inf or NaN.
        """
        arguments = (radius_m, mass_kg, temperature_k, star_radius_m, log_mixing_ratio)
        arguments = [torch.as_tensor(a, dtype=torch.float64, device=self.device) for a in arguments]
        self.calls += len(arguments[0])
        # Filled in place: results allocated one by one would fragment the heap by gigabytes.
        width = len(self.wavenumber_cm1) if native else self._bins.shape[1]
        depths = torch.empty((len(arguments[0]), width), dtype=torch.float64, device=self.device)
        start = 0
        for part in self._split(arguments):
            stop = start + len(part[0])
            depths[start:stop] = self._batch(*part, native=native)
            start = stop
        return depths

    def _split(self, arguments: list[Tensor]) -> Iterator[tuple[Tensor, ...]]:
        return zip(*(argument.split(self.batch_size) for argument in arguments), strict=True)

    def _batch(self, radius, mass, temperature, star_radius, log_mixing_ratio, *, native):
        mixing = self._mixing_ratios(log_mixing_ratio)
        mean_mass = mixing @ self._mass
        bottom, tangent, thickness, upper_edge = self._geometry(
            radius, mass, temperature, mean_mass
        )
        paths = self._path_matrix(tangent, upper_edge, temperature)
        tau = paths.to(self.dtype) @ self._nodes(temperature, mixing)
        ring = 2 * bottom * thickness / star_radius[:, None] ** 2
        absorbed = (ring.to(self.dtype)[:, None, :] @ -torch.expm1(-tau)).squeeze(1).double()
        depth = (radius / star_radius)[:, None] ** 2 + absorbed
        return depth if native else depth @ self._bins

    def _mixing_ratios(self, log_mixing_ratio: Tensor) -> Tensor:
        """Volume mixing ratios (planet, gas), absorbers first, then H2 and He filling up."""
        absorbers = 10.0**log_mixing_ratio
        rest = (1 - absorbers.sum(dim=1, keepdim=True)).clamp(min=0)
        return torch.cat([absorbers, rest * self._fill], dim=1)

    def _geometry(self, radius, mass, temperature, mean_mass) -> tuple[Tensor, ...]:
        """Radii (planet, layer) of layer bottoms, tangents and upper edges, and thicknesses [m]."""
        growth = BOLTZMANN_CONSTANT * temperature * self._log_step
        growth = growth / (mean_mass * GRAVITATIONAL_CONSTANT * mass)
        levels = [radius]
        for _ in range(self._n_layers):
            levels.append(levels[-1] + growth * levels[-1] ** 2)
        levels = torch.stack(levels, dim=1)
        bottom, thickness = levels[:, :-1], levels.diff(dim=1)
        tangent = bottom + 0.5 * thickness[:, :1]
        return bottom, tangent, thickness, tangent + 0.5 * thickness

    def _path_matrix(self, tangent, upper_edge, temperature) -> Tensor:
        """Column density [1e26 m-2] of each pressure node along each tangent chord."""
        difference = upper_edge[:, None, :] - tangent[:, :, None]
        product = difference * (upper_edge[:, None, :] + tangent[:, :, None])
        above = difference > 0
        # Masked before the root: its gradient at zero is infinite.
        half = torch.sqrt(torch.where(above, product, 1.0)) * above
        chord = 2 * torch.diff(half, dim=2, prepend=torch.zeros_like(half[:, :, :1]))
        density = self._layer_pressure / (BOLTZMANN_CONSTANT * temperature[:, None])
        column = chord * (density * _CROSS_SECTION_UNIT_M2)[:, None, :]
        return column @ self._pressure_weights

    def _nodes(self, temperature: Tensor, mixing: Tensor) -> Tensor:
        """Cross-section of the gas mixture (planet, node, wavenumber) [1e-26 m2]."""
        nodes = self._table_temperature
        temperature = temperature.clamp(nodes[0], nodes[-1])
        upper = torch.searchsorted(nodes, temperature.detach()).clamp(1, len(nodes) - 1)
        fraction = (temperature - nodes[upper - 1]) / (nodes[upper] - nodes[upper - 1])
        absorbers = mixing[:, : len(self.molecules)]
        low = (absorbers * (1 - fraction[:, None])).to(self.dtype)[:, None, :]
        high = (absorbers * fraction[:, None]).to(self.dtype)[:, None, :]
        mixed = low @ self._sigma[upper - 1] + high @ self._sigma[upper]
        scattered = mixing.to(self.dtype) @ self._rayleigh
        shape = (len(mixing), -1, self._rayleigh.shape[1])
        return torch.cat([mixed.reshape(shape), scattered[:, None, :]], dim=1)
