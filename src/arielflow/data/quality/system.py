"""Judgements on stars, planets, spectra and labels, by the ranges of real ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from arielflow.core.schema import Quality, auxiliary_values
from arielflow.data.quality.findings import Finding, Span, in_words, inside, judged
from arielflow.data.quality.units import ABUNDANCE_UNITS, FRACTION_UNITS, OTHER_UNITS
from arielflow.editions.base import AuxiliaryColumn, Edition, Parameter
from arielflow.physics.systems import (
    ASTRONOMICAL_UNIT_M,
    DAY_S,
    GRAVITATIONAL_CONSTANT,
    JUPITER_RADIUS_M,
    equilibrium_temperature_k,
    radius_from_gravity_m,
    scale_height_m,
)

DERIVED_LIMITS: dict[str, Span] = {
    # Super-puffs have 30 kg m-3, the challenge's densest companion 160,000.
    "mean_density": (5.0, 4e5),
    # Planets on wide orbits to those of hot A stars; the challenge has 145 to 5,100 K.
    "equilibrium_temperature": (20.0, 1e4),
    # Transit depth over (R_p/R_*)^2: 1.0 to 2.7 in the challenge, the atmosphere added.
    "depth_ratio": (0.3, 4.0),
    # Error over depth: 2.6e-5 to 0.03 in the challenge.
    "error_ratio": (1e-6, 1.0),
    # R_p of the label over the transit depth's: 0.6 to 1.0 in the challenge.
    "radius_ratio": (0.4, 2.0),
    # a^3 over what Kepler's third law makes of period and star mass: 0.99 to 1.01.
    "kepler_ratio": (0.25, 4.0),
}
# Ratios that no other unit explains are flagged only this many times further out.
_UNEXPLAINED = 8.0
_SMALLEST_DEPTH = 0.7  # [(R_p/R_*)^2]
_TYPICAL_DENSITY = 1000.0  # [kg m-3]
_BEHIND_THE_DEPTH = ("planet_mass_kg", "surface_gravity_m_s2", "star_radius_m")
_FEWEST_SURVEYED = 10
# Errors over depth, and over the depth of a scale height, that a whole file has only by mistake.
_NOISY = (0.1, 30.0)


@dataclass(frozen=True)
class System:
    """Stars and planets as their columns describe them.

    Attributes
    ----------
    spans : Mapping[str, Span]
        Plausible range by the name of a column, a target or a derived quantity.
    sound : Mapping[str, np.ndarray]
        Plausible values (planet,) by quantity, NaN where a value is not.
    depth, error : np.ndarray
        Medians over the bins (planet,).
    """

    spans: Mapping[str, Span]
    sound: Mapping[str, np.ndarray]
    depth: np.ndarray
    error: np.ndarray

    @classmethod
    def of(cls, planets: xr.Dataset, edition: Edition, spans: Mapping[str, Span]) -> System:
        """The systems of a planets dataset."""
        sound = {}
        for column in edition.auxiliary:
            values = auxiliary_values(planets, column.quantity)
            sound[column.quantity] = np.where(inside(values, spans[column.name]), values, np.nan)
        medians = (
            _median(planets[name].values) for name in ("transit_depth", "transit_depth_error")
        )
        return cls(spans, sound, *medians)

    def get(self, quantity: str) -> np.ndarray:
        """Plausible values (planet,) of an auxiliary quantity, NaN where there is none."""
        return self.sound.get(quantity, np.full(len(self.depth), np.nan))

    @property
    def radius_m(self) -> np.ndarray:
        """Planet radii (planet,) from mass and gravity."""
        return radius_from_gravity_m(self.get("planet_mass_kg"), self.get("surface_gravity_m_s2"))

    @property
    def seen_radius_m(self) -> np.ndarray:
        """Planet radii (planet,) from the transit depth."""
        return self.get("star_radius_m") * np.sqrt(self.depth)

    @property
    def density_kg_m3(self) -> np.ndarray:
        """Mean densities (planet,) from mass and gravity."""
        return _density(self.get("planet_mass_kg"), self.radius_m)

    @property
    def depth_ratio(self) -> np.ndarray:
        """Transit depths (planet,) over (R_p/R_*)^2."""
        return self.depth / (self.radius_m / self.get("star_radius_m")) ** 2

    @property
    def equilibrium_k(self) -> np.ndarray:
        """Equilibrium temperatures (planet,)."""
        names = ("star_temperature_k", "star_radius_m", "semi_major_axis_au")
        return equilibrium_temperature_k(*(self.get(name) for name in names))

    def with_values(self, quantity: str, values: np.ndarray) -> System:
        """The same systems with other values of one quantity."""
        return System(self.spans, {**self.sound, quantity: values}, self.depth, self.error)

    def converted(self, column: AuxiliaryColumn, values: np.ndarray) -> dict[str, np.ndarray]:
        """Values of a column read in other units, NaN where they cannot be right either."""
        found = {}
        for unit, convert in OTHER_UNITS[column.quantity].items():
            other = convert(values)
            right = inside(other, self.spans[column.name])
            if column.quantity in _BEHIND_THE_DEPTH:
                ratio = self.with_values(column.quantity, other).depth_ratio
                right &= np.isnan(ratio) | inside(ratio, self.spans["depth_ratio"])
            found[unit] = np.where(right, other, np.nan)
        return found


def _median(values: np.ndarray) -> np.ndarray:
    """Medians of the positive, finite values of each row, NaN where there are none."""
    kept = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    medians = np.full(len(kept), np.nan)
    some = np.isfinite(kept).any(axis=1)
    medians[some] = np.nanmedian(kept[some], axis=1)
    return medians


def _density(mass_kg: np.ndarray, radius_m: np.ndarray) -> np.ndarray:
    return mass_kg / (4 / 3 * np.pi * radius_m**3)


def column_findings(system: System, planets: xr.Dataset, edition: Edition) -> list[Finding]:
    """Star and planet columns: missing values, and those out of range."""
    findings = []
    for column in edition.auxiliary:
        values = auxiliary_values(planets, column.quantity)
        missing, wrong = Quality.NON_FINITE_AUXILIARY, Quality.IMPLAUSIBLE_AUXILIARY
        if not column.used:
            missing = wrong = Quality.DOUBTFUL_AUXILIARY
        name, span = f"column {column.name}", system.spans[column.name]
        finite = np.isfinite(values)
        findings.append(
            Finding(missing, ~finite, name, np.where(finite, np.nan, values), in_words(span))
        )
        findings.append(
            judged(
                wrong,
                name,
                np.where(finite, values, np.nan),
                span,
                units=column.units,
                alternatives=system.converted(column, values),
            )
        )
    return findings


def gravity_finding(system: System, column: AuxiliaryColumn) -> Finding:
    """Find a gravity that is unused and itself at fault, rather than mass or depth.

    A hundredfold gravity and a hundredfold depth make the same depth ratio; of the two, the one
    that leaves the planet with the likelier density is right.
    """
    seen = _density(system.get("planet_mass_kg"), system.seen_radius_m)
    given, span = system.density_kg_m3, system.spans["mean_density"]
    where = inside(seen, span) & ~np.isnan(given) & ~inside(given, span)
    cgs = system.with_values(column.quantity, system.get(column.quantity) / 100)
    ratio_span = system.spans["depth_ratio"]
    fits = inside(cgs.depth_ratio, ratio_span) & ~inside(system.depth_ratio, ratio_span)
    fits &= np.abs(np.log(seen / _TYPICAL_DENSITY)) < np.abs(np.log(given / _TYPICAL_DENSITY))
    return Finding(
        Quality.DOUBTFUL_AUXILIARY,
        where | fits,
        f"column {column.name}",
        system.get(column.quantity),
        "a value that fits mass and transit depth",
        units={"cm s-2": fits},
    )


def density_finding(system: System, edition: Edition) -> Finding:
    """Mean density from mass and gravity: either can be in another unit within its range."""
    alternatives = {}
    columns = {column.quantity: column for column in edition.auxiliary}
    for quantity in ("planet_mass_kg", "surface_gravity_m_s2"):
        for unit, values in system.converted(columns[quantity], system.get(quantity)).items():
            other = system.with_values(quantity, values).density_kg_m3
            alternatives[f"{columns[quantity].name} in {unit}"] = other
    return judged(
        Quality.IMPLAUSIBLE_AUXILIARY,
        "mean density",
        system.density_kg_m3,
        system.spans["mean_density"],
        measure=" kg m-3 by mass and gravity",
        alternatives=alternatives,
    )


def temperature_finding(system: System) -> Finding:
    """Equilibrium temperature, on which priors and features depend."""
    return judged(
        Quality.IMPLAUSIBLE_AUXILIARY,
        "equilibrium temperature",
        system.equilibrium_k,
        system.spans["equilibrium_temperature"],
        units="K",
    )


def orbit_findings(system: System) -> list[Finding]:
    """Kepler's third law: a period in another unit harms nothing, a wrong axis does."""
    axis_m = system.get("semi_major_axis_au") * ASTRONOMICAL_UNIT_M
    period_s = system.get("orbital_period_day") * DAY_S
    ratio = (
        4 * np.pi**2 * axis_m**3 / (GRAVITATIONAL_CONSTANT * system.get("star_mass_kg"))
    ) / period_s**2
    span = system.spans["kepler_ratio"]
    stellar = (system.get("star_radius_m") / ASTRONOMICAL_UNIT_M) ** 3
    axis_units = {"stellar radii": ratio * stellar} | {
        unit: ratio * convert(1.0) ** 3
        for unit, convert in OTHER_UNITS["semi_major_axis_au"].items()
    }
    period_units = {
        unit: ratio / convert(1.0) ** 2
        for unit, convert in OTHER_UNITS["orbital_period_day"].items()
    }
    axis_wrong = np.any([inside(values, span) for values in axis_units.values()], axis=0)
    law = " times what Kepler's third law makes of period and star mass"
    return [
        judged(
            Quality.IMPLAUSIBLE_AUXILIARY,
            "the cube of planet_distance",
            np.where(axis_wrong, ratio, np.nan),
            span,
            measure=law,
            alternatives=axis_units,
        ),
        judged(
            Quality.DOUBTFUL_AUXILIARY,
            "the cube of planet_distance",
            np.where(axis_wrong, np.nan, ratio),
            span,
            measure=law,
            alternatives={f"a period in {unit}": v for unit, v in period_units.items()},
        ),
    ]


def depth_findings(system: System) -> list[Finding]:
    """Transit depth against (R_p/R_*)^2, or where gravity is not known against the density."""
    span = system.spans["depth_ratio"]
    possible = inside(system.density_kg_m3, system.spans["mean_density"])
    ratio = np.where(possible, system.depth_ratio, np.nan)
    alternatives = {unit: ratio * size for unit, size in FRACTION_UNITS.items()}
    alternatives["R_p/R_*"] = np.where(system.depth <= 1, ratio * system.depth, np.nan)
    flux = np.where(system.depth > 0.5, system.depth, np.nan)
    alternatives["relative flux, 1 - depth"] = ratio * (1 - flux) / flux
    # In its own unit a depth is that of the planet and more.
    alternatives = {u: np.where(v > _SMALLEST_DEPTH, v, np.nan) for u, v in alternatives.items()}
    density = np.where(
        np.isnan(system.radius_m),
        _density(system.get("planet_mass_kg"), system.seen_radius_m),
        np.nan,
    )
    return [
        judged(
            Quality.IMPLAUSIBLE_DEPTH,
            "transit depth",
            ratio,
            span,
            measure=" times (R_p/R_*)^2",
            alternatives=alternatives,
            tolerance=_UNEXPLAINED,
        ),
        judged(
            Quality.IMPLAUSIBLE_DEPTH,
            "mean density",
            density,
            system.spans["mean_density"],
            measure=" kg m-3 by mass, star radius and transit depth",
        ),
    ]


def noise_finding(system: System) -> Finding:
    """Errors over depths; a whole file's are also judged by the depth of a scale height."""
    ratio, span = system.error / system.depth, system.spans["error_ratio"]
    alternatives = {unit: ratio * size for unit, size in FRACTION_UNITS.items()}
    finding = judged(
        Quality.IMPLAUSIBLE_NOISE,
        "transit depth error",
        ratio,
        span,
        measure=" times the depth",
        alternatives={u: np.where(v < _NOISY[0], v, np.nan) for u, v in alternatives.items()},
    )
    height_m = scale_height_m(system.equilibrium_k, system.get("surface_gravity_m_s2"))
    one_height = 2 * system.radius_m * height_m / system.get("star_radius_m") ** 2
    noisy = (ratio > _NOISY[0]) & (ratio < 100 * _NOISY[0])
    noisy &= system.error / one_height > _NOISY[1]
    # A few planets may all be faint; a survey's are not.
    noisy &= len(ratio) >= _FEWEST_SURVEYED
    percent = finding.units["percent"] | noisy
    return replace(finding, units={**finding.units, "percent": percent})


def label_findings(system: System, planets: xr.Dataset, edition: Edition) -> list[Finding]:
    """Labels of training planets, and the radius among them against the transit depth."""
    findings = []
    for position, target in enumerate(edition.targets):
        values = planets["theta"].values[:, position]
        findings.append(_label_finding(system, target, values))
        if target.quantity == "planet_radius":
            fits = inside(system.depth_ratio, system.spans["depth_ratio"])
            seen = np.where(fits, system.seen_radius_m / JUPITER_RADIUS_M, np.nan)
            sound = np.where(inside(values, system.spans[target.name]), values, np.nan)
            findings.append(
                judged(
                    Quality.IMPLAUSIBLE_THETA,
                    f"parameter {target.name}",
                    sound / seen,
                    system.spans["radius_ratio"],
                    measure=" times the radius of the transit depth",
                    alternatives={
                        unit: convert(sound) / seen
                        for unit, convert in OTHER_UNITS[target.quantity].items()
                    },
                    tolerance=_UNEXPLAINED,
                )
            )
    return findings


def _label_finding(system: System, target: Parameter, values: np.ndarray) -> Finding:
    others = OTHER_UNITS.get(target.quantity, ABUNDANCE_UNITS if target.units == "dex" else {})
    return judged(
        Quality.IMPLAUSIBLE_THETA,
        f"parameter {target.name}",
        values,
        system.spans[target.name],
        units=target.units,
        alternatives={unit: convert(values) for unit, convert in others.items()},
    )
