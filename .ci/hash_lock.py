"""Put into lock files the SHA-256 of every file that PyPI has of a version; `make lock` calls it.

pip-compile's own --generate-hashes downloads every file of every platform where an index has no
JSON interface of its own; PyPI's simple index names the checksums. PyTorch is left out: its wheels
differ by platform, processor and CUDA version, and most of them lie on an index of its own.
"""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

INDEX = "https://pypi.org/simple"
SIMPLE_JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}
PIN = re.compile(r"([A-Za-z0-9_.-]+)==(\S+)$")
WITHOUT = {"torch"}


def version_of(filename: str) -> Version | None:
    """Version that a distribution's file name tells; None of what is no distribution."""
    parse = parse_wheel_filename if filename.endswith(".whl") else parse_sdist_filename
    try:
        return parse(filename)[1]
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None


def hashes(name: str, version: str) -> list[str]:
    """SHA-256 of all files of one version."""
    answer = requests.get(f"{INDEX}/{name}/", headers=SIMPLE_JSON, timeout=60)
    answer.raise_for_status()
    files = [f for f in answer.json()["files"] if version_of(f["filename"]) == Version(version)]
    if not files:
        raise SystemExit(f"{name}=={version}: {INDEX} has no file of it")
    return sorted(file["hashes"]["sha256"] for file in files)


def pins_of(lock: Path) -> dict[str, str]:
    """Versions that a lock file pins, by name."""
    lines = (line.removesuffix(" \\") for line in lock.read_text().splitlines())
    return {match[1]: match[2] for line in lines if (match := PIN.match(line))}


def rewrite(lock: Path, without: set[str]) -> None:
    """Put hashes into a lock file, and leave out the packages that stand elsewhere."""
    pins = {name: version for name, version in pins_of(lock).items() if name not in without}
    with ThreadPoolExecutor(8) as pool:
        found = dict(zip(pins, pool.map(lambda name: hashes(name, pins[name]), pins), strict=True))
    result, kept = [], True
    for line in (line.removesuffix(" \\") for line in lock.read_text().splitlines()):
        pin = PIN.match(line)
        if "--hash=" in line:
            continue
        if not line.startswith(" "):
            kept = pin is None or pin[1] in pins
        if pin and kept:
            rows = [line, *(f"    --hash=sha256:{value}" for value in found[pin[1]])]
            result += [*(f"{row} \\" for row in rows[:-1]), rows[-1]]
        elif kept:
            result.append(line)
    lock.write_text("\n".join(result) + "\n")


def main(runtime: Path, test: Path) -> None:
    """Rewrite the runtime's lock file, and the tests' one with what the runtime's lacks."""
    rewrite(runtime, WITHOUT)
    rewrite(test, WITHOUT | set(pins_of(runtime)))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
