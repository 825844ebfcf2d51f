"""Model selection of chosen planets: what ``arielflow select-model`` computes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import xarray as xr
from rich.table import Table
from rich.text import Text

from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_table
from arielflow.core.readers import printable
from arielflow.data.forward_models import edition_model
from arielflow.editions import Edition
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.model_selection import MODERATE, SELECTION_SETTINGS, select_molecules
from arielflow.retrieval.planets import choose_planets, data_fault, planet_seed
from arielflow.retrieval.variational import VariationalSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selections:
    """Models compared on several planets.

    Attributes
    ----------
    table : the planets' tables one after another, ``planet`` in the first column, see
        :class:`arielflow.retrieval.model_selection.Selection`
    faults : planets without a comparison, and why
    """

    table: pd.DataFrame
    faults: dict[str, str]


def select_models(
    edition: Edition,
    planets: xr.Dataset,
    identifiers: Sequence[str],
    output: str | Path,
    *,
    physics: PhysicsSettings,
    seed: int,
    settings: VariationalSettings = SELECTION_SETTINGS,
    threshold: float = MODERATE,
    progress: Callable[[int, int], None] | None = None,
) -> Selections:
    """Compare models of planets' spectra and write the table as CSV.

    Parameters
    ----------
    edition, planets, identifiers
        Planets dataset, its edition, and which planets.
    output
        CSV file to write.
    physics
        Opacities and mode of the forward model.
    seed, settings, threshold
        See :func:`arielflow.retrieval.model_selection.select_molecules`.
    progress
        Called with the planets done and of all.

    Raises
    ------
    ArielflowError
        A planet is not in the data set, or the forward model cannot be had for it.
    """
    chosen = choose_planets(planets, identifiers)
    forward = ForwardModel(edition_model(edition, physics), chosen)
    tables, faults = [pd.DataFrame({"planet": []})], {}
    for position, name in enumerate(map(str, chosen["planet"].values)):
        fault = data_fault(chosen.isel(planet=[position]))
        if fault:
            faults[name] = fault
        else:
            try:
                found = select_molecules(
                    forward,
                    chosen,
                    position,
                    seed=planet_seed(seed, name),
                    settings=settings,
                    threshold=threshold,
                )
                tables.append(found.table.assign(planet=name))
            except ArielflowError as error:
                faults[name] = str(error)
        if progress:
            progress(position + 1, chosen.sizes["planet"])
    table = pd.concat(tables, ignore_index=True)
    write_table(table, output)
    return Selections(table, faults)


def rich_tables(table: pd.DataFrame) -> list[Table]:
    """The table for people, one a planet; the selected model is marked, warnings stand below."""
    headings = ("model", "log evidence", "ELBO", "log Bayes factor", "forward calls", "")
    tables = []
    for name, part in table.groupby("planet", sort=False):
        shown = Table(title=Text(printable(str(name))))
        for heading in headings:
            shown.add_column(heading, justify="left" if heading == "model" else "right")
        for row in part.itertuples():
            shown.add_row(
                row.model,
                f"{row.log_evidence:.2f} ± {row.log_evidence_error:.2f}",
                f"{row.elbo:.2f} ± {row.elbo_error:.2f}",
                f"{row.log_bayes_factor:.2f}",
                str(row.forward_calls),
                "selected" if row.selected else "",
            )
        warned = part[part["warning"] != ""]
        lines = [f"{row.model}: warning: {row.warning}" for row in warned.itertuples()]
        shown.caption = Text("\n".join(lines)) if lines else None
        tables.append(shown)
    return tables
