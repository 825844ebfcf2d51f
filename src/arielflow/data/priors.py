"""The retrieval prior: a uniform box for every planet.

A posterior is only defined with its prior. ``matched`` is the box that simulated planets are drawn
from; ``wide`` is that of the challenge's own nested sampling.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import read_json_object
from arielflow.core.schema import (
    auxiliary_values,
)
from arielflow.editions.base import Edition, Parameter, Range
from arielflow.editions.official_files import SPLIT_FOLDERS
from arielflow.physics.systems import equilibrium_temperature_k

SIMULATION_RECORD = "simulation.json"
"""What a simulated data set says of itself, its retrieval prior included."""

_NARROWEST_RELATIVE_TO_EQUILIBRIUM = 0.05
_COLDEST_K, _HOTTEST_K = 20.0, 1e4


def choose_prior(folder: str | Path, edition: Edition, asked: str | None) -> tuple[str, str]:
    """Name of the retrieval prior of a data set, and where it comes from, in words.

    The prior that is asked for, else the one that the data set's own record names, else the
    edition's.

    Parameters
    ----------
    folder
        Root of the data set, or its folder of one split.
    edition
        Its edition.
    asked
        Name of a prior, or None.

    Raises
    ------
    ArielflowError
        The record is damaged.
    """
    recorded = recorded_prior(folder)
    if asked is not None:
        other = recorded is not None and recorded[0] != asked
        beside = f"; the data set's record {recorded[1]} names {recorded[0]}" if other else ""
        return asked, f"as asked for{beside}"
    if recorded is not None:
        return recorded[0], f"as {recorded[1]} says"
    return edition.retrieval_prior, f"edition {edition.name}'s own, as no record names one"


def recorded_prior(folder: str | Path) -> tuple[str, Path] | None:
    """Retrieval prior that a data set's own record names, and the record; None without one."""
    folder = Path(folder)
    root = folder.parent if folder.resolve().name in SPLIT_FOLDERS.values() else folder
    for path in (folder / SIMULATION_RECORD, root / SIMULATION_RECORD):
        if path.exists():
            remedy = "simulate the data set again, or remove the record"
            return str(read_json_object(path, ["prior"], remedy)["prior"]), path
    return None


def agreed_prior(folder: str | Path, asked: str) -> str:
    """The prior that is asked for, where the data set's own record does not name another.

    Raises
    ------
    ArielflowError
        It does: only the user can know which is meant.
    """
    recorded = recorded_prior(folder)
    if recorded is not None and recorded[0] != asked:
        raise ArielflowError(
            f"dataset.prior is {asked}, but {recorded[1]} says that the data set's retrieval prior "
            f"is {recorded[0]}; set dataset.prior: {recorded[0]}, or correct the record"
        )
    return asked


def prior_box(edition: Edition, planets: xr.Dataset, prior: str) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper edges (planet, target) of the named prior.

    Parameters
    ----------
    edition
        Its parameters give the ranges.
    planets
        Planets dataset; auxiliaries give the equilibrium temperature where a range needs it.
    prior
        Name of the prior, such as ``matched`` or ``wide``.

    Raises
    ------
    ArielflowError
        The edition has no prior of this name.
    """
    edges = [_edges(prior_range(edition, target, prior), planets) for target in edition.targets]
    low, high = (np.stack(columns, axis=1) for columns in zip(*edges, strict=True))
    return low, high


def prior_range(edition: Edition, target: Parameter, prior: str) -> Range:
    """Range of one target of an edition in the named prior.

    Raises
    ------
    ArielflowError
        The edition has no prior of this name.
    """
    if prior not in target.priors:
        raise ArielflowError(
            f"prior {prior!r} is not known to edition {edition.name}; "
            f"choose one of {', '.join(target.priors)}"
        )
    return target.priors[prior]


def _edges(span: Range, planets: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    n_planets = planets.sizes["planet"]
    if not span.relative_to_equilibrium:
        return np.full(n_planets, float(span.low)), np.full(n_planets, float(span.high))
    names = ("star_temperature_k", "star_radius_m", "semi_major_axis_au")
    columns = [auxiliary_values(planets, name) for name in names]
    with np.errstate(all="ignore"):
        equilibrium = equilibrium_temperature_k(*columns)
        possible = (equilibrium > _COLDEST_K) & (equilibrium < _HOTTEST_K)
    # A planet too hot or cold for the tables keeps a sliver at the edge; one with columns that
    # cannot be right has the middle.
    low_limit, high_limit = span.limits
    sliver = _NARROWEST_RELATIVE_TO_EQUILIBRIUM * high_limit
    equilibrium = np.where(possible, equilibrium, 0.5 * (low_limit + high_limit))
    low = np.clip(span.low * equilibrium, low_limit, high_limit - sliver)
    high = np.clip(span.high * equilibrium, low + sliver * 0.1, high_limit)
    return low, high


def prior_samples(planets: xr.Dataset, n_samples: int, seed: int) -> np.ndarray:
    """Uniform draws (planet, sample, target) from every planet's prior box."""
    low = planets["prior_low"].values[:, None, :]
    high = planets["prior_high"].values[:, None, :]
    shape = (planets.sizes["planet"], n_samples, planets.sizes["target"])
    return low + (high - low) * np.random.default_rng(seed).random(shape)
