"""The exceptions that users see: a single line saying what, where, expected, found, remedy."""

from __future__ import annotations


class ArielflowError(Exception):
    """A fault that the user can mend; its text is complete without a traceback."""


class DivergedError(ArielflowError):
    """A training whose loss is no longer finite; an ensemble can do without that member."""


class Stopped(BaseException):
    """The job was told to end (SIGTERM): cancelled, or over its time limit.

    No exception of the kind that loops over planets, trials or members catch: what a stopped job
    had in hand is not a fault of the planet. It passes through to the end of the job, which leaves
    no output; checkpoints stay for the next attempt.
    """
