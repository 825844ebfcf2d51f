"""Calibration of a trained model on planets whose true parameters are known."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed
from arielflow.core.samples import WeightedSamples
from arielflow.core.schema import JOINT, is_usable
from arielflow.core.seeds import derived_seed
from arielflow.evaluation import diagnostics
from arielflow.evaluation.calibration.recalibration import Recalibration, recalibrate_posterior
from arielflow.models.ensemble import sample_ensemble
from arielflow.models.features import noisy_copies

log = logging.getLogger(__name__)

TABLE_LEVELS = (0.5, 0.68, 0.95)
"""Nominal coverages of the table, in columns ``coverage_50`` and so on."""


class Calibration(NamedTuple):
    """What :func:`calibrate_model` measures.

    Attributes
    ----------
    table : pd.DataFrame
        One row per target and the row ``joint`` (TARP, without sharpness): ``target``,
        ``calibration_error``, ``coverage_50``, ``coverage_68``, ``coverage_95``, ``p_value`` (KS
        test of uniform ranks), ``sharpness`` (in units of the prior's deviation), ``n_planets``.
    coverage : pd.DataFrame
        ``level``, one column of expected coverage per target, and ``joint``.
    ranks : np.ndarray
        Ranks of the truth in every target's samples (planet, target), between 0 and 1.
    """

    table: pd.DataFrame
    coverage: pd.DataFrame
    ranks: np.ndarray


def calibrate_model(
    members: Sequence[str | Path],
    planets: xr.Dataset,
    theta_true: np.ndarray,
    n_samples: int,
    *,
    seed: int,
    device: str = "auto",
    shares: Sequence[float] | None = None,
    recalibration: Recalibration | None = None,
) -> Calibration:
    """Calibration of a model's posteriors of spectra with noise.

    Spectra stored without noise get one draw of it, the same for every model of a seed, since only
    then is an exact posterior calibrated; see :func:`arielflow.models.features.noisy_copies`.

    Parameters
    ----------
    members
        Folders of the trained members.
    planets
        Planets dataset, drawn from the prior that the model was trained for.
    theta_true
        The forward model's parameters (planet, target), target units; planets with a NaN and
        unusable ones are left out.
    n_samples
        Samples a planet.
    seed, device
        Seed of noise, samples and ranks; where the members sample.
    shares
        The members' shares of the mixture; equal if left out.
    recalibration
        Applied to the posteriors.

    Raises
    ------
    ArielflowError
        No usable planet has a known truth, or the model fails for all that have.
    """
    known = is_usable(planets) & np.isfinite(theta_true).all(axis=1)
    if not known.any():
        raise ArielflowError(
            f"calibration: none of {len(known)} planets is usable and has a known truth; leave "
            "the calibration out for data without truth"
        )
    noisy = noisy_copies(planets.isel(planet=known), derived_seed(seed, "calibration/noise"))
    sampling = derived_seed(seed, "calibration/sample")
    posterior = sample_ensemble(
        members, noisy, n_samples, seed=sampling, device=device, shares=shares
    )
    if "retrieved" in posterior:
        # Draws from the prior are calibrated, but say nothing of the model.
        kept = posterior["retrieved"].values == 1
        if not kept.all():
            log.warning(
                "calibration leaves out %d of %d planets that the model fails for: %s",
                (~kept).sum(),
                len(kept),
                listed(list(noisy["planet"].values[~kept])),
            )
        if not kept.any():
            raise ArielflowError(
                f"calibration: the model fails for all {len(kept)} planets, the first: "
                f"{posterior['fault'].values[0]}; train again"
            )
        known[known] = kept
        posterior, noisy = posterior.isel(planet=kept), noisy.isel(planet=kept)
    if recalibration is not None:
        posterior = recalibrate_posterior(posterior, noisy, recalibration)
    pairs = zip(posterior["theta"].values, posterior["weight"].values, strict=True)
    return measure_calibration(
        list(pairs),
        theta_true[known],
        low=noisy["prior_low"].values,
        high=noisy["prior_high"].values,
        target_names=[str(name) for name in noisy["target"].values],
        seed=derived_seed(seed, "calibration/rank"),
    )


def measure_calibration(
    samples: Sequence[WeightedSamples],
    theta_true: np.ndarray,
    *,
    low: np.ndarray,
    high: np.ndarray,
    target_names: Sequence[str],
    seed: int,
) -> Calibration:
    """Calibration of posteriors from any sampler, for planets with a known truth.

    Parameters
    ----------
    samples
        Samples (sample, target) and weights (sample,) a planet.
    theta_true
        True parameters, shape (planet, target).
    low, high
        Edges of the planets' priors, shape (planet, target).
    target_names
        Official names of the targets.
    seed
        Seed of the ranks of ties and of TARP's random points.
    """
    ranks = diagnostics.rank_statistics(samples, theta_true, seed)
    joint = diagnostics.tarp_ranks(samples, theta_true, low, high, seed)

    def coverage(levels: np.ndarray) -> np.ndarray:
        central = diagnostics.central_coverage(ranks, levels)
        return np.column_stack([central, diagnostics.tarp_coverage(joint, levels)])

    names = [*target_names, JOINT]
    curves = coverage(diagnostics.LEVELS)
    table = pd.DataFrame({"target": names})
    table["calibration_error"] = [diagnostics.calibration_error(curve) for curve in curves.T]
    for level, row in zip(TABLE_LEVELS, coverage(np.array(TABLE_LEVELS)), strict=True):
        table[f"coverage_{round(100 * level)}"] = row
    table["p_value"] = diagnostics.uniformity_p_value(np.column_stack([ranks, joint]))
    table["sharpness"] = [*diagnostics.sharpness(samples, low, high), np.nan]
    table["n_planets"] = len(ranks)
    levels = pd.DataFrame({"level": diagnostics.LEVELS})
    return Calibration(table, levels.join(pd.DataFrame(curves, columns=names)), ranks)
