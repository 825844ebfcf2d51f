"""Tables for people, drawn by rich."""

from __future__ import annotations

import pandas as pd
from rich.table import Table
from rich.text import Text

from arielflow.core.readers import printable

_HEADINGS = ("model", "log evidence", "ELBO", "log Bayes factor", "forward calls", "")


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
        warned = part[part["warning"] != ""]
        lines = [f"{row.model}: warning: {row.warning}" for row in warned.itertuples()]
        shown.caption = Text("\n".join(lines)) if lines else None
        tables.append(shown)
    return tables


def spectrum_selection_table(table: pd.DataFrame, name: str) -> Table:
    """Models of one spectrum, the selected one marked; warnings stand below."""
    shown = Table(title=Text(printable(name)))
    for heading in ("model", "free", "log evidence", "against full", "significance", ""):
        shown.add_column(heading, justify="left" if heading == "model" else "right")
    for row in table.itertuples():
        shown.add_row(
            printable(row.model),
            str(row.free_parameters),
            f"{row.log_evidence:.2f} ± {row.log_evidence_error:.2f}",
            f"{row.log_bayes_factor_full:+.2f}",
            row.significance,
            "selected" if row.selected else "",
        )
    warned = table[table["warning"] != ""]
    lines = [f"{row.model}: {row.warning}" for row in warned.itertuples()]
    shown.caption = Text("\n".join(printable(line) for line in lines)) if lines else None
    return shown
