"""The report's section about aleatoric and epistemic uncertainty."""

from __future__ import annotations

import numpy as np

from arielflow import plotting
from arielflow.core.schema import ALEATORIC, EPISTEMIC
from arielflow.report.blocks import FigureBlock, Section, TableBlock
from arielflow.report.content import ReportContent
from arielflow.report.formatting import latex_to_html, number


def spread_section(content: ReportContent) -> Section:
    """Parts of the posteriors' spread, for rows of Bayesian networks and of ensembles."""
    identifier, title = "uncertainty", "Aleatoric and epistemic uncertainty"
    parts = {
        name: content.posteriors[name][[ALEATORIC, EPISTEMIC]].load()
        for name in content.ranked_models
        if EPISTEMIC in content.posteriors[name]
    }
    if not parts or content.test is None:
        reason = "No model of this run is a Bayesian network or has several members."
        return Section(identifier, title, absent=reason)
    intro = (
        "The law of total variance splits a mixture's variance: the mean variance within its "
        "networks (aleatoric: noise and degeneracy, which more training planets do not remove) "
        "and the variance of their means (epistemic: what the networks disagree on). The networks "
        "are draws of a Bayesian network's weights, the members of an ensemble, or both. Each "
        "planet's numbers are variables of the posterior files."
    )
    caption = (
        "Standard deviations of every test planet's posterior within and between the networks, in "
        "the targets' units; on the line they are equal."
    )
    figure = plotting.spread_parts(parts, content.test)
    rows = []
    targets = content.test
    for name, values in parts.items():
        aleatoric, epistemic = (values[part].values for part in (ALEATORIC, EPISTEMIC))
        share = np.nanmean(epistemic**2, axis=0) / np.nanmean(aleatoric**2 + epistemic**2, axis=0)
        for column, (latex, unit) in enumerate(
            zip(targets["target_latex"].values, targets["target_units"].values, strict=True)
        ):
            digits = 0 if unit == "K" else 4
            rows.append(
                [
                    name,
                    latex_to_html(str(latex)),
                    str(unit),
                    number(np.nanmedian(aleatoric[:, column]), digits),
                    number(np.nanmedian(epistemic[:, column]), digits),
                    number(100 * share[column], 1),
                ]
            )
    header = ["model", "target", "unit", "aleatoric, median", "epistemic, median"]
    header.append("epistemic share of the variance [%]")
    blocks = [
        FigureBlock("uncertainty", caption, figure),
        TableBlock(header, rows, numeric_from=3, collapsed="Uncertainty by target"),
    ]
    return Section(identifier, title, intro, blocks)
