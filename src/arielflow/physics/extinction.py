"""What gases and haze take out of the light along the chords of an atmosphere.

In an isothermal atmosphere of constant composition the interpolation of cross-sections in pressure
folds into the path matrix: the optical depth of a planet is one matrix product (rays x pressure
nodes) (nodes x grid). Where temperature or composition change with altitude it is a longer one,
(rays x layers) (layers x grid), of cross-sections interpolated layer by layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from arielflow.physics.absorption import PER_CM2, UNIT_M2, CollisionPair, group_tables
from arielflow.physics.cia import CollisionInducedAbsorption
from arielflow.physics.opacity import OpacityTable
from arielflow.physics.rayleigh import rayleigh_cross_section_cm2
from arielflow.physics.systems import BOLTZMANN_CONSTANT

FILL_GASES = ("H2", "He")
_HAZE_REFERENCE_UM = 0.35


class Extinction:
    """Optical depths of an atmosphere's layers on the tables' grid.

    Parameters
    ----------
    tables
        Absorbing molecules' tables by name, all on one grid of wavenumbers.
    cia
        Collision-induced absorption.
    layers_pa
        Pressures of the layers [Pa], from the bottom up.
    device, dtype
        Of cross-sections and optical depths.

    Attributes
    ----------
    gases : tuple[str, ...]
        The molecules of the tables, H2 and He, which is the order of mixing ratios.
    wavenumber_cm1 : np.ndarray
        The tables' grid.
    n_quadrature : int
        Quadrature points of correlated-k tables, one for cross-sections.
    temperature_range_k : tuple[float, float]
        Lowest and highest temperature that every table has.
    """

    def __init__(
        self,
        tables: Mapping[str, OpacityTable],
        cia: Sequence[CollisionInducedAbsorption],
        layers_pa: np.ndarray,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.gases = (*tables, *FILL_GASES)
        self.wavenumber_cm1 = next(iter(tables.values())).wavenumber_cm1
        self._device, self._dtype = device, dtype
        groups = group_tables(list(tables.values()), layers_pa, self._optical, self._double)
        self._groups = [group for group in groups if group.quadrature is None]
        self._correlated = [group for group in groups if group.quadrature is not None]
        self.n_quadrature = max([len(group.quadrature) for group in self._correlated], default=1)
        self.temperature_range_k = (
            max(group.temperature_range_k[0] for group in groups),
            min(group.temperature_range_k[1] for group in groups),
        )
        native_um = 1e4 / self.wavenumber_cm1
        rayleigh = np.stack([rayleigh_cross_section_cm2(gas, native_um) for gas in self.gases])
        self._rayleigh = self._optical(rayleigh * PER_CM2)
        self._haze_log_um = self._double(np.log(native_um / _HAZE_REFERENCE_UM))
        reference = rayleigh_cross_section_cm2("H2", np.array([_HAZE_REFERENCE_UM]))
        self._haze_reference = float(reference[0] * PER_CM2)
        self._cia = [
            CollisionPair(
                table,
                (self.gases.index(table.pair[0]), self.gases.index(table.pair[1])),
                self.wavenumber_cm1,
                self._optical,
                self._double,
            )
            for table in cia
        ]
        self._density = self._double(layers_pa / BOLTZMANN_CONSTANT * UNIT_M2)
        self._paths = self._path_factors(layers_pa)

    def _optical(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(values), dtype=self._dtype).to(self._device)

    def _double(self, values: object) -> Tensor:
        return torch.as_tensor(np.asarray(values, dtype=float)).to(self._device)

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

    def haze(self, mixing: Tensor, log_strength: Tensor, slope: Tensor) -> Tensor:
        """Cross-section of a haze (..., wavenumber) [1e-26 m2 per particle of the gas].

        Parameters
        ----------
        mixing
            Volume mixing ratios, shape (n, gas) or (n, layer, gas).
        log_strength, slope
            log10 of the cross-section at 0.35 um over H2's Rayleigh scattering, and its power of
            the wavelength, shape (n,).
        """
        shape = torch.exp(slope[:, None] * self._haze_log_um)
        strength = mixing[..., -2] * self._haze_reference
        if strength.ndim == 2:
            log_strength, shape = log_strength[:, None], shape[:, None, :]
        return ((strength * 10.0**log_strength)[..., None] * shape).to(self._dtype)

    def log2_transmission(
        self, chords: Tensor, temperature: Tensor, mixing: Tensor, haze: Tensor | None = None
    ) -> Tensor:
        """Binary logarithm of the transmission (n, ray, wavenumber) along the rays' chords.

        Powers of two take half the time of powers of e, whose kernel is slower still, by an order
        of magnitude, where results underflow.

        Parameters
        ----------
        chords
            From the rays' tangent points to the shells' upper edges, shape (n, ray, layer) [m].
        temperature
            Shape (n,), or (n, layer) where it changes with altitude.
        mixing
            Shape (n, gas); with temperatures by layer (n, layer, gas), or (n, 1, gas) where the
            composition does not change.
        haze
            See :meth:`haze`; none if left out.
        """
        if temperature.ndim == 2:
            return self._by_layer(chords, temperature, mixing, haze)
        paths = chords @ self._paths / (-np.log(2) * temperature[:, None, None])
        scattered = mixing.to(self._dtype) @ self._rayleigh
        if haze is not None:
            scattered = scattered + haze
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
        transmission = torch.cat(columns, dim=2).to(self._dtype) @ torch.cat(nodes, dim=1)
        for group in self._correlated:
            stop = first_correlated + group.n_pressures
            column = paths[:, :, first_correlated:stop].to(self._dtype)
            transmission = transmission + group.log2_transmission(column, temperature, mixing)
            first_correlated = stop
        return transmission

    def _by_layer(
        self, chords: Tensor, temperature: Tensor, mixing: Tensor, haze: Tensor | None
    ) -> Tensor:
        # Rays meet no shell below them: chords to those are zero, and so are the differences.
        below = torch.cat([torch.zeros_like(chords[:, :, :1]), chords[:, :, :-1]], dim=2)
        density = (self._density / temperature)[:, None, :]
        paths = ((chords - below) * density * (-2 / np.log(2))).to(self._dtype)
        by_layer = mixing.expand(-1, temperature.shape[1], -1)
        sigma = mixing.to(self._dtype) @ self._rayleigh
        if haze is not None:
            sigma = sigma + haze
        for group in self._groups:
            sigma = sigma + group.by_layer(temperature, by_layer)
        if self._cia:
            pairs = sum(pair.cross_section(temperature, by_layer) for pair in self._cia)
            sigma = sigma + density.transpose(1, 2).to(self._dtype) * pairs
        sigma = sigma.expand(-1, temperature.shape[1], -1)
        transmission = paths @ sigma
        for group in self._correlated:
            transmission = transmission + group.log2_transmission(paths, temperature, by_layer)
        return transmission
