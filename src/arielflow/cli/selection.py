"""Model selection: what an observed spectrum, or spectra of test planets, ask for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from arielflow.cli.common import (
    INVALID,
    Prior,
    app,
    console,
    errors,
    physics_settings,
    prior_line,
    say,
    shown,
)
from arielflow.cli.retrieve import (
    Binning,
    Edition,
    Inputs,
    MethodOption,
    OpacityFolder,
    Planet,
    Seed,
    chosen_planets,
    planet_file,
    read_observed,
    refuse,
    spoken,
)
from arielflow.cli.spectra import DepthUnit, Kind, WavelengthUnit, Widths, describe_lines
from arielflow.editions import get_edition


@app.command("select-model")
def select_model(
    inputs: Inputs,
    planet: Planet,
    output: Annotated[
        Path,
        typer.Option(
            help="CSV file to write: one row a planet and model. A table and figures of the points "
            "that speak for each part are written beside it."
        ),
    ],
    method: MethodOption = None,
    wavelength_unit: WavelengthUnit = None,
    depth_unit: DepthUnit = None,
    widths: Widths = None,
    kind: Kind = None,
    resolving_power: Binning = None,
    edition: Edition = None,
    prior: Prior = None,
    opacities: OpacityFolder = None,
    seed: Seed = 2026,
) -> None:
    """Compare models by their evidence: parts of a planet file left out, or sets of molecules."""
    read = {"wavelength_unit": wavelength_unit, "depth_unit": depth_unit}
    read |= {"widths": widths, "kind": kind}
    of_spectrum = {**read, "method": method, "resolving_power": resolving_power}
    if edition is None:
        refuse({"prior": prior}, "is for test planets; give --edition too, or leave it out")
        spectrum = read_observed(inputs, **read)
        setup = {"opacities": opacities, "resolving_power": resolving_power}
        _of_spectrum(spectrum, planet_file(planet), output, method or "importance", setup, seed)
    else:
        refuse(of_spectrum, "is for a spectrum; leave out --edition, or this")
        planets = chosen_planets(inputs, edition, planet, prior)
        _of_test_planets(edition, planets, output, physics_settings(opacities or "builtin"), seed)


def _of_spectrum(
    spectrum: Any, file: Path, output: Path, method: Any, setup: dict[str, Any], seed: int
) -> None:
    from arielflow.cli.tables import comparison_table
    from arielflow.core.files import write_table
    from arielflow.data.description.read import read_planet_file
    from arielflow.evaluation.detections import spectrum_selection_by_bin
    from arielflow.retrieval.spectra.selection import compare_models

    description = read_planet_file(file)
    say(False, {}, *describe_lines(spectrum))
    with spoken(description.name) as tell:
        found = compare_models(description, spectrum, method=method, seed=seed, say=tell, **setup)
    by_bin = spectrum_selection_by_bin(found)
    write_table(by_bin.models, output)
    write_table(by_bin.points, output.with_name(f"{output.stem}_points.csv"))
    _draw(by_bin, output.with_name(f"{output.stem}_points.png"))
    notes = (*found.full.spectrum.notes[len(spectrum.notes) :], *found.full.description.notes)
    say(False, {}, *(f"note: {note}" for note in notes))
    console.print(comparison_table(by_bin.models, description.name))


def _draw(by_bin: Any, path: Path) -> None:
    from arielflow.core.files import atomic_path
    from arielflow.plotting import detection_map

    found = by_bin.detections
    if not found:
        return
    figure = detection_map(
        by_bin.points["wavelength_um"].to_numpy(),
        {name: one.loss for name, one in found.items()},
        {name: one.needs_refit for name, one in found.items()},
        {name: one.rests_on for name, one in found.items()},
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _of_test_planets(edition: str, planets: Any, output: Path, physics: Any, seed: int) -> None:
    from rich.progress import Progress

    from arielflow.cli.tables import selection_tables
    from arielflow.core.files import write_table
    from arielflow.evaluation.detections import planet_selection_by_bin
    from arielflow.retrieval.model_selection import ModelSelection, select_models

    with Progress(console=errors, transient=True) as bar:
        show = shown(bar, bar.add_task("planets", total=planets.sizes["planet"]))
        selections, faults = select_models(
            *(get_edition(edition), planets, ModelSelection()),
            physics=physics,
            seed=seed,
            done=show,
        )
    wavelength_um = planets["wavelength"].values
    by_bin = {
        name: planet_selection_by_bin(found, wavelength_um) for name, found in selections.items()
    }
    table = _together({name: found.models for name, found in by_bin.items()})
    write_table(table, output)
    points = _together({name: found.points for name, found in by_bin.items()})
    write_table(points, output.with_name(f"{output.stem}_points.csv"))
    for name, found in by_bin.items():
        safe = re.sub(r"[^\w.+-]", "_", name)
        _draw(found, output.with_name(f"{output.stem}_points_{safe}.png"))
    say(False, {}, prior_line(planets))
    for part in selection_tables(table):
        console.print(part)
    for name, fault in faults.items():
        say(False, {}, f"{name}: no comparison ({fault})")
    if not len(table):
        raise typer.Exit(INVALID)


def _together(tables: dict[str, Any]) -> Any:
    """Planets' tables one after another, the planet in the first column."""
    import pandas as pd

    named = [table.assign(planet=name) for name, table in tables.items()]
    return pd.concat([pd.DataFrame({"planet": []}), *named], ignore_index=True)
