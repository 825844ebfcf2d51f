"""Permutation importance of molecular bands, for every family of models.

What a model answers for planets whose bins of one band are exchanged between them, beside what it
answers for the planets themselves (Breiman 2001; Fisher et al. 2019, JMLR 20). Neighbouring bins
say nearly the same, so bins are exchanged a band at a time. And bins exchanged as they are would
make spectra that no planet has, sizes and all, and ask the model about what it never learnt: only
what the rest of the spectrum does not foretell is exchanged, the residual of a linear regression on
the other bins (conditional importance, Strobl et al. 2008), of spectra freed of their mean and
scatter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.linear_model import Ridge

from arielflow.core.errors import ArielflowError
from arielflow.evaluation.explain.bands import BinGroup
from arielflow.models.ensemble import Ensemble
from arielflow.models.scaling import spectrum_shape

FEWEST_PLANETS = 20
"""Planets that a permutation needs."""
# Of the bins' own variance, which are standardised.
_RIDGE = 1e-3


def exchanged(
    planets: xr.Dataset, bins: np.ndarray, seed: int, *, conditional: bool = True
) -> xr.Dataset:
    """The planets with some bins' depths exchanged between them.

    Parameters
    ----------
    planets
        Planets dataset, usable planets only.
    bins
        Numbers of the bins (bin,), moved together.
    seed
        Of the order.
    conditional
        Only what the other bins do not foretell is exchanged.
    """
    depth = planets["transit_depth"].values
    shape = spectrum_shape(depth)
    others = np.setdiff1d(np.arange(depth.shape[1]), bins)
    foretold = np.zeros_like(shape[:, bins])
    if conditional and len(others):
        fit = Ridge(_RIDGE * len(depth)).fit(shape[:, others], shape[:, bins])
        # Of a single bin the fit forgets the axis.
        foretold = fit.predict(shape[:, others]).reshape(foretold.shape)
    order = np.random.default_rng(seed).permutation(len(depth))
    moved = shape.copy()
    moved[:, bins] = foretold + (shape[:, bins] - foretold)[order]
    # Bins that stay keep their depths to the last digit.
    scatter = depth.std(axis=1, keepdims=True)
    changed = depth + scatter * (moved - shape)
    return planets.assign(transit_depth=planets["transit_depth"].copy(data=changed))


def permutation_importance(
    ensemble: Ensemble,
    planets: xr.Dataset,
    groups: Sequence[BinGroup],
    *,
    seed: int,
    n_samples: int = 256,
    repeats: int = 3,
    conditional: bool = True,
    clusters: np.ndarray | None = None,
) -> pd.DataFrame:
    """Importance of groups of bins for every target, over all planets and by cluster.

    Parameters
    ----------
    ensemble
        Members of a model of any family.
    planets
        Planets dataset, usable planets only.
    groups
        Bins that are exchanged together.
    seed
        Of exchanges and draws; draws are the same before and after.
    n_samples
        Draws a planet.
    repeats
        Exchanges, whose mean is taken.
    conditional
        See :func:`exchanged`.
    clusters
        Cluster of every planet (planet,); bins are exchanged within one. None for no clusters.

    Returns
    -------
    pandas.DataFrame
        ``cluster`` (0 for all planets), ``group``, ``target``, ``shift`` (root mean square change
        of the posterior mean in standard deviations of the posterior), ``lost_r2`` (rise of the
        mean squared error of the posterior mean over the variance of the true theta; NaN where
        the truth is unknown) and ``planets``.

    Raises
    ------
    ArielflowError
        There are fewer than :data:`FEWEST_PLANETS` planets.
    """
    if planets.sizes["planet"] < FEWEST_PLANETS:
        raise ArielflowError(
            f"explain: {planets.sizes['planet']} planets are too few to exchange bins between, "
            f"expected {FEWEST_PLANETS}; give more planets"
        )
    everyone = np.zeros(planets.sizes["planet"], dtype=int)
    parts = {0: everyone == 0}
    for cluster in [] if clusters is None else np.unique(clusters):
        if (inside := clusters == cluster).sum() >= FEWEST_PLANETS:
            parts[int(cluster)] = inside
    tables = [
        _of_planets(
            ensemble,
            planets.isel(planet=inside),
            groups,
            (seed, n_samples, repeats, conditional),
        ).assign(cluster=cluster)
        for cluster, inside in parts.items()
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[["cluster", "group", "target", "shift", "lost_r2", "planets"]]


def _of_planets(
    ensemble: Ensemble,
    planets: xr.Dataset,
    groups: Sequence[BinGroup],
    settings: tuple[int, int, int, bool],
) -> pd.DataFrame:
    seed, n_samples, repeats, conditional = settings
    first = ensemble.mixture(planets, n_samples, seed=seed).theta
    mean, width = first.mean(axis=1), first.std(axis=1)
    theta = planets["theta"].values
    variance = theta.var(axis=0)
    rows = []
    for number, group in enumerate(groups):
        shifts, losses = [], []
        for repeat in range(repeats):
            moved = exchanged(
                planets, group.bins, seed + 1000 * number + repeat, conditional=conditional
            )
            other = ensemble.mixture(moved, n_samples, seed=seed).theta.mean(axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                shifts.append((((other - mean) / width) ** 2).mean(axis=0))
                rise = (other - theta) ** 2 - (mean - theta) ** 2
                losses.append(rise.mean(axis=0) / variance)
        columns = {
            "target": planets["target"].values.astype(str),
            "shift": np.sqrt(np.mean(shifts, axis=0)),
            "lost_r2": np.mean(losses, axis=0),
        }
        rows.append(pd.DataFrame({"group": group.name, "planets": len(mean)} | columns))
    return pd.concat(rows, ignore_index=True)
