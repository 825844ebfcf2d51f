"""Reading Parquet files: whole small tables, and columns of large ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import guarded, regular_file, shown

_MOST_CELLS = 1 << 27
_REMEDY = "fetch the file again"


class ParquetTable:
    """A Parquet file of numbers, of which columns are read one group at a time.

    Attributes
    ----------
    path : Path
    n_rows, n_columns : int

    Raises
    ------
    ArielflowError
        The file is missing or damaged, or holds a column that is no number.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = regular_file(path, _REMEDY)
        with guarded(self.path, "Parquet file", _REMEDY):
            self._file = pq.ParquetFile(self.path)
            schema = self._file.schema_arrow
            self._names = list(schema.names)
            self.n_rows, self.n_columns = self._file.metadata.num_rows, len(self._names)
            kinds = {field.type for field in schema}
        if strange := [kind for kind in kinds if not _is_number(kind)]:
            raise ArielflowError(
                f"{self.path}: holds a column of {shown(strange[0])}, expected numbers; {_REMEDY}"
            )
        if len(set(self._names)) < self.n_columns:
            raise ArielflowError(f"{self.path}: holds a column's name twice; {_REMEDY}")
        self.integers = all(pa.types.is_unsigned_integer(kind) for kind in kinds)

    def columns(self, positions: Sequence[int], kind: np.dtype | type = np.float64) -> np.ndarray:
        """Columns at these positions, shape (column, row).

        Raises
        ------
        ArielflowError
            The file is damaged, or a value is missing or does not fit into ``kind``.
        """
        values = np.empty((len(positions), self.n_rows), kind)
        with guarded(self.path, "Parquet file", _REMEDY):
            start = 0
            for group in range(self._file.metadata.num_row_groups):
                table = self._file.read_row_group(
                    group, [self._names[position] for position in positions], use_threads=False
                )
                end = start + table.num_rows
                for row, column in enumerate(table.columns):
                    _fill(values[row, start:end], column)
                start = end
        return values


def read_numbers(path: str | Path) -> np.ndarray:
    """A small Parquet file of numbers as doubles, shape (row, column); missing values are NaN.

    Raises
    ------
    ArielflowError
        The file is missing, damaged or too large, or holds a column that is no number.
    """
    table = ParquetTable(path)
    if table.n_rows * table.n_columns > _MOST_CELLS:
        raise ArielflowError(
            f"{table.path}: holds {table.n_rows} x {table.n_columns} values, far more than expected"
        )
    return table.columns(range(table.n_columns)).T


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def _fill(values: np.ndarray, column: pa.ChunkedArray) -> None:
    """Copy a column's pieces; NaN for missing values where these can hold it."""
    if column.null_count and values.dtype.kind != "f":
        raise ArielflowError(f"{column.null_count} values are missing")
    start = 0
    for piece in column.chunks:
        part = piece.to_numpy(zero_copy_only=False)
        if values.dtype.kind in "ui" and not np.can_cast(part.dtype, values.dtype):
            low, high = part.min(initial=0), part.max(initial=0)
            if not (np.iinfo(values.dtype).min <= low and high <= np.iinfo(values.dtype).max):
                raise ArielflowError(f"counts from {low:g} to {high:g}, expected {values.dtype}")
            if part.dtype.kind == "f" and not np.array_equal(part, np.rint(part)):
                raise ArielflowError("counts that are no integers")
        values[start : start + len(part)] = part
        start += len(part)
