"""The library of nested-sampling truth that the project ships, and when it applies.

Nested sampling takes some twenty seconds a planet, so the truth of the default run's planets is
kept under ``data/embedded``. An entry is used only for a planet whose spectrum, errors and prior
are those that it was made with; any other planet is sampled live.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from arielflow.errors import ArielflowError
from arielflow.provenance import atomic_path

_INPUTS = ("transit_depth", "transit_depth_error", "prior_low", "prior_high")
_COSTS = ("log_evidence", "effective_samples", "likelihood_calls", "seconds")
_MAX_SPECTRUM_DIFFERENCE_SIGMA = 0.01


def pack(files: dict[str, list[Path]], planet_ids: dict[str, list[str]], path: Path) -> None:
    """Gather the files of ``simulate.sample_truth`` into one compressed library.

    Parameters
    ----------
    files
        Paths by ``<split>/<run>``, in the order of the planets.
    planet_ids
        Identifiers by ``<split>/<run>``.
    path
        HDF5 file to write.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as library:
        for name, paths in sorted(files.items()):
            entries = [dict(np.load(entry)) for entry in paths]
            group = library.create_group(name)
            group["planet_ID"] = np.array(planet_ids[name], dtype="S")
            theta = np.stack([entry["theta"] for entry in entries])
            group.create_dataset(
                "theta", data=theta, compression="gzip", shuffle=True, chunks=(1, *theta.shape[1:])
            )
            for key in (*_INPUTS, *_COSTS):
                group[key] = np.stack([entry[key] for entry in entries])


class TruthLibrary:
    """Read access to libraries, the first that has an entry first.

    Parameters
    ----------
    paths
        HDF5 files written by :func:`pack`; none for a library that has nothing.

    Raises
    ------
    ArielflowError
        A file is not there.
    """

    def __init__(self, *paths: str | Path) -> None:
        self.paths = paths
        for path in paths:
            if not Path(path).is_file():
                raise ArielflowError(
                    f"{path}: no such truth library; make it with arielflow embedded-truth, "
                    "or leave it out of simulation.truth_library to sample its planets live"
                )

    def look_up(self, planet: xr.Dataset, split: str, run: str) -> np.ndarray | None:
        """Equal-weight samples (sample, target) of a one-planet dataset, or None.

        None also if an entry of this name was made from another spectrum, error or prior.
        """
        name = str(planet["planet"].values[0]).encode()
        for path in self.paths:
            with h5py.File(path) as library:
                if f"{split}/{run}" not in library:
                    continue
                group = library[f"{split}/{run}"]
                rows = np.flatnonzero(group["planet_ID"][()] == name)
                if len(rows) and self._same_inputs(group, int(rows[0]), planet):
                    return group["theta"][int(rows[0])].astype(float)
        return None

    @staticmethod
    def _same_inputs(group: h5py.Group, row: int, planet: xr.Dataset) -> bool:
        stored = {name: group[name][row] for name in _INPUTS}
        if stored["transit_depth"].shape != planet["transit_depth"].values[0].shape:
            return False
        error = planet["transit_depth_error"].values[0]
        difference = np.abs(stored["transit_depth"] - planet["transit_depth"].values[0]) / error
        return bool(
            np.all(difference < _MAX_SPECTRUM_DIFFERENCE_SIGMA)
            and all(
                np.allclose(stored[name], planet[name].values[0], rtol=1e-6, atol=0)
                for name in _INPUTS[1:]
            )
        )

    def costs(self) -> Iterator[dict[str, object]]:
        """What every run of the library took: one record a planet and run."""
        for path in self.paths:
            with h5py.File(path) as library:
                for split, run in ((s, r) for s in library for r in library[s]):
                    group = library[split][run]
                    columns = {name: group[name][()] for name in _COSTS}
                    for row, identifier in enumerate(group["planet_ID"][()]):
                        cost = {name: float(column[row]) for name, column in columns.items()}
                        yield {"split": split, "run": run, "planet_ID": identifier.decode()} | cost
