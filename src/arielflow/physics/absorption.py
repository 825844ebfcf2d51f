"""Cross-sections of gas mixtures at a planet's temperature, node by node in pressure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from arielflow.physics.atmosphere import differentiated
from arielflow.physics.cia import CollisionInducedAbsorption
from arielflow.physics.opacity import OpacityTable

ToTensor = Callable[[np.ndarray], Tensor]

# Cross-sections are held in units of 1e-26 m2 (binary ones of 1e-52 m5), in which they, times
# column densities in units of 1e26 m-2 (1e52 m-5), fit single precision.
UNIT_M2 = 1e-26
PER_CM2 = 1e-4 / UNIT_M2
PER_CM5 = 1e-10 / UNIT_M2**2


def interpolation_weights(nodes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Linear interpolation from ``nodes`` to ``points`` as a matrix, clamped at both ends."""
    upper = np.clip(np.searchsorted(nodes, points), 1, len(nodes) - 1)
    fraction = np.clip((points - nodes[upper - 1]) / (nodes[upper] - nodes[upper - 1]), 0, 1)
    weights = np.zeros((len(points), len(nodes)))
    rows = np.arange(len(points))
    weights[rows, upper - 1] = 1 - fraction
    weights[rows, upper] = fraction
    return weights


def _bracket(nodes: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    """Upper node of each temperature, clamped to the nodes, and its weight."""
    temperature = temperature.clamp(nodes[0], nodes[-1]).contiguous()
    upper = torch.searchsorted(nodes, temperature.detach()).clamp(1, len(nodes) - 1)
    return upper, (temperature - nodes[upper - 1]) / (nodes[upper] - nodes[upper - 1])


class _WeightedRows(torch.autograd.Function):
    """See :func:`weighted_rows`; PyTorch's own bags of rows lack the forward mode."""

    @staticmethod
    def forward(ctx, table: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(table, index)
        ctx.save_for_forward(table, index)
        return embedding_bag(index, table, per_sample_weights=weight, mode="sum")

    @staticmethod
    def jvp(ctx, table_tangent: None, index_tangent: None, tangent: Tensor) -> Tensor:
        table, index = ctx.saved_tensors
        return embedding_bag(index, table, per_sample_weights=tangent, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[None, None, Tensor]:
        table, index = ctx.saved_tensors
        rows = [(table[column] * gradient).sum(dim=1) for column in index.unbind(dim=1)]
        return None, None, torch.stack(rows, dim=1)


def weighted_rows(table: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Weighted sums (n, column) of a few rows each of a constant table (row, column).

    Parameters
    ----------
    table
        Shape (row, column).
    index, weight
        Which rows, and what each counts, shape (n, chosen).
    """
    if differentiated(weight):
        return _WeightedRows.apply(table, index, weight)
    return embedding_bag(index, table, per_sample_weights=weight, mode="sum")


class TableGroup:
    """Molecules whose tables share their temperatures and pressures.

    Parameters
    ----------
    tables
        Tables of the group's molecules.
    columns
        Positions of the molecules among all absorbers.
    layers_pa
        Pressures of the layers [Pa].
    optical, double
        Turn arrays into tensors of the optical depths' type, and of double precision.
    """

    def __init__(
        self,
        tables: Sequence[OpacityTable],
        columns: Sequence[int],
        layers_pa: np.ndarray,
        optical: ToTensor,
        double: ToTensor,
    ) -> None:
        first = tables[0]
        self.columns = list(columns)
        self.n_pressures = len(first.pressure_pa)
        self.temperature_range_k = (float(first.temperature_k[0]), float(first.temperature_k[-1]))
        self.layer_weights = interpolation_weights(np.log10(first.pressure_pa), np.log10(layers_pa))
        self._temperature = double(first.temperature_k)
        # Of every layer the pressure node below it in the table's order, and the next one's weight.
        below = np.minimum((self.layer_weights > 0).argmax(axis=1), self.n_pressures - 2)
        self._pressure = double(below).long()
        self._pressure_share = double(self.layer_weights[np.arange(len(below)), below + 1])
        # (temperature, molecule, pressure x wavenumber [x quadrature]): one row per table node.
        stacked = np.empty(
            (len(first.temperature_k), len(tables), first.cross_section_cm2[:, 0].size)
        )
        for number, table in enumerate(tables):
            values = np.moveaxis(table.cross_section_cm2, 1, 0)
            stacked[:, number] = values.reshape(len(values), -1)
        stacked *= PER_CM2
        self._sigma = optical(stacked)
        quadrature = first.quadrature_weights
        self.quadrature = None if quadrature is None else optical(quadrature)

    def nodes(self, temperature: Tensor, mixing: Tensor) -> Tensor:
        """Cross-section of the mixture (planet, pressure, wavenumber) [1e-26 m2].

        Fastest for planets in the order of their temperatures.
        """
        low, high, upper = self._weights(temperature, mixing)
        shares = torch.cat([low, high], dim=1)
        # Neighbouring planets mostly lie between the same two temperatures of the table: one
        # product for them all reads these rows in place, where a gather would copy them by planet.
        brackets, counts = upper.unique_consecutive(return_counts=True)
        parts = [
            part @ self._sigma[bracket - 1 : bracket + 1].flatten(0, 1)
            for bracket, part in zip(brackets.tolist(), shares.split(counts.tolist()), strict=True)
        ]
        mixed = parts[0] if len(parts) == 1 else torch.cat(parts)
        return mixed.view(len(mixing), self.n_pressures, -1)

    def by_layer(self, temperature: Tensor, mixing: Tensor) -> Tensor:
        """Cross-section of the mixture (planet, layer, wavenumber) [1e-26 m2], layer by layer.

        Parameters
        ----------
        temperature, mixing
            Shapes (planet, layer) and (planet, layer, gas).
        """
        return self._interpolated(temperature, mixing[..., self.columns], range(len(self.columns)))

    def _interpolated(self, temperature: Tensor, share: Tensor, numbers: Iterable[int]) -> Tensor:
        """Sum of some molecules' cross-sections times ``share`` (planet, layer, molecule)."""
        upper, fraction = _bracket(self._temperature, temperature)
        molecule = torch.as_tensor(list(numbers), device=upper.device)
        n_molecules = len(self.columns)
        index, weight = [], []
        for step, by_temperature in ((-1, 1 - fraction), (0, fraction)):
            rows = ((upper + step)[..., None] * n_molecules + molecule) * self.n_pressures
            for above in (0, 1):
                by_pressure = self._pressure_share if above else 1 - self._pressure_share
                index.append(rows + self._pressure[:, None] + above)
                weight.append(share * (by_temperature * by_pressure)[..., None])
        table = self._sigma.view(-1, self._sigma.shape[-1] // self.n_pressures)
        chosen = torch.cat(index, dim=-1).flatten(0, 1)
        weights = torch.cat(weight, dim=-1).flatten(0, 1).to(table.dtype)
        return weighted_rows(table, chosen, weights).view(*temperature.shape, -1)

    def log2_transmission(self, column: Tensor, temperature: Tensor, mixing: Tensor) -> Tensor:
        """Binary logarithm of the transmission (planet, ray, wavenumber) of correlated-k tables.

        Every gas is integrated over its own quadrature and the transmissions are multiplied
        (random overlap): adding k-coefficients of one quadrature point instead would take the
        gases' lines for coincident.

        Parameters
        ----------
        column
            Column density of every pressure node over -ln 2, shape (planet, ray, pressure)
            [1e26 m-2]; of every layer where temperatures (planet, layer) are by layer.
        """
        layered = temperature.ndim == 2
        if not layered:
            low, high, upper = self._weights(temperature, mixing)
        total = 0
        for number in range(len(self.columns)):
            if layered:
                share = mixing[..., self.columns[number], None]
                each = column @ self._interpolated(temperature, share, [number])
            else:
                sigma = low[:, number, None] * self._sigma[upper - 1, number]
                sigma = sigma + high[:, number, None] * self._sigma[upper, number]
                each = column @ sigma.reshape(len(mixing), self.n_pressures, -1)
            each = each.reshape(*each.shape[:2], -1, len(self.quadrature))
            # Where the gas is opaque the sum underflows, and its logarithm's gradient with it.
            total = total + torch.log2((torch.exp2(each) @ self.quadrature).clamp(min=1e-30))
        return total

    def _weights(self, temperature: Tensor, mixing: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        upper, fraction = _bracket(self._temperature, temperature)
        share = mixing[:, self.columns]
        low, high = share * (1 - fraction[:, None]), share * fraction[:, None]
        return low.to(self._sigma.dtype), high.to(self._sigma.dtype), upper


def group_tables(
    tables: Sequence[OpacityTable], layers_pa: np.ndarray, optical: ToTensor, double: ToTensor
) -> list[TableGroup]:
    """Tables gathered by their temperatures and pressures."""
    groups: dict[tuple[bytes, bytes], list[int]] = {}
    for number, table in enumerate(tables):
        axes = table.temperature_k.tobytes(), table.pressure_pa.tobytes()
        groups.setdefault(axes, []).append(number)
    return [
        TableGroup([tables[n] for n in numbers], numbers, layers_pa, optical, double)
        for numbers in groups.values()
    ]


class CollisionPair:
    """Collision-induced absorption of one pair of gases on the model's grid.

    Beyond the table's wavenumbers its last values hold, as in TauREx 3; HITRAN's end near zero.
    """

    def __init__(
        self,
        table: CollisionInducedAbsorption,
        columns: tuple[int, int],
        wavenumber_cm1: np.ndarray,
        optical: ToTensor,
        double: ToTensor,
    ) -> None:
        self._columns = columns
        self._temperature = double(table.temperature_k)
        grid, values = table.wavenumber_cm1, table.cross_section_cm5
        rows = [np.interp(wavenumber_cm1, grid, row) for row in values]
        self._sigma = optical(np.array(rows) * PER_CM5)

    def cross_section(self, temperature: Tensor, mixing: Tensor) -> Tensor:
        """Shape (..., wavenumber), weighted with both gases' mixing ratios [1e-52 m5].

        Parameters
        ----------
        temperature, mixing
            Shapes (planet,) and (planet, gas), or (planet, layer) and (planet, layer, gas).
        """
        upper, fraction = _bracket(self._temperature, temperature)
        pair = mixing[..., self._columns[0]] * mixing[..., self._columns[1]]
        weight = torch.stack([pair * (1 - fraction), pair * fraction], dim=-1)
        index = torch.stack([upper - 1, upper], dim=-1)
        rows = weighted_rows(
            self._sigma, index.view(-1, 2), weight.view(-1, 2).to(self._sigma.dtype)
        )
        return rows.view(*temperature.shape, -1)
