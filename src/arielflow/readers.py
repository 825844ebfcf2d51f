"""One guarded reader per file format: what a file declares is checked before it is read.

A file from elsewhere may be damaged, may be no file at all (a pipe never ends), or may declare
more than a machine can hold. Whatever such a file brings about becomes one
:class:`~arielflow.errors.ArielflowError`. HDF5 and NetCDF are in :mod:`arielflow.hdf5`.
"""

from __future__ import annotations

import csv
import json
import math
import re
import stat
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from safetensors import safe_open

from arielflow.errors import ArielflowError
from arielflow.yaml_keys import UniqueKeyLoader

_MOST_COLUMNS = 2_000
_LONGEST_HEADER = 1 << 20
_MOST_YAML_BYTES = 1 << 20
_MOST_YAML_NODES = 100_000
_MOST_JSON_BYTES = 1 << 28
# Deflate cannot do better than 1,032; what people compress comes nowhere near.
_MOST_INFLATION = 200
_SMALL_BYTES = 1 << 26
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?inf(?:inity)?"
_MISSING = ("", "na", "n/a", "nan", "null", "none")


def printable(text: str) -> str:
    """Text whose control characters, which may steer a terminal, are written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown(value: object, most: int = 80) -> str:
    """A value as a message shows it: on one line, cut where it is long, nothing unprintable."""
    text = printable(" ".join(str(value).split()))
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def listed(names: Sequence[object], most: int = 5) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown(name) for name in names[:most]) + more


def regular_file(path: str | Path, remedy: str = "check the path") -> Path:
    """The path of a regular file, or of a link to one.

    Raises
    ------
    ArielflowError
        There is none, or it is a folder, a pipe or a device, which is not waited for.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise ArielflowError(f"{shown(path, 400)}: no such file; {remedy}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ArielflowError(f"{shown(path, 400)}: cannot be read ({reason}); {remedy}") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise ArielflowError(f"{path}: is {kind}, expected a file; {remedy}")
    return path


@contextmanager
def guarded(path: str | Path, what: str, remedy: str = "fetch or make it again") -> Iterator[None]:
    """Turn whatever a damaged file brings about into one line that names it.

    Parameters
    ----------
    path
        The file.
    what
        It was expected to be, such as ``CSV table``.
    remedy
        Ends the message.
    """
    try:
        yield
    except ArielflowError:
        raise
    except Exception as error:  # parsers of damaged files raise whatever they stumble on
        reason = shown(str(error).strip("\"'") or type(error).__name__, 200)
        raise ArielflowError(f"{path}: not a readable {what} ({reason}); {remedy}") from None


def read_json(path: str | Path, remedy: str = "make it again") -> Any:
    """Content of a JSON file.

    Raises
    ------
    ArielflowError
        There is no such file, or it is no JSON.
    """
    path = regular_file(path, remedy)
    _check_size(path, _MOST_JSON_BYTES, "JSON file")
    with guarded(path, "JSON file", remedy):
        return json.loads(path.read_text(encoding="utf-8"))


def read_json_object(path: str | Path, keys: Sequence[str], remedy: str) -> dict[str, Any]:
    """A JSON file that holds an object with at least these keys.

    Raises
    ------
    ArielflowError
        The file is missing or damaged, holds something else, or lacks a key.
    """
    content = read_json(path, remedy)
    if not isinstance(content, dict):
        raise ArielflowError(
            f"{path}: holds {type(content).__name__}, expected an object; {remedy}"
        )
    missing = [key for key in keys if key not in content]
    if missing:
        raise ArielflowError(
            f"{path}: {', '.join(missing)} is missing, found {listed(list(content)) or 'nothing'}; "
            f"{remedy}"
        )
    return content


def read_yaml(path: str | Path) -> Any:
    """Content of a YAML file; None of an empty one.

    Raises
    ------
    ArielflowError
        There is no such file, it is no YAML, has a key twice, or its aliases unfold to more than a
        configuration holds.
    """
    path = regular_file(path)
    _check_size(path, _MOST_YAML_BYTES, "configuration")
    with guarded(path, "YAML file", "mend it"):
        content = UniqueKeyLoader(path.read_text(encoding="utf-8")).get_single_data()
    if fault := unfolding_fault(content):
        raise ArielflowError(f"{path}: {fault}; write it without aliases (&, *)")
    return content


def unfolding_fault(content: object, most: int = _MOST_YAML_NODES) -> str | None:
    """What is wrong with nested content that shares parts (YAML aliases), None if nothing is.

    Parts that hold one another unfold to exponentially many, or without end; any walk over them,
    such as a schema's, would not return.
    """
    sizes: dict[int, float] = {}
    open_parts: set[int] = set()

    def size(part: object, depth: int) -> float:
        if not isinstance(part, dict | list):
            return 1
        if id(part) in open_parts or depth > 100:
            return math.inf
        if id(part) not in sizes:
            open_parts.add(id(part))
            children = part.values() if isinstance(part, dict) else part
            sizes[id(part)] = 1 + sum(size(child, depth + 1) for child in children)
            open_parts.discard(id(part))
        return sizes[id(part)]

    count = size(content, 0)
    if count <= most:
        return None
    if math.isinf(count):
        return "its parts hold themselves, or lie more than 100 deep in one another"
    return f"it unfolds to {count:.3g} entries, expected at most {most}"


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
            f"{path}: planet {shown(row[key])}, column {name} holds {shown(repr(row[name]))}, "
            f"expected a number ({int(words.sum())} such cells); {remedy}"
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


def read_npy(
    path: str | Path, shape: tuple[int, ...], remedy: str = "fetch it again"
) -> np.ndarray:
    """Numbers of a NumPy file in double precision, of this very shape.

    Raises
    ------
    ArielflowError
        The file is missing or damaged, declares another shape, or holds no real numbers.
    """
    path = regular_file(path, remedy)
    with guarded(path, "NumPy file", remedy), path.open("rb") as stream:
        declared, dtype = _npy_header(stream)
        _check_npy(path, declared, dtype, path.stat().st_size - stream.tell(), remedy)
        if declared != shape:
            raise ArielflowError(f"{path}: shape {declared}, expected {shape}; {remedy}")
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False).astype(float)


def mapped_npy(path: str | Path, remedy: str = "make it again") -> np.ndarray:
    """Numbers of a NumPy file, mapped into memory instead of read.

    Raises
    ------
    ArielflowError
        The file is missing or damaged, or holds no real numbers.
    """
    path = regular_file(path, remedy)
    with guarded(path, "NumPy file", remedy):
        with path.open("rb") as stream:
            shape, dtype = _npy_header(stream)
            _check_npy(path, shape, dtype, path.stat().st_size - stream.tell(), remedy)
        return np.load(path, mmap_mode="r", allow_pickle=False)


def read_npz(path: str | Path, remedy: str = "make it again") -> dict[str, np.ndarray]:
    """Arrays of numbers or text of a NumPy archive, by name.

    Raises
    ------
    ArielflowError
        The file is missing or damaged, or an array declares more than the archive holds.
    """
    path = regular_file(path, remedy)
    check_zip(path, remedy)
    arrays = {}
    with guarded(path, "NumPy archive", remedy), zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            stream = BytesIO(archive.read(entry))  # its checksum is verified on the way
            shape, dtype = _npy_header(stream)
            left = entry.file_size - stream.tell()
            _check_npy(path, shape, dtype, left, remedy, kinds="fiuUSb")
            stream.seek(0)
            arrays[entry.filename.removesuffix(".npy")] = np.lib.format.read_array(
                stream, allow_pickle=False
            )
    return arrays


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError(f"version {version} of the format")
    shape, _, dtype = read[version](stream)
    return shape, dtype


def _check_npy(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype,
    n_bytes: int,
    remedy: str,
    kinds: str = "fiu",
) -> None:
    if dtype.kind not in kinds:
        raise ArielflowError(f"{path}: holds values of type {dtype}, expected numbers; {remedy}")
    if math.prod(shape) * dtype.itemsize != n_bytes:
        raise ArielflowError(
            f"{path}: declares shape {shown(shape)} of {dtype}, but holds {n_bytes} bytes; {remedy}"
        )


def read_safetensors(
    path: str | Path, remedy: str = "make it again"
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors of a safetensors file by name, as arrays of its own types, and its metadata.

    Raises
    ------
    ArielflowError
        The file is missing or damaged; its format declares no more than the file holds.
    """
    path = regular_file(path, remedy)
    with guarded(path, "safetensors file", remedy), safe_open(path, "np") as file:
        names = file.keys()
        return {name: file.get_tensor(name) for name in names}, file.metadata() or {}


def check_zip(path: str | Path, remedy: str = "make it again") -> None:
    """Refuse an archive whose members unfold to far more than it holds.

    Raises
    ------
    ArielflowError
        It is missing, no archive, or such a one.
    """
    path = regular_file(path, remedy)
    with guarded(path, "archive", remedy), zipfile.ZipFile(path) as archive:
        unfolded = sum(entry.file_size for entry in archive.infolist())
    if unfolded > max(_SMALL_BYTES, _MOST_INFLATION * path.stat().st_size):
        raise ArielflowError(
            f"{path}: {path.stat().st_size} bytes that declare {unfolded} bytes; {remedy}"
        )


def _check_size(path: Path, most: int, what: str) -> None:
    if path.stat().st_size > most:
        raise ArielflowError(
            f"{path}: {path.stat().st_size} bytes, expected a {what} of at most {most}; check the "
            "path"
        )
