"""Settings of the representations of spectra, one file per family."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from arielflow.settings.base import EstimatorConfig

REPRESENTATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "pca": ("pca", {}),
    "autoencoder": ("autoencoder", {"kl_weight": 0.0}),
    "variational_autoencoder": ("autoencoder", {}),
    **{method: ("disentangled", {"method": method}) for method in ("factor", "fader", "poly")},
}
"""Family and fixed settings of every representation, by its name in a configuration."""


def representation_config(name: str) -> tuple[type[EstimatorConfig], dict[str, Any]]:
    """The settings' class of a representation, and the settings that its name fixes."""
    family, fixed = REPRESENTATIONS[name]
    return import_module(f"arielflow.settings.representations.{family}").Config, fixed
