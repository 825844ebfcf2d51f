"""Commands about the opacities that a user brings: what a folder holds, and fetching files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arielflow.cli.common import INVALID, Json, ProgressLines, app, errors, say
from arielflow.core.errors import ArielflowError
from arielflow.editions import get_edition

if TYPE_CHECKING:
    from arielflow.data.opacity_survey import Survey

opacities = typer.Typer(help="Opacity tables: what a folder holds, and fetching them.")
app.add_typer(opacities, name="opacities", no_args_is_help=True)


@opacities.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Folder of opacity tables.")],
    wavelength: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Range that has to be covered [um].", metavar="MIN MAX"),
    ] = None,
    edition: Annotated[
        str | None, typer.Option(help="Its bins have to be covered; adc2023, for instance.")
    ] = None,
    molecule: Annotated[
        list[str] | None, typer.Option(help="Gas that needs a table, such as H2O; repeatable.")
    ] = None,
    cia: Annotated[
        bool, typer.Option(help="Collision-induced absorption of H2-H2 and H2-He is needed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What a folder of opacities holds, what looks wrong, and what a retrieval would miss."""
    from arielflow.data.opacity_survey import Asked, asked_range, survey
    from arielflow.physics.molecule_names import formula

    if wavelength is not None and edition is not None:
        raise ArielflowError("--wavelength and --edition both give wavelengths; choose one")
    bins = None
    if wavelength is not None:
        bins = asked_range(*wavelength)
    elif edition is not None:
        chosen = get_edition(edition)
        bins = chosen.wavelength_um, chosen.wavelength_width_um
    names = tuple(dict.fromkeys(formula(name) for name in molecule or ()))
    found = survey(folder, Asked(names, bins, edition is not None, cia))
    content = {"folder": str(folder), "complete": found.complete} | asdict(found)
    say(as_json, content, *_lines(found))
    if not found.complete:
        raise typer.Exit(INVALID)


def _lines(found: Survey) -> list[str]:
    """A survey for people."""
    told = []
    for entry in found.entries:
        parts = [
            f"{entry.file}: {entry.gas}, {entry.kind} ({entry.format})",
            "{:.4g}-{:.4g} um".format(*entry.wavelength_um)
            + f" at R = {entry.resolving_power:.3g}",
            "{:g}-{:g} K".format(*entry.temperature_k) + f" ({entry.points['temperatures']})",
        ]
        if entry.pressure_bar is not None:
            pressures = "{:.3g}-{:.3g} bar".format(*entry.pressure_bar)
            parts.append(f"{pressures} ({entry.points['pressures']})")
        told.append(", ".join(parts))
        told += [f"  doubt: {doubt}" for doubt in entry.doubts]
    groups = {
        "no table": found.no_tables,
        "damaged": found.faults,
        "missing": found.missing,
        "absent": found.absent,
    }
    return told + [f"{heading}: {words}" for heading, group in groups.items() for words in group]


@opacities.command()
def fetch(
    files: Annotated[
        Path,
        typer.Argument(metavar="LIST", help="CSV, YAML or text: url, sha256, file."),
    ],
    output: Annotated[Path, typer.Option(help="Folder to fetch to; right files are left.")],
    mirror: Annotated[
        str | None, typer.Option(help="Folder, or its address, that has the files by name.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch the files of a list and check them; the same call resumes an interrupted one."""
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from arielflow.data.file_lists import fetch_files, read_file_list

    entries = read_file_list(files)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn()
    with Progress(*columns, console=errors, transient=True) as bar:
        tasks = {
            entry.name: bar.add_task(escape(entry.name), total=None, visible=False)
            for entry in entries
        }
        tell = ProgressLines()

        def report(name: str, done: int, total: int | None) -> None:
            bar.update(tasks[name], completed=done, total=total, visible=done != total)
            tell(f"{name}: {done} of {total or 'an unknown number of'} bytes")

        found = fetch_files(entries, output, mirror=mirror, progress=report)
    say(
        as_json,
        {"output": str(output)} | asdict(found),
        *(f"{name}: fetched" for name in found.fetched),
        *(f"{name}: there already" for name in found.present),
        *(f"{name}: not fetched ({fault})" for name, fault in found.faults.items()),
    )
    if found.faults:
        raise typer.Exit(INVALID)
