"""Tables of scores, and the words for every score."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from markupsafe import Markup

from arielflow.core.schema import REFERENCE_ROWS
from arielflow.report.content import ReportContent
from arielflow.report.formatting import latex_to_html, number


@dataclass(frozen=True)
class ScoreLabel:
    """Name and meaning of a score; ``html`` and ``text`` are its column and axis labels."""

    name: str
    html: str
    text: str
    meaning: str
    digits: int


_SCORES = {
    "final_score": ("Final score", "0…1000", "official, what the challenge ranks by.", 1),
    "posterior_score": ("Posterior score", "0…1000", "official; higher is better.", 1),
    "spectral_score": ("Spectral score", "0…1000", "official, on the spectra of samples.", 1),
    "light_score": ("Light-track score", "up to 1000", "official, on quartiles.", 1),
    "weighted_ks_score": ("Weighted KS score", "0…1000", "1000·(1 − KS distance), unresampled.", 1),
    "energy_score": ("Energy score", "in units of the box", "a proper score; lower is better.", 4),
    "log_prob": ("log p(θ true)", "nat", "log-density at the true parameters.", 2),
    "score": ("Official score", "0…1", "what the challenge ranks by; higher is better.", 3),
    "unclipped_score": ("Before clipping", "1", "the official score, not cut to 0…1.", 3),
    "fallback_planets": ("Left to the floor", "1", "planets that the row could not do.", 0),
    "worst_planet_score": ("Worst planet", "0…1000", "the lowest posterior score, and whose.", 1),
    "calibration_error": ("Calibration error", "1", "see the section Calibration; lower.", 3),
    "r2_mean": ("Mean R²", "1", "coefficient of determination, mean over targets.", 3),
}


def score_label(score: str, targets: xr.Dataset | None) -> ScoreLabel:
    """Words for a score, ``r2_<target>`` and unknown ones included."""
    if score in _SCORES:
        name, unit, meaning, digits = _SCORES[score]
        return ScoreLabel(name, name, f"{name} [{unit}]", meaning, digits)
    target = score.removeprefix("r2_")
    if score != target and targets is not None and target in targets["target"].values:
        latex = str(targets["target_latex"].sel(target=target).values)
        html = Markup("R² {}").format(latex_to_html(latex))
        return ScoreLabel(f"R² of {target}", html, f"R² of {latex} [1]", "of the mean.", 3)
    name = score.replace("_", " ")
    return ScoreLabel(name, name, f"{name} [1]", "", 3)


def score_columns(leaderboard: pd.DataFrame) -> list[str]:
    """Columns that are scores: numbers, not the ends of intervals, known for some model."""
    return [
        column
        for column in leaderboard.select_dtypes("number")
        if not column.endswith(("_low", "_high")) and leaderboard[column].notna().any()
    ]


def score_cell(row: pd.Series, score: str, digits: int) -> Markup:
    """A score with its interval, or its planet, below; empty if it is not known."""
    if pd.isna(row[score]):
        return Markup("")
    value = number(row[score], digits)
    if score == "worst_planet_score":
        return with_detail(value, row["worst_planet"])
    low, high = row.get(f"{score}_low", np.nan), row.get(f"{score}_high", np.nan)
    if pd.isna(low) or pd.isna(high):
        return Markup("{}").format(value)
    return with_detail(value, f"{number(low, digits)} – {number(high, digits)}")


def with_detail(value: str, detail: str) -> Markup:
    """A cell's value with a small second line."""
    return Markup('{}<span class="interval">{}</span>').format(value, detail)


def leaderboard_table(content: ReportContent) -> dict[str, object]:
    """The leaderboard with the best row first, published rows below; arguments of a table."""
    board, score = content.leaderboard, content.main_score
    columns = score_columns(board)
    columns = [score, *(c for c in columns if c != score)]
    labels = [score_label(column, content.test) for column in columns]
    # It is on the scale of the score that ranks, of whichever edition.
    labels = [
        replace(label, digits=labels[0].digits) if column == "worst_planet_score" else label
        for column, label in zip(columns, labels, strict=True)
    ]
    rows, classes = [], []
    for _, row in board.sort_values(score, ascending=False, na_position="last").iterrows():
        rows.append([_model_cell(row["model"], content.submitted), *_cells(row, columns, labels)])
        reference = row["model"] in REFERENCE_ROWS
        chosen = row["model"] == content.chosen
        classes.append("reference" if reference else "chosen" if chosen else "")
    if content.published is not None:
        for _, row in content.published.iterrows():
            row = row.reindex([*row.index, *(c for c in columns if c not in row.index)])
            name = Markup('{}<span class="tag">published</span>').format(row["model"])
            if isinstance(row.get("reference"), str):
                name += Markup('<span class="interval">{}</span>').format(row["reference"])
            rows.append([name, *_cells(row, columns, labels)])
            classes.append("published")
    return {
        "header": ["model", *(label.html for label in labels)],
        "rows": rows,
        "numeric_from": 1,
        "row_classes": classes,
    }


def _cells(row: pd.Series, columns: list[str], labels: list[ScoreLabel]) -> list[Markup]:
    return [score_cell(row, c, label.digits) for c, label in zip(columns, labels, strict=True)]


def _model_cell(model: str, submitted: str | None) -> Markup:
    tag = "reference" if model in REFERENCE_ROWS else "submitted" if model == submitted else ""
    text = Markup("{}").format(model)
    return text + Markup('<span class="tag">{}</span>').format(tag) if tag else text


def per_target_table(content: ReportContent) -> dict[str, object]:
    """Mean KS distance of every model in every target; arguments of a table."""
    table = content.per_target
    known = {} if content.test is None else dict(
        zip(content.test["target"].values, content.test["target_latex"].values, strict=True)
    )  # fmt: skip
    columns = [c for c in table.columns if c != "model"]
    header = [latex_to_html(str(known[c])) if c in known else c for c in columns]
    rows = [[row["model"], *(number(row[c], 3) for c in columns)] for _, row in table.iterrows()]
    classes = ["reference" if row[0] in REFERENCE_ROWS else "" for row in rows]
    return {
        "title": "Mean Kolmogorov–Smirnov distance to the true posterior, by target (lower is "
        "better)",
        "header": ["model", *header],
        "rows": rows,
        "numeric_from": 1,
        "row_classes": classes,
    }
