"""Planets that a model fails for: which ones and why, so that the others go on without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import shown

Result = TypeVar("Result")

# What libraries make of numbers that they cannot go on with; memory that runs out is no such fault.
_FAILURES = (ArielflowError, ArithmeticError, AssertionError, IndexError, RuntimeError, ValueError)


def attempted(
    attempt: Callable[[np.ndarray], Result], rows: np.ndarray
) -> tuple[Result | None, dict[int, str]]:
    """What an attempt at all rows gives or, where it fails, the rows that fail by themselves.

    Parameters
    ----------
    attempt
        From positions of planets to what a model makes of them together.
    rows
        The positions, at least one.

    Returns
    -------
    result, faults
        None and the reasons by row, or the result and no faults.

    Raises
    ------
    ArielflowError
        The rows fail together, but none of them does by itself.
    """
    try:
        return attempt(rows), {}
    except _FAILURES as error:
        if found := _culprits(attempt, rows, error):
            return None, found
        raise ArielflowError(
            f"{len(rows)} planets together: {_words(error)}; by itself none of them fails"
        ) from error


def _culprits(
    attempt: Callable[[np.ndarray], object], rows: np.ndarray, error: Exception
) -> dict[int, str]:
    """The rows that fail by themselves, found by halving rows that failed with ``error``."""
    if len(rows) == 1:
        return {int(rows[0]): _words(error)}
    found = {}
    for half in np.array_split(rows, 2):
        try:
            attempt(half)
        except _FAILURES as fault:
            found |= _culprits(attempt, half, fault)
    return found


def _words(error: Exception) -> str:
    kind = "" if isinstance(error, ArielflowError) else type(error).__name__
    return shown(": ".join(filter(None, (kind, str(error)))), 300)
