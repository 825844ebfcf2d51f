"""Ground truth by nested sampling: many planets in parallel, resumable, packed as a library."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from glob import escape
from importlib.metadata import version
from pathlib import Path

import numpy as np
import xarray as xr

from arielflow.core.code import code_digest
from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path, drop_stale
from arielflow.core.seeds import derived_seed, fingerprint
from arielflow.core.worker_pool import worker_pool
from arielflow.data.forward_models import Progress, edition_model, model_fingerprint
from arielflow.editions import Edition
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.nested import NestedResult, retrieve
from arielflow.settings.nested import NestedSettings

log = logging.getLogger(__name__)

SETTINGS = {
    "test": NestedSettings(),
    # Traces are for training: 1,500 samples are kept, and rarer bounds save a third of the time.
    "train": NestedSettings(n_effective=1500, n_update=800),
}
"""The sampler's settings by split."""


@dataclass(frozen=True)
class TruthJob:
    """One nested-sampling run: a planet of a split, and the number of the independent run.

    Attributes
    ----------
    split, position
        The planet.
    run : str
        ``truth`` or ``rerun``.
    n_samples : int
        Equal-weight samples to keep.
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
        Receives ``<split>-<planet>-<run>-<fingerprint>.npz`` files; those there already are kept,
        those of the same planets that other settings, inputs or code made are removed.
    settings
        Settings of the sampler, by split.
    progress
        Called with the number done and the number of jobs.

    Returns
    -------
    list
        The files, in the order of ``jobs``; None for a planet that could not be sampled.

    Raises
    ------
    ArielflowError
        The forward model cannot be had, or a process was killed: no planet's own fault.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    common = [model_fingerprint(edition, physics), code_digest(__name__), seed]
    splits = {job.split for job in jobs}
    marks = {split: fingerprint(*common, settings[split].model_dump()) for split in splits}
    paths = [_truth_path(directory, planets, job, marks[job.split]) for job in jobs]
    former = {old for path in paths for old in _of_one_planet(path)}
    drop_stale(sorted(former), set(paths), "another call's settings, inputs or code")
    todo = [(job, path) for job, path in zip(jobs, paths, strict=True) if not path.exists()]
    if not todo:
        return paths
    failed: set[Path] = set()
    done = len(jobs) - len(todo)
    with worker_pool(min(workers, len(todo))) as pool:
        futures = {
            pool.submit(
                _run_truth_job,
                (edition, physics, settings[job.split]),
                planets[job.split].isel(planet=[job.position]),
                job,
                derived_seed(seed, f"{job.split}/{job.run}", job.position),
                path,
            ): path
            for job, path in todo
        }
        for future in as_completed(futures):
            if fault := future.result():
                log.warning("%s: left without truth: %s", futures[future].stem, fault)
                failed.add(futures[future])
            done += 1
            if progress:
                progress(done, len(jobs))
    return [None if path in failed else path for path in paths]


def _truth_path(directory: Path, planets: dict[str, xr.Dataset], job: TruthJob, mark: str) -> Path:
    """File of one run; its name depends on the planet and everything that shapes the samples."""
    planet = planets[job.split].isel(planet=[job.position])
    own = fingerprint(mark, planet, asdict(job), version("nautilus-sampler"))
    name = planet["planet"].values[0]
    return directory / f"{job.split}-{name}-{job.run}-{own[:16]}.npz"


def _of_one_planet(path: Path) -> list[Path]:
    """Files of the same planet and run, from any settings."""
    name = path.stem.rpartition("-")[0]
    former = path.with_name(f"{name}.npz")  # as earlier versions named them
    return [*path.parent.glob(f"{escape(name)}-{'?' * 16}.npz"), *[former] * former.is_file()]


def _run_truth_job(
    shared: tuple[Edition, PhysicsSettings, NestedSettings],
    planet: xr.Dataset,
    job: TruthJob,
    seed: int,
    path: Path,
) -> str | None:
    """Write the planet's truth, or the reason why it has none."""
    edition, physics, settings = shared
    # Outside the guard: where the forward model cannot be had, the planet is not at fault.
    forward = ForwardModel(edition_model(edition, physics), planet)
    try:
        result = retrieve(forward, 0, seed=seed, settings=settings)
    except ArielflowError as error:
        return str(error)
    _save_truth(result, planet, job, seed, path)
    return None


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
