"""One guarded reader per file format: what a file declares is checked before it is read.

A file from elsewhere may be damaged, may be no file at all (a pipe never ends), or may declare
more than a machine can hold. Whatever such a file brings about becomes one
:class:`~arielflow.core.errors.ArielflowError`. Tables are in
:mod:`arielflow.core.tables`, HDF5 and NetCDF in :mod:`arielflow.core.hdf5`, arrays in
:mod:`arielflow.core.array_files`; this module is light, since the Snakefile has use of it.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from arielflow.core.errors import ArielflowError
from arielflow.core.yaml_keys import UniqueKeyLoader

_MOST_YAML_BYTES = 1 << 20
_MOST_YAML_NODES = 100_000
_MOST_JSON_BYTES = 1 << 28


def printable(text: str) -> str:
    """Text whose control characters, which may steer a terminal, are written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown(value: object, most: int = 80) -> str:
    """A value as a message shows it: on one line, cut where it is long, nothing unprintable."""
    text = printable(" ".join(str(value).split()))
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def listed(names: Sequence[object], most: int = 5, longest: int = 80) -> str:
    """The first of some names, each cut where it is longer, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown(name, longest) for name in names[:most]) + more


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


def _check_size(path: Path, most: int, what: str) -> None:
    if path.stat().st_size > most:
        raise ArielflowError(
            f"{path}: {path.stat().st_size} bytes, expected a {what} of at most {most}; check the "
            "path"
        )
