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
    ProgressLines,
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
from arielflow.core.readers import shown as cut
from arielflow.editions import get_edition

_MOST_LINES = 20


@app.command()
def spectrum(
    planets: Annotated[Path, typer.Argument(help="CSV: id, star, planet, targets by name.")],
    output: Annotated[Path, typer.Option(help="CSV file to write: id and one column a bin.")],
    edition: EditionName = "adc2023",
    opacities: Opacities = "builtin",
    mode: Annotated[
        Mode, typer.Option(help="Every wavelength, or nodes (made once).")
    ] = "reference",
    cia: Annotated[
        bool, typer.Option(help="Collision-induced absorption, from the folder.")
    ] = False,
    native: Annotated[bool, typer.Option(help="On the tables' own grid.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Transmission spectra of a table of planets; a faulty planet gets an empty row."""
    from rich.progress import Progress

    from arielflow.core.device import resolve_device
    from arielflow.core.files import write_table
    from arielflow.core.tables import read_csv
    from arielflow.data.spectrum_table import compute_spectra

    table = read_csv(planets)
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
        "warnings": found.warnings,
        "clamped": found.clamped,
        "outside": found.outside,
    }
    n_planets, n_wavelengths = len(found.table), found.table.shape[1] - 1
    written = f"spectra of {n_planets - len(found.faults)} of {n_planets} planets"
    say(
        as_json,
        content,
        f"{output}: {written}, {n_wavelengths} wavelengths",
        *_by_planet("no spectrum, ", found.faults),
        *_by_planet("", {name: "; ".join(words) for name, words in found.warnings.items()}),
    )
    if found.none_found:
        raise typer.Exit(INVALID)


def _by_planet(what: str, words: dict[str, str]) -> list[str]:
    """A line a planet, the first of many."""
    lines = [f"{cut(name)}: {what}{cut(text, 400)}" for name, text in words.items()]
    more = [f"and {len(lines) - _MOST_LINES} more planets, see --json"]
    return lines[:_MOST_LINES] + more * (len(lines) > _MOST_LINES)


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
    cia: Annotated[
        bool, typer.Option(help="Collision-induced absorption, from the folder.")
    ] = False,
    samples: Annotated[int, typer.Option(min=1, help="Samples to keep a planet.")] = 4000,
    live: Annotated[int, typer.Option(min=50, help="Live points of the sampler.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampler.")] = 2026,
    workers: Annotated[int, typer.Option(min=1, help="Planets sampled at once.")] = 1,
    as_json: Json = False,
) -> None:
    """Retrieve planets by nested sampling; the same call resumes an interrupted one."""
    from rich.markup import escape
    from rich.progress import Progress

    from arielflow.data.forward_models import fast_physics
    from arielflow.data.ingest import ingest as ingest_split
    from arielflow.retrieval.nested import Nested, NestedProgress
    from arielflow.retrieval.planets import choose_planets, retrieve_planets
    from arielflow.retrieval.summary import summarise, summary_lines
    from arielflow.settings.nested import NestedSettings

    chosen = get_edition(edition)
    planets, _, _ = ingest_split(folder, chosen, "test", prior=prior)
    planets = choose_planets(planets, planet)
    names = planets["planet"].values
    physics = physics_settings(opacities, cia)
    with Progress(console=errors, transient=True) as bar:
        if mode == "fast":
            building = bar.add_task(TASKS[0], total=None, visible=False)
            physics = fast_physics(chosen, physics, progress=shown(bar, building))
        tasks = {
            name: bar.add_task(f"{escape(str(name))}: exploring", total=None) for name in names
        }
        lines = {name: ProgressLines() for name in names}

        def report(name: str, state: NestedProgress) -> None:
            said = f"{name}: {state.likelihood_calls:,} likelihood calls"
            bar.update(
                tasks[name],
                description=escape(said),
                completed=state.effective_samples,
                # Without a total the bar only pulses: exploring has no known end.
                total=state.n_effective if state.effective_samples else None,
            )
            effective = f"{state.effective_samples:.0f} of {state.n_effective} effective samples"
            lines[name](f"{said}, {effective if state.effective_samples else 'exploring'}")

        posterior = retrieve_planets(
            chosen,
            planets,
            Nested(NestedSettings(n_live=live)),
            output,
            physics=physics,
            seed=seed,
            n_samples=samples,
            workers=workers,
            progress=report,
        )
    summary = summarise(posterior)
    content = {"output": str(output), "prior": planets.attrs["prior"], "planets": summary}
    say(as_json, content, prior_line(planets), *summary_lines(summary))
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
