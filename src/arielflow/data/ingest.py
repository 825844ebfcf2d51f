"""From an edition's files to validated datasets with quality flags and prior boxes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed, shown
from arielflow.core.schema import (
    TARGET_COORDINATES,
    Quality,
    describe,
    is_usable,
    validate_planets,
    validate_traces,
)
from arielflow.data.priors import choose_prior, prior_box
from arielflow.data.quality import Limits, flag_quality
from arielflow.editions import Edition
from arielflow.editions.official_files import (
    PARAMETER_TABLE,
    RERUN_TRACE_DATA,
    TRACE_DATA,
    read_table,
    read_traces,
)

log = logging.getLogger(__name__)


def ingest(
    folder: str | Path,
    edition: Edition,
    split: str,
    *,
    prior: str | None = None,
    limits: Limits | None = None,
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
    limits
        Lowest and highest plausible value by column or target, in place of the edition's.

    Returns
    -------
    planets, traces : xarray.Dataset
        Validated; ``traces`` has no samples where there is no ground truth.
    quality : pandas.DataFrame
        A row a flagged planet: ``planet_ID``, ``flags``, ``usable``, ``found``.

    Raises
    ------
    ArielflowError
        A structural fault, (nearly) all planets have a value in another unit, or no planet is
        usable.
    """
    planets, traces = edition.reader(Path(folder), edition, split)
    place = f"{folder}, split {split}"
    planets, reasons = flag_quality(planets, edition, split=split, limits=limits, place=place)
    traces, trace_faults = _split_faults(planets, traces)
    reasons = ["; ".join(filter(None, both)) for both in zip(reasons, trace_faults, strict=True)]
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
    quality = quality_table(planets, reasons)
    usable = is_usable(planets)
    if not usable.any():
        first = shown(f"{quality['flags'].iloc[0]}: {quality['found'].iloc[0]}", 200)
        raise ArielflowError(
            f"{place}: none of the {len(usable)} planets is usable, the first for {first}; mend "
            "the data, or allow legitimate extremes in dataset.limits"
        )
    if len(quality):
        named = listed([f"{row.planet_ID} ({row.flags})" for row in quality.itertuples()])
        log.warning(
            "%s: %d of %d planets are flagged, of which %d are not given to a model: %s",
            *(place, len(quality), len(usable), int((~usable).sum()), named),
        )
    return validate_planets(describe(planets)), validate_traces(traces), quality


def refuse_shared_planets(train: xr.Dataset, test: xr.Dataset) -> None:
    """Refuse test planets that are training planets, whatever they are called.

    Raises
    ------
    ArielflowError
        A test spectrum is a training spectrum, in single precision.
    """
    known = {
        spectrum.tobytes(): name
        for name, spectrum in _spectra(train)
        if np.isfinite(spectrum).all()
    }
    shared = [
        (name, known[spectrum.tobytes()])
        for name, spectrum in _spectra(test)
        if spectrum.tobytes() in known
    ]
    if shared:
        raise ArielflowError(
            f"test planet {shown(shared[0][0])} has the spectrum of training planet "
            f"{shown(shared[0][1])} ({len(shared)} of {test.sizes['planet']} test planets are "
            "training planets); give other test data, or remove the planets from one of the two"
        )


def _spectra(planets: xr.Dataset) -> Iterator[tuple[str, np.ndarray]]:
    """Name and spectrum in single precision of each planet."""
    with np.errstate(over="ignore"):  # what is beyond it has been flagged
        depth = planets["transit_depth"].values.astype(np.float32)
    return zip(map(str, planets["planet"].values), depth, strict=True)


def _split_faults(
    planets: xr.Dataset, traces: xr.Dataset | None
) -> tuple[xr.Dataset, Sequence[str]]:
    """Traces, and why those that were left out were."""
    if traces is None:
        return empty_traces(planets), [""] * planets.sizes["planet"]
    faults = [f and f"trace left out: {f}" for f in traces["trace_fault"].values]
    return traces.drop_vars("trace_fault"), faults


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


def quality_table(planets: xr.Dataset, reasons: Sequence[str]) -> pd.DataFrame:
    """The flagged planets, in words; ``reasons`` of every planet, see :func:`flag_quality`."""
    quality = planets["quality"].values.astype(np.int64)
    words = {value: _flag_words(Quality(value)) for value in np.unique(quality).tolist()}
    # All planets at once: thousands may be flagged.
    spans = [
        reduce(planets[name].values, axis=1)
        for name in ("transit_depth", "transit_depth_error")
        for reduce in (np.fmin.reduce, np.fmax.reduce)
    ]
    rows = np.flatnonzero(quality)
    spectra = [
        "depth {:.3g} to {:.3g}, error {:.3g} to {:.3g}".format(*(span[row] for span in spans))
        for row in rows
    ]
    return pd.DataFrame(
        {
            "planet_ID": [str(name) for name in planets["planet"].values[rows]],
            "flags": [words[value] for value in quality[rows].tolist()],
            "usable": is_usable(planets)[rows],
            "found": [
                "; ".join(filter(None, (reasons[row], spectrum)))
                for row, spectrum in zip(rows, spectra, strict=True)
            ],
        }
    )


def _flag_words(flags: Quality) -> str:
    return ", ".join(f.name.lower().replace("_", " ") for f in Quality if f and f in flags)


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
        truth = read_traces(folder / trace_file, edition, identifiers).drop_vars("trace_fault")
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
