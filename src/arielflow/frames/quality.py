"""What may be wrong with a planet's frames; a planet with a flag still gets its light curves."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntFlag
from functools import reduce
from operator import or_
from typing import NamedTuple


class FrameQuality(IntFlag):
    """Why a planet's frames are suspect; several may hold at once."""

    GOOD = 0
    SATURATED = 1
    MISSING_SIGNAL = 2
    UNREADABLE_SIGNAL = 4
    SWAPPED_SENSORS = 8
    WRONG_SHAPE = 16
    FEW_FRAMES = 32
    MISSING_CALIBRATION = 64
    NAN_CALIBRATION = 128
    MISSING_GAIN = 256
    DOUBTFUL_GAIN = 512
    SEVERAL_VISITS = 1024


class Note(NamedTuple):
    """One thing that is wrong, or worth knowing, and what was done about it."""

    flag: FrameQuality
    what: str


def flags(notes: Iterable[Note]) -> FrameQuality:
    """All flags of some notes."""
    return reduce(or_, (note.flag for note in notes), FrameQuality.GOOD)
