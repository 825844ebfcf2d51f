"""Seeds of jobs, and fingerprints of what results were made from."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from zlib import crc32

import numpy as np
import xarray as xr


def derived_seed(seed: int, name: str, member: int = 0) -> int:
    """Seed of one job, from the run's seed, the job's name and its member number.

    Uses CRC-32 of the name, since Python's own string hash is salted per process.
    """
    sequence = np.random.SeedSequence([seed, crc32(name.encode()), member])
    return int(sequence.generate_state(1, np.uint32)[0])


def fingerprint(*parts: Any) -> str:
    """Digest of settings, seeds, arrays and datasets, by which stored results are recognised."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, xr.Dataset):
            names = sorted(part.variables, key=str)
            part = fingerprint(*(x for v in names for x in (v, part[v].values)))
        if isinstance(part, np.ndarray) and part.dtype != object:
            digest.update(f"{part.dtype} {part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            content = part.tolist() if isinstance(part, np.ndarray) else part
            digest.update(json.dumps(content, sort_keys=True, default=str).encode())
        digest.update(b"\0")
    return digest.hexdigest()
