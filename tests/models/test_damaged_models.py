"""A damaged model folder is refused in one line, or gives what the whole one gave."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import xarray as xr
from safetensors.numpy import load_file, save_file
from sklearn.ensemble import RandomForestRegressor
from skops.io import dump
from test_models import SETTINGS

from arielflow.chemistry.compressed import CompressedNetwork
from arielflow.core.array_files import read_safetensors
from arielflow.core.errors import ArielflowError
from arielflow.models import (
    FAILED,
    FAMILIES,
    failures,
    load_estimator,
    load_representation,
    make_estimator,
    make_representation,
)
from arielflow.models.emulator import Emulator
from arielflow.models.families._forest_file import load_forest, save_forest
from arielflow.models.families.random_forest import read_importances

SHORT = {"epochs": 1, "batch_size": 32}
REPRESENTATIONS = ("pca", "variational_autoencoder", "factor", "poly")
KINDS = (*FAMILIES, *REPRESENTATIONS, "surrogate", "compression")
SEED = 16


def _clouds() -> xr.Dataset:
    rng = np.random.default_rng(SEED)
    dims, shape = ("cloud", "time", "species"), (6, 5, 4)
    return xr.Dataset(
        {"abundance": (dims, 10 ** -rng.uniform(1, 8, shape)), "slope": (dims, rng.random(shape))},
        coords={"time": np.geomspace(1, 1e4, 5), "species": ["H", "H2", "O", "CO"]},
    )


def _result(kind: str, folder: Path, planets: xr.Dataset) -> np.ndarray:
    """What a model makes of a few planets."""
    if kind in FAMILIES:
        return load_estimator(folder).sample(planets, 20, seed=1)["theta"].values
    if kind in REPRESENTATIONS:
        model = load_representation(folder)
        return model.decode(model.encode(planets))
    if kind == "surrogate":
        mixing = np.full((2, 5), -5.0)
        return Emulator.load(folder).predict(
            *(np.full(2, value) for value in (7e7, 2e27, 1200.0, 7e8)), mixing
        )
    return CompressedNetwork.load(folder).predict(_clouds()["abundance"].values[:, 0])


@pytest.fixture(scope="module")
def saved(simulated, tmp_path_factory) -> dict[str, Path]:
    """Folder of a model of every kind, trained for a moment."""
    train, valid = simulated.isel(planet=slice(0, 80)), simulated.isel(planet=slice(80, 100))
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in KINDS}
    for kind in FAMILIES:
        short = {"trees": 4, "importance_trees": 1}
        if kind != "random_forest":
            short = {"training": SHORT}
        models = make_estimator(kind, SETTINGS[kind] | short)
        models.fit(train, valid, seed=1)
        models.save(folders[kind])
    for kind in REPRESENTATIONS:
        own = {} if kind == "pca" else {"width": 16, "training": SHORT}
        model = make_representation(kind, own | {"n_latent": 3})
        model.fit(train, valid, seed=1)
        model.save(folders[kind])
    emulator = Emulator.from_settings({"widths": [16], "training": SHORT})
    emulator.fit(train, valid, seed=1)
    emulator.save(folders["surrogate"])
    network = CompressedNetwork.from_settings({"n_latent": 3, "width": 8, "training": SHORT})
    network.fit(_clouds(), _clouds(), seed=1)
    network.save(folders["compression"])
    return folders


@pytest.fixture(scope="module")
def few(simulated) -> xr.Dataset:
    return simulated.isel(planet=slice(100, 102))


def _copy(folder: Path, path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    return Path(shutil.copytree(folder, path))


def _description(folder: Path) -> Path:
    (path,) = folder.glob("*.json")
    return path


def _unsealed(folder: Path, path: Path) -> Path:
    """A copy as earlier versions wrote it, without checksums."""
    copy = _copy(folder, path)
    content = json.loads(_description(copy).read_text())
    assert content.pop("sha256") and content.pop("description_sha256")
    _description(copy).write_text(json.dumps(content))
    return copy


def _refused(kind: str, folder: Path, planets: xr.Dataset, expected: np.ndarray | None) -> bool:
    """Whether the folder is refused, in one line that names it; if not it must be as good."""
    try:
        found = _result(kind, folder, planets)
    except ArielflowError as error:
        text = str(error)
        assert "\n" not in text and len(text) < 1200 and str(folder) in text, text
        return True
    assert expected is not None, f"{folder} was taken"
    np.testing.assert_array_equal(found, expected)
    return False


Damage = tuple[str, Callable[[Path], object]]


def _damages(path: Path, other: Path, rng: np.random.Generator) -> Iterator[Damage]:
    """Ways to damage a file, ``other`` being one of another model."""
    content = path.read_bytes()
    for length in {0, 1, 7, 8, 9, len(content) - 1, *rng.integers(0, len(content), 4).tolist()}:
        yield f"cut at {length}", lambda p, n=length: p.write_bytes(content[:n])
    for place in [*rng.integers(0, len(content), 4), *rng.integers(0, min(99, len(content)), 3)]:
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        yield f"flip at {place}", lambda p, c=bytes(changed): p.write_bytes(c)
    yield "more", lambda p: p.write_bytes(content + b"\0" * 8)
    yield "another's", lambda p: shutil.copy(other, p)
    yield "gone", Path.unlink
    yield "folder", lambda p: (p.unlink(), p.mkdir())
    yield "pipe", lambda p: (p.unlink(), os.mkfifo(p))


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_refused(kind, saved, few, tmp_path) -> None:
    rng = np.random.default_rng(SEED)
    expected = _result(kind, saved[kind], few)
    others = [path for name, folder in saved.items() if name != kind for path in folder.iterdir()]
    refused = 0
    for name in sorted(path.name for path in saved[kind].iterdir()):
        path = saved[kind] / name
        alike = [p for p in others if p.suffix == path.suffix] or others
        for _, damage in _damages(path, alike[0], rng):
            damaged = _copy(saved[kind], tmp_path / "model")
            damage(damaged / name)
            refused += _refused(kind, damaged, few, expected)
    assert refused > 20


NONSENSE = (-1, 0, 10**9, 10**30, 2.5, "3", True, None, [], {}, [10**9], float("nan"), float("inf"))


@pytest.mark.parametrize("kind", KINDS)
def test_impossible_descriptions_are_refused(kind, saved, few, tmp_path) -> None:
    """Of folders without checksums; a setting may be left out or changed without effect."""
    rng = np.random.default_rng(SEED)
    expected = _result(kind, saved[kind], few)
    whole = _unsealed(saved[kind], tmp_path / "model")
    path = _description(whole)
    content = json.loads(path.read_text())
    np.testing.assert_array_equal(_result(kind, whole, few), expected)
    for key in content:
        path.write_text(json.dumps({k: v for k, v in content.items() if k != key}))
        assert _refused(kind, whole, few, None)
        for value in NONSENSE:
            path.write_text(json.dumps(content | {key: value}))
            # Without settings all have their defaults, which may be the model's own.
            refused = _refused(kind, whole, few, expected if value == {} else None)
            assert refused or value == {}, (key, value)
    sizes = [k for k, v in content["settings"].items() if isinstance(v, int) and v is not True]
    for key in sizes:
        for value in rng.choice(np.array(NONSENSE, dtype=object), 5, replace=False):
            changed = content["settings"] | {key: value}
            path.write_text(json.dumps(content | {"settings": changed}))
            _refused(kind, whole, few, expected)
    for text in ("", "null", "[]", "{", '"flow"', "[" * 100_000):
        path.write_text(text)
        assert _refused(kind, whole, few, None)


def _tensor_damages(name: str, tensors: dict) -> Iterator[dict]:
    values = tensors[name]
    yield {k: v for k, v in tensors.items() if k != name}
    yield tensors | {f"{name}.more": values}
    yield tensors | {name: values[..., None]}
    yield tensors | {name: np.concatenate([np.atleast_1d(values)] * 2)}
    yield tensors | {name: values.astype("f2")}
    if values.dtype.kind == "f":
        yield tensors | {name: np.full_like(values, np.nan)}
        yield tensors | {name: values.astype("i8")}
    else:
        yield tensors | {name: values + 1_000_000}
        yield tensors | {name: -1 - values}


@pytest.mark.parametrize("kind", KINDS)
def test_states_of_other_shapes_are_refused(kind, saved, few, tmp_path) -> None:
    rng = np.random.default_rng(SEED)
    folder = _unsealed(saved[kind], tmp_path / "model")
    (path,) = folder.glob("*.safetensors")
    tensors, metadata = read_safetensors(path)
    integers = [name for name, values in tensors.items() if values.dtype.kind != "f"][:3]
    expected = _result(kind, folder, few)
    chosen = [*integers, *rng.choice(sorted(tensors), min(4, len(tensors)), replace=False)]
    for name in dict.fromkeys(chosen):
        for damaged in _tensor_damages(name, tensors):
            save_file(damaged, path, metadata or None)
            # Rows that no leaf names, and they alone, may be added without harm.
            assert _refused(kind, folder, few, expected) or name == "theta", name
    for key in metadata:
        for value in ("", "-1", "1000000000000", "H2O,H2O", "x"):
            save_file(tensors, path, metadata | {key: value})
            assert _refused(kind, folder, few, None), (key, value)
    if metadata:
        save_file(tensors, path)
        assert _refused(kind, folder, few, None)


@pytest.mark.parametrize(
    "settings",
    [
        {"context_width": 16_384, "context_blocks": 100},
        {"hidden": 16_384, "blocks": 100},
        {"embedding": 16_384, "layer_pairs": 100},
        {"context_network": "convolution", "channels": 16_384},
    ],
)
def test_memory_is_not_taken_before_sizes_are_compared(settings, saved, few, tmp_path) -> None:
    folder = _unsealed(saved["flow"], tmp_path / "model")
    path = _description(folder)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"settings": content["settings"] | settings}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArielflowError, match="far larger than its file"):
        load_estimator(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("member", (0, 0), 10**6),
        ("member", (1, 3), -1),
        ("start", (0, 0), 10**6),
        ("start", (0, 0), -1),
        ("size", (0, 0), 10**6),
        ("size", (0, slice(None)), 0),
        ("theta", (0, 0), np.nan),
    ],
)
def test_leaves_outside_the_tables_are_refused(name, place, value, saved, few, tmp_path) -> None:
    folder = _unsealed(saved["random_forest"], tmp_path / "model")
    path = folder / "leaves.safetensors"
    arrays = load_file(path)
    arrays[name][place] = value
    save_file(arrays, path)
    assert _refused("random_forest", folder, few, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("left_child", 10**6),
        ("right_child", -7),
        ("left_child", 0),
        ("feature", 10**6),
        ("feature", -9),
    ],
)
def test_trees_that_point_outside_themselves_are_refused(
    field, value, saved, few, tmp_path
) -> None:
    """scikit-learn would read memory that is not the tree's, or never come to a leaf."""
    folder = _unsealed(saved["random_forest"], tmp_path / "model")
    path = folder / "forest.skops"
    with ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    changed = False
    with ZipFile(path, "w") as archive:
        for name, raw in content.items():
            if name.endswith(".npy") and b"left_child" in raw and not changed:
                header = raw.index(b"\n") + 1
                nodes = np.lib.format.read_array(BytesIO(raw)).copy()
                nodes[0][field] = value
                raw, changed = raw[:header] + nodes.tobytes(), True
            archive.writestr(name, raw)
    assert changed
    assert _refused("random_forest", folder, few, None)


def test_a_forest_s_file_holds_a_forest(saved, few, tmp_path) -> None:
    folder = _unsealed(saved["random_forest"], tmp_path / "model")
    dump({"a": np.zeros(3)}, folder / "forest.skops")
    assert _refused("random_forest", folder, few, None)


def test_the_same_model_gives_the_same_bytes(saved, simulated, tmp_path) -> None:
    for kind in ("random_forest", "flow"):
        load_estimator(saved[kind]).save(tmp_path / kind)
        for path in saved[kind].iterdir():
            assert (tmp_path / kind / path.name).read_bytes() == path.read_bytes(), path


def test_a_forest_s_file_has_nothing_of_the_memory_around_it(tmp_path) -> None:
    """The gaps of a tree's nodes hold what was there before: by chance the same, mostly not."""
    rng = np.random.default_rng(SEED)
    features, targets = rng.normal(size=(80, 5)), rng.normal(size=(80, 2))
    first, second = tmp_path / "first.skops", tmp_path / "second.skops"
    for n_trees in range(2, 22):
        forest = RandomForestRegressor(n_estimators=n_trees, random_state=SEED)
        save_forest(forest.fit(features, targets), first)
        save_forest(load_forest(first), second)
        assert first.read_bytes() == second.read_bytes(), n_trees


def test_records_and_tables_of_a_folder_are_guarded(saved, tmp_path) -> None:
    folder = tmp_path / "flow" / "0"
    folder.mkdir(parents=True)
    for text in ("", "no JSON", "[]", "{}"):
        (folder / FAILED).write_text(text)
        with pytest.raises(ArielflowError, match=r"failed\.json"):
            failures([folder])
    (folder / FAILED).write_text(json.dumps({"error": "x" * 10_000}))
    assert len(failures([folder])["flow/0"]) < 500
    table = (saved["random_forest"] / "importances.csv").read_text()
    path = tmp_path / "importances.csv"
    path.write_text(table)
    assert len(read_importances(path)) > 100
    for text in ("", "a,b\n1,2\n", table.replace(",", ";"), table + "x,y,words,1\n", "\0\1"):
        path.write_text(text)
        with pytest.raises(ArielflowError, match=r"importances\.csv"):
            read_importances(path)


def test_an_empty_folder_and_none_are_told(tmp_path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        for load in (load_estimator, load_representation, Emulator.load, CompressedNetwork.load):
            with pytest.raises(ArielflowError, match="train it first"):
                load(folder)
