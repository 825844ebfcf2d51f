"""Every setting of a run, checked before anything is computed.

Names and ranges of a model's settings stand beside the model, whose import takes seconds, so that
the Snakefile asks a process of its own (:func:`arielflow.runs.config_faults.settings_faults`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from arielflow.chemistry.compressed import CompressionSettings
from arielflow.chemistry.network import Conditions
from arielflow.chemistry.solver import Times
from arielflow.core.config import strict_settings
from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_json
from arielflow.core.readers import listed
from arielflow.editions import Edition, get_edition
from arielflow.models import FAMILIES, make_estimator, make_representation
from arielflow.models.emulator import Emulator
from arielflow.retrieval.amortised import Fallback
from arielflow.retrieval.importance import ImportanceSettings
from arielflow.retrieval.variational import VariationalSettings
from arielflow.runs.config_faults import FAULTS


def checked_settings(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The settings of everything that a run can be asked for, defaults included, and their faults.

    Parameters
    ----------
    config
        A configuration without other faults (:func:`arielflow.runs.config_faults.config_faults`).

    Returns
    -------
    settings : by their place in the configuration, those without a fault
    faults : a line each: unknown settings, wrong types, values out of range, unknown priors
    """
    checked, faults = {}, list(_prior_faults(config))
    for where, make in _parts(config):
        try:
            checked[where] = make()
        except ArielflowError as error:
            faults.append(f"config: {where}: {error}")
    return checked, faults


def _parts(config: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Every part of the run by its place in the configuration, and what makes its settings."""
    edition = get_edition(config["edition"])
    for name, spec in ({key: {} for key in config["models"]} | config["model_settings"]).items():
        family = spec.get("family", name)
        if family in FAMILIES:  # the Snakefile refuses others, where they are models of the run
            data = edition if name in config["models"] else None
            yield f"model_settings.{name}.settings", _estimator(family, spec.get("settings"), data)
    for section, key, fixed in (
        ("representation", "models", {}),
        ("disentangle", "methods", {"nuisance": config["disentangle"]["nuisance"]}),
    ):
        settings = config[section]["settings"]
        for name in config[section][key]:
            yield f"{section}.settings ({name})", _made(make_representation, name, settings | fixed)
    yield "surrogate.settings", _made(Emulator.from_settings, config["surrogate"]["settings"])
    for where, kind, settings in (
        ("chemistry.conditions", Conditions, config["chemistry"]["conditions"]),
        ("chemistry.times", Times, config["chemistry"]["times"]),
        ("chemistry.compression", CompressionSettings, config["chemistry"]["compression"]),
    ):
        yield where, _validated(kind, settings)
    for where, kind, settings in (
        ("importance.settings", ImportanceSettings, config["importance"]["settings"]),
        ("importance.fallback", Fallback, config["importance"]["fallback"]),
        ("variational.settings", VariationalSettings, config["variational"]["settings"]),
    ):
        yield where, _dataclass(kind, settings)


def _estimator(
    family: str, settings: Mapping[str, Any] | None, edition: Edition | None
) -> Callable[[], dict[str, Any]]:
    """Settings of a model, which must go with an edition's data where it is to be trained."""

    def made() -> dict[str, Any]:
        estimator = make_estimator(family, settings)
        if edition is not None:
            quantities = [
                [x.quantity for x in part] for part in (edition.targets, edition.auxiliary)
            ]
            if fault := estimator.misfit(*quantities):
                raise ArielflowError(fault)
        return estimator.config.model_dump(mode="json")

    return made


def _made(make: Callable[..., Any], *arguments: Any) -> Callable[[], dict[str, Any]]:
    return lambda: make(*arguments).config.model_dump(mode="json")


def _validated(kind: type, settings: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
    return lambda: strict_settings(kind, settings, "settings").model_dump(mode="json")


def _dataclass(kind: type, settings: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
    return lambda: asdict(kind(**settings))  # its names and ranges are the schema's


def _prior_faults(config: Mapping[str, Any]) -> Iterator[str]:
    edition = get_edition(config["edition"])
    known = [
        name
        for name in edition.targets[0].priors
        if all(name in target.priors for target in edition.targets)
    ]
    chosen = {"dataset.prior": config["dataset"]["prior"]}
    if config["dataset"]["path"] is None:
        chosen["simulation.population"] = config["simulation"]["population"]
    for where, name in chosen.items():
        if name not in known:
            yield (
                f"config: {where}: edition {edition.name} has no prior {name!r}; choose "
                f"{listed(known)}"
            )


def _main(record: str, digest: str) -> None:
    """Check the configuration on standard input; print its faults, or keep the settings."""
    settings, faults = checked_settings(json.load(sys.stdin))
    if faults:
        print("\n".join(faults))
        sys.exit(FAULTS)
    write_json({"digest": digest, "settings": settings}, record)


if __name__ == "__main__":
    _main(*sys.argv[1:])
