"""Column by column: where two samples differ, by how much, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, ks_2samp, norm

_TWO_SIDED = float(norm.ppf(0.975))


def compare_columns(
    reference: np.ndarray, test: np.ndarray, names: Sequence[str] | np.ndarray, label: str
) -> pd.DataFrame:
    """Kolmogorov–Smirnov test, shift and spread of every column.

    Parameters
    ----------
    reference, test
        Samples, shapes (planet, column) and (other planet, column); columns are left out where
        they hold no finite number in either, and planets where the column is not finite.
    names
        Of the columns, shape (column,).
    label
        Heading of the names.

    Returns
    -------
    pandas.DataFrame
        A row a column: its name; ``shift``, mean of the test sample less that of the reference in
        pooled standard deviations (Cohen's d; NaN where neither sample varies and they differ),
        with its pointwise 95 % interval ``shift_low`` to ``shift_high``; ``spread_ratio``, standard
        deviation of the test sample over the reference's (NaN where the latter is 0);
        ``ks_distance``, the largest difference of the cumulative distributions, 0 to 1;
        ``p_value``, asymptotic; and ``q_value``, p-value adjusted over the columns for the
        false-discovery rate (Benjamini & Hochberg 1995), which bounds it where columns are
        independent or positively dependent, as neighbouring bins are.
    """
    rows = []
    for index, name in enumerate(names):
        first, second = (
            sample[np.isfinite(sample[:, index]), index] for sample in (reference, test)
        )
        if len(first) and len(second):
            rows.append({label: name} | _difference(first, second))
    table = pd.DataFrame(rows, columns=[label, *_COLUMNS])
    if len(table):
        table["q_value"] = false_discovery_control(table["p_value"].to_numpy(dtype=float))
    return table


_COLUMNS = (
    "shift",
    "shift_low",
    "shift_high",
    "spread_ratio",
    "ks_distance",
    "p_value",
    "q_value",
)


def _difference(reference: np.ndarray, test: np.ndarray) -> dict[str, float]:
    deviations = reference.std(), test.std()
    scatter = float(np.sqrt((deviations[0] ** 2 + deviations[1] ** 2) / 2))
    distance = float(test.mean() - reference.mean())
    # A column that never varies has a scatter of rounding errors alone.
    varies = scatter > 1e-12 * max(abs(reference.mean()), abs(test.mean()))
    shift = distance / scatter if varies else (0.0 if abs(distance) <= scatter else np.nan)
    sizes = len(reference), len(test)
    variance = sum(sizes) / (sizes[0] * sizes[1]) + shift**2 / (2 * sum(sizes))
    margin = _TWO_SIDED * np.sqrt(variance)
    result = ks_2samp(reference, test, method="asymp")
    return {
        "shift": shift,
        "shift_low": shift - margin,
        "shift_high": shift + margin,
        "spread_ratio": float(deviations[1] / deviations[0]) if deviations[0] > 0 else np.nan,
        "ks_distance": float(result.statistic),
        "p_value": float(result.pvalue),
    }
