"""Folders that are planets: those whose names are numbers. Light, as the Snakefile asks too."""

from __future__ import annotations

import os
import re
from pathlib import Path

NUMBER = re.compile(r"\d{1,18}(\.0+)?")
"""A planet's number; tools that take it for a float write 1103775.0."""


def planet_folders(place: str | Path) -> list[str]:
    """Names of the planets' folders in a folder, by number; none where there is no such folder."""
    if not Path(place).is_dir():
        return []
    with os.scandir(place) as entries:
        names = [entry.name for entry in entries if NUMBER.fullmatch(entry.name) and entry.is_dir()]
    return sorted(names, key=lambda name: (int(name.partition(".")[0]), name))
