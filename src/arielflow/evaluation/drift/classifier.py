"""Classifier two-sample test: can a classifier tell from which set a planet comes?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import mannwhitneyu
from sklearn.ensemble import ExtraTreesClassifier

from arielflow.core.seeds import derived_seed

HALVES = 2


class Separation(NamedTuple):
    """Result of :func:`classifier_test`; planets in the order of the reference, then of the test.

    Attributes
    ----------
    auroc : float
        Area under the receiver operating characteristic of unseen planets, mean of both halves: the
        probability that a test planet scores higher than one of the reference; ½ is chance.
    p_value : float
        Valid however the two halves depend on each other.
    score : np.ndarray
        Probability of the test set by the classifier that has not seen the planet (planet,).
    is_test : np.ndarray
        Which set a planet belongs to (planet,).
    half : np.ndarray
        Which half a planet belongs to (planet,).
    row : np.ndarray
        Its row in its own set (planet,).
    conformal_p_value : np.ndarray
        (planet,); NaN of the reference. Share of the half's reference planets, the planet itself
        included, that look as much like the test set: uniform where both sets are alike.
    """

    auroc: float
    p_value: float
    score: np.ndarray
    is_test: np.ndarray
    half: np.ndarray
    row: np.ndarray
    conformal_p_value: np.ndarray


def classifier_test(
    reference: np.ndarray, test: np.ndarray, *, seed: int, most: int = 2000, trees: int = 300
) -> Separation:
    """Classifier two-sample test (Lopez-Paz & Oquab 2017, ICLR) by cross-fitting on two halves.

    A forest learns on either half and scores the other. Given the forest, the other half's labels
    are exchangeable if both sets come from one distribution, so that the Mann–Whitney test of its
    scores, the sum of the test planets' conformal p-values (Vovk et al. 2005), is valid; of the
    halves' two p-values the smaller one is doubled.

    Parameters
    ----------
    reference, test
        Features, shapes (planet, feature) and (other planet, feature), finite; at least four
        planets each.
    seed
        Of subsample, halves and forests.
    most
        Planets of either set that enter, drawn at random.
    trees
        Of each forest.
    """
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(len(x))[:most] for x in (reference, test)]
    features = np.concatenate([x[r] for x, r in zip((reference, test), rows, strict=True)])
    is_test = np.repeat([False, True], [len(r) for r in rows])
    # The rows are in random order: every other one makes a random half of each set.
    half = np.concatenate([np.arange(len(r)) % HALVES for r in rows])
    score, conformal = np.empty(len(features)), np.full(len(features), np.nan)
    aurocs, p_values = [], []
    for number in range(HALVES):
        unseen = half == number
        forest = ExtraTreesClassifier(
            trees,
            min_samples_leaf=3,
            class_weight="balanced",
            random_state=derived_seed(seed, "drift classifier", number),
        ).fit(features[~unseen], is_test[~unseen])
        score[unseen] = forest.predict_proba(features[unseen])[:, 1]
        known, new = score[unseen & ~is_test], score[unseen & is_test]
        result = mannwhitneyu(new, known, alternative="greater")
        aurocs.append(result.statistic / (len(new) * len(known)))
        p_values.append(result.pvalue)
        as_much = len(known) - np.searchsorted(np.sort(known), new)
        conformal[unseen & is_test] = (1 + as_much) / (1 + len(known))
    return Separation(
        auroc=float(np.mean(aurocs)),
        p_value=float(min(1.0, HALVES * min(p_values))),
        score=score,
        is_test=is_test,
        half=half,
        row=np.concatenate(rows),
        conformal_p_value=conformal,
    )
