"""Scores of posteriors, and official submission files of them."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import xarray as xr

from arielflow.api.model import Model
from arielflow.api.physics import edition_of, physics_settings
from arielflow.core.errors import ArielflowError
from arielflow.data.ingest import empty_traces
from arielflow.evaluation.rows import score_posterior
from arielflow.evaluation.submission.check import review_planets, review_submission
from arielflow.evaluation.submission.write import write_submission
from arielflow.physics.forward import PhysicsSettings
from arielflow.retrieval.planets import choose_planets

log = logging.getLogger(__name__)


def score(
    posterior: xr.Dataset,
    truth: xr.Dataset,
    *,
    model: Model | None = None,
    physics: PhysicsSettings | None = None,
    seed: int = 2026,
) -> pd.DataFrame:
    """Official and better scores of posteriors, a row per planet.

    Parameters
    ----------
    posterior
        Posterior dataset.
    truth
        Planets with their truth (:func:`arielflow.read_truth`, or simulated ones), these planets'
        and perhaps others'.
    model
        Adds ``log_prob``, its log-density at the true theta.
    physics
        Opacities and mode of the forward model, for the spectral score
        (:func:`arielflow.physics_settings`).
    seed
        Of the metrics' resampling.

    Returns
    -------
    pandas.DataFrame
        ``planet_ID``, ``posterior_score`` and ``spectral_score`` (0 to 1000), ``final_score``,
        ``energy_score`` and more, as in a run's ``scores/planets/<row>.csv``; NaN where the truth
        does not give them: without traces, all but the energy score and ``log_prob``.

    Raises
    ------
    ArielflowError
        The truth lacks one of the posterior's planets.

    Examples
    --------
    >>> import arielflow as af
    >>> truth = af.read_truth("dataset", planets)
    >>> scores = af.score(posterior, truth, seed=1)
    >>> scores["planet_ID"].tolist()
    ['public1', 'public2', 'public3']
    >>> 0 < float(scores["posterior_score"].mean()) < 1000
    True
    """
    edition = edition_of(truth)
    planets = choose_planets(truth, [str(name) for name in posterior["planet"].values])
    if "trace" not in truth:
        truth = truth.assign(empty_traces(truth).data_vars)
    spectral = "adc2023_spectral" in edition.metrics
    return score_posterior(
        edition,
        posterior if model is None else posterior.assign_attrs(shares=model.ensemble.shares),
        planets,
        truth,
        seed=seed,
        physics=(physics or physics_settings()) if spectral else None,
        members=[] if model is None else [str(member) for member in model.members],
        device="auto" if model is None else model.device,
    )


def submit(
    posterior: xr.Dataset,
    directory: str | Path,
    *,
    name: str | None = None,
    test_folder: str | Path | None = None,
) -> list[Path]:
    """Write a posterior's official submission files and check them.

    Parameters
    ----------
    posterior
        Posterior dataset of the test planets, in their order.
    directory
        Receives ``<name>.hdf5`` and, for the light track, ``<name>.csv``.
    name
        Of the files; the model's if left out.
    test_folder
        Folder of the test data, whose planets the submission must hold; without it the files are
        checked against the posterior's own planets.

    Returns
    -------
    list
        The files.

    Raises
    ------
    ArielflowError
        A file is not valid, or the edition has no submission.

    Examples
    --------
    >>> import arielflow as af
    >>> [file.name for file in af.submit(posterior, "out/", test_folder="dataset")]
    ['flow.hdf5']
    """
    edition = edition_of(posterior)
    if not edition.tracks:
        raise ArielflowError(f"edition {edition.name} has no submission")
    name = name or posterior.attrs.get("model", "posterior")
    paths = write_submission(posterior, edition, directory, name)
    identifiers = [str(planet) for planet in posterior["planet"].values]
    for path in paths:
        if test_folder is None:
            verdict = review_planets(path, edition, identifiers, source="the posterior")
        else:
            verdict = review_submission(path, edition, test_folder)
        for line in verdict.warnings:
            log.warning("%s: %s", path, line)
        if verdict.faults:
            raise ArielflowError(f"{path}: {verdict.fault_lines[0]} ({len(verdict.faults)} faults)")
    return paths
