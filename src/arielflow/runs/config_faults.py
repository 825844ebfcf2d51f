"""What is wrong with a run's configuration, found before anything is computed.

Light on purpose: the Snakefile asks, and every job parses the Snakefile.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from arielflow.core.readers import shown, unfolding_fault
from arielflow.core.setting_faults import setting_faults
from arielflow.runs.config_rules import cross_faults, misfits
from arielflow.runs.frame_runs import has_frames
from arielflow.settings.run import RunConfig, run_parts

# Hundreds are many; what compares every item with every other must take no second.
_MOST_ENTRIES, _MOST_ITEMS, _LONGEST_TEXT = 5_000, 300, 4_000
_LARGEST_INTEGER = 2**63 - 1
_MOST_FAULTS = 20
_WITH_DEFAULTS = (
    ("surrogate", "settings"),
    *(("chemistry", key) for key in ("conditions", "times", "compression")),
    *(("importance", key) for key in ("settings", "fallback")),
    ("variational", "settings"),
    ("trust", "settings"),
)


def config_faults(config: Mapping[str, Any]) -> list[str]:
    """What is wrong with a configuration, one line per fault; empty if nothing is.

    Parameters
    ----------
    config
        The merged configuration.
    """
    faults = entry_faults(config)
    # Each step may rely on what the one before has found to be in order.
    for step in (_key_faults, _part_faults, cross_faults, misfits):
        faults = faults or [f"config: {fault}" for fault in step(config)]
    if len(faults) > _MOST_FAULTS:
        more = len(faults) - _MOST_FAULTS
        faults = [*faults[:_MOST_FAULTS], f"config: and {more} more faults like these"]
    return faults


def entry_faults(config: Mapping[str, Any]) -> list[str]:
    """What no configuration may hold, whatever the place: one line per fault."""
    if fault := unfolding_fault(config, _MOST_ENTRIES):
        return [f"config: {fault}"]
    return list(_value_faults(config, ""))


def record_settings(config: Mapping[str, Any], path: str | Path) -> None:
    """Write the settings of a configuration without faults to a file, defaults included."""
    if has_frames(config):
        _write_settings({"frames": config["frames"]}, path)
        return
    run = RunConfig.model_validate(config).model_dump(mode="json")
    settings = {
        part.place: part.kind.model_validate(part.settings).model_dump(mode="json")
        for part in run_parts(config)
    }
    for section, key in _WITH_DEFAULTS:
        settings[f"{section}.{key}"] = run[section][key]
    _write_settings(settings, path)


def _write_settings(settings: Mapping[str, Any], path: str | Path) -> None:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"settings": settings}, indent=1) + "\n")


def _key_faults(config: Mapping[str, Any]) -> list[str]:
    return sorted(setting_faults(RunConfig, config))


def _part_faults(config: Mapping[str, Any]) -> list[str]:
    return [
        fault
        for part in run_parts(config)
        for fault in setting_faults(part.kind, part.settings, part.place)
    ]


def _value_faults(part: object, where: str) -> Iterator[str]:
    """Values that no entry may have, whatever its place."""
    start = f"config: {where or 'top level'}"
    if isinstance(part, Mapping):
        for key, value in part.items():
            if not isinstance(key, str):
                yield f"{start}: the key {shown(repr(key))} is no text; write it in quotes"
            elif not key.isprintable():
                yield f"{start}: the key {shown(ascii(key))} holds what does not print; mend it"
            else:
                yield from _value_faults(value, f"{where}.{shown(key)}".lstrip("."))
    elif isinstance(part, list):
        if len(part) > _MOST_ITEMS:
            yield f"{start}: {len(part)} items, expected at most {_MOST_ITEMS}"
            return
        for number, value in enumerate(part):
            yield from _value_faults(value, f"{where}.{number}".lstrip("."))
    elif isinstance(part, float) and not math.isfinite(part):
        yield f"{start}: found {part}, expected a finite number"
    elif isinstance(part, int) and abs(part) > _LARGEST_INTEGER:
        yield f"{start}: an integer of {part.bit_length()} bits, expected at most 63"
    elif isinstance(part, str) and len(part) > _LONGEST_TEXT:
        yield f"{start}: text of {len(part)} characters, expected at most {_LONGEST_TEXT}"
    elif isinstance(part, str) and not part.isprintable():
        yield (
            f"{start}: {shown(ascii(part))} holds a line break or another character that does not "
            "print; write it without"
        )
