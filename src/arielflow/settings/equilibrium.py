"""Settings of the grid of equilibrium chemistry."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from arielflow.settings.base import StrictSettings


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(high <= low for low, high in pairwise(values)):
        raise PydanticCustomError("ascending", "expected values that ascend")
    return values


def _axis(lowest: float, highest: float) -> object:
    """An ascending axis of 2 to 200 values inside a range; a list will do."""
    value = Annotated[float, Field(ge=lowest, le=highest)]
    limits = Field(strict=False, min_length=2, max_length=200)
    return Annotated[tuple[value, ...], limits, AfterValidator(_ascending)]


def _geometric(low: float, high: float, number: int) -> tuple[float, ...]:
    """Values of equal ratio, to four digits, so that settings written and read are the same."""
    ratio = (high / low) ** (1 / (number - 1))
    return tuple(float(f"{low * ratio**step:.4g}") for step in range(number))


class EquilibriumSettings(StrictSettings):
    """Which files of FastChem are used, and where the chemistry is computed."""

    inputs: str = Field(
        min_length=1,
        description="FastChem's folder `input`, of its repository; the package pyfastchem comes "
        "without it.",
    )
    species: str = Field(
        "logK/logK.dat", min_length=1, description="Species and their log K, in that folder."
    )
    abundances: str = Field(
        "element_abundances/asplund_2021.dat",
        min_length=1,
        description="Elements of solar metallicity, in that folder.",
    )
    log_metallicity: _axis(-6, 4) = Field(
        (-1.0, -0.3, 0.3, 0.8, 1.25, 1.65, 2.0, 2.3, 2.55, 2.8, 3.0),
        description="log10 of solar multiples of all elements but H and He.",
    )
    c_to_o: _axis(1e-4, 100) = Field(
        (
            *(0.1, 0.2, 0.35, 0.5, 0.62, 0.72, 0.79, 0.84, 0.88, 0.91, 0.94, 0.97),
            *(1.0, 1.03, 1.07, 1.14, 1.26, 1.5),
        ),
        description="Carbon atoms to oxygen atoms, oxygen kept.",
    )
    temperature_k: _axis(100, 6000) = Field(
        _geometric(200, 3400, 42), description="Temperatures [K]."
    )
    pressure_pa: _axis(1e-8, 1e8) = Field(_geometric(1e-5, 1e6, 20), description="Pressures [Pa].")
