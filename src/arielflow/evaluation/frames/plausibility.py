"""Spectra that keep the rules and are implausible: another quantity or unit, odd deviations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from arielflow.core.readers import listed
from arielflow.editions import FrameEdition

# The real labels' mean depths lie between 0.0004 and 0.025; a challenge's planets never all lie
# outside of this.
_DEPTHS = (1e-4, 0.04)
# What else the numbers could be, and how they would read as depths.
_READINGS: tuple[tuple[str, Callable[[float], float]], ...] = (
    ("radius ratios Rp/Rs, which are to be squared", np.square),
    ("per cent", lambda value: value / 100),
    ("parts per million", lambda value: value / 1e6),
)


def implausible_spectra(
    edition: FrameEdition, planet_ids: Sequence[str], spectrum: np.ndarray, sigma: np.ndarray
) -> list[str]:
    """What is implausible about a valid submission, one line per kind.

    Whether the channels stand in the wrong order is not looked for: no single spectrum tells.

    Parameters
    ----------
    edition
        Its ideal answer is the measure of deviations.
    planet_ids
        Identifiers (planet,).
    spectrum, sigma
        Transit depths and their standard deviations (planet, channel).
    """
    return [
        *_other_unit(spectrum),
        *_odd_sigma(edition, planet_ids, spectrum, sigma),
        *_copies(planet_ids, spectrum),
    ]


def _other_unit(spectrum: np.ndarray) -> Iterator[str]:
    """The middle planet is no depth: a single one may be large, most of a file are not."""
    middle = float(np.median(spectrum.mean(axis=1)))
    low, high = _DEPTHS
    if low <= middle <= high:
        return
    fits = [words for words, reading in _READINGS if low <= reading(middle) <= high]
    cause = f"; they look like {' or '.join(fits)}" if fits else ""
    yield (
        f"the middle planet has a mean depth of {middle:.4g}, expected (Rp/Rs)² between {low:g} "
        f"and {high:g}{cause}"
    )


def _odd_sigma(
    edition: FrameEdition, planet_ids: Sequence[str], spectrum: np.ndarray, sigma: np.ndarray
) -> Iterator[str]:
    names = np.array(planet_ids, dtype=object)
    ideal = np.where(np.arange(edition.n_channels) == 0, *edition.score.ideal_sigma)
    for rows, what in (
        (
            np.median(sigma, axis=1) > np.median(spectrum, axis=1),
            "standard deviations are larger than the depths",
        ),
        (
            (sigma < ideal).mean(axis=1) > 0.5,
            f"most standard deviations are below the ideal answer's ({ideal[0]:g} in the first "
            f"channel, {ideal[1]:g} in the others)",
        ),
    ):
        if rows.any():
            yield f"{what}: {rows.sum()} of {len(names)} planets, {listed(list(names[rows]), 3)}"


def _copies(planet_ids: Sequence[str], spectrum: np.ndarray) -> Iterator[str]:
    owners: dict[bytes, list[str]] = {}
    for name, row in zip(planet_ids, spectrum, strict=True):
        owners.setdefault(row.tobytes(), []).append(name)
    copies = [name for shared in owners.values() if len(shared) > 1 for name in shared]
    if copies:
        yield f"{len(copies)} planets share their spectrum with another one: {listed(copies, 3)}"
