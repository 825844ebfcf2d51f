"""Submissions of editions with detector frames: written, checked against the rules, scored."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_json, write_table
from arielflow.core.planet_folders import planet_folders
from arielflow.core.readers import listed, shown
from arielflow.core.tables import read_csv
from arielflow.editions import FrameEdition
from arielflow.editions.frames import planet_name
from arielflow.evaluation.frames.plausibility import implausible_spectra
from arielflow.evaluation.frames.scores import FrameScore, frame_score, reference_of
from arielflow.evaluation.frames.tables import (
    KEY,
    counted,
    id_faults,
    read_labels,
    read_rows,
    value_faults,
)
from arielflow.evaluation.submission.verdict import (
    Fault,
    Verdict,
    pairing_faults,
    refused,
    require_valid,
)

log = logging.getLogger(__name__)

SAMPLE = "sample_submission.csv"
_REMEDY = "check the path and the edition, or write the submission again"


class FrameSubmission(NamedTuple):
    """Spectra with standard deviations.

    Attributes
    ----------
    planet_ids : list[str]
    spectrum, sigma : np.ndarray
        Transit depths and their standard deviations (planet, channel).
    """

    planet_ids: list[str]
    spectrum: np.ndarray
    sigma: np.ndarray


def write_frame_submission(
    path: str | Path,
    edition: FrameEdition,
    planet_ids: Sequence[object],
    spectrum: np.ndarray,
    sigma: np.ndarray,
) -> None:
    """Write the official file, atomically; reading it gives the same numbers to the last bit.

    Parameters
    ----------
    path
        Of the CSV file.
    edition
        Gives the columns.
    planet_ids
        Identifiers, each once.
    spectrum, sigma
        Transit depths (Rp/Rs)² and their standard deviations (planet, channel), in the order of
        the edition's wavelengths.

    Raises
    ------
    ArielflowError
        Shapes differ, a number breaks a rule, or there is no planet or one twice. Nothing is
        written then.
    """
    names = [planet_name(str(planet)) for planet in planet_ids]
    spectrum, sigma = (np.asarray(values, dtype=float) for values in (spectrum, sigma))
    shape = (len(names), edition.n_channels)
    if not names or spectrum.shape != shape or sigma.shape != shape:
        raise ArielflowError(
            f"{path}: {len(names)} planets, a spectrum of shape {spectrum.shape} and a sigma of "
            f"shape {sigma.shape}, edition {edition.name} expects "
            f"({len(names) or 'planet'}, {edition.n_channels}) each; nothing is written"
        )
    faults = id_faults(names) + _number_faults(edition, names, spectrum, sigma)
    if faults:
        raise ArielflowError(f"{path}: {counted(faults)}; nothing is written")
    table = pd.DataFrame(np.hstack([spectrum, sigma]), columns=edition.submission_columns[1:])
    table.insert(0, KEY, names)
    write_table(table, path)


def review_frame_submission(
    path: str | Path,
    edition: FrameEdition,
    expected_ids: Sequence[str],
    *,
    source: str = "the test data",
) -> Verdict:
    """Faults of a submission against the rules, and what is implausible about it.

    Parameters
    ----------
    path
        CSV file with the edition's ``submission_columns``.
    edition
        Whose rules.
    expected_ids
        Identifiers of the planets that the file must hold, in any order.
    source
        Where they come from, for the messages.
    """
    return _reviewed(path, edition, expected_ids, source)[0]


def _reviewed(
    path: str | Path, edition: FrameEdition, expected_ids: Sequence[str], source: str
) -> tuple[Verdict, FrameSubmission]:
    """The verdict, and what the file holds: nothing where it cannot be read."""
    try:
        names, values, faults = read_rows(path, edition.submission_columns, _REMEDY)
    except ArielflowError as error:
        nothing = np.empty((0, edition.n_channels))
        return refused(str(error)), FrameSubmission([], nothing, nothing)
    spectrum, sigma = np.hsplit(values, 2)
    found = [name for name in dict.fromkeys(names) if name]
    expected = list(dict.fromkeys(map(planet_name, expected_ids)))
    faults += pairing_faults(found, expected, source)
    faults += _number_faults(edition, names, spectrum, sigma)
    warnings = [] if faults else implausible_spectra(edition, names, spectrum, sigma)
    return Verdict(faults, warnings), FrameSubmission(names, spectrum, sigma)


def _number_faults(
    edition: FrameEdition, names: Sequence[str], spectrum: np.ndarray, sigma: np.ndarray
) -> list[Fault]:
    columns = edition.submission_columns[1:]
    return [
        *value_faults(names, columns[: edition.n_channels], spectrum),
        *value_faults(names, columns[edition.n_channels :], sigma, positive=True),
    ]


def frame_planets_to_submit(test_folder: str | Path) -> list[str]:
    """Identifiers of the planets that a submission must hold.

    Those of ``sample_submission.csv``; without that file the folders of planets in ``test``, or
    in the folder itself. Folders are planets' if their names are integers.

    Raises
    ------
    ArielflowError
        There is no such folder, or it names no planets.
    """
    folder = Path(test_folder)
    if not folder.is_dir():
        raise ArielflowError(f"{shown(folder, 400)}: is no folder; give the one with the test data")
    sample = folder / SAMPLE
    if sample.exists():
        return _sampled_planets(sample)
    for parent in (folder / "test", folder):
        try:
            planets = planet_folders(parent)
        except OSError as error:
            raise ArielflowError(
                f"{shown(parent, 400)}: cannot be listed ({error.strerror}); check its permissions"
            ) from None
        if planets:
            return [planet_name(name) for name in planets]
    raise ArielflowError(
        f"{shown(folder, 400)}: holds neither {SAMPLE} nor folders of planets, in it or in test; "
        "give the folder with the test data"
    )


def _sampled_planets(sample: Path) -> list[str]:
    remedy = "fetch it again, or remove it so that the folders of planets count"
    table = read_csv(sample, remedy)
    if KEY not in table:
        raise ArielflowError(
            f"{sample}: column {KEY} is missing, found {listed(list(table.columns))}; {remedy}"
        )
    planets = [planet_name(text) for text in table[KEY]]
    if not planets:
        raise ArielflowError(f"{sample}: holds no planets, expected a row for each; {remedy}")
    if faults := id_faults(planets):
        raise ArielflowError(f"{sample}: {counted(faults)}; {remedy}")
    return planets


def submit_spectra(
    spectra: xr.Dataset,
    edition: FrameEdition,
    test_folder: str | Path,
    path: str | Path,
    check: str | Path,
) -> None:
    """Write the official file of extracted spectra and check it; the verdict goes to ``check``.

    Parameters
    ----------
    spectra
        ``depth(planet, channel)`` and ``sigma(planet, channel)``.
    edition
        Whose file.
    test_folder
        Folder of the data set, which names the planets.
    path, check
        CSV file and JSON file to write.

    Raises
    ------
    ArielflowError
        The file that was written is not valid.
    """
    planets = frame_planets_to_submit(test_folder)
    missing = [name for name in planets if name not in set(spectra["planet"].values)]
    if missing:
        raise ArielflowError(
            f"{path}: no spectrum of test planets {listed(missing)}; run their chunks again"
        )
    own = spectra.sel(planet=planets)
    write_frame_submission(path, edition, planets, own["depth"].values, own["sigma"].values)
    verdict = review_frame_submission(path, edition, planets)
    content = {
        "valid": not verdict.faults,
        "faults": {str(path): verdict.fault_lines},
        "warnings": {str(path): verdict.warnings},
        "fallback_planets": [str(p) for p in own["planet"].values[own["fallback"].values > 0]],
    }
    write_json(content, check)
    for line in verdict.warnings:
        log.warning("%s: %s", path, line)
    if verdict.faults:
        raise ArielflowError(f"{path}: {verdict.fault_lines[0]}; see {check}")


def score_frame_submission(
    path: str | Path,
    edition: FrameEdition,
    truth: str | Path,
    reference: str | Path | None = None,
    seed: int = 0,
) -> tuple[list[str], FrameScore]:
    """Official score of a valid submission; what is implausible about it is logged as a warning.

    Parameters
    ----------
    path
        CSV file.
    edition
        Whose score.
    truth
        Labels of the planets of the submission, of no others, in any order.
    reference
        Labels of all training planets, whose mean and standard deviation are the answer that
        scores nothing; without it the edition's constants.
    seed
        Of the bootstrap over planets.

    Returns
    -------
    planet_ids : list[str]
        In the order of the truth.
    score : FrameScore

    Raises
    ------
    ArielflowError
        A file is unreadable, the submission breaks a rule or holds other planets than the truth,
        or the edition has no constants and no reference is given.
    """
    constants = edition.score.reference
    if reference is not None:
        constants = reference_of(read_labels(reference, edition).spectrum)
    if constants is None:
        raise ArielflowError(
            f"edition {edition.name}: its score has no constants for the reference; give all "
            f"training labels ({edition.labels_table}) with --reference"
        )
    labels = read_labels(truth, edition)
    verdict, answer = _reviewed(path, edition, labels.planet_ids, str(truth))
    require_valid(verdict, path)
    position = {name: row for row, name in enumerate(answer.planet_ids)}
    rows = [position[name] for name in labels.planet_ids]
    try:
        found = frame_score(
            edition.score,
            labels.spectrum,
            answer.spectrum[rows],
            answer.sigma[rows],
            constants,
            seed=seed,
        )
    except ArielflowError as error:
        # What was read is right in itself; it is the reference that does not do.
        raise ArielflowError(f"{reference}: {error}") from None
    return labels.planet_ids, found
