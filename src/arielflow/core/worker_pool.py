"""Processes that work on planets: they end with the job, and losing one fails the job."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.managers import SyncManager
from queue import Queue
from typing import Any

import torch

from arielflow.core.errors import ArielflowError, Stopped

_CONTEXT = get_context("spawn")
_PATIENCE_SECONDS = 5.0


class WorkerPool(ProcessPoolExecutor):
    """Processes of one thread each; see :func:`worker_pool`."""

    def __init__(self, count: int) -> None:
        others = set(active_children())
        super().__init__(count, mp_context=_CONTEXT, initializer=_begin_worker)
        # All are started here, and each is heard of: the executor looks at the processes that it
        # knows when something happens, and would not see one die that it started after that.
        for _ in range(count):
            self.submit(os.getpid)
        self.workers = set(active_children()) - others

    def end(self) -> set[int]:
        """Drop what is queued and end the processes; return the signals that ended them."""
        self.shutdown(wait=False, cancel_futures=True)
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.join(_PATIENCE_SECONDS)
            if worker.is_alive():
                worker.kill()
        codes = (worker.exitcode or 0 for worker in self.workers)
        return {-code for code in codes if code < 0}


@contextmanager
def worker_pool(count: int) -> Iterator[WorkerPool]:
    """Pool of processes, none of which outlives the block.

    Whatever leaves the block early (a stop, a full disk, a fault) drops what is queued and ends
    the processes at once, in the middle of their planets.

    Raises
    ------
    ArielflowError
        A process was killed; what it had in hand is no fault of the planet.
    """
    pool = WorkerPool(count)
    try:
        yield pool
    except BrokenProcessPool:
        raise _lost(pool.end(), count) from None
    except BaseException:
        pool.end()
        raise
    pool.shutdown()


@contextmanager
def message_queue() -> Iterator[Queue[Any]]:
    """Queue through which the processes of a pool report their progress."""
    manager = SyncManager(ctx=_CONTEXT)
    # It lives until the block ends, so that a stop finds no end of the queue missing.
    manager.start(_begin_server)
    with manager:
        yield manager.Queue()


def _begin_server() -> None:
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _begin_worker() -> None:
    """Set up a process of the pool; it stops without a word, since its parent reports the stop."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End even where the parent was killed: a rerun must be the only writer."""
    if parent := parent_process():
        parent.join()
    os._exit(1)


def _lost(signals: set[int], count: int) -> BaseException:
    """The error for a process of the pool that is gone; the others were ended after it."""
    causes = sorted(signals - {signal.SIGTERM})
    if signals and not causes:
        # Schedulers signal a job's processes one by one; this one's turn is still to come.
        return Stopped(signal.SIGTERM)
    how = f"by {signal.Signals(causes[0]).name}" if causes else "without a word"
    return ArielflowError(
        f"one of {count} processes was ended {how}, as happens where memory runs out; give the job "
        "more memory or fewer processes, and run it again"
    )
