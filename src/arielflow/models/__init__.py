"""Retrieval models, one file a family."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from arielflow.errors import ArielflowError
from arielflow.models.base import PosteriorEstimator

FAMILIES = ("bnn", "flow", "flow_matching", "mc_dropout", "random_forest")


def _estimator_class(family: str) -> type[PosteriorEstimator]:
    if family not in FAMILIES:
        raise ArielflowError(f"model family {family!r} is not known; choose {', '.join(FAMILIES)}")
    return import_module(f"arielflow.models.{family}").Estimator


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
        The folder holds no model.
    """
    path = Path(directory) / "estimator.json"
    if not path.is_file():
        raise ArielflowError(f"{directory}: holds no trained model; train it first")
    return _estimator_class(json.loads(path.read_text())["family"]).load(directory)
