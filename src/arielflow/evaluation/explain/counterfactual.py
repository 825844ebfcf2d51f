"""Counterfactuals: the least change of a spectrum that changes a model's mind.

The change δ of the spectrum, in error bars, with the least |δ| for which the posterior mean of a
target moves by one standard deviation is found as the most probable point of a limit state is in
structural reliability (Hasofer & Lind 1974; Rackwitz & Fiessler 1978): linearise, take the
shortest δ that reaches the aim, repeat. |δ| is thus how many standard deviations of noise the
answer is away from another one. The other question, what a model answers when one molecule is
gone, is put by the forward model.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from arielflow.core.schema import MOLECULES
from arielflow.evaluation.explain.differentiable import SpectrumFunction
from arielflow.models.ensemble import Ensemble
from arielflow.physics.forward import ForwardModel

_STEPS = 12
_TOLERANCE = 0.02
# Of a step in error bars; the linearisation does not reach further.
_LONGEST_STEP = 3.0


class Counterfactual(NamedTuple):
    """Least changes of spectra.

    Attributes
    ----------
    change : np.ndarray
        δ in error bars (planet, target, wavelength).
    distance : np.ndarray
        Its length (planet, target), NaN where no change was found that reaches the aim.
    moved : np.ndarray
        Change of the posterior mean (planet, target) in standard deviations.
    """

    change: np.ndarray
    distance: np.ndarray
    moved: np.ndarray


def least_changes(
    function: SpectrumFunction, deviation: np.ndarray, *, sigmas: float = 1.0
) -> Counterfactual:
    """Least changes that move every target's answer by ``sigmas`` standard deviations.

    Parameters
    ----------
    function
        Posterior means as a function of depths.
    deviation
        Standard deviations of the posteriors (planet, target).
    sigmas
        How far, and with its sign which way, the answer is to move.
    """
    n_planets, n_targets = deviation.shape
    change = np.zeros((n_planets, n_targets, function.depth.shape[1]))
    moved = np.zeros((n_planets, n_targets))
    aims = torch.as_tensor(sigmas * deviation)
    rows = torch.arange(n_planets)
    for target in range(n_targets):
        for part in rows.split(16):
            found, reached = _shortest(function, part, target, aims[part, target])
            change[part.numpy(), target] = found.numpy()
            moved[part.numpy(), target] = (reached / aims[part, target]).numpy() * sigmas
    distance = np.linalg.norm(change, axis=2)
    close = np.abs(moved - sigmas) < 5 * _TOLERANCE * abs(sigmas)
    return Counterfactual(change, np.where(close, distance, np.nan), moved)


def _shortest(
    function: SpectrumFunction, rows: Tensor, target: int, aim: Tensor
) -> tuple[Tensor, Tensor]:
    """Change (row, wavelength) in error bars that reaches the aim (row,), and what it reaches."""
    depth, error = function.depth[rows], function.error[rows]
    change = torch.zeros_like(depth)
    best, reached = change.clone(), torch.zeros_like(aim)
    start = None
    for _ in range(_STEPS):
        point = change.clone().requires_grad_()
        value = function(depth + error * point, rows)[:, target]
        (slope,) = torch.autograd.grad(value.sum(), point)
        value = value.detach()
        start = value if start is None else start
        closer = (value - start - aim).abs() < (reached - aim).abs()
        best = torch.where(closer[:, None], change, best)
        reached = torch.where(closer, value - start, reached)
        if ((reached - aim).abs() < _TOLERANCE * aim.abs()).all():
            break
        missing = aim - (value - start) + (slope * change).sum(dim=1)
        wanted = slope * (missing / slope.square().sum(dim=1).clamp(min=1e-300))[:, None]
        step = wanted - change
        length = step.norm(dim=1, keepdim=True).clamp(min=1e-300)
        change = change + step * (_LONGEST_STEP / length).clamp(max=1)
    return best, reached


def without_molecules(
    ensemble: Ensemble, planets: xr.Dataset, forward: ForwardModel, *, n_samples: int, seed: int
) -> pd.DataFrame:
    """How a model's posteriors answer when one molecule is taken out of the spectra.

    The forward model's difference with and without the molecule, at the posterior's medians, is
    added to the spectrum, which keeps its noise and all else that the model does not explain.

    Parameters
    ----------
    ensemble, planets
        Model and usable planets.
    forward
        Forward model of these planets.
    n_samples, seed
        Draws a planet; the same with and without.

    Returns
    -------
    pandas.DataFrame
        ``planet``, ``molecule`` taken out, ``target``, ``median_before``, ``median_after``,
        ``shift`` (their difference in standard deviations before) and ``change_sigma`` (length of
        the change of the spectrum in error bars). What follows from the change is NaN where the
        forward model has no spectrum at the medians.
    """
    before = ensemble.mixture(planets, n_samples, seed=seed).theta
    median, width = np.median(before, axis=1), before.std(axis=1)
    everyone = np.arange(len(median))
    spectrum = forward.spectra(everyone, median)
    error = planets["transit_depth_error"].values
    quantities = [str(quantity) for quantity in planets["target_quantity"].values]
    tables = []
    for molecule in (name for name in quantities if name in MOLECULES):
        bare = median.copy()
        bare[:, quantities.index(molecule)] = -np.inf
        difference = forward.spectra(everyone, bare) - spectrum
        told = np.isfinite(difference).all(axis=1)
        difference[~told] = 0
        depth = planets["transit_depth"].copy(data=planets["transit_depth"].values + difference)
        after = ensemble.mixture(planets.assign(transit_depth=depth), n_samples, seed=seed).theta
        # Without the model's spectrum there is no question that the answer would be to.
        new = np.where(told[:, None], np.median(after, axis=1), np.nan)
        changed = np.where(told, np.linalg.norm(difference / error, axis=1), np.nan)
        columns = {
            "planet": np.repeat(planets["planet"].values.astype(str), len(quantities)),
            "molecule": molecule,
            "target": np.tile(planets["target"].values.astype(str), len(median)),
            "median_before": median.ravel(),
            "median_after": new.ravel(),
            "shift": np.divide(
                new - median, width, out=np.zeros_like(width), where=width > 0
            ).ravel(),
            "change_sigma": np.repeat(changed, len(quantities)),
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)
