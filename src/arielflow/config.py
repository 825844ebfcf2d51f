"""A run's configuration, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from jsonschema import Draft202012Validator, ValidationError

from arielflow.errors import ArielflowError
from arielflow.readers import shown

if TYPE_CHECKING:
    from pydantic import BaseModel

Settings = TypeVar("Settings", bound="BaseModel")

_LISTED = 5
_LONGEST_NAME = 80


def config_faults(config: Mapping[str, Any], schema: str | Path) -> list[str]:
    """What is wrong with a configuration, one line a fault; empty if nothing is.

    Light on purpose: the Snakefile calls it, and every job parses the Snakefile.

    Parameters
    ----------
    config
        The merged configuration.
    schema
        YAML file of its JSON schema.
    """
    rules = yaml.safe_load(Path(schema).read_text())
    faults = [_line(error) for error in Draft202012Validator(rules).iter_errors(config)]
    settings = rules["properties"]["model_settings"]["additionalProperties"]["properties"]
    return sorted(faults) or list(_cross_faults(config, settings["family"]["enum"]))


def read_config(*paths: str | Path) -> dict[str, Any]:
    """Configuration files laid over one another, the last on top, as Snakemake does."""
    config: dict[str, Any] = {}
    for path in paths:
        config = merged(config, yaml.safe_load(Path(path).read_text()))
    return config


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
        if hasattr(field.annotation, "model_fields"):
            names += _setting_names(field.annotation, f"{prefix}{name}.")
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


def _line(error: ValidationError) -> str:
    where = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        valid = sorted(error.schema["properties"])
        unknown = ", ".join(sorted(repr(key) for key in set(error.instance) - set(valid)))
        return f"config: {where or 'top level'}: unknown key {unknown}; choose {', '.join(valid)}"
    meaning = error.schema.get("description", "")
    return f"config: {where or 'top level'}: {error.message}" + (f" ({meaning})" if meaning else "")


def _cross_faults(config: Mapping[str, Any], families: list[str]) -> Iterator[str]:
    """What a schema cannot say: entries that must fit one another."""
    models, chosen = config["models"], config["submission"]["model"]
    for name in models:
        family = config["model_settings"].get(name, {}).get("family", name)
        if family not in families:
            yield (
                f"config: models: {name!r} is of the unknown family {family!r}; choose "
                f"{', '.join(families)}"
            )
    weighted = config["importance"]["models"]
    for name in weighted:
        if name not in models:
            yield (
                f"config: importance.models: {name!r} is none of the run's models; choose "
                f"{', '.join(models)}"
            )
    ends = ("_importance", "_importance_fallback")
    rows = [*models, *(name + end for name in weighted for end in ends)]
    start = config["variational"]["start"]
    if start is not None:
        rows.append("flow_variational")
        if start not in ("laplace", *models):
            yield (
                f"config: variational.start: {start!r} is no way to start; choose laplace, "
                f"{', '.join(models)}"
            )
    if chosen not in rows:
        yield (
            f"config: submission.model: {chosen!r} is none of the run's rows; choose "
            f"{', '.join(rows)}"
        )
    if config["dataset"]["sources"] and config["dataset"]["path"] is None:
        yield "config: dataset.sources: needs dataset.path, the folder that the files go to"
    yield from _training_faults(config)
    smallest, largest = config["explore"]["clusters"]
    if smallest > largest:
        yield f"config: explore.clusters: {smallest} is above {largest}; write the smaller first"


def _training_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """What does not fit together in how the models are trained."""
    specs = {name: config["model_settings"].get(name, {}) for name in config["models"]}
    for name, spec in specs.items():
        where = f"config: model_settings.{name}"
        owner, count, folds = spec.get("members_of"), spec.get("members", 1), spec.get("folds")
        if owner and (owner not in specs or specs[owner].get("members_of")):
            yield f"{where}.members_of: {owner!r} is no model of the run with its own members"
        elif owner and count > specs[owner].get("members", 1):
            yield f"{where}.members: {count}, but {owner} has fewer"
        if spec.get("planets") == "prior" and not config["simulation"]["n_prior"]:
            yield f"{where}.planets: prior needs simulation.n_prior above 0"
        processes, nodes = spec.get("processes", 1), spec.get("nodes", 1)
        if processes % nodes:
            yield f"{where}.nodes: {processes} processes do not spread evenly over {nodes} nodes"
        if folds and count < 2:
            yield f"{where}.folds: needs members above 1, one a fold"
        if folds and spec.get("mixing") == "stacking":
            yield f"{where}.mixing: stacking needs planets that no member saw; with folds none is"
