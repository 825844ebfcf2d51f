"""Global heaps of HDF5 files, where texts and references of variable length lie.

libhdf5 walks a heap from object to object by their sizes. Where a heap has been overwritten, with
zeros such as fill the holes of a file that was never written whole, it stays for ever at an object
without a size, or with one that wraps around. Such a heap is found here, before libhdf5 is asked.
"""

from __future__ import annotations

from pathlib import Path

from arielflow.core.errors import ArielflowError

_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_HEADER = 16
_BLOCK = 1 << 24


def check_heaps(path: Path, remedy: str) -> None:
    """Refuse a file with a heap that cannot be walked from object to object.

    Raises
    ------
    ArielflowError
        It has such a one.
    """
    length = path.stat().st_size
    left = 2 * length  # heaps do not lie in one another; those that claim to are not followed far
    with path.open("rb") as stream:
        for start in _signatures(path):
            stream.seek(start)
            size = min(int.from_bytes(stream.read(_HEADER)[8:], "little"), length - start)
            left -= size
            if left < 0 or not _is_whole(stream.read(max(size - _HEADER, 0))):
                raise ArielflowError(f"{path}: its texts at byte {start} are overwritten; {remedy}")


def _signatures(path: Path) -> list[int]:
    """Positions of whatever begins as a heap does."""
    found, start, kept = [], 0, b""
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            block = kept + block
            place = block.find(_SIGNATURE)
            while place >= 0:
                found.append(start - len(kept) + place)
                place = block.find(_SIGNATURE, place + 1)
            start += len(block) - len(kept)
            kept = block[1 - len(_SIGNATURE) :]
    return found


def _is_whole(heap: bytes) -> bool:
    """Whether the objects below a heap's header lead to its end."""
    place = 0
    while place + _HEADER <= len(heap):
        number = int.from_bytes(heap[place : place + 2], "little")
        size = int.from_bytes(heap[place + 8 : place + 16], "little")
        # What is left free, number 0, counts its own header; objects are padded to eight bytes.
        step = _HEADER + -(-size // 8) * 8 if number else size
        if not 0 < step <= len(heap) - place:
            return False
        place += step
    return True
