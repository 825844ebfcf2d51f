"""What every reader asks first: whether the disk holds the file that its size promises."""

from __future__ import annotations

from pathlib import Path

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import shown

REMEDY = "fetch or make it again"
FOLDER_REMEDY = "check the folder of opacities"
MOST_NODES = 10_000
"""Temperatures, pressures or points of a quadrature that a table may have."""
MOST_WAVENUMBERS = 10_000_000
_SMALL_FILE_BYTES = 1 << 26
_MOST_HOLES = 100


def check_on_disk(path: Path, remedy: str = REMEDY) -> None:
    """Refuse a file that is mostly a hole: its checksum alone would take hours.

    Raises
    ------
    ArielflowError
        The file takes far less of the disk than its size says.
    """
    found = path.stat()
    if found.st_size > max(_SMALL_FILE_BYTES, _MOST_HOLES * 512 * found.st_blocks):
        raise ArielflowError(
            f"{shown(path, 400)}: {found.st_size} bytes of which the disk holds "
            f"{512 * found.st_blocks}; {remedy}"
        )
