"""What the tests of drift found, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from arielflow.evaluation.drift.classifier import Separation
from arielflow.evaluation.drift.concept import Concept
from arielflow.evaluation.drift.kernel import Discrepancy

_NAMED = 5
# Cohen 1988: shifts of .2, .5 and .8 standard deviations are small, medium and large.
_SIZES = ((0.2, "slight"), (0.5, "small"), (0.8, "medium"), (np.inf, "large"))
_NOTABLE_SPREAD = 1.25
_FALSE_DISCOVERIES = 0.05


@dataclass(frozen=True)
class Verdict:
    """The answer of one test.

    Attributes
    ----------
    kind : str
        What was compared.
    drift : bool | None
        Whether the sets differ beyond chance; None where nothing can be told.
    size : str
        slight, small, medium or large, whatever the p-value says; empty without drift.
    effect : float
        Size of the difference.
    effect_is : str
        What ``effect`` measures.
    p_value : float
        Of the test; the least q-value where columns are tested one by one.
    words : str
        For people.
    """

    kind: str
    drift: bool | None
    size: str
    effect: float
    effect_is: str
    p_value: float
    words: str


def probability(p_value: float) -> str:
    """A p-value for people."""
    return "p < 1e-300" if p_value < 1e-300 else f"p = {p_value:.2g}"


def _size(shift: float) -> str:
    return next(word for edge, word in _SIZES if not abs(shift) >= edge)


def kernel_verdict(found: Discrepancy, level: float) -> Verdict:
    """Verdict of :func:`arielflow.evaluation.drift.kernel.mean_discrepancy`."""
    drift = found.p_value <= level
    return Verdict(
        kind="spectra as a whole, kernel",
        drift=drift,
        # The classifier's verdict says how large a difference of spectra is.
        size="",
        effect=found.deviations,
        effect_is="permutations' standard deviations",
        p_value=found.p_value,
        words=f"squared discrepancy {found.statistic:.3g}, {found.deviations:.1f} standard "
        f"deviations from what relabelling gives ({probability(found.p_value)})",
    )


def classifier_verdict(found: Separation, planets: pd.DataFrame, level: float) -> Verdict:
    """Verdict of :func:`arielflow.evaluation.drift.classifier.classifier_test`."""
    drift = found.p_value <= level
    foreign = int((planets["q_value"] <= _FALSE_DISCOVERIES).sum())
    # The shift of a normal score that makes this area.
    shift = np.sqrt(2) * norm.ppf(np.clip(found.auroc, 0.5, 1))
    return Verdict(
        kind="spectra as a whole, classifier",
        drift=drift,
        size=_size(float(shift)) if drift else "",
        effect=found.auroc,
        effect_is="area under the ROC curve",
        p_value=found.p_value,
        words=f"a classifier {'tells' if drift else 'does not tell'} the sets apart: area under "
        f"the ROC curve {found.auroc:.3f} ({probability(found.p_value)}); {foreign} of "
        f"{len(planets)} test planets look unlike the training planets one by one (at "
        f"{100 * _FALSE_DISCOVERIES:.0f} % false discoveries)",
    )


def columns_verdict(kind: str, table: pd.DataFrame, level: float, units: str = "") -> Verdict:
    """Verdict of :func:`arielflow.evaluation.drift.columns.compare_columns`; names the worst."""
    if not len(table):
        return Verdict(kind, None, "", np.nan, "largest shift", np.nan, "no columns to compare")
    least = float(table["q_value"].min())
    differing = table[table["q_value"] <= level]
    largest = table["shift"].iloc[int(table["shift"].abs().fillna(np.inf).argmax())]
    if not len(differing):
        words = f"none of {len(table)} columns differs ({probability(least)})"
    else:
        worst = differing.assign(size=differing["shift"].abs()).sort_values(
            ["ks_distance", "size"], ascending=False
        )
        named = "; ".join(column_words(row, units) for _, row in worst.head(_NAMED).iterrows())
        words = f"{len(differing)} of {len(table)} columns differ, most of all {named}"
    return Verdict(
        kind=kind,
        drift=bool(len(differing)),
        size=_size(largest if np.isfinite(largest) else np.inf) if len(differing) else "",
        effect=float(largest),
        effect_is="largest shift, in standard deviations",
        p_value=least,
        words=words,
    )


def column_words(row: pd.Series, units: str = "") -> str:
    """How a column of the test set differs from the reference's."""
    name = f"{row.iloc[0]:.4g} {units}" if units else str(row.iloc[0])
    if not np.isfinite(row["shift"]):
        return f"{name} (another constant)"
    side = "higher" if row["shift"] > 0 else "lower"
    words = (
        f"{name} {abs(row['shift']):.2f} standard deviations {side} (distributions up to "
        f"{100 * row['ks_distance']:.0f} % apart"
    )
    ratio = row["spread_ratio"]
    if np.isfinite(ratio) and not 1 / _NOTABLE_SPREAD <= ratio <= _NOTABLE_SPREAD:
        words += f", {ratio:.2g} times the spread"
    return f"{words})"


def concept_verdict(found: Concept, level: float) -> Verdict:
    """Verdict of :func:`arielflow.evaluation.drift.concept.concept_drift`."""
    share = f"{100 * found.comparable:.0f} % of the test planets have counterparts"
    table = found.targets
    if table["q_value"].isna().all():
        return unknown_concept(f"{share}: the spectra of the two sets do not overlap")
    least = float(table["q_value"].min())
    differing = table[table["q_value"] <= level]
    worst = differing.assign(size=differing["error_shift"].abs()).sort_values(
        "size", ascending=False
    )
    named = "; ".join(
        f"{row.target} {abs(row.error_shift):.2f} standard deviations of the errors "
        f"{'higher' if row.error_shift > 0 else 'lower'}, errors {row.error_size_ratio:.2f} times "
        "as large"
        for row in worst.itertuples()
    )
    largest = float(table["error_shift"].iloc[int(table["error_shift"].abs().argmax())])
    return Verdict(
        kind="theta at equal spectra (concept)",
        drift=bool(len(differing)),
        size=_size(largest) if len(differing) else "",
        effect=largest,
        effect_is="largest shift, in standard deviations of the errors",
        p_value=least,
        words=f"{named or 'no target differs'} ({probability(least)}; {share})",
    )


def unknown_concept(why: str) -> Verdict:
    """Verdict where no comparison of theta is possible."""
    words = f"cannot be told: {why}"
    return Verdict("theta at equal spectra (concept)", None, "", np.nan, "", np.nan, words)
