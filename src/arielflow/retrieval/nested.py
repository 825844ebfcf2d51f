"""Nested sampling of one planet's posterior with a vectorised likelihood (nautilus).

nautilus (Lange 2023, MNRAS 525, 3181) was chosen over UltraNest by measurement, see
``benchmarks/nested_samplers.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import ClassVar

import h5py
import numpy as np
from nautilus import Sampler
from threadpoolctl import threadpool_limits

from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path
from arielflow.core.netcdf import check_plain
from arielflow.core.seeds import fingerprint
from arielflow.physics.forward import ForwardModel
from arielflow.physics.systems import Systems
from arielflow.retrieval.likelihood import gaussian_log_likelihood, under_whole_prior, widened
from arielflow.retrieval.method import Attempt, Method, WeightedResult
from arielflow.settings.nested import NestedSettings

log = logging.getLogger(__name__)

_REPORT_SECONDS = 1.0
# Writing a checkpoint takes up to half a second: every half minute it costs two per cent.
_CHECKPOINT_SECONDS = 30.0
# A run of a planet takes some 80 calls a live point; one that has made so many does not end.
_MOST_CALLS, _MOST_CALLS_PER_LIVE_POINT = 500_000, 1000


@dataclass(frozen=True)
class NestedResult(WeightedResult):
    """Weighted posterior samples and what they cost.

    Attributes
    ----------
    theta : samples (n, target)
    weight : weights (n,), summing to one
    log_evidence : natural logarithm of the evidence under the sampled box
    effective_samples, likelihood_calls, seconds : what the run gave and took, the part before an
        interruption included
    log_volume : natural logarithm of the sampled box's volume
    """

    theta: np.ndarray
    weight: np.ndarray
    log_evidence: float
    effective_samples: float
    likelihood_calls: int
    seconds: float
    log_volume: float

    def __str__(self) -> str:
        return f"nested sampling, {self.seconds:.0f} s"


@dataclass(frozen=True)
class NestedProgress:
    """How far a run is.

    Attributes
    ----------
    likelihood_calls : calls so far, those before an interruption included
    effective_samples : so far; none while exploring, since that phase's samples are discarded
    n_effective : effective samples at which sampling stops
    """

    likelihood_calls: int
    effective_samples: float
    n_effective: int


Report = Callable[[NestedProgress], None]
"""Called about once a second while a run goes on, and at its end."""


def nested_sampling(
    log_likelihood: Callable[[np.ndarray], np.ndarray],
    low: np.ndarray,
    high: np.ndarray,
    *,
    seed: int,
    settings: NestedSettings | None = None,
    checkpoint: Path | None = None,
    progress: Report | None = None,
) -> NestedResult:
    """Sample a posterior under a uniform prior on a box.

    Parameters
    ----------
    log_likelihood
        Natural log-likelihoods (n,) of points (n, target).
    low, high
        Edges of the box, shape (target,).
    seed
        Seed of the sampler.
    settings
        The sampler's settings.
    checkpoint
        HDF5 file (``.h5``) from which the run resumes if it is there, and in which it is kept. It
        must have been left by the same likelihood, box, seed and settings, see :func:`retrieve`.
    progress
        Told how far the run is.

    Raises
    ------
    ArielflowError
        The sampler does not come to an end, or returned too few effective samples.
    """
    settings = settings or NestedSettings()
    started = perf_counter()
    with threadpool_limits(1):
        make_sampler = partial(
            Sampler,
            lambda cube: low + (high - low) * cube,
            log_likelihood,
            n_dim=len(low),
            n_live=settings.n_live,
            n_update=settings.n_update,
            n_networks=settings.n_networks,
            n_batch=settings.n_batch,
            vectorized=True,
            pass_dict=False,
            seed=seed,
        )
        sampler, seconds_before = _fresh_or_resumed(make_sampler, checkpoint)
        started -= seconds_before
        _run(sampler, settings, started, checkpoint, progress)
        theta, log_weight, _ = sampler.posterior()
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    effective = float(1 / np.sum(weight**2))
    if effective < 0.8 * settings.n_effective:
        raise ArielflowError(
            f"nested sampling ended with {effective:.0f} effective samples, expected "
            f"{settings.n_effective}; raise n_live"
        )
    return NestedResult(
        theta,
        weight,
        float(sampler.log_z),
        effective,
        int(sampler.n_like),
        perf_counter() - started,
        float(np.sum(np.log(high - low))),
    )


def _fresh_or_resumed(
    make_sampler: Callable[..., Sampler], checkpoint: Path | None
) -> tuple[Sampler, float]:
    """The sampler as the checkpoint has it, and the seconds it had taken; else a fresh one."""
    if checkpoint is None or not checkpoint.is_file():
        return make_sampler(), 0.0
    try:
        check_plain(checkpoint)
        sampler = make_sampler(filepath=checkpoint)
        if any(points.shape[1:] != (sampler.n_dim,) for points in sampler.points):
            raise ValueError("its points are of another space")
        with h5py.File(checkpoint) as file:
            seconds = float(file.attrs["seconds"])
    except Exception as error:  # whatever a damaged or foreign file makes of the reader
        log.warning("%s: not a readable checkpoint, sampling starts afresh: %s", checkpoint, error)
        return make_sampler(), 0.0
    # Left to itself nautilus rewrites its file in place at every batch: slow, and a kill while it
    # writes would spoil the file. Here checkpoints replace one another whole.
    sampler.filepath = None
    log.info("%s: resumed after %d likelihood calls", checkpoint, sampler.n_like)
    return sampler, seconds


def _run(
    sampler: Sampler,
    settings: NestedSettings,
    started: float,
    checkpoint: Path | None,
    progress: Report | None,
) -> None:
    """Run to the end, in slices of time where someone looks on; slices change no sample."""
    slice_seconds = _REPORT_SECONDS if checkpoint or progress else np.inf
    most_calls = max(_MOST_CALLS, _MOST_CALLS_PER_LIVE_POINT * settings.n_live)
    written, finished = perf_counter(), False
    while not finished:
        finished = sampler.run(
            n_eff=settings.n_effective,
            n_like_max=most_calls,
            discard_exploration=True,
            timeout=slice_seconds,
        )
        if not finished and sampler.n_like >= most_calls:
            raise ArielflowError(
                f"nested sampling has not ended after {sampler.n_like} likelihood calls; check "
                "whether the model can have made the spectrum: its depths, errors and units"
            )
        if progress:
            effective = float(sampler.n_eff) if sampler.explored else 0.0
            progress(NestedProgress(int(sampler.n_like), effective, settings.n_effective))
        if checkpoint and (finished or perf_counter() - written >= _CHECKPOINT_SECONDS):
            _write_checkpoint(sampler, perf_counter() - started, checkpoint)
            written = perf_counter()


def _write_checkpoint(sampler: Sampler, seconds: float, checkpoint: Path) -> None:
    with atomic_path(checkpoint) as temporary:
        hdf5 = temporary.with_suffix(".h5")  # nautilus takes no other suffix
        sampler.write(hdf5, overwrite=True)
        with h5py.File(hdf5, "r+") as file:
            file.attrs["seconds"] = seconds
        hdf5.replace(temporary)


def retrieve(
    forward: ForwardModel,
    planet: int,
    *,
    seed: int,
    settings: NestedSettings | None = None,
    checkpoints: Path | None = None,
    progress: Report | None = None,
) -> NestedResult:
    """Posterior of one planet under its retrieval prior.

    The radius box is widened and the planet sampled again should the posterior touch an edge that
    is not the prior's own.

    Parameters
    ----------
    forward, planet
        Forward model of a data set, and a position in that.
    seed, settings
        Of the sampler.
    checkpoints
        Folder, for one forward model, of checkpoints from which an interrupted call resumes. A
        file's name tells the spectrum, prior, box, seed and settings that it belongs to.
    progress
        Told how far the run is.

    Raises
    ------
    ArielflowError
        No radius of the prior can have made the spectrum, the model has no spectrum anywhere, the
        posterior still touches the box after widening, or sampling failed.
    """
    systems, settings = forward.systems, settings or NestedSettings()
    log_likelihood = gaussian_log_likelihood(forward, planet, settings.error_model)

    def sampled(box: np.ndarray) -> NestedResult:
        file = checkpoints and checkpoints / _checkpoint(systems, planet, box, seed, settings)
        return nested_sampling(
            log_likelihood,
            *box,
            seed=seed,
            settings=settings,
            checkpoint=file,
            progress=progress,
        )

    return widened(sampled, systems, planet)


def _checkpoint(
    systems: Systems, planet: int, box: np.ndarray, seed: int, settings: NestedSettings
) -> str:
    """Name of a checkpoint, which tells what it belongs to."""
    data = [systems.depth, systems.error, *systems.prior]
    data += [systems.star_radius_m, systems.planet_mass_kg, systems.planet_radius_m]
    values = [part[planet] for part in data if part is not None]
    sampler = [seed, settings.model_dump(), version("nautilus-sampler")]
    return f"{fingerprint(*values, box, sampler)}.h5"


@dataclass(frozen=True)
class Nested(Method):
    """Nested sampling as a method of :mod:`arielflow.retrieval.planets`."""

    settings: NestedSettings = field(default_factory=NestedSettings)

    fit_checked: ClassVar[bool] = True
    resumes: ClassVar[bool] = True

    def retrieve(self, attempt: Attempt) -> NestedResult:
        """Retrieve a planet, see :func:`retrieve`."""
        found = retrieve(
            attempt.forward,
            attempt.planet,
            seed=attempt.seed,
            settings=self.settings,
            checkpoints=attempt.checkpoints,
            progress=attempt.progress,
        )
        return under_whole_prior(found, attempt.forward.systems, attempt.planet)
