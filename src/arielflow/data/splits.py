"""Which planets a model is trained and validated on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed
from arielflow.core.schema import (
    is_usable,
)
from arielflow.core.tables import read_csv
from arielflow.editions.official_files import (
    PARAMETER_TABLE,
)

_SMALLEST_TRAINING_SET = 20


def split_planets(planets: xr.Dataset, validation_fraction: float, seed: int) -> pd.DataFrame:
    """Random split of the usable training planets: columns ``planet_ID``, ``subset``.

    Raises
    ------
    ArielflowError
        Too few usable planets, or theta is missing.
    """
    known = np.isfinite(planets["theta"].values).all(axis=1)
    rows = np.flatnonzero(is_usable(planets) & known)
    if len(rows) < _SMALLEST_TRAINING_SET:
        raise ArielflowError(
            f"only {len(rows)} of {planets.sizes['planet']} training planets are usable and "
            f"labelled, expected at least {_SMALLEST_TRAINING_SET}; check the quality table and "
            f"{PARAMETER_TABLE}"
        )
    order = np.random.default_rng(seed).permutation(len(rows))
    n_valid = max(1, round(validation_fraction * len(rows)))
    subset = np.full(len(rows), "train", dtype=object)
    subset[order[:n_valid]] = "valid"
    return pd.DataFrame({"planet_ID": planets["planet"].values[rows], "subset": subset})


def annotated_planets(planets: xr.Dataset, traces: xr.Dataset) -> xr.Dataset:
    """The usable planets that have traces, with them: ``row_size``, ``trace`` and ``weight``.

    Parameters
    ----------
    planets
        Planets dataset, or some planets of one.
    traces
        Ragged traces dataset of the same file's planets.
    """
    rows = {str(name): row for row, name in enumerate(traces["planet"].values)}
    sizes = traces["row_size"].values
    ends = np.cumsum(sizes)
    usable = is_usable(planets)
    found = {
        position: rows[str(name)]
        for position, name in enumerate(planets["planet"].values)
        if usable[position] and sizes[rows[str(name)]] > 0
    }
    obs = [np.arange(ends[row] - sizes[row], ends[row]) for row in found.values()]
    chosen = np.concatenate([np.empty(0, dtype=int), *obs])
    return planets.isel(planet=list(found)).assign(
        row_size=("planet", sizes[list(found.values())]),
        trace=(("obs", "target"), traces["trace"].values[chosen]),
        weight=("obs", traces["weight"].values[chosen]),
    )


def read_split(path: str | Path) -> pd.DataFrame:
    """A split that :func:`split_planets` made, from its CSV file.

    Raises
    ------
    ArielflowError
        The file is missing or is no such table.
    """
    remedy = "run the step that makes it"
    table = read_csv(path, remedy)
    if not {"planet_ID", "subset"} <= set(table):
        raise ArielflowError(
            f"{path}: found {listed(list(table))}, expected planet_ID and subset; {remedy}"
        )
    return table


def fold(split: pd.DataFrame, number: int, folds: int) -> pd.DataFrame:
    """The same planets split anew, with fold ``number`` of ``folds`` for validation."""
    order = np.random.default_rng(folds).permutation(len(split))
    subset = np.where(order % folds == number, "valid", "train")
    return split.assign(subset=subset)


def subset(planets: xr.Dataset, split: pd.DataFrame, name: str) -> xr.Dataset:
    """The planets of one subset of a split, in table order."""
    chosen = set(split.loc[split["subset"] == name, "planet_ID"].astype(str))
    return planets.isel(planet=[str(p) in chosen for p in planets["planet"].values])
