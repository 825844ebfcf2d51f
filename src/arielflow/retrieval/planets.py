"""Retrievals of chosen planets by nested sampling: what ``arielflow retrieve`` computes."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr

from arielflow.core.code import code_digest
from arielflow.core.errors import ArielflowError
from arielflow.core.files import drop_stale, write_dataset
from arielflow.core.schema import describe, posterior_dataset, retrieval_faults
from arielflow.core.seeds import derived_seed, fingerprint
from arielflow.core.worker_pool import message_queue, worker_pool
from arielflow.data.forward_models import edition_model, model_fingerprint
from arielflow.data.priors import prior_samples
from arielflow.editions import Edition
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.fit_check import with_fit_check
from arielflow.retrieval.nested import NestedProgress, NestedResult, NestedSettings, retrieve

log = logging.getLogger(__name__)

PlanetProgress = Callable[[str, NestedProgress], None]
"""Called with a planet's identifier and how far its run is."""

_LISTED = 5


@dataclass(frozen=True)
class _Shared:
    """What the retrievals of one call have in common; small, so that processes can be sent it."""

    edition: Edition
    physics: PhysicsSettings
    seed: int
    settings: NestedSettings
    checkpoints: Path


def retrieve_planets(
    edition: Edition,
    planets: xr.Dataset,
    identifiers: Sequence[str],
    output: str | Path,
    *,
    physics: PhysicsSettings,
    seed: int,
    n_samples: int = 4000,
    settings: NestedSettings | None = None,
    workers: int = 1,
    state_folder: str | Path | None = None,
    progress: PlanetProgress | None = None,
) -> xr.Dataset:
    """Retrieve planets by nested sampling and write their posteriors.

    Called again after an interruption with the same arguments, it resumes. A planet that cannot be
    retrieved gets draws from its prior, is logged and flagged; the others go on. A planet's samples
    depend on nothing but its own data, the seed and the settings.

    Parameters
    ----------
    edition, planets
        Planets dataset and its edition.
    identifiers
        Which planets.
    output
        NetCDF file to write.
    physics
        Opacities and mode of the forward model.
    n_samples
        Equally weighted samples a planet to keep.
    settings
        Of the sampler.
    workers
        Processes; with one, planets are retrieved one after another in this process.
    state_folder
        Holds checkpoints until ``output`` is written, is then removed and should hold nothing
        else; a hidden folder beside ``output`` if left out.
    progress
        Told how far each planet is.

    Returns
    -------
    xarray.Dataset
        Posterior dataset with ``log_evidence`` (NaN without a retrieval), ``effective_samples``,
        ``likelihood_calls``, ``seconds`` [s], ``retrieved`` (0 or 1) and ``fault``, each (planet,),
        and how well the spectrum is met, see :func:`arielflow.retrieval.fit_check.with_fit_check`.

    Raises
    ------
    ArielflowError
        A planet is not in the data set, the forward model cannot be had for it, or a process was
        killed.
    """
    chosen = choose_planets(planets, identifiers)
    # A fault of the model is no planet's own: it is told at once, before any sampling.
    forward = ForwardModel(edition_model(edition, physics), chosen)
    output = Path(output)
    state = Path(state_folder or output.with_name(f".{output.name}.state"))
    settings = settings or NestedSettings()
    checkpoints = checkpoint_folder(state, edition, physics, seed, settings)
    shared = _Shared(edition, physics, seed, settings, checkpoints)
    parts = [chosen.isel(planet=[position]) for position in range(chosen.sizes["planet"])]
    progress = progress or (lambda planet, state: None)
    if workers == 1:
        results = [_retrieve_one(shared, part, lambda r: progress(*r)) for part in parts]
    else:
        results = _in_processes(shared, parts, workers, progress)
    posterior = retrieved_posterior(chosen, results, n_samples, seed)
    posterior = with_fit_check(posterior, chosen, forward)
    posterior.attrs |= retrieval_attributes(edition, planets, physics, seed, settings.model_dump())
    write_dataset(posterior, output)
    shutil.rmtree(state, ignore_errors=True)
    return posterior


def retrieval_attributes(
    edition: Edition,
    planets: xr.Dataset,
    physics: PhysicsSettings,
    seed: int,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Attributes of a posterior dataset that tell what it was retrieved with.

    Parameters
    ----------
    edition, planets, physics, seed
        Of the retrieval.
    settings
        Its method's own, by name.
    """
    return {
        "edition": edition.name,
        "prior": planets.attrs.get("prior", ""),
        "seed": seed,
        "mode": "fast" if physics.nodes else "reference",
        "opacities": physics.opacities,
        "collision_induced_absorption": int(physics.cia),
        **settings,
    }


def choose_planets(planets: xr.Dataset, identifiers: Sequence[str]) -> xr.Dataset:
    """The planets of these identifiers, in their order, each once.

    Raises
    ------
    ArielflowError
        One is not in the data set.
    """
    known = {str(name): position for position, name in enumerate(planets["planet"].values)}
    unknown = [name for name in identifiers if name not in known]
    if unknown:
        more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
        raise ArielflowError(
            f"planet {', '.join(unknown)} is not in the data set; it has "
            f"{', '.join(list(known)[:_LISTED])}{more}"
        )
    return planets.isel(planet=[known[name] for name in dict.fromkeys(identifiers)])


def checkpoint_folder(
    state: str | Path,
    edition: Edition,
    physics: PhysicsSettings,
    seed: int,
    settings: NestedSettings,
) -> Path:
    """Folder of the checkpoints of one forward model, seed, settings and code.

    Those of others, in folders beside it, are removed.
    """
    code = code_digest("arielflow.retrieval.nested", "arielflow.physics")
    mark = fingerprint(model_fingerprint(edition, physics), code, seed, settings.model_dump())
    folder = Path(state) / mark[:16]
    others = {path.parent for path in folder.parent.glob(f"{'[0-9a-f]' * 16}/*.h5")}
    drop_stale(sorted(others), {folder}, "another call's settings, opacities or code")
    return folder


def _retrieve_one(
    shared: _Shared, part: xr.Dataset, report: Callable[[tuple[str, NestedProgress]], None]
) -> NestedResult | str:
    """The posterior of the dataset's only planet, or why there is none."""
    name = str(part["planet"].values[0])
    if fault := data_fault(part):
        return fault
    # Outside the guard: where the forward model cannot be had, the planet is not at fault.
    forward = ForwardModel(edition_model(shared.edition, shared.physics), part)
    try:
        return retrieve(
            forward,
            part,
            0,
            seed=planet_seed(shared.seed, name),
            settings=shared.settings,
            checkpoints=shared.checkpoints,
            progress=lambda state: report((name, state)),
        )
    except ArielflowError as error:
        return str(error)


def data_fault(part: xr.Dataset) -> str | None:
    """Why the dataset's only planet cannot be retrieved, None if it can."""
    return str(retrieval_faults(part)[0]) or None


def planet_seed(seed: int, name: str) -> int:
    """Seed of one planet's retrieval, whichever others are retrieved with it."""
    return derived_seed(seed, f"retrieve/{name}")


def _in_processes(
    shared: _Shared, parts: Sequence[xr.Dataset], workers: int, progress: PlanetProgress
) -> list[NestedResult | str]:
    count = max(1, min(workers, len(parts)))
    with message_queue() as reports, worker_pool(count) as pool:
        futures = [pool.submit(_retrieve_one, shared, part, reports.put) for part in parts]
        pending = set(futures)
        while pending:
            done, pending = wait(pending, timeout=0.5)
            for future in done:
                future.result()  # what is no planet's own fault ends the others at once
            while not reports.empty():
                progress(*reports.get())
        return [future.result() for future in futures]


class Retrieved(Protocol):
    """What every kind of retrieval gives of a planet.

    Attributes
    ----------
    log_evidence, log_volume : natural logarithms of the evidence under the sampled box, and of
        the box's volume
    effective_samples, likelihood_calls, seconds : what the run gave and took
    """

    log_evidence: float
    log_volume: float
    effective_samples: float
    likelihood_calls: int
    seconds: float

    def equal_weight_samples(self, n_samples: int, seed: int) -> np.ndarray:
        """Equally weighted samples (n_samples, target) in random order."""
        ...


def retrieved_posterior(
    chosen: xr.Dataset,
    results: Sequence[Retrieved | str],
    n_samples: int,
    seed: int,
    *,
    extras: Sequence[str] = (),
) -> xr.Dataset:
    """Posterior dataset of retrievals; a planet without one has draws from its prior.

    Parameters
    ----------
    chosen
        Planets dataset.
    results
        Of every planet: its retrieval, or why there is none.
    n_samples
        Equally weighted samples a planet to keep.
    seed
        Of the retrievals.
    extras
        Further attributes of the results to keep, NaN where a result does not have one.
    """
    names = [str(name) for name in chosen["planet"].values]
    theta = np.empty((len(names), n_samples, chosen.sizes["target"]))
    log_evidence = np.full(len(names), np.nan)
    costs = np.zeros((3, len(names)))
    for row, (name, result) in enumerate(zip(names, results, strict=True)):
        part, own_seed = chosen.isel(planet=[row]), planet_seed(seed, name)
        if isinstance(result, str):
            log.warning("%s: not retrieved: %s", name, result)
            theta[row] = prior_samples(part, n_samples, derived_seed(own_seed, "prior"))[0]
            continue
        theta[row] = result.equal_weight_samples(n_samples, own_seed)
        # The sampler's box cuts the prior where the likelihood vanishes: the same integral, but a
        # denser prior.
        width = (part["prior_high"] - part["prior_low"]).values[0]
        log_evidence[row] = result.log_evidence + result.log_volume - np.sum(np.log(width))
        costs[:, row] = result.effective_samples, result.likelihood_calls, result.seconds
    faults = np.array([r if isinstance(r, str) else "" for r in results], dtype=object)
    by_planet = {
        "log_evidence": log_evidence,
        "effective_samples": costs[0],
        "likelihood_calls": costs[1].astype(np.int64),
        "seconds": costs[2],
        "retrieved": (faults == "").astype(np.int8),
        "fault": faults,
    }
    by_planet |= {
        name: np.array([float(getattr(result, name, np.nan)) for result in results])
        for name in extras
    }
    posterior = posterior_dataset(chosen, theta)
    return describe(posterior.assign({k: ("planet", v) for k, v in by_planet.items()}))


def gather_posteriors(parts: Sequence[xr.Dataset], planets: xr.Dataset) -> xr.Dataset:
    """Posteriors of chunks of a data set as one, in the planets' order.

    Raises
    ------
    ArielflowError
        The chunks are not all of the data set's planets.
    """
    # A data set of fewer planets than chunks leaves some empty.
    parts = [part for part in parts if part.sizes["planet"]]
    found = xr.concat(parts, "planet", data_vars="minimal", coords="minimal", join="exact")
    missing = set(planets["planet"].values) ^ set(found["planet"].values)
    if missing:
        raise ArielflowError(
            f"chunks: {len(missing)} planets are not in both chunks and data set; remake the chunks"
        )
    # The encoding is the first file's, whose names may be shorter than another's.
    return found.sel(planet=planets["planet"].values).drop_encoding()
