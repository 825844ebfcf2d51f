"""What a section of the report is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from matplotlib.figure import Figure

from arielflow.plotting.svg import svg_bytes


@dataclass(frozen=True)
class FigureBlock:
    """A figure with its stable file name and caption; ``collapsed`` puts it behind a click."""

    name: str
    caption: str
    figure: Figure
    collapsed: str = ""

    @cached_property
    def svg(self) -> bytes:
        """The figure as an SVG file; drawing takes seconds, so page and file share it."""
        return svg_bytes(self.figure, self.name)


@dataclass(frozen=True)
class TableBlock:
    """A table; all cells are text, classes by row, numeric columns aligned right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    numeric_from: int | None = None
    row_classes: Sequence[str] = ()
    note: str = ""
    collapsed: str = ""


@dataclass(frozen=True)
class Section:
    """One section of the page; without blocks, ``absent`` says why."""

    identifier: str
    title: str
    intro: str = ""
    blocks: list[FigureBlock | TableBlock] = field(default_factory=list)
    absent: str = ""
