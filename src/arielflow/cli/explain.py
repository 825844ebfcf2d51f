"""The command that asks a model what it looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from arielflow.cli.common import INVALID, Json, Prior, app, say
from arielflow.cli.models import Edition, Planets


@app.command()
def explain(
    model: Annotated[Path, typer.Argument(help="Folder of a model's members, models/<row>.")],
    planets: Planets,
    output: Annotated[Path, typer.Option(help="Folder for tables, figures and rules.")],
    planet: Annotated[
        list[str] | None,
        typer.Option("--planet", help="Identifier of a planet to explain; repeatable; all."),
    ] = None,
    edition: Edition = None,
    split: Annotated[str, typer.Option(help="train, test or what else it has.")] = "test",
    prior: Prior = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Training planets, as PLANETS; for rules, permutation and examples."),
    ] = None,
    exploration: Annotated[
        Path | None, typer.Option(help="exploration.nc of the run, for importances by cluster.")
    ] = None,
    opacities: Annotated[
        str | None,
        typer.Option(help="builtin, or a folder: the forward model to hold answers against."),
    ] = None,
    paths: Annotated[
        int, typer.Option(min=1, help="Planets that costly methods and figures are for.")
    ] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the run.")] = 2026,
    as_json: Json = False,
) -> None:
    """Say what a model looked at: attributions, importances, rules, counterfactuals, examples."""
    import arielflow as af
    from arielflow.api.explanations import explain_model
    from arielflow.cli.common import physics_settings
    from arielflow.core.schema import open_dataset

    loaded = af.load_model(model, device="cpu")
    given = af.read(planets, edition=edition, split=split, prior=prior)
    known = None
    if reference is not None:
        known = af.read(reference, edition=edition, split="train", prior=prior)
    found = explain_model(
        loaded,
        given,
        output,
        reference=known,
        exploration=None if exploration is None else open_dataset(exploration),
        physics=None if opacities is None else physics_settings(opacities),
        identifiers=planet or (),
        n_paths=paths,
        seed=seed,
    )
    rho = ", ".join(f"{name} {value}" for name, value in found["agreement"].items())
    say(
        as_json,
        {"output": str(output), **found},
        f"{output}: {len(found['files'])} files on {len(found['planets'])} planets",
        *([f"rank correlation of the gradient with the gain: {rho}"] if rho else []),
        *(f"without {part}: {reason}" for part, reason in found["skipped"].items()),
    )
    if not found["files"]:
        raise typer.Exit(INVALID)
