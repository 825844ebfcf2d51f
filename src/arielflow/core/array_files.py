"""Guarded readers of arrays: NumPy's files and archives, safetensors, and any zip archive.

What a file declares is checked before it is read, as in :mod:`arielflow.core.readers`.
"""

from __future__ import annotations

import math
import zipfile
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from safetensors import safe_open

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import guarded, regular_file, shown

# Deflate cannot do better than 1,032; what people compress comes nowhere near.
_MOST_INFLATION = 200
_SMALL_BYTES = 1 << 26


def read_npy(
    path: str | Path, shape: tuple[int, ...], remedy: str = "fetch it again"
) -> np.ndarray:
    """Numbers of a NumPy file in double precision, of exactly this shape.

    Raises
    ------
    ArielflowError
        The file is missing or damaged, declares another shape, or holds no real numbers.
    """
    path = regular_file(path, remedy)
    with guarded(path, "NumPy file", remedy), path.open("rb") as stream:
        declared, dtype = _npy_header(stream)
        _check_npy(path, declared, dtype, path.stat().st_size - stream.tell(), remedy)
        if declared != shape:
            raise ArielflowError(f"{path}: shape {declared}, expected {shape}; {remedy}")
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False).astype(float)


def mapped_npy(path: str | Path, remedy: str = "make it again") -> np.ndarray:
    """Numbers of a NumPy file, mapped into memory instead of read.

    Raises
    ------
    ArielflowError
        The file is missing or damaged, or holds no real numbers.
    """
    path = regular_file(path, remedy)
    with guarded(path, "NumPy file", remedy):
        with path.open("rb") as stream:
            shape, dtype = _npy_header(stream)
            _check_npy(path, shape, dtype, path.stat().st_size - stream.tell(), remedy)
        mapped: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped


def read_npz(path: str | Path, remedy: str = "make it again") -> dict[str, np.ndarray]:
    """Arrays of numbers or text of a NumPy archive, by name.

    Raises
    ------
    ArielflowError
        The file is missing or damaged, or an array declares more than the archive holds.
    """
    path = regular_file(path, remedy)
    check_zip(path, remedy)
    arrays = {}
    with guarded(path, "NumPy archive", remedy), zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            stream = BytesIO(archive.read(entry))  # its checksum is verified on the way
            shape, dtype = _npy_header(stream)
            left = entry.file_size - stream.tell()
            _check_npy(path, shape, dtype, left, remedy, kinds="fiuUSb")
            stream.seek(0)
            arrays[entry.filename.removesuffix(".npy")] = np.lib.format.read_array(
                stream, allow_pickle=False
            )
    return arrays


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError(f"version {version} of the format")
    shape, _, dtype = read[version](stream)
    return shape, dtype


def _check_npy(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype,
    n_bytes: int,
    remedy: str,
    kinds: str = "fiu",
) -> None:
    if dtype.kind not in kinds:
        raise ArielflowError(f"{path}: holds values of type {dtype}, expected numbers; {remedy}")
    if math.prod(shape) * dtype.itemsize != n_bytes:
        raise ArielflowError(
            f"{path}: declares shape {shown(shape)} of {dtype}, but holds {n_bytes} bytes; {remedy}"
        )


def read_safetensors(
    path: str | Path, remedy: str = "make it again"
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors of a safetensors file by name, as arrays of its own types, and its metadata.

    Raises
    ------
    ArielflowError
        The file is missing or damaged; its format declares no more than the file holds.
    """
    path = regular_file(path, remedy)
    with guarded(path, "safetensors file", remedy), safe_open(path, "np") as file:
        names = file.keys()
        return {name: file.get_tensor(name) for name in names}, file.metadata() or {}


def check_zip(path: str | Path, remedy: str = "make it again") -> None:
    """Refuse an archive whose members unpack to far more than the archive's own size.

    Raises
    ------
    ArielflowError
        It is missing, no archive, or such a one.
    """
    path = regular_file(path, remedy)
    with guarded(path, "archive", remedy), zipfile.ZipFile(path) as archive:
        unfolded = sum(entry.file_size for entry in archive.infolist())
    if unfolded > max(_SMALL_BYTES, _MOST_INFLATION * path.stat().st_size):
        raise ArielflowError(
            f"{path}: {path.stat().st_size} bytes that declare {unfolded} bytes; {remedy}"
        )
