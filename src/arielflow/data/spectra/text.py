"""Tables in text files: separators, headers, units and the lines that name instruments."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import guarded, listed, shown, unfolding_fault
from arielflow.core.yaml_keys import UniqueKeyLoader
from arielflow.data.spectra.columns import is_header
from arielflow.data.spectra.table import SourceTable, is_number
from arielflow.data.spectra.units import depth_unit, wavelength_unit

_MARK = re.compile(r"[#%!]")
_LEAD = re.compile(r"^(?:format|columns?|header|fields)\s*:\s*", re.I)
_PYRATBAY = ("depth", "depth_err", "wl", "half_width", "instrument")
_EUREKA = re.compile(r"_error(?:neg|pos)$")
_MOST_ROWS = 200_000
_MOST_COLUMNS, _LONGEST_LINE = 200, 1 << 14
_MOST_COMMENTS = 200  # of which one may be a header, or which an ECSV header may have
_MOST_UNNAMED = 5  # columns of a spectrum without a header: four, and an instrument


class _HeaderLoader(UniqueKeyLoader):
    """The safe loader of ECSV headers; objects that astropy adds to them are left out."""


_HeaderLoader.add_multi_constructor("!", lambda loader, tag, node: None)


class Line(NamedTuple):
    """A line with its number, counted from 1."""

    number: int
    text: str


class _Parts(NamedTuple):
    """A file's lines by what they are; each data line has the instrument named last before it."""

    comments: list[Line]
    titles: list[Line]
    data: list[Line]
    labels: list[str]
    keywords: dict[str, str]


def read_text_table(path: Path, text: str) -> SourceTable:
    """The table of a text file: with commas, tabs, semicolons or blanks, with or without a header.

    Parameters
    ----------
    path
        The file, for messages and for the table.
    text
        Its content.

    Raises
    ------
    ArielflowError
        There is no table of numbers in it, or a row has another number of cells.
    """
    parts = _parts(path, text)
    separator = _separator(parts.data)
    rows = [_cells(line.text, separator) for line in parts.data]
    width = _common_width(path, parts.data, rows)
    names, units = _header(path, parts, separator, width, rows)
    if not names and width > 1 and not any(row[-1] for row in rows):
        width -= 1  # rows that end in a separator
    keyword_names = "DATA" in parts.keywords
    if keyword_names:
        names, units = _pyratbay_columns(path, parts, width)
    cells = tuple([row[place] for row in rows] for place in range(width))
    eureka = any(_EUREKA.search(name) for name in names)
    return SourceTable(
        path=path,
        form=_form(separator, keyword_names, eureka),
        names=names,
        units=units,
        cells=cells,
        places=tuple(f"line {line.number}" for line in parts.data),
        labels=tuple(parts.labels) if any(parts.labels) else (),
        widths="half" if keyword_names or eureka else "",
        fixes_widths=keyword_names,
        comments="\n".join(line.text for line in parts.comments),
    )


def _form(separator: str, pyratbay: bool, eureka: bool) -> str:
    if pyratbay:
        return "Pyrat Bay's table"
    words = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", "": "blanks"}
    return f"{'Eureka!' if eureka else 'text'} table with {words[separator]}"


def _parts(path: Path, text: str) -> _Parts:
    """Sort a file's lines.

    Lines of words are a header as long as no number came before them; after that they are faults.
    """
    found = _Parts([], [], [], [], {})
    label, awaited = "", ""
    for number, raw in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if len(raw) > _LONGEST_LINE:
            raise ArielflowError(
                f"{path}: line {number} has {len(raw)} characters, expected at most "
                f"{_LONGEST_LINE}; expected one row of a table a line"
            )
        line = Line(number, raw.strip("\ufeff "))
        bare = line.text.strip()
        if bare.startswith("|"):
            line = Line(number, bare.strip("|"))
            bare = line.text.strip()
        if not bare:
            continue
        if _MARK.match(bare) or not re.search(r"\w", bare):  # such as ----- below a header
            found.comments.append(line)
        elif bare.startswith("@"):
            word = bare[1:].strip()
            if word == "DATA" or word.endswith("_UNITS"):
                found.keywords[word] = ""
                awaited = word if word != "DATA" else ""
            else:
                label = word
        elif awaited:
            found.keywords[awaited], awaited = bare, ""
        elif _is_data(bare):
            found.data.append(Line(number, re.sub(r"\s#.*$", "", line.text)))
            found.labels.append(label)
            if len(found.data) > _MOST_ROWS:
                raise ArielflowError(
                    f"{path}: over {_MOST_ROWS} rows, expected those of a spectrum"
                )
        elif found.data:
            raise ArielflowError(
                f"{path}: line {number} holds {shown(repr(bare), 60)} amid the numbers, expected "
                "another row of them; remove the line or begin it with #"
            )
        else:
            found.titles.append(line)
    if not found.data:
        what = "only words" if found.titles or found.comments else "nothing but blank lines"
        raise ArielflowError(
            f"{path}: holds {what}, no table of numbers; expected a spectrum: wavelength, depth "
            "and error in columns"
        )
    return found


def _is_data(text: str) -> bool:
    """Whether half of a line's cells, or more, are numbers; one of them a number indeed."""
    cells = [cell.strip("\"'") for cell in re.split(r"[,;|\t]|\s+", text) if cell.strip()]
    numbers = [cell for cell in cells if is_number(cell)]
    real = [cell for cell in numbers if re.search(r"[0-9]", cell)]
    missing = len(numbers) == len(cells) > 1  # a row of nothing but null
    return 2 * len(numbers) >= len(cells) and (bool(real) or missing)


def _separator(data: Sequence[Line]) -> str:
    """The separator of most lines; the empty text stands for blanks."""
    for candidate in ("|", ";", ",", "\t"):
        counts = [line.text.strip(" ").count(candidate) for line in data]
        # Tabs that align columns differ in number from row to row; blanks they are then.
        aligning = candidate == "\t" and len(set(counts)) > 1
        if sum(count > 0 for count in counts) * 2 > len(data) and not aligning:
            return candidate
    return ""


def _cells(text: str, separator: str) -> list[str]:
    if not separator:
        return text.split()
    cells = next(csv.reader([text], delimiter=separator, skipinitialspace=True), [])
    return [cell.strip() for cell in cells]


def _common_width(path: Path, lines: Sequence[Line], rows: Sequence[Sequence[str]]) -> int:
    """Number of cells in every row."""
    width = Counter(map(len, rows)).most_common(1)[0][0]
    for line, row in zip(lines, rows, strict=True):
        if len(row) != width:
            raise ArielflowError(
                f"{path}: line {line.number} has {len(row)} cell{'s' * (len(row) != 1)}, the "
                f"others {width} ({shown(repr(line.text), 60)}); mend the line"
            )
    if width > _MOST_COLUMNS:
        raise ArielflowError(
            f"{path}: {width} columns, expected those of a spectrum, at most {_MOST_COLUMNS}"
        )
    return width


def _header(
    path: Path, parts: _Parts, separator: str, width: int, rows: Sequence[Sequence[str]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and units of the columns; empty where the file names none.

    The line right above the numbers counts first, then comments, the nearest first.
    """
    ecsv = _ecsv_header(path, parts)
    if ecsv:
        if len(ecsv[0]) != width:
            raise ArielflowError(
                f"{path}: its ECSV header names {len(ecsv[0])} columns, its rows have {width} "
                "cells; mend the table"
            )
        return ecsv
    first = parts.data[0].number
    comments = [line for line in reversed(parts.comments) if line.number < first]
    comments = comments[:_MOST_COMMENTS]
    words = _trailing_words(rows)
    for line in (*reversed(parts.titles), *comments):
        names = _named(_bare(line.text), separator, width, words)
        if names:
            below = [one for one in (*parts.titles, *parts.comments) if one.number > line.number]
            units = _units_row(below, separator, width)
            if line in parts.titles[:-1] and not any(units):
                last = parts.titles[-1]
                raise ArielflowError(
                    f"{path}: line {last.number} holds {shown(repr(last.text.strip()), 60)} "
                    "between the names and the numbers, expected a row of units; remove or mend it"
                )
            return names, units
    return _foreign_header(path, parts, comments, separator, width), ("",) * width


def _foreign_header(
    path: Path, parts: _Parts, comments: Sequence[Line], separator: str, width: int
) -> tuple[str, ...]:
    """The header of another table than a spectrum's; empty if there is none.

    Among comments it must have a name per column, and more columns than spectra without names.

    Raises
    ------
    ArielflowError
        A line of words above the numbers has another number of names than there are columns.
    """
    if parts.titles:
        splits = _splits(_bare(parts.titles[-1].text), separator)
        best = min(splits, key=lambda names: abs(len(names) - width))
        if len(best) != width:
            raise ArielflowError(
                f"{path}: line {parts.titles[-1].number} names {len(best)} columns "
                f"({listed(best)}), the rows have {width} cells; expected one name a column"
            )
        return tuple(best)
    splits = [names for line in comments for names in _splits(_bare(line.text), separator)]
    fitting = (names for names in splits if len(names) == width > _MOST_UNNAMED)
    return tuple(next(fitting, ()))


def _bare(text: str) -> str:
    """A line without the marks of comments that begin it, however many, and what labels it."""
    return _LEAD.sub("", re.sub(r"^(?:[#%!]+\s*)+", "", text.strip()).strip())


def _splits(text: str, separator: str) -> list[list[str]]:
    """Ways to read a line as names: its table's separator, then others that headers have."""
    ways: list[list[str]] = []
    for candidate in dict.fromkeys((separator, ",", "\t", ";", "|")):
        if candidate and candidate in text:
            ways.append(_cells(text, candidate))
    wide = [name.strip() for name in re.split(r"\t+|\s{2,}", text) if name.strip()]
    ways += [wide, text.split()]
    return [names[:-1] if len(names) > 1 and not names[-1] else names for names in ways]


def _trailing_words(rows: Sequence[Sequence[str]]) -> int:
    """How many columns at the end hold words, such as the shape of a bin, or nothing."""
    count = 0
    for column in reversed(list(zip(*rows, strict=True))):
        if any(cell and is_number(cell) for cell in column):
            break
        count += 1
    return count


def _named(text: str, separator: str, width: int, words: int) -> tuple[str, ...]:
    """The names of a spectrum's columns that a line holds; empty if it holds none.

    The last columns may go without a name if they hold words.
    """
    ways = [names for names in _splits(text, separator) if is_header(names)]
    exact = next((names for names in ways if len(names) == width), None)
    if exact:
        return tuple(exact)
    short = next((names for names in ways if width - words <= len(names) < width), None)
    return (*short, *[""] * (width - len(short))) if short else ()


def _units_row(lines: Sequence[Line], separator: str, width: int) -> tuple[str, ...]:
    """Units of the columns from a line that holds nothing else."""
    for line in lines:
        for words in _splits(_bare(line.text), separator):
            plain = [word.strip("[]()") for word in words]
            known = [wavelength_unit(word) or depth_unit(word) for word in plain]
            empty = [word.lower() in ("", "-", "--", "none") for word in plain]
            fits = len(words) == width and any(known)
            if fits and all(k or e for k, e in zip(known, empty, strict=True)):
                return tuple("" if e else w for w, e in zip(plain, empty, strict=True))
    return ("",) * width


def _ecsv_header(path: Path, parts: _Parts) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Names and units out of an ECSV header; None if the file has none, or none that holds."""
    lines = [line.text.lstrip("#").removeprefix(" ").rstrip() for line in parts.comments]
    if not lines or not re.match(r"%?\s*ECSV", lines[0].strip()):
        return None
    lines = lines[:_MOST_COMMENTS]
    with guarded(path, "ECSV header", "mend the table"):
        content = _HeaderLoader("\n".join(lines[1:])).get_single_data()
    described = content.get("datatype") if isinstance(content, dict) else None
    if unfolding_fault(content) or not isinstance(described, list):
        return None
    columns: list[dict[str, Any]] = [one for one in described if isinstance(one, dict)]
    names = tuple(str(one.get("name", "")) for one in columns)
    return names, tuple(str(one.get("unit") or "") for one in columns)


def _pyratbay_columns(
    path: Path, parts: _Parts, width: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Pyrat Bay's columns, whose order and wavelength unit the format fixes."""
    if width not in (4, 5):
        raise ArielflowError(
            f"{path}: {width} columns below @DATA, expected {listed(_PYRATBAY)}; filters of their "
            "own are not read, give central wavelengths and half widths"
        )
    stated = parts.keywords.get("DEPTH_UNITS", "")
    unit = "fraction" if stated.lower() in ("", "none") else stated
    if depth_unit(unit) is None:
        raise ArielflowError(
            f"{path}: @DEPTH_UNITS holds {shown(stated)}, expected none, percent, ppt or ppm"
        )
    units = (unit, unit, "um", "um", "")
    return _PYRATBAY[:width], units[:width]
