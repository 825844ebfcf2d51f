"""The JSON file that describes a saved model, and seals it and the files beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path, sha256
from arielflow.core.readers import read_json_object, regular_file, shown

REMEDY = "train again"
_FILES, _OWN = "sha256", "description_sha256"


def write_description(
    path: Path, description: Mapping[str, Any], state_files: Sequence[str]
) -> None:
    """Write a saved model's description with the SHA-256 of its files and of itself.

    A changed bit of a weight is a weight like any other: nothing but a checksum can tell it.

    Parameters
    ----------
    path
        JSON file in the model's folder.
    description
        What :func:`read_description` is to return.
    state_files
        Names of the files that the model may have beside it; those that are there are sealed.
    """
    found = [name for name in state_files if (path.parent / name).is_file()]
    sealed = {**description, _FILES: {name: sha256(path.parent / name) for name in found}}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({**sealed, _OWN: _digest(sealed)}, indent=1) + "\n")


def read_description(path: Path, keys: Sequence[str], state_files: Sequence[str]) -> dict[str, Any]:
    """A saved model's description, its seals checked where it has them.

    Models of earlier versions have none.

    Raises
    ------
    ArielflowError
        The file is damaged or lacks a key, or a file is not the one that was saved with it.
    """
    description = read_json_object(path, keys, REMEDY)
    own = description.pop(_OWN, None)
    if own is not None and own != _digest(description):
        raise ArielflowError(f"{path}: changed since the model was saved; {REMEDY}")
    files = description.pop(_FILES, None)
    if files is None:
        return description
    found = [name for name in state_files if (path.parent / name).exists()]
    if not isinstance(files, dict) or sorted(files) != sorted(found):
        raise ArielflowError(
            f"{path.parent}: holds {', '.join(found) or 'no state'}, expected "
            f"{shown(', '.join(files)) if isinstance(files, dict) else shown(files)}; {REMEDY}"
        )
    for name, expected in files.items():
        if sha256(regular_file(path.parent / name, REMEDY)) != expected:
            raise ArielflowError(
                f"{path.parent / name}: changed since the model was saved (another SHA-256 than "
                f"in {path.name}); {REMEDY}"
            )
    return description


def _digest(description: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


@contextmanager
def model_guard(directory: str | Path) -> Iterator[None]:
    """Turn whatever a damaged folder brings about into one line that names it.

    Raises
    ------
    ArielflowError
        For every exception; one that names a file of the folder stays as it is.
    """
    try:
        yield
    except Exception as error:  # a model of another version fails wherever it differs
        if isinstance(error, ArielflowError) and str(error).startswith(str(directory)):
            raise
        reason = shown(str(error).strip("\"'") or type(error).__name__, 300)
        kind = "" if isinstance(error, ArielflowError) else f"{type(error).__name__}: "
        raise ArielflowError(
            f"{directory}: not a model of this version ({kind}{reason}); {REMEDY}"
        ) from None
