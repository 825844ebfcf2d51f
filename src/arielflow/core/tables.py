"""Guarded readers of tables, see :mod:`arielflow.core.readers`."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import guarded, listed, regular_file, shown

_MOST_COLUMNS = 2_000
_LONGEST_HEADER = 1 << 20
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?inf(?:inity)?"
_MISSING = ("", "na", "n/a", "nan", "null", "none")


def read_csv(path: str | Path, remedy: str = "mend the table") -> pd.DataFrame:
    """A CSV table with all its cells as text, rows without any content left out.

    Numbers are for :func:`numeric_column` to make of it: what pandas guesses turns words into
    missing values, ``True`` into 1 and an identifier ``NA`` into nothing.

    Raises
    ------
    ArielflowError
        There is no such file, it is not separated by commas, has no header, two columns of one
        name or too many columns, or its rows have another number of cells.
    """
    path = regular_file(path)
    with guarded(path, "CSV table", remedy), path.open(encoding="utf-8-sig", newline="") as stream:
        names = _header(path, stream, remedy)
        rows = []
        for number, row in enumerate(csv.reader(stream, skipinitialspace=True, strict=True), 1):
            if not any(cell.strip() for cell in row):
                continue  # editors leave such rows at the end
            if len(row) != len(names):
                raise ArielflowError(
                    f"{path}: row {number} below the header has {len(row)} cells, the header "
                    f"{len(names)}; {remedy}"
                )
            rows.append(row)
    return pd.DataFrame(rows, columns=names, dtype=str)


def _header(path: Path, stream: IO[str], remedy: str) -> list[str]:
    line = stream.readline(_LONGEST_HEADER)
    if len(line) >= _LONGEST_HEADER:
        raise ArielflowError(
            f"{path}: its first line has over {_LONGEST_HEADER} characters, expected the names of "
            f"the columns; {remedy}"
        )
    if "\x00" in line:
        raise ValueError("its first line holds binary data")
    names = [name.strip() for name in next(csv.reader([line], strict=True), [])]
    if not any(names):
        raise ArielflowError(
            f"{path}: holds no header, expected the names of the columns; {remedy}"
        )
    if len(names) > _MOST_COLUMNS:
        raise ArielflowError(
            f"{path}: {len(names)} columns, expected at most {_MOST_COLUMNS}; {remedy}"
        )
    if len(names) == 1 and (found := re.search(r"[;\t|]", names[0])):
        raise ArielflowError(
            f"{path}: its header is separated by {found[0]!r}, expected commas; save it as CSV "
            "with commas"
        )
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise ArielflowError(
            f"{path}: column {listed(repeated)} occurs more than once; keep the right one"
        )
    # Index columns that pandas writes have no name; they are told apart by their position.
    return [name or f"unnamed {number}" for number, name in enumerate(names)]


def read_results(path: str | Path, separator: str = ",", missing: str = "") -> pd.DataFrame:
    """A table that a step of a run wrote, with the types that its numbers have.

    Parameters
    ----------
    path
        Of the table; one that was made from nothing holds nothing.
    separator
        Between cells.
    missing
        Stands for no value, beside what pandas knows.

    Raises
    ------
    ArielflowError
        There is no such file, or it is no such table.
    """
    remedy = "run the step that makes it"
    path = regular_file(path, remedy)
    with guarded(path, "table", remedy), path.open(encoding="utf-8", newline="") as stream:
        if not path.stat().st_size:
            raise ValueError("it is empty")
        if len(stream.readline(_LONGEST_HEADER)) >= _LONGEST_HEADER:
            raise ValueError(f"its first line has over {_LONGEST_HEADER} characters")
        stream.seek(0)
        names = dict.fromkeys(("planet", "planet_ID", "planet_id", "worst_planet"), str)
        try:
            return pd.read_csv(stream, sep=separator, dtype=names, na_values=missing)
        except pd.errors.EmptyDataError:
            return pd.DataFrame()


def numeric_column(
    path: str | Path, table: pd.DataFrame, name: str, key: str, remedy: str = "mend the table"
) -> np.ndarray:
    """A column of :func:`read_csv` as numbers (row,), NaN where a cell is empty or says ``nan``.

    Parameters
    ----------
    path
        Of the table, for the message.
    table, name
        The column.
    key
        Column that names the rows, for the message.

    Raises
    ------
    ArielflowError
        A cell holds something else than a number.
    """
    values, words = cell_numbers(table[name])
    if words.any():
        row = table[words].iloc[0]
        raise ArielflowError(
            f"{path}: planet {shown(row[key])}, column {shown(name)} holds "
            f"{shown(repr(row[name]))}, expected a number ({int(words.sum())} such cells); {remedy}"
        )
    return values


def cell_numbers(cells: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of a column of text (row,), NaN where a cell is empty or holds something else.

    Returns
    -------
    values : numpy.ndarray
    words : numpy.ndarray
        Booleans: the cell is neither empty, nor ``nan``, nor a number.
    """
    text = cells.str.strip()
    missing = text.str.lower().isin(_MISSING)
    words = ~(text.str.fullmatch(_NUMBER, case=False) | missing)
    values = text.where(~(missing | words), "nan").to_numpy(dtype=str).astype(float)
    return values, words.to_numpy(dtype=bool)
