"""Retrievals: of an observed spectrum, or of a challenge's test planets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from time import monotonic
from typing import Annotated, Any, Literal

import typer

from arielflow.cli.common import (
    INVALID,
    TASKS,
    Json,
    Mode,
    Prior,
    ProgressLines,
    app,
    errors,
    physics_settings,
    prior_line,
    say,
    shown,
)
from arielflow.cli.spectra import DepthUnit, Kind, WavelengthUnit, Widths, describe_lines
from arielflow.core.errors import ArielflowError
from arielflow.core.readers import read_json
from arielflow.core.readers import shown as cut
from arielflow.editions import NAMES, get_edition

Inputs = Annotated[
    list[Path],
    typer.Argument(
        metavar="SPECTRUM... | FOLDER",
        help="Files of one planet's spectrum; with --edition a data set of test planets.",
    ),
]
Planet = Annotated[
    list[str],
    typer.Option(
        help="Planet file (YAML) of the spectrum; with --edition the identifier of a test planet, "
        "repeatable."
    ),
]
Edition = Annotated[
    str | None, typer.Option("--edition", help=f"Of a data set: one of {', '.join(NAMES)}.")
]
OpacityFolder = Annotated[
    str | None,
    typer.Option(help="builtin, or a folder with one table a molecule; as the planet file says."),
]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random.")]
Binning = Annotated[
    float | None,
    typer.Option(
        "--resolving-power",
        help="Average the spectrum to it; inf keeps all points. By default more than 400 points "
        "are averaged to 100.",
    ),
]
MethodOption = Annotated[
    Literal["importance", "variational", "nested"] | None,
    typer.Option(
        help="Of a spectrum; importance sampling falls back on nested sampling. [default: "
        "importance]"
    ),
]


@app.command()
def retrieve(
    inputs: Inputs,
    planet: Planet,
    output: Annotated[
        Path, typer.Option(help="Folder to write; with --edition a NetCDF file of posteriors.")
    ],
    method: MethodOption = None,
    wavelength_unit: WavelengthUnit = None,
    depth_unit: DepthUnit = None,
    widths: Widths = None,
    kind: Kind = None,
    resolving_power: Binning = None,
    edition: Edition = None,
    prior: Prior = None,
    mode: Annotated[
        Mode, typer.Option(help="With --edition: every wavelength, or nodes (made once).")
    ] = "reference",
    cia: Annotated[
        bool, typer.Option(help="With --edition: collision-induced absorption (.cia files).")
    ] = False,
    opacities: OpacityFolder = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples to keep a planet.")] = 4000,
    live: Annotated[int, typer.Option(min=50, help="Live points of nested sampling.")] = 400,
    seed: Seed = 2026,
    workers: Annotated[
        int, typer.Option(min=1, help="With --edition: planets sampled at once.")
    ] = 1,
    as_json: Json = False,
) -> None:
    """Retrieve an observed spectrum from a planet file, or test planets of a challenge.

    The same call resumes an interrupted nested sampling.
    """
    of_folder = {"prior": prior, "mode": mode == "fast", "cia": cia, "workers": workers > 1}
    read = {"wavelength_unit": wavelength_unit, "depth_unit": depth_unit}
    read |= {"widths": widths, "kind": kind}
    of_spectrum = {**read, "method": method, "resolving_power": resolving_power}
    common = {"samples": samples, "live": live, "seed": seed, "as_json": as_json}
    if edition is None:
        refuse(of_folder, "is for test planets; give --edition too, or leave it out")
        spectrum = read_observed(inputs, **read)
        setup = {"opacities": opacities, "resolving_power": resolving_power}
        _of_spectrum(spectrum, planet_file(planet), output, method or "importance", setup, **common)
    else:
        refuse(of_spectrum, "is for a spectrum; leave out --edition, or this")
        physics = physics_settings(opacities or "builtin", cia)
        planets = chosen_planets(inputs, edition, planet, prior)
        _of_folder(edition, planets, output, physics, mode == "fast", workers, **common)


def refuse(given: dict[str, Any], why: str) -> None:
    """Refuse options of the command's other form."""
    for name, value in given.items():
        if value:
            raise ArielflowError(f"--{name.replace('_', '-')}: {why}")


def planet_file(planets: list[str]) -> Path:
    """The one planet file that a spectrum is retrieved with."""
    if len(planets) > 1:
        raise ArielflowError(
            f"--planet: {len(planets)} planet files for one spectrum; give one, or --edition for "
            "the test planets of a challenge"
        )
    return Path(planets[0])


def read_observed(inputs: list[Path], **options: Any) -> Any:
    """The spectrum of some files; a folder is a data set, which has an edition."""
    from arielflow.data.spectra.read import read_spectrum

    for path in inputs:
        if path.is_dir():
            raise ArielflowError(
                f"{cut(path, 400)}: a folder; a data set of test planets needs --edition, a "
                "spectrum is a file"
            )
    return read_spectrum(inputs, **options)


def chosen_planets(inputs: list[Path], edition: str, names: list[str], prior: str | None) -> Any:
    """The planets of these identifiers out of the one folder that is given."""
    from arielflow.data.ingest import ingest
    from arielflow.retrieval.planets import choose_planets

    if len(inputs) > 1:
        raise ArielflowError(f"{len(inputs)} folders with --edition, expected one; give one")
    planets, _, _ = ingest(inputs[0], get_edition(edition), "test", prior=prior)
    return choose_planets(planets, names)


@contextmanager
def spoken(name: str) -> Iterator[Callable[[str], None]]:
    """Progress as one line that changes, or as lines now and then without a terminal."""
    started, lines = monotonic(), ProgressLines()
    with errors.status(cut(name)) as status:

        def tell(text: str) -> None:
            said = f"{cut(name)}: {text} ({monotonic() - started:.0f} s)"
            status.update(said)
            lines(said)

        yield tell


def _of_spectrum(
    spectrum: Any,
    file: Path,
    output: Path,
    method: Any,
    setup: dict[str, Any],
    *,
    samples: int,
    live: int,
    seed: int,
    as_json: bool,
) -> None:
    from arielflow.data.description.read import read_planet_file
    from arielflow.report.spectrum_outputs import write_outputs
    from arielflow.retrieval.spectra.methods import retrieve_spectrum
    from arielflow.retrieval.spectra.setup import prepared_model
    from arielflow.settings.nested import NestedSettings

    if output.exists() and not output.is_dir():
        raise ArielflowError(f"{cut(output, 400)}: a file; --output is a folder, name another")
    description = read_planet_file(file)
    if not as_json:
        say(False, {}, *describe_lines(spectrum))
    model = prepared_model(description, spectrum, **setup)
    if not as_json:
        notes = (*model.spectrum.notes[len(spectrum.notes) :], *model.description.notes)
        say(False, {}, *(f"note: {note}" for note in notes))
    with spoken(description.name) as tell:
        result = retrieve_spectrum(
            model,
            method,
            seed=seed,
            n_samples=samples,
            nested=NestedSettings(n_live=live),
            checkpoints=output / ".state",
            say=tell,
        )
        tell("writing figures and the page")
        files = write_outputs(result, output, seed=seed, planet_file=file)
    rmtree(output / ".state", ignore_errors=True)
    summary = read_json(files["summary.json"])
    say(as_json, summary, *_result_lines(summary, model.names, files["report.html"]))


def _result_lines(summary: dict[str, Any], names: tuple[str, ...], page: Path) -> list[str]:
    """A retrieval's result for people: warnings, the parameters, the evidence, the page."""
    lines = [f"warning: {warning}" for warning in summary["warnings"]]
    for name in names:
        row = summary["parameters"][name]
        edge = f", {row['edge']}" if row["edge"] else ""
        span = f"({row['low_68']:.4g} to {row['high_68']:.4g})"
        lines.append(f"{name}: {row['median']:.4g} {span} {row['unit']}".rstrip() + edge)
    evidence = f"{summary['log_evidence']:.2f} ± {summary['log_evidence_error']:.2f}"
    fit = f"chi2 {summary['chi2']:.1f} of {summary['points']} points"
    lines.append(f"{summary['method']}: log-evidence {evidence}, {fit}, {summary['seconds']:.0f} s")
    return [*lines, f"report: {page}"]


def _of_folder(
    edition: str,
    planets: Any,
    output: Path,
    physics: Any,
    fast: bool,
    workers: int,
    *,
    samples: int,
    live: int,
    seed: int,
    as_json: bool,
) -> None:
    from rich.markup import escape
    from rich.progress import Progress

    from arielflow.data.forward_models import fast_physics
    from arielflow.retrieval.nested import Nested, NestedProgress
    from arielflow.retrieval.planets import retrieve_planets
    from arielflow.retrieval.summary import summarise, summary_lines
    from arielflow.settings.nested import NestedSettings

    chosen, names = get_edition(edition), planets["planet"].values
    with Progress(console=errors, transient=True) as bar:
        if fast:
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
