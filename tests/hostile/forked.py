"""One hostile case in a process of its own, with limits of time and memory."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import select
import signal
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arielflow.core.errors import ArielflowError

SECONDS = 20
"""A reader that takes longer hangs."""

MEMORY_MB = 200
"""A reader that takes more than so much above where it began has believed what a file declares."""

_ADDRESS_SPACE_MB = 1500
_LONGEST_LINE = 1500


def outcome(read: Callable[[], Any]) -> dict[str, Any]:
    """What a reader makes of its input.

    Returns
    -------
    dict
        ``kind``: ``value`` (with ``value``, as JSON knows it), ``fault`` (with its ``text``),
        or what must never be: ``traceback``, ``lines``, ``hang``, ``crash``, ``memory``.
    """
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiving)
        try:
            _report(read, sending)
        finally:
            os._exit(0)
    os.close(sending)
    try:
        text = _received(receiving)
    finally:
        os.close(receiving)
    if text is None:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if text is None:
        return {"kind": "hang", "text": f"no answer within {SECONDS} s"}
    if not text:
        return {"kind": "crash", "text": f"the process ended with status {status}"}
    return json.loads(text)


def _received(pipe: int) -> str | None:
    parts = []
    while True:
        ready, *_ = select.select([pipe], [], [], SECONDS)
        if not ready:
            return None
        part = os.read(pipe, 1 << 16)
        if not part:
            return b"".join(parts).decode()
        parts.append(part)


def _report(read: Callable[[], Any], pipe: int) -> None:
    limit = _ADDRESS_SPACE_MB * 1_000_000 + _memory_mb("VmSize") * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    warnings.simplefilter("ignore")
    before = _memory_mb("VmRSS")
    try:
        found = {"kind": "value", "value": read()}
    except ArielflowError as error:
        text = str(error)
        found = {"kind": "fault", "text": text}
        if "\n" in text or len(text) > _LONGEST_LINE:
            found = {"kind": "lines", "text": text[:300]}
    except BaseException:
        found = {"kind": "traceback", "text": traceback.format_exc()[-600:]}
    if _memory_mb("VmHWM") - before > MEMORY_MB:
        found = {"kind": "memory", "text": f"{_memory_mb('VmHWM') - before} MB more"}
    with os.fdopen(pipe, "w") as stream:
        stream.write(json.dumps(found))


def _memory_mb(name: str) -> int:
    with Path("/proc/self/status").open() as stream:
        line = next(line for line in stream if line.startswith(f"{name}:"))
    return int(line.split()[1]) // 1000


def digest(*arrays: Any) -> str:
    """Short checksum of arrays, by which two results are told to be the same."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(array.tobytes() if hasattr(array, "tobytes") else repr(array).encode())
    return found.hexdigest()[:16]
