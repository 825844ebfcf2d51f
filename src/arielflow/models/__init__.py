"""Retrieval models, one file per family."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import read_json_object, shown
from arielflow.models.base import PosteriorEstimator, SpectrumRepresentation
from arielflow.models.description import REMEDY, model_guard
from arielflow.settings.families import FAMILIES
from arielflow.settings.representations import REPRESENTATIONS

log = logging.getLogger(__name__)

FAILED = "failed.json"
"""In a member's folder in place of a model: why its training failed."""


def _estimator_class(family: str) -> type[PosteriorEstimator]:
    if family not in FAMILIES:
        raise ArielflowError(
            f"model family {shown(repr(family))} is not known; choose {', '.join(FAMILIES)}"
        )
    return import_module(f"arielflow.models.families.{family}").Estimator


def make_estimator(family: str, settings: dict[str, Any] | None = None) -> PosteriorEstimator:
    """Make an untrained estimator of a family.

    Raises
    ------
    ArielflowError
        The family or a setting is not known.
    """
    return _estimator_class(family).from_settings(settings or {})


def load_estimator(directory: str | Path) -> PosteriorEstimator:
    """Load a trained estimator of whatever family.

    Raises
    ------
    ArielflowError
        The folder holds no model, or it is damaged.
    """
    path = Path(directory) / PosteriorEstimator.description_file
    if not path.is_file():
        raise ArielflowError(f"{directory}: holds no trained model; train it first")
    with model_guard(directory):
        kind = _estimator_class(read_json_object(path, ["family"], REMEDY)["family"])
    return kind.load(directory)


def failures(members: Sequence[str | Path]) -> dict[str, str]:
    """Why members have no model, by ``model/member``, for those whose training failed.

    Raises
    ------
    ArielflowError
        A record is damaged.
    """
    records = {f"{Path(m).parent.name}/{Path(m).name}": Path(m) / FAILED for m in members}
    return {
        name: shown(read_json_object(path, ["error"], REMEDY)["error"], 400)
        for name, path in records.items()
        if path.is_file()
    }


def load_members(members: Sequence[str | Path]) -> list[PosteriorEstimator]:
    """Load an ensemble's members but for those whose training failed, which are logged.

    Raises
    ------
    ArielflowError
        A folder holds no model, or the training of every member failed.
    """
    failed = failures(members)
    for name, error in failed.items():
        log.warning("member %s is left out: %s", name, error)
    kept = [path for path in members if not (Path(path) / FAILED).is_file()]
    if not kept:
        raise ArielflowError(
            f"all {len(members)} members failed in training, the first: "
            f"{next(iter(failed.values()), 'none was given')}"
        )
    return [load_estimator(path) for path in kept]


_REPRESENTATION_FAMILIES = sorted({family for family, _ in REPRESENTATIONS.values()})


def make_representation(
    name: str, settings: dict[str, Any] | None = None
) -> SpectrumRepresentation:
    """Make an untrained representation by its name in a configuration.

    Raises
    ------
    ArielflowError
        The name or a setting is not known.
    """
    if name not in REPRESENTATIONS:
        raise ArielflowError(
            f"representation {shown(repr(name))} is not known; choose {', '.join(REPRESENTATIONS)}"
        )
    family, fixed = REPRESENTATIONS[name]
    module = import_module(f"arielflow.models.representations.{family}")
    return module.Representation.from_settings((settings or {}) | fixed)


def load_representation(directory: str | Path) -> SpectrumRepresentation:
    """Load a trained representation of whatever family.

    Raises
    ------
    ArielflowError
        The folder holds no representation, or it is damaged.
    """
    path = Path(directory) / SpectrumRepresentation.description_file
    if not path.is_file():
        raise ArielflowError(f"{directory}: holds no trained representation; train it first")
    family, known = read_json_object(path, ["family"], REMEDY)["family"], _REPRESENTATION_FAMILIES
    if family not in known:
        raise ArielflowError(
            f"{directory}: holds a representation of family {shown(repr(family))}, expected "
            f"{', '.join(known)}; {REMEDY}"
        )
    return import_module(f"arielflow.models.representations.{family}").Representation.load(
        directory
    )
