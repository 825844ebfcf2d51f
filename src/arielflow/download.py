"""Files of public data sets over HTTP: checked by checksum, continued where they broke off."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from arielflow.errors import ArielflowError

log = logging.getLogger(__name__)

# What a broken connection can lose: the block that it broke off in.
_BLOCK_BYTES = 1 << 16
_TIMEOUT_S = 30
_ATTEMPTS = 5
_CHECKSUM = re.compile(r"(md5|sha256):([0-9a-f]+)")
_PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE = 206, 416


def download(
    url: str,
    path: str | Path,
    checksum: str,
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> None:
    """Download a file, continuing what an earlier attempt left, and check it.

    What has arrived lies beside ``path`` with ``.partial`` added to its name; it gets its own name
    once its checksum is right. A server that cannot continue sends the file anew.

    Parameters
    ----------
    url
        ``http`` or ``https``.
    path
        The file to write.
    checksum
        ``md5:`` (as Zenodo shows it) or ``sha256:`` and hexadecimal digits.
    progress
        Called with the bytes that have arrived and their total, None where the server does not say.

    Raises
    ------
    ArielflowError
        The server cannot be reached or refuses, the connection keeps breaking, or the content is
        not what the checksum says; the message tells which, and what is kept.
    """
    path = Path(path)
    digest = parsed_checksum(checksum)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _continue(url, partial, progress)
            break
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            kept = partial.stat().st_size if partial.exists() else 0
            log.warning("%s: broke off at %d bytes (attempt %d): %s", url, kept, attempt, error)
            if attempt == _ATTEMPTS:
                raise ArielflowError(
                    f"{url}: broke off {_ATTEMPTS} times, last with: {error}; {kept} bytes are "
                    f"kept in {partial} and a rerun continues from there"
                ) from None
    found = _digest(partial, digest[0])
    if found != digest[1]:
        partial.unlink()
        raise ArielflowError(
            f"{url}: the content has {digest[0]} {found}, expected {digest[1]}; it was removed. "
            "Check the address, or correct the checksum if the publisher has released a new version"
        )
    partial.replace(path)


def parsed_checksum(checksum: str) -> tuple[str, str]:
    """Algorithm and digits of a checksum.

    Raises
    ------
    ArielflowError
        It is neither ``md5:`` nor ``sha256:`` with as many digits as that has.
    """
    match = _CHECKSUM.fullmatch(checksum.lower())
    if match is None or len(match[2]) != hashlib.new(match[1]).digest_size * 2:
        raise ArielflowError(
            f"checksum {checksum!r}: expected md5: and 32, or sha256: and 64 hexadecimal digits"
        )
    return match[1], match[2]


def _continue(url: str, partial: Path, progress: Callable[[int, int | None], None] | None) -> None:
    """Fetch what is missing of a file."""
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with (
        _session() as session,
        session.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as answer,
    ):
        if have and answer.status_code == _RANGE_NOT_SATISFIABLE:
            return  # all of it is here; the checksum tells whether it is right
        if not answer.ok:
            raise ArielflowError(
                f"{url}: the server answers {answer.status_code} {answer.reason}; check the address"
            )
        have = have if answer.status_code == _PARTIAL_CONTENT else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        with partial.open("ab" if have else "wb") as file:
            for block in answer.iter_content(_BLOCK_BYTES):
                file.write(block)
                have += len(block)
                if progress is not None:
                    progress(have, total)
    if total is not None and have < total:
        raise requests.ConnectionError(f"{have} of {total} bytes arrived")


def _session() -> requests.Session:
    session = requests.Session()
    retry = Retry(total=3, backoff_factor=0.5, status_forcelist=(429, 502, 503, 504))
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    # Bytes as they are stored: a compressed transfer could not be continued.
    session.headers["Accept-Encoding"] = "identity"
    return session


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
