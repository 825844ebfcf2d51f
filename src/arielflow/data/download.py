"""Files of public data sets over HTTP: checked by checksum, resumed where they broke off."""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import shown
from arielflow.data.transfer import BrokenOffError, NotContinuedError, SlowError, Transfer

log = logging.getLogger(__name__)

_ATTEMPTS = 5
_BACKOFF_S = 0.5
# All waits together: if a server asks for more, the user is told instead.
_MOST_WAITING_S = 60.0
_MOST_BYTES = 1 << 38
_MOST_UNDECLARED_BYTES = 1 << 31
_CHECKSUM = re.compile(r"(md5|sha256):([0-9a-f]+)")


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
        The server cannot be reached, refuses, answers nonsense or hardly anything, sends more than
        it declares, the connection keeps breaking, there is no room, or the content is not what
        the checksum says; the message tells which, and what is kept.
    """
    path = Path(path)
    algorithm, expected = parsed_checksum(checksum)
    partial = path.with_name(f"{path.name}.partial")
    _check_places(path, partial)
    for continued in (partial.exists(), False):
        _fetch(url, partial, progress)
        found = _digest(partial, algorithm)
        if found == expected:
            partial.replace(path)
            return
        partial.unlink()
        if not continued:
            break
        log.warning("%s: what an earlier attempt left was not its beginning; fetched anew", url)
    raise ArielflowError(
        f"{_told(url)}: the content has {algorithm} {found}, expected {expected}; it was removed. "
        "Check the address, or correct the checksum if the publisher has released a new version"
    )


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
            f"checksum {shown(repr(checksum))}: expected md5: and 32, or sha256: and 64 "
            "hexadecimal digits"
        )
    return match[1], match[2]


def _check_places(path: Path, partial: Path) -> None:
    """Refuse to write over anything but a file, or through a link."""
    for place in (path, partial):
        if place.is_symlink() and place == partial:
            raise ArielflowError(
                f"{place}: is a link, expected what an earlier attempt left; remove it"
            )
        if place.exists() and not place.is_file():
            raise ArielflowError(f"{place}: is no file, but a file goes there; move it away")
    path.parent.mkdir(parents=True, exist_ok=True)


def _fetch(url: str, partial: Path, progress: Callable[[int, int | None], None] | None) -> None:
    """Fetch what is missing of a file, with a few attempts and short waits."""
    left_s = _MOST_WAITING_S
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _continue(url, partial, progress)
            return
        except SlowError as error:
            raise ArielflowError(f"{_told(url)}: {error}; {_kept(partial)}") from None
        except BrokenOffError as error:
            if isinstance(error, NotContinuedError):
                partial.unlink()
            log.warning("%s: attempt %d: %s; %s", url, attempt, error, _kept(partial))
            asked_s = error.wait_s
            if asked_s is not None and asked_s > left_s:
                raise ArielflowError(
                    f"{_told(url)}: {error} and asks to wait {asked_s:.0f} s, more than is waited "
                    f"here; {_kept(partial)}"
                ) from None
            if attempt == _ATTEMPTS:
                raise ArielflowError(
                    f"{_told(url)}: broke off {_ATTEMPTS} times, last with: {error}; "
                    f"{_kept(partial)}"
                ) from None
            wait_s = min(left_s, _BACKOFF_S * 2 ** (attempt - 1) if asked_s is None else asked_s)
        left_s -= wait_s
        time.sleep(wait_s)


def _continue(url: str, partial: Path, progress: Callable[[int, int | None], None] | None) -> None:
    """Fetch what is missing of a file."""
    have = partial.stat().st_size if partial.exists() else 0
    with Transfer(url, have) as transfer:
        if transfer.complete:
            return
        have = transfer.start
        most = _room(url, transfer, partial)
        with partial.open("ab" if have else "wb") as file:
            for block in transfer.blocks():
                have += len(block)
                if have > most:
                    partial.unlink()
                    raise ArielflowError(
                        f"{_told(url)}: the server sends over {most} bytes without declaring how "
                        "many; nothing was kept; fetch it by other means, or from another address"
                    )
                file.write(block)
                if progress is not None:
                    progress(have, transfer.total)
    if transfer.total is not None and have < transfer.total:
        raise BrokenOffError(f"{have} of {transfer.total} bytes arrived")


def _room(url: str, transfer: Transfer, partial: Path) -> int:
    """Largest size in bytes that the file may reach."""
    total = transfer.total
    most = _MOST_UNDECLARED_BYTES if total is None else _MOST_BYTES
    free = transfer.start + shutil.disk_usage(partial.parent).free
    if total is None:
        return min(most, free)
    if total > most:
        raise ArielflowError(
            f"{_told(url)}: the server declares {total} bytes, expected at most {most}; check the "
            "address"
        )
    if total > free:
        raise ArielflowError(
            f"{partial.parent}: no room for {_told(url)}, which has {total} bytes where "
            f"{free} fit; free some, or choose another folder"
        )
    return total


def _told(url: str) -> str:
    return shown(url, 400)


def _kept(partial: Path) -> str:
    kept = partial.stat().st_size if partial.exists() else 0
    return f"{kept} bytes are kept in {partial} and a rerun continues from there"


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
