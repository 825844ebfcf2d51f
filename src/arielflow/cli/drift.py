"""The command that compares two data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from arielflow.cli.common import Json, app, say
from arielflow.cli.models import Edition

Source = Annotated[Path, typer.Argument(help="Root of a data set, or a NetCDF file of planets.")]


@app.command()
def drift(
    train: Source,
    test: Source,
    edition: Edition = None,
    split: Annotated[
        str | None, typer.Option(help="Of TEST: test (if it has one), train or what else it has.")
    ] = None,
    noise: Annotated[
        bool, typer.Option(help="Draw noise on spectra that are stored without.")
    ] = True,
    output: Annotated[
        Path | None, typer.Option(help="Folder for tables (CSV), figures (SVG) and drift.json.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 2026,
    as_json: Json = False,
) -> None:
    """Compare two sets of planets: spectra, noise, systems, and theta where both have it."""
    from arielflow.evaluation.drift.compare import compare_sets
    from arielflow.evaluation.drift.outputs import drift_content, write_drift

    first = _planets(train, edition, _split(train, "train"))
    second = _planets(test, edition, split or _split(test, "test"))
    found = compare_sets(first, second, seed=seed, noise=noise)
    if output is not None:
        write_drift(found, output)
    lines = (f"{v.kind}: {_answer(v)}{v.words}" for v in found.verdicts)
    say(as_json, drift_content(found), *found.notes, *lines)


def _answer(verdict: Any) -> str:
    if verdict.drift is None:
        return ""
    return f"DRIFT{f' ({verdict.size})' if verdict.size else ''}, " if verdict.drift else "none, "


def _split(source: Path, wanted: str) -> str:
    """The wanted split, or the other one where a folder has that alone."""
    from arielflow.editions.official_files import SPLIT_FOLDERS

    other = next(name for name in SPLIT_FOLDERS if name != wanted)
    there = {name: (source / folder).is_dir() for name, folder in SPLIT_FOLDERS.items()}
    return other if there[other] and not there[wanted] else wanted


def _planets(source: Path, edition: str | None, split: str) -> Any:
    """Planets of a folder or file, with theta where it is known."""
    import arielflow as af
    from arielflow.core.readers import guarded
    from arielflow.simulation.dataset import TEST_TRUTH

    if source.is_file():
        with guarded(source, "NetCDF file of planets", "ingest the data set again"):
            return af.read(source, edition=edition)
    planets = af.read(source, edition=edition, split=split)
    if split == "test" and (source / TEST_TRUTH).is_dir():
        planets = planets.assign(theta=af.read_truth(source, planets)["theta"])
    return planets
