"""Free parameters of a retrieval: their priors, and the way from the unit interval to SI units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from arielflow.core.errors import ArielflowError
from arielflow.data.description.units import POSITIVE, Kind, check_possible, parse_unit, parse_value
from arielflow.settings.planet import PriorSettings

PriorName = Literal["uniform", "log_uniform", "normal"]
_PRIORS: tuple[PriorName, ...] = ("uniform", "log_uniform", "normal")
# Beyond it, in standard deviations, a normal prior's edges are not checked.
_CHECKED_SIGMA = 2.0


@dataclass(frozen=True)
class Parameter:
    """A free parameter.

    Attributes
    ----------
    name : str
        As the forward model knows it, such as ``planet_radius``.
    prior : str
        ``uniform``, ``log_uniform`` or ``normal``.
    first, second : float
        Lowest and highest value, or mean and standard deviation, in ``unit``.
    unit : str
        The user's, empty for none.
    si_factor : float
        SI units in one of the user's.
    """

    name: str
    prior: PriorName
    first: float
    second: float
    unit: str
    si_factor: float

    @property
    def sampled_name(self) -> str:
        """Name of what is sampled: the logarithm to base 10 where that is uniform."""
        return f"log_{self.name}" if self.prior == "log_uniform" else self.name

    @property
    def sampled_unit(self) -> str:
        """Unit of what is sampled."""
        if self.prior != "log_uniform":
            return self.unit
        return f"log10({self.unit})" if self.unit else "log10"

    @property
    def edges(self) -> tuple[float, float]:
        """Lowest and highest value of what is sampled; infinite for a normal prior."""
        if self.prior == "normal":
            return -np.inf, np.inf
        if self.prior == "log_uniform":
            return float(np.log10(self.first)), float(np.log10(self.second))
        return self.first, self.second

    def sampled(self, share: Tensor) -> Tensor:
        """What is sampled, at cumulative shares of the prior between 0 and 1, of any shape."""
        if self.prior == "normal":
            quantile: Tensor = torch.special.ndtri(share)
            return self.first + self.second * quantile
        low, high = self.edges
        return low + (high - low) * share

    def si(self, sampled: Tensor) -> Tensor:
        """The parameter in SI units from what is sampled."""
        value = 10.0**sampled if self.prior == "log_uniform" else sampled
        return self.si_factor * value

    def from_si(self, value: Tensor) -> Tensor:
        """What is sampled, from the parameter in SI units."""
        value = value / self.si_factor
        return torch.log10(value) if self.prior == "log_uniform" else value

    def log_density(self, sampled: Tensor) -> Tensor:
        """Natural logarithm of the prior's density of what is sampled; -inf outside."""
        if self.prior == "normal":
            scaled = (sampled - self.first) / self.second
            return -0.5 * scaled.square() - math.log(self.second * math.sqrt(2 * math.pi))
        low, high = self.edges
        inside = (sampled >= low) & (sampled <= high)
        return torch.where(inside, -math.log(high - low), -torch.inf).double()

    def words(self) -> str:
        """The prior in words, for people."""
        unit = f" {self.unit}" if self.unit else ""
        kind = self.prior.replace("_", "-")
        if self.prior == "normal":
            return f"normal, {self.first:g} ± {self.second:g}{unit}"
        return f"{kind} from {self.first:g} to {self.second:g}{unit}"


def parse_parameter(
    name: str, value: float | str | PriorSettings, kind: Kind, where: str
) -> Parameter | float:
    """A free parameter, or a fixed value in SI units.

    Parameters
    ----------
    name
        As the forward model knows it.
    value
        A fixed number, text with a unit, or a prior.
    kind
        What it measures.
    where
        Its place in the file, for messages.

    Raises
    ------
    ArielflowError
        A unit is missing or wrong, edges are not in order, or a value is not possible.
    """
    if not isinstance(value, PriorSettings):
        number, unit = parse_value(value, kind, where)
        factor = parse_unit(unit, kind, where) if unit else 1.0
        check_possible(number * factor, kind, where)
        if number == 0 and kind is POSITIVE:
            raise ArielflowError(f"{where}: found 0, expected a number above zero; or leave it out")
        return number * factor
    prior = next(name for name in _PRIORS if getattr(value, name) is not None)
    pairs = [
        parse_value(edge, kind, f"{where}.{prior}", value.unit) for edge in getattr(value, prior)
    ]
    units = [unit for _, unit in pairs]
    factors = [parse_unit(unit, kind, where) if unit else 1.0 for unit in units]
    # Edges in different units are brought to the first one's.
    first, second = pairs[0][0], pairs[1][0] * factors[1] / factors[0]
    _check_prior(prior, first, second, f"{where}.{prior}")
    spread = (first - _CHECKED_SIGMA * second, first + _CHECKED_SIGMA * second)
    for edge in (first,) if prior == "normal" else (first, second):
        check_possible(edge * factors[0], kind, f"{where}.{prior}")
    if prior == "normal" and not kind.low <= max(spread) * factors[0] <= kind.high:
        check_possible(max(spread) * factors[0], kind, f"{where}.{prior}")
    return Parameter(name, prior, first, second, units[0], factors[0])


def _check_prior(prior: str, first: float, second: float, where: str) -> None:
    if not (np.isfinite(first) and np.isfinite(second)):
        raise ArielflowError(f"{where}: [{first:g}, {second:g}] is not finite; give numbers")
    if prior == "normal":
        if not second > 0:
            raise ArielflowError(
                f"{where}: the standard deviation {second:g} is not above zero; give the mean first"
            )
    elif not first < second:
        raise ArielflowError(
            f"{where}: [{first:g}, {second:g}] is not in order; give the lower value first"
        )
    elif prior == "log_uniform" and not first > 0:
        raise ArielflowError(
            f"{where}: the lowest value {first:g} is not above zero; give it a least value"
        )
