"""The report's sections: which figures and tables, with captions; reasons where there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from markupsafe import Markup

from arielflow import plotting
from arielflow.core.schema import REFERENCE_ROWS
from arielflow.data.shown_planets import typical_planets
from arielflow.report import formatting
from arielflow.report.blocks import FigureBlock, Section, TableBlock
from arielflow.report.calibration_section import calibration_section
from arielflow.report.content import ReportContent
from arielflow.report.importance_section import importance_section
from arielflow.report.posterior_sections import (
    corner_section,
    observed_section,
    predictions_section,
)
from arielflow.report.representation_section import (
    disentangled_section,
    representation_section,
)
from arielflow.report.score_tables import leaderboard_table, per_target_table, score_label
from arielflow.report.spread_section import spread_section
from arielflow.report.trust_section import trust_section

_GALLERY_PLANETS = 6
_TABLE_ROWS = 40


def cut_table(frame: pd.DataFrame, **settings: object) -> TableBlock:
    """The first rows of a table, and how many more there are; settings are the block's."""
    shown = frame.head(_TABLE_ROWS)
    left_out = len(frame) - len(shown)
    cells = [["" if pd.isna(v) else str(v) for v in row] for row in shown.itertuples(index=False)]
    note = f"{left_out:,} more rows in the file." if left_out else ""
    header = [str(column).replace("_", " ") for column in frame.columns]
    return TableBlock(header, cells, note=note, **settings)


def run_section(content: ReportContent) -> Section:
    """Facts and configuration of the run."""
    blocks: list = []
    if content.facts:
        blocks.append(TableBlock([], [[label, str(value)] for label, value in content.facts]))
    if content.config:
        rows = formatting.flatten(dict(content.config))
        blocks.append(TableBlock(["setting", "value"], rows, collapsed="Full configuration"))
    absent = "" if blocks else "No facts or configuration were handed to the report."
    return Section("run", "What was run", blocks=blocks, absent=absent)


def quality_section(content: ReportContent) -> Section:
    """Quality flags of the planets."""
    splits = _splits(content)
    if not splits:
        return Section("quality", "Data quality", absent="No ingested data were handed over.")
    total = sum(planets.sizes["planet"] for planets in splits.values())
    suspect = sum(int((planets["quality"].values != 0).sum()) for planets in splits.values())
    intro = (
        f"{total:,} planets were checked on ingestion; {suspect:,} bear a flag. A flagged planet "
        "stays in the submission: where its spectrum cannot be used, samples of its prior stand in."
    )
    caption = "Planets by quality flag and split; a planet may bear several flags."
    blocks: list = [FigureBlock("quality_counts", caption, plotting.quality_counts(splits))]
    if content.quality is not None and len(content.quality):
        blocks.append(cut_table(content.quality, title="Suspect planets"))
    return Section("quality", "Data quality", intro, blocks)


def _splits(content: ReportContent) -> dict:
    named = {"train": content.train, "test": content.test, "observed": content.observed}
    return {name: planets for name, planets in named.items() if planets is not None}


def data_section(content: ReportContent) -> Section:
    """Population and spectra."""
    splits = {k: v for k, v in _splits(content).items() if k != "observed"}
    blocks: list = []
    if content.test is not None:
        names = typical_planets(content.test, _GALLERY_PLANETS)
        caption = (
            "Test spectra from the weakest to the strongest features relative to the error bars; "
            "bars are one standard deviation of the instrument's noise."
        )
        blocks.append(
            FigureBlock("test_spectra", caption, plotting.spectra_gallery(content.test, names))
        )
    if content.observed is not None:
        names = [str(name) for name in content.observed["planet"].values[:_GALLERY_PLANETS]]
        figure = plotting.spectra_gallery(content.observed, names)
        blocks.append(FigureBlock("observed_spectra", "Observed spectra.", figure))
    figure = plotting.population(splits) if splits else None
    if figure is not None:
        caption = (
            "Distributions of the targets (where known) and of the stars' and planets' properties. "
            "Where training and test differ, a model has to extrapolate."
        )
        blocks.append(FigureBlock("population", caption, figure))
    absent = "" if blocks else "No ingested data were handed over."
    return Section("data", "Population and spectra", blocks=blocks, absent=absent)


def exploration_section(content: ReportContent) -> Section:
    """Components and clusters."""
    found = content.exploration
    if found is None:
        return Section("exploration", "Exploration", absent="The exploration step was not run.")
    n_train = int((found["split"] == "train").sum())
    intro = (
        f"Learnt from the {n_train:,} usable training spectra alone; test planets are projected. "
        "Each spectrum is reduced to its shape first (its mean taken off, divided by its scatter), "
        "which takes out the planet's radius and scale height (Matchev et al. 2022)."
        if found.attrs["representation"] == "shape"
        else f"Learnt from the {n_train:,} usable training spectra alone, every bin standardised; "
        "test planets are projected."
    )
    captions: list[tuple[str, Callable, str]] = [
        ("mean_versus_scatter", plotting.mean_versus_scatter,
         "Mean of each spectrum against its scatter over wavelength."),
        ("explained_variance", plotting.explained_variance,
         "Variance that each principal component explains."),
        ("loadings", plotting.loadings, "Principal components over wavelength."),
        ("scores_by_target", plotting.scores_by_target,
         "Training planets in the plane of the first two components, coloured by each target."),
        ("independent_components", plotting.independent_components,
         "Independent components of the principal-component scores, as spectra."),
        ("silhouettes", plotting.silhouettes,
         "Mean silhouette for every number of clusters tried: the highest decides."),
        ("clusters", plotting.clusters,
         "Clusters among the components (left) and their mean spectra, shaded by one standard "
         "deviation (right)."),
    ]  # fmt: skip
    without_theta = not np.isfinite(found["theta"].values[found["split"].values == "train"]).any()
    blocks = [
        FigureBlock(name, caption, plot(found))
        for name, plot, caption in captions
        if not (name == "scores_by_target" and without_theta)
    ]
    return Section("exploration", "Exploration", intro, blocks)


def training_section(content: ReportContent) -> Section:
    """Training curves."""
    title = "Training"
    figure = plotting.training_curves(content.histories)
    if figure is None:
        return Section("training", title, absent="No model of this run was trained in epochs.")
    caption = (
        "Loss over epochs, one colour per member of the ensemble. The dot marks the best "
        "validation epoch, whose weights are used; a training with patience null uses the last "
        "one's. The first, wildest losses lie above the axis."
    )
    return Section("training", title, blocks=[FigureBlock("training_curves", caption, figure)])


def leaderboard_section(content: ReportContent) -> Section:
    """Scores of all models."""
    title = "Leaderboard"
    if content.leaderboard is None or content.main_score is None:
        reason = (
            "No scores: the true posteriors of the test planets are not known. The submission is "
            "complete; only the organisers' server can score it."
        )
        return Section("leaderboard", title, absent=reason)
    score = content.main_score
    intro = (
        "Intervals are 95 % bootstrap intervals over planets. Blank cells: the model cannot give "
        "that score."
    )
    names = set(content.leaderboard["model"])
    if names & set(REFERENCE_ROWS):
        intro += (
            " Reference rows: prior (samples of the prior, the floor) and ceiling (the truth "
            "against an independent rerun of itself)."
        )
    label = score_label(score, content.test)
    figure = plotting.leaderboard_chart(content.leaderboard, score, label.text)
    blocks = [
        TableBlock(**leaderboard_table(content)),
        FigureBlock("leaderboard", f"{label.name}: {label.meaning}", figure),
    ]
    if content.per_target is not None and len(content.per_target):
        blocks.append(TableBlock(**per_target_table(content)))
    return Section("leaderboard", title, intro, blocks)


def importances_section(content: ReportContent) -> Section:
    """What the random forest looks at."""
    title = "Feature importances"
    targets = content.test if content.test is not None else content.train
    if content.importances is None or not len(content.importances) or targets is None:
        return Section("importances", title, absent="No model of this run gives importances.")
    figure = plotting.feature_importances(content.importances, targets)
    caption = (
        "Share of the random forest's impurity decrease that each spectral bin brings, from one "
        "forest per target. Inputs that are not spectral bins are listed in the corner."
    )
    return Section("importances", title, blocks=[FigureBlock("importances", caption, figure)])


def submission_section(content: ReportContent) -> Section:
    """Files to hand in."""
    title = "Submission"
    if content.submission is None or not len(content.submission):
        return Section("submission", title, absent="This run made no submission file.")
    rows = [
        [row.track, row.file, formatting.size(row.bytes), row.validity, Markup("<code>{}</code>")
         .format(row.sha256)]
        for row in content.submission.itertuples()
    ]  # fmt: skip
    header = ["track", "file", "size", "checked", "SHA-256"]
    intro = f"Made by {content.chosen}." if content.chosen else ""
    return Section("submission", title, intro, [TableBlock(header, rows)])


def benchmarks_section(content: ReportContent) -> Section:
    """What the jobs cost."""
    title = "Time and memory"
    if content.benchmarks is None or not len(content.benchmarks):
        return Section("benchmarks", title, absent="No benchmark files were found.")
    jobs = content.benchmarks.sort_values("seconds", ascending=False)
    rows = [
        [job.job, formatting.duration(job.seconds), formatting.number(job.memory_mb, 0)]
        for job in jobs.head(_TABLE_ROWS).itertuples()
    ]
    intro = (
        f"{len(jobs)} jobs, {formatting.duration(jobs['seconds'].sum())} in all if run one after "
        f"the other; the largest took {formatting.number(jobs['memory_mb'].max(), 0)} MB."
    )
    table = TableBlock(["job", "wall time", "peak memory [MB]"], rows, numeric_from=1)
    return Section("benchmarks", title, intro, [table])


def manifest_section(content: ReportContent) -> Section:
    """Everything that made the run."""
    title = "Manifest"
    if not content.manifest:
        return Section("manifest", title, absent="No manifest was written.")
    blocks = [
        TableBlock(
            ["entry", "value"],
            formatting.flatten({part: value}),
            collapsed=part.replace("_", " ").capitalize(),
        )
        for part, value in content.manifest.items()
        if part not in ("config", "jobs") and value
    ]
    return Section("manifest", title, "Versions, inputs, outputs and the machine.", blocks)


def sections(content: ReportContent) -> Iterator[Section]:
    """All sections in the page's order, made one after the other."""
    for make in (
        run_section,
        leaderboard_section,
        submission_section,
        quality_section,
        data_section,
        exploration_section,
        representation_section,
        disentangled_section,
        training_section,
        predictions_section,
        calibration_section,
        trust_section,
        spread_section,
        importance_section,
        corner_section,
        observed_section,
        importances_section,
        benchmarks_section,
        manifest_section,
    ):
        yield make(content)
