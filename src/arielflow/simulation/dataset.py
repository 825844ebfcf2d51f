"""A data set in an edition's official layout, made with the forward model.

Systems come from ``physics.population``, theta from the retrieval prior, spectra (noise-free, as
the challenge stores them) from the transmission model, and the ground truth from nested sampling,
or from the library of it that the project ships.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from arielflow.core.array_files import read_npz
from arielflow.core.files import write_json
from arielflow.core.schema import (
    TARGET_COORDINATES,
    describe,
)
from arielflow.data.forward_models import Progress
from arielflow.data.priors import SIMULATION_RECORD
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import Edition
from arielflow.editions.official_files import (
    PARAMETER_TABLE,
    RERUN_TRACE_DATA,
    TRACE_DATA,
    write_parameters,
    write_traces,
)
from arielflow.physics.forward import PhysicsSettings
from arielflow.settings.nested import NestedSettings
from arielflow.simulation.library import TruthLibrary
from arielflow.simulation.truth import SETTINGS, TruthJob, sample_truth

log = logging.getLogger(__name__)

TEST_TRUTH = "TestTruth"
N_TRACE_SAMPLES = {"train": 1500, "test": 2000}
"""Equal-weight samples kept of a planet's truth, by split."""


def _truths(
    jobs: list[TruthJob],
    edition: Edition,
    planets: dict[str, xr.Dataset],
    library: TruthLibrary,
    **options: object,
) -> tuple[dict[TruthJob, np.ndarray], dict[str, int]]:
    """Samples of every job, from the library where it applies, sampled live otherwise.

    A planet of which one run failed has none of the others either: they are scored together.
    Also how many runs were ``shipped`` and ``sampled``.
    """
    found = {
        job: library.look_up(planets[job.split].isel(planet=[job.position]), job.split, job.run)
        for job in jobs
    }
    todo = [job for job in jobs if found[job] is None]
    paths = sample_truth(edition, planets, todo, **options) if todo else []
    made = {job: read_npz(path)["theta"] for job, path in zip(todo, paths, strict=True) if path}
    found |= made
    failed = {(job.split, job.position) for job, theta in found.items() if theta is None}
    kept = {
        job: theta.astype(float)
        for job, theta in found.items()
        if (job.split, job.position) not in failed
    }
    return kept, {"shipped": len(jobs) - len(todo), "sampled": len(made)}


def _traces_dataset(planets: xr.Dataset, samples: dict[int, np.ndarray]) -> xr.Dataset:
    n_planets, n_targets = planets.sizes["planet"], planets.sizes["target"]
    sizes = np.array([len(samples.get(i, ())) for i in range(n_planets)], dtype=np.int64)
    weight = np.repeat(1 / np.maximum(sizes, 1), sizes)
    trace = [samples[i] for i in sorted(samples)] or [np.empty((0, n_targets))]
    return describe(
        xr.Dataset(
            {
                "row_size": ("planet", sizes),
                "trace": (("obs", "target"), np.concatenate(trace)),
                "weight": ("obs", weight),
            },
            coords={name: planets[name] for name in (*TARGET_COORDINATES, "planet")},
        )
    )


def simulate(
    edition: Edition,
    output: str | Path,
    *,
    n_train: int,
    n_traces: int,
    n_test: int,
    seed: int,
    prior: str,
    physics: PhysicsSettings,
    population: str | None = None,
    truth_library: Sequence[str | Path] = (),
    workers: int = 1,
    settings: Mapping[str, NestedSettings] = SETTINGS,
    progress: Progress | None = None,
    spectra_progress: Progress | None = None,
) -> dict[str, xr.Dataset]:
    """Write a simulated data set in the edition's official layout.

    Spectra of planets with truth, all test planets among them, are the reference mode's: what a
    retrieval in the fast mode gets wrong shows. The truth of the test planets goes to
    ``TestTruth``, apart from ``TestData``: traces, an independent rerun of them, and the
    parameters. Spectra, and truth that has to be sampled, are kept in ``.unfinished`` below
    ``output`` until all is written: an interrupted call resumes.

    Parameters
    ----------
    edition
        Which challenge's layout, targets and grid.
    output
        Root of the data set.
    n_train, n_traces, n_test
        Training planets, how many of them (the first ones) get nested-sampling traces, and test
        planets (0 for none).
    seed, prior, population
        As for :func:`simulate_planets`; recorded in ``simulation.json``.
    physics
        Opacities and mode of the forward model.
    truth_library
        Files of shipped truth, used for the planets that it was made from.
    workers
        Processes for nested sampling.
    progress, spectra_progress
        Called with the number of planets sampled and to sample, of spectra computed and to compute.

    Returns
    -------
    dict
        The planets datasets by split.
    """
    output = Path(output)
    scratch = output / ".unfinished"
    exact = replace(physics, nodes=None)

    def simulated(split: str, count: int, physics: PhysicsSettings, **options: object):
        drawn = {"seed": seed, "prior": prior, "population": population}
        return simulate_planets(edition, count, split=split, physics=physics, **drawn, **options)

    kept = {"scratch": scratch, "progress": spectra_progress}
    planets = {}
    if n_train:
        planets["train"] = simulated("train", n_train, physics, **kept)
    if n_train and n_traces and physics.nodes:
        annotated = simulated("train", min(n_traces, n_train), exact)["transit_depth"].values
        planets["train"]["transit_depth"].values[: len(annotated)] = annotated
    if n_test:
        planets["test"] = simulated("test", n_test, exact, **kept)
    wanted = {("train", "truth"): n_traces, ("test", "truth"): n_test, ("test", "rerun"): n_test}
    jobs = [
        TruthJob(split, position, run, N_TRACE_SAMPLES[split])
        for (split, run), count in wanted.items()
        for position in range(min(count, planets[split].sizes["planet"] if count else 0))
        if planets[split]["quality"].values[position] == 0
    ]
    truths, truth_runs = _truths(
        jobs,
        edition,
        planets,
        TruthLibrary(*truth_library),
        seed=seed,
        physics=physics,
        directory=scratch,
        settings=settings,
        workers=workers,
        progress=progress,
    )
    failed = [job for job in jobs if job not in truths]
    without_truth = {str(planets[job.split]["planet"].values[job.position]) for job in failed}
    traces = {
        (split, run): _traces_dataset(
            planets[split],
            {j.position: x for j, x in truths.items() if (j.split, j.run) == (split, run)},
        )
        for (split, run), count in wanted.items()
        if split in planets
    }
    for split, dataset in planets.items():
        edition.writer(output, edition, split, dataset, traces.get((split, "truth")))
    if "test" in planets:
        (output / TEST_TRUTH).mkdir(exist_ok=True)
        write_parameters(output / TEST_TRUTH / PARAMETER_TABLE, planets["test"])
        for run, name in (("truth", TRACE_DATA[0]), ("rerun", RERUN_TRACE_DATA)):
            write_traces(output / TEST_TRUTH / name, edition, traces["test", run])
    record = {
        "edition": edition.name,
        "prior": prior,
        "population": population or prior,
        "seed": seed,
        "planets": {split: dataset.sizes["planet"] for split, dataset in planets.items()},
        "traces": n_traces,
        "without_truth": sorted(without_truth),
        "truth_runs": truth_runs,
    }
    write_json(record, output / SIMULATION_RECORD)
    shutil.rmtree(scratch, ignore_errors=True)
    return planets
