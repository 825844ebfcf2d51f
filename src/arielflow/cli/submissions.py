"""Commands that score and check submission files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from arielflow.cli.common import INVALID, EditionName, Json, app, say
from arielflow.editions import get_edition


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
    say(
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
    say(as_json, {"valid": not faults, "faults": faults}, *faults, verdict)
    if faults:
        raise typer.Exit(INVALID)
