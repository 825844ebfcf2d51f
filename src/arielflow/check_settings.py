"""Every setting of a run, checked before anything is computed.

Names and ranges of a model's settings stand beside the model, whose import takes seconds; the
Snakefile, which every job parses, checks the rest (:mod:`arielflow.config`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from arielflow.chemistry.compressed import CompressionSettings
from arielflow.chemistry.network import Conditions
from arielflow.chemistry.solver import Times
from arielflow.config import strict_settings
from arielflow.editions import get_edition
from arielflow.errors import ArielflowError
from arielflow.inference.importance import ImportanceSettings
from arielflow.inference.variational import VariationalSettings
from arielflow.models import FAMILIES, make_estimator, make_representation
from arielflow.models.surrogate import Emulator
from arielflow.readers import listed
from arielflow.retrieve_importance import Fallback


def checked_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of everything that a run can be asked for, defaults included.

    Parameters
    ----------
    config
        The run's configuration; ``CHECKED_SECTIONS`` in common.smk are those that are read.

    Raises
    ------
    ArielflowError
        A setting is unknown, of the wrong type or out of range, or the edition has no such prior;
        the message has every fault.
    """
    faults = list(_prior_faults(config))
    checked = {}
    for where, make in _parts(config):
        try:
            checked[where] = make()
        except ArielflowError as error:
            faults.append(f"config: {where}: {error}")
    if faults:
        raise ArielflowError(". ".join(faults))
    return checked


def _parts(config: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Every part of the run by its place in the configuration, and what makes its settings."""
    for name, spec in config["model_settings"].items():
        family = spec.get("family", name)
        if family in FAMILIES:  # the Snakefile refuses others, where they are models of the run
            where = f"model_settings.{name}.settings"
            yield where, _made(make_estimator, family, spec.get("settings"))
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
