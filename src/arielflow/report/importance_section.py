"""The report's section about importance sampling: how far its weights can be trusted."""

from __future__ import annotations

import numpy as np
import pandas as pd

from arielflow import plotting
from arielflow.report.blocks import FigureBlock, Section, TableBlock
from arielflow.report.content import ReportContent
from arielflow.report.formatting import number
from arielflow.report.left_out import left_out_table
from arielflow.report.score_tables import with_detail
from arielflow.retrieval.amortised import Fallback

_SUFFIX, _FALLBACK_SUFFIX = "_importance", "_fallback"
# Above it, smoothed weights are not to be trusted (Vehtari et al. 2024, JMLR 25, 72).
_LARGEST_SHAPE = 0.7
_PER_PLANET = ("sampling_efficiency", "pareto_shape", "likelihood_calls", "seconds")


def importance_section(content: ReportContent) -> Section:
    """Efficiency, tail, fall-backs and cost of every row that importance sampling made."""
    identifier, title = "importance_sampling", "Importance sampling"
    rows = [name for name in content.ranked_models if _weighted(content, name)]
    if not rows:
        reason = "No model's posteriors were weighted through the forward model in this run."
        return Section(identifier, title, absent=reason)
    tables = {name: _by_planet(content, name) for name in rows}
    fallback = Fallback(**((content.config or {}).get("importance", {}).get("fallback", {})))
    intro = (
        "Draws of the model are weighted by likelihood times prior over the model's density, and "
        "proposals fitted to them are added. Where the efficiency is below "
        f"{fallback.efficiency:g} or the Pareto shape of the weights' tail above "
        f"{fallback.pareto_shape:g}, the row with fall-back holds nested sampling instead. A flow "
        "fitted to each spectrum is checked in the same way, and the planets are named where "
        "something speaks against its fit."
    )
    caption = (
        "Left: effective samples over draws, planet by planet from the least efficient on. Right: "
        "shape of the weights' Pareto tail against the efficiency."
    )
    figure = plotting.importance_quality(tables, fallback.efficiency, fallback.pareto_shape)
    blocks = [_table(tables), FigureBlock(identifier, caption, figure)]
    for name in rows:
        final = name + _FALLBACK_SUFFIX
        left_out = left_out_table(content, final if final in content.posteriors else name)
        if left_out is not None:
            blocks.append(left_out)
    warned = [
        [name, planet, warning]
        for name, table in tables.items()
        for planet, warning in table["warning"].items()
        if warning
    ]
    if warned:
        blocks.append(TableBlock(["row", "planet", "warning"], warned, collapsed="Warnings"))
    return Section(identifier, title, intro, blocks)


def _weighted(content: ReportContent, name: str) -> bool:
    """Whether a row's posteriors are weighted draws: the importance rows, and fitted flows."""
    return name.endswith(_SUFFIX) or "warning" in content.posteriors[name]


def _by_planet(content: ReportContent, name: str) -> pd.DataFrame:
    """What importance sampling gave and took, one row per planet; NaN where it failed."""
    posterior = content.posteriors[name]
    columns = {variable: posterior[variable].values.astype(float) for variable in _PER_PLANET}
    table = pd.DataFrame(columns, index=posterior["planet"].values.astype(str))
    table.loc[posterior["retrieved"].values == 0] = np.nan
    table["fallen_back"] = False
    table["warning"] = posterior["warning"].values if "warning" in posterior else ""
    final = content.posteriors.get(name + _FALLBACK_SUFFIX)
    if final is not None:
        fallen = pd.Series(final["fallen_back"].values, final["planet"].values.astype(str))
        table["fallen_back"] = fallen.reindex(table.index).fillna(0).astype(bool)
    return table


def _table(tables: dict[str, pd.DataFrame]) -> TableBlock:
    rows = []
    for name, table in tables.items():
        efficiency = table["sampling_efficiency"].dropna()
        smallest = number(efficiency.min(), 3)
        rows.append(
            [
                name,
                number(efficiency.median(), 3),
                number(efficiency.quantile(0.05), 3),
                with_detail(smallest, efficiency.idxmin()) if len(efficiency) else "",
                number((table["pareto_shape"] > _LARGEST_SHAPE).sum(), 0),
                number(table["fallen_back"].sum(), 0),
                number((table["warning"] != "").sum(), 0),
                number(table["likelihood_calls"].median(), 0),
                number(table["seconds"].median(), 1),
            ]
        )
    header = ["row", "median efficiency [1]", "5 % quantile [1]", "smallest [1]"]
    header += [f"Pareto shape > {_LARGEST_SHAPE:g} [planets]", "fell back [planets]"]
    header += ["warned [planets]"]
    header += ["median likelihood calls", "median time per planet [s]"]
    count = max(len(table) for table in tables.values())
    note = f"Of {count:,} planets; calls and time without those of a fall-back."
    return TableBlock(header, rows, numeric_from=1, note=note)
