"""The table of feature importances that some families leave in a model's folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed
from arielflow.core.tables import numeric_column, read_csv
from arielflow.models.description import REMEDY

IMPORTANCES = "importances.csv"
_COLUMNS = ("target", "feature", "wavelength", "importance")


def read_importances(path: str | Path) -> pd.DataFrame:
    """Columns target, feature, wavelength [um] and importance of a model.

    Raises
    ------
    ArielflowError
        The table is damaged.
    """
    table = read_csv(path, REMEDY)
    if list(table) != list(_COLUMNS):
        raise ArielflowError(
            f"{path}: columns {listed(list(table))}, expected {', '.join(_COLUMNS)}; {REMEDY}"
        )
    numbers = {
        name: numeric_column(path, table, name, "feature", REMEDY)
        for name in ("wavelength", "importance")
    }
    return table.assign(**numbers)
