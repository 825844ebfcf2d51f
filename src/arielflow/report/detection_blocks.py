"""Which molecules a planet shows, and by which bins: part of the report's view of a planet."""

from __future__ import annotations

import pandas as pd

from arielflow import plotting
from arielflow.evaluation.detection_tables import DetectionTables, planet_tables
from arielflow.report.blocks import FigureBlock, TableBlock
from arielflow.report.formatting import number
from arielflow.retrieval.model_selection import MODERATE

_HEADER = ["molecule", "log Bayes factor [1]", "leading bin [µm]", "without that bin [1]"]


def detection_blocks(
    model: str, tables: DetectionTables, planet: str, place: int
) -> list[FigureBlock | TableBlock]:
    """A map of molecules by bins, and what it comes to by molecule; nothing of other planets.

    Parameters
    ----------
    model
        Whose draws were weighted.
    tables
        Detections in planets of the run.
    planet, place
        Identifier of the planet, and its place among those that are shown.
    """
    rows = tables.molecules[tables.molecules["planet"] == planet].fillna({"warning": ""})
    if not len(rows):
        return []
    blocks: list[FigureBlock | TableBlock] = []
    wavelength_um, found = planet_tables(tables, planet)
    if found:
        figure = plotting.detection_map(
            wavelength_um,
            {name: one.loss for name, one in found.items()},
            {name: one.needs_refit for name, one in found.items()},
            {name: one.rests_on for name, one in found.items()},
        )
        caption = (
            f"Planet {planet}, {model}: what leaving a molecule out of the model loses in expected "
            "log predictive density, bin by bin; blue bins speak for the molecule, orange "
            f"ones against it. Detected: {_detected(rows)}. A dot marks bins of which the draws "
            "cannot tell, a frame the only bin that a detection rests on."
        )
        blocks.append(FigureBlock(f"detections_{model}_{place}", caption, figure))
    cells = [
        [
            row.molecule,
            number(row.log_bayes_factor, 1),
            number(row.leading_wavelength_um, 2),
            number(row.log_bayes_factor_without_it, 1),
        ]
        for row in rows.itertuples()
    ]
    warnings = [f"Warning: {row.warning}." for row in rows.itertuples() if row.warning]
    note = " ".join(
        [
            *warnings,
            "The log Bayes factor, a natural logarithm, is that of the model with the molecule "
            f"over the one without it; {MODERATE:g} and more are taken for a detection. The "
            "leading bin speaks most for the molecule.",
        ]
    )
    classes = ["verdict-amber" if row.warning else "" for row in rows.itertuples()]
    title = f"{planet}, {model}: molecules left out"
    blocks.append(TableBlock(_HEADER, cells, title, 1, row_classes=classes, note=note))
    return blocks


def _detected(rows: pd.DataFrame) -> str:
    found = rows["molecule"][rows["log_bayes_factor"] >= MODERATE]
    return ", ".join(found) or "nothing"
