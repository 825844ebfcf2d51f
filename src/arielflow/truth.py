"""Ground truth by nested sampling: many planets in parallel, resumable, packed as a library."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from arielflow.edition_physics import Progress, edition_model
from arielflow.editions import Edition, get_edition
from arielflow.errors import ArielflowError
from arielflow.inference.nested import NestedResult, NestedSettings, retrieve
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.provenance import atomic_path, derived_seed

log = logging.getLogger(__name__)

SETTINGS = {
    "test": NestedSettings(),
    # Traces are for training: 1,500 samples are kept, and rarer bounds save a third of the time.
    "train": NestedSettings(n_effective=1500, n_update=800),
}
"""The sampler's settings by split."""


@dataclass(frozen=True)
class TruthJob:
    """One nested-sampling run: a planet of a split, and which of its independent runs.

    Attributes
    ----------
    split, position : the planet
    run : ``truth`` or ``rerun``
    n_samples : equal-weight samples to keep
    """

    split: str
    position: int
    run: str
    n_samples: int


def sample_truth(
    edition: Edition,
    planets: dict[str, xr.Dataset],
    jobs: Sequence[TruthJob],
    *,
    seed: int,
    physics: PhysicsSettings,
    directory: str | Path,
    settings: Mapping[str, NestedSettings] = SETTINGS,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Path | None]:
    """Nested-sample planets in parallel, one file each, so that an interrupted call resumes.

    A planet that cannot be sampled is logged and left out; the others go on.

    Parameters
    ----------
    planets
        Planets datasets by split.
    jobs
        What to sample.
    directory
        Receives ``<split>-<planet>-<run>.npz`` files; those there already are kept.
    settings
        Of the sampler, by split.
    progress
        Called with the number done and the number of jobs.

    Returns
    -------
    list
        The files, in the order of ``jobs``; None for a planet that could not be sampled.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths = [_truth_path(directory, planets, job) for job in jobs]
    todo = [(job, path) for job, path in zip(jobs, paths, strict=True) if not path.exists()]
    failed: set[Path] = set()
    done = len(jobs) - len(todo)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {
            pool.submit(
                _run_truth_job,
                (edition.name, physics, settings[job.split]),
                planets[job.split].isel(planet=[job.position]),
                job,
                derived_seed(seed, f"{job.split}/{job.run}", job.position),
                path,
            ): path
            for job, path in todo
        }
        for future in as_completed(futures):
            try:
                future.result()
            except ArielflowError as error:
                log.warning("%s: left without truth: %s", futures[future].stem, error)
                failed.add(futures[future])
            done += 1
            if progress:
                progress(done, len(jobs))
    return [None if path in failed else path for path in paths]


def _truth_path(directory: Path, planets: dict[str, xr.Dataset], job: TruthJob) -> Path:
    name = planets[job.split]["planet"].values[job.position]
    return directory / f"{job.split}-{name}-{job.run}.npz"


def _run_truth_job(
    shared: tuple[str, PhysicsSettings, NestedSettings],
    planet: xr.Dataset,
    job: TruthJob,
    seed: int,
    path: Path,
) -> None:
    torch.set_num_threads(1)
    edition_name, physics, settings = shared
    forward = ForwardModel(edition_model(get_edition(edition_name), physics), planet)
    result = retrieve(forward, planet, 0, seed=seed, settings=settings)
    _save_truth(result, planet, job, seed, path)


def _save_truth(
    result: NestedResult, planet: xr.Dataset, job: TruthJob, seed: int, path: Path
) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            theta=result.equal_weight_samples(job.n_samples, seed).astype(np.float32),
            log_evidence=result.log_evidence,
            effective_samples=result.effective_samples,
            likelihood_calls=result.likelihood_calls,
            seconds=result.seconds,
            transit_depth=planet["transit_depth"].values[0],
            transit_depth_error=planet["transit_depth_error"].values[0],
            prior_low=planet["prior_low"].values[0],
            prior_high=planet["prior_high"].values[0],
        )
