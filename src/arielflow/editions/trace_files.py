"""Reading Tracedata.hdf5: weighted nested-sampling samples, one group per planet."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.hdf5 import PlainFile, open_plain
from arielflow.core.readers import listed, shown
from arielflow.core.schema import describe
from arielflow.editions.base import Edition

log = logging.getLogger(__name__)

_MOST_VALUES = 2_000_000
# Weights need no common scale, but sums must stay far from where doubles end.
_WEIGHT_SUMS = (1e-9, 1e9)


def read_traces(path: str | Path, edition: Edition, identifiers: Sequence[str]) -> xr.Dataset:
    """Read ragged traces; planets without a retrieval, or with a bad one, get no samples.

    Returns
    -------
    xarray.Dataset
        Traces, and ``trace_fault(planet)``: why a planet's trace was left out, or nothing.

    Raises
    ------
    ArielflowError
        The file is unreadable, a planet is missing, or its samples and weights do not fit.
    """
    path = Path(path)
    sizes, faults = [], []
    samples, weights = [np.empty((0, len(edition.targets)))], [np.empty(0)]
    with open_plain(path) as file:
        for identifier in identifiers:
            theta, weight = _read_trace(path, file, edition, identifier)
            fault = trace_fault(theta, weight, edition)
            faults.append(fault)
            sizes.append(0 if fault else len(weight))
            samples.append(theta[: sizes[-1]])
            weights.append(weight[: sizes[-1]])
    if bad := [name for name, fault in zip(identifiers, faults, strict=True) if fault]:
        first = next(filter(None, faults))
        log.warning("%s: %d traces are left out: %s (%s)", path, len(bad), listed(bad), first)
    coordinates = {
        name: value for name, value in edition.coordinates().items() if name.startswith("target")
    }
    return describe(
        xr.Dataset(
            {
                "row_size": ("planet", np.array(sizes, dtype=np.int64)),
                "trace": (("obs", "target"), np.concatenate(samples)),
                "weight": ("obs", np.concatenate(weights)),
                "trace_fault": ("planet", np.array(faults, dtype=object)),
            },
            coords=coordinates | {"planet": list(identifiers)},
        )
    )


def _read_trace(
    path: Path, file: PlainFile, edition: Edition, identifier: str
) -> tuple[np.ndarray, np.ndarray]:
    group = edition.group(identifier)
    if not file.holds("", group):
        raise ArielflowError(
            f"{path}: planet {shown(identifier)} is missing, expected its group {shown(group)}; "
            "the file must hold every planet, with NaN where there is no retrieval"
        )
    n_targets = len(edition.targets)
    shape = file.shape(f"{group}/tracedata")
    if math.prod(shape) <= 1 and file.holds(group, "weights"):
        return np.empty((0, n_targets)), np.empty(0)
    if len(shape) != 2 or shape[1] != n_targets or math.prod(shape) > _MOST_VALUES:
        raise ArielflowError(
            f"{path}: {shown(group)}/tracedata has shape {shown(shape)}, edition {edition.name} "
            f"expects (n, {n_targets}) of at most {_MOST_VALUES} values; check the edition"
        )
    return file.numbers(f"{group}/tracedata"), file.numbers(f"{group}/weights", (shape[0],))


def trace_fault(theta: np.ndarray, weight: np.ndarray, edition: Edition) -> str:
    """Why samples (n, target) and weights (n,) are not a posterior; empty if they are."""
    if not len(theta):
        return ""
    low, high = np.array([target.plausible for target in edition.targets]).T
    least, most = np.array([target.limits for target in edition.targets]).T
    # A sampler may leave the priors a little; what lies a whole range outside is no sample, nor is
    # what nature does not allow, such as a negative radius.
    least, most = np.maximum(least, 2 * low - high), np.minimum(most, 2 * high - low)
    outside = ~((theta >= least) & (theta <= most))
    if outside.any():
        row, column = np.argwhere(outside)[0]
        return (
            f"{int(outside.any(axis=1).sum())} samples lie outside the priors, such as "
            f"{theta[row, column]:.3g} for {edition.targets[column].name}"
        )
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        return f"{int(bad.sum())} weights are negative or not finite"
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not _WEIGHT_SUMS[0] < total < _WEIGHT_SUMS[1]:
        return f"its weights sum to {total:.3g}, expected 1"
    return ""
