"""The page of a run with detector frames: scores, quality, frames, light curves, spectra."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from arielflow import plotting
from arielflow.core.readers import listed, printable, shown
from arielflow.editions import FrameEdition
from arielflow.frames.quality import FrameQuality
from arielflow.report.blocks import FigureBlock, Section, TableBlock
from arielflow.report.build import Tile, headline, write_report
from arielflow.report.content import ReportContent, submission_table
from arielflow.report.frames_sections import (
    curves_section,
    images_section,
    noise_section,
)
from arielflow.report.frames_spectra import spectra_section
from arielflow.report.score_tables import leaderboard_table, score_label
from arielflow.report.sections import (
    benchmarks_section,
    cut_table,
    manifest_section,
    run_section,
    submission_section,
)

_LONGEST_REASON = 600
FLAG_WORDS = {
    FrameQuality.SATURATED: "pixels reach the end of the converter's range",
    FrameQuality.MISSING_SIGNAL: "a sensor's frames are missing",
    FrameQuality.UNREADABLE_SIGNAL: "a sensor's frames cannot be read or used",
    FrameQuality.SWAPPED_SENSORS: "the files of the two sensors are swapped",
    FrameQuality.WRONG_SHAPE: "frames of another shape, or more of them than a visit has",
    FrameQuality.FEW_FRAMES: "fewer frames than a visit has",
    FrameQuality.MISSING_CALIBRATION: "a calibration file is missing or of no use",
    FrameQuality.NAN_CALIBRATION: "a calibration file holds values that are no numbers",
    FrameQuality.MISSING_GAIN: "no gain and offset of the converter",
    FrameQuality.DOUBTFUL_GAIN: "reads after a reset are not near zero with the gain and offset",
    FrameQuality.SEVERAL_VISITS: "more than one visit",
}
"""What the flags mean, for people."""


@dataclass(frozen=True)
class FrameReportInputs:
    """Everything that the page shows; what is None or empty is left out with a remark.

    Attributes
    ----------
    config : Mapping[str, Any]
        The run's configuration.
    edition : FrameEdition
        Whose frames.
    quality : Mapping[str, pd.DataFrame]
        By split a row per planet: ``planet_id``, ``visits``, ``quality``, ``flags``, ``notes``, as
        :func:`arielflow.frames.chunk.calibrate_planets` returns them.
    curves : Sequence[xr.Dataset]
        Light curves of the planets to show, of
        :func:`arielflow.frames.planet.planet_light_curves`.
    leaderboard : pd.DataFrame | None
        ``model``, ``score`` with ``score_low`` and ``score_high``, ``unclipped_score``,
        ``worst_planet`` and ``worst_planet_score``.
    spectra : Mapping[str, xr.Dataset]
        By row of the leaderboard ``depth(planet, channel)``, ``sigma(planet, channel)`` and
        ``fallback(planet)`` of labelled planets that it did not learn from.
    truth : xr.DataArray | None
        Their true depths (planet, channel).
    submission : Path | None
        The official file.
    check : Mapping[str, Any] | None
        What was found in it: ``valid``, ``faults``, ``warnings`` and, where known,
        ``fallback_planets``.
    jobs : pd.DataFrame | None
        One row per job: ``job``, ``seconds``, ``memory_mb``.
    manifest : Mapping[str, Any] | None
        As :func:`arielflow.runs.manifest.run_manifest` makes it.
    """

    config: Mapping[str, Any]
    edition: FrameEdition
    quality: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    curves: Sequence[xr.Dataset] = ()
    leaderboard: pd.DataFrame | None = None
    spectra: Mapping[str, xr.Dataset] = field(default_factory=dict)
    truth: xr.DataArray | None = None
    submission: Path | None = None
    check: Mapping[str, Any] | None = None
    jobs: pd.DataFrame | None = None
    manifest: Mapping[str, Any] | None = None

    @property
    def planets(self) -> pd.DataFrame:
        """The quality tables of all splits in one, with a column ``split``."""
        tables = [table.assign(split=split) for split, table in self.quality.items()]
        columns = ["planet_id", "visits", "quality", "flags", "notes", "split"]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def write_frame_report(inputs: FrameReportInputs, page: Path, figures: Path) -> list[Path]:
    """Write the page of a run with detector frames.

    Parameters
    ----------
    inputs
        What to show.
    page
        HTML file to write; its folder is made where it is missing.
    figures
        Folder that receives every figure as ``{name}.svg`` as well.

    Returns
    -------
    list[pathlib.Path]
        The figures' files.
    """
    content = _content(inputs)
    sections = [
        run_section(content),
        _leaderboard_section(inputs, content),
        _submission_section(inputs, content),
        _quality_section(inputs),
        images_section(inputs.curves, inputs.edition),
        curves_section(inputs.curves, inputs.edition),
        noise_section(inputs.curves),
        spectra_section(
            inputs.edition, inputs.spectra, inputs.truth, content.chosen, inputs.leaderboard
        ),
        benchmarks_section(content),
        manifest_section(content),
    ]
    page.parent.mkdir(parents=True, exist_ok=True)
    return write_report(content, _tiles(inputs, content), sections, page, figures)


def _content(inputs: FrameReportInputs) -> ReportContent:
    """What the sections that all reports share need."""
    config, edition = inputs.config, inputs.edition
    run = str(config.get("run", ""))
    return ReportContent(
        title=f"{edition.title}: {run}",
        run=run,
        edition_title=edition.title,
        facts=_facts(inputs),
        config=config,
        chosen=config.get("frames", {}).get("submitted"),
        leaderboard=inputs.leaderboard,
        submission=_submitted_file(inputs),
        benchmarks=inputs.jobs,
        manifest=inputs.manifest,
    )


def _facts(inputs: FrameReportInputs) -> list[tuple[str, object]]:
    config, planets, edition = inputs.config, inputs.planets, inputs.edition
    frames = config.get("frames", {})
    several = int((planets["visits"] > 1).sum())
    scored = max((found.sizes["planet"] for found in inputs.spectra.values()), default=0)
    facts: list[tuple[str, object]] = [("edition", f"{edition.title} ({edition.name})")]
    if "path" in frames:
        facts.append(("data", printable(str(frames["path"]))))
    facts += [
        ("training planets" if split == "train" else f"{split} planets", f"{len(own):,}")
        for split, own in inputs.quality.items()
    ]
    if edition.visits:
        facts.append(("planets with several visits", f"{several:,}"))
    facts += [
        (
            sensor.name,
            f"{sensor.n_frames:,} frames of {sensor.shape[0]} × {sensor.shape[1]} pixels a visit; "
            f"a pair of reads every {sensor.pair_s:g} s",
        )
        for sensor in edition.sensors
    ]
    if scored:
        facts.append(("labelled planets scored on", f"{scored:,}"))
    if inputs.spectra:
        facts.append(("rows", ", ".join(inputs.spectra)))
    if "seed" in config:
        facts.append(("seed", config["seed"]))
    return facts


def _tiles(inputs: FrameReportInputs, content: ReportContent) -> list[Tile]:
    """Score and submission as on every report's head, and the planets."""
    tiles, planets = headline(content), inputs.planets
    if len(planets):
        flagged = int((planets["quality"] != 0).sum())
        detail = f"{flagged:,} flagged" if flagged else "none flagged"
        tiles.insert(1, Tile("planets calibrated", f"{len(planets):,}", detail))
    if inputs.check is not None:
        told = "valid" if inputs.check["valid"] else "NOT VALID"
        n_warnings = len(_lines(inputs.check.get("warnings", {})))
        detail = f"{n_warnings} warning{'s' if n_warnings > 1 else ''}" if n_warnings else ""
        tiles.insert(len(tiles) - 1, Tile("submission", told, detail))
    return tiles


def _lines(found: Mapping[str, Iterable[str]]) -> list[str]:
    """What the checker said of all files, of which there is one."""
    return [printable(line) for lines in found.values() for line in lines]


def _leaderboard_section(inputs: FrameReportInputs, content: ReportContent) -> Section:
    title = "Leaderboard"
    if content.leaderboard is None or content.main_score is None:
        reason = "No scores: no labelled planets were kept for scoring."
        return Section("leaderboard", title, absent=reason)
    label = score_label(content.main_score, None)
    formula = (
        "formed for every planet and channel and averaged with the official weights"
        if inputs.edition.score.per_element
        else "of the sums over all planets and channels"
    )
    intro = (
        "The official score is the Gaussian log-likelihood of the true spectra on a scale from 0, "
        "the mean and the standard deviation of the training labels for every planet alike, to 1, "
        f"the ideal answer; the ratio is {formula}. The reference row, constant, is that zero, but "
        "for the labels that it did not see. All rows are scored on the same labelled planets, of "
        "which none learnt; intervals are 95 % bootstrap intervals over planets."
    )
    figure = plotting.leaderboard_chart(content.leaderboard, content.main_score, label.text)
    blocks: list = [
        TableBlock(**leaderboard_table(content)),
        FigureBlock("leaderboard", f"{label.name}: {label.meaning}", figure),
    ]
    return Section("leaderboard", title, intro, blocks)


def _submitted_file(inputs: FrameReportInputs) -> pd.DataFrame | None:
    if inputs.submission is None:
        return None
    faults: dict[str, list[str]] = {}
    warnings: dict[str, list[str]] = {}
    if inputs.check is not None:
        faults["spectra"] = _lines(inputs.check["faults"])
        if not inputs.check["valid"] and not faults["spectra"]:
            faults["spectra"] = ["not valid"]
        warnings["spectra"] = _lines(inputs.check.get("warnings", {}))
    return submission_table({"spectra": inputs.submission}, faults, warnings)


def _submission_section(inputs: FrameReportInputs, content: ReportContent) -> Section:
    section = submission_section(content)
    left = [] if inputs.check is None else inputs.check.get("fallback_planets", [])
    if not left or section.absent:
        return section
    told = f"{len(left):,} planets" if len(left) > 1 else "one planet"
    more = f" The floor's entry stands in for {told} without a spectrum: {listed(left, 10)}."
    return replace(section, intro=section.intro + more)


def _quality_section(inputs: FrameReportInputs) -> Section:
    title, planets = "Frames and their quality", inputs.planets
    if not len(planets):
        return Section("quality", title, absent="No tables of quality were handed over.")
    flagged = planets["quality"] != 0
    intro = (
        f"{len(planets):,} planets were calibrated; {int(flagged.sum()):,} bear a flag. A flagged "
        "planet stays in the submission: what can be used of it is used, and where nothing can, "
        "the floor's entry stands in."
    )
    blocks: list[FigureBlock | TableBlock] = []
    counts = _flag_counts(planets, list(inputs.quality))
    if counts:
        header = ["flag", "meaning", *inputs.quality]
        blocks.append(TableBlock(header, counts, "Planets by flag", numeric_from=2))
    order = planets.assign(good=~flagged).sort_values("good", kind="stable")
    table = pd.DataFrame(
        {
            "planet": [shown(planet) for planet in order["planet_id"]],
            "split": order["split"].to_numpy(),
            "visits": order["visits"].to_numpy(),
            "flags": [_named(mask) for mask in order["quality"]],
            "reasons": [
                "" if pd.isna(note) else shown(note, _LONGEST_REASON) for note in order["notes"]
            ],
        }
    )
    blocks.append(cut_table(table, title="Planets, flagged ones first"))
    return Section("quality", title, intro, blocks)


def _named(mask: int) -> str:
    """Flags of a mask as words; ``good`` without any."""
    names = [str(flag.name).lower().replace("_", " ") for flag in FrameQuality(int(mask))]
    return ", ".join(names) or "good"


def _flag_counts(planets: pd.DataFrame, splits: Sequence[str]) -> list[list[str]]:
    """Flags that occur, with their meaning and the number of planets in each split."""
    rows = []
    for flag, words in FLAG_WORDS.items():
        bears = planets[planets["quality"].astype(int) & int(flag) != 0]
        if len(bears):
            counts = [f"{int((bears['split'] == split).sum()):,}" for split in splits]
            rows.append([_named(flag), words, *counts])
    return rows
