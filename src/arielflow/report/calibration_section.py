"""The report's section about calibration: expected coverage of every model."""

from __future__ import annotations

import pandas as pd

from arielflow import plotting
from arielflow.core.schema import JOINT, MEAN
from arielflow.evaluation.diagnostics import exact_calibration_error
from arielflow.report.blocks import FigureBlock, Section, TableBlock
from arielflow.report.content import ReportContent
from arielflow.report.formatting import latex_to_html, number

_COVERAGES = ("coverage_50", "coverage_68", "coverage_95")


def calibration_section(content: ReportContent) -> Section:
    """Coverage curves, one summary row per model, and everything by target."""
    title = "Calibration"
    mended = [_gains(name, table) for name, table in content.recalibration.items()]
    if not content.calibration or content.test is None:
        reason = "The true parameters of the test planets are not known, or no model was sampled."
        if mended:
            return Section("calibration", title, reason, mended)
        return Section("calibration", title, absent=reason)
    names = [name for name in content.ranked_models if name in content.calibration]
    names += [name for name in content.calibration if name not in names]
    tables = {name: content.calibration[name] for name in names}
    n_planets = int(next(iter(tables.values()))["n_planets"].iloc[0])
    caption = (
        "Share of the true values inside central intervals against the intervals' nominal share; "
        "above the diagonal a model is under-confident, below it over-confident. In the joint "
        "panel an over-confident model starts above and ends below it. The band holds 95 % of the "
        f"curves' points of an exact posterior, {n_planets:,} planets."
    )
    curves = {name: content.coverage[name] for name in names}
    figure = plotting.coverage_curves(curves, content.test, n_planets)
    blocks = [
        FigureBlock("coverage", caption, figure),
        _summary(tables, n_planets),
        *mended,
        _by_target(content, tables),
    ]
    return Section("calibration", title, _intro(content), blocks)


def _intro(content: ReportContent) -> str:
    intro = (
        "A calibrated posterior's 68 % interval holds the true value in 68 % of the planets. A "
        "broad posterior can be calibrated as well as a narrow one: sharpness, the posterior's "
        "standard deviation in units of the prior's, tells them apart."
    )
    if content.test.attrs.get("noise") == "free":
        intro += (
            " The spectra are stored without noise, which puts the true values at too central a "
            "place; so one draw of the noise was added to each spectrum and the models were "
            "sampled anew."
        )
    config = content.config or {}
    population = config.get("simulation", {}).get("population")
    prior = config.get("dataset", {}).get("prior")
    if population and prior and population != prior:
        intro += (
            f" The planets come from a narrower population ({population}) than the retrieval prior "
            f"({prior}), so that not even an exact posterior is calibrated on them."
        )
    return intro


def _summary(tables: dict[str, pd.DataFrame], n_planets: int) -> TableBlock:
    rows = []
    for name, table in tables.items():
        joint, single = table[table["target"] == JOINT], table[table["target"] != JOINT]
        errors = [single["calibration_error"].mean(), joint["calibration_error"].iloc[0]]
        shares = [100 * single[column].mean() for column in _COVERAGES]
        rows.append(
            [
                name,
                *(number(value, 3) for value in errors),
                *(number(value, 0) for value in shares),
                number(single["sharpness"].mean(), 3),
            ]
        )
    header = ["model", "calibration error [1]", "joint, TARP [1]"]
    header += [f"within {column.split('_')[1]} % [%]" for column in _COVERAGES]
    header.append("sharpness [1]")
    note = (
        "Calibration error: mean distance of the curves from the diagonal, over targets and "
        f"levels; for {n_planets:,} planets an exact posterior would show about "
        f"{exact_calibration_error(n_planets):.3f}."
    )
    return TableBlock(header, rows, "Calibration, mean over the targets", numeric_from=1, note=note)


def _by_target(content: ReportContent, tables: dict[str, pd.DataFrame]) -> TableBlock:
    latex = dict(
        zip(content.test["target"].values, content.test["target_latex"].values, strict=True)
    )
    rows = []
    for name, table in tables.items():
        for _, row in table.iterrows():
            target = row["target"]
            rows.append(
                [
                    name,
                    latex_to_html(str(latex[target])) if target in latex else target,
                    number(row["calibration_error"], 3),
                    *(number(100 * row[column], 0) for column in _COVERAGES),
                    number(row["p_value"], 4),
                    number(row["sharpness"], 3),
                ]
            )
    header = ["model", "target", "calibration error [1]"]
    header += [f"within {column.split('_')[1]} % [%]" for column in _COVERAGES]
    header += ["p, uniform ranks [1]", "sharpness [1]"]
    return TableBlock(header, rows, numeric_from=2, collapsed="Calibration by target")


_GAINS = (
    ("calibration_error", MEAN, "calibration error, mean over the targets [1]", 1, 4),
    ("calibration_error", JOINT, "calibration error, joint (TARP) [1]", 1, 4),
    ("coverage_50", MEAN, "within 50 %, mean over the targets [%]", 100, 2),
    ("coverage_68", MEAN, "within 68 %, mean over the targets [%]", 100, 2),
    ("coverage_95", MEAN, "within 95 %, mean over the targets [%]", 100, 2),
    ("energy_score", JOINT, "energy score [1]", 1, 5),
)


def _gains(model: str, table: pd.DataFrame) -> TableBlock:
    """What recalibration of a model gains on planets that it was not fitted on."""
    known = table.set_index(["measure", "target"])
    rows = []
    for measure, target, words, factor, digits in _GAINS:
        row = factor * known.loc[(measure, target)]
        change, low, high = (number(row[f"change{end}"], digits) for end in ("", "_low", "_high"))
        rows.append(
            [
                words,
                number(row["before"], digits),
                number(row["after"], digits),
                f"{change} ({low} to {high})",
            ]
        )
    note = (
        f"{int(table['n_planets'].iloc[0]):,} simulated planets with noise, other ones than the "
        "maps were fitted on; intervals of 95 % over planets. What it does to the challenge's "
        f"scores is in the leaderboard, rows {model} and {model}_recalibrated."
    )
    header = ["measure", "before", "after", "change"]
    title = f"Recalibration of {model}: a monotone map of every target's quantiles"
    return TableBlock(header, rows, title, numeric_from=1, note=note)
