"""Ways to spoil a valid file, each from a seeded generator."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np

Mutation = Callable[[Path, np.random.Generator], str]
"""Spoils a file in place and says how."""

WORDS = (
    "1e4 Pa",
    "10,000",
    "True",
    "False",
    "none at all",
    "--",
    "0x10",
    "1_000",
    "=1+1",
    "1e",
    "µ",
)
IMPLAUSIBLE = ("-1", "0", "1e300", "inf", "-inf", "1e-300")
IMPLAUSIBLE_LOG = ("-300", "40", "1e300", "inf", "-inf")


# Bytes: whatever the format is.


def truncate(path: Path, rng: np.random.Generator) -> str:
    length = int(rng.integers(path.stat().st_size))
    os.truncate(path, length)
    return f"cut to {length} bytes"


def flip(path: Path, rng: np.random.Generator) -> str:
    content = bytearray(path.read_bytes())
    places = rng.integers(len(content), size=int(rng.integers(1, 9)))
    for place in places:
        content[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    return f"bits flipped at {places.tolist()}"


def overwrite(path: Path, rng: np.random.Generator) -> str:
    content = bytearray(path.read_bytes())
    start, length = int(rng.integers(len(content))), int(rng.choice([1, 8, 64, 512]))
    content[start : start + length] = bytes([int(rng.choice([0, 0xFF, 0x41]))]) * length
    path.write_bytes(content)
    return f"{length} bytes overwritten at {start}"


def replace(path: Path, rng: np.random.Generator) -> str:
    """Something that is no regular file, or another format, in a file's place."""
    how = str(rng.choice(["empty", "folder", "pipe", "device", "dangling", "text", "zeros"]))
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "device":
        path.symlink_to("/dev/zero")
    elif how == "dangling":
        path.symlink_to(path.with_name("nowhere"))
    else:
        path.write_bytes({"empty": b"", "text": b"hello, world\n", "zeros": bytes(5000)}[how])
    return f"{how} in its place"


BYTES = (truncate, truncate, flip, flip, overwrite, replace)


# HDF5: links, kinds, shapes and sizes.


def _datasets(path: Path) -> list[str]:
    found: list[str] = []
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
        )
    return found


def _huge(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    file.create_dataset(name, shape, maxshape=(None,) * len(shape), dtype="f8", chunks=True)


def _inflated(file: h5py.File, name: str, values: np.ndarray) -> None:
    big = np.zeros((40_000_000,))
    file.create_dataset(name, data=big, compression="gzip", chunks=(1_000_000,))


def _virtual(file: h5py.File, name: str, values: np.ndarray, other: str) -> None:
    layout = h5py.VirtualLayout(values.shape, dtype=values.dtype)
    layout[...] = h5py.VirtualSource(".", other, shape=values.shape)
    file.create_virtual_dataset(name, layout)


def _external(file: h5py.File, name: str, values: np.ndarray, path: Path) -> None:
    raw = path.with_suffix(".raw")
    raw.write_bytes(values.tobytes())
    file.create_dataset(
        name, values.shape, values.dtype, external=[(str(raw), 0, h5py.h5f.UNLIMITED)]
    )


_IN_PLACE: dict[str, Callable[[h5py.File, str, np.ndarray, str, Path], object]] = {
    "soft link to another": lambda f, n, v, o, p: f.__setitem__(n, h5py.SoftLink(f"/{o}")),
    "dangling link": lambda f, n, v, o, p: f.__setitem__(n, h5py.SoftLink("/nowhere")),
    "link loop": lambda f, n, v, o, p: f.__setitem__(n, h5py.SoftLink(f"/{n}")),
    "external link": lambda f, n, v, o, p: f.__setitem__(
        n, h5py.ExternalLink(str(p.with_suffix(".copy")), f"/{n}")
    ),
    "nothing": lambda f, n, v, o, p: None,
    "a group": lambda f, n, v, o, p: f.create_group(n),
    "its group in itself": lambda f, n, v, o, p: f.__setitem__(n, f[n].parent if n in f else f),
    "text": lambda f, n, v, o, p: f.__setitem__(n, v.astype("S24")),
    "one word": lambda f, n, v, o, p: f.__setitem__(n, "words"),
    "complex": lambda f, n, v, o, p: f.__setitem__(n, v.astype(complex)),
    "booleans": lambda f, n, v, o, p: f.__setitem__(n, v > 0),
    "one value less": lambda f, n, v, o, p: f.__setitem__(n, v[:-1]),
    "a column": lambda f, n, v, o, p: f.__setitem__(n, v[..., None]),
    "nothing written": lambda f, n, v, o, p: f.create_dataset(n, v.shape, v.dtype),
    "a huge shape": lambda f, n, v, o, p: _huge(f, n, (10**12, *v.shape[1:])),
    "as many values as can be": lambda f, n, v, o, p: _huge(f, n, (2**62,)),
    "much from little": lambda f, n, v, o, p: _inflated(f, n, v),
    "a virtual dataset": lambda f, n, v, o, p: _virtual(f, n, v, o),
    "values in another file": lambda f, n, v, o, p: _external(f, n, v, p),
    "NaN": lambda f, n, v, o, p: f.__setitem__(n, v * np.nan),
    "infinity": lambda f, n, v, o, p: f.__setitem__(n, v + np.inf),
    "negative": lambda f, n, v, o, p: f.__setitem__(n, -np.abs(v) - 1),
    "1e300": lambda f, n, v, o, p: f.__setitem__(n, v * 0 + 1e300),
}


_IMPLAUSIBLE = ("negative", "1e300")
_OF_NUMBERS = ("complex", "booleans", "NaN", "infinity", *_IMPLAUSIBLE)


def structure(path: Path, rng: np.random.Generator, ways: Sequence[str] = tuple(_IN_PLACE)) -> str:
    """One dataset replaced by something that is not its plain, plausible numbers."""
    names = _datasets(path)
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    with h5py.File(path, "r+") as file:
        sized = [name for name in names if file[name].ndim and file[name].size > 1]
        name, other = (str(n) for n in rng.choice(sized, 2, replace=False))
        values = file[name][()]
        numbers = values.dtype.kind in "fiu"
        how = str(rng.choice([way for way in ways if numbers or way not in _OF_NUMBERS]))
        if how == "its group in itself":
            parent = file[name].parent
            del file[name]
            file[name] = parent
        else:
            del file[name]
            _IN_PLACE[how](file, name, values, other, path)
    return f"{name}: {how}"


def form(path: Path, rng: np.random.Generator) -> str:
    """One dataset replaced by something that is not plain, finite numbers of its shape."""
    return structure(path, rng, [way for way in _IN_PLACE if way not in _IMPLAUSIBLE])


def identifiers(path: Path, rng: np.random.Generator) -> str:
    """The attribute ID of a planet is not its place."""
    with h5py.File(path, "r+") as file:
        group = file[str(rng.choice(list(file)))]
        values = ["0", 1.5, [0], [0, 1], np.nan, -1, 10**12, True, 0j, h5py.Empty("i8")]
        number = int(rng.integers(len(values) + 1))
        if number == len(values):
            del group.attrs["ID"]
            return "no ID"
        group.attrs["ID"] = values[number]
    return f"{group}: ID {values[number]!r}"


# Tables.


def cells(path: Path, rng: np.random.Generator) -> str:
    """A cell holds words, or a number that cannot be."""
    lines = path.read_text().splitlines()
    row = int(rng.integers(1, len(lines)))
    parts = lines[row].split(",")
    column = int(rng.integers(1, len(parts)))
    logarithm = lines[0].split(",")[column].startswith("log_")
    value = str(rng.choice([*WORDS, *(IMPLAUSIBLE_LOG if logarithm else IMPLAUSIBLE)]))
    parts[column] = f'"{value}"' if "," in value else value
    lines[row] = ",".join(parts)
    path.write_text("\n".join(lines) + "\n")
    return f"row {row}, column {lines[0].split(',')[column]}: {value!r}"


def _columns(path: Path, edit: Callable[[list[list[str]]], object]) -> None:
    rows = [line.split(",") for line in path.read_text().splitlines()]
    edit(rows)
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")


def layout(path: Path, rng: np.random.Generator) -> str:
    """The table's columns, separators, rows or encoding are not what they should be."""
    text = path.read_text()
    columns = len(text.splitlines()[0].split(","))
    chosen = int(rng.integers(1, columns))
    ways: dict[str, Callable[[], object]] = {
        "column repeated": lambda: _columns(
            path, lambda rows: [row.append(row[chosen]) for row in rows]
        ),
        "column missing": lambda: _columns(path, lambda rows: [row.pop(chosen) for row in rows]),
        "all True": lambda: _columns(
            path, lambda rows: [row.__setitem__(chosen, "True") for row in rows[1:]]
        ),
        "semicolons": lambda: path.write_text(text.replace(",", ";")),
        "tabs": lambda: path.write_text(text.replace(",", "\t")),
        "open quote": lambda: path.write_text(text.replace(",", ',"', 1 + chosen)),
        "cells cut": lambda: path.write_text(text.rstrip().rsplit(",", 1)[0] + "\n"),
        "more cells": lambda: path.write_text(text.rstrip() + ",1,2\n"),
        "no rows": lambda: path.write_text(text.splitlines()[0] + "\n"),
        "no header": lambda: path.write_text("\n".join(text.splitlines()[1:]) + "\n"),
        "row repeated": lambda: path.write_text(text + text.splitlines()[-1] + "\n"),
        "another encoding": lambda: path.write_bytes(text.encode("utf-16")),
        "binary": lambda: path.write_bytes(text.encode().replace(b",", b",\x00", 3)),
        "a million columns": lambda: path.write_text("a," * 10**6 + "b\n" + text),
        "long cell": lambda: path.write_text(text.replace(",", "," + "9" * 10**6, 1)),
    }
    how = str(rng.choice(list(ways)))
    ways[how]()
    return how


def harmless(path: Path, rng: np.random.Generator) -> str:
    """What editors and spreadsheets do to a table without changing what it says."""
    text = path.read_text()
    ways: dict[str, Callable[[], object]] = {
        "byte-order mark": lambda: path.write_bytes(b"\xef\xbb\xbf" + text.encode()),
        "carriage returns": lambda: path.write_bytes(text.replace("\n", "\r\n").encode()),
        "empty rows": lambda: path.write_text(
            text + "," * text.splitlines()[0].count(",") + "\n\n"
        ),
        "blanks": lambda: path.write_text(text.replace(",", ", ")),
        "no last newline": lambda: path.write_text(text.rstrip("\n")),
    }
    how = str(rng.choice(list(ways)))
    ways[how]()
    return how
