"""The editions of the Ariel Data Challenge, one module each exporting ``EDITION``."""

from __future__ import annotations

from importlib import import_module

from arielflow.core.errors import ArielflowError
from arielflow.editions.base import Edition
from arielflow.settings.editions import EDITION_NAMES as NAMES


def get_edition(name: str) -> Edition:
    """Return the edition of this name.

    Raises
    ------
    ArielflowError
        No edition has this name; the message lists those that exist.
    """
    if name not in NAMES:
        raise ArielflowError(f"edition {name!r} is not known; choose one of {', '.join(NAMES)}")
    edition: Edition = import_module(f"arielflow.editions.{name}").EDITION
    return edition


__all__ = ["NAMES", "Edition", "get_edition"]
