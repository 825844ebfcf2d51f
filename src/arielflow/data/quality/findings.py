"""What is wrong with one quantity of a data set, planet by planet, and what it looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from arielflow.core.schema import Quality

Span = tuple[float, float]

# Share of a file's planets that make a mistake the file's instead of single planets'.
_WHOLE_FILE = 0.8


@dataclass(frozen=True)
class Finding:
    """One quantity, judged.

    Attributes
    ----------
    flag, where
        The flag, and the planets (planet,) that get it.
    name, values, measure
        ``name`` is ``values`` (planet,) ``measure``, in words.
    expected : str
        The quantity's range, in words.
    units : Mapping[str, np.ndarray]
        By other unit, the planets (planet,) whose value looks like it.
    """

    flag: Quality
    where: np.ndarray
    name: str
    values: np.ndarray
    expected: str
    measure: str = ""
    units: Mapping[str, np.ndarray] = field(default_factory=dict)

    def reason(self, row: int) -> str:
        """What is wrong with one planet."""
        value = self.values[row]
        if np.isnan(value):
            return f"{self.name} is missing"
        guesses = [unit for unit, looks in self.units.items() if looks[row]]
        looks = f" (looks like {' or '.join(guesses)})" if guesses else ""
        return f"{self.name} is {value:.3g}{self.measure}{looks}, expected {self.expected}"

    def shared_unit(self) -> str | None:
        """What is wrong with (nearly) all planets in the same way, None if nothing is."""
        shared = {u: looks for u, looks in self.units.items() if looks.mean() > _WHOLE_FILE}
        if not shared:
            return None
        rows = next(iter(shared.values()))
        return (
            f"{self.name} looks like {' or '.join(shared)} in {int(rows.sum())} of "
            f"{len(self.values)} planets: median {np.median(self.values[rows]):.3g}{self.measure}, "
            f"expected {self.expected}"
        )


def judged(
    flag: Quality,
    name: str,
    values: np.ndarray,
    span: Span,
    *,
    measure: str = "",
    units: str = "",
    alternatives: Mapping[str, np.ndarray] | None = None,
    tolerance: float = 1.0,
) -> Finding:
    """Judge values (planet,) by their range; NaN passes.

    Parameters
    ----------
    flag
        Flag that planets outside get.
    name, measure, units
        How the finding is told.
    span
        Lowest and highest value.
    alternatives
        What the values (planet,) would be if the numbers were in another unit, by its name.
    tolerance
        Factor by which the range is wider for values that no other unit explains.
    """
    outside = ~np.isnan(values) & ~inside(values, span)
    looks = {unit: outside & inside(v, span) for unit, v in (alternatives or {}).items()}
    explained = np.any([*looks.values(), np.zeros_like(outside)], axis=0)
    far = ~inside(values, (span[0] / tolerance, span[1] * tolerance))
    where = outside & (explained | far)
    return Finding(flag, where, name, values, in_words(span, units), measure, looks)


def inside(values: np.ndarray, span: Span) -> np.ndarray:
    """Whether values lie in a range; NaN does not."""
    with np.errstate(invalid="ignore"):
        return (values >= span[0]) & (values <= span[1])


def in_words(span: Span, units: str = "") -> str:
    """A range in words, with its unit."""
    low, high = span
    if np.isinf(low):
        text = f"at most {high:.3g}"
    elif np.isinf(high):
        text = f"at least {low:.3g}"
    else:
        text = f"{low:.3g} to {high:.3g}"
    return f"{text} {units}".strip()
