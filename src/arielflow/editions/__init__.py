"""The editions of the Ariel Data Challenge, one module each exporting ``EDITION``."""

from __future__ import annotations

from importlib import import_module

from arielflow.core.errors import ArielflowError
from arielflow.editions.base import Edition
from arielflow.editions.frames import FrameEdition
from arielflow.settings.editions import EDITION_NAMES as NAMES
from arielflow.settings.editions import FRAME_EDITION_NAMES as FRAME_NAMES


def get_edition(name: str) -> Edition:
    """Return the edition of this name, one with spectra.

    Raises
    ------
    ArielflowError
        No such edition has this name; the message lists those that exist.
    """
    if name in FRAME_NAMES:
        raise ArielflowError(
            f"edition {name!r} has detector frames, expected one with spectra: {', '.join(NAMES)}"
        )
    if name not in NAMES:
        raise ArielflowError(f"edition {name!r} is not known; choose one of {', '.join(NAMES)}")
    edition: Edition = import_module(f"arielflow.editions.{name}").EDITION
    return edition


def get_frame_edition(name: str) -> FrameEdition:
    """Return the edition of this name, one with detector frames.

    Raises
    ------
    ArielflowError
        No such edition has this name; the message lists those that exist.
    """
    if name in NAMES:
        raise ArielflowError(
            f"edition {name!r} has spectra, expected one with detector frames: "
            f"{', '.join(FRAME_NAMES)}"
        )
    if name not in FRAME_NAMES:
        raise ArielflowError(
            f"edition {name!r} is not known; choose one of {', '.join(FRAME_NAMES)}"
        )
    edition: FrameEdition = import_module(f"arielflow.editions.{name}").EDITION
    return edition


def get_any_edition(name: str) -> Edition | FrameEdition:
    """Return the edition of this name, of either kind.

    Raises
    ------
    ArielflowError
        No edition has this name; the message lists those that exist.
    """
    if name in FRAME_NAMES:
        return get_frame_edition(name)
    if name in NAMES:
        return get_edition(name)
    raise ArielflowError(
        f"edition {name!r} is not known; choose one of {', '.join((*NAMES, *FRAME_NAMES))}"
    )


__all__ = [
    "FRAME_NAMES",
    "NAMES",
    "Edition",
    "FrameEdition",
    "get_any_edition",
    "get_edition",
    "get_frame_edition",
]
