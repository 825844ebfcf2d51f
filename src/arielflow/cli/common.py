"""What the commands share: the application, its consoles, common options and answers."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from arielflow.core.readers import printable
from arielflow.editions import FRAME_NAMES, NAMES

INVALID, FAULT = 1, 2

app = typer.Typer(
    help="Posteriors of exoplanet atmospheres for the Ariel Data Challenge.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# Names out of files are told as they are: [bold] is no order to the terminal, nor is :cat: a cat.
_LITERAL: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
console, errors = Console(**_LITERAL), Console(stderr=True, soft_wrap=True, **_LITERAL)

EditionName = Annotated[str, typer.Option("--edition", help=f"One of {', '.join(NAMES)}.")]
AnyEditionName = Annotated[
    str, typer.Option("--edition", help=f"One of {', '.join((*NAMES, *FRAME_NAMES))}.")
]
Mode = Literal["reference", "fast"]
Json = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]
Prior = Annotated[
    str | None, typer.Option(help="Retrieval prior; what the data set's record names.")
]
TestFolder = Annotated[Path, typer.Argument(help="Data set; holds TestData, or its files.")]
TestPlanets = Annotated[
    list[str], typer.Option("--planet", help="Identifier of a test planet; repeatable.")
]
Opacities = Annotated[str, typer.Option(help="builtin, or a folder with one table a molecule.")]


def physics_settings(opacities: str, cia: bool = False) -> Any:
    """Settings of the forward model; writes the built-in tables if they are asked for."""
    from arielflow.api.physics import physics_settings as made

    return made(opacities, cia=cia)


def prior_line(planets: Any) -> str:
    """Which retrieval prior ingested planets bear, and where it comes from."""
    return f"prior: {planets.attrs['prior']} ({planets.attrs['prior_source']})"


# Names of the progress bars.
TASKS = ("choosing the fast mode's nodes", "spectra")


def shown(bar: Any, task: Any) -> Any:
    """A progress callback that shows its bar once it is called, or lines without a terminal."""
    name = bar.tasks[task].description
    tell = ProgressLines()

    def update(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total, visible=True)
        tell(f"{name}: {done} of {total}")

    return update


class ProgressLines:
    """Progress as lines on standard error, at most one in half a minute, without a terminal."""

    _SECONDS = 30.0

    def __init__(self) -> None:
        self._last = -self._SECONDS

    def __call__(self, line: str) -> None:
        """Tell how far the work is; nothing where bars are shown."""
        if not errors.is_terminal and monotonic() - self._last >= self._SECONDS:
            self._last = monotonic()
            errors.print(printable(line))


def say(as_json: bool, content: dict[str, Any], *lines: str) -> None:
    """Answer with the content as JSON, or with the lines."""
    if as_json:
        typer.echo(json.dumps(content, indent=1))
    else:
        for line in lines:
            console.print(printable(line), soft_wrap=True)
