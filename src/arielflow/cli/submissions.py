"""Commands that score and check submission files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from arielflow.cli.common import INVALID, AnyEditionName, Json, app, say
from arielflow.core.errors import ArielflowError
from arielflow.editions import FrameEdition, get_any_edition


@app.command()
def score(
    submission: Annotated[Path, typer.Argument(help="Submission file.")],
    edition: AnyEditionName,
    truth: Annotated[
        Path, typer.Option(help="Tracedata.hdf5 of the test planets; with frames their labels.")
    ],
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the metric's resampling, or of the interval's.")
    ] = 0,
    test: Annotated[
        Path | None,
        typer.Option(help="Folder of the test data, to check the planets' order; not with frames."),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="All training labels, whose mean and deviation score 0; with frames alone. "
            "adc2024 has them as constants, adc2025 needs the table."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Official score of a valid submission, over planets and per planet."""
    chosen = get_any_edition(edition)
    if isinstance(chosen, FrameEdition):
        _refuse("--test", test, edition, "the planets' order is free")
        _score_spectra(submission, chosen, truth, reference, seed, as_json)
        return
    _refuse("--reference", reference, edition, "its score needs none")
    from arielflow.evaluation.submission.write import score_submission

    scores = score_submission(submission, chosen, truth, seed, test)
    mean = sum(scores.values()) / len(scores)
    say(
        as_json,
        {"posterior_score": mean, "planets": scores},
        f"posterior score {mean:.2f} over {len(scores)} planets",
        *(f"  {name}  {value:.2f}" for name, value in scores.items()),
    )


def _refuse(option: str, given: Path | None, edition: str, why: str) -> None:
    if given is not None:
        raise ArielflowError(f"{option} does not apply to edition {edition}, {why}; leave it out")


def _score_spectra(
    submission: Path,
    edition: FrameEdition,
    truth: Path,
    reference: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    from arielflow.evaluation.frames.submission import score_frame_submission

    names, found = score_frame_submission(submission, edition, truth, reference, seed)
    planets = dict(zip(names, found.planets.tolist(), strict=True))
    # A single planet has no interval, and JSON no number for that.
    low, high = (None if math.isnan(end) else end for end in (found.low, found.high))
    interval = "" if low is None else f" ({low:.4f} to {high:.4f} at 95 %)"
    say(
        as_json,
        {
            "score": found.score,
            "score_low": low,
            "score_high": high,
            "unclipped_score": found.unclipped,
            "planets": planets,
        },
        f"score {found.score:.4f}{interval} over {len(planets)} planets",
        f"before clipping to 0…1: {found.unclipped:.4f}",
        *(f"  {name}  {value:.4f}" for name, value in planets.items()),
    )


@app.command("validate-submission")
def validate_submission(
    submission: Annotated[Path, typer.Argument(help="Submission file.")],
    edition: AnyEditionName,
    test: Annotated[Path, typer.Option(help="Folder of the test data.")],
    as_json: Json = False,
) -> None:
    """Check a submission against every rule of its edition; list every fault.

    What keeps the rules and is implausible is a warning: the submission stays valid.
    """
    chosen = get_any_edition(edition)
    if isinstance(chosen, FrameEdition):
        from arielflow.evaluation.frames.submission import (
            frame_planets_to_submit,
            review_frame_submission,
        )

        found = review_frame_submission(submission, chosen, frame_planets_to_submit(test))
    else:
        from arielflow.evaluation.submission.check import review_submission

        found = review_submission(submission, chosen, test)
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
