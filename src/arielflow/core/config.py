"""A run's configuration: its files laid over one another, and the settings of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import read_yaml, regular_file, shown

if TYPE_CHECKING:
    from pydantic import BaseModel

Settings = TypeVar("Settings", bound="BaseModel")

_LISTED = 5
_LONGEST_NAME = 80


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
        Begins the message of a fault.

    Raises
    ------
    ArielflowError
        A setting is unknown, of the wrong type or out of range; the message lists the valid ones.
    """
    import pydantic  # not at the top: the Snakefile imports this module in every job

    try:
        return kind.model_validate(settings)
    except pydantic.ValidationError as error:
        valid = _setting_names(kind)
        faults = [_setting_fault(fault, valid) for fault in error.errors()]
        more = f"; and {len(faults) - _LISTED} more faults" if len(faults) > _LISTED else ""
        raise ArielflowError(
            f"{where}: {'; '.join(faults[:_LISTED])}{more}; valid settings are "
            f"{', '.join(kind.model_fields)}"
        ) from None


def _setting_names(kind: type[BaseModel], prefix: str = "") -> list[str]:
    """Names of all settings, those of parts with the part's name before them."""
    names = []
    for name, field in kind.model_fields.items():
        names.append(prefix + name)
        inner = field.annotation
        if isinstance(inner, type) and hasattr(inner, "model_fields"):
            names += _setting_names(inner, f"{prefix}{name}.")
    return names


def _setting_fault(fault: Mapping[str, Any], valid: list[str]) -> str:
    """One fault that pydantic found, with what was found or the name that was meant."""
    where = shown(".".join(map(str, fault["loc"])))
    if fault["type"] == "value_error":
        return f"{where}: {fault['ctx']['error']}".removeprefix(": ")
    if fault["type"] != "extra_forbidden":
        # YAML takes 1e-3 for a word.
        hint = " (write 0.001 or 1.0e-3, not 1e-3)" if fault["type"] == "float_type" else ""
        found = f"{fault['msg']}, found {shown(repr(fault['input']))}{hint}"
        return f"{where}: {found}".removeprefix(": ")
    last = str(fault["loc"][-1])
    elsewhere = [name for name in valid if name.rpartition(".")[2] == last]
    leaves = {name.rpartition(".")[2]: name for name in reversed(valid)}
    close = get_close_matches(last[:_LONGEST_NAME], leaves, 1)
    meant = elsewhere[:1] or [leaves[name] for name in close]
    return f"{where} is no setting" + (f", did you mean {meant[0]}" if meant else "")
