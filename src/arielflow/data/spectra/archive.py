"""Tables of the NASA Exoplanet Archive in IPAC's format: names between bars, fixed columns."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import shown
from arielflow.data.spectra.table import SourceTable

_KEYWORD = re.compile(r"\\\s*([A-Za-z_][\w ]*?)\s*=\s*(.*)")


def is_ipac(text: str) -> bool:
    """Whether a text is an IPAC table: names between bars, which the rows below do not have."""
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    if not lines:
        return False
    head = next((line for line in lines if not line.startswith("\\")), "")
    below = lines[-1].startswith("|") and not lines[0].startswith("\\")
    return head.startswith("|") and head.endswith("|") and not below


def read_ipac(path: Path, text: str) -> SourceTable:
    """The table of an IPAC file.

    Parameters
    ----------
    path
        The file, for messages and for the table.
    text
        Its content.

    Raises
    ------
    ArielflowError
        It has no header between bars, no rows, or a row that does not fit below the bars.
    """
    keywords: dict[str, str] = {}
    header: list[str] = []
    rows: list[list[str]] = []
    places: list[str] = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        bare = line.strip()
        if match := _KEYWORD.match(bare):
            keywords[match[1].upper()] = html.unescape(match[2].strip().strip("'\"").strip())
        elif bare.startswith("|"):
            header.append(line.rstrip())
        elif bare and not bare.startswith("\\"):
            if not header:
                raise ArielflowError(
                    f"{path}: line {number} stands above the header; expected names between bars "
                    "(|CENTRALWAVELNG|…|) first, as in the Exoplanet Archive's files"
                )
            rows.append(_row(path, number, line, header[0]))
            places.append(f"line {number}")
    if not rows:
        raise ArielflowError(f"{path}: an IPAC table without rows; fetch it again")
    names = _between_bars(header[0])
    units = _between_bars(header[2]) if len(header) > 2 else []
    instrument = keywords.get("INSTRUMENT", "")
    return SourceTable(
        path=path,
        form="IPAC table of the Exoplanet Archive",
        names=tuple(names),
        units=tuple((units + [""] * len(names))[: len(names)]),
        cells=tuple([row[place] for row in rows] for place in range(len(names))),
        places=tuple(places),
        labels=(instrument,) * len(rows) if instrument else (),
        kind=_kind(keywords.get("SPEC_TYPE", "")),
        comments="\n".join(keywords.get(key, "") for key in ("SPEC_TYPE", "NOTE")),
    )


def _kind(spectrum_type: str) -> str:
    word = spectrum_type.lower()
    if "eclipse" in word or "emission" in word:
        return "eclipse"
    return "transit" if "trans" in word else ""


def _between_bars(line: str) -> list[str]:
    return [part.strip() for part in line.strip().strip("|").split("|")]


def _row(path: Path, number: int, line: str, header: str) -> list[str]:
    """Cells of a row: below the bars, or by blanks where the row is not aligned to them."""
    bars = [place for place, sign in enumerate(header) if sign == "|"]
    line = line.rstrip()
    aligned = all(bar >= len(line) or line[bar] == " " for bar in bars[:-1])
    if aligned and len(line) <= bars[-1] + 1:
        ends = [*bars[1:-1], len(line) + 1]
        return [html.unescape(line[a:b].strip()) for a, b in zip(bars, ends, strict=False)]
    cells: Sequence[str] = line.split()
    if len(cells) != len(bars) - 1:
        raise ArielflowError(
            f"{path}: line {number} fits neither below the {len(bars) - 1} columns' bars nor has "
            f"it as many words ({shown(repr(line.strip()), 60)}); fetch the table again"
        )
    return list(cells)
