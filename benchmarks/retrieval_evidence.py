"""Log-evidence of importance sampling beside that of the shipped nested-sampling truth.

The truth's libraries hold the evidence under the box that nested sampling drew from, the prior cut
in radius; a run's posteriors hold it under the whole prior. Here both are under the whole prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.physics.systems import Systems
from arielflow.retrieval.likelihood import sampling_box, touches_cut
from arielflow.simulation.library import TruthLibrary

TOLERANCE = 0.1
"""A difference in log-evidence that changes no conclusion."""

_WIDENINGS = (1.0, 2.0, 4.0)


def log_share(planets: xr.Dataset, position: int, theta: np.ndarray) -> float:
    """What turns a log-evidence under the sampled box into one under the whole prior.

    The box is the same integral under a denser prior. It is widened, as nested sampling does it,
    until the samples touch none of its edges but the prior's own.

    Parameters
    ----------
    planets, position
        Planets dataset and a position in it.
    theta
        Equally weighted samples (sample, target) of the nested-sampling run.

    Returns
    -------
    float
        Natural logarithm of the box's share of the prior's volume; not above 0.
    """
    weight, systems = np.full(len(theta), 1 / len(theta)), Systems.of(planets)
    boxes = (sampling_box(systems, position, widen) for widen in _WIDENINGS)
    box = next(
        (box for box in boxes if not touches_cut(theta, weight, box, systems, position)),
        sampling_box(systems, position, _WIDENINGS[-1]),
    )
    low, high = systems.prior[:, position]
    return float(np.sum(np.log(box[1] - box[0])) - np.sum(np.log(high - low)))


def library_evidence(paths: Sequence[str | Path], planets: xr.Dataset, run: str) -> pd.DataFrame:
    """What nested sampling found of a run's test planets, and took.

    Parameters
    ----------
    paths
        Truth libraries, the first that has a planet first.
    planets
        Test planets.
    run
        ``truth`` or ``rerun``.

    Returns
    -------
    pandas.DataFrame
        ``log_evidence`` (under the whole prior), ``likelihood_calls`` and ``seconds`` [s] by
        planet; NaN where no library has it.
    """
    libraries = [TruthLibrary(path) for path in paths]
    costs = [
        {c["planet_ID"]: c for c in library.costs() if (c["split"], c["run"]) == ("test", run)}
        for library in libraries
    ]
    rows = {}
    for position, name in enumerate(map(str, planets["planet"].values)):
        planet = planets.isel(planet=[position])
        for library, cost in zip(libraries, costs, strict=True):
            theta = library.look_up(planet, "test", run)
            if theta is not None:
                found = cost[name]
                evidence = found["log_evidence"] + log_share(planets, position, theta)
                rows[name] = found | {"log_evidence": evidence}
                break
    columns = ["log_evidence", "likelihood_calls", "seconds"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=None if rows else columns)
    return table[columns].reindex(planets["planet"].values.astype(str)).astype(float)


def evidence_table(
    model: str, importance: pd.DataFrame, truth: pd.DataFrame, rerun: pd.DataFrame
) -> pd.DataFrame:
    """One row per planet of importance sampling against nested sampling.

    Parameters
    ----------
    model
        The model whose posteriors were weighted.
    importance
        By planet: ``log_evidence``, ``log_evidence_error``, ``sampling_efficiency``,
        ``likelihood_calls`` and ``seconds`` of importance sampling.
    truth, rerun
        What :func:`library_evidence` gives of the two runs.

    Returns
    -------
    pandas.DataFrame
        The columns of ``benchmarks/importance_evidence.csv``; ``difference`` is importance
        sampling less the truth; natural logarithms.
    """
    nested = truth["log_evidence"].reindex(importance.index)
    table = pd.DataFrame(
        {
            "model": model,
            "planet": importance.index,
            "log_evidence_importance": importance["log_evidence"],
            "log_evidence_error": importance["log_evidence_error"],
            "log_evidence_nested": nested,
            "log_evidence_rerun": rerun["log_evidence"].reindex(importance.index),
            "difference": importance["log_evidence"] - nested,
            "sampling_efficiency": importance["sampling_efficiency"],
            "likelihood_calls": importance["likelihood_calls"],
            "seconds": importance["seconds"],
        }
    )
    return table.reset_index(drop=True)


def evidence_summary(table: pd.DataFrame) -> str:
    """The table in one line: how often evidences agree, and at what cost."""
    cost = (
        f"median efficiency {table['sampling_efficiency'].median():.2f}, median likelihood calls "
        f"{table['likelihood_calls'].median():.0f}"
    )
    known = table.dropna(subset=["log_evidence_nested"])
    if not len(known):
        return f"{table['model'].iloc[0]}: {cost}; the truth was sampled live, without evidences"
    rerun = known["log_evidence_rerun"] - known["log_evidence_nested"]
    # A planet without an evidence of importance sampling counts as one that does not agree.
    agree, again = (
        100 * (values.abs() <= TOLERANCE).mean() for values in (known["difference"], rerun)
    )
    return (
        f"{table['model'].iloc[0]}: log-evidence within {TOLERANCE:g} of nested sampling's for "
        f"{agree:.0f} % of {len(known)} planets (its rerun: {again:.0f} %); {cost}"
    )
