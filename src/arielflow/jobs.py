"""What every job of the workflow does around its one function call: log, and fail in one line."""

from __future__ import annotations

import errno
import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from arielflow.errors import ArielflowError, system_fault

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
# Libraries that write files themselves (HDF5, PyTorch) put the system's error into their own.
_NO_SPACE_WORDS = ("No space left", "errno = 28", "PytorchStreamWriter", "inline_container.cc")


@contextmanager
def job(log_file: str | Path) -> Iterator[None]:
    """Log to ``log_file``; turn an :class:`ArielflowError` into one line and a failed job.

    The line goes to standard error too, where the workflow shows it. SIGTERM, which schedulers
    send before they kill, ends the job the same way, so that temporary files are removed.
    """
    Path(log_file).parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=log_file,
        filemode="w",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    logging.captureWarnings(True)
    signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except Exception as error:
        line = _no_space(error)
        if line is None and isinstance(error, OSError):
            line = system_fault(error)
        if not (line or isinstance(error, ArielflowError)):
            logging.exception("unexpected failure")
            raise
        # The log may lie on the full device; its own error would hide the line.
        logging.raiseExceptions = False
        logging.error("%s", line or error)
        print(f"arielflow: {line or error}", file=sys.stderr)
        raise SystemExit(1) from None


def _stop(signum: int, frame: FrameType | None) -> None:
    raise ArielflowError("stopped by SIGTERM: cancelled, or over its time limit; run it again")


def _no_space(error: BaseException) -> str | None:
    """The line for a full device, if that is what an error goes back to."""
    links: BaseException | None = error
    while links is not None:
        if getattr(links, "errno", None) in _NO_SPACE or any(
            words in str(links) for words in _NO_SPACE_WORDS
        ):
            # A copy names its source first; the full device is its target's.
            names = (getattr(links, name, None) for name in ("filename2", "filename"))
            where = next(filter(None, names), None) or _fullest()
            return (
                f"no space left on the device of {where}; free some, or raise the quota, and run "
                "it again: what is done is kept"
            )
        links = links.__cause__ or links.__context__
    return None


def _fullest() -> Path:
    """Of the working and the temporary folder, the one with less room."""
    folders = Path.cwd(), Path(tempfile.gettempdir())
    return min(folders, key=lambda path: shutil.disk_usage(path).free)
