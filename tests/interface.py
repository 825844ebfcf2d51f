"""What people and their tools rely on: commands, configuration keys and the files of a run.

``python tests/interface.py RUN`` records it anew in ``interface.json``, RUN being the folder of a
finished tiny run; the difference belongs into the changelog.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
import xarray as xr
import yaml

from arielflow.cli import app

ROOT = Path(__file__).parents[1]
RECORD = Path(__file__).with_suffix(".json")
_OWN = {".snakemake_timestamp", ".checksums.lock"}


def commands() -> dict[str, list[str]]:
    """Arguments and options of every command, those of groups as ``group command``."""
    return dict(sorted(_commands(typer.main.get_command(app))))


def _commands(group: Any, start: str = "") -> Iterator[tuple[str, list[str]]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{start}{name} ")
        else:
            yield start + name, sorted(word for param in command.params for word in param.opts)


def config_keys() -> list[str]:
    """Every key that a configuration may have; ``*`` stands for a name of the user's."""
    files = (ROOT / "workflow/schemas").glob("*.schema.yaml")
    schemas = [yaml.safe_load(file.read_text()) for file in files]
    return sorted({key for schema in schemas for key in _keys(schema, schema)})


def _keys(rule: Mapping[str, Any], root: Mapping[str, Any], start: str = "") -> Iterator[str]:
    for part in (rule, *rule.get("anyOf", []), *rule.get("oneOf", [])):
        if "$ref" in part:
            target: Any = root
            for name in part["$ref"].removeprefix("#/").split("/"):
                target = target[name]
            yield from _keys(target, root, start)
        for name, below in part.get("properties", {}).items():
            yield start + name
            yield from _keys(below, root, f"{start}{name}.")
        named = [part.get("additionalProperties"), *part.get("patternProperties", {}).values()]
        for below in named:
            if isinstance(below, Mapping):
                yield from _keys(below, root, f"{start}*.")


def run_files(run: Path) -> list[str]:
    """Files of a finished run, without the state that interrupted jobs resume from."""
    paths = (path.relative_to(run) for path in run.rglob("*") if path.is_file())
    return sorted(str(p) for p in paths if p.name not in _OWN and p.parts[0] != "state")


def variables(run: Path) -> dict[str, list[str]]:
    """Variables of the run's NetCDF files."""
    found = {}
    for path in sorted(run.rglob("*.nc")):
        with xr.open_dataset(path, engine="h5netcdf") as dataset:
            found[str(path.relative_to(run))] = sorted(map(str, dataset.variables))
    return found


def interface(run: Path) -> dict[str, Any]:
    """All of it."""
    return {
        "commands": commands(),
        "config": config_keys(),
        "files": run_files(run),
        "variables": variables(run),
    }


if __name__ == "__main__":
    RECORD.write_text(json.dumps(interface(Path(sys.argv[1])), indent=1) + "\n")
