"""Is a planet physically possible, and if not, which unit do its numbers look like?

A mistake that (nearly) all planets of a file share is the file's: it stops with one line. Single
planets are flagged with the reason, and the others go on. Ranges stand in the edition; a data set
with legitimate extremes brings its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import shown
from arielflow.core.schema import Quality, valid_bins
from arielflow.data.quality import system as judge
from arielflow.data.quality.findings import Finding, Span
from arielflow.editions.base import Edition

Limits = Mapping[str, Sequence[float]]
"""Lowest and highest value by the name of a column, a target or a derived quantity."""


def plausible_limits(edition: Edition, limits: Limits | None = None) -> dict[str, Span]:
    """The edition's ranges by column, target and derived quantity, with others in their place.

    Raises
    ------
    ArielflowError
        A name is not known, or two numbers are no range.
    """
    known = {column.name: column.limits for column in edition.auxiliary}
    known |= {target.name: target.plausible for target in edition.targets}
    known |= {
        name: span
        for name, span in judge.DERIVED_LIMITS.items()
        if edition.auxiliary or name == "error_ratio"
    }
    for name, span in (limits or {}).items():
        if name not in known:
            raise ArielflowError(
                f"dataset.limits: {shown(name)} is not known to edition {edition.name}; choose of "
                f"{', '.join(known)}"
            )
        if len(span) != 2 or not float(span[0]) < float(span[1]):
            raise ArielflowError(
                f"dataset.limits: {name} has {shown(list(span))}, expected [lowest, highest]"
            )
        known[name] = (float(span[0]), float(span[1]))
    return known


def flag_quality(
    planets: xr.Dataset,
    edition: Edition,
    *,
    split: str,
    limits: Limits | None = None,
    place: str = "data set",
) -> tuple[xr.Dataset, list[str]]:
    """Add what is wrong with each planet's values to the flags that the reader set.

    Parameters
    ----------
    planets
        Planets dataset, without prior box.
    edition
        Gives the ranges.
    split
        Labels are judged for ``train`` alone.
    limits
        Ranges in place of the edition's.
    place
        Where the planets come from, for the message.

    Returns
    -------
    planets : xarray.Dataset
        The planets, with ``quality``.
    reasons : list of str
        Why each planet is flagged; empty where its spectrum's flags tell all.

    Raises
    ------
    ArielflowError
        (Nearly) all planets have a value in the same other unit.
    """
    with np.errstate(all="ignore"):  # impossible values meet logarithms and roots
        findings = _findings(planets, edition, split, limits)
    for finding in findings:
        if finding.flag is not Quality.DOUBTFUL_AUXILIARY and (fault := finding.shared_unit()):
            raise ArielflowError(
                f"{place}: {fault}; convert it, or allow such values in dataset.limits"
            )
    quality = _spectrum_flags(planets)
    reasons: list[list[str]] = [[] for _ in quality]
    for finding in findings:
        quality |= finding.where * int(finding.flag)
        for row in np.flatnonzero(finding.where):
            reasons[row].append(finding.reason(row))
    return planets.assign(quality=("planet", quality)), ["; ".join(r) for r in reasons]


def _findings(
    planets: xr.Dataset, edition: Edition, split: str, limits: Limits | None
) -> list[Finding]:
    system = judge.System.of(planets, edition, plausible_limits(edition, limits))
    findings = []
    if edition.auxiliary:
        findings += judge.column_findings(system, planets, edition)
        gravity = next(c for c in edition.auxiliary if c.quantity == "surface_gravity_m_s2")
        if not gravity.used:
            findings.append(judge.gravity_finding(system, gravity))
            # Nothing else is judged by a gravity that is in doubt.
            sound = np.where(findings[-1].where, np.nan, system.get(gravity.quantity))
            system = system.with_values(gravity.quantity, sound)
        findings += [judge.density_finding(system, edition), judge.temperature_finding(system)]
        findings += [*judge.orbit_findings(system), *judge.depth_findings(system)]
    findings.append(judge.noise_finding(system))
    if split == "train":
        findings += judge.label_findings(system, planets, edition)
    return findings


def _spectrum_flags(planets: xr.Dataset) -> np.ndarray:
    depth, error = planets["transit_depth"].values, planets["transit_depth_error"].values
    quality = np.zeros(planets.sizes["planet"], dtype=np.int64)
    if "quality" in planets:
        quality |= planets["quality"].values.astype(np.int64)
    with np.errstate(invalid="ignore"):
        found = {
            Quality.NON_FINITE_SPECTRUM: ~valid_bins(planets).all(axis=1),
            Quality.DEPTH_OUT_OF_RANGE: ((depth <= 0) | (depth > 1)).any(axis=1),
            Quality.NOISE_NOT_POSITIVE: (error <= 0).any(axis=1),
        }
    for flag, where in found.items():
        quality |= where * int(flag)
    return quality
