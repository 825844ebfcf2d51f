"""The truth that the project ships: nested sampling of a run's planets, packed as a library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arielflow.core.files import sha256, write_json
from arielflow.core.schema import is_usable
from arielflow.data.forward_models import Progress
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import Edition
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import PhysicsSettings
from arielflow.runs.manifest import code_version
from arielflow.settings.nested import NestedSettings
from arielflow.simulation.dataset import N_TRACE_SAMPLES
from arielflow.simulation.library import TruthLibrary, pack
from arielflow.simulation.truth import SETTINGS, TruthJob, sample_truth

_RUNS = (("test", "truth"), ("test", "rerun"), ("train", "truth"))


def make_truth_library(
    edition: Edition,
    output: str | Path,
    *,
    scratch: str | Path,
    seed: int,
    prior: str,
    population: str,
    sizes: dict[str, int],
    others: Sequence[str | Path] = (),
    workers: int = 1,
    settings: Mapping[str, NestedSettings] = SETTINGS,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Nested-sample the planets of a simulated run and pack them beside a manifest.

    A planet that cannot be sampled is left out and named in the manifest.

    Parameters
    ----------
    output
        The library's file; the manifest is written beside it with the suffix ``.json``.
    scratch
        Keeps the opacities and every finished planet, so that an interrupted call resumes.
    seed, prior, population
        The run's, see :func:`arielflow.data.simulated_planets.simulate_planets`.
    sizes
        ``n_traces`` and ``n_test`` planets of the run.
    others
        Libraries whose planets need not be sampled again.
    workers, settings, progress
        As for :func:`arielflow.simulation.truth.sample_truth`.
    """
    scratch, output = Path(scratch), Path(output)
    code = code_version()  # before the library, itself a tracked file, changes
    physics = PhysicsSettings(str(ensure_builtin_opacities(scratch / "opacities")))
    counts = {"train": sizes["n_traces"], "test": sizes["n_test"]}
    planets = {
        split: simulate_planets(
            edition,
            count,
            seed=seed,
            split=split,
            prior=prior,
            physics=physics,
            population=population,
        )
        for split, count in counts.items()
    }
    library = TruthLibrary(*others)
    jobs = [
        TruthJob(split, position, run, N_TRACE_SAMPLES[split])
        for split, run in _RUNS
        for position in is_usable(planets[split]).nonzero()[0]
        if library.look_up(planets[split].isel(planet=[position]), split, run) is None
    ]
    paths = sample_truth(
        edition,
        planets,
        jobs,
        seed=seed,
        physics=physics,
        directory=scratch / "planets",
        settings=settings,
        workers=workers,
        progress=progress,
    )

    def name(job: TruthJob) -> str:
        return str(planets[job.split]["planet"].values[job.position])

    found = [(job, path) for job, path in zip(jobs, paths, strict=True) if path]
    groups = {f"{split}/{run}": (split, run) for split, run in _RUNS}
    members = {
        group: [(name(job), path) for job, path in found if (job.split, job.run) == key]
        for group, key in groups.items()
    }
    pack(
        {group: [path for _, path in entries] for group, entries in members.items() if entries},
        {group: [planet for planet, _ in entries] for group, entries in members.items()},
        output,
    )
    manifest = {
        "code": code,
        "edition": edition.name,
        "prior": prior,
        "population": population,
        "seed": seed,
        "settings": {split: chosen.model_dump() for split, chosen in settings.items()},
        "sha256": sha256(output),
        "sizes": {group: len(entries) for group, entries in members.items()},
        "without_truth": sorted({name(j) for j, p in zip(jobs, paths, strict=True) if not p}),
        "others": [str(path) for path in others],
    }
    write_json(manifest, output.with_suffix(".json"))
    return manifest
