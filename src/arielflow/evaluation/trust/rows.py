"""Certificates of all rows of a run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.schema import is_usable
from arielflow.evaluation.trust.certificate import COLUMNS, RETRIEVE, certify
from arielflow.evaluation.trust.local_test import LOCAL_TEST
from arielflow.evaluation.trust.posteriors import POSTERIOR_TESTS
from arielflow.evaluation.trust.thresholds import Reference

_IMPORTANCE = ("_importance", "_importance_fallback")
_SHAPES = (0.7, 1.0)
"""Pareto shapes above which weights cannot be trusted, and have no mean (Vehtari et al. 2024)."""

_FEWEST_EFFECTIVE = (200.0, 50.0)


def certify_rows(
    planets: xr.Dataset,
    tests: Mapping[str, pd.DataFrame],
    calibration: Mapping[str, pd.DataFrame],
    posteriors: Mapping[str, xr.Dataset],
) -> pd.DataFrame:
    """Certificates of every row that comes from a tested model.

    Parameters
    ----------
    planets
        Planets dataset, usable or not.
    tests, calibration
        Of every model, see :func:`arielflow.evaluation.trust.model.model_tests`.
    posteriors
        Posteriors of importance rows by name. The weights correct the model's own posterior, so
        that the weights' quality counts in place of its tests.

    Returns
    -------
    pandas.DataFrame
        ``row``, then as :func:`arielflow.evaluation.trust.certificate.certify`; every planet once
        per row, an unusable one red.
    """
    usable = planets["planet"].values[is_usable(planets)]
    parts = []
    for model, own in tests.items():
        named = own.set_axis(usable, axis=0)
        parts.append(_whole(certify(named, Reference(calibration[model])), planets, model))
        weighted = [model + end for end in _IMPORTANCE if model + end in posteriors]
        if weighted:
            kept = calibration[model].drop(columns=list(POSTERIOR_TESTS))
            others = named.drop(columns=[*POSTERIOR_TESTS, LOCAL_TEST], errors="ignore")
            found = certify(others, Reference(kept))
        for row in weighted:
            whole = _whole(found, planets, row)
            parts.append(_with_weights(whole, posteriors[row]))
    columns = ["row", *COLUMNS]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _whole(found: pd.DataFrame, planets: xr.Dataset, row: str) -> pd.DataFrame:
    """Certificates in the planets' order, with those of unusable planets."""
    lost = pd.DataFrame(
        {
            "planet": planets["planet"].values[~is_usable(planets)],
            "verdict": "red",
            "probability": 0.0,
            "reasons": "its data cannot be used, its samples are the prior's",
            "next_step": "mend the data, see the quality table",
        }
    )
    parts = [part for part in (found, lost) if len(part)]
    table = pd.concat(parts, ignore_index=True).set_index("planet")
    table = table.loc[planets["planet"].values].reset_index()
    table.insert(0, "row", row)
    return table


def _with_weights(table: pd.DataFrame, posterior: xr.Dataset) -> pd.DataFrame:
    """Certificates that the quality of importance weights counts in."""
    chosen = posterior.sel(planet=table["planet"].values)
    fallen = chosen["fallen_back"].values == 1 if "fallen_back" in chosen else False
    shape, effective = chosen["pareto_shape"].values, chosen["effective_samples"].values
    retrieved = chosen["retrieved"].values == 1
    weak, bad = (
        ~fallen & ((shape > limit) | (effective < fewest))
        for limit, fewest in zip(_SHAPES, _FEWEST_EFFECTIVE, strict=True)
    )
    table = table.copy()
    for number in np.flatnonzero(weak | ~retrieved):
        known = table.loc[number, "verdict"]
        words = f"importance weights with Pareto shape {shape[number]:.2f}, "
        words += f"{effective[number]:.0f} effective samples"
        if not retrieved[number]:
            words = "not retrieved, its samples are the prior's"
        is_red = bad[number] or not retrieved[number] or known == "red"
        table.loc[number, "verdict"] = "red" if is_red else "amber"
        for column, added in (
            ("reasons", words),
            ("next_step", RETRIEVE.replace("importance or ", "")),
        ):
            before = table.loc[number, column]
            table.loc[number, column] = f"{added}; {before}" if before else added
    return table
