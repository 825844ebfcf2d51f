"""One answer of an HTTP server, read so that no server can block or fill the machine.

The answer arrives in a thread of its own, since a server can send a header, a chunk's length or
the body byte by byte and so never let a read time out.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from queue import Empty, Full, Queue
from types import TracebackType
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import shown

log = logging.getLogger(__name__)

# What a broken connection can lose: the block that it broke off in.
_BLOCK_BYTES = 1 << 16
_BLOCKS_AHEAD = 8
_CONNECT_S, _ANSWER_S = 8.0, 20.0
# Slower than a kilobyte a second is no transfer.
_PATIENCE_S = 15.0
_FEWEST_BYTES = 15_000
_MOST_REDIRECTS = 5
_OK, _PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE = 200, 206, 416
_TRY_AGAIN = (429, 500, 502, 503, 504)


class BrokenOffError(Exception):
    """The connection broke, or the server asks to try again, perhaps after a wait [s]."""

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.wait_s = wait_s


class SlowError(Exception):
    """The server sends nothing, or hardly anything."""


class NotContinuedError(BrokenOffError):
    """The server sends another part of the file than it was asked for."""


class Transfer:
    """The rest of a file, coming from a server; a context manager.

    Parameters
    ----------
    url
        ``http`` or ``https``; redirections to these are followed.
    have
        Bytes of the file that are there already.

    Attributes
    ----------
    start
        First byte that the server sends: ``have``, or 0 if it sends the file anew.
    total
        Bytes of the whole file, None where the server does not say.
    complete
        There is nothing beyond ``have``.

    Raises
    ------
    ArielflowError
        On entering: the address is none, or the server refuses or answers nonsense.
    BrokenOffError, SlowError
        On entering or reading.
    """

    def __init__(self, url: str, have: int) -> None:
        self._url, self._have = url, have
        self._queue: Queue[requests.Response | bytes | Exception] = Queue(_BLOCKS_AHEAD)
        self._ended = threading.Event()
        self.start, self.total, self.complete = 0, None, False

    def __enter__(self) -> Transfer:
        threading.Thread(target=self._run, daemon=True).start()
        try:
            answer = self._next(_ANSWER_S)
            if answer is None:
                raise SlowError(f"no answer within {_ANSWER_S:.0f} s")
            self._read_head(answer)
        except BaseException:
            self._ended.set()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()

    def blocks(self) -> Iterator[bytes]:
        """The body as it arrives."""
        waited_s, arrived = 0.0, 0
        while True:
            began_s = time.monotonic()
            block = self._next(_PATIENCE_S - waited_s)
            waited_s += time.monotonic() - began_s
            if block == b"":
                return
            if block is not None:
                arrived += len(block)
                yield block
            if block is None or waited_s >= _PATIENCE_S:
                if arrived < _FEWEST_BYTES:
                    raise SlowError(
                        f"{arrived} bytes in {_PATIENCE_S:.0f} s, too slow to wait for the rest"
                    )
                waited_s, arrived = 0.0, 0

    def _next(self, patience_s: float) -> requests.Response | bytes | None:
        """The next item from the thread; None if nothing comes."""
        try:
            item = self._queue.get(timeout=max(patience_s, 0.001))
        except Empty:
            return None
        if isinstance(item, Exception):
            raise item
        return item

    def _run(self) -> None:
        try:
            with _session() as session, self._answer(session) as answer:
                self._put(answer)
                while block := answer.raw.read1(_BLOCK_BYTES, decode_content=False):
                    self._put(block)
            self._put(b"")
        except _AbandonedError:
            return
        except Exception as error:  # told in the thread that waits for it
            try:
                self._put(_fault(self._url, error))
            except _AbandonedError:
                return

    def _put(self, item: requests.Response | bytes | Exception) -> None:
        while not self._ended.is_set():
            try:
                self._queue.put(item, timeout=0.2)
                return
            except Full:
                continue
        raise _AbandonedError

    def _answer(self, session: requests.Session) -> requests.Response:
        """The server's answer after redirections."""
        url = _checked(self._url)
        headers = {"Range": f"bytes={self._have}-"} if self._have else {}
        for _ in range(_MOST_REDIRECTS + 1):
            answer = _ask(session, url, headers)
            if not answer.is_redirect:
                return answer
            target = session.get_redirect_target(answer) or ""
            answer.close()
            try:
                url = _checked(urljoin(url, target))
            except (ArielflowError, ValueError):
                raise ArielflowError(
                    f"{shown(self._url, 400)}: the server redirects to {shown(repr(target), 200)}, "
                    "expected an http or https address; check the address"
                ) from None
        raise ArielflowError(
            f"{shown(self._url, 400)}: redirected over {_MOST_REDIRECTS} times; check the address"
        )

    def _read_head(self, answer: requests.Response) -> None:
        status = f"the server answers {answer.status_code} {shown(answer.reason or '')}".rstrip()
        if self._have and answer.status_code == _RANGE_NOT_SATISFIABLE:
            self.complete = True  # the checksum tells whether it is right
            return
        if answer.status_code in _TRY_AGAIN:
            raise BrokenOffError(status, _wait_s(answer.headers.get("Retry-After")))
        continued = self._have > 0 and answer.status_code == _PARTIAL_CONTENT
        if not continued and answer.status_code != _OK:
            raise ArielflowError(f"{shown(self._url, 400)}: {status}; check the address")
        if continued:
            self._check_range(answer.headers.get("Content-Range"))
            self.start = self._have
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            log.warning("%s: comes compressed, unasked; kept as it comes", self._url)
        length = answer.headers.get("Content-Length")
        if length is None or "Transfer-Encoding" in answer.headers:
            return
        if not re.fullmatch(r"[0-9]{1,30}", length):
            raise ArielflowError(
                f"{shown(self._url, 400)}: the server declares Content-Length "
                f"{shown(repr(length))}, expected a number of bytes; check the address"
            )
        self.total = self.start + int(length)

    def _check_range(self, declared: str | None) -> None:
        """Trust servers that do not say which part they send: the checksum will tell."""
        if declared is None:
            return
        match = re.fullmatch(r"bytes ([0-9]{1,30})-[0-9]+/(?:[0-9]+|\*)", declared.strip())
        if match is None or int(match[1]) != self._have:
            raise NotContinuedError(
                f"the server sends {shown(repr(declared))}, asked for what follows byte "
                f"{self._have}"
            )


class _AbandonedError(Exception):
    """The caller has stopped waiting for the rest."""


def _session() -> requests.Session:
    session = requests.Session()
    # Bytes as they are stored: a compressed transfer could not be continued.
    session.headers["Accept-Encoding"] = "identity"
    return session


def _ask(session: requests.Session, url: str, headers: dict[str, str]) -> requests.Response:
    """The answer's head. Session.get would read the body of a redirection, which may be endless."""
    request = session.prepare_request(requests.Request("GET", url, headers=headers))
    settings = session.merge_environment_settings(url, {}, True, None, None)
    return session.get_adapter(url).send(request, timeout=(_CONNECT_S, _ANSWER_S), **settings)


def _checked(url: str) -> str:
    """Check that an address can be requested.

    Raises
    ------
    ArielflowError
        It is none, or neither http nor https.
    """
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise ArielflowError(
            f"{shown(url, 400) or 'the address'}: no http or https address; correct it"
        )
    return url


def _fault(url: str, error: Exception) -> Exception:
    """Turn an error of the libraries into another attempt, or one line for the user."""
    what = _reason(error)
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return SlowError(f"no answer in time ({what})")
    if isinstance(error, requests.exceptions.SSLError):
        return ArielflowError(
            f"{shown(url, 400)}: no secure connection ({what}); check the address and the "
            "certificates of this machine"
        )
    broken = (
        requests.ConnectionError,
        requests.exceptions.ChunkedEncodingError,
        urllib3.exceptions.HTTPError,
    )
    if isinstance(error, broken):
        return BrokenOffError(what)
    if isinstance(error, requests.RequestException | ValueError):
        return ArielflowError(f"{shown(url, 400)}: cannot be asked ({what}); check the address")
    return BrokenOffError(what) if isinstance(error, OSError) else error


def _reason(error: Exception) -> str:
    """What went wrong, without the objects that the libraries wrap it in."""
    inner = error.args[0] if error.args else error
    text = str(getattr(inner, "reason", None) or inner)
    return shown(re.sub(r"HTTPS?Connection(?:Pool)?\([^)]*\): |\[Errno -?\d+\] ", "", text), 200)


def _wait_s(asked: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date; None without either."""
    if asked is None:
        return None
    if re.fullmatch(r"[0-9]{1,15}", asked.strip()):
        return float(asked)
    try:
        until = parsedate_to_datetime(asked)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
