"""The exceptions that users see: a single line saying what, where, expected, found, remedy."""

from __future__ import annotations

import signal


class ArielflowError(Exception):
    """A fault that the user can mend; its text is complete without a traceback."""


class DivergedError(ArielflowError):
    """A training whose loss is no longer finite; an ensemble can do without that member."""


class Stopped(BaseException):
    """The job was told to end: cancelled, over its time limit (SIGTERM), or Ctrl-C (SIGINT).

    No exception of the kind that loops over planets, trials or members catch: what a stopped job
    had in hand is not a fault of the planet. It passes through to the end of the job, which leaves
    no output; checkpoints stay for the next attempt.

    Parameters
    ----------
    signum
        The signal.
    kept
        What stays of the work, in words; empty where that is not known.

    Attributes
    ----------
    exit_code : of the process, as shells tell of a signal: 143 for SIGTERM, 130 for SIGINT
    """

    def __init__(self, signum: int, kept: str = "") -> None:
        super().__init__(signum, kept)
        self.signum, self.kept, self.exit_code = signum, kept, 128 + signum

    def __str__(self) -> str:
        """One line: by what it was stopped, and how to go on."""
        cause = {
            signal.SIGTERM: "by SIGTERM (cancelled, or over its time limit)",
            signal.SIGINT: "by Ctrl-C",
        }.get(self.signum, f"by signal {self.signum}")
        return " ".join(filter(None, ["stopped", cause, self.kept])) + "; the same call resumes"
