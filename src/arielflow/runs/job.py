"""What every job of the workflow does around its one function call: log, and fail in one line."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from arielflow.core.errors import ArielflowError, Stopped, system_fault
from arielflow.core.files import no_space
from arielflow.runs.checksums import check_files, record_files

_REPEAT_SECONDS = 10.0
# PyTorch's allocators raise plain RuntimeErrors.
_NO_MEMORY_WORDS = ("can't allocate memory", "out of memory")


class Script(Protocol):
    """The object ``snakemake`` of a script, as far as it is used here."""

    input: Sequence[str]
    output: Sequence[str]
    log: Sequence[str]
    config: Mapping[str, Any]


@contextmanager
def job(script: Script | str | Path) -> Iterator[None]:
    """Log to the job's file; turn a fault that the user can mend into one line and a failed job.

    The line goes to standard error too, where the workflow shows it. SIGTERM, which schedulers
    send before they kill, and Ctrl-C end the job the same way, see :func:`heed_stops`. What the
    job reads of its run is checked first, what it made is recorded last
    (:mod:`arielflow.runs.checksums`).

    Parameters
    ----------
    script
        The object ``snakemake``; or a log file alone, of a process that is part of a job.
    """
    alone = isinstance(script, str | Path)
    log_file = script if alone else script.log[0]
    Path(log_file).parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=log_file,
        filemode="w",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    logging.captureWarnings(True)
    heed_stops()
    try:
        if alone:
            yield
        else:
            run = Path("results", script.config["run"])
            check_files(run, script.input)
            yield
            record_files(run, script.output)
    except (Exception, Stopped) as error:
        line = fault_line(error)
        if line is None:
            logging.exception("unexpected failure")
            raise
        # The log may lie on the full device; its own error would hide the line.
        logging.raiseExceptions = False
        logging.error("%s", line)
        print(f"arielflow: {line}", file=sys.stderr)
        raise SystemExit(getattr(error, "exit_code", 1)) from None


def heed_stops() -> None:
    """Make SIGTERM and Ctrl-C raise :class:`~arielflow.core.errors.Stopped`.

    Schedulers and shells often signal both a process and its group: what follows within seconds
    is the same stop, and must not break off what the first one lets clean up.
    """
    last = -_REPEAT_SECONDS

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal last
        if time.monotonic() - last >= _REPEAT_SECONDS:
            last = time.monotonic()
            raise Stopped(signum)

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)


def fault_line(error: BaseException) -> str | None:
    """What a failed job or command says; None for an error that is a bug of the code."""
    if isinstance(error, Stopped):
        return str(error)
    if full := no_space(error):
        return full
    if isinstance(error, OSError):
        return system_fault(error)
    if isinstance(error, ArielflowError):
        return str(error)
    if isinstance(error, MemoryError) or any(w in str(error) for w in _NO_MEMORY_WORDS):
        reason = " ".join(str(error).split())[:200]
        return (
            f"out of memory ({reason or 'no more is given'}); give the job more, and run it again"
        )
    return None
