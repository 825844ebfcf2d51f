"""Model selection: which molecules a spectrum shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from arielflow.cli.common import (
    INVALID,
    EditionName,
    Opacities,
    Prior,
    TestFolder,
    TestPlanets,
    app,
    console,
    errors,
    physics_settings,
    prior_line,
    say,
    shown,
)
from arielflow.editions import get_edition


@app.command("select-model")
def select_model(
    folder: TestFolder,
    edition: EditionName,
    planet: TestPlanets,
    output: Annotated[Path, typer.Option(help="CSV file to write: one row a planet and model.")],
    prior: Prior = None,
    opacities: Opacities = "builtin",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the fits.")] = 2026,
) -> None:
    """Compare a flat line and sets of molecules by their evidence."""
    from rich.progress import Progress

    from arielflow.cli.tables import selection_tables
    from arielflow.core.files import write_table
    from arielflow.data.ingest import ingest as ingest_split
    from arielflow.retrieval.model_selection import ModelSelection, select_models
    from arielflow.retrieval.planets import choose_planets

    chosen, physics = get_edition(edition), physics_settings(opacities)
    planets, _, _ = ingest_split(folder, chosen, "test", prior=prior)
    with Progress(console=errors, transient=True) as bar:
        show = shown(bar, bar.add_task("planets", total=len(planet)))
        table, faults = select_models(
            *(chosen, choose_planets(planets, planet), ModelSelection()),
            physics=physics,
            seed=seed,
            done=show,
        )
    write_table(table, output)
    say(False, {}, prior_line(planets))
    for part in selection_tables(table):
        console.print(part)
    for name, fault in faults.items():
        say(False, {}, f"{name}: no comparison ({fault})")
    if not len(table):
        raise typer.Exit(INVALID)
