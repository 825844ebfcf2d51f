"""What calibration by groups found, in words and as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from arielflow.core.files import atomic_path, write_json, write_table
from arielflow.evaluation.calibration.measures import TABLE_LEVELS

TABLE, FIGURE, SUMMARY = "groups.csv", "groups.svg", "summary.json"
"""Names of the files."""

_PLACES = {
    "all": "over all planets",
    "signal_to_noise": "where the spectrum's range is {} error bars",
    "temperature": "where the equilibrium temperature is {} K",
    "cluster": "in cluster {}",
}


def findings(table: pd.DataFrame) -> list[str]:
    """Cells outside of the band in words, the farthest from nominal coverage first.

    Parameters
    ----------
    table
        See :meth:`arielflow.evaluation.calibration.groups.Band.cells`.
    """
    found = [_finding(row) for _, row in table[table["outside"]].iterrows()]
    return [words for _, words in sorted(found, key=lambda one: -one[0])]


def farthest(table: pd.DataFrame) -> str:
    """The cell that is farthest from nominal for its number of planets, outside or not."""
    row = table.loc[table["p_value"].idxmin()]
    return (
        f"{_finding(row, outside=False)[1]}; {100 * row['p_value']:.2g} % of exact posteriors "
        "have a cell as far from nominal"
    )


def _finding(row: pd.Series, *, outside: bool = True) -> tuple[float, str]:
    """How far coverage is from the nominal one, and the words.

    Of the levels, with ``outside`` only of those outside of the band, the farthest is told.
    """
    place = _place(row)
    target = str(row["target"]).replace("_", " ")
    worst = (0.0, "")
    for level in TABLE_LEVELS:
        name = f"coverage_{round(100 * level)}"
        share, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
        away = abs(share - level)
        if away > worst[0] and not (outside and low <= share <= high):
            words = (
                f"{target} covers {100 * share:.1f} % instead of {100 * level:.0f} % {place} "
                f"(an exact posterior {100 * low:.1f} to {100 * high:.1f} %; "
                f"{row['n_planets']} planets)"
            )
            worst = (away, words)
    if worst[1]:
        return worst
    words = (
        f"{target} has a calibration error of {row['calibration_error']:.3f} {place} (an exact "
        f"posterior at most {row['calibration_error_limit']:.3f}; {row['n_planets']} planets)"
    )
    return 0.0, words


def _place(row: pd.Series) -> str:
    if row["covariate"] == "detectable":
        return f"where it is {'' if row['group'] == 'yes' else 'not '}detectable"
    return _PLACES[row["covariate"]].format(row["group"])


def summary(table: pd.DataFrame, model: str, level: float = 0.95) -> dict[str, Any]:
    """What ``summary.json`` holds: ``model``, numbers of planets and cells, words."""
    whole = table[table["covariate"] == "all"]
    return {
        "model": model,
        "n_planets": int(whole["n_planets"].max()),
        "n_cells": len(table),
        "n_outside": int(table["outside"].sum()),
        "band": f"holds all cells of an exact posterior with a probability of {level:g}",
        "findings": findings(table),
        "farthest": farthest(table),
    }


def write_groups(table: pd.DataFrame, planets: xr.Dataset, model: str, folder: str | Path) -> None:
    """Write table, figure and summary into a folder.

    Parameters
    ----------
    table
        See :meth:`arielflow.evaluation.calibration.groups.Band.cells`.
    planets
        Any planets dataset with the targets.
    model
        Name of the model.
    folder
        Receives the files.
    """
    from arielflow.plotting import coverage_by_group
    from arielflow.plotting.svg import svg_bytes

    folder = Path(folder)
    write_table(table, folder / TABLE)
    with atomic_path(folder / FIGURE) as temporary:
        temporary.write_bytes(svg_bytes(coverage_by_group(table, planets), Path(FIGURE).stem))
    write_json(summary(table, model), folder / SUMMARY)
