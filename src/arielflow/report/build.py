"""One self-contained HTML page per run: no script, no external request, readable offline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from arielflow.core.files import atomic_path
from arielflow.report import formatting
from arielflow.report.blocks import FigureBlock, Section
from arielflow.report.content import ReportContent
from arielflow.report.score_tables import score_label
from arielflow.report.sections import sections


@dataclass(frozen=True)
class Tile:
    """One number in the page's head."""

    label: str
    value: str
    detail: str = ""
    main: bool = False


def headline(content: ReportContent) -> list[Tile]:
    """The few numbers that a reader wants first: score, share of the ceiling, sizes."""
    tiles = _score_tiles(content)
    if content.test is not None:
        flagged = int((content.test["quality"].values != 0).sum())
        detail = f"{flagged} flagged" if flagged else "none flagged"
        tiles.append(Tile("test planets", f"{content.test.sizes['planet']:,}", detail))
    if content.train is not None:
        tiles.append(Tile("training spectra", f"{content.train.sizes['planet']:,}"))
    if content.submission is not None and len(content.submission):
        first = content.submission.iloc[0]
        tiles.append(Tile("submission SHA-256", first["sha256"][:10], f"{first['file']}"))
    return tiles


def _score_tiles(content: ReportContent) -> list[Tile]:
    score = content.main_score
    if score is None or content.chosen is None:
        return []
    board = content.leaderboard.set_index("model")
    if content.chosen not in board.index or board[score].isna()[content.chosen]:
        return []
    row, label = board.loc[content.chosen], score_label(score, content.test)
    ends = [row.get(f"{score}_{end}") for end in ("low", "high")]
    texts = [formatting.number(end, label.digits) for end in ends]
    detail = f"{texts[0]} – {texts[1]}" if all(texts) else ""
    value = formatting.number(row[score], label.digits)
    tiles = [Tile(f"{label.name} · {content.chosen}", value, detail, main=True)]
    if "ceiling" in board.index and board[score].notna()["ceiling"]:
        ceiling = board[score]["ceiling"]
        share = f"{100 * row[score] / ceiling:.1f} %"
        tiles.append(Tile("of the ceiling", share, f"ceiling {ceiling:.{label.digits}f}"))
    return tiles


def build_report(content: ReportContent, page: Path, figures: Path | None = None) -> list[Path]:
    """Write the report of a run as one HTML file.

    Parameters
    ----------
    content
        What to show; see :class:`arielflow.report.content.ReportContent`.
    page
        The HTML file to write.
    figures
        Folder that receives every figure as ``{name}.svg`` as well; names are the same for every
        run.

    Returns
    -------
    list[pathlib.Path]
        The figures' files.
    """
    return write_report(content, headline(content), list(sections(content)), page, figures)


def write_report(
    content: ReportContent,
    tiles: list[Tile],
    shown: list[Section],
    page: Path,
    figures: Path | None = None,
    template: str = "report.html.j2",
) -> list[Path]:
    """Write given tiles and sections under the content's titles; see :func:`build_report`.

    ``template`` is a file of the templates' folder.
    """
    environment = Environment(
        loader=PackageLoader("arielflow.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["inline_svg"] = formatting.inline_svg
    environment.tests["figure"] = lambda block: isinstance(block, FigureBlock)
    text = environment.get_template(template).render(content=content, tiles=tiles, sections=shown)
    with atomic_path(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    if figures is None:
        return []
    blocks = [block for section in shown for block in section.blocks]
    files = {figures / f"{b.name}.svg": b.svg for b in blocks if isinstance(b, FigureBlock)}
    for path, svg in files.items():
        with atomic_path(path) as temporary:
            temporary.write_bytes(svg)
    return list(files)
