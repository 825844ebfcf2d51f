"""Random forests as files: skops' format, written reproducibly and checked before it is believed.

scikit-learn walks a tree without looking: a node that points outside it ends the process.
"""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from skops.io import dumps, load

from arielflow.core.array_files import check_zip
from arielflow.core.readers import guarded, listed
from arielflow.models.description import REMEDY

# The one type of a forest that skops does not know by itself.
_TRUSTED = ["sklearn.tree._tree.Tree"]
_SCHEMA = "schema.json"
_LEAF = -1
_DATE = (1980, 1, 1, 0, 0, 0)


def save_forest(forest: RandomForestRegressor, path: Path) -> None:
    """Write a forest; the same one always gives the same bytes.

    skops names objects by their addresses in memory and dates its files; between the fields of a
    tree's nodes stands what was in memory before.
    """
    with ZipFile(BytesIO(dumps(forest))) as given, ZipFile(path, "w") as written:
        schema = given.read(_SCHEMA).decode()
        addresses = dict.fromkeys(re.findall(r'"__id__": (\d+)', schema))
        numbers = {address: str(number) for number, address in enumerate(addresses, 1)}

        def renumbered(found: re.Match[str]) -> str:
            return found[1] + numbers[found[2]]

        schema = re.sub(r'("__id__": )(\d+)', renumbered, schema)
        schema = re.sub(r'("file": ")(\d+)(?=\.npy")', renumbered, schema)
        for name in given.namelist():
            stem, _, ending = name.partition(".")
            own = f"{numbers[stem]}.{ending}" if stem in numbers else name
            content = schema.encode() if name == _SCHEMA else _without_gaps(given.read(name))
            written.writestr(ZipInfo(own, _DATE), content)


def _without_gaps(content: bytes) -> bytes:
    """An array's file with zeros between the fields of its elements, where it has fields.

    On the bytes themselves: NumPy copies structured arrays field by field, gaps not included.
    """
    values = np.lib.format.read_array(BytesIO(content))
    if values.dtype.names is None:
        return content
    gap = np.ones(values.dtype.itemsize, dtype=bool)
    for field, start, *_ in values.dtype.fields.values():
        gap[start : start + field.itemsize] = False
    header = content[: len(content) - values.nbytes]
    elements = np.frombuffer(content[len(header) :], dtype=np.uint8).reshape(-1, len(gap)).copy()
    elements[:, gap] = 0
    return header + elements.tobytes()


def load_forest(path: Path) -> RandomForestRegressor:
    """Read what :func:`save_forest` wrote; nothing but a forest's own types is made.

    Raises
    ------
    ArielflowError
        The file is damaged, or a tree points outside itself.
    """
    check_zip(path, REMEDY)
    with guarded(path, "forest of this version", REMEDY):
        forest = load(path, trusted=_TRUSTED)
        if type(forest) is not RandomForestRegressor or not len(forest.estimators_):
            raise ValueError(f"it holds {type(forest).__name__}")
        for number, estimator in enumerate(forest.estimators_):
            if not _is_tree(estimator.tree_, forest.n_features_in_):
                raise ValueError(f"tree {number} points outside itself or its features")
    return forest


def _is_tree(tree: object, n_features: int) -> bool:
    """Every inner node has two children further on, and a feature."""
    count = tree.node_count
    left, right, feature = tree.children_left, tree.children_right, tree.feature
    inner = left != _LEAF
    own = np.arange(count)[inner]
    below = [side[inner] for side in (left, right)]
    return (
        count > 0
        and tree.n_features == n_features
        and np.array_equal(inner, right != _LEAF)
        and all(((side > own) & (side < count)).all() for side in below)
        and bool(((feature[inner] >= 0) & (feature[inner] < n_features)).all())
    )


def leaves_fault(forest: RandomForestRegressor, arrays: dict[str, np.ndarray]) -> str | None:
    """Why arrays are not the training rows in a forest's leaves, None if they are.

    Parameters
    ----------
    arrays
        ``theta`` (row, target); ``member`` (tree, place) rows sorted by leaf; ``start`` and
        ``size`` (tree, leaf) of every leaf among the places.
    """
    wanted = {"theta": "float64", "member": "int32", "start": "int32", "size": "int32"}
    found = {name: values.dtype.name for name, values in arrays.items()}
    if found != wanted or any(values.ndim != 2 for values in arrays.values()):
        return f"tables {listed(list(found.items()))}, expected {listed(list(wanted.items()))}"
    theta, member, start, size = (arrays[name] for name in wanted)
    n_trees = len(forest.estimators_)
    if {len(member), len(start), len(size)} != {n_trees} or start.shape != size.shape:
        return f"tables of {len(member)}, {len(start)} and {len(size)} trees, expected {n_trees}"
    if not len(theta) or not np.isfinite(theta).all():
        return "theta is empty or not finite"
    if not ((member >= 0) & (member < len(theta))).all():
        return "a leaf names a training row that is not there"
    end = start.astype(np.int64) + size
    if (start < 0).any() or (size < 0).any() or (end > member.shape[1]).any():
        return "a leaf lies outside its tree's training rows"
    for number, estimator in enumerate(forest.estimators_):
        leaves = np.flatnonzero(estimator.tree_.children_left == _LEAF)
        if leaves[-1] >= size.shape[1] or not size[number, leaves].all():
            return f"tree {number} has a leaf without training rows"
    return None
