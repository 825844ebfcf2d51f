"""Tables for people, drawn by rich."""

from __future__ import annotations

import pandas as pd
from rich.table import Table
from rich.text import Text

from arielflow.core.readers import printable

_HEADINGS = ("model", "log evidence", "ELBO", "log Bayes factor", "forward calls", "")
_COMPARED = (
    "model",
    "free parameters",
    "log evidence",
    "log Bayes factor",
    "against full",
    "significance",
    "forward calls",
    "",
)


def selection_tables(table: pd.DataFrame) -> list[Table]:
    """Compared models, one table per planet; the selected one is marked, warnings stand below."""
    tables = []
    for name, part in table.groupby("planet", sort=False):
        shown = Table(title=Text(printable(str(name))))
        for heading in _HEADINGS:
            shown.add_column(heading, justify="left" if heading == "model" else "right")
        for row in part.itertuples():
            shown.add_row(
                row.model,
                f"{row.log_evidence:.2f} ± {row.log_evidence_error:.2f}",
                f"{row.elbo:.2f} ± {row.elbo_error:.2f}",
                f"{row.log_bayes_factor:.2f}",
                str(row.forward_calls),
                "selected" if row.selected else "",
            )
        shown.caption = _warnings(part)
        tables.append(shown)
    return tables


def comparison_table(table: pd.DataFrame, title: str) -> Table:
    """Models of one observed spectrum, see ``retrieval.spectra.selection``.

    The selected one is marked, the Bayes factors are against the best and the full model, and
    warnings stand below.
    """
    shown = Table(title=Text(printable(title)))
    for heading in _COMPARED:
        shown.add_column(heading, justify="left" if heading == "model" else "right")
    for row in table.itertuples():
        against_full = f"{row.log_bayes_factor_full:.2f} ± {row.log_bayes_factor_full_error:.2f}"
        shown.add_row(
            printable(row.model),
            str(row.free_parameters),
            f"{row.log_evidence:.2f} ± {row.log_evidence_error:.2f}",
            f"{row.log_bayes_factor:.2f}",
            against_full if row.significance else "",
            row.significance,
            str(row.forward_calls),
            "selected" if row.selected else "",
        )
    shown.caption = _warnings(table)
    return shown


def _warnings(table: pd.DataFrame) -> Text | None:
    warned = table[table["warning"] != ""]
    lines = [f"{row.model}: warning: {row.warning}" for row in warned.itertuples()]
    return Text("\n".join(lines)) if lines else None
