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
    test: Annotated[
        Path | None, typer.Option(help="Folder of the test data, to check the planets' order.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Official posterior score of a valid submission, over planets and per planet."""
    from arielflow.evaluation.submission.write import score_submission

    scores = score_submission(submission, get_edition(edition), truth, seed, test)
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
    """Check a submission against every rule of its edition; list every fault.

    What keeps the rules and is implausible is a warning: the submission stays valid.
    """
    from arielflow.evaluation.submission.check import review_submission

    found = review_submission(submission, get_edition(edition), test)
    verdict = f"{len(found.faults)} faults" if found.faults else "valid"
    say(
        as_json,
        {"valid": not found.faults, "faults": found.fault_lines, "warnings": found.warnings},
        *found.folded_lines,
        *(f"warning: {line}" for line in found.warnings),
        f"{submission}: {verdict}",
    )
    if found.faults:
        raise typer.Exit(INVALID)
