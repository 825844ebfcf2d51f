"""Planet files: a retrieval described in YAML, checked and brought to SI units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from arielflow.core.config import strict_settings
from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed, read_yaml, shown
from arielflow.data.description import units
from arielflow.data.description.parameters import Parameter, parse_parameter
from arielflow.data.description.units import Kind, parse_unit, parse_value
from arielflow.physics.atmosphere import Pressures
from arielflow.physics.extinction import FILL_GASES
from arielflow.physics.molecule_names import formula
from arielflow.settings.planet import (
    AtmosphereSettings,
    PlanetSettings,
    PointsSettings,
    PriorSettings,
    Value,
)

_DEFAULT_GAS = PriorSettings(log_uniform=[1e-12, 0.1])
_GUILLOT = {
    "irradiation": ("irradiation_temperature", units.TEMPERATURE),
    "internal": ("internal_temperature", units.TEMPERATURE),
    "infrared_opacity": ("infrared_opacity", units.OPACITY),
    "visible_opacity": ("visible_opacity", units.OPACITY),
    "second_visible_opacity": ("second_visible_opacity", units.OPACITY),
    "second_share": ("second_share", units.SHARE),
}
# Of parameters that only profiles other than an isothermal one have.
_PROFILE_NAMES = ("point_", *(name for name, _ in _GUILLOT.values()))
_INSTRUMENT = {
    "offset": units.DEPTH,
    "error_factor": units.POSITIVE,
    "jitter": units.JITTER,
}


@dataclass(frozen=True)
class Description:
    """What is retrieved of one planet, and what is taken as known.

    Attributes
    ----------
    name : str
        The planet's.
    free : tuple[Parameter, ...]
        What is retrieved, in order.
    fixed : Mapping[str, float]
        What is known, in SI units by the forward model's names.
    gases : tuple[str, ...]
        Absorbers.
    profile : str
        ``isothermal``, ``guillot`` or ``points``.
    n_points : int
        Of a profile of points.
    smoothing : float
        Share of the layers that such a profile is averaged over.
    fastchem : str | None
        FastChem's folder where abundances follow from chemical equilibrium.
    collision_induced : bool
        Whether pairs of H2 and He absorb.
    pressures : Pressures
        Of the layers.
    he_h2_ratio : float
        Number ratio of the fill gases.
    opacities : str
        ``builtin``, or a folder.
    instruments : tuple[str, ...]
        Those that the description says something of.
    notes : tuple[str, ...]
        What was taken for granted, in words.
    """

    name: str
    free: tuple[Parameter, ...]
    fixed: Mapping[str, float]
    gases: tuple[str, ...]
    profile: str
    n_points: int
    smoothing: float
    fastchem: str | None
    collision_induced: bool
    pressures: Pressures
    he_h2_ratio: float
    opacities: str
    instruments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def parameters(self) -> frozenset[str]:
        """Names of all that is free or fixed."""
        return frozenset(self.fixed) | {parameter.name for parameter in self.free}

    def with_parameter(self, parameter: Parameter, note: str) -> Description:
        """The same with one more free parameter, in front of the others."""
        return replace(self, free=(parameter, *self.free), notes=(*self.notes, note))

    def without(self, *names: str) -> Description:
        """The same without some parameters, where it has them."""
        fixed = {name: value for name, value in self.fixed.items() if name not in names}
        return replace(self, free=tuple(p for p in self.free if p.name not in names), fixed=fixed)

    def without_gas(self, gas: str) -> Description:
        """The same with nothing of a gas, in chemical equilibrium too."""
        bare = self.without(gas)
        return replace(bare, fixed={**bare.fixed, gas: 0.0})

    def without_clouds(self) -> Description:
        """The same without a cloud deck."""
        bare = self.without("cloud_top_pressure")
        return bare if "haze_strength" in bare.parameters else bare.without("cloud_fraction")

    def without_haze(self) -> Description:
        """The same without a haze."""
        bare = self.without("haze_strength", "haze_slope")
        return bare if "cloud_top_pressure" in bare.parameters else bare.without("cloud_fraction")

    def without_spots(self) -> Description:
        """The same with a star that has no spots."""
        return self.without("spot_temperature", "spot_fraction")

    def without_offsets(self) -> Description:
        """The same with instruments that agree."""
        return self.without(*(f"offset[{name}]" for name in self.instruments))

    def isothermal(self, temperature: Parameter) -> Description:
        """The same with one temperature at all pressures."""
        bare = self.without(*(n for n in self.parameters if n.startswith(_PROFILE_NAMES)))
        return replace(
            bare, free=(*bare.free, temperature), profile="isothermal", n_points=0, smoothing=0.0
        )


def read_planet_file(path: str | Path) -> Description:
    """Read a planet file.

    Raises
    ------
    ArielflowError
        The file is missing or no YAML, a key is unknown or missing, or a value is not possible.
    """
    path = Path(path)
    content = read_yaml(path)
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise ArielflowError(
            f"{shown(path, 400)}: holds {found}, expected keys and values (star, planet, "
            "atmosphere); mend the file"
        )
    described = describe_planet(content, where=f"planet file {shown(path, 400)}", name=path.stem)
    if described.opacities != "builtin":
        described = replace(described, opacities=str(path.parent / described.opacities))
    if described.fastchem is not None:
        described = replace(described, fastchem=str(path.parent / described.fastchem))
    return described


def describe_planet(
    content: Mapping[str, Any] | PlanetSettings, *, where: str = "planet file", name: str = "planet"
) -> Description:
    """The description that settings of a planet file make.

    Parameters
    ----------
    content
        As in a planet file, or the settings' own class.
    where
        A phrase that begins every message.
    name
        The planet's, where the settings have none.

    Raises
    ------
    ArielflowError
        As of :func:`read_planet_file`.
    """
    if not isinstance(content, PlanetSettings):
        content = strict_settings(PlanetSettings, content, where)
    where = f"{where}: "
    found = _Found(where)
    found.add("star_radius", content.star.radius, units.STAR_RADIUS, "star.radius")
    found.add("star_temperature", content.star.temperature, units.TEMPERATURE, "star.temperature")
    found.add("planet_mass", content.planet.mass, units.MASS, "planet.mass")
    found.add("planet_radius", content.planet.radius, units.RADIUS, "planet.radius")
    profile, n_points, smoothing = _temperature(content.atmosphere, found)
    gases = _composition(content.atmosphere, found)
    _clouds_and_haze(content.atmosphere, found)
    if content.star_spots is not None:
        spots = content.star_spots
        found.add(
            "spot_temperature", spots.temperature, units.TEMPERATURE, "star_spots.temperature"
        )
        found.add("spot_fraction", spots.fraction, units.SHARE, "star_spots.fraction")
        if content.star.temperature is None:
            raise ArielflowError(f"{where}star_spots needs star.temperature; give it")
    for instrument, settings in content.instruments.items():
        for key, kind in _INSTRUMENT.items():
            place = f"instruments.{shown(instrument)}.{key}"
            found.add(f"{key}[{instrument}]", getattr(settings, key), kind, place)
    equilibrium = content.atmosphere.equilibrium
    return Description(
        name=content.name or name,
        free=tuple(found.free),
        fixed=found.fixed,
        gases=gases,
        profile=profile,
        n_points=n_points,
        smoothing=smoothing,
        fastchem=None if equilibrium is None else equilibrium.fastchem,
        collision_induced=content.atmosphere.collision_induced,
        pressures=_pressures(content.atmosphere, where),
        he_h2_ratio=content.atmosphere.he_h2_ratio,
        opacities=content.opacities,
        instruments=tuple(content.instruments),
    )


class _Found:
    """Free and fixed parameters as they are come upon."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.free: list[Parameter] = []
        self.fixed: dict[str, float] = {}

    def add(self, name: str, value: Value | None, kind: Kind, place: str) -> None:
        if value is None:
            return
        parsed = parse_parameter(name, value, kind, f"{self.where}{place}")
        if isinstance(parsed, Parameter):
            self.free.append(parsed)
        else:
            self.fixed[name] = parsed


def _temperature(atmosphere: AtmosphereSettings, found: _Found) -> tuple[str, int, float]:
    """Kind of the profile, its number of points and their smoothing."""
    given, start = atmosphere.temperature, "atmosphere.temperature"
    if given is None:
        return "isothermal", 0, 0.0
    if given.guillot is not None:
        for key, (name, kind) in _GUILLOT.items():
            found.add(name, getattr(given.guillot, key), kind, f"{start}.guillot.{key}")
        return "guillot", 0, 0.0
    if given.points is not None:
        _points(given.points, found, f"{start}.points")
        return "points", len(given.points.pressures), given.points.smoothing
    found.add("temperature", given.isothermal, units.TEMPERATURE, f"{start}.isothermal")
    return "isothermal", 0, 0.0


def _points(points: PointsSettings, found: _Found, start: str) -> None:
    for key, kind, values in (
        ("pressure", units.PRESSURE, points.pressures),
        ("temperature", units.TEMPERATURE, points.temperatures),
    ):
        for number, value in enumerate(values):
            found.add(f"point_{key}_{number}", value, kind, f"{start}.{key}s[{number}]")
    fixed = [found.fixed.get(f"point_pressure_{n}", np.nan) for n in range(len(points.pressures))]
    if np.any(np.diff(fixed) >= 0):
        raise ArielflowError(
            f"{found.where}{start}.pressures do not fall; give them from the bottom of the "
            "atmosphere up"
        )


def _composition(atmosphere: AtmosphereSettings, found: _Found) -> tuple[str, ...]:
    """Formulas of the absorbers."""
    start, given = "atmosphere.gases", atmosphere.gases
    named = given if isinstance(given, dict) else dict.fromkeys(given, _DEFAULT_GAS)
    gases = tuple(formula(name) for name in named)
    if not gases:
        raise ArielflowError(f"{found.where}{start} is empty; name at least one absorber")
    if repeated := {gas for gas in gases if gases.count(gas) > 1} or len(named) != len(given):
        names = listed(sorted(repeated)) if isinstance(repeated, set) else "a gas"
        raise ArielflowError(f"{found.where}{start} has {names} twice; name every gas once")
    if fill := [gas for gas in gases if gas in FILL_GASES]:
        raise ArielflowError(
            f"{found.where}{start}: {listed(fill)} fill up what the other gases leave; remove "
            "them, and set he_h2_ratio"
        )
    if atmosphere.equilibrium is None:
        for gas, value in zip(gases, named.values(), strict=True):
            found.add(gas, value, units.MIXING_RATIO, f"{start}.{gas}")
        known = sum(found.fixed.get(gas, 0.0) for gas in gases)
        if known > 1:
            raise ArielflowError(
                f"{found.where}{start}: the fixed mixing ratios sum to {known:.4g}, expected at "
                "most 1; lower them"
            )
        return gases
    if isinstance(given, dict):
        raise ArielflowError(
            f"{found.where}{start} has abundances beside atmosphere.equilibrium; make it a list of "
            "names"
        )
    place = "atmosphere.equilibrium"
    found.add(
        "metallicity", atmosphere.equilibrium.metallicity, units.POSITIVE, f"{place}.metallicity"
    )
    found.add("c_to_o", atmosphere.equilibrium.c_to_o, units.POSITIVE, f"{place}.c_to_o")
    return gases


def _clouds_and_haze(atmosphere: AtmosphereSettings, found: _Found) -> None:
    clouds, haze = atmosphere.clouds, atmosphere.haze
    if clouds is not None:
        start = "atmosphere.clouds"
        if clouds.top_pressure is None and haze is None:
            raise ArielflowError(
                f"{found.where}{start} covers nothing; give top_pressure, or a haze"
            )
        found.add(
            "cloud_top_pressure", clouds.top_pressure, units.PRESSURE, f"{start}.top_pressure"
        )
        found.add("cloud_fraction", clouds.fraction, units.SHARE, f"{start}.fraction")
    if haze is not None:
        found.add("haze_strength", haze.strength, units.POSITIVE, "atmosphere.haze.strength")
        found.add("haze_slope", haze.slope, units.NUMBER, "atmosphere.haze.slope")


def _pressures(atmosphere: AtmosphereSettings, where: str) -> Pressures:
    found = []
    for key in ("bottom_pressure", "top_pressure"):
        place = f"{where}atmosphere.{key}"
        number, unit = parse_value(getattr(atmosphere, key), units.PRESSURE, place)
        found.append(number * parse_unit(unit, units.PRESSURE, place))
        units.check_possible(found[-1], units.PRESSURE, place)
    if not found[0] > found[1]:
        raise ArielflowError(
            f"{where}atmosphere: bottom_pressure {found[0]:g} Pa is not above top_pressure "
            f"{found[1]:g} Pa; swap them"
        )
    return Pressures(atmosphere.layers, *found)
