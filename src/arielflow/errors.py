"""The one exception that users see: a single line saying what, where, expected, found, remedy."""

from __future__ import annotations


class ArielflowError(Exception):
    """A fault that the user can mend; its text is complete without a traceback."""


class DivergedError(ArielflowError):
    """A training whose loss is no longer finite; an ensemble can do without that member."""
