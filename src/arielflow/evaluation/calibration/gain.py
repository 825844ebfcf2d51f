"""What recalibration gains and costs, on planets that it was not fitted on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.schema import JOINT, MEAN
from arielflow.core.seeds import derived_seed
from arielflow.evaluation.better_scores import energy_score
from arielflow.evaluation.bootstrap import bootstrap_statistic
from arielflow.evaluation.calibration.fresh import fresh_posteriors, posterior_ranks
from arielflow.evaluation.calibration.measures import TABLE_LEVELS
from arielflow.evaluation.calibration.recalibration import Recalibration, recalibrate_posterior
from arielflow.evaluation.diagnostics import (
    LEVELS,
    calibration_error,
    central_coverage,
    tarp_coverage,
    tarp_ranks,
)
from arielflow.retrieval.amortised import Sampler

_N_RESAMPLES = 300
# An energy score takes the square of it.
_ENERGY_SAMPLES = 250


class Values(NamedTuple):
    """What gains are computed from, of planets before or after.

    Attributes
    ----------
    ranks : np.ndarray
        Of the truths in the posteriors (planet, target).
    joint : np.ndarray
        TARP's (planet,).
    energy : np.ndarray
        Energy scores (planet,).
    """

    ranks: np.ndarray
    joint: np.ndarray
    energy: np.ndarray


def measure_gain(
    model: Sampler,
    planets: xr.Dataset,
    recalibration: Recalibration,
    n_samples: int,
    *,
    seed: int,
) -> pd.DataFrame:
    """Calibration and energy score of a model before and after recalibration, planet by planet.

    Parameters
    ----------
    model, planets, n_samples, seed
        As of :func:`arielflow.evaluation.calibration.fresh.measure`; other planets than those that
        the map was fitted on.
    recalibration
        The map.

    Returns
    -------
    pandas.DataFrame
        See :func:`gain_table`.
    """
    before, after = [], []
    found = fresh_posteriors(model, planets, n_samples, seed=seed)
    for number, (part, posterior) in enumerate(found):
        own_seed = derived_seed(seed, "rank", number)
        mended = recalibrate_posterior(posterior, part, recalibration)
        before.append(_values(posterior, part, own_seed))
        after.append(_values(mended, part, own_seed))
    return gain_table(
        _joined(before), _joined(after), recalibration.target_names, derived_seed(seed, "bootstrap")
    )


def _values(posterior: xr.Dataset, planets: xr.Dataset, seed: int) -> Values:
    true = planets["theta"].values
    low, high = planets["prior_low"].values, planets["prior_high"].values
    theta, weight = posterior["theta"].values, posterior["weight"].values
    joint = tarp_ranks(list(zip(theta, weight, strict=True)), true, low, high, seed)
    # Evenly: samples of one member may follow each other.
    some = np.linspace(0, theta.shape[1] - 1, min(theta.shape[1], _ENERGY_SAMPLES)).astype(int)
    energy = [
        energy_score(*one)
        for one in zip(theta[:, some], weight[:, some], true, low, high, strict=True)
    ]
    return Values(posterior_ranks(posterior, true, seed), joint, np.array(energy))


def _joined(parts: list[Values]) -> Values:
    return Values(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def gain_table(
    before: Values, after: Values, target_names: tuple[str, ...], seed: int
) -> pd.DataFrame:
    """Measures before and after, with a 95 % interval of the change over planets.

    Parameters
    ----------
    before, after
        Of the same planets.
    target_names
        Of the targets.
    seed
        Of the resampling of planets.

    Returns
    -------
    pandas.DataFrame
        One row per measure and target: ``measure`` (``calibration_error``, ``coverage_50`` and so
        on, ``energy_score``), ``target`` (also ``mean``, and ``joint`` for TARP and the energy
        score), ``before``, ``after``, ``change``, ``change_low``, ``change_high``, ``n_planets``.
    """
    n_planets, targets = len(before.energy), [*target_names, MEAN]
    names = [("calibration_error", target) for target in [*targets, JOINT]]
    names += [(f"coverage_{round(100 * level)}", t) for level in TABLE_LEVELS for t in targets]
    names.append(("energy_score", JOINT))

    def change(rows: np.ndarray) -> np.ndarray:
        found: np.ndarray = _measures(after, rows) - _measures(before, rows)
        return found

    interval = bootstrap_statistic(change, n_planets, seed, _N_RESAMPLES)
    every = np.arange(n_planets)
    table = pd.DataFrame(names, columns=["measure", "target"])
    table["before"], table["after"] = _measures(before, every), _measures(after, every)
    table["change"], table["change_low"], table["change_high"] = interval
    table["n_planets"] = n_planets
    return table


def _measures(values: Values, rows: np.ndarray) -> np.ndarray:
    """The numbers of :func:`gain_table`, in its order, of some planets."""
    curves = central_coverage(values.ranks[rows], LEVELS)
    errors = [calibration_error(curve) for curve in curves.T]
    joint = calibration_error(tarp_coverage(values.joint[rows]))
    shares = central_coverage(values.ranks[rows], np.array(TABLE_LEVELS))
    covered = np.column_stack([shares, shares.mean(axis=1)]).ravel()
    return np.array([*errors, np.mean(errors), joint, *covered, values.energy[rows].mean()])
