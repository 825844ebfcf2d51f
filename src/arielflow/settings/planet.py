"""The description of one planet's retrieval: what a planet file may say.

Numbers with units are text, such as ``0.28 Mjup``; what they mean is
:mod:`arielflow.data.description`'s to tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from arielflow.settings.base import StrictSettings

# Tags in square brackets are no part of a place in messages.
_NUMBER, _TEXT, _PRIOR, _MAPPING, _LIST = "[number]", "[text]", "[prior]", "[mapping]", "[list]"


def _kind(given: Any) -> str:
    """Which of a number, a text and a prior is meant: only that one's faults are told."""
    if isinstance(given, Mapping | StrictSettings):
        return _PRIOR
    return _NUMBER if isinstance(given, int | float) else _TEXT


def _number_or_text(given: Any) -> str:
    return _NUMBER if isinstance(given, int | float) else _TEXT


def _mapping_or_list(given: Any) -> str:
    return _MAPPING if isinstance(given, Mapping) else _LIST


Edge = Annotated[
    Annotated[float, Tag(_NUMBER)] | Annotated[str, Tag(_TEXT)],
    Discriminator(_number_or_text),
]
"""A number in the prior's unit, or text with a unit of its own."""
Pair = Annotated[list[Edge], Field(min_length=2, max_length=2)]
Unit = Annotated[str, Field(min_length=1, max_length=40)]


class PriorSettings(StrictSettings):
    """Prior of a free parameter: exactly one of uniform, log_uniform and normal."""

    uniform: Pair | None = Field(None, description="Lowest and highest value.")
    log_uniform: Pair | None = Field(
        None, description="Lowest and highest value; the logarithm is uniform between them."
    )
    normal: Pair | None = Field(None, description="Mean and standard deviation.")
    unit: Unit | None = Field(None, description="Of numbers that have none of their own.")

    @model_validator(mode="after")
    def _one_of_three(self) -> PriorSettings:
        given = [n for n in ("uniform", "log_uniform", "normal") if getattr(self, n) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"found {found}, expected one of uniform, log_uniform and normal")
        return self


Value = Annotated[
    Annotated[float, Tag(_NUMBER)]
    | Annotated[str, Tag(_TEXT)]
    | Annotated[PriorSettings, Tag(_PRIOR)],
    Discriminator(_kind),
]
"""A fixed number, text with its unit, or a prior."""


class StarSettings(StrictSettings):
    """The star."""

    radius: Value = Field(description="Such as 0.9 Rsun.")
    temperature: Value | None = Field(None, description="Such as 5500 K; star spots need it.")


class BodySettings(StrictSettings):
    """The planet's mass and radius."""

    mass: Value = Field(description="Such as 0.28 Mjup.")
    radius: Value | None = Field(
        None,
        description="At the bottom of the atmosphere; left out, it is uniform around the radius "
        "that the shallowest depth gives.",
    )


class GuillotSettings(StrictSettings):
    """Guillot's temperature profile (2010) of an irradiated atmosphere."""

    irradiation: Value = Field(description="Temperature of the irradiation, such as 1500 K.")
    internal: Value = Field("100 K", description="Temperature of the heat from inside.")
    infrared_opacity: Value = Field(description="Mean opacity for heat, such as 0.01 m2/kg.")
    visible_opacity: Value = Field(description="Mean opacity for the star's light.")
    second_visible_opacity: Value | None = Field(
        None, description="Mean opacity for part of the star's light."
    )
    second_share: Value | None = Field(None, description="That part, 0 to 1.")

    @model_validator(mode="after")
    def _both_or_none(self) -> GuillotSettings:
        if (self.second_visible_opacity is None) != (self.second_share is None):
            raise ValueError("second_visible_opacity and second_share belong together; give both")
        return self


class PointsSettings(StrictSettings):
    """A temperature profile of points, joined linearly in log pressure."""

    pressures: list[Value] = Field(
        min_length=2, max_length=20, description="From the bottom up, such as 10 bar."
    )
    temperatures: list[Value] = Field(min_length=2, max_length=20, description="At these.")
    smoothing: float = Field(
        0.1, ge=0, le=0.5, description="Share of the layers that temperatures are averaged over."
    )

    @model_validator(mode="after")
    def _as_many(self) -> PointsSettings:
        if len(self.pressures) != len(self.temperatures):
            raise ValueError(
                f"{len(self.pressures)} pressures and {len(self.temperatures)} temperatures; give "
                "as many of both"
            )
        return self


class TemperatureSettings(StrictSettings):
    """The temperature profile: exactly one of these."""

    isothermal: Value | None = Field(None, description="One temperature, such as 1100 K.")
    guillot: GuillotSettings | None = Field(None, description="Guillot's profile.")
    points: PointsSettings | None = Field(None, description="Points joined by lines.")

    @model_validator(mode="after")
    def _one_of_three(self) -> TemperatureSettings:
        given = [n for n in ("isothermal", "guillot", "points") if getattr(self, n) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"found {found}, expected one of isothermal, guillot and points")
        return self


class CloudSettings(StrictSettings):
    """An opaque cloud deck, and how much of the limb clouds and haze cover."""

    top_pressure: Value | None = Field(None, description="Such as 1 mbar; no deck if left out.")
    fraction: Value | None = Field(
        None, description="Share of the limb, 0 to 1, under clouds and haze; all if left out."
    )


class HazeSettings(StrictSettings):
    """A haze whose cross-section is a power of the wavelength."""

    strength: Value = Field(
        description="Cross-section at 0.35 um over Rayleigh scattering of H2, such as 100."
    )
    slope: Value = Field(-4.0, description="Power of the wavelength; Rayleigh scattering has -4.")


class EquilibriumChoice(StrictSettings):
    """Chemical equilibrium instead of free abundances of the gases."""

    fastchem: str = Field(
        min_length=1,
        description="FastChem's folder input, relative to the planet file; docs/equilibrium.md.",
    )

    metallicity: Value = Field(description="Elements but H and He, in solar abundances.")
    c_to_o: Value = Field(0.55, description="Ratio of carbon to oxygen.")


class AtmosphereSettings(StrictSettings):
    """The atmosphere."""

    gases: Annotated[
        Annotated[dict[str, Value], Tag(_MAPPING)] | Annotated[list[str], Tag(_LIST)],
        Discriminator(_mapping_or_list),
    ] = Field(
        description="Volume mixing ratio of each absorber; of a list, each log-uniform from 1e-12 "
        "to 0.1."
    )
    temperature: TemperatureSettings | None = Field(
        None, description="Left out, isothermal and uniform over what the tables hold."
    )
    equilibrium: EquilibriumChoice | None = Field(
        None, description="The gases' abundances follow from it; they are then a list."
    )
    clouds: CloudSettings | None = Field(None, description="None if left out.")
    haze: HazeSettings | None = Field(None, description="None if left out.")
    collision_induced: bool = Field(
        False, description="Absorption of H2-H2 and H2-He pairs, from the opacities' CIA files."
    )
    bottom_pressure: str = Field("10 bar", description="Where the planet's radius is.")
    top_pressure: str = Field("1e-10 bar", description="Where the atmosphere ends.")
    layers: int = Field(100, ge=10, le=1000, description="Between them.")
    he_h2_ratio: float = Field(0.17, ge=0, le=10, description="Number ratio of the fill gases.")


class SpotSettings(StrictSettings):
    """Star spots or faculae that the planet does not cross."""

    temperature: Value = Field(description="Such as 4500 K.")
    fraction: Value = Field(description="Share of the star's disk, 0 to 1.")


class InstrumentSettings(StrictSettings):
    """What is not known of an instrument."""

    offset: Value | None = Field(None, description="Added to the model's depths, such as 20 ppm.")
    error_factor: Value | None = Field(None, description="Multiplies the errors.")
    jitter: Value | None = Field(None, description="Added to the errors in quadrature, in ppm.")


class PlanetSettings(StrictSettings):
    """One planet's retrieval."""

    name: str | None = Field(None, max_length=200, description="The planet's name.")
    star: StarSettings = Field(description="The star.")
    planet: BodySettings = Field(description="The planet.")
    atmosphere: AtmosphereSettings = Field(description="The atmosphere.")
    star_spots: SpotSettings | None = Field(None, description="None if left out.")
    instruments: dict[str, InstrumentSettings] = Field(
        {}, description="By the name that the spectrum has."
    )
    opacities: str = Field(
        "builtin", description="builtin, or a folder of tables, relative to the planet file."
    )
