"""Settings of the models of a posterior, one file per family, as the models themselves."""

from __future__ import annotations

from importlib import import_module
from typing import Literal, get_args

from arielflow.settings.base import EstimatorConfig

Family = Literal[
    "bnn",
    "cvae",
    "flow",
    "flow_matching",
    "mc_dropout",
    "random_forest",
]
FAMILIES: tuple[str, ...] = get_args(Family)


def family_config(family: str) -> type[EstimatorConfig]:
    """The settings' class of a family; a run loads those of its own families alone."""
    return import_module(f"arielflow.settings.families.{family}").Config
