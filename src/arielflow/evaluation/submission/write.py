"""Official submission files: write them, check what was written, score them."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path, new_hdf5, write_json
from arielflow.core.hdf5 import PlainFile, open_plain
from arielflow.core.readers import listed, read_json_object, shown
from arielflow.core.samples import WeightedSamples, weighted_quantiles
from arielflow.core.tables import read_results
from arielflow.editions import Edition
from arielflow.editions.official_files import QUARTILES, quartile_columns
from arielflow.evaluation import official
from arielflow.evaluation.submission.check import (
    DATASETS,
    REMEDY,
    check_submission,
    declared_faults,
    number_faults,
    planets_to_submit,
    read_quartiles,
    review_planets,
    review_submission,
    samples_of,
)
from arielflow.evaluation.submission.plausibility import Outline, implausibilities
from arielflow.evaluation.submission.verdict import require_valid
from arielflow.evaluation.trust.verdicts import verdict_counts

__all__ = ["check_submission", "score_submission", "submit", "write_submission"]

log = logging.getLogger(__name__)

# Nested sampling weighs thousands of dead points; their sum is rounded more than a submission's.
_TRUTH_SUM_TOLERANCE = 1e-3
_TRUTH_LIMITS = (2, 1_000_000)
_MOST_INFLATION = 100
_SMALL_BYTES = 1 << 26


def write_submission(
    posterior: xr.Dataset, edition: Edition, directory: str | Path, model: str
) -> list[Path]:
    """Write every track's official file of one model.

    Parameters
    ----------
    posterior
        Posterior dataset of all test planets, in the test table's order.
    edition
        Gives the tracks and sample limits.
    directory
        Receives ``<model>.hdf5`` and, for the light track, ``<model>.csv``.

    Raises
    ------
    ArielflowError
        The number of samples is outside the edition's limits.
    """
    fewest, most = edition.sample_limits
    if not fewest <= posterior.sizes["sample"] <= most:
        raise ArielflowError(
            f"submission of {model}: {posterior.sizes['sample']} samples per planet, edition "
            f"{edition.name} allows {fewest} to {most}; change n_samples"
        )
    writers = {"regular": _write_regular, "light": _write_light}
    paths = []
    for track, suffix in edition.tracks.items():
        path = Path(directory) / f"{model}{suffix}"
        with atomic_path(path) as temporary:
            writers[track](posterior, edition, temporary)
        paths.append(path)
    return paths


def submit(
    posterior: xr.Dataset,
    edition: Edition,
    directory: str | Path,
    model: str,
    test_folder: str | Path,
    check: str | Path,
    certificates: str | Path | None = None,
) -> None:
    """Write a model's official files and check them; the verdict goes to the JSON file ``check``.

    Where there is a table of ``certificates``, the file also tells how many planets of the model
    are green, amber and red.

    Raises
    ------
    ArielflowError
        A file that was written is not valid.
    """
    paths = write_submission(posterior, edition, directory, model)
    verdicts = {str(path): review_submission(path, edition, test_folder) for path in paths}
    faults = {path: verdict.fault_lines for path, verdict in verdicts.items()}
    warnings = {path: verdict.warnings for path, verdict in verdicts.items()}
    valid = not any(faults.values())
    content = {"valid": valid, "faults": faults, "warnings": warnings}
    if certificates is not None:
        content["certificates"] = verdict_counts(read_results(certificates), model)
    write_json(content, check)
    for path, lines in warnings.items():
        for line in lines:
            log.warning("%s: %s", path, line)
    if not valid:
        path, found = next((p, f) for p, f in faults.items() if f)
        raise ArielflowError(f"{path}: {found[0]} ({len(found)} faults); see {check}")


def check_findings(
    check: str | Path, submissions: dict[str, str], kind: str
) -> dict[str, list[str]]:
    """What :func:`submit` noted in its file ``check`` for files by track.

    Parameters
    ----------
    check, submissions
        The file, and the submission's own by track.
    kind
        ``faults`` or ``warnings``; a run from before there were warnings has none.
    """
    content = read_json_object(check, ["valid", "faults"], "run the rule submit again")
    return {track: content.get(kind, {}).get(str(path), []) for track, path in submissions.items()}


def _write_regular(posterior: xr.Dataset, edition: Edition, path: Path) -> None:
    with new_hdf5(path) as file:
        for row, identifier in enumerate(posterior["planet"].values):
            weight = posterior["weight"].values[row]
            group = file.create_group(edition.group(identifier))
            group.attrs["ID"] = row
            group["tracedata"] = posterior["theta"].values[row]
            group["weights"] = weight / weight.sum()


def _write_light(posterior: xr.Dataset, edition: Edition, path: Path) -> None:
    rows = [
        weighted_quantiles(theta, weight, QUARTILES).T.ravel()
        for theta, weight in zip(posterior["theta"].values, posterior["weight"].values, strict=True)
    ]
    table = pd.DataFrame(rows, columns=quartile_columns(edition))
    table.insert(0, "planet_ID", posterior["planet"].values)
    table.to_csv(path, index=False)


def read_submission(path: str | Path, edition: Edition) -> dict[str, WeightedSamples]:
    """Samples and weights of every planet of a regular-track file, by group name.

    Raises
    ------
    ArielflowError
        The file is unreadable, or a planet's datasets are not those of a submission.
    """
    samples = {}
    with open_plain(path, REMEDY) as file:
        for group in file.names():
            faults = declared_faults(file, group, edition, edition.sample_limits)
            if faults:
                raise ArielflowError(f"{path}: {group}: {faults[0]}; {REMEDY}")
            samples[group] = samples_of(file, group)
    return samples


def score_submission(
    path: str | Path,
    edition: Edition,
    truth: str | Path,
    seed: int,
    test_folder: str | Path | None = None,
) -> dict[str, float]:
    """Official posterior score of every annotated planet of a valid submission.

    What is implausible about the submission or the truth is logged as a warning.

    Parameters
    ----------
    path
        Regular-track HDF5 file, or light-track CSV.
    edition
        Whose metric.
    truth
        Traces of the test planets in the official format.
    seed
        Seed of the metric's resampling.
    test_folder
        Folder of the test data, for the order of the planets; without it their attributes ID must
        only be 0, 1, 2 … in any order.

    Raises
    ------
    ArielflowError
        A file is unreadable, the submission breaks a rule or holds other planets than the truth,
        or the edition has no posterior score.
    """
    if not edition.tracks:
        raise ArielflowError(f"edition {edition.name} has no submissions to score")
    traces = read_truth(truth, edition)
    identifiers = list(traces)
    if test_folder is not None:
        identifiers = planets_to_submit(test_folder)
        _check_same_planets(truth, traces, identifiers)
    verdict = review_planets(
        path, edition, identifiers, ordered=test_folder is not None, source=str(truth)
    )
    require_valid(verdict, path)
    true = {identifier: trace for identifier, trace in traces.items() if trace is not None}
    if Path(path).suffix == edition.tracks.get("light"):
        return _score_light(Path(path), edition, true)
    return _score_regular(Path(path), edition, true, seed)


def _check_same_planets(
    truth: str | Path, traces: dict[str, WeightedSamples | None], identifiers: list[str]
) -> None:
    other = set(traces).symmetric_difference(identifiers)
    if other:
        raise ArielflowError(
            f"{truth}: holds {len(traces)} planets, the test data {len(identifiers)}; "
            f"{listed(sorted(other))} is in one of them alone; give files of the same planets"
        )


def read_truth(path: str | Path, edition: Edition) -> dict[str, WeightedSamples | None]:
    """Samples and weights of the truth by planet, in natural order; None without a retrieval.

    Raises
    ------
    ArielflowError
        The file is unreadable, no planet has samples, or those of one are not valid.
    """
    prefix = edition.group("")
    traces, n_values = {}, 0
    with open_plain(path, "give the test planets' truth") as file:
        most = max(_SMALL_BYTES, _MOST_INFLATION * Path(path).stat().st_size) // 8
        for group in sorted(file.names(), key=_natural):
            traces[group.removeprefix(prefix)] = samples = _true_samples(file, group, edition)
            n_values += 0 if samples is None else samples[0].size
            if n_values > most:
                raise ArielflowError(
                    f"{path}: declares far more samples than it has bytes; fetch it again"
                )
    outlines = {n: Outline.of_samples(*s) for n, s in traces.items() if s is not None}
    if not outlines:
        raise ArielflowError(f"{path}: no planet has a trace; give the test planets' truth")
    for line in implausibilities(outlines, edition):
        log.warning("%s: %s", path, line)
    return traces


def _true_samples(file: PlainFile, group: str, edition: Edition) -> WeightedSamples | None:
    if all(math.prod(file.shape(f"{group}/{name}")) <= 1 for name in DATASETS):
        return None
    faults = declared_faults(file, group, edition, _TRUTH_LIMITS)
    if not faults:
        theta, weight = samples_of(file, group)
        faults = number_faults(theta, weight, _TRUTH_SUM_TOLERANCE)
    if faults:
        raise ArielflowError(
            f"{file.path}: {shown(group)}: {faults[0]}; check the edition, or fetch the truth again"
        )
    return theta, weight


def _natural(name: str) -> tuple[str, int, str]:
    """Sort key that puts public10 after public9."""
    digits = name[len(name.rstrip("0123456789")) :]
    # As text: a number of thousands of digits is no integer that Python would convert.
    significant = digits.lstrip("0")
    return name.removesuffix(digits), len(significant), significant


def _score_regular(
    path: Path, edition: Edition, true: dict[str, WeightedSamples], seed: int
) -> dict[str, float]:
    samples = read_submission(path, edition)
    predicted = [samples[edition.group(identifier)] for identifier in true]
    low, high = np.array([target.score_bounds for target in edition.targets], dtype=float).T
    try:
        if "adc2022_regular" in edition.metrics:
            scores = official.regular_track_scores(predicted, list(true.values()), low, high, seed)
        else:
            scores = official.posterior_scores(predicted, list(true.values()), low, high, seed)[0]
    except ArielflowError as error:
        raise ArielflowError(f"{path}: {error}") from None
    return dict(zip(true, map(float, scores), strict=True))


def _score_light(
    path: Path, edition: Edition, true: dict[str, WeightedSamples]
) -> dict[str, float]:
    predicted = read_quartiles(path, edition)
    scores = {}
    for identifier, (theta, weight) in true.items():
        quartiles = weighted_quantiles(theta, weight, QUARTILES)
        try:
            scores[identifier] = official.light_track_score(
                predicted[identifier][None], quartiles[None]
            )
        except ArielflowError as error:
            raise ArielflowError(f"{path}: planet {shown(identifier)}: {error}") from None
    return scores
