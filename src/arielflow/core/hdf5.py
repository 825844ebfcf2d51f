"""Reading HDF5 and NetCDF that others wrote: plain data only, declared sizes checked first.

HDF5 can point elsewhere: soft and external links, virtual datasets and external storage take their
values from other places, so that a file of a few kilobytes can hand in another file's content. A
dataset can declare any shape without holding a value. Only hard links to ordinary, written datasets
of numbers are read here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5s, h5t

from arielflow.core.errors import ArielflowError
from arielflow.core.hdf5_heaps import check_heaps
from arielflow.core.readers import guarded, regular_file, shown

_MOST_VALUES = 50_000_000
_MOST_VALUE_BYTES = 16
_MOST_CHUNK_BYTES = 1 << 26
_MOST_TEXTS, _MOST_NAMES = 100, 50_000
_LONGEST_TEXT = 1_000
_REMEDY = "fetch or make the file again"


class _Stored(NamedTuple):
    """A dataset and what is asked about it; every question to HDF5 takes as long as its values."""

    dataset: h5d.DatasetID
    shape: tuple[int, ...] | None
    datatype: h5t.TypeID
    kind: int
    value_bytes: int
    chunk: tuple[int, ...] | None


class PlainFile:
    """An HDF5 file from which only plain groups and datasets of numbers are read.

    Parameters
    ----------
    path
        Path of the file.
    file
        Its open identifier; see :func:`open_plain`.
    """

    def __init__(self, path: Path, file: h5f.FileID) -> None:
        self.path, self._file = path, file
        # The group asked for last: a planet's datasets are read one after the other.
        self._last: tuple[str, h5g.GroupID] | None = None
        self._sound_heaps = False

    def names(self, group: str = "") -> list[str]:
        """Sorted names of everything in a group, by default the root."""
        with guarded(self.path, "HDF5 file"):
            return sorted(name.decode() for name in self._group(group))

    def holds(self, group: str, name: str) -> bool:
        """Whether a plain group holds a link of this name, whatever it leads to."""
        with guarded(self.path, "HDF5 file"):
            return bool(self._group(group).links.exists(name.encode()))

    @property
    def bytes_on_disk(self) -> int:
        """Bytes that the file takes; holes that were never written do not count."""
        found = self.path.stat()
        return min(found.st_size, 512 * found.st_blocks or found.st_size)

    def numbers(
        self,
        name: str,
        shape: tuple[int | None, ...] | None = None,
        *,
        most: int = _MOST_VALUES,
        single: bool = False,
        row: int | None = None,
    ) -> np.ndarray:
        """Values of a dataset in double precision.

        Parameters
        ----------
        name
            Path of the dataset inside the file, such as ``Planet_1/weights``.
        shape
            That it must have, None for any length; any shape if left out.
        most
            Values that it may hold.
        single
            Leave values in single precision where they are stored so.
        row
            Read this one along the first dimension alone; ``shape`` and ``most`` are its own.

        Raises
        ------
        ArielflowError
            The dataset is missing, is no plain dataset of real numbers, has another shape, was
            never written whole, or declares more values than are ever read.
        """
        with guarded(self.path, f"HDF5 file at {name}"):
            stored = self._numeric(name)
            found = stored.shape
            if row is not None:
                if not found or not 0 <= row < found[0]:
                    raise self._fault(name, f"has shape {shown(found)}, expected a row {row}")
                found = found[1:]
            found = self._readable(stored, name, shape, most, found)
            stored_single = stored.kind == h5t.FLOAT and stored.value_bytes == 4
            values = np.empty(found, dtype="f4" if single and stored_single else "f8")
            inside, here = h5s.ALL, h5s.ALL
            if row is not None:
                inside, here = stored.dataset.get_space(), h5s.create_simple(found)
                inside.select_hyperslab((row, *([0] * len(found))), (1, *found))
            stored.dataset.read(here, inside, values)
            return values

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape that a dataset declares; its values are not looked at.

        Raises
        ------
        ArielflowError
            The dataset is missing, or is no plain dataset of real numbers.
        """
        with guarded(self.path, f"HDF5 file at {name}"):
            found = self._numeric(name).shape
            if found is None:
                raise self._fault(name, "holds nothing, expected numbers")
            return found

    def text(self, name: str) -> str:
        """A short text: a dataset of one string, or the first of a few.

        Raises
        ------
        ArielflowError
            The dataset is missing or holds something else.
        """
        found = self.texts(name, most=_MOST_TEXTS)
        if not found:
            raise self._fault(name, "holds nothing, expected a text")
        return found[0]

    def texts(self, name: str, *, most: int = _MOST_NAMES) -> list[str]:
        """Short texts, such as names of planets, of a dataset of strings.

        Raises
        ------
        ArielflowError
            The dataset is missing, holds something else, or more than ``most``.
        """
        with guarded(self.path, f"HDF5 file at {name}"):
            stored = self._dataset(name)
            if stored.kind != h5t.STRING:
                raise self._fault(name, f"holds {_kind(stored.datatype)}, expected a text")
            self._readable(stored, name, None, most, stored.shape)
            if stored.value_bytes > _LONGEST_TEXT:
                raise self._fault(name, f"holds over {_LONGEST_TEXT} characters, expected a name")
            if stored.datatype.is_variable_str():
                self._check_heaps()
            found = np.ravel(h5py.Dataset(stored.dataset).asstr(errors="replace")[()])
            return [str(text) for text in found]

    def attribute(self, name: str, attribute: str) -> str | None:
        """A dataset's attribute as text, None where it is not there."""
        with guarded(self.path, f"HDF5 file at {name}"):
            dataset = self._dataset(name).dataset
            if not h5a.exists(dataset, attribute.encode()):
                return None
            if math.prod(h5a.open(dataset, attribute.encode()).shape or ()) != 1:
                raise self._fault(name, f"attribute {attribute} holds more or less than one text")
            self._check_heaps()
            found = np.ravel(h5py.Dataset(dataset).attrs[attribute])[0]
            return found.decode(errors="replace") if isinstance(found, bytes) else str(found)

    def integer(
        self, group: str, attribute: str, expected: str = "expected one integer"
    ) -> int | None:
        """A group's attribute that is one integer, None where it is not there.

        Parameters
        ----------
        group, attribute
            Their names.
        expected
            Ends the message where the attribute is something else.

        Raises
        ------
        ArielflowError
            The attribute is something else.
        """
        with guarded(self.path, f"HDF5 file at {group}"):
            owner = self._group(group)
            if not h5a.exists(owner, attribute.encode()):
                return None
            found = h5a.open(owner, attribute.encode())
            if found.shape != () or found.get_type().get_class() != h5t.INTEGER:
                if found.get_type().get_class() == h5t.STRING:
                    self._check_heaps()
                raise self._fault(group, f"attribute {attribute} {_described(found)}, {expected}")
            value = np.empty((), dtype=np.int64)
            found.read(value)
            return int(value)

    def _check_heaps(self) -> None:
        """Once a file, before the first text of variable length is read."""
        if not self._sound_heaps:
            check_heaps(self.path, _REMEDY)
            self._sound_heaps = True

    def _group(self, name: str) -> h5g.GroupID:
        if self._last is not None and self._last[0] == name:
            return self._last[1]
        group = h5g.open(self._file, b"/")
        for part in filter(None, name.split("/")):
            group = self._open(group, part, name)
            if not isinstance(group, h5g.GroupID):
                raise self._fault(name, "is no group")
        self._last = name, group
        return group

    def _open(self, group: h5g.GroupID, name: str, full: str) -> h5g.GroupID | h5d.DatasetID:
        own = name.encode()
        try:
            kind = group.links.get_info(own).type
        except (KeyError, RuntimeError):
            if group.links.exists(own):
                raise
            raise self._fault(full, "is missing") from None
        if kind != h5l.TYPE_HARD:
            words = "a soft link" if kind == h5l.TYPE_SOFT else "an external link"
            raise self._fault(full, f"is {words}, expected the data themselves")
        found = h5o.open(group, own)
        if not isinstance(found, h5g.GroupID | h5d.DatasetID):
            raise self._fault(full, "is neither group nor dataset")
        return found

    def _dataset(self, name: str) -> _Stored:
        """A dataset whose values are all in this file."""
        parent, _, own = name.rpartition("/")
        dataset = self._open(self._group(parent), own, name)
        if not isinstance(dataset, h5d.DatasetID):
            raise self._fault(name, "is a group, expected a dataset")
        properties, datatype, shape = dataset.get_create_plist(), dataset.get_type(), dataset.shape
        layout, value_bytes = properties.get_layout(), datatype.get_size()
        chunk = properties.get_chunk() if layout == h5d.CHUNKED else None
        if layout == h5d.VIRTUAL:
            raise self._fault(name, "is a virtual dataset, expected the data themselves")
        if properties.get_external_count():
            raise self._fault(name, "keeps its values in another file, expected them in this one")
        if chunk is not None:
            # A chunk is unpacked whole, however few of its values the dataset takes.
            chunk_bytes = math.prod(chunk) * value_bytes
            most = max(_MOST_CHUNK_BYTES, math.prod(shape or ()) * value_bytes)
            if chunk_bytes > most:
                raise self._fault(
                    name, f"is stored in chunks of {chunk_bytes} bytes, expected at most {most}"
                )
        return _Stored(dataset, shape, datatype, datatype.get_class(), value_bytes, chunk)

    def _numeric(self, name: str) -> _Stored:
        """A dataset of real numbers that can be read within bounds."""
        stored = self._dataset(name)
        if stored.kind not in (h5t.INTEGER, h5t.FLOAT):
            raise self._fault(name, f"holds {_kind(stored.datatype)}, expected real numbers")
        if stored.value_bytes > _MOST_VALUE_BYTES:
            raise self._fault(
                name, f"holds numbers of {stored.value_bytes} bytes, expected ordinary ones"
            )
        return stored

    def _readable(
        self,
        stored: _Stored,
        name: str,
        shape: tuple[int | None, ...] | None,
        most: int,
        found: tuple[int, ...] | None,
    ) -> tuple[int, ...]:
        """Shape ``found`` of what is to be read; refused if it is not ``shape``, or too much."""
        if found is None:
            raise self._fault(name, "holds nothing, expected numbers")
        if shape is not None and (
            len(found) != len(shape)
            or any(want not in (None, have) for want, have in zip(shape, found, strict=True))
        ):
            wanted = str(shape).replace("None", "n")
            raise self._fault(name, f"has shape {shown(found)}, expected {wanted}")
        count = math.prod(found)
        if count > most:
            raise self._fault(name, f"declares {count} values, expected at most {most}")
        declared = math.prod(stored.shape or ())
        if count and not _written(stored, declared):
            raise self._fault(name, f"declares {declared} values that were never written")
        return found

    def _fault(self, name: str, what: str) -> ArielflowError:
        return ArielflowError(f"{self.path}: {shown(name)} {what}; {_REMEDY}")


def _written(stored: _Stored, count: int) -> bool:
    """Whether the file holds all of a dataset's values; the others would read as zeros."""
    if stored.chunk is None:
        return bool(stored.dataset.get_storage_size() >= count * stored.value_bytes)
    chunks = zip(stored.shape or (), stored.chunk, strict=True)
    expected = math.prod(-(-size // chunk) for size, chunk in chunks)
    return bool(stored.dataset.get_num_chunks() == expected)


def _kind(datatype: h5t.TypeID) -> str:
    words = {
        h5t.STRING: "text",
        h5t.ENUM: "booleans or an enumeration",
        h5t.COMPOUND: "complex or compound values",
        h5t.INTEGER: "integers",
        h5t.FLOAT: "floating-point numbers",
    }
    return words.get(datatype.get_class(), "no numbers")


def _described(attribute: h5a.AttrID) -> str:
    """What is there instead of an attribute of one integer; a short text is quoted."""
    kind = _kind(attribute.get_type())
    if attribute.shape:
        return f"holds {kind} of shape {shown(attribute.shape)}"
    if attribute.shape is None:
        return "holds nothing"
    if kind != "text" or attribute.get_storage_size() > _LONGEST_TEXT:
        return f"holds {kind}"
    text = np.empty((), dtype=attribute.dtype)
    attribute.read(text)
    value = text[()]
    return f"is text {shown(repr(value.decode() if isinstance(value, bytes) else value))}"


@contextmanager
def open_plain(path: str | Path, remedy: str = "check the data set's path") -> Iterator[PlainFile]:
    """Open an HDF5 file for reading plain data.

    Raises
    ------
    ArielflowError
        There is no such file, or it is no HDF5 or cut off.
    """
    path = regular_file(path, remedy)
    with guarded(path, "HDF5 file, perhaps truncated"):
        file = h5py.File(path, "r")
    with file:
        yield PlainFile(path, file.id)
