"""A certificate per planet: a verdict, its reasons in words, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.seeds import derived_seed
from arielflow.evaluation.trust.local_test import LEVEL, LOCAL_TEST
from arielflow.evaluation.trust.novelty import Strangeness, novelty_tests
from arielflow.evaluation.trust.posteriors import (
    POSTERIOR_TESTS,
    Density,
    posterior_tests,
    predict,
)
from arielflow.evaluation.trust.residuals import RESIDUAL_TESTS, refit, residual_tests
from arielflow.evaluation.trust.thresholds import Reference
from arielflow.models.features import noisy_copies
from arielflow.physics.forward import ForwardModel

COLUMNS = ("planet", "verdict", "probability", "reasons", "next_step")
"""Of a certificate, before the probabilities of its tests."""

_SHOWN_REASONS = 3

_POSTERIOR_WORDS = {
    "weight_loss": "few of the model's samples carry the weight of the exact posterior",
    "excess_chi2": "the model's samples fit the spectrum worse than the best fit does",
    "outlying_fit": "the best fit lies outside of the model's posterior",
    "epistemic_share": "the members of the ensemble disagree",
}
_UNCALIBRATED = "the model's posteriors of spectra like this one are not calibrated"
RETRIEVE = "retrieve the planet by importance or nested sampling"
_MORE_ERROR = "or let the errors grow with the fit (importance.settings.error_model)"


def planet_tests(
    model: Density,
    forward: ForwardModel,
    planets: xr.Dataset,
    spaces: Mapping[str, Strangeness],
    *,
    seed: int,
    n_samples: int,
) -> pd.DataFrame:
    """All tests of planets, larger where they look stranger.

    Parameters
    ----------
    model
        Trained model.
    forward
        Forward model of these planets.
    planets
        Usable planets; spectra stored without noise get one draw of it.
    spaces
        Spaces in which planets are compared with the training planets, by name.
    seed
        Of noise and samples.
    n_samples
        Samples per planet.

    Returns
    -------
    pandas.DataFrame
        One row per planet, in their order: the columns of
        :func:`arielflow.evaluation.trust.residuals.residual_tests`,
        :func:`arielflow.evaluation.trust.posteriors.posterior_tests` and
        :func:`arielflow.evaluation.trust.novelty.novelty_tests`.
    """
    noisy = noisy_copies(planets, derived_seed(seed, "trust/noise"))
    own = ForwardModel(forward.transmission, noisy)
    predicted = predict(model, own, noisy, n_samples, seed=derived_seed(seed, "trust/sample"))
    fitted = refit(own, noisy, predicted.best())
    wavelength_um = noisy["wavelength"].values
    found = [
        residual_tests(fitted, wavelength_um),
        posterior_tests(model, noisy, predicted, fitted.theta, fitted.chi2),
        novelty_tests(spaces, noisy),
    ]
    return pd.concat(found, axis=1)


def certify(tests: pd.DataFrame, reference: Reference) -> pd.DataFrame:
    """Certificates of planets.

    Parameters
    ----------
    tests
        What :func:`planet_tests` returned, indexed by the planets' identifiers; without the columns
        of tests that do not count. A column ``local_test`` holds probabilities already, see
        :mod:`arielflow.evaluation.trust.local_test`; it calls planets amber at most.
    reference
        Of calibration planets.

    Returns
    -------
    pandas.DataFrame
        One row per planet: ``planet``, ``verdict``, ``probability`` (of a planet without a fault to
        look as strange in its strangest test), ``reasons``, ``next_step``, and the probability of
        every test in ``p_<test>``.
    """
    probabilities = reference.probabilities(tests)
    verdicts = reference.verdicts(probabilities)
    uncalibrated = np.zeros(len(tests), dtype=bool)
    if LOCAL_TEST in tests:
        uncalibrated = tests[LOCAL_TEST].to_numpy() < LEVEL
        verdicts[uncalibrated & (verdicts == "green")] = "amber"
    rows = []
    for number, (planet, row) in enumerate(reference.counted(probabilities).iterrows()):
        strange = row[row < reference.amber].sort_values()
        reasons = _reasons(strange.index, tests.iloc[number])
        if uncalibrated[number]:
            reasons.append((_UNCALIBRATED, RETRIEVE))
        shown = reasons[:_SHOWN_REASONS] if verdicts[number] != "green" else []
        steps = dict.fromkeys(step for _, step in shown)
        rows.append(
            {
                "planet": planet,
                "verdict": verdicts[number],
                "probability": row.min(),
                "reasons": "; ".join(reason for reason, _ in shown),
                "next_step": "; ".join(steps),
            }
        )
    if LOCAL_TEST in tests:
        probabilities = probabilities.join(tests[LOCAL_TEST])
    named = probabilities.add_prefix("p_").reset_index(drop=True)
    return pd.DataFrame(rows, columns=COLUMNS).join(named)


def _reasons(strange: pd.Index, tests: pd.Series) -> list[tuple[str, str]]:
    """Reason and next step of every strange test, in words; one per kind of test."""
    found: dict[str, tuple[str, str]] = {}
    for name in strange:
        if name in POSTERIOR_TESTS:
            found.setdefault(name, (_POSTERIOR_WORDS[name], RETRIEVE))
        elif name in RESIDUAL_TESTS:
            found.setdefault("residual", _residual_reason(tests))
        else:
            space, _, kind = name.rpartition("_")
            words = f"unlike the training planets ({space.replace('_', ' ')}: {kind})"
            found.setdefault("novelty", (words, "train on planets like this one, or " + RETRIEVE))
    return list(found.values())


def _residual_reason(tests: pd.Series) -> tuple[str, str]:
    """What the residuals look like, and what would explain it."""
    sigma, name = tests["pattern_sigma"], str(tests["pattern_name"])
    sense = "extra absorption" if sigma > 0 else "too little absorption"
    if np.isnan(tests["chi2"]):
        return "no parameters of the model have a spectrum near this one", "check the input"
    words = (
        f"{sense}, {name} ({abs(sigma):.1f} sigma), that no parameter of the model explains "
        f"(chi2 {tests['chi2']:.0f})"
    )
    if name == "one bin":
        return words.replace(name, f"one bin at {tests['pattern_um']:.3g} um"), (
            f"mask the bin at {tests['pattern_um']:.3g} um, " + _MORE_ERROR
        )
    if "step" in name:
        return words, "give the instrument beyond the step an offset"
    if "slope" in name:
        return words, "add haze or star spots to the model"
    return words, "add a gas that absorbs there or a cloud, mask these bins, " + _MORE_ERROR
