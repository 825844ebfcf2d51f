"""A run's configuration: its files laid over one another, and the settings of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import read_yaml, regular_file
from arielflow.core.setting_faults import fault_lines

Settings = TypeVar("Settings", bound=BaseModel)

_LISTED = 5


def read_config(*paths: str | Path) -> dict[str, Any]:
    """Configuration files laid over one another, the last on top, as Snakemake does.

    Raises
    ------
    ArielflowError
        There is no such file, it is no YAML, or it holds something else than keys.
    """
    config: dict[str, Any] = {}
    for path in paths:
        content = read_yaml(path)
        if content is not None and not isinstance(content, dict):
            raise ArielflowError(
                f"{path}: holds {type(content).__name__}, expected keys and values (seed: 7); mend "
                "the file"
            )
        config = merged(config, content or {})
    return config


def config_files(line: str) -> list[Path]:
    """Files that a line names, as make's CONFIG does: one, or several with blanks between them.

    Raises
    ------
    ArielflowError
        One of them is not there, or none is named.
    """
    # The name of a single file may have blanks.
    names = [line] if line.strip() and Path(line).is_file() else line.split()
    if not names:
        raise ArielflowError("CONFIG: names no file; leave it out, or name a configuration")
    return [regular_file(name, "check CONFIG") for name in names]


def merged(base: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the entries of ``update``, dictionaries merged entry by entry."""
    result = dict(base)
    for key, value in update.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        result[key] = merged(base[key], value) if both else value
    return result


def strict_settings(kind: type[Settings], settings: Mapping[str, Any], where: str) -> Settings:
    """Settings of a part of the run, checked.

    Parameters
    ----------
    kind
        Their pydantic model.
    settings
        As configured.
    where
        Begins the message of a fault: a place such as ``chemistry.times``, or a phrase.

    Raises
    ------
    ArielflowError
        A setting is unknown, of the wrong type or out of range; the message lists the valid ones.
    """
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        faults = fault_lines(error, kind, where)
        more = f"; and {len(faults) - _LISTED} more faults" if len(faults) > _LISTED else ""
        raise ArielflowError(f"{'; '.join(faults[:_LISTED])}{more}") from None
