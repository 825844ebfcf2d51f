"""The library of nested-sampling truth that the project ships, and when it applies.

Nested sampling takes some twenty seconds per planet, so the truth of the default run's planets is
kept under ``data/embedded``. An entry is used only for a planet whose spectrum, errors and prior
are those that it was made with; any other planet is sampled live.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from arielflow.core.array_files import read_npz
from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path, new_hdf5, sha256
from arielflow.core.hdf5 import PlainFile, open_plain
from arielflow.core.readers import read_json_object, regular_file

INPUTS = ("transit_depth", "transit_depth_error", "prior_low", "prior_high")
"""What an entry was made from."""

COSTS = ("log_evidence", "effective_samples", "likelihood_calls", "seconds")
"""What an entry took, and how good it is."""

_MAX_SPECTRUM_DIFFERENCE_SIGMA = 0.01
_REMEDY = (
    "make it with arielflow embedded-truth, or leave it out of simulation.truth_library to sample "
    "its planets live"
)


def pack(files: dict[str, list[Path]], planet_ids: dict[str, list[str]], path: Path) -> None:
    """Gather files of :func:`arielflow.simulation.truth.sample_truth` into one library.

    Parameters
    ----------
    files
        Paths by ``<split>/<run>``, in the order of the planets.
    planet_ids
        Identifiers by ``<split>/<run>``.
    path
        HDF5 file to write.
    """
    with atomic_path(path) as temporary, new_hdf5(temporary) as library:
        for name, paths in sorted(files.items()):
            entries = [read_npz(entry) for entry in paths]
            group = library.create_group(name)
            group["planet_ID"] = np.array(planet_ids[name], dtype="S")
            theta = np.stack([entry["theta"] for entry in entries])
            group.create_dataset(
                "theta", data=theta, compression="gzip", shuffle=True, chunks=(1, *theta.shape[1:])
            )
            for key in (*INPUTS, *COSTS):
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
        A file is not there, or not the one that the manifest beside it was written with.
    """

    def __init__(self, *paths: str | Path) -> None:
        self.paths = [Path(path) for path in paths]
        for path in self.paths:
            regular_file(path, _REMEDY)
            _check_manifest(path)

    def look_up(self, planet: xr.Dataset, split: str, run: str) -> np.ndarray | None:
        """Equal-weight samples (sample, target) of a one-planet dataset, or None.

        None also if an entry of this name was made from another spectrum, error or prior.

        Raises
        ------
        ArielflowError
            A library is damaged.
        """
        name = str(planet["planet"].values[0])
        group = f"{split}/{run}"
        for path in self.paths:
            with open_plain(path, _REMEDY) as library:
                if split not in library.names() or not library.holds(split, run):
                    continue
                names = library.texts(f"{group}/planet_ID")
                if name not in names:
                    continue
                row = names.index(name)
                if self._same_inputs(library, group, row, planet):
                    return _samples(library, f"{group}/theta", row, planet.sizes["target"])
        return None

    @staticmethod
    def _same_inputs(library: PlainFile, group: str, row: int, planet: xr.Dataset) -> bool:
        stored = {name: library.numbers(f"{group}/{name}", row=row) for name in INPUTS}
        given = {name: planet[name].values[0] for name in INPUTS}
        if any(stored[name].shape != given[name].shape for name in INPUTS):
            return False
        error = given["transit_depth_error"]
        difference = np.abs(stored["transit_depth"] - given["transit_depth"]) / error
        return bool(
            np.all(difference < _MAX_SPECTRUM_DIFFERENCE_SIGMA)
            and all(
                np.allclose(stored[name], given[name], rtol=1e-6, atol=0) for name in INPUTS[1:]
            )
        )

    def costs(self) -> Iterator[dict[str, object]]:
        """What every run of the library took: one record per planet and run.

        Raises
        ------
        ArielflowError
            A library is damaged.
        """
        for path in self.paths:
            with open_plain(path, _REMEDY) as library:
                for split, run in ((s, r) for s in library.names() for r in library.names(s)):
                    group = f"{split}/{run}"
                    names = library.texts(f"{group}/planet_ID")
                    shape = (len(names),)
                    columns = {k: library.numbers(f"{group}/{k}", shape) for k in COSTS}
                    for row, identifier in enumerate(names):
                        cost = {name: float(column[row]) for name, column in columns.items()}
                        yield {"split": split, "run": run, "planet_ID": identifier} | cost


def _check_manifest(path: Path) -> None:
    """Compare checksums: a sample with a changed bit looks like any other."""
    manifest = path.with_suffix(".json")
    if not manifest.exists():
        return
    expected = read_json_object(manifest, ["sha256"], _REMEDY)["sha256"]
    if sha256(path) != expected:
        raise ArielflowError(
            f"{path}: changed since it was made (another SHA-256 than in {manifest.name}); "
            f"{_REMEDY}"
        )


def _samples(library: PlainFile, name: str, row: int, n_targets: int) -> np.ndarray:
    theta = library.numbers(name, (None, n_targets), row=row)
    if not len(theta) or not np.isfinite(theta).all():
        raise ArielflowError(
            f"{library.path}: {name} holds no samples, or some that are not finite; {_REMEDY}"
        )
    return theta
