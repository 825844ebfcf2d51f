"""Spectra of a table of planets: what ``arielflow spectrum`` computes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from arielflow.edition_physics import (
    Progress,
    edition_model,
    edition_molecules,
    fast_physics,
)
from arielflow.editions import Edition
from arielflow.errors import ArielflowError
from arielflow.physics.forward import PhysicsSettings
from arielflow.physics.system import JUPITER_RADIUS_M, radius_from_gravity_m
from arielflow.physics.transmission import Flag

_OPTIONAL = ("cloud_pressure_pa", "haze_log_strength", "haze_slope")
_EXTRA = re.compile(r"log_([A-Z][A-Za-z0-9]*)")
_NO_HAZE = -300.0
_BLOCK = 512


@dataclass(frozen=True)
class Spectra:
    """Spectra of a table of planets.

    Attributes
    ----------
    table : the identifiers and one column a wavelength [um], ascending; empty where there is none
    faults : identifiers of planets without a spectrum, and why
    clamped : spectra at temperatures beyond a table's, computed at its edge
    outside : spectra outside the fast mode's range, computed by the reference mode
    """

    table: pd.DataFrame
    faults: dict[str, str]
    clamped: int
    outside: int


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
        One row a planet: an identifier in the first column, ``star_radius_m``, ``planet_mass_kg``,
        the edition's targets by name (without a radius among them, ``planet_radius`` [Jupiter
        radii] or ``planet_surface_gravity`` [m s-2]); optionally ``cloud_pressure_pa``,
        ``haze_log_strength`` and ``haze_slope``, and ``log_X`` of further molecules.
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
        A column is missing, unknown or twice, or identifiers repeat.
    """
    extra = _check_columns(planets, edition)
    if fast:
        physics = fast_physics(
            edition, physics, seed=seed, extra_molecules=extra, progress=building
        )
    model = edition_model(edition, physics, extra_molecules=extra, device=device)
    molecules = [*edition_molecules(edition), *extra]
    values = planets.iloc[:, 1:].apply(pd.to_numeric, errors="coerce")
    arguments = _arguments(values, edition, molecules)
    depths, flags = [], []
    for start in range(0, len(planets), _BLOCK):
        part = {name: value[start : start + _BLOCK] for name, value in arguments.items()}
        block = model.planets(**part)
        with torch.no_grad():
            depths.append(model(block, native=native).cpu().numpy())
        flags.append(model.flags(block).cpu().numpy())
        if progress:
            progress(min(start + _BLOCK, len(planets)), len(planets))
    depth, flag = np.concatenate(depths), np.concatenate(flags)
    grid = edition.wavelength_um
    if native:
        reference = model.reference if fast else model
        grid, depth = 1e4 / reference.wavenumber_cm1[::-1], depth[:, ::-1]
    identifiers = planets.iloc[:, 0].astype(str)
    table = pd.DataFrame(depth, columns=[f"{um:.8g}" for um in grid])
    table.insert(0, planets.columns[0], identifiers.to_numpy())
    faults = {
        name: ", ".join(str(f.name).lower().replace("_", " ") for f in Flag(int(bits)))
        for name, bits in zip(identifiers, flag, strict=True)
        if bits
    }
    return Spectra(table, faults, model.clamped, model.outside if fast else 0)


def _check_columns(planets: pd.DataFrame, edition: Edition) -> list[str]:
    """Extra molecules among the columns, once these are known to be what they should be."""
    names = [str(name) for name in planets.columns]
    needed = ["star_radius_m", "planet_mass_kg", *edition.target_names]
    radius = [t.name for t in edition.targets if t.quantity == "planet_radius"]
    if not radius:
        radius = ["planet_radius", "planet_surface_gravity"]
        needed += [next((name for name in radius if name in names), " or ".join(radius))]
    if not len(planets):
        raise ArielflowError("the table of planets has no rows; give one a planet")
    missing = [name for name in needed if name not in names[1:]]
    if missing:
        raise ArielflowError(
            f"the table of planets lacks {', '.join(missing)}; expected an identifier first, then "
            f"{', '.join(needed)}, optionally {', '.join(_OPTIONAL)} and log_X of molecules X"
        )
    unknown = [n for n in names[1:] if n not in (*needed, *_OPTIONAL) and not _EXTRA.fullmatch(n)]
    if unknown:
        raise ArielflowError(
            f"the table of planets has the unknown column {', '.join(unknown)}; choose "
            f"{', '.join((*needed, *_OPTIONAL))} or log_X of a molecule X"
        )
    if ("haze_log_strength" in names) != ("haze_slope" in names):
        raise ArielflowError("haze_log_strength and haze_slope belong together; give both columns")
    identifiers = planets.iloc[:, 0].astype(str)
    if identifiers.duplicated().any():
        again = identifiers[identifiers.duplicated()].iloc[0]
        raise ArielflowError(f"the table of planets has {again} twice; identifiers must differ")
    return [_EXTRA.fullmatch(n).group(1) for n in names[1:] if n not in (*needed, *_OPTIONAL)]


def _arguments(
    values: pd.DataFrame, edition: Edition, molecules: Sequence[str]
) -> dict[str, np.ndarray]:
    """Parameters of :class:`arielflow.physics.transmission.Planets`; empty optional cells: none."""
    column = {target.quantity: target.name for target in edition.targets}
    mass = values["planet_mass_kg"].to_numpy(float)
    radius_name = column.get("planet_radius", "planet_radius")
    with np.errstate(invalid="ignore"):
        radius = (
            values[radius_name].to_numpy(float) * JUPITER_RADIUS_M
            if radius_name in values
            else radius_from_gravity_m(mass, values["planet_surface_gravity"].to_numpy(float))
        )
    names = [column.get(molecule, f"log_{molecule}") for molecule in molecules]
    arguments = {
        "radius_m": radius,
        "mass_kg": mass,
        "temperature_k": values[column["planet_temperature"]].to_numpy(float),
        "star_radius_m": values["star_radius_m"].to_numpy(float),
        "log_mixing_ratio": values[names].to_numpy(float),
    }
    absent = {"cloud_pressure_pa": 1e12, "haze_log_strength": _NO_HAZE, "haze_slope": -4.0}
    for name in _OPTIONAL:
        if name in values:
            arguments[name] = values[name].fillna(absent[name]).to_numpy(float)
    return arguments
