"""Numbers, formulae and figures as HTML."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from arielflow.plotting.style import GRID, INK, MUTED, SERIES

_SYMBOLS = {
    r"\log": "log",
    r"\kappa": "κ",
    r"\mu": "µ",
    r"\alpha": "α",
    r"\sigma": "σ",
    r"\tau": "τ",
}
# Colours that the page sets anew in the dark; the figure's own are the fallback.
THEMED_COLOURS = {
    "#ffffff": "--figure",
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    **{shade: f"--series-{i}" for i, shade in enumerate(SERIES)},
}


def latex_to_html(latex: str) -> Markup:
    r"""The few LaTeX constructs that symbols of targets use, as HTML.

    Understands ``$``, ``\mathrm{}``, sub- and superscripts (nested) and some Greek letters.
    """
    return _group(latex.replace("$", ""), 0)[0]


def _group(text: str, position: int) -> tuple[Markup, int]:
    """Convert up to the closing brace that belongs to this group."""
    parts: list[Markup] = []
    while position < len(text) and text[position] != "}":
        if text[position] in "_^":
            tag = "sub" if text[position] == "_" else "sup"
            inner, position = _argument(text, position + 1)
            parts.append(Markup(f"<{tag}>{inner}</{tag}>"))
        else:
            inner, position = _argument(text, position)
            parts.append(inner)
    return Markup("").join(parts), position


def _argument(text: str, position: int) -> tuple[Markup, int]:
    """Convert one group, command or character."""
    if position >= len(text):
        return Markup(""), position
    if text[position] == "{":
        inner, position = _group(text, position + 1)
        return inner, position + 1
    command = re.compile(r"\\[A-Za-z]+").match(text, position)
    if command is None:
        return escape(text[position]), position + 1
    if command[0] in _SYMBOLS:
        return Markup(_SYMBOLS[command[0]]), command.end()
    return _argument(text, command.end())


def number(value: object, digits: int = 1) -> str:
    """A number for a table cell; empty for one that is missing."""
    if value is None or (isinstance(value, float) and np.isnan(value)) or value is pd.NA:
        return ""
    # Rounded first, so that no "−0" is left of a small negative number.
    return f"{round(float(value), digits) + 0.0:,.{digits}f}".replace("-", "−")


def size(n_bytes: int) -> str:
    """A file's size in decimal units."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.1f} {unit}"
    return f"{n_bytes} B"


def duration(seconds: float) -> str:
    """A time span in the largest two units that matter."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
    )


def flatten(tree: object, prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as dotted names with values; lists of plain values stay on one line."""
    if isinstance(tree, dict):
        return [
            row
            for key, value in tree.items()
            for row in flatten(value, f"{prefix}.{key}".strip("."))
        ]
    if isinstance(tree, list) and any(isinstance(item, dict) for item in tree):
        return [row for i, item in enumerate(tree) for row in flatten(item, f"{prefix}[{i}]")]
    if isinstance(tree, list):
        return [(prefix, ", ".join(map(str, tree)))]
    return [(prefix, "" if tree is None else str(tree))]


def inline_svg(svg: bytes, name: str, label: str) -> Markup:
    """A figure's SVG as an ``<svg>`` element for a page that holds several and has a dark mode.

    Identifiers that nothing in the figure refers to are dropped and the others prefixed with the
    figure's name, since they must differ over the whole page; the style's colours become CSS
    variables.
    """
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    referred = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text))
    kept = {identifier for pair in referred for identifier in pair}
    text = re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in kept else "", text)
    text = re.sub(r' id="', f' id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    for colour, variable in THEMED_COLOURS.items():
        text = text.replace(f": {colour}", f": var({variable}, {colour})")
    # The page scales the figure; its size in points would pin it.
    text = re.sub(r'(<svg[^>]*?) (?:width="[^"]*"|height="[^"]*")', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) (?:width="[^"]*"|height="[^"]*")', r"\1", text, count=1)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1))
