"""The command that compares two data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from arielflow.cli.common import Json, app, say
from arielflow.cli.models import Edition
from arielflow.core.errors import ArielflowError
from arielflow.core.readers import shown
from arielflow.editions import get_edition

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

    first = _planets(train, edition, None, "train")
    second = _planets(test, edition, split, "test")
    found = compare_sets(first, second, seed=seed, noise=noise)
    if output is not None:
        write_drift(found, output)
    lines = (f"{v.kind}: {_answer(v)}{v.words}" for v in found.verdicts)
    say(as_json, drift_content(found), *found.notes, *lines)


def _answer(verdict: Any) -> str:
    if verdict.drift is None:
        return ""
    return f"DRIFT{f' ({verdict.size})' if verdict.size else ''}, " if verdict.drift else "none, "


def _planets(source: Path, edition: str | None, split: str | None, wanted: str) -> Any:
    """Planets of a folder or file, with theta where it is known.

    Of a folder the split that is asked for, else the wanted one, else the other where that is all
    there is.
    """
    import arielflow as af
    from arielflow.core.readers import guarded

    if not source.exists():
        raise ArielflowError(
            f"{shown(source, 400)}: no such file or folder; give the root of a data set, or a "
            "NetCDF file of planets"
        )
    if source.is_dir():
        return _of_folder(source, edition, split, wanted)
    if split is not None:
        raise ArielflowError(
            f"--split: is for a folder, {shown(source, 400)} is none; leave it out"
        )
    try:
        with guarded(source, "NetCDF file of planets", "ingest the data set again"):
            return af.read(source, edition=edition)
    except ArielflowError as error:
        if str(source) in str(error):
            raise
        raise ArielflowError(f"{source}: {error}") from None


def _of_folder(source: Path, edition: str | None, split: str | None, wanted: str) -> Any:
    import arielflow as af
    from arielflow.editions.official_files import SPLIT_FOLDERS
    from arielflow.simulation.dataset import TEST_TRUTH

    if edition is None:
        return af.read(source)  # says which editions there are
    official = bool(get_edition(edition).identifier_templates)
    splits = [*SPLIT_FOLDERS] if official else [*SPLIT_FOLDERS, "observed"]
    if split not in (None, *splits):
        raise ArielflowError(
            f"--split {shown(split)}: edition {edition} has no such split; choose "
            f"{', '.join(splits)}"
        )
    there = [name for name, folder in SPLIT_FOLDERS.items() if (source / folder).is_dir()]
    chosen = split or (wanted if wanted in there or not there else there[0])
    planets = af.read(source, edition=edition, split=chosen)
    if chosen == "test" and ((source / TEST_TRUTH).is_dir() or not official):
        planets = planets.assign(theta=af.read_truth(source, planets)["theta"])
    return planets
