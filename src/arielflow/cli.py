"""The command line: the workflow's steps by hand, over the same functions.

Exit codes: 0 all is well, 1 what was checked is not valid, 2 the input or the call is at fault.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from arielflow import __version__, cli_cluster
from arielflow.editions import NAMES, get_edition
from arielflow.errors import ArielflowError

INVALID, FAULT = 1, 2

app = typer.Typer(
    help="Posteriors of exoplanet atmospheres for the Ariel Data Challenge.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console, errors = Console(), Console(stderr=True, soft_wrap=True)

EditionName = Annotated[str, typer.Option("--edition", help=f"One of {', '.join(NAMES)}.")]
Mode = Literal["reference", "fast"]
Json = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]


Opacities = Annotated[str, typer.Option(help="builtin, or a folder with one table a molecule.")]


def _builtin_folder() -> Path:
    from arielflow.physics.opacity_cache import cache_folder

    return cache_folder() / "opacities"


def _physics(opacities: str, cia: bool = False) -> Any:
    """Settings of the forward model; writes the built-in tables if they are asked for."""
    from arielflow.physics.builtin_opacity import ensure_builtin_opacities
    from arielflow.physics.forward import PhysicsSettings

    if opacities == "builtin":
        opacities = str(ensure_builtin_opacities(_builtin_folder()))
    return PhysicsSettings(opacities, cia=cia)


_TASKS = ("choosing the fast mode's nodes", "spectra")


def _shown(bar: Any, task: Any) -> Any:
    """A progress callback that shows its bar once it is called."""
    return lambda done, total: bar.update(task, completed=done, total=total, visible=True)


def _say(as_json: bool, content: dict[str, Any], *lines: str) -> None:
    if as_json:
        typer.echo(json.dumps(content, indent=1))
    else:
        for line in lines:
            console.print(line, highlight=False, soft_wrap=True)


@app.command()
def ingest(
    folder: Annotated[Path, typer.Argument(help="Root of the data set.")],
    edition: EditionName,
    output: Annotated[Path, typer.Option(help="Folder for the NetCDF files.")],
    prior: Annotated[str | None, typer.Option(help="Retrieval prior; the edition's own.")] = None,
    as_json: Json = False,
) -> None:
    """Check an edition's files and turn every split found into NetCDF."""
    from arielflow.editions.official_files import SPLIT_FOLDERS
    from arielflow.ingest import ingest as ingest_split
    from arielflow.provenance import write_dataset

    chosen = get_edition(edition)
    if not folder.is_dir():
        raise ArielflowError(f"{folder}: no such folder; give the root of the data set")
    splits = list(chosen.identifier_templates) or ["train", "test", "observed"]
    if chosen.identifier_templates:
        below = [s for s in splits if (folder / SPLIT_FOLDERS[s]).is_dir()]
        splits = below or ["test"]
    summary: dict[str, Any] = {}
    for split in splits:
        planets, traces, quality = ingest_split(folder, chosen, split, prior=prior)
        write_dataset(planets, output / f"{split}.nc")
        write_dataset(traces, output / f"{split}_traces.nc")
        quality.to_csv(output / f"{split}_quality.csv", index=False)
        summary[split] = {
            "planets": planets.sizes["planet"],
            "annotated": int((traces["row_size"] > 0).sum()),
            "flagged": dict(zip(quality["planet_ID"], quality["flags"], strict=True)),
            "file": str(output / f"{split}.nc"),
        }
    _say(
        as_json,
        summary,
        *(
            f"{split}: {s['planets']} planets, {s['annotated']} with traces, "
            f"{len(s['flagged'])} flagged -> {s['file']}"
            for split, s in summary.items()
        ),
    )


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

    from arielflow.simulate import simulate as run

    chosen = get_edition(edition)
    if chosen.writer is None:
        raise ArielflowError(f"edition {edition} cannot be simulated; choose adc2022 or adc2023")
    with Progress(console=errors, transient=True) as bar:
        spectra, task = (bar.add_task(t, total=None) for t in (_TASKS[1], "nested sampling"))
        planets = run(
            chosen,
            output,
            n_train=train,
            n_traces=traces,
            n_test=test,
            seed=seed,
            prior=prior,
            physics=_physics(opacities),
            population=population,
            truth_library=truth_library or (),
            workers=workers,
            progress=_shown(bar, task),
            spectra_progress=_shown(bar, spectra),
        )
    sizes = {split: dataset.sizes["planet"] for split, dataset in planets.items()}
    content = {"output": str(output), "prior": prior, "seed": seed, "planets": sizes}
    _say(as_json, content, f"{output}: " + ", ".join(f"{n} {s} planets" for s, n in sizes.items()))


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
        building, computing = (bar.add_task(t, total=None, visible=False) for t in _TASKS)
        found = compute_spectra(
            table,
            get_edition(edition),
            _physics(opacities, cia),
            fast=mode == "fast",
            native=native,
            device=resolve_device(device),
            building=_shown(bar, building),
            progress=_shown(bar, computing),
        )
    write_table(found.table, output)
    content = {
        "output": str(output),
        "planets": len(found.table),
        "faults": found.faults,
        "clamped": found.clamped,
        "outside": found.outside,
    }
    _say(
        as_json,
        content,
        f"{output}: {len(found.table)} planets, {found.table.shape[1] - 1} wavelengths",
        *(f"{name}: no spectrum ({fault})" for name, fault in found.faults.items()),
        *([f"{found.clamped} beyond a table's temperatures, clamped"] * bool(found.clamped)),
        *([f"{found.outside} outside the fast mode's range"] * bool(found.outside)),
    )


@app.command()
def retrieve(
    folder: Annotated[Path, typer.Argument(help="Data set; holds TestData, or its files.")],
    edition: EditionName,
    planet: Annotated[list[str], typer.Option(help="Identifier of a test planet; repeatable.")],
    output: Annotated[Path, typer.Option(help="NetCDF file of posteriors to write.")],
    prior: Annotated[str | None, typer.Option(help="Retrieval prior; the edition's own.")] = None,
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
    physics = _physics(opacities, cia)
    with Progress(console=errors, transient=True) as bar:
        if mode == "fast":
            building = bar.add_task(_TASKS[0], total=None, visible=False)
            physics = fast_physics(chosen, physics, progress=_shown(bar, building))
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
    _say(as_json, {"output": str(output), "planets": summary}, *summary_lines(summary))
    if not posterior["retrieved"].any():
        raise typer.Exit(INVALID)


@app.command("select-model")
def select_model(
    folder: Annotated[Path, typer.Argument(help="Data set; holds TestData, or its files.")],
    edition: EditionName,
    planet: Annotated[list[str], typer.Option(help="Identifier of a test planet; repeatable.")],
    output: Annotated[Path, typer.Option(help="CSV file to write: one row a planet and model.")],
    prior: Annotated[str | None, typer.Option(help="Retrieval prior; the edition's own.")] = None,
    opacities: Opacities = "builtin",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the fits.")] = 2026,
) -> None:
    """Compare a flat line and sets of molecules by the evidence lower bound."""
    from rich.progress import Progress

    from arielflow.ingest import ingest as ingest_split
    from arielflow.select_model import rich_tables, select_models

    chosen, physics = get_edition(edition), _physics(opacities)
    planets, _, _ = ingest_split(folder, chosen, "test", prior=prior)
    with Progress(console=errors, transient=True) as bar:
        show = _shown(bar, bar.add_task("planets", total=len(planet)))
        found = select_models(
            chosen, planets, planet, output, physics=physics, seed=seed, progress=show
        )
    for table in rich_tables(found.table):
        console.print(table)
    for name, fault in found.faults.items():
        console.print(f"{name}: no comparison ({fault})", markup=False)
    if not len(found.table):
        raise typer.Exit(INVALID)


@app.command()
def score(
    submission: Annotated[Path, typer.Argument(help="Submission file.")],
    edition: EditionName,
    truth: Annotated[Path, typer.Option(help="Tracedata.hdf5 of the test planets.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the metric's resampling.")] = 0,
    as_json: Json = False,
) -> None:
    """Official posterior score of a submission, over planets and per planet."""
    from arielflow.submission import score_submission

    scores = score_submission(submission, get_edition(edition), truth, seed)
    mean = sum(scores.values()) / len(scores)
    _say(
        as_json,
        {"posterior_score": mean, "planets": scores},
        f"posterior score {mean:.2f} over {len(scores)} planets",
        *(f"  {name}  {value:.2f}" for name, value in scores.items()),
    )


@app.command("validate-submission")
def validate_submission(
    submission: Annotated[Path, typer.Argument(help="Submission file.")],
    edition: EditionName,
    test: Annotated[Path, typer.Option(help="Folder of the test data.")],
    as_json: Json = False,
) -> None:
    """Check a submission against every rule of its edition; list every fault."""
    from arielflow.submission import check_submission

    faults = check_submission(submission, get_edition(edition), test)
    verdict = f"{submission}: {'valid' if not faults else f'{len(faults)} faults'}"
    _say(as_json, {"valid": not faults, "faults": faults}, *faults, verdict)
    if faults:
        raise typer.Exit(INVALID)


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

    from arielflow.config import read_config
    from arielflow.embedded_truth import make_truth_library

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


@app.command()
def info(as_json: Json = False) -> None:
    """Versions, editions, devices and where the built-in opacities are kept."""
    import torch

    from arielflow.models import FAMILIES
    from arielflow.provenance import code_version, package_versions

    cuda = torch.cuda.is_available()
    content = {
        "arielflow": __version__,
        "code": code_version(),
        "device": torch.cuda.get_device_name(0) if cuda else "cpu",
        "editions": list(NAMES),
        "models": list(FAMILIES),
        "opacities": str(_builtin_folder()),
        "packages": package_versions(),
        "python": sys.version.split()[0],
    }
    _say(as_json, content, *(f"{name}: {value}" for name, value in content.items()))


cli_cluster.add_to(app)


def main() -> None:
    """Run the command line; every fault of the input is one line on standard error."""
    try:
        app(standalone_mode=True)
    except (ArielflowError, OSError) as error:
        errors.print(f"arielflow: {error}", style="red", markup=False, highlight=False)
        sys.exit(FAULT)


if __name__ == "__main__":
    main()
