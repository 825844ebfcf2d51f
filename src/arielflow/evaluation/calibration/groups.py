"""Calibration by groups of planets, with bands that hold for all groups together.

An exact posterior is calibrated in every group of planets that is chosen by what is known of them:
the spectrum with its noise, its error bars, the system, and whatever is computed from these, such
as the posterior's own mean. It is not in groups chosen by the truth: where log X is large, truths
lie high in any posterior.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binom

from arielflow.core.errors import ArielflowError
from arielflow.evaluation.calibration.measures import TABLE_LEVELS
from arielflow.evaluation.diagnostics import LEVELS

N_DRAWS = 1000
"""Sets of exact ranks that a band is drawn from: its 5 % are then met within .7 %."""

_ALL = np.union1d(LEVELS, TABLE_LEVELS)
_OF_CURVE = np.searchsorted(_ALL, LEVELS)
_OF_TABLE = np.searchsorted(_ALL, TABLE_LEVELS)


class Group(NamedTuple):
    """A group of planets by one covariate.

    Attributes
    ----------
    name : str
        For people.
    low, high : float
        Edges in the covariate's unit; NaN for groups that are no interval.
    """

    name: str
    low: float = np.nan
    high: float = np.nan


class Grouping(NamedTuple):
    """Planets parted by a covariate, for every target.

    Attributes
    ----------
    covariate : str
        What parts them.
    units : str
        Of the edges.
    groups : tuple[Group, ...]
        The groups.
    label : np.ndarray
        Position of the planet's group (planet, target); -1 where it belongs to none.
    """

    covariate: str
    units: str
    groups: tuple[Group, ...]
    label: np.ndarray


def all_planets(n_planets: int, n_targets: int) -> Grouping:
    """One group of all planets."""
    label = np.zeros((n_planets, n_targets), dtype=int)
    return Grouping("all", "", (Group("all planets"),), label)


def quantile_groups(
    covariate: str, units: str, values: np.ndarray, n_groups: int, n_targets: int
) -> Grouping:
    """Groups of equally many planets, from small to large values of a covariate.

    Parameters
    ----------
    covariate, units
        What the values are.
    values
        Shape (planet,); planets with a NaN are in no group.
    n_groups
        Number of groups, fewer where many values are the same.
    n_targets
        Number of targets, for which the groups are the same.

    Raises
    ------
    ArielflowError
        There are no values, or no groups.
    """
    known = np.isfinite(values)
    if not known.any() or n_groups < 1:
        raise ArielflowError(
            f"calibration by {covariate}: {known.sum()} known values for {n_groups} groups, "
            "expected at least one of both"
        )
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, n_groups + 1)))
    label = np.searchsorted(edges[1:-1], values, side="right")
    pairs = pairwise(edges) if len(edges) > 1 else [(edges[0], edges[0])]
    groups = tuple(Group(f"{_short(a)} to {_short(b)}", float(a), float(b)) for a, b in pairs)
    return Grouping(covariate, units, groups, _for_all(np.where(known, label, -1), n_targets))


def numbered_groups(covariate: str, numbers: np.ndarray, n_targets: int) -> Grouping:
    """Groups of planets that have a number in common, such as that of their cluster (planet,)."""
    known, label = np.unique(numbers, return_inverse=True)
    groups = tuple(Group(str(number)) for number in known)
    return Grouping(covariate, "", groups, _for_all(label, n_targets))


def yes_no_groups(covariate: str, holds: np.ndarray, asked: np.ndarray) -> Grouping:
    """Planets of which something holds for a target, and those of which it does not.

    Parameters
    ----------
    covariate
        What holds.
    holds
        Boolean (planet, target).
    asked
        Targets (target,) that it is asked of; the others are in no group.
    """
    label = np.where(asked, np.where(holds, 0, 1), -1)
    return Grouping(covariate, "", (Group("yes"), Group("no")), label)


def _short(value: float) -> str:
    """A number for people: three digits, or all before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _for_all(label: np.ndarray, n_targets: int) -> np.ndarray:
    return np.repeat(label[:, None], n_targets, axis=1)


class Band:
    """What exact posteriors show in all cells of some groupings together.

    Sets of uniform ranks are drawn for the very planets and groups. In every set every cell (group
    and target) has a p-value of its coverage at the table's levels (binomial, two-sided) and one of
    its calibration error (its rank among all cells' errors, scaled by the root of the number of
    planets); the band is where all p-values stay above the one that the smallest of all falls below
    in the stated share of the sets. Ranks are drawn independently over targets, which makes the
    band no narrower than it must be.

    Parameters
    ----------
    groupings
        Of the same planets and targets.
    seed
        Of the drawn ranks.
    level
        Probability that no cell of an exact posterior leaves the band.
    n_draws
        Sets of ranks.

    Attributes
    ----------
    p_value : float
        Of a single number, below which it is outside of the band.
    """

    def __init__(
        self,
        groupings: Sequence[Grouping],
        *,
        seed: int,
        level: float = 0.95,
        n_draws: int = N_DRAWS,
    ) -> None:
        if not groupings or not 0 < level < 1 or n_draws * (1 - level) < 1:
            raise ArielflowError(
                f"band: {len(groupings)} groupings, level {level} and {n_draws} draws; expected a "
                "grouping, a level between 0 and 1 and more draws than 1/(1 - level)"
            )
        self.groupings, self.level = groupings, level
        n_planets, n_targets = groupings[0].label.shape
        self._cell = [_cell_numbers(grouping, n_targets) for grouping in groupings]
        rng = np.random.default_rng(seed)
        drawn = [self._inside(rng.random((n_planets, n_targets))) for _ in range(n_draws)]
        self.count = self._counts(np.zeros((n_planets, n_targets), dtype=int)).sum(axis=1)
        self._tables, self._table = _binomial_tables(self.count)
        used = self.count > 0
        errors = [_scaled_error(inside, self.count)[used] for inside in drawn]
        self._errors = np.sort(np.concatenate(errors))
        self._smallest = np.sort([self._p_values(inside)[used].min() for inside in drawn])
        self.p_value = float(self._smallest[int((1 - level) * n_draws)])

    def _counts(self, place: np.ndarray) -> np.ndarray:
        """Planets by cell and place between the levels, from places (planet, target)."""
        width = len(_ALL) + 1
        found = []
        for cell, size in self._cell:
            counts = np.bincount((cell * width + place).ravel(), minlength=(size + 1) * width)
            found.append(counts.reshape(-1, width)[:size])
        return np.concatenate(found)

    def _inside(self, centrality: np.ndarray) -> np.ndarray:
        """Planets inside of the central intervals (cell, level), from |2 rank - 1|."""
        counts = self._counts(np.searchsorted(_ALL, centrality, side="left"))
        inside: np.ndarray = np.cumsum(counts[:, :-1], axis=1)
        return inside

    def _p_values(self, inside: np.ndarray) -> np.ndarray:
        """One per cell and number, shape (cell, levels of the table and calibration error)."""
        error = _scaled_error(inside, self.count)
        beyond = len(self._errors) - np.searchsorted(self._errors, error, side="left")
        of_error = (1 + beyond) / (1 + len(self._errors))
        number = np.arange(len(_OF_TABLE))
        of_coverage = self._tables[self._table[:, None], number, inside[:, _OF_TABLE]]
        return np.column_stack([of_coverage, of_error])

    def cells(self, ranks: np.ndarray, target_names: Sequence[str]) -> pd.DataFrame:
        """Coverage and calibration error of every cell, and whether it is inside of the band.

        Parameters
        ----------
        ranks
            Of the planets' truths (planet, target), between 0 and 1.
        target_names
            Of the targets.

        Returns
        -------
        pandas.DataFrame
            One row per covariate, group and target that has planets: ``covariate``, ``units``,
            ``group``, ``low`` and ``high`` (its edges), ``target``, ``n_planets``,
            ``calibration_error`` and ``calibration_error_limit`` (the band's), ``coverage_50``,
            ``coverage_50_low``, ``coverage_50_high`` (the band's) and so on, ``outside``,
            ``p_value`` (share of exact posteriors that have a cell as far from nominal, anywhere).

        Raises
        ------
        ArielflowError
            The ranks are not those of the band's planets and targets, or not all known.
        """
        expected = self.groupings[0].label.shape
        ranks = np.asarray(ranks, dtype=float)
        if ranks.shape != expected or len(target_names) != expected[1] or np.isnan(ranks).any():
            raise ArielflowError(
                f"calibration by group: ranks of shape {ranks.shape} of {len(target_names)} "
                f"targets, {np.isnan(ranks).sum()} unknown; expected {expected}, all known"
            )
        inside = self._inside(np.abs(2 * ranks - 1))
        smallest = self._p_values(inside).min(axis=1)
        as_far = np.searchsorted(self._smallest, smallest, side="right")
        whole = {
            "outside": smallest < self.p_value,
            "p_value": (1 + as_far) / (1 + len(self._smallest)),
        }
        rows: list[dict[str, object]] = []
        places = [
            (grouping, group, target)
            for grouping in self.groupings
            for group in grouping.groups
            for target in target_names
        ]
        for cell, (grouping, group, target) in enumerate(places):
            if self.count[cell]:
                row: dict[str, object] = {"covariate": grouping.covariate, "units": grouping.units}
                row |= {"group": group.name, "low": group.low, "high": group.high}
                row |= {"target": target, "n_planets": self.count[cell]}
                rows.append(row | self._numbers(cell, inside[cell]))
        used = self.count > 0
        return pd.DataFrame(rows).assign(**{name: found[used] for name, found in whole.items()})

    def _numbers(self, cell: int, inside: np.ndarray) -> dict[str, float]:
        """Calibration error and coverages of one cell with their bands."""
        count = self.count[cell]
        error = _scaled_error(inside[None], np.array([count]))[0] / np.sqrt(count)
        beyond = int(self.p_value * (1 + len(self._errors)))
        limit = self._errors[-max(beyond, 1)] / np.sqrt(count)
        found: dict[str, float] = {"calibration_error": error, "calibration_error_limit": limit}
        for number, column in enumerate(_OF_TABLE):
            p_value = self._tables[self._table[cell], number, : count + 1]
            held = np.nonzero(p_value >= self.p_value)[0] / count
            name = f"coverage_{round(100 * _ALL[column])}"
            found |= {name: inside[column] / count}
            found |= {f"{name}_low": held[0], f"{name}_high": held[-1]}
        return found


def _scaled_error(inside: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Calibration errors (cell,) times the root of the number of planets; 0 without planets."""
    share = inside[:, _OF_CURVE] / np.maximum(count, 1)[:, None]
    error: np.ndarray = np.abs(share - LEVELS).mean(axis=1) * np.sqrt(count)
    return error


def _cell_numbers(grouping: Grouping, n_targets: int) -> tuple[np.ndarray, int]:
    """Number of the cell of every planet and target, and how many cells there are.

    One number more stands for no group.
    """
    size = len(grouping.groups) * n_targets
    cell = grouping.label * n_targets + np.arange(n_targets)
    return np.where(grouping.label >= 0, cell, size), size


def _binomial_tables(count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two-sided p-values (table, level, planets inside), and the table of every cell (cell,).

    There is a table for every number of planets that cells have.
    """
    known, table = np.unique(count, return_inverse=True)
    found = np.ones((len(known), len(TABLE_LEVELS), count.max() + 1))
    for row, total in enumerate(known):
        number = np.arange(total + 1)
        for column, share in enumerate(TABLE_LEVELS):
            below, above = binom.cdf(number, total, share), binom.sf(number - 1, total, share)
            found[row, column, : total + 1] = np.minimum(1, 2 * np.minimum(below, above))
    return found, table
