"""The report's section about trust: a verdict on every row and every planet, and why."""

from __future__ import annotations

import numpy as np
import pandas as pd

from arielflow import plotting
from arielflow.evaluation.trust.local_test import LOCAL_TEST
from arielflow.evaluation.trust.posteriors import POSTERIOR_TESTS
from arielflow.evaluation.trust.residuals import RESIDUAL_TESTS
from arielflow.evaluation.trust.thresholds import AMBER_RATE, RED_RATE
from arielflow.evaluation.trust.verdicts import row_verdicts
from arielflow.report.blocks import FigureBlock, Section, TableBlock
from arielflow.report.content import ReportContent

_TABLE_ROWS = 40
_ORDER = {"red": 0, "amber": 1, "green": 2}


def trust_section(content: ReportContent) -> Section:
    """Verdicts of rows and planets, and how the tests' probabilities are spread."""
    table = content.certificates
    if table is None or not len(table):
        reason = "No certificates were asked for (trust.models), or there is no forward model."
        return Section("trust", "Trust", absent=reason)
    intro = (
        "Every planet is put to tests: whether the forward model's best fit leaves anything but "
        "noise, whether the model's samples have the weights and the fit of an exact posterior, "
        "and whether the planet is like the training planets. Their outcome is compared with that "
        "of fresh simulated planets without a fault, of which "
        f"{100 * RED_RATE:g} % would be red and {100 * AMBER_RATE:g} % amber."
    )
    if content.test is not None and content.test.attrs.get("noise") == "free":
        intro += " The spectra are stored without noise; one draw of it was added to each."
    intro += (
        " What a refit absorbs cannot be seen by any test: a line list scaled as a whole, for one, "
        "passes for another abundance."
    )
    caption = (
        "the planets' probabilities in every test, sorted, against those of planets without a "
        "fault: on the diagonal they are alike, far below it planets are stranger."
    )
    main = content.chosen if content.chosen in set(table["row"]) else table["row"].iloc[0]
    own = table[table["row"] == main]
    figure = plotting.test_probabilities(_probabilities(own))
    blocks = [
        _rows(table, content.leaderboard),
        FigureBlock("trust", f"{main}: {caption}", figure),
        _planets(table),
    ]
    return Section("trust", "Trust", intro, blocks)


def _probabilities(own: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Probabilities of a row's planets by what is tested and by test."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for column in own:
        name, values = column.removeprefix("p_"), own[column]
        if name == column or not values.notna().any():
            continue
        group = "likeness to training planets"
        if name in RESIDUAL_TESTS:
            group = "residuals of the best fit"
        elif name in (*POSTERIOR_TESTS, LOCAL_TEST):
            group = "posterior of the model"
        found.setdefault(group, {})[name] = values.dropna().to_numpy()
    return found


def _rows(table: pd.DataFrame, leaderboard: pd.DataFrame | None) -> TableBlock:
    found = row_verdicts(table, leaderboard)
    cells = [
        [
            row.row,
            row.verdict,
            *("" if pd.isna(n) else f"{n:.0f}" for n in (row.green, row.amber, row.red)),
            row.reasons,
        ]
        for row in found.itertuples()
    ]
    note = (
        "A row is red where its score is below the prior's or most of its planets are red. Blank: "
        "the row's planets were not tested (trust.models)."
    )
    header = ["row", "verdict", "green planets", "amber planets", "red planets", "reason"]
    classes = [f"verdict-{row.verdict}" for row in found.itertuples()]
    return TableBlock(header, cells, "Verdicts", row_classes=classes, note=note)


def _planets(table: pd.DataFrame) -> TableBlock:
    """Amber and red planets, the strangest first."""
    known = table[table["verdict"] != "green"]
    order = np.lexsort((known["probability"], known["verdict"].map(_ORDER)))
    shown = known.iloc[order][:_TABLE_ROWS]
    cells = [
        [row.row, row.planet, row.verdict, f"{row.probability:.2g}", row.reasons, row.next_step]
        for row in shown.itertuples()
    ]
    left = len(known) - len(shown)
    note = f"{left:,} more in scores/certificates.csv." if left > 0 else ""
    if not len(known):
        note = "No planet is amber or red."
    header = ["row", "planet", "verdict", "probability", "reasons", "next step"]
    classes = [f"verdict-{row.verdict}" for row in shown.itertuples()]
    return TableBlock(header, cells, "Planets to look at", row_classes=classes, note=note)
