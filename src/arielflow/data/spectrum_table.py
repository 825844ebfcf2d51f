"""Spectra of a table of planets: what ``arielflow spectrum`` computes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed, shown
from arielflow.core.schema import MOLECULES
from arielflow.core.tables import cell_numbers
from arielflow.data.forward_models import Progress, edition_model, edition_molecules, fast_physics
from arielflow.data.plausibility import PLAUSIBLE
from arielflow.editions import Edition
from arielflow.physics.forward import PhysicsSettings
from arielflow.physics.nodes import FastTransmission
from arielflow.physics.systems import JUPITER_RADIUS_M, radius_from_gravity_m
from arielflow.physics.transmission import Flag, TransmissionModel

_OPTIONAL = ("cloud_pressure_pa", "haze_log_strength", "haze_slope")
_EXTRA = re.compile(r"log_([A-Z][A-Za-z0-9]*)")
_FILL_GASES = ("H2", "He")
_NO_HAZE = -300.0
_BLOCK = 512


@dataclass(frozen=True)
class Spectra:
    """Spectra of a table of planets.

    Attributes
    ----------
    table : pd.DataFrame
        The identifiers and one column a wavelength [um], ascending; empty where there is none.
    faults : dict[str, str]
        Identifiers of planets without a spectrum, and why.
    warnings : dict[str, list[str]]
        Identifiers of planets whose spectrum met a limit of the tables or of the fast mode.
    clamped : int
        Spectra at temperatures beyond a table's, computed at its edge.
    outside : int
        Spectra outside the fast mode's range, computed by the reference mode.
    """

    table: pd.DataFrame
    faults: dict[str, str]
    warnings: dict[str, list[str]]
    clamped: int
    outside: int

    @property
    def none_found(self) -> bool:
        """No planet has a spectrum."""
        return len(self.faults) == len(self.table)


def compute_spectra(
    planets: pd.DataFrame,
    edition: Edition,
    physics: PhysicsSettings,
    *,
    fast: bool = False,
    native: bool = False,
    device: str = "cpu",
    seed: int = 2026,
    building: Progress | None = None,
    progress: Progress | None = None,
) -> Spectra:
    """Compute the transmission spectra of a table of planets.

    Parameters
    ----------
    planets
        One row per planet: an identifier in the first column, ``star_radius_m``,
        ``planet_mass_kg``, the edition's targets by name (without a radius among them,
        ``planet_radius`` [Jupiter radii] or ``planet_surface_gravity`` [m s-2]); optionally
        ``cloud_pressure_pa``, ``haze_log_strength`` and ``haze_slope``, and ``log_X`` of further
        molecules.
    edition
        Gives the targets and the bins.
    physics
        Opacities; its nodes are found, or made, by this function where ``fast`` asks for them.
    native
        On the tables' own grid instead of the edition's bins.
    building, progress
        Called with the planets done and of all, while nodes are made and while spectra are.

    Raises
    ------
    ArielflowError
        A column is missing, unknown or twice, or identifiers repeat or are empty.

    Notes
    -----
    A cell that is no number, or a value that no star or planet has, leaves that planet without a
    spectrum; an empty cell of an optional column means none.
    """
    extra = _check_columns(planets, edition)
    molecules = [*edition_molecules(edition), *extra]
    identifiers = _identifiers(planets)
    values, faults = _numbers(planets)
    _judge(values, edition, molecules, faults)
    arguments = _arguments(values, edition, molecules, [not fault for fault in faults])
    if fast:
        physics = fast_physics(
            edition, physics, seed=seed, extra_molecules=extra, progress=building
        )
    model = edition_model(edition, physics, extra_molecules=extra, device=device)
    depth, flag, outside = _compute(model, arguments, native, progress)
    _judge_spectra(depth, flag, faults)
    warnings = _warnings(arguments, model.temperature_range_k, outside)
    grid = edition.wavelength_um
    if native:
        reference = model.reference if isinstance(model, FastTransmission) else model
        grid, depth = 1e4 / reference.wavenumber_cm1[::-1], depth[:, ::-1]
    table = pd.DataFrame(depth, columns=[f"{um:.8g}" for um in grid])
    table.insert(0, planets.columns[0], identifiers)
    found = list(zip(identifiers, faults, warnings, strict=True))
    return Spectra(
        table,
        {name: "; ".join(fault) for name, fault, _ in found if fault},
        {name: warning for name, fault, warning in found if warning and not fault},
        model.clamped,
        model.outside if isinstance(model, FastTransmission) else 0,
    )


def _compute(
    model: TransmissionModel | FastTransmission,
    arguments: dict[str, np.ndarray],
    native: bool,
    progress: Progress | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depths (planet, wavelength), the model's flags, and where the nodes are not valid."""
    n_planets = len(arguments["radius_m"])
    depths, flags, outside = [], [], []
    for start in range(0, n_planets, _BLOCK):
        part = {name: value[start : start + _BLOCK] for name, value in arguments.items()}
        block = model.planets(**part)
        with torch.no_grad():
            depths.append(model(block, native=native).cpu().numpy())
        flags.append(model.flags(block).cpu().numpy())
        beyond = np.zeros(len(block), dtype=bool)
        if isinstance(model, FastTransmission) and not native:
            beyond = ~model.inside(block).cpu().numpy()
        outside.append(beyond)
        if progress:
            progress(min(start + _BLOCK, n_planets), n_planets)
    return np.concatenate(depths), np.concatenate(flags), np.concatenate(outside)


def _check_columns(planets: pd.DataFrame, edition: Edition) -> list[str]:
    """Extra molecules among the columns, once these are known to be what they should be."""
    names = [str(name) for name in planets.columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ArielflowError(
            f"the table of planets has the column {listed(repeated)} more than once; keep the "
            "right one"
        )
    needed = ["star_radius_m", "planet_mass_kg", *edition.target_names]
    radius = [t.name for t in edition.targets if t.quantity == "planet_radius"]
    if not radius:
        radius = ["planet_radius", "planet_surface_gravity"]
        needed += [next((name for name in radius if name in names), " or ".join(radius))]
    foreign = [
        target.name
        for target in edition.targets
        if target.quantity not in (*MOLECULES, "planet_radius", "planet_temperature")
    ]
    if foreign:
        raise ArielflowError(
            f"the forward model has no {', '.join(foreign)}, a target of edition {edition.name}; "
            "use another edition"
        )
    if not len(planets):
        raise ArielflowError("the table of planets has no rows; give one per planet")
    missing = [name for name in needed if name not in names[1:]]
    if missing:
        raise ArielflowError(
            f"the table of planets lacks {', '.join(missing)}; expected an identifier first, then "
            f"{', '.join(needed)}, optionally {', '.join(_OPTIONAL)} and log_X of molecules X"
        )
    unknown = [n for n in names[1:] if n not in (*needed, *_OPTIONAL) and not _EXTRA.fullmatch(n)]
    if unknown:
        raise ArielflowError(
            f"the table of planets has the unknown column {listed(unknown)}; choose "
            f"{', '.join((*needed, *_OPTIONAL))} or log_X of a molecule X"
        )
    if ("haze_log_strength" in names) != ("haze_slope" in names):
        raise ArielflowError("haze_log_strength and haze_slope belong together; give both columns")
    extra = [_EXTRA.fullmatch(n).group(1) for n in names[1:] if n not in (*needed, *_OPTIONAL)]
    if fill := [name for name in extra if name in _FILL_GASES]:
        raise ArielflowError(
            f"log_{fill[0]} cannot be given: {' and '.join(_FILL_GASES)} fill up what the other "
            "gases leave; remove the column"
        )
    return extra


def _identifiers(planets: pd.DataFrame) -> list[str]:
    column = planets.iloc[:, 0]
    identifiers = column.astype(str)
    empty = column.isna() | (identifiers.str.strip() == "")
    if empty.any():
        raise ArielflowError(
            f"row {int(np.argmax(empty)) + 1} of the table of planets has no identifier in its "
            f"first column, {shown(planets.columns[0])}; give every planet one"
        )
    if identifiers.duplicated().any():
        again = identifiers[identifiers.duplicated()].iloc[0]
        raise ArielflowError(
            f"the table of planets has {shown(again)} twice; identifiers must differ"
        )
    return list(identifiers)


def _numbers(planets: pd.DataFrame) -> tuple[pd.DataFrame, list[list[str]]]:
    """Numbers of all columns but the first, and what each planet's cells hold instead."""
    faults: list[list[str]] = [[] for _ in range(len(planets))]
    values = {}
    for name in planets.columns[1:]:
        column = planets[name].reset_index(drop=True)
        # A column of True and False is numeric to pandas; here it is words.
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            values[str(name)] = column.to_numpy(float, na_value=np.nan)
            continue
        text = column.map(lambda cell: "" if _is_empty(cell) else str(cell)).astype(object)
        values[str(name)], words = cell_numbers(text)
        for row in np.flatnonzero(words):
            faults[row].append(f"{name} holds {shown(repr(text[row]))}, expected a number")
    return pd.DataFrame(values), faults


def _judge(
    values: pd.DataFrame, edition: Edition, molecules: Sequence[str], faults: list[list[str]]
) -> None:
    """Add cells that must not be empty, and values that no planet has, to the faults."""
    quantity = {t.name: t.quantity for t in edition.targets}
    mixing = _mixing_columns(edition, molecules)
    for name in values:
        column = values[name].to_numpy()
        kind = "log_mixing_ratio" if name in mixing else quantity.get(name, name)
        allowed = PLAUSIBLE[kind]
        may_be_empty = name in _OPTIONAL or (name in mixing and name not in quantity)
        for row in np.flatnonzero(~((column >= allowed.low) & (column <= allowed.high))):
            if not np.isnan(column[row]):
                faults[row].append(f"{name} {allowed.fault(column[row])}")
            # A cell that holds a word has its fault already.
            elif not may_be_empty and not any(f.startswith(f"{name} ") for f in faults[row]):
                faults[row].append(f"{name} is empty, expected a number")
    sums = np.nansum(10.0 ** np.minimum(values[mixing].to_numpy(), 0), axis=1)
    for row in np.flatnonzero(sums > 1):
        faults[row].append(f"mixing ratios sum to {sums[row]:.4g}, expected at most 1")
    if "haze_slope" in values:
        bare = values["haze_slope"].isna() & values["haze_log_strength"].notna()
        for row in np.flatnonzero(bare):
            faults[row].append("haze_slope is empty beside a haze_log_strength")
    if "planet_surface_gravity" in values:
        radius = _radius_m(values, "planet_surface_gravity") / JUPITER_RADIUS_M
        for row in np.flatnonzero(np.isfinite(radius)):
            fault = PLAUSIBLE["planet_radius"].fault(radius[row])
            if fault and not faults[row]:
                faults[row].append(f"the radius that follows from mass and gravity {fault}")


def _judge_spectra(depth: np.ndarray, flag: np.ndarray, faults: list[list[str]]) -> None:
    """Note planets without a spectrum, or with an impossible one, which is emptied."""
    words = {
        Flag.NON_FINITE: "a parameter is not finite",
        Flag.OUT_OF_RANGE: "a parameter is out of range",
        Flag.DIVERGED: "its atmosphere is not bound (hot, light or large); check mass, radius and "
        "temperature",
    }
    for row in range(len(depth)):
        low, high = np.min(depth[row]), np.max(depth[row])
        if not faults[row] and flag[row]:
            faults[row].append(", ".join(words[one] for one in Flag(int(flag[row]))))
        elif not faults[row] and not (low > 0 and high < 1):
            faults[row].append(
                f"transit depths from {low:.4g} to {high:.4g}, expected between 0 and 1; check "
                "the radii of star and planet"
            )
        if faults[row]:
            depth[row] = np.nan


def _warnings(
    arguments: dict[str, np.ndarray], limits_k: tuple[float, float], outside: np.ndarray
) -> list[list[str]]:
    """Limits that each planet's spectrum met."""
    cold, hot = limits_k
    found: list[list[str]] = [[] for _ in outside]
    for row, temperature in enumerate(arguments["temperature_k"]):
        if temperature < cold or temperature > hot:
            found[row].append(
                f"{temperature:g} K is beyond the opacity tables' {cold:g} to {hot:g} K; computed "
                f"at {min(max(temperature, cold), hot):g} K"
            )
        if outside[row]:
            found[row].append("outside the fast mode's range; computed by the reference mode")
    return found


def _is_empty(cell: object) -> bool:
    return cell is None or cell is pd.NA or (isinstance(cell, float) and np.isnan(cell))


def _mixing_columns(edition: Edition, molecules: Sequence[str]) -> list[str]:
    column = {target.quantity: target.name for target in edition.targets}
    return [column.get(molecule, f"log_{molecule}") for molecule in molecules]


def _radius_m(values: pd.DataFrame, name: str) -> np.ndarray:
    if name == "planet_surface_gravity":
        with np.errstate(invalid="ignore", divide="ignore"):
            return radius_from_gravity_m(
                values["planet_mass_kg"].to_numpy(float), values[name].to_numpy(float)
            )
    return values[name].to_numpy(float) * JUPITER_RADIUS_M


def _arguments(
    values: pd.DataFrame, edition: Edition, molecules: Sequence[str], good: Sequence[bool]
) -> dict[str, np.ndarray]:
    """Parameters of :class:`arielflow.physics.transmission.Planets`; empty optional cells: none.

    Faulty planets have no radius, so that the model leaves them out.
    """
    column = {target.quantity: target.name for target in edition.targets}
    radius_name = column.get("planet_radius", "planet_radius")
    if radius_name not in values:
        radius_name = "planet_surface_gravity"
    names = _mixing_columns(edition, molecules)
    arguments = {
        "radius_m": np.where(good, _radius_m(values, radius_name), np.nan),
        "mass_kg": values["planet_mass_kg"].to_numpy(float),
        "temperature_k": values[column["planet_temperature"]].to_numpy(float),
        "star_radius_m": values["star_radius_m"].to_numpy(float),
        "log_mixing_ratio": values[names].fillna(-np.inf).to_numpy(float),
    }
    absent = {"cloud_pressure_pa": 1e12, "haze_log_strength": _NO_HAZE, "haze_slope": -4.0}
    for name in _OPTIONAL:
        if name in values:
            arguments[name] = values[name].fillna(absent[name]).to_numpy(float)
    return arguments
