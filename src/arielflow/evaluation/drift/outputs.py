"""Tables, figures and a summary of drift as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from arielflow.core.files import atomic_path, write_json, write_table
from arielflow.evaluation.drift.compare import Drift

SUMMARY = "drift.json"
TABLES = {
    "summary": "summary.csv",
    "bins": "spectrum_bins.csv",
    "noise_bins": "noise_bins.csv",
    "parameters": "parameters.csv",
    "concept": "concept.csv",
    "planets": "planets.csv",
}
"""File of each table of :class:`arielflow.evaluation.drift.compare.Drift`."""
FIGURES = ("bins", "classifier", "parameters")
"""Names of the SVG files."""


def drift_content(drift: Drift) -> dict[str, Any]:
    """Verdicts and notes as JSON has them: what is not a number is null."""
    verdicts = [
        {name: _plain(value) for name, value in vars(verdict).items()} for verdict in drift.verdicts
    ]
    return {"verdicts": verdicts, "notes": list(drift.notes)}


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def write_drift(drift: Drift, folder: str | Path) -> None:
    """Write ``drift.json``, the tables as CSV and the figures as SVG into a folder.

    A table without rows is an empty file with its heading, as that of concept drift where theta is
    not known.
    """
    from arielflow.plotting import drift_by_bin, drift_of_parameters, drift_scores
    from arielflow.plotting.svg import svg_bytes

    folder = Path(folder)
    write_json(drift_content(drift), folder / SUMMARY)
    for name, file in TABLES.items():
        write_table(getattr(drift, name), folder / file)
    separation = drift.separation
    figures = (
        drift_by_bin(drift.bins, drift.noise_bins),
        drift_scores(separation.score, separation.is_test, separation.auroc),
        drift_of_parameters(drift.parameters),
    )
    for name, figure in zip(FIGURES, figures, strict=True):
        with atomic_path(folder / f"{name}.svg") as temporary:
            temporary.write_bytes(svg_bytes(figure, name))
