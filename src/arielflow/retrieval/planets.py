"""Retrievals of many planets: one driver for every method.

A method (:class:`arielflow.retrieval.method.Method`) retrieves one planet. The driver sees to the
rest: seeds of the planets' own, processes, checkpoints, progress, faults that stay a planet's own,
and the posterior dataset, which tells what it was made with.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from arielflow.retrieval.kept_draws import KeptDraws, keep_draws, with_kept_draws
from arielflow.retrieval.method import Attempt, Method, WeightedResult

log = logging.getLogger(__name__)

PlanetProgress = Callable[[str, Any], None]
"""Called with a planet's identifier and how far its method says that its retrieval is."""

Done = Callable[[int, int], None]
"""Called with the number of planets done and of all."""

_Report = Callable[[tuple[str, Any]], None]

_LISTED = 5
# Variables of a planet without a retrieval; the others are NaN.
_WITHOUT = dict.fromkeys(("retrieved", "effective_samples", "likelihood_calls", "seconds"), 0)
_WITHOUT["warning"] = ""
_KINDS = {"likelihood_calls": np.int64, "retrieved": np.int8, "fault": object, "warning": object}


def retrieve_planets(
    edition: Edition,
    planets: xr.Dataset,
    method: Method,
    output: str | Path | None = None,
    *,
    physics: PhysicsSettings,
    seed: int,
    n_samples: int = 4000,
    workers: int = 1,
    state_dir: str | Path | None = None,
    progress: PlanetProgress | None = None,
) -> xr.Dataset:
    """Retrieve all planets of a dataset by one method.

    Called again after an interruption with the same arguments, a method that keeps checkpoints
    resumes. A planet that cannot be retrieved gets draws from its prior, is logged and flagged; the
    others go on. A planet's samples depend on nothing but its own data, the seed and the method.

    Parameters
    ----------
    edition, planets
        Planets dataset and its edition.
    method
        Such as :class:`arielflow.retrieval.nested.Nested`.
    output
        NetCDF file to write, if any.
    physics
        Opacities and mode of the forward model.
    seed
        Of the retrievals.
    n_samples
        Equally weighted samples per planet to keep.
    workers
        Processes; with one, planets are retrieved one after another in this process.
    state_dir
        Holds checkpoints until ``output`` is written, is then removed and should hold nothing
        else; a hidden folder beside ``output`` if left out.
    progress
        Told how far each planet is, by methods that tell.

    Returns
    -------
    xarray.Dataset
        Posterior dataset with the method's variables, each (planet,), ``retrieved`` (0 or 1) and
        ``fault`` among them, and where the method has it checked how well the spectrum is met, see
        :func:`arielflow.retrieval.fit_check.with_fit_check`.

    Raises
    ------
    ArielflowError
        The forward model cannot be had for these planets, or a process was killed.
    """
    if state_dir is None and output is not None:
        state_dir = Path(output).with_name(f".{Path(output).name}.state")
    method.check(planets, n_samples)
    retrieval = Retrieval(edition, planets, physics, seed, state_dir)
    results = retrieval.results(method, workers=workers, progress=progress)
    kept = keep_draws(results, retrieval.forward, method.kept_draws, seed)
    posterior = retrieval.posterior(method, results, n_samples, kept)
    if output is not None:
        write_dataset(posterior, output)
        shutil.rmtree(state_dir, ignore_errors=True)
    return posterior


@dataclass
class Retrieval:
    """Planets to be retrieved with one forward model and seed, by one method or several.

    Attributes
    ----------
    edition, planets, physics, seed, state_dir : as of :func:`retrieve_planets`
    forward : the forward model of the planets
    faults : why planets cannot be retrieved by any method (planet,); empty where they can

    Raises
    ------
    ArielflowError
        The forward model cannot be had for these planets.
    """

    edition: Edition
    planets: xr.Dataset
    physics: PhysicsSettings
    seed: int
    state_dir: str | Path | None = None

    def __post_init__(self) -> None:
        # A fault of the model is no planet's own: it is told at once, before any sampling.
        self.forward = ForwardModel(edition_model(self.edition, self.physics), self.planets)
        self.faults = retrieval_faults(self.planets)

    def results(
        self,
        method: Method,
        rows: Iterable[int] | None = None,
        *,
        workers: int = 1,
        progress: PlanetProgress | None = None,
        done: Done | None = None,
    ) -> dict[int, Any]:
        """What a method makes of planets, or why it makes nothing of them (a string), by position.

        Parameters
        ----------
        method
            The method.
        rows
            Positions of the planets; all if left out.
        workers, progress
            As of :func:`retrieve_planets`.
        done
            Told how many planets are done.
        """
        rows = range(len(self.faults)) if rows is None else list(rows)
        results = {row: str(self.faults[row]) for row in rows}
        todo = [row for row in rows if not results[row]]
        n_done, progress = len(rows) - len(todo), progress or (lambda planet, state: None)

        def tell(row: int, result: Any) -> None:
            nonlocal n_done
            results[row], n_done = result, n_done + 1
            if not isinstance(result, str):
                name = self.forward.systems.names[row]
                log.info("%s (%d of %d): %s", name, n_done, len(rows), result)
            if done:
                done(n_done, len(rows))

        checkpoints = None
        if method.resumes and self.state_dir is not None:
            where = self.state_dir, self.edition, self.physics, self.seed
            checkpoints = checkpoint_dir(*where, method)
        if workers > 1 and todo:
            self._in_processes(method, todo, min(workers, len(todo)), checkpoints, progress, tell)
        else:
            for row in todo:
                tell(row, self._attempt(method, row, checkpoints, lambda said: progress(*said)))
        return results

    def _attempt(self, method: Method, row: int, checkpoints: Path | None, report: _Report) -> Any:
        """What the method makes of a planet, or why it makes nothing of it."""
        name = str(self.forward.systems.names[row])
        attempt = Attempt(
            forward=self.forward,
            planet=row,
            data=self.planets.isel(planet=[row]),
            seed=planet_seed(self.seed, name),
            checkpoints=checkpoints,
            progress=lambda state: report((name, state)),
        )
        try:
            return method.retrieve(attempt)
        except ArielflowError as error:
            return str(error)

    def _in_processes(
        self,
        method: Method,
        todo: Sequence[int],
        workers: int,
        checkpoints: Path | None,
        progress: PlanetProgress,
        tell: Callable[[int, Any], None],
    ) -> None:
        with message_queue() as reports, worker_pool(workers) as pool:
            rows = {}
            for row in todo:
                own = self.edition, self.planets.isel(planet=[row]), self.physics, self.seed
                rows[pool.submit(_attempt_apart, own, method, checkpoints, reports.put)] = row
            pending = set(rows)
            while pending:
                ended, pending = wait(pending, timeout=0.5)
                for future in ended:
                    # What is no planet's own fault ends the others at once.
                    tell(rows[future], future.result())
                while not reports.empty():
                    progress(*reports.get())

    def posterior(
        self,
        method: Method,
        results: Mapping[int, WeightedResult | str],
        n_samples: int,
        kept: Mapping[int, KeptDraws],
    ) -> xr.Dataset:
        """Posterior dataset of all planets; its attributes tell what it was made with.

        Parameters
        ----------
        method
            The method, whose variables and settings are kept.
        results
            Of every planet, by position: its retrieval, or why there is none.
        n_samples
            Equally weighted samples per planet to keep.
        kept
            Weighted draws to keep, by position, where the method keeps any.
        """
        found = [results[row] for row in range(len(self.faults))]
        posterior = retrieved_posterior(self.planets, found, method.variables, n_samples, self.seed)
        if method.fit_checked:
            posterior = with_fit_check(posterior, self.forward)
        if n_draws := method.kept_draws:
            wavelength_um = self.forward.systems.wavelength_um
            posterior = with_kept_draws(posterior, kept, n_draws, wavelength_um)
        return posterior.assign_attrs(
            {
                "edition": self.edition.name,
                "prior": self.planets.attrs.get("prior", ""),
                "seed": self.seed,
                "mode": "fast" if self.physics.nodes else "reference",
                "opacities": self.physics.opacities,
                "collision_induced_absorption": int(self.physics.cia),
                **method.attributes(),
            }
        )


def _attempt_apart(
    own: tuple[Edition, xr.Dataset, PhysicsSettings, int],
    method: Method,
    checkpoints: Path | None,
    report: _Report,
) -> Any:
    """What the method makes of the dataset's only planet, in a process of its own."""
    # Where the forward model cannot be had, the planet is not at fault: this ends the others.
    return Retrieval(*own)._attempt(method, 0, checkpoints, report)


def planet_seed(seed: int, name: str) -> int:
    """Seed of one planet's retrieval, whichever others are retrieved with it."""
    return derived_seed(seed, f"retrieve/{name}")


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


def checkpoint_dir(
    state_dir: str | Path, edition: Edition, physics: PhysicsSettings, seed: int, method: Method
) -> Path:
    """Folder of the checkpoints of one forward model, seed, method and code.

    Those of others, in folders beside it, are removed.
    """
    code = code_digest(type(method).__module__, "arielflow.physics")
    mark = fingerprint(
        model_fingerprint(edition, physics), code, seed, method.settings.model_dump()
    )
    directory = Path(state_dir) / mark[:16]
    others = {path.parent for path in directory.parent.glob(f"{'[0-9a-f]' * 16}/*.h5")}
    drop_stale(sorted(others), {directory}, "another call's settings, opacities or code")
    return directory


def retrieved_posterior(
    planets: xr.Dataset,
    results: Sequence[WeightedResult | str],
    variables: Sequence[str],
    n_samples: int,
    seed: int,
) -> xr.Dataset:
    """Posterior dataset of retrievals; a planet without one has draws from its prior.

    Parameters
    ----------
    planets
        Planets dataset.
    results
        Of every planet: its retrieval, or why there is none.
    variables
        What to keep of every result beside its samples, in this order; ``retrieved`` and ``fault``
        are made here, the others are attributes of the results, NaN where one does not have it.
    n_samples
        Equally weighted samples per planet to keep.
    seed
        Of the retrievals.
    """
    theta = np.empty((len(results), n_samples, planets.sizes["target"]))
    rows = []
    for number, (name, result) in enumerate(zip(planets["planet"].values, results, strict=True)):
        own_seed = planet_seed(seed, str(name))
        if isinstance(result, str):
            log.warning("%s: not retrieved: %s", name, result)
            part = planets.isel(planet=[number])
            theta[number] = prior_samples(part, n_samples, derived_seed(own_seed, "prior"))[0]
            rows.append(_WITHOUT | {"fault": result})
        else:
            theta[number] = result.equal_weight_samples(n_samples, own_seed)
            row = {variable: getattr(result, variable, np.nan) for variable in variables}
            rows.append(row | {"retrieved": 1, "fault": ""})
    posterior = posterior_dataset(planets, theta)
    for variable in variables:
        values = [row.get(variable, np.nan) for row in rows]
        posterior[variable] = "planet", np.array(values, dtype=_KINDS.get(variable, float))
    return describe(posterior)


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
