"""Posteriors that are formally right but implausible: wrong units, columns, copies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from arielflow.core.readers import listed
from arielflow.core.samples import weighted_quantiles
from arielflow.core.schema import MOLECULES
from arielflow.editions import Edition
from arielflow.editions.base import Parameter

_FEWEST_DIFFERENT = 100
_FEWEST_EFFECTIVE = 10.0
# Rounding to single precision is no excursion.
_BOUND_TOLERANCE = 1e-6

_Readings = Sequence[tuple[str, Callable[[np.ndarray], np.ndarray]]]
# What else the numbers could be, and how they would read then; the first that fits is named.
_RADIUS: _Readings = (
    ("metres", lambda value: value / 7.1492e7),
    ("kilometres", lambda value: value / 7.1492e4),
    ("solar radii", lambda value: value * 9.7313),
    ("Earth radii", lambda value: value / 11.209),
)
_ABUNDANCE: _Readings = (
    ("abundances without a logarithm", np.log10),
    ("natural logarithms", lambda value: value / np.log(10)),
    ("logarithms without their sign", np.negative),
    ("parts per million", lambda value: np.log10(value) - 6),
)
_TEMPERATURE: _Readings = (("logarithms", lambda value: 10.0**value),)


class Outline(NamedTuple):
    """A planet's posterior in brief.

    Attributes
    ----------
    low, median, high : np.ndarray
        Per target; lowest and highest sample, or outer quartiles.
    n_different : float
        How many different samples there are, as far as is known.
    n_effective : float
        How many equally weighted samples the weights amount to.
    digest : bytes
        The same for the same samples.
    """

    low: np.ndarray
    median: np.ndarray
    high: np.ndarray
    n_different: float
    n_effective: float
    digest: bytes

    @classmethod
    def of_samples(cls, theta: np.ndarray, weight: np.ndarray) -> Outline:
        """Outline of valid samples (sample, target) and weights (sample,) that sum to one."""
        counted = np.sort(theta[weight > 0], axis=0)
        different = 1 + (counted[1:] != counted[:-1]).sum(axis=0).max()
        return cls(
            counted[0],
            weighted_quantiles(theta, weight, (0.5,))[0],
            counted[-1],
            float(different),
            float(1 / np.square(weight).sum()),
            hashlib.blake2b(theta.tobytes(), digest_size=16).digest(),
        )

    @classmethod
    def of_quartiles(cls, quartiles: np.ndarray) -> Outline:
        """Outline of valid quartiles (3, target)."""
        low, median, high = quartiles
        different = np.inf if (high > low).any() else 1.0
        return cls(low, median, high, different, np.inf, quartiles.tobytes())


def implausibilities(outlines: Mapping[str, Outline], edition: Edition) -> list[str]:
    """What is implausible about the posteriors of a file's planets, one line per kind.

    Parameters
    ----------
    outlines
        By the planet's name.
    edition
        Its priors and official bounds are the measure.
    """
    if not outlines:
        return []
    names = np.array(list(outlines), dtype=object)
    parts = [
        np.stack([getattr(outline, part) for outline in outlines.values()])
        for part in ("low", "median", "high")
    ]
    odd = np.stack(
        [
            _odd(target, *(part[:, number] for part in parts))
            for number, target in enumerate(edition.targets)
        ],
        axis=1,
    )
    lines = []
    for number, target in enumerate(edition.targets):
        rows = odd[:, number]
        if rows.any():
            found = [part[rows, number] for part in parts]
            lines.append(
                f"{target.name}: samples of {listed(list(names[rows]), 3)} lie between "
                f"{found[0].min():.4g} and {found[2].max():.4g} {target.units}, expected "
                f"{_range(target)}{_cause(number, np.concatenate(found), odd, edition)}"
            )
    return lines + list(_degenerate(names, list(outlines.values()), parts[0], parts[2], edition))


def _odd(target: Parameter, low: np.ndarray, median: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Planets with samples beyond the official bounds, or a median far outside every prior."""
    least, most = target.score_bounds
    slack = _BOUND_TOLERANCE * (most - least)
    nearest, farthest = hull(target)
    width = farthest - nearest
    # Half a prior beyond its edge; towards zero, half of what the edge is away from it.
    below = nearest - 0.5 * min(width, abs(nearest))
    above = farthest + 0.5 * min(width, abs(farthest))
    outside = (low < least - slack) | (high > most + slack)
    return outside | (median < below) | (median > above)


def hull(target: Parameter) -> tuple[float, float]:
    """Range that all the edition's priors of a target lie in."""
    ends = [
        span.limits if span.relative_to_equilibrium else (span.low, span.high)
        for span in target.priors.values()
    ]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _range(target: Parameter) -> str:
    return "{:g} to {:g}".format(*hull(target))


def _cause(number: int, values: np.ndarray, odd: np.ndarray, edition: Edition) -> str:
    """The other column or unit that a target's odd numbers would fit."""
    target = edition.targets[number]
    low, high = hull(target)
    for column, other in enumerate(edition.targets):
        nearest, farthest = hull(other)
        alike = nearest <= high and low <= farthest
        if not alike and odd[:, column].any() and _fits(values, other):
            return f"; they look like {other.name}: check the order of the columns"
    readings = {"planet_radius": _RADIUS, "planet_temperature": _TEMPERATURE}
    own = _ABUNDANCE if target.quantity in MOLECULES else readings.get(target.quantity, ())
    for words, reading in own:
        with np.errstate(all="ignore"):
            if _fits(reading(values), target):
                return f"; they look like {words}"
    return ""


def _fits(values: np.ndarray, target: Parameter) -> bool:
    low, high = hull(target)
    slack = _BOUND_TOLERANCE * (high - low)
    return bool(((values >= low - slack) & (values <= high + slack)).all())


def _degenerate(
    names: np.ndarray,
    outlines: Sequence[Outline],
    low: np.ndarray,
    high: np.ndarray,
    edition: Edition,
) -> Iterator[str]:
    """Posteriors that are hardly distributions, or the same for several planets."""
    different = np.array([outline.n_different for outline in outlines])
    effective = np.array([outline.n_effective for outline in outlines])
    point = different == 1
    if point.any():
        yield f"all samples are equal for {listed(list(names[point]), 3)}"
    few = (different < _FEWEST_DIFFERENT) & ~point
    if few.any():
        yield (
            f"fewer than {_FEWEST_DIFFERENT} different samples (the fewest "
            f"{different[few].min():.0f}) for {listed(list(names[few]), 3)}"
        )
    uneven = effective < _FEWEST_EFFECTIVE
    if uneven.any():
        yield (
            "nearly all weight lies on a few samples (the fewest effective "
            f"{effective[uneven].min():.1f}) for {listed(list(names[uneven]), 3)}"
        )
    for number, target in enumerate(edition.targets):
        constant = (low[:, number] == high[:, number]) & ~point
        if constant.any():
            yield f"{target.name} is the same in all samples of {listed(list(names[constant]), 3)}"
    owners: dict[bytes, list[str]] = {}
    for name, outline in zip(names, outlines, strict=True):
        owners.setdefault(outline.digest, []).append(name)
    copies = [name for shared in owners.values() if len(shared) > 1 for name in shared]
    if copies:
        yield f"{len(copies)} planets share their samples with another one: {listed(copies, 3)}"
