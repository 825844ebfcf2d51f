"""Commands that make data sets and check them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from arielflow.cli.common import (
    TASKS,
    EditionName,
    Json,
    Opacities,
    Prior,
    app,
    console,
    errors,
    physics_settings,
    say,
    shown,
)
from arielflow.core.errors import ArielflowError
from arielflow.core.readers import shown as value_shown
from arielflow.editions import get_edition


@app.command()
def ingest(
    folder: Annotated[Path, typer.Argument(help="Root of the data set.")],
    edition: EditionName,
    output: Annotated[Path, typer.Option(help="Folder for the NetCDF files.")],
    prior: Prior = None,
    limits: Annotated[
        list[str] | None,
        typer.Option(help="Plausible values, star_radius_m=1e6:1e9; repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check an edition's files and turn every split found into NetCDF."""
    from arielflow.core.files import write_dataset
    from arielflow.data.ingest import ingest as ingest_split
    from arielflow.data.ingest import refuse_shared_planets
    from arielflow.editions.official_files import SPLIT_FOLDERS

    chosen = get_edition(edition)
    if not folder.is_dir():
        raise ArielflowError(f"{folder}: no such folder; give the root of the data set")
    splits = list(chosen.identifier_templates) or ["train", "test", "observed"]
    if chosen.identifier_templates:
        below = [s for s in splits if (folder / SPLIT_FOLDERS[s]).is_dir()]
        splits = below or ["test"]
    spans = dict(_limit(text) for text in limits or ())
    found = {
        split: ingest_split(folder, chosen, split, prior=prior, limits=spans) for split in splits
    }
    if {"train", "test"} <= set(found):
        refuse_shared_planets(found["train"][0], found["test"][0])
    summary: dict[str, Any] = {}
    for split, (planets, traces, quality) in found.items():
        write_dataset(planets, output / f"{split}.nc")
        write_dataset(traces, output / f"{split}_traces.nc")
        quality.to_csv(output / f"{split}_quality.csv", index=False)
        summary[split] = {
            "planets": planets.sizes["planet"],
            "prior": planets.attrs["prior"],
            "annotated": int((traces["row_size"] > 0).sum()),
            "flagged": dict(zip(quality["planet_ID"], quality["flags"], strict=True)),
            "file": str(output / f"{split}.nc"),
        }
    say(
        as_json,
        summary,
        *(
            f"{split}: {s['planets']} planets, {s['annotated']} with traces, "
            f"{len(s['flagged'])} flagged, prior {s['prior']} -> {s['file']}"
            for split, s in summary.items()
        ),
    )


def _limit(text: str) -> tuple[str, tuple[float, float]]:
    """``star_radius_m=1e6:1e9`` as a name and a range."""
    name, _, span = text.partition("=")
    low, _, high = span.partition(":")
    try:
        return name, (float(low), float(high))
    except ValueError:
        raise ArielflowError(
            f"--limits {value_shown(text)}: expected NAME=LOWEST:HIGHEST, such as "
            "star_radius_m=1e6:1e9"
        ) from None


@app.command()
def simulate(
    edition: EditionName,
    output: Annotated[Path, typer.Option(help="Root of the data set to write.")],
    train: Annotated[int, typer.Option(min=1, help="Training planets.")] = 5000,
    traces: Annotated[int, typer.Option(min=0, help="Training planets with traces.")] = 0,
    test: Annotated[int, typer.Option(min=0, help="Test planets, all with truth.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the data set.")] = 2026,
    prior: Annotated[str, typer.Option(help="matched or wide.")] = "matched",
    workers: Annotated[int, typer.Option(min=1, help="Processes for nested sampling.")] = 2,
    opacities: Opacities = "builtin",
    population: Annotated[
        str | None, typer.Option(help="Prior that planets are drawn from; the retrieval prior.")
    ] = None,
    truth_library: Annotated[
        list[Path] | None, typer.Option(help="Shipped truth to draw on; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Simulate a data set in the edition's official layout, nested-sampling truth included."""
    from rich.progress import Progress

    from arielflow.simulation.dataset import simulate as run

    chosen = get_edition(edition)
    if chosen.writer is None:
        raise ArielflowError(f"edition {edition} cannot be simulated; choose adc2022 or adc2023")
    with Progress(console=errors, transient=True) as bar:
        spectra, task = (bar.add_task(t, total=None) for t in (TASKS[1], "nested sampling"))
        planets = run(
            chosen,
            output,
            n_train=train,
            n_traces=traces,
            n_test=test,
            seed=seed,
            prior=prior,
            physics=physics_settings(opacities),
            population=population,
            truth_library=truth_library or (),
            workers=workers,
            progress=shown(bar, task),
            spectra_progress=shown(bar, spectra),
        )
    sizes = {split: dataset.sizes["planet"] for split, dataset in planets.items()}
    content = {"output": str(output), "prior": prior, "seed": seed, "planets": sizes}
    say(as_json, content, f"{output}: " + ", ".join(f"{n} {s} planets" for s, n in sizes.items()))


@app.command("embedded-truth")
def embedded_truth(
    config: Annotated[Path, typer.Option(help="The run whose truth is embedded.")] = Path(
        "config.yaml"
    ),
    output: Annotated[Path, typer.Option(help="Library file.")] = Path("data/embedded/truth.h5"),
    default: Annotated[Path, typer.Option(help="What the run's file leaves out.")] = Path(
        "config.yaml"
    ),
    scratch: Annotated[
        Path | None, typer.Option(help="Keeps finished planets; a rerun resumes.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Remake shipped nested-sampling truth: the planets that the run's other libraries lack."""
    from rich.progress import Progress

    from arielflow.core.config import read_config
    from arielflow.simulation.embedded import make_truth_library

    settings = read_config(default, config)
    simulation = settings["simulation"]
    with Progress(console=errors) as bar:
        task = bar.add_task("nested sampling", total=None)
        manifest = make_truth_library(
            get_edition(settings["edition"]),
            output,
            scratch=scratch or Path("results/truth") / settings["run"],
            seed=settings["seed"],
            prior=settings["dataset"]["prior"],
            population=simulation["population"],
            sizes=simulation,
            others=[p for p in simulation["truth_library"] if Path(p) != output],
            workers=workers,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    console.print_json(data=manifest)
