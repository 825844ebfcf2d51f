"""What every job of the workflow does around its one function call: log, and fail in one line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from arielflow.errors import ArielflowError


@contextmanager
def job(log_file: str | Path) -> Iterator[None]:
    """Log to ``log_file``; turn an :class:`ArielflowError` into one line and a failed job.

    The line goes to standard error too, where the workflow shows it.
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
    try:
        yield
    except (ArielflowError, OSError) as error:
        logging.error("%s", error)
        print(f"arielflow: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except Exception:
        logging.exception("unexpected failure")
        raise
