"""A monotone map of a model's marginal quantiles, fitted after training on planets of their own.

If the truths' ranks u in a target's posteriors have the distribution function R instead of the
uniform one, the u-quantile holds R(u) of the truths. The recalibrated posterior has its u-quantile
where the model has its R⁻¹(u)-quantile (Kuleshov, Fenner & Ermon 2018, ICML, arXiv:1807.00263).
Samples keep their order in every target and so their copula: ranks between targets, such as a
degeneracy of temperature and abundance, stay as they are.

In normal scores z = Φ⁻¹(u), R is z → g(z) with R(u) = Φ(g(z)). The logarithm of the slope of g is a
straight line between a few knots and constant beyond; it is fitted by maximum likelihood with a
normal prior on it and on its changes. Where the map explains the ranks no better than the identity
does beyond chance (likelihood ratio, level .01), the target is left alone. A posterior that is k
times as wide as it should be has g(z) = k z, one that is shifted g(z) = z + b.

The map is one for all planets. It mends what is wrong on average; where a model is over-confident
in some group alone it is widened everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtr, ndtri
from scipy.stats import chi2

from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_json
from arielflow.core.readers import listed, read_json_object
from arielflow.core.samples import check_box, check_weighted_samples

FEWEST_PLANETS = 200
"""Below these a map would be its prior's and chance's."""

KNOTS = (-2.4, -1.6, -0.8, 0.0, 0.8, 1.6, 2.4)
"""Normal scores of the map's knots."""

_REMEDY = "fit the map again"
# Standard deviations of the prior on offset, log-slope and its change from knot to knot.
_OFFSET, _SLOPE, _CHANGE = 0.5, 0.5, 0.1
# Of the log-likelihood: what chance gains in one of a hundred exact posteriors.
_LEAST_GAIN = chi2.isf(0.01, 1 + len(KNOTS)) / 2
_GRID = np.linspace(-5, 5, 201)
_FARTHEST = 8.0
# Less than any rank among thousands of samples; its normal score is on the grid.
_LEAST = 1e-6
# Of the samples: their slope is continued beyond the outermost sample.
_TAIL = 0.025


@dataclass(frozen=True)
class Recalibration:
    """The maps of all targets.

    Attributes
    ----------
    target_names : tuple[str, ...]
        The targets.
    offset : np.ndarray
        g(0) of every target (target,).
    log_slope : np.ndarray
        Natural logarithm of g's slope at the knots (target, knot).
    n_planets : int
        What they were fitted on.
    """

    target_names: tuple[str, ...]
    offset: np.ndarray
    log_slope: np.ndarray
    n_planets: int

    @classmethod
    def fitted(
        cls, ranks: np.ndarray, target_names: Sequence[str], *, resolution: float = 1e-3
    ) -> Recalibration:
        """Fit the maps to ranks of truths.

        Parameters
        ----------
        ranks
            Of the truths in the model's posteriors (planet, target), between 0 and 1, see
            :func:`arielflow.evaluation.diagnostics.rank_statistics`.
        target_names
            Of the targets.
        resolution
            Ranks nearer to 0 or 1 are only known to be so: one over the number of samples.

        Raises
        ------
        ArielflowError
            There are too few planets, or a rank is unknown or no share.
        """
        ranks = np.asarray(ranks, dtype=float)
        if ranks.ndim != 2 or ranks.shape[1] != len(target_names):
            raise ArielflowError(
                f"recalibration: ranks have shape {ranks.shape}, expected (planet, "
                f"{len(target_names)}) as there are targets"
            )
        if len(ranks) < FEWEST_PLANETS:
            raise ArielflowError(
                f"recalibration: {len(ranks)} planets, expected at least {FEWEST_PLANETS}; raise "
                "calibration.settings.n_fit"
            )
        if not ((ranks >= 0) & (ranks <= 1)).all():
            raise ArielflowError(
                "recalibration: a rank is unknown or outside of 0 to 1; give the ranks of planets "
                "with a known truth"
            )
        farthest = -ndtri(max(resolution, _LEAST))
        found = [_fit(ndtri(np.clip(column, _LEAST, 1 - _LEAST)), farthest) for column in ranks.T]
        offset, log_slope = (np.array(part) for part in zip(*found, strict=True))
        return cls(tuple(map(str, target_names)), offset, log_slope, len(ranks))

    def level(self, ranks: np.ndarray) -> np.ndarray:
        """R: share of the truths expected below the quantiles ``ranks`` (..., target)."""
        score = ndtri(np.asarray(ranks, dtype=float))
        columns = [
            _mapped(score[..., column], offset, slope)
            for column, (offset, slope) in enumerate(zip(self.offset, self.log_slope, strict=True))
        ]
        found: np.ndarray = ndtr(np.stack(columns, axis=-1))
        return found

    def samples(
        self, theta: np.ndarray, weight: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> np.ndarray:
        """Recalibrated samples (sample, target) of one planet, in the order of the given ones.

        Between samples their quantiles are interpolated. Beyond the outermost one the tail goes on
        with its slope and bends towards the prior's edge, which it does not pass.

        Parameters
        ----------
        theta, weight
            Samples (sample, target) and weights (sample,).
        low, high
            Edges of the planet's prior (target,), within which the samples lie.

        Raises
        ------
        ArielflowError
            Samples, weights or edges are not valid, or there are other targets.
        """
        theta, weight = check_weighted_samples(theta, weight)
        low, high = check_box(low, high, theta.shape[1])
        if theta.shape[1] != len(self.target_names):
            raise ArielflowError(
                f"recalibration: samples of {theta.shape[1]} targets, fitted for "
                f"{listed(list(self.target_names))}"
            )
        found = np.empty_like(theta)
        for column, offset in enumerate(self.offset):
            order = np.argsort(theta[:, column], kind="stable")
            own = weight[order]
            score = ndtri(np.clip(np.cumsum(own) - own / 2, 1e-12, 1 - 1e-12))
            wanted = _unmapped(score, offset, self.log_slope[column])
            edges = low[column], high[column]
            found[order, column] = _quantiles(wanted, score, theta[order, column], edges)
        return found

    def write(self, path: str | Path) -> None:
        """Write the maps as JSON."""
        content = {
            "targets": list(self.target_names),
            "knots": list(KNOTS),
            "offset": self.offset.tolist(),
            "log_slope": self.log_slope.tolist(),
            "n_planets": self.n_planets,
        }
        write_json(content, path)

    @classmethod
    def read(cls, path: str | Path) -> Recalibration:
        """Read what :meth:`write` wrote.

        Raises
        ------
        ArielflowError
            The file is missing or damaged, or of another version.
        """
        keys = ["targets", "knots", "offset", "log_slope", "n_planets"]
        content = read_json_object(path, keys, _REMEDY)
        try:
            names = tuple(map(str, content["targets"]))
            offset, slope = (np.array(content[key], dtype=float) for key in ("offset", "log_slope"))
            count = int(content["n_planets"])
        except (TypeError, ValueError) as error:
            raise ArielflowError(f"{path}: holds no maps ({error}); {_REMEDY}") from None
        expected = (len(names),), (len(names), len(KNOTS))
        whole = np.isfinite(offset).all() and np.isfinite(slope).all()
        if content["knots"] != list(KNOTS) or (offset.shape, slope.shape) != expected or not whole:
            raise ArielflowError(
                f"{path}: maps of shapes {offset.shape} and {slope.shape} at knots "
                f"{content['knots']}, expected {expected[0]} and {expected[1]} finite numbers at "
                f"{list(KNOTS)}; {_REMEDY}"
            )
        return cls(names, offset, slope, count)


def recalibrate_posterior(
    posterior: xr.Dataset, planets: xr.Dataset, recalibration: Recalibration
) -> xr.Dataset:
    """Recalibrated posterior dataset of planets.

    Draws from the prior, of planets that were not retrieved, are left as they are. Densities and
    the parts of the spread belong to the samples as they were, and are left out.

    Parameters
    ----------
    posterior
        A model's posteriors.
    planets
        Planets dataset with the edges of their priors, the same planets in any order.
    recalibration
        Fitted for the model and the same targets.

    Raises
    ------
    ArielflowError
        The targets are others.
    """
    names = tuple(map(str, posterior["target"].values))
    if names != recalibration.target_names:
        raise ArielflowError(
            f"recalibration: fitted for {listed(list(recalibration.target_names))}, the posterior "
            f"has {listed(list(names))}; {_REMEDY}"
        )
    chosen = planets.sel(planet=posterior["planet"].values)
    low, high = chosen["prior_low"].values, chosen["prior_high"].values
    theta, weight = posterior["theta"].values.copy(), posterior["weight"].values
    retrieved = np.ones(len(theta), dtype=bool)
    if "retrieved" in posterior:
        retrieved = posterior["retrieved"].values == 1
    for row in np.flatnonzero(retrieved):
        theta[row] = recalibration.samples(theta[row], weight[row], low[row], high[row])
    lost = [name for name in ("log_prob", "aleatoric", "epistemic") if name in posterior]
    return posterior.drop_vars(lost).assign(theta=posterior["theta"].copy(data=theta))


def _curve(offset: float, log_slope: np.ndarray) -> np.ndarray:
    """g on the grid; its slope is constant beyond the outer knots."""
    slope = np.exp(np.interp(_GRID, KNOTS, log_slope))
    steps = 0.5 * (slope[1:] + slope[:-1]) * np.diff(_GRID)
    curve = np.append(0, np.cumsum(steps))
    found: np.ndarray = offset + curve - np.interp(0, _GRID, curve)
    return found


def _mapped(score: np.ndarray, offset: float, log_slope: np.ndarray) -> np.ndarray:
    return _straight_beyond(score, _GRID, _curve(offset, log_slope))


def _unmapped(score: np.ndarray, offset: float, log_slope: np.ndarray) -> np.ndarray:
    found = _straight_beyond(score, _curve(offset, log_slope), _GRID)
    near: np.ndarray = np.clip(found, -_FARTHEST, _FARTHEST)
    return near


def _straight_beyond(x: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Linear interpolation that goes on beyond the ends."""
    found: np.ndarray = np.interp(x, known, values)
    for end, inner, beyond in ((0, 1, x < known[0]), (-1, -2, x > known[-1])):
        slope = (values[end] - values[inner]) / (known[end] - known[inner])
        found = np.where(beyond, values[end] + slope * (x - known[end]), found)
    return found


def _fit(score: np.ndarray, farthest: float) -> tuple[float, np.ndarray]:
    """Offset and log-slopes that are most probable for normal scores (planet,), or the identity.

    Of scores beyond ``farthest`` only that is used.
    """
    # Planets on the grid's points: a step of .05 blurs no map.
    below, above = np.sum(score < -farthest), np.sum(score > farthest)
    nearest = np.rint((score[np.abs(score) <= farthest] - _GRID[0]) / (_GRID[1] - _GRID[0])).astype(
        int
    )
    count = np.bincount(nearest, minlength=len(_GRID))

    def likelihood(values: np.ndarray) -> float:
        offset, slope = values[0], values[1:]
        curve = _curve(offset, slope)
        inside = count @ (np.interp(_GRID, KNOTS, slope) - 0.5 * curve**2)
        ends = np.interp((-farthest, farthest), _GRID, curve)
        return float(inside + below * log_ndtr(ends[0]) + above * log_ndtr(-ends[1]))

    def loss(values: np.ndarray) -> float:
        offset, slope = values[0], values[1:]
        prior = (offset / _OFFSET) ** 2 + (slope.mean() / _SLOPE) ** 2
        prior += np.sum((np.diff(slope) / _CHANGE) ** 2)
        return float(0.5 * prior - likelihood(values)) / len(score)

    identity = np.zeros(1 + len(KNOTS))
    found = minimize(loss, identity, method="BFGS", options={"gtol": 1e-5}).x
    if likelihood(found) - likelihood(identity) < _LEAST_GAIN:
        found = identity
    return float(found[0]), found[1:]


def _quantiles(
    wanted: np.ndarray, score: np.ndarray, values: np.ndarray, edges: tuple[float, float]
) -> np.ndarray:
    """Values at wanted normal scores of a sample with sorted ``values`` at ``score``."""
    found: np.ndarray = np.interp(wanted, score, values)
    low, high = np.searchsorted(ndtr(score), (_TAIL, 1 - _TAIL))
    ends = (0, max(low, 1), edges[0]), (-1, min(high, len(score) - 2), edges[1])
    for end, other, edge in ends if len(score) > 1 else ():
        room = np.abs(values[end] - edge)
        span = np.abs(score[other] - score[end])
        if room > 0 and span > 0:
            rise = np.abs(values[other] - values[end]) / span
            distance = rise * np.maximum((wanted - score[end]) * (1 if end else -1), 0)
            bent = edge + (values[end] - edge) * np.exp(-distance / room)
            found = np.where(distance > 0, bent, found)
    return found
