"""A spectrum's table as its file holds it, before it is known what the columns mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import shown
from arielflow.core.tables import cell_numbers

_FORTRAN = re.compile(r"(?<=[0-9.])[dD](?=[+-]?[0-9])")
_NOTHING = ("--", "---", "-", "...", "\\N", "masked")


@dataclass(frozen=True)
class SourceTable:
    """Columns of a file, with what the format itself fixes.

    Attributes
    ----------
    path : Path
        The file.
    form : str
        Its format, in words.
    names : tuple[str, ...]
        Of the columns; empty where the file names none.
    units : tuple[str, ...]
        Of the columns, as the file writes them; empty texts where it states none.
    cells : tuple
        Columns: texts or numbers (row,).
    places : tuple[str, ...]
        Where each row stands, such as ``line 7``.
    labels : tuple[str, ...]
        Instrument of each row that the file names beside the columns; empty texts where none.
    kind : str
        ``transit`` or ``eclipse`` where the file says so beside the columns.
    widths : str
        ``full`` or ``half`` where the format fixes it, or leans to it.
    fixes_widths : bool
        The format fixes the widths; the data are asked first if it does not.
    comments : str
        Comment lines, for words in them.
    notes : tuple[str, ...]
        What reading it already did.
    """

    path: Path
    form: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    cells: tuple[Sequence[str] | np.ndarray, ...]
    places: tuple[str, ...]
    labels: tuple[str, ...] = ()
    kind: str = ""
    widths: str = ""
    fixes_widths: bool = False
    comments: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.places)

    def title(self, place: int) -> str:
        """Name of a column, or its number where the file names none."""
        return shown(self.names[place]) if self.names else f"number {place + 1}"

    def numbers(self, place: int) -> np.ndarray:
        """A column's numbers (row,), NaN where a cell is empty.

        Raises
        ------
        ArielflowError
            A cell holds something else than a number.
        """
        column = self.cells[place]
        if isinstance(column, np.ndarray) and column.dtype.kind in "iuf":
            return column.astype(float)
        series = pd.Series([_FORTRAN.sub("e", str(cell).strip()) for cell in column], dtype=object)
        series = series.where(~series.isin(_NOTHING), "")
        values, words = cell_numbers(series)
        if words.any():
            row = int(np.argmax(words))
            raise ArielflowError(
                f"{self.path}: {self.places[row]}, column {self.title(place)} holds "
                f"{shown(repr(str(column[row])))}, expected a number with a decimal point "
                f"({int(words.sum())} such cells); mend the table"
            )
        return values

    def texts(self, place: int) -> list[str]:
        """A column's texts."""
        return [str(cell).strip() for cell in self.cells[place]]


def is_number(cell: str) -> bool:
    """Whether a cell of text holds a number, or nothing where a number may be."""
    cell = cell.strip()
    if not cell or cell in _NOTHING or cell.lower() in ("nan", "null", "none", "na", "n/a"):
        return True
    try:
        float(_FORTRAN.sub("e", cell))
    except ValueError:
        return False
    return True
