"""The kinds of input that runs keep for themselves: how they are made, read and judged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import forked
import mutations
import numpy as np
import pandas as pd
import xarray as xr
from kinds import Kind, same
from opacity_twins import (
    nemesis,
    write_nemesis,
    write_photochem,
    write_photochem_cia,
    write_pyratbay_cia,
)

from arielflow.core.files import write_dataset, write_json, write_table
from arielflow.core.readers import read_json_object
from arielflow.core.schema import open_dataset
from arielflow.core.tables import read_results
from arielflow.data.splits import read_split
from arielflow.models import load_estimator, make_estimator
from arielflow.physics.cia import read_cia, read_hitran_cia
from arielflow.physics.nodes import read_nodes
from arielflow.physics.opacity_files import read_opacity
from arielflow.simulation.library import COSTS, INPUTS, TruthLibrary, pack


def intermediates(folder: Path, planets: xr.Dataset, library: Path) -> list[Kind]:
    """NetCDF, splits, nodes and shipped truth."""
    folder.mkdir(parents=True)
    write_dataset(planets, folder / "planets.nc")
    names = planets["planet"].values
    split = pd.DataFrame({"planet_ID": names, "subset": "train"})
    split.to_csv(folder / "split.csv", index=False)
    _write_truth(folder / "own.h5", planets)
    write_table(
        pd.DataFrame({"model": names, "score": np.arange(len(names)) + 0.5}), folder / "scores.csv"
    )
    write_json({"files": {str(name): "0" * 64 for name in names}}, folder / "record.json")
    shipped = folder.with_name("shipped")
    shipped.mkdir()
    for suffix in (".h5", ".json"):
        shutil.copy(library.with_suffix(suffix), shipped)

    def dataset(path: Path) -> str:
        found = open_dataset(path / "planets.nc")
        return forked.digest(*(found[n].values for n in sorted(found.data_vars)))

    def results(path: Path) -> str:
        return forked.digest(read_results(path / "scores.csv").to_csv())

    def record(path: Path) -> int:
        return len(read_json_object(path / "record.json", ["files"], "make it again"))

    def truth(file: Path) -> list[object]:
        library = TruthLibrary(file)
        theta = library.look_up(planets.isel(planet=[1]), "test", "truth")
        return [forked.digest(json.dumps(list(library.costs()))), theta is None or theta.shape]

    return [
        Kind("NetCDF", folder, ["planets.nc"], mutations.BYTES, dataset, same),
        Kind("NetCDF, structure", folder, ["planets.nc"], [mutations.structure], dataset),
        Kind(
            "split",
            folder,
            ["split.csv"],
            [mutations.layout, mutations.replace],
            lambda path: len(read_split(path / "split.csv")),
        ),
        Kind(
            "shipped truth",
            shipped,
            ["truth.h5", "truth.json"],
            mutations.BYTES,
            lambda path: truth(path / "truth.h5"),
            same,
        ),
        Kind(
            "own truth",
            folder,
            ["own.h5"],
            [*mutations.BYTES, mutations.structure],
            lambda path: truth(path / "own.h5"),
        ),
        Kind("results", folder, ["scores.csv"], [*mutations.BYTES, mutations.layout], results),
        Kind("records", folder, ["record.json"], mutations.BYTES, record),
    ]


def _write_truth(path: Path, planets: xr.Dataset) -> None:
    """A library of one's own, without a manifest."""
    count = planets.sizes["planet"]
    rng = np.random.default_rng(3)
    entries = []
    for row in range(count):
        entry = {name: planets[name].values[row] for name in INPUTS}
        entry |= {name: np.float64(row) for name in COSTS}
        entry["theta"] = rng.random((50, planets.sizes["target"]))
        entries.append(path.with_name(f"entry_{row}.npz"))
        np.savez(entries[-1], **entry)
    pack({"test/truth": entries}, {"test/truth": list(planets["planet"].values)}, path)


def opacities(folder: Path, table: Path) -> list[Kind]:
    """Tables of cross-sections, of collision-induced absorption, and nodes."""
    folder.mkdir(parents=True)
    shutil.copy(table, folder / "H2O.h5")
    rows = "".join(f"{wavenumber} 1e-45\n" for wavenumber in range(100, 300))
    header = "H2-H2 100.0 299.0 200 {t} 1.0e-45 -.999 ref 0\n"
    (folder / "H2-H2.cia").write_text("".join(header.format(t=t) + rows for t in (300, 1000)))
    meta = {"fingerprint": "x", "range": {}, "validation": {}}
    np.savez(
        folder / "nodes.npz",
        index=np.arange(60),
        matrix=np.ones((52, 60)),
        ray_layer=np.arange(0, 100, 2),
        ray_weight=np.full(50, 2.0),
        meta=np.array(json.dumps(meta)),
    )

    others = folder.with_name("opacity_formats")
    others.mkdir()
    write_nemesis(others / "H2O.kta", nemesis())
    write_photochem(others / "CO2.h5", "CO2")
    write_photochem_cia(others / "H2-H2.h5")
    write_pyratbay_cia(others / "CIA.dat")

    def all_formats(path: Path) -> list[str]:
        tables = [read_opacity(path / name).cross_section_cm2 for name in ("H2O.kta", "CO2.h5")]
        pairs = [read_cia(path / name).cross_section_cm5 for name in ("H2-H2.h5", "CIA.dat")]
        return [forked.digest(values) for values in (*tables, *pairs)]

    def cross_sections(path: Path) -> str:
        found = read_opacity(path / "H2O.h5")
        return forked.digest(np.asarray(found.cross_section_cm2).ravel()[::1000], found.molecule)

    def cia(path: Path) -> str:
        return forked.digest(read_hitran_cia(path / "H2-H2.cia").cross_section_cm5)

    def nodes(path: Path) -> str:
        return forked.digest(read_nodes(path / "nodes.npz").matrix)

    return [
        Kind(
            "opacity", folder, ["H2O.h5"], [*mutations.BYTES, mutations.structure], cross_sections
        ),
        Kind("cia", folder, ["H2-H2.cia"], mutations.BYTES, cia),
        Kind(
            "opacity formats",
            others,
            ["H2O.kta", "CO2.h5", "H2-H2.h5", "CIA.dat"],
            mutations.BYTES,
            all_formats,
        ),
        Kind(
            "opacity formats, structure",
            others,
            ["CO2.h5", "H2-H2.h5"],
            [mutations.structure],
            all_formats,
        ),
        Kind("nodes", folder, ["nodes.npz"], [*mutations.BYTES, _npy_member], nodes),
    ]


def _npy_member(path: Path, rng: np.random.Generator) -> str:
    """An archive one of whose arrays declares what it does not hold."""
    content = dict(np.load(path))
    name = str(rng.choice(list(content)))
    content[name] = rng.choice(["no array", "text"], size=3)
    np.savez(path, **content)
    return f"{name} is text"


def models(folder: Path, planets: xr.Dataset) -> list[Kind]:
    """Folders of a trained forest and of a trained flow."""
    training = {"epochs": 1, "batch_size": 64}
    flow = {"layer_pairs": 1, "hidden": 16, "context_width": 16, "embedding": 8}
    settings = {
        "random_forest": {"trees": 5, "importance_trees": 2, "n_rows": 200},
        "flow": flow | {"training": training},
    }
    few = planets.isel(planet=slice(0, 2))
    kinds = []
    for family, options in settings.items():
        estimator = make_estimator(family, options)
        estimator.fit(planets, planets.isel(planet=slice(0, 40)), seed=1, device="cpu")
        estimator.save(folder / family)
        files = sorted(p.name for p in (folder / family).iterdir() if p.is_file())

        def sample(path: Path) -> str:
            found = load_estimator(path).sample(few, 50, seed=1, device="cpu")
            return forked.digest(found["theta"].values)

        ways = [*mutations.BYTES, _gone]
        kinds.append(Kind(f"model {family}", folder / family, files, ways, sample, same))
    return kinds


def _gone(path: Path, rng: np.random.Generator) -> str:
    path.unlink()
    return "removed"
