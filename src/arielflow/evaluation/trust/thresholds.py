"""From tests to probabilities: how often planets without a fault look as strange.

Tests of calibration planets are the reference. Within it a probability is a rank; in the upper
tail it is that of a generalised Pareto distribution fitted there, so that what lies beyond all
calibration planets is still told apart. The smallest probability of all tests is the certificate's
own number; the thresholds on it are its quantiles over the calibration planets, which corrects for
the number of tests and for their correlations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import genpareto

from arielflow.core.errors import ArielflowError
from arielflow.evaluation.trust.residuals import PATTERN_DESCRIPTION

RED_RATE, AMBER_RATE = 0.007, 0.04
"""Shares of planets without a fault that are called red, and amber."""

FEWEST_PLANETS = 300
"""Calibration planets below which there is no tail to speak of."""

# Told, but not counted: the residuals ask the same with a covariance that is known, and one more
# test among the others costs these power.
_WITNESSES = ["outlying_bin"]
_TAIL = 0.05
# No test says more than this: the tail's fit is no truth.
_LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class _Tail:
    """One test's distribution over the calibration planets."""

    values: np.ndarray
    start: float
    shape: float
    scale: float

    @classmethod
    def fitted(cls, values: np.ndarray) -> _Tail:
        values = np.sort(values[~np.isnan(values)])
        start = float(np.quantile(values, 1 - _TAIL))
        beyond = values[(values > start) & np.isfinite(values)] - start
        scale = float(beyond.mean()) if len(beyond) else 0.0
        # Moments, and a tail that is never called finite: a red planet is no impossible one.
        ratio = scale**2 / float(beyond.var()) if len(beyond) > 2 and beyond.var() > 0 else 1.0
        shape = float(np.clip(0.5 * (1 - ratio), 0, 0.5))
        return cls(values, start, shape, scale * (1 - shape))

    def probability(self, values: np.ndarray) -> np.ndarray:
        """Of a planet without a fault to have as large a value, NaN where the value is."""
        above = len(self.values) - np.searchsorted(self.values, values, side="left")
        found = (1 + above) / (1 + len(self.values))
        if self.scale > 0:
            tail = _TAIL * genpareto.sf(values - self.start, self.shape, scale=self.scale)
            found = np.where(values > self.start, tail, found)
        return np.where(np.isnan(values), np.nan, np.maximum(found, _LEAST_PROBABILITY))


class Reference:
    """Tests of calibration planets, and what probabilities and thresholds follow.

    Parameters
    ----------
    tests
        One row per calibration planet, one column per test, larger where stranger. Columns
        without any value, and those that describe what a test has found, are left out.

    Attributes
    ----------
    red, amber : float
        Smallest probabilities of all tests below which a planet is called so.

    Raises
    ------
    ArielflowError
        There are too few planets.
    """

    def __init__(self, tests: pd.DataFrame) -> None:
        if len(tests) < FEWEST_PLANETS:
            raise ArielflowError(
                f"certificates: {len(tests)} calibration planets, expected at least "
                f"{FEWEST_PLANETS}; raise trust.n_calibration"
            )
        known = [
            name for name in tests if name not in PATTERN_DESCRIPTION and tests[name].notna().any()
        ]
        self._tails = {name: _Tail.fitted(tests[name].to_numpy(dtype=float)) for name in known}
        smallest = self.smallest(self.probabilities(tests))
        self.red = float(np.quantile(smallest, RED_RATE))
        self.amber = float(np.quantile(smallest, RED_RATE + AMBER_RATE))

    def probabilities(self, tests: pd.DataFrame) -> pd.DataFrame:
        """Probabilities of planets without a fault to look as strange, test by test."""
        return pd.DataFrame(
            {
                name: tail.probability(tests[name].to_numpy(dtype=float))
                for name, tail in self._tails.items()
                if name in tests
            },
            index=tests.index,
        )

    @staticmethod
    def smallest(probabilities: pd.DataFrame) -> np.ndarray:
        """The smallest of a planet's probabilities, one where no test has a value."""
        found: np.ndarray = Reference.counted(probabilities).min(axis=1).fillna(1.0).to_numpy()
        return found

    @staticmethod
    def counted(probabilities: pd.DataFrame) -> pd.DataFrame:
        """Those of the tests that verdicts follow from; the least likely bin is told alone."""
        return probabilities.drop(columns=_WITNESSES, errors="ignore")

    def verdicts(self, probabilities: pd.DataFrame) -> np.ndarray:
        """``green``, ``amber`` or ``red`` (planet,)."""
        smallest = self.smallest(probabilities)
        found = np.where(smallest < self.amber, "amber", "green")
        return np.where(smallest < self.red, "red", found).astype(object)
