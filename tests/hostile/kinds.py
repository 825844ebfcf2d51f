"""The kinds of input that are spoilt: how a valid one is made, how it is read, what must show."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import forked
import mutations
import numpy as np
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.data.ingest import ingest
from arielflow.editions import get_edition
from arielflow.editions.official_files import write_official, write_traces
from arielflow.evaluation.submission.write import (
    check_submission,
    score_submission,
    write_submission,
)

Judge = Callable[[Any, Any], str | None]
"""What a reader made of the valid and of the spoilt input, to what is wrong with that."""


@dataclass(frozen=True)
class Kind:
    """One kind of hostile input.

    Attributes
    ----------
    name : of the kind
    source : folder with the valid input
    files : names below it, one of which is spoilt
    ways : mutations, each as likely as the others
    read : folder to something that JSON knows
    judge : tells a value that should not have come about; None where any value may
    """

    name: str
    source: Path
    files: Sequence[str]
    ways: Sequence[mutations.Mutation]
    read: Callable[[Path], Any]
    judge: Judge = field(default=lambda valid, found: None)

    def case(self, folder: Path, seed: int, valid: Any) -> str | None:
        """Spoil a copy of the input and read it; what went wrong, or None."""
        rng = np.random.default_rng([seed, len(self.name), *self.name.encode()])
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.source, folder)
        file = str(rng.choice(list(self.files)))
        way = self.ways[int(rng.integers(len(self.ways)))]
        how = way(folder / file, rng)
        found = forked.outcome(lambda: self.read(folder))
        wrong = None
        if found["kind"] == "value":
            wrong = self.judge(valid, found["value"])
        elif found["kind"] != "fault":
            wrong = f"{found['kind']}: {found['text']}"
        return wrong and f"{self.name} seed {seed}: {file}: {how}: {wrong}"


def same(valid: Any, found: Any) -> str | None:
    """Damage is refused, or did not change what was read."""
    return None if found == valid else "silent: another content was read"


def noticed(valid: dict[str, Any], found: dict[str, Any]) -> str | None:
    """Every planet is as it was, or flagged."""
    for name, (flags, checksum) in valid.items():
        if name not in found:
            return f"silent: planet {name} is gone"
        if found[name][1] != checksum and found[name][0] == flags:
            return f"silent: planet {name} has changed without a flag"
    return None


def refused(valid: Any, found: Any) -> str | None:
    """Only faults will do."""
    return None if found.get("faults") else f"silent: taken as {str(found)[:80]}"


def agreed(valid: dict[str, Any], found: dict[str, Any]) -> str | None:
    """What the validator refuses gets no score."""
    return "silent: scored, but not valid" if found["scored"] and found["faults"] else None


# Data sets.


def read_data_set(folder: Path, edition: str = "adc2023", split: str = "train") -> dict[str, Any]:
    """Flags and checksum of every planet of an ingested split."""
    planets, traces, _ = ingest(folder, get_edition(edition), split)
    ends = np.cumsum(traces["row_size"].values)
    result = {}
    for row, name in enumerate(planets["planet"].values):
        part = planets.isel(planet=row)
        start = ends[row] - traces["row_size"].values[row]
        trace = (
            traces["trace"].values[start : ends[row]],
            traces["weight"].values[start : ends[row]],
        )
        names = ("transit_depth", "transit_depth_error", "auxiliary_value", "theta")
        content = forked.digest(*(part[n].values for n in names), *trace)
        result[str(name)] = [int(part["quality"]), content]
    return result


def data_sets(folder: Path, planets: xr.Dataset) -> list[Kind]:
    """The challenge's own files: bytes, HDF5 structure, tables."""
    edition = get_edition("adc2023")
    write_official(folder, edition, "train", planets, _traces(planets))
    below = "TrainingData"
    spectra = [f"{below}/SpectralData.hdf5"]
    truth = f"{below}/Ground Truth Package"
    tables = [f"{below}/AuxillaryTable.csv", f"{truth}/FM_Parameter_Table.csv"]
    traces = [f"{truth}/Tracedata.hdf5"]
    return [
        Kind("data set, bytes", folder, spectra + tables + traces, mutations.BYTES, read_data_set),
        Kind(
            "data set, structure",
            folder,
            spectra + traces,
            [mutations.structure],
            read_data_set,
            noticed,
        ),
        Kind(
            "data set, tables",
            folder,
            tables,
            [mutations.cells, mutations.layout],
            read_data_set,
            noticed,
        ),
        Kind("data set, harmless", folder, tables[:1], [mutations.harmless], read_data_set, same),
    ]


def _traces(planets: xr.Dataset) -> xr.Dataset:
    count, n_targets = planets.sizes["planet"], planets.sizes["target"]
    rng = np.random.default_rng(1)
    share = rng.random((count, 200, n_targets))
    low, high = (planets[f"prior_{side}"].values[:, None] for side in ("low", "high"))
    theta = (low + (high - low) * share).reshape(-1, n_targets)
    names = ("target", "target_quantity", "target_units", "target_latex", "planet")
    return xr.Dataset(
        {
            "row_size": ("planet", np.full(count, 200)),
            "trace": (("obs", "target"), theta),
            "weight": ("obs", np.full(200 * count, 1 / 200)),
        },
        coords={name: planets[name] for name in names},
    )


def wfc3(folder: Path) -> list[Kind]:
    """NumPy files of the WFC3 edition, observed split."""
    edition = get_edition("wfc3")
    rng = np.random.default_rng(1)
    content = {
        "wavelength.npy": edition.wavelength_um,
        "error_bars.npy": np.full(13, 0.01),
        "WASP12b.npy": 1.4 + 0.01 * rng.random((1, 13)),
    }
    folder.mkdir(parents=True)
    for name, values in content.items():
        np.save(folder / name, values)
    files = list(content)
    return [
        Kind(
            "wfc3",
            folder,
            files,
            [*mutations.BYTES, _npy, _npy, _npy],
            lambda path: read_data_set(path, "wfc3", "observed"),
        )
    ]


def _npy(path: Path, rng: np.random.Generator) -> str:
    """Another type, another shape, or a shape that the file does not hold."""
    values = np.load(path)
    kind = str(rng.choice(["complex", "bool", "str", "object", "structured", "npz", "declared"]))
    if kind == "npz":
        with path.open("wb") as stream:
            np.savez(stream, values=values)
    elif kind == "object":
        np.save(path, values.astype(object))
    elif kind == "structured":
        np.save(path, np.array([(1.0, 2)], dtype=[("a", "f8"), ("b", "i4")]))
    elif kind == "declared":
        header = {
            "descr": "<f8",
            "fortran_order": False,
            "shape": (10 ** int(rng.integers(6, 25)),),
        }
        with path.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, header)
    else:
        np.save(path, values.astype(kind))
    return f"NumPy file: {kind}"


# Submissions.


def _posterior(planets: xr.Dataset) -> xr.Dataset:
    rng = np.random.default_rng(2)
    low, high = (planets[f"prior_{side}"].values[:, None] for side in ("low", "high"))
    theta = low + (high - low) * rng.random((planets.sizes["planet"], 1200, 7))
    weight = rng.random(theta.shape[:2])
    return xr.Dataset(
        {
            "theta": (("planet", "sample", "target"), theta),
            "weight": (("planet", "sample"), weight / weight.sum(axis=1, keepdims=True)),
        },
        coords={"planet": planets["planet"], "target": planets["target"]},
    )


def submissions(folder: Path, planets: xr.Dataset) -> list[Kind]:
    """A regular-track file, validated and scored."""
    edition = get_edition("adc2023")
    write_official(folder, edition, "test", planets)
    write_submission(_posterior(planets), edition, folder, "submission")
    write_traces(folder / "Tracedata.hdf5", edition, _traces(planets))
    files = ["submission.hdf5"]

    def validate(path: Path) -> dict[str, Any]:
        found = check_submission(path / "submission.hdf5", edition, path)
        faults = getattr(found, "faults", found)
        return {"faults": [str(fault)[:200] for fault in faults]}

    def score(path: Path) -> dict[str, Any]:
        return score_submission(path / "submission.hdf5", edition, path / "Tracedata.hdf5", 0)

    def judge(path: Path) -> dict[str, Any]:
        try:
            score(path)
        except ArielflowError:
            return validate(path) | {"scored": False}
        return validate(path) | {"scored": True}

    structural = [mutations.form, mutations.identifiers]
    return [
        Kind("submission, bytes", folder, files, mutations.BYTES, validate),
        Kind("submission, validated", folder, files, structural, validate, refused),
        Kind("submission, scored", folder, files, structural, score, refused),
        Kind("submission, judged", folder, files, [mutations.structure], judge, agreed),
        Kind("submission, truth", folder, ["Tracedata.hdf5"], mutations.BYTES, score),
    ]
