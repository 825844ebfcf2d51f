"""Ground truth by nested sampling: many planets in parallel, resumable, packed as a library."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from arielflow.editions import Edition, get_edition
from arielflow.errors import ArielflowError
from arielflow.inference.nested import NestedResult, NestedSettings, retrieve
from arielflow.physics.forward import ForwardModel, transmission_model
from arielflow.physics.transmission import TransmissionModel
from arielflow.posterior import resample
from arielflow.provenance import atomic_path, derived_seed
from arielflow.schema import MOLECULES

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with the number of planets done and of all."""


def edition_model(
    edition: Edition, opacities: str | Path, *, device: str = "cpu"
) -> TransmissionModel:
    """The reference forward model for an edition's molecules and bins."""
    molecules = [target.quantity for target in edition.targets if target.quantity in MOLECULES]
    return transmission_model(
        molecules,
        opacities,
        edition.wavelength_um,
        edition.wavelength_width_um,
        device=device,
    )


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
    opacities: str | Path,
    directory: str | Path,
    settings: NestedSettings | None = None,
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
    shared = (edition.name, str(opacities), settings or NestedSettings())
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {
            pool.submit(
                _run_truth_job,
                shared,
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
    shared: tuple[str, str, NestedSettings],
    planet: xr.Dataset,
    job: TruthJob,
    seed: int,
    path: Path,
) -> None:
    torch.set_num_threads(1)
    edition_name, opacities, settings = shared
    forward = ForwardModel(edition_model(get_edition(edition_name), opacities), planet)
    result = retrieve(forward, planet, 0, seed=seed, settings=settings)
    _save_truth(result, planet, job, seed, path)


def _save_truth(
    result: NestedResult, planet: xr.Dataset, job: TruthJob, seed: int, path: Path
) -> None:
    rng = np.random.default_rng([seed, 1])
    theta = resample(result.theta, result.weight, job.n_samples, rng)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            theta=rng.permutation(theta).astype(np.float32),
            log_evidence=result.log_evidence,
            effective_samples=result.effective_samples,
            likelihood_calls=result.likelihood_calls,
            seconds=result.seconds,
            transit_depth=planet["transit_depth"].values[0],
            transit_depth_error=planet["transit_depth_error"].values[0],
            prior_low=planet["prior_low"].values[0],
            prior_high=planet["prior_high"].values[0],
        )
