"""Spectra of a table of planets."""

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
    app,
    errors,
    physics_settings,
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
