"""Commands that train models, sample them, and report what a run found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from arielflow.cli.common import INVALID, Json, Prior, app, say
from arielflow.editions import NAMES

Edition = Annotated[
    str | None,
    typer.Option(help=f"Of a data set's folder: one of {', '.join(NAMES)}."),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Planets = Annotated[
    Path, typer.Argument(help="Root of a data set, or a NetCDF file that ingest wrote.")
]


@app.command()
def train(
    planets: Planets,
    family: Annotated[str, typer.Option(help="flow, random_forest, mc_dropout, bnn, cvae …")],
    output: Annotated[Path, typer.Option(help="Folder of the members 0, 1, …; names the model.")],
    edition: Edition = None,
    prior: Prior = None,
    settings: Annotated[
        Path | None, typer.Option(help="YAML file of the family's settings; its defaults.")
    ] = None,
    members: Annotated[int, typer.Option(min=1, help="Members of the ensemble.")] = 1,
    validation_fraction: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of the planets held out to watch.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the run.")] = 2026,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train the members of a model on the training planets of a data set."""
    import arielflow as af
    from arielflow.core.config import read_config

    given = {} if settings is None else read_config(settings)
    known = af.read(planets, edition=edition, split="train", prior=prior)
    if given.get("targets", "fm") != "fm":
        known = af.read_truth(planets, known)
    model = af.train(
        known,
        family,
        output,
        settings=given,
        members=members,
        validation_fraction=validation_fraction,
        seed=seed,
        device=device,
    )
    folders = [str(member) for member in model.members]
    left = len(model.ensemble.estimators)
    content = {"family": family, "planets": known.sizes["planet"], "members": folders}
    trained = f"{left} of {members} members of {family} trained"
    say(as_json, content, f"{output}: {trained} on {known.sizes['planet']} planets")


@app.command()
def sample(
    model: Annotated[Path, typer.Argument(help="Folder of a model's members, models/<row>.")],
    planets: Planets,
    output: Annotated[Path, typer.Option(help="NetCDF file of posteriors to write.")],
    edition: Edition = None,
    split: Annotated[str, typer.Option(help="train, test or what else it has.")] = "test",
    prior: Prior = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples per planet.")] = 4000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the run.")] = 2026,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Sample the posteriors of planets from a trained model, its members mixed as its run did."""
    import arielflow as af
    from arielflow.core.files import write_dataset

    loaded = af.load_model(model, device=device)
    posterior = loaded.sample(
        af.read(planets, edition=edition, split=split, prior=prior), samples, seed=seed
    )
    write_dataset(posterior, output)
    names, reasons = posterior["planet"].values, posterior["fault"].values
    faults = {str(n): str(reason) for n, reason in zip(names, reasons, strict=True) if reason}
    content = {
        "output": str(output),
        "planets": len(names),
        "mixing": loaded.mixing,
        "shares": loaded.ensemble.shares.tolist(),
        "faults": faults,
    }
    say(
        as_json,
        content,
        f"{output}: posteriors of {len(names) - len(faults)} of {len(names)} planets, "
        f"{samples} samples each ({loaded.mixing})",
        *(f"{name}: its samples are the prior's: {fault}" for name, fault in faults.items()),
    )
    if len(faults) == len(names):
        raise typer.Exit(INVALID)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Results folder of a finished run.")],
    output: Annotated[Path, typer.Option(help="Folder for index.html and its figures.")],
    as_json: Json = False,
) -> None:
    """Write the report of a finished run anew, from its results folder."""
    from arielflow.report.run_folder import report_run

    page = report_run(run, output)
    figures = sorted(path.name for path in (output / "figures").glob("*"))
    content = {"page": str(page), "figures": figures}
    say(as_json, content, f"{page}: {len(figures)} figures")
