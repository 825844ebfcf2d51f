"""The report's sections about posteriors: predictions, corner plots, observed planets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from markupsafe import Markup

from arielflow import plotting
from arielflow.core.samples import WeightedSamples, weighted_quantiles
from arielflow.data.shown_planets import shown_planets
from arielflow.report import formatting
from arielflow.report.blocks import FigureBlock, Section, TableBlock
from arielflow.report.content import (
    ReportContent,
    planet_samples,
    true_samples,
)
from arielflow.report.detection_blocks import detection_blocks

_CORNER_MODELS = 3
_QUANTILE_PLANETS = 500
_CREDIBLE_68 = (0.16, 0.5, 0.84)


def predictions_section(content: ReportContent) -> Section:
    """Posterior medians against true values, model by model."""
    title = "Predicted and true"
    theta = content.true_theta()
    if not content.posteriors or theta is None:
        reason = "The true parameters of the test planets are not known."
        return Section("predictions", title, absent=reason)
    known = np.flatnonzero(np.isfinite(theta).all(axis=1))
    step = max(1, len(known) // _QUANTILE_PLANETS)
    rows = known[::step][:_QUANTILE_PLANETS]
    names = content.test["planet"].values[rows]
    blocks = []
    for model in content.ranked_models:
        quantiles = _quantiles(content, model, names)
        caption = (
            f"{model}: posterior median with its 68 % interval against the true value, "
            f"{len(rows):,} test planets."
        )
        if content.test.attrs.get("noise") == "free":
            caption += (
                " The spectra are stored without noise while the posterior allows for it, so more "
                "than 68 % of the true values lie inside."
            )
        figure = plotting.predicted_versus_true(content.test, quantiles, theta[rows])
        collapsed = f"The same for {model}" if blocks else ""
        blocks.append(FigureBlock(f"predicted_{model}", caption, figure, collapsed))
    return Section("predictions", title, blocks=blocks)


def _quantiles(content: ReportContent, model: str, names: np.ndarray) -> np.ndarray:
    """16, 50 and 84 % of the named planets' posteriors, shape (planet, 3, target)."""
    posterior = content.posteriors[model]
    blocks = []
    for start in range(0, len(names), 100):
        part = posterior[["theta", "weight"]].sel(planet=names[start : start + 100]).load()
        pairs = zip(part["theta"].values, part["weight"].values, strict=True)
        blocks += [weighted_quantiles(theta, weight, _CREDIBLE_68) for theta, weight in pairs]
    return np.stack(blocks)


def corner_section(content: ReportContent) -> Section:
    """Joint posteriors of a few test planets."""
    title = "Posteriors of test planets"
    if not content.posteriors or content.test is None:
        return Section("posteriors", title, absent="No posteriors were handed over.")
    theta = content.true_theta()
    models = content.ranked_models[:_CORNER_MODELS]
    blocks: list[FigureBlock | TableBlock] = []
    for number, name in enumerate(shown_planets(content.test, content.truth), start=1):
        truth = true_samples(content.truth, name)
        position = int(np.flatnonzero(content.test["planet"].values == name)[0])
        figure = plotting.corner_plot(
            content.test,
            {model: planet_samples(content.posteriors[model], name) for model in models},
            truth,
            None if theta is None else theta[position],
        )
        overlay = ", the true posterior drawn over them" if truth is not None else ""
        caption = f"Planet {name}: joint posteriors (contours hold 39 and 86 %){overlay}."
        blocks.append(FigureBlock(f"corner_{number}", caption, figure))
        for model, tables in content.detections.items():
            blocks += detection_blocks(model, tables, name, number)
    intro = "Planets with weak, typical and strong spectral features relative to their error bars."
    return Section("posteriors", title, intro, blocks)


def observed_section(content: ReportContent) -> Section:
    """Posteriors of observed planets beside the literature."""
    title = "Observed planets and the literature"
    if not content.observed_posteriors:
        return Section("observed", title, absent="This run holds no observed planet.")
    first = next(iter(content.observed_posteriors.values()))
    blocks: list = []
    for number, name in enumerate(map(str, first["planet"].values), start=1):
        samples = {m: planet_samples(p, name) for m, p in content.observed_posteriors.items()}
        published = content.literature.get(name, ())
        figure = plotting.posterior_beside_literature(first, samples, published)
        caption = f"{name}: marginal posteriors; diamonds are published values."
        blocks.append(FigureBlock(f"observed_{number}", caption, figure))
        blocks.append(_literature_table(first, name, samples, published))
    return Section("observed", title, blocks=blocks)


def _literature_table(
    targets: xr.Dataset,
    name: str,
    samples: Mapping[str, WeightedSamples],
    published: Sequence[Mapping[str, object]],
) -> TableBlock:
    quantities = list(targets["target_quantity"].values)
    rows = []
    for model, pair in samples.items():
        low, median, high = weighted_quantiles(*pair, _CREDIBLE_68)
        digits = [0 if unit == "K" else 2 for unit in targets["target_units"].values]
        cells = [
            Markup("{}<sup>+{}</sup><sub>−{}</sub>").format(
                *(formatting.number(v, d) for v in (m, h - m, m - lo))
            )
            for lo, m, h, d in zip(low, median, high, digits, strict=True)
        ]
        rows.append([model, *cells])
    for source in dict.fromkeys(str(row["source"]) for row in published):
        cells = [""] * len(quantities)
        for row in published:
            if str(row["source"]) == source and row["quantity"] in quantities:
                cells[quantities.index(row["quantity"])] = f"{row['value']:g} ± {row['error']:g}"
        rows.append([source, *cells])
    header = [
        Markup("{} [{}]").format(formatting.latex_to_html(latex), unit)
        for latex, unit in zip(
            targets["target_latex"].values, targets["target_units"].values, strict=True
        )
    ]
    classes = [""] * len(samples) + ["published"] * (len(rows) - len(samples))
    title = f"{name}: posterior median with 68 % interval, and published values"
    return TableBlock(["", *header], rows, title, numeric_from=1, row_classes=classes)
