"""Extractors of spectra from light curves, one module each exporting ``Extractor``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import read_json_object, shown
from arielflow.models.description import REMEDY
from arielflow.models.extractors.base import DESCRIPTION, SpectrumExtractor
from arielflow.settings.frames import EXTRACTORS


def make_extractor(name: str) -> SpectrumExtractor:
    """Make an unfitted extractor by its name in a configuration.

    Raises
    ------
    ArielflowError
        The name is not known.
    """
    if name not in EXTRACTORS:
        raise ArielflowError(
            f"extractor {shown(repr(name))} is not known; choose {', '.join(EXTRACTORS)}"
        )
    extractor: SpectrumExtractor = import_module(f"arielflow.models.extractors.{name}").Extractor()
    return extractor


def load_extractor(directory: str | Path) -> SpectrumExtractor:
    """Load a fitted extractor.

    Raises
    ------
    ArielflowError
        The folder holds no extractor, or it is damaged.
    """
    path = Path(directory) / DESCRIPTION
    if not path.is_file():
        raise ArielflowError(f"{directory}: holds no fitted extractor; fit it first")
    extractor = make_extractor(read_json_object(path, ["extractor"], REMEDY)["extractor"])
    extractor.load(directory)
    return extractor


__all__ = ["SpectrumExtractor", "load_extractor", "make_extractor"]
