"""Equilibrium chemistry as a differentiable function: a grid of FastChem's results.

FastChem takes milliseconds a point and knows no derivatives. Its mixing ratios are therefore
computed once on a grid of metallicity, C/O, temperature and pressure, and interpolated: their
logarithms linearly in log10 metallicity, C/O, 1/T and log10 p. Equilibrium constants are nearly
straight lines in 1/T, and mixing ratios powers of p and of the metallicity, wherever one species
holds most of an element. What the grid costs in accuracy is in ``docs/equilibrium.md``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from arielflow.core.array_files import read_npz
from arielflow.core.code import code_digest
from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path, sha256
from arielflow.core.readers import guarded, listed, regular_file
from arielflow.physics.fastchem import REMEDY, EquilibriumGas, Progress, fastchem_version
from arielflow.physics.opacity_cache import cache_folder
from arielflow.settings.equilibrium import EquilibriumSettings

log = logging.getLogger(__name__)

AXES = ("log_metallicity", "c_to_o", "temperature_k", "pressure_pa")
_COMPUTED_BY = "arielflow.physics.fastchem"
_REMEDY = "make it again"


@dataclass(frozen=True)
class EquilibriumGrid:
    """Mixing ratios of a gas in chemical equilibrium on a grid, and between its points.

    Metallicity multiplies the solar abundances of all elements but hydrogen and helium; C/O sets
    carbon relative to oxygen, which follows the metallicity alone, as in FastChem's own example of
    C/O. So metallicity is the gas's O/H in solar units. Others keep carbon and set oxygen, which
    gives another gas of the same C/O (Drummond et al. 2019, MNRAS 486, 1123).

    Attributes
    ----------
    log_metallicity : np.ndarray
        log10 of solar multiples, ascending, as the other axes are.
    c_to_o : np.ndarray
        Carbon atoms to oxygen atoms.
    temperature_k, pressure_pa : np.ndarray
        [K], [Pa].
    molecules : tuple[str, ...]
        Chemical formulas.
    log_mixing_ratio : np.ndarray
        log10 of the volume mixing ratios, single precision, shape (metallicity, c_to_o,
        temperature, pressure, molecule).
    provenance : dict[str, str]
        ``fingerprint`` of settings, files and code, FastChem's version, the names of its files of
        species and of abundances and their SHA-256.
    """

    log_metallicity: np.ndarray
    c_to_o: np.ndarray
    temperature_k: np.ndarray
    pressure_pa: np.ndarray
    molecules: tuple[str, ...]
    log_mixing_ratio: np.ndarray
    provenance: dict[str, str]

    def mixing_ratios(
        self,
        log_metallicity: Tensor,
        c_to_o: Tensor,
        temperature_k: Tensor,
        pressure_pa: Tensor,
    ) -> Tensor:
        """Volume mixing ratios in layers, double precision, shape (n, layer, molecule).

        They have derivatives with respect to all four in reverse and forward mode, which jump at
        the grid's points. Beyond an axis's ends the value at the end is taken, with derivative 0;
        NaN stays NaN.

        Parameters
        ----------
        log_metallicity, c_to_o
            Of n gases, shape (n,).
        temperature_k
            Shape (n, layer) [K].
        pressure_pa
            Of the layers, shape (layer,) [Pa].

        Raises
        ------
        ArielflowError
            The shapes do not go together.
        """
        n_layers = pressure_pa.shape[-1] if pressure_pa.ndim else 0
        shape = (len(log_metallicity) if log_metallicity.ndim else 0, n_layers)
        given = [tuple(v.shape) for v in (log_metallicity, c_to_o, temperature_k, pressure_pa)]
        if given != [shape[:1], shape[:1], shape, shape[1:]]:
            raise ArielflowError(
                f"equilibrium chemistry: {', '.join(AXES)} have shapes "
                f"{', '.join(map(str, given))}, expected (n,), (n,), (n, layer), (layer,)"
            )
        table, axes = self._tensors(temperature_k.device)
        values = (
            log_metallicity[:, None].double(),
            c_to_o[:, None].double(),
            1 / temperature_k.double(),
            pressure_pa.double().log10(),
        )
        places = [_place(axis, value) for axis, value in zip(axes, values, strict=True)]
        total = torch.zeros((), dtype=torch.float64, device=temperature_k.device)
        for corner in itertools.product((0, 1), repeat=len(AXES)):
            row = torch.zeros((), dtype=torch.int64, device=temperature_k.device)
            weight = torch.ones((), dtype=torch.float64, device=temperature_k.device)
            for upper, axis, (left, share) in zip(corner, axes, places, strict=True):
                row = row * len(axis) + left + upper
                weight = weight * (share if upper else 1 - share)
            total = total + weight[..., None] * table[row]
        return torch.pow(10.0, total)

    def _tensors(self, device: torch.device) -> tuple[Tensor, list[Tensor]]:
        """Table with one row a point, and the axes as they are interpolated in, on a device."""
        if device not in self._on_devices:
            table = torch.tensor(self.log_mixing_ratio).flatten(0, -2)
            metallicity, c_to_o, temperature, pressure = (
                torch.tensor(getattr(self, name), dtype=torch.float64) for name in AXES
            )
            axes = [metallicity, c_to_o, 1 / temperature, pressure.log10()]
            self._on_devices[device] = table.to(device), [axis.to(device) for axis in axes]
        return self._on_devices[device]

    @cached_property
    def _on_devices(self) -> dict[torch.device, tuple[Tensor, list[Tensor]]]:
        return {}


def _place(axis: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Number of the interval of a monotonic axis that a value is in, and its share of the way."""
    ends = sorted((float(axis[0]), float(axis[-1])))
    inside = value.clamp(*ends)
    sign = 1 if axis[-1] > axis[0] else -1
    # How many inner points lie at or before the value; comparisons are cheap beside the rest.
    left = (sign * inside.detach()[..., None] >= sign * axis[1:-1]).sum(-1)
    return left, (inside - axis[left]) / (axis[left + 1] - axis[left])


def make_grid(
    molecules: Sequence[str], settings: EquilibriumSettings, progress: Progress | None = None
) -> EquilibriumGrid:
    """The grid for these molecules, out of the user's cache; made and put there if need be.

    Parameters
    ----------
    molecules
        Chemical formulas of absorbers, and of H2, He or others that fill the gas.
    settings
        FastChem's files and the axes.
    progress
        Called with the points done and of all, while the grid is made.

    Raises
    ------
    ArielflowError
        pyfastchem is not installed, a file of FastChem's is missing or damaged, a molecule is
        unknown to it or stands there twice, or it finds no equilibrium at a point.
    """
    molecules = tuple(molecules)
    if not molecules or len(set(molecules)) != len(molecules):
        raise ArielflowError(
            f"equilibrium chemistry: molecules are {listed(molecules) or 'none'}, expected at "
            "least one, each once"
        )
    provenance = _provenance(molecules, settings)
    path = grid_file(provenance["fingerprint"])
    if path.is_file():
        try:
            grid = read_grid(path)
            if grid.provenance == provenance:
                return grid
            log.warning("%s: belongs to other settings; made again", path)
        except ArielflowError as error:
            log.warning("%s", error)
    folder, axes = Path(settings.inputs), [np.array(getattr(settings, name)) for name in AXES]
    gas = EquilibriumGas(folder / settings.species, folder / settings.abundances, molecules)
    grid = EquilibriumGrid(*axes, molecules, gas.on_grid(*axes, progress=progress), provenance)
    try:
        write_grid(grid, path)
    except OSError as error:
        log.warning("%s: not kept in the cache (%s)", path, error)
    return grid


def grid_file(fingerprint: str) -> Path:
    """Where the user's cache keeps a grid."""
    return cache_folder() / "equilibrium" / f"{fingerprint}.npz"


def _provenance(molecules: tuple[str, ...], settings: EquilibriumSettings) -> dict[str, str]:
    record = {"fastchem": fastchem_version()}
    for kind in ("species", "abundances"):
        name = getattr(settings, kind)
        record[kind] = name
        record[f"{kind}_sha256"] = sha256(regular_file(Path(settings.inputs) / name, REMEDY))
    axes = {name: getattr(settings, name) for name in AXES}
    content = {**record, **axes, "molecules": molecules, "code": code_digest(_COMPUTED_BY)}
    mark = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return {**record, "fingerprint": mark}


def write_grid(grid: EquilibriumGrid, path: str | Path) -> None:
    """Write a grid as an ``.npz`` file, atomically."""
    meta = {"molecules": grid.molecules, "provenance": grid.provenance}
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            log_mixing_ratio=grid.log_mixing_ratio,
            meta=np.array(json.dumps(meta, sort_keys=True)),
            **{name: getattr(grid, name) for name in AXES},
        )


def read_grid(path: str | Path) -> EquilibriumGrid:
    """Read a grid; pyfastchem is not needed.

    Raises
    ------
    ArielflowError
        The file is missing or damaged.
    """
    arrays = read_npz(path, _REMEDY)
    with guarded(path, "grid of equilibrium chemistry", _REMEDY):
        meta = json.loads(str(arrays["meta"]))
        molecules = tuple(map(str, meta["molecules"]))
        provenance = {str(name): str(value) for name, value in meta["provenance"].items()}
        axes = [arrays[name] for name in AXES]
        for name, axis in zip(AXES, axes, strict=True):
            _check_axis(name, axis)
        table = arrays["log_mixing_ratio"]
        shape = (*map(len, axes), len(molecules))
        if table.shape != shape or table.dtype != np.float32:
            raise ValueError(f"its table is {table.dtype} {table.shape}, expected float32 {shape}")
        if not np.isfinite(table).all() or table.max() > 0:
            raise ValueError("its table has values that are no log10 of mixing ratios")
        return EquilibriumGrid(*axes, molecules, table, provenance)


def _check_axis(name: str, axis: np.ndarray) -> None:
    if axis.ndim != 1 or len(axis) < 2 or axis.dtype.kind != "f":
        raise ValueError(f"its {name} is {axis.dtype} {axis.shape}, expected a row of numbers")
    if not np.isfinite(axis).all() or np.any(np.diff(axis) <= 0):
        raise ValueError(f"its {name} does not ascend")
    if name != "log_metallicity" and axis[0] <= 0:
        raise ValueError(f"its {name} begins at {axis[0]:g}, expected more than 0")
