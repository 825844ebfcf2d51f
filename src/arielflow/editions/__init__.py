"""The editions of the Ariel Data Challenge, one module each exporting ``EDITION``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from arielflow.core.errors import ArielflowError
from arielflow.editions.base import Edition
from arielflow.editions.frames import FrameEdition
from arielflow.settings.editions import EDITION_NAMES as NAMES
from arielflow.settings.editions import FRAME_EDITION_NAMES as FRAME_NAMES

_KINDS = {NAMES: "spectra", FRAME_NAMES: "detector frames"}


def get_edition(name: str) -> Edition:
    """Return the edition of this name, one with spectra.

    Raises
    ------
    ArielflowError
        No such edition has this name; the message lists those that exist.
    """
    edition: Edition = _edition(name, NAMES)
    return edition


def get_frame_edition(name: str) -> FrameEdition:
    """Return the edition of this name, one with detector frames.

    Raises
    ------
    ArielflowError
        No such edition has this name; the message lists those that exist.
    """
    edition: FrameEdition = _edition(name, FRAME_NAMES)
    return edition


def get_any_edition(name: str) -> Edition | FrameEdition:
    """Return the edition of this name, of either kind.

    Raises
    ------
    ArielflowError
        No edition has this name; the message lists those that exist.
    """
    edition: Edition | FrameEdition = _edition(name, (*NAMES, *FRAME_NAMES))
    return edition


def _edition(name: str, wanted: tuple[str, ...]) -> Any:
    """The edition of a module, if it is one of those wanted."""
    if name in wanted:
        return import_module(f"arielflow.editions.{name}").EDITION
    for names, kind in _KINDS.items():
        if name in names:
            raise ArielflowError(
                f"edition {name!r} has {kind}, expected one with {_KINDS[wanted]}: "
                f"{', '.join(wanted)}"
            )
    raise ArielflowError(f"edition {name!r} is not known; choose one of {', '.join(wanted)}")


__all__ = [
    "FRAME_NAMES",
    "NAMES",
    "Edition",
    "FrameEdition",
    "get_any_edition",
    "get_edition",
    "get_frame_edition",
]
