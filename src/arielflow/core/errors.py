"""The exceptions that users see: a single line saying what, where, expected, found, remedy."""

from __future__ import annotations

import errno
import signal

_REMEDIES = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path: a part of it is a file",
    errno.EISDIR: "give a file",
    errno.EEXIST: "choose another name, or remove what is there",
    errno.EACCES: "ask for the right to it, or choose another folder",
    errno.EPERM: "ask for the right to it, or choose another folder",
    errno.EROFS: "choose a folder that can be written to",
    errno.ENOSPC: "free some space and run it again",
    errno.EDQUOT: "free some space, or raise the quota, and run it again",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the number of open files (ulimit -n)",
}


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
    exit_code : int
        Exit code of the process, as shells tell of a signal: 143 for SIGTERM, 130 for SIGINT.
    """

    def __init__(self, signum: int, kept: str = "") -> None:
        super().__init__(signum, kept)
        self.signum, self.kept, self.exit_code = signum, kept, 128 + signum

    def __str__(self) -> str:
        """One line: by what it was stopped, and how to go on."""
        causes: dict[int, str] = {
            signal.SIGTERM: "by SIGTERM (cancelled, or over its time limit)",
            signal.SIGINT: "by Ctrl-C",
        }
        cause = causes.get(self.signum, f"by signal {self.signum}")
        return " ".join(filter(None, ["stopped", cause, self.kept])) + "; the same call resumes"


def system_fault(error: OSError) -> str:
    """An error of the operating system as one line: where, what, and what to do about it."""
    where = error.filename2 or error.filename
    what = error.strerror or str(error) or type(error).__name__
    remedy = _REMEDIES.get(error.errno or 0, "see to it and run it again")
    place = "" if where is None else f"{where}: "
    return f"{place}{what[:1].lower()}{what[1:]}; {remedy}"
