"""A data set in an edition's official layout, out of the forward model.

Systems come from ``physics.population``, theta from the retrieval prior, spectra (noise-free, as
the challenge stores them) from the transmission model, and the ground truth from nested sampling,
or from the library of it that the project ships.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import xarray as xr

from arielflow.array_files import read_npy, read_npz
from arielflow.edition_physics import Progress, edition_model, log_limits, model_fingerprint
from arielflow.editions import Edition
from arielflow.editions.official_files import (
    PARAMETER_TABLE,
    RERUN_TRACE_DATA,
    TRACE_DATA,
    write_parameters,
    write_traces,
)
from arielflow.errors import ArielflowError
from arielflow.inference.nested import NestedSettings
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.physics.population import draw_systems, transit_depth_errors
from arielflow.physics.system import JUPITER_RADIUS_M, surface_gravity_m_s2
from arielflow.priors import SIMULATION_RECORD, prior_box
from arielflow.provenance import atomic_path, drop_stale, write_json
from arielflow.schema import (
    TARGET_COORDINATES,
    Quality,
    describe,
    target_index,
    validate_planets,
)
from arielflow.training import fingerprint
from arielflow.truth import SETTINGS, TruthJob, sample_truth
from arielflow.truth_library import TruthLibrary

log = logging.getLogger(__name__)

TEST_TRUTH = "TestTruth"
N_TRACE_SAMPLES = {"train": 1500, "test": 2000}
"""Equal-weight samples kept of a planet's truth, by split."""

# Real planets' radii are roughly uniform in the logarithm; used where the radius is no target.
_KNOWN_RADIUS_RJUP = (0.09, 2.2)
_TABULATED_JUPITER_RADIUS_M = 6.9911e7
_BLOCK = 2000


def simulate_planets(
    edition: Edition,
    n_planets: int,
    *,
    seed: int,
    split: str,
    prior: str,
    physics: PhysicsSettings,
    population: str | None = None,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Draw planets of one split and compute their spectra.

    The first n planets of a seed and split are the same however many are drawn.

    Parameters
    ----------
    edition
        Gives targets, columns and grid.
    n_planets
        Number of planets.
    seed, split
        Seed of the data set; every split has its own stream.
    prior
        Name of the retrieval prior, whose box the planets bear.
    physics
        Opacities and mode of the forward model.
    population
        Name of the prior that theta is drawn from; the retrieval prior if left out.
    scratch
        Keeps finished blocks of spectra, so that an interrupted call resumes.
    progress
        Called with the number of spectra computed and of all.
    """
    radius = next((t for t in edition.targets if t.quantity == "planet_radius"), None)
    span = radius.priors[prior] if radius else None
    systems = draw_systems(
        n_planets,
        seed=seed,
        split=split,
        radius_rjup=(span.low, span.high) if span else _KNOWN_RADIUS_RJUP,
        log_uniform_radius=span is None,
    )
    errors = transit_depth_errors(
        systems, edition.wavelength_um, edition.wavelength_width_um, seed=seed, split=split
    )
    planets = _planets_dataset(edition, systems, errors, split)
    low, high = prior_box(edition, planets, population or prior)
    rng = np.random.default_rng([seed, crc32(f"{split}/theta".encode())])
    theta = low + (high - low) * rng.random(low.shape)
    column = target_index(planets, "planet_radius")
    if column is not None:
        theta[:, column] = systems["planet_radius_rjup"]
    planets["theta"] = (("planet", "target"), theta)
    for name, edge in zip(
        ("prior_low", "prior_high"), prior_box(edition, planets, prior), strict=True
    ):
        planets[name] = (("planet", "target"), edge)
    planets.attrs["prior"] = prior
    forward = ForwardModel(edition_model(edition, physics), planets)
    depth = planets["transit_depth"].values
    blocks = [np.arange(i, min(i + _BLOCK, n_planets)) for i in range(0, n_planets, _BLOCK)]
    files = _block_files(planets, blocks, model_fingerprint(edition, physics), split, scratch)
    for rows, file in zip(blocks, files, strict=True):
        depth[rows] = _block_spectra(forward, planets, rows, file)
        if progress:
            progress(int(rows[-1]) + 1, n_planets)
    log_limits(forward.transmission, f"{split} planets")
    with np.errstate(invalid="ignore"):
        runaway = ~(np.isfinite(depth).all(axis=1) & (depth < 1).all(axis=1))
    planets["quality"].values[runaway] = int(Quality.DEPTH_OUT_OF_RANGE)
    return validate_planets(describe(planets))


def _block_files(
    planets: xr.Dataset, blocks: list[np.ndarray], mark: str, split: str, scratch: Path | None
) -> list[Path | None]:
    """Where the blocks' spectra are kept; those of other planets or another model are removed."""
    if scratch is None:
        return [None] * len(blocks)
    values = planets["theta"].values, planets["auxiliary_value"].values
    marks = [fingerprint(mark, *(column[rows] for column in values))[:32] for rows in blocks]
    files = [scratch / f"spectra-{split}-{own}.npy" for own in marks]
    drop_stale(
        [*scratch.glob(f"spectra-{split}-*.npy"), *scratch.glob(f"spectra-{'?' * 32}.npy")],
        set(files),
        "another call's settings, opacities or code",
    )
    return files


def _block_spectra(
    forward: ForwardModel, planets: xr.Dataset, rows: np.ndarray, file: Path | None
) -> np.ndarray:
    """Spectra of some planets, from the file if an earlier call computed the very same."""
    if file is not None and file.is_file():
        try:
            return read_npy(file, (len(rows), planets.sizes["wavelength"]))
        except ArielflowError as error:
            log.warning("computed again: %s", error)
    depth = forward.spectra(rows, planets["theta"].values[rows])
    if file is not None:
        with atomic_path(file) as temporary, temporary.open("wb") as stream:
            np.save(stream, depth)
    return depth


def _planets_dataset(
    edition: Edition, systems: dict[str, np.ndarray], errors: np.ndarray, split: str
) -> xr.Dataset:
    n_planets = len(errors)
    radius_m = systems["planet_radius_rjup"] * JUPITER_RADIUS_M
    values = systems | {
        "surface_gravity_m_s2": surface_gravity_m_s2(systems["planet_mass_kg"], radius_m),
        "tabulated_planet_radius_m": systems["planet_radius_rjup"] * _TABULATED_JUPITER_RADIUS_M,
    }
    bounds = np.array([target.score_bounds for target in edition.targets])
    return xr.Dataset(
        {
            "transit_depth": (("planet", "wavelength"), np.full_like(errors, np.nan)),
            "transit_depth_error": (("planet", "wavelength"), errors),
            "wavelength_width": ("wavelength", edition.wavelength_width_um),
            "auxiliary_value": (
                ("planet", "auxiliary"),
                np.stack([values[column.quantity] for column in edition.auxiliary], axis=1),
            ),
            "score_low": ("target", bounds[:, 0]),
            "score_high": ("target", bounds[:, 1]),
            "quality": ("planet", np.zeros(n_planets, dtype=np.int64)),
        },
        coords=edition.coordinates() | {"planet": edition.identifiers(split, n_planets)},
        attrs={"edition": edition.name, "split": split, "noise": edition.noise},
    )


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

    The truth of the test planets goes to ``TestTruth``, apart from ``TestData``: traces, an
    independent rerun of them, and the parameters. Spectra, and truth that has to be sampled, are
    kept in ``.unfinished`` below ``output`` until all is written: an interrupted call resumes.

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
    planets = {
        split: simulate_planets(
            edition,
            count,
            seed=seed,
            split=split,
            prior=prior,
            physics=physics,
            population=population,
            scratch=scratch,
            progress=spectra_progress,
        )
        for split, count in (("train", n_train), ("test", n_test))
        if count
    }
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
