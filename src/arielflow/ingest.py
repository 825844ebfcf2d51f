"""From an edition's files to validated datasets: quality flags, prior boxes, splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.editions import Edition
from arielflow.editions.official_files import (
    PARAMETER_TABLE,
    RERUN_TRACE_DATA,
    TRACE_DATA,
    read_table,
    read_traces,
)
from arielflow.errors import ArielflowError
from arielflow.priors import choose_prior, prior_box
from arielflow.schema import (
    TARGET_COORDINATES,
    Quality,
    describe,
    is_usable,
    validate_planets,
    validate_traces,
)

_SMALLEST_TRAINING_SET = 20


def ingest(
    folder: str | Path, edition: Edition, split: str, *, prior: str | None = None
) -> tuple[xr.Dataset, xr.Dataset, pd.DataFrame]:
    """Read one split and make it ready for the rest of the workflow.

    Parameters
    ----------
    folder
        Root of the data set.
    edition
        Reads the files.
    split
        ``train``, ``test`` or what else the edition has.
    prior
        Name of the retrieval prior; if left out, what the data set's own record names, else the
        edition's own.

    Returns
    -------
    planets, traces : xarray.Dataset
        Validated; ``traces`` has no samples where there is no ground truth.
    quality : pandas.DataFrame
        A row a flagged planet: ``planet_ID``, ``flags``, ``usable``, ``found``.

    Raises
    ------
    ArielflowError
        A structural fault, or no planet is usable.
    """
    planets, traces = edition.reader(Path(folder), edition, split)
    planets = flag_quality(planets)
    prior, prior_source = choose_prior(folder, edition, prior)
    low, high = prior_box(edition, planets, prior)
    bounds = np.array([target.score_bounds for target in edition.targets], dtype=float)
    planets["prior_low"] = (("planet", "target"), low)
    planets["prior_high"] = (("planet", "target"), high)
    planets["score_low"] = ("target", bounds[:, 0])
    planets["score_high"] = ("target", bounds[:, 1])
    planets.attrs |= {
        "edition": edition.name,
        "split": split,
        "prior": prior,
        "prior_source": prior_source,
        "noise": edition.noise,
    }
    if not is_usable(planets).any():
        raise ArielflowError(
            f"{folder}: none of the {planets.sizes['planet']} planets of split {split} is usable; "
            f"the first has: {quality_table(planets)['found'].iloc[0]}"
        )
    traces = empty_traces(planets) if traces is None else validate_traces(traces)
    return validate_planets(describe(planets)), traces, quality_table(planets)


def empty_traces(planets: xr.Dataset) -> xr.Dataset:
    """A traces dataset without samples for these planets."""
    return describe(
        xr.Dataset(
            {
                "row_size": ("planet", np.zeros(planets.sizes["planet"], dtype=np.int64)),
                "trace": (("obs", "target"), np.empty((0, planets.sizes["target"]))),
                "weight": ("obs", np.empty(0)),
            },
            coords={name: planets[name] for name in (*TARGET_COORDINATES, "planet")},
        )
    )


def flag_quality(planets: xr.Dataset) -> xr.Dataset:
    """Add what is wrong with each planet's values to the flags that the reader set."""
    depth, error = planets["transit_depth"].values, planets["transit_depth_error"].values
    quality = (
        planets["quality"].values.astype(np.int64)
        if "quality" in planets
        else np.zeros(planets.sizes["planet"], dtype=np.int64)
    )
    finite = np.isfinite(depth).all(axis=1) & np.isfinite(error).all(axis=1)
    with np.errstate(invalid="ignore"):
        found = {
            Quality.NON_FINITE_SPECTRUM: ~finite,
            Quality.DEPTH_OUT_OF_RANGE: ((depth <= 0) | (depth > 1)).any(axis=1),
            Quality.NOISE_NOT_POSITIVE: (error <= 0).any(axis=1),
            Quality.NON_FINITE_AUXILIARY: ~np.isfinite(planets["auxiliary_value"].values).all(
                axis=1
            ),
        }
    for flag, where in found.items():
        quality = quality | where * int(flag)
    return planets.assign(quality=("planet", quality))


def quality_table(planets: xr.Dataset) -> pd.DataFrame:
    """The flagged planets, in words."""
    rows = []
    for position in np.flatnonzero(planets["quality"].values):
        planet = planets.isel(planet=int(position))
        flags = Quality(int(planet["quality"]))
        names = [flag.name.lower().replace("_", " ") for flag in Quality if flag and flag in flags]
        depth, error = planet["transit_depth"].values, planet["transit_depth_error"].values
        rows.append(
            {
                "planet_ID": str(planet["planet"].item()),
                "flags": ", ".join(names),
                "usable": bool(is_usable(planets)[position]),
                "found": f"depth {np.nanmin(depth, initial=np.inf):.3g} to "
                f"{np.nanmax(depth, initial=-np.inf):.3g}, error "
                f"{np.nanmin(error, initial=np.inf):.3g} to "
                f"{np.nanmax(error, initial=-np.inf):.3g}",
            }
        )
    return pd.DataFrame(rows, columns=["planet_ID", "flags", "usable", "found"])


def hide_truth(planets: xr.Dataset) -> xr.Dataset:
    """The planets without their theta, for everything but scoring."""
    return planets.assign(theta=planets["theta"] * np.nan)


def read_truth(
    folder: str | Path,
    edition: Edition,
    planets: xr.Dataset,
    trace_file: str = TRACE_DATA[0],
) -> xr.Dataset:
    """Truth of the test planets: traces and the forward model's ``theta(planet, target)``.

    Parameters
    ----------
    folder
        Holds the traces and the parameter table; either may be absent.
    edition, planets
        Whose truth it is; a theta that ``planets`` holds is taken over.
    trace_file
        Name of the traces' file.
    """
    folder, identifiers = Path(folder), list(planets["planet"].values)
    theta = planets["theta"].values
    if (folder / PARAMETER_TABLE).is_file():
        table = read_table(folder / PARAMETER_TABLE, edition.target_names)
        theta = table.reindex(identifiers).to_numpy()
    if (folder / trace_file).is_file():
        truth = read_traces(folder / trace_file, edition, identifiers)
    else:
        truth = empty_traces(planets)
    truth["theta"] = (("planet", "target"), theta)
    return describe(validate_traces(truth))


def ingest_truth(
    folder: str | Path, edition: Edition, planets: xr.Dataset
) -> tuple[xr.Dataset, xr.Dataset]:
    """Truth of the test planets and its independent rerun (without samples where there is none).

    Parameters
    ----------
    folder
        Holds the truth's files, or is the data set's root where the edition keeps theta with it.
    edition, planets
        Whose truth it is.
    """
    if not (Path(folder) / PARAMETER_TABLE).is_file():
        labelled, _ = edition.reader(Path(folder), edition, "test")
        planets = planets.assign(theta=labelled["theta"].variable)
    truth = read_truth(folder, edition, planets)
    return truth, read_truth(folder, edition, planets, RERUN_TRACE_DATA)


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
    """A split that :func:`split_planets` made, from its CSV file."""
    return pd.read_csv(path, dtype=str)


def fold(split: pd.DataFrame, number: int, folds: int) -> pd.DataFrame:
    """The split planets split otherwise: fold ``number`` of ``folds`` is for validation."""
    order = np.random.default_rng(folds).permutation(len(split))
    subset = np.where(order % folds == number, "valid", "train")
    return split.assign(subset=subset)


def subset(planets: xr.Dataset, split: pd.DataFrame, name: str) -> xr.Dataset:
    """The planets of one subset of a split, in table order."""
    chosen = set(split.loc[split["subset"] == name, "planet_ID"].astype(str))
    return planets.isel(planet=[str(p) in chosen for p in planets["planet"].values])
