"""Commands that call the forward model: spectra, retrievals, model selection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from arielflow.cli.common import (
    INVALID,
    TASKS,
    EditionName,
    Json,
    Mode,
    Opacities,
    Prior,
    TestFolder,
    TestPlanets,
    app,
    console,
    errors,
    physics_settings,
    say,
    shown,
)
from arielflow.editions import get_edition
from arielflow.errors import ArielflowError


@app.command()
def spectrum(
    planets: Annotated[Path, typer.Argument(help="CSV: id, star, planet, targets by name.")],
    output: Annotated[Path, typer.Option(help="CSV file to write: id and one column a bin.")],
    edition: EditionName = "adc2023",
    opacities: Opacities = "builtin",
    mode: Annotated[
        Mode, typer.Option(help="Every wavelength, or nodes (made once).")
    ] = "reference",
    cia: Annotated[bool, typer.Option(help="Collision-induced absorption (.cia files).")] = False,
    native: Annotated[bool, typer.Option(help="On the tables' own grid.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Transmission spectra of a table of planets; a faulty planet gets an empty row."""
    import pandas as pd
    from rich.progress import Progress

    from arielflow.provenance import write_table
    from arielflow.spectrum import compute_spectra
    from arielflow.training import resolve_device

    try:
        table = pd.read_csv(planets, dtype={0: str})
    except (ValueError, UnicodeDecodeError) as error:
        raise ArielflowError(f"{planets}: not a readable CSV table ({error})") from None
    with Progress(console=errors, transient=True) as bar:
        building, computing = (bar.add_task(t, total=None, visible=False) for t in TASKS)
        found = compute_spectra(
            table,
            get_edition(edition),
            physics_settings(opacities, cia),
            fast=mode == "fast",
            native=native,
            device=resolve_device(device),
            building=shown(bar, building),
            progress=shown(bar, computing),
        )
    write_table(found.table, output)
    content = {
        "output": str(output),
        "planets": len(found.table),
        "faults": found.faults,
        "clamped": found.clamped,
        "outside": found.outside,
    }
    say(
        as_json,
        content,
        f"{output}: {len(found.table)} planets, {found.table.shape[1] - 1} wavelengths",
        *(f"{name}: no spectrum ({fault})" for name, fault in found.faults.items()),
        *([f"{found.clamped} beyond a table's temperatures, clamped"] * bool(found.clamped)),
        *([f"{found.outside} outside the fast mode's range"] * bool(found.outside)),
    )


@app.command()
def retrieve(
    folder: TestFolder,
    edition: EditionName,
    planet: TestPlanets,
    output: Annotated[Path, typer.Option(help="NetCDF file of posteriors to write.")],
    prior: Prior = None,
    opacities: Opacities = "builtin",
    mode: Annotated[
        Mode, typer.Option(help="Every wavelength, or nodes (made once).")
    ] = "reference",
    cia: Annotated[bool, typer.Option(help="Collision-induced absorption (.cia files).")] = False,
    samples: Annotated[int, typer.Option(min=1, help="Samples to keep a planet.")] = 4000,
    live: Annotated[int, typer.Option(min=50, help="Live points of the sampler.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampler.")] = 2026,
    workers: Annotated[int, typer.Option(min=1, help="Planets sampled at once.")] = 1,
    as_json: Json = False,
) -> None:
    """Retrieve planets by nested sampling; the same call resumes an interrupted one."""
    from rich.progress import Progress

    from arielflow.edition_physics import fast_physics
    from arielflow.inference.nested import NestedSettings
    from arielflow.ingest import ingest as ingest_split
    from arielflow.retrieve import choose_planets, retrieve_planets, summarise, summary_lines

    chosen = get_edition(edition)
    planets, _, _ = ingest_split(folder, chosen, "test", prior=prior)
    names = choose_planets(planets, planet)["planet"].values
    physics = physics_settings(opacities, cia)
    with Progress(console=errors, transient=True) as bar:
        if mode == "fast":
            building = bar.add_task(TASKS[0], total=None, visible=False)
            physics = fast_physics(chosen, physics, progress=shown(bar, building))
        tasks = {name: bar.add_task(f"{name}: exploring", total=None) for name in names}
        posterior = retrieve_planets(
            chosen,
            planets,
            planet,
            output,
            physics=physics,
            seed=seed,
            n_samples=samples,
            settings=NestedSettings(n_live=live),
            workers=workers,
            progress=lambda name, state: bar.update(
                tasks[name],
                description=f"{name}: {state.likelihood_calls:,} likelihood calls",
                completed=state.effective_samples,
                # Without a total the bar only pulses: exploring has no known end.
                total=state.n_effective if state.effective_samples else None,
            ),
        )
    summary = summarise(posterior)
    say(as_json, {"output": str(output), "planets": summary}, *summary_lines(summary))
    if not posterior["retrieved"].any():
        raise typer.Exit(INVALID)


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

    from arielflow.ingest import ingest as ingest_split
    from arielflow.select_model import rich_tables, select_models

    chosen, physics = get_edition(edition), physics_settings(opacities)
    planets, _, _ = ingest_split(folder, chosen, "test", prior=prior)
    with Progress(console=errors, transient=True) as bar:
        show = shown(bar, bar.add_task("planets", total=len(planet)))
        found = select_models(
            chosen, planets, planet, output, physics=physics, seed=seed, progress=show
        )
    for table in rich_tables(found.table):
        console.print(table)
    for name, fault in found.faults.items():
        console.print(f"{name}: no comparison ({fault})", markup=False)
    if not len(found.table):
        raise typer.Exit(INVALID)
