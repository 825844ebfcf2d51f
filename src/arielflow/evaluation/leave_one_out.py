"""Leave-one-out predictions of single bins, from a posterior's weighted draws.

The posterior without a bin has the same draws as the posterior with all of them, only weighted by
one over the bin's likelihood besides: what the other bins predict of one needs no further
retrieval. These weights have a heavy tail where the bin matters much; it is smoothed by a Pareto
tail, whose shape tells where the weights do not do and the retrieval must be made again without the
bin (PSIS-LOO: Vehtari, Gelman & Gabry 2017, Stat. Comput. 27, 1413). In retrievals of spectra:
Welbanks et al. 2023, AJ 165, 112.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from scipy.special import logsumexp

from arielflow.core.errors import ArielflowError
from arielflow.core.samples import check_weighted_samples
from arielflow.core.schema import describe
from arielflow.retrieval.kept_draws import kept_draws

LARGEST_SHAPE = 0.7
"""Pareto shape above which smoothed weights are not to be trusted (Vehtari et al. 2024)."""

# A tail is the largest fifth, of which a fit needs five.
_FEWEST_DRAWS = 25


@dataclass(frozen=True)
class LeaveOneOut:
    """What the other bins predict of every bin; all arrays (bin,), natural logarithms.

    Attributes
    ----------
    elpd : expected log predictive density: of the bin's depth, predicted by the other bins; NaN in
        bins without a value
    elpd_error : Monte-Carlo error of it, as far as the draws tell
    pareto_shape : of the weights' tail
    p_loo : effective number of parameters that the bin takes: by how much its log-density is higher
        where the retrieval has seen it
    """

    elpd: np.ndarray
    elpd_error: np.ndarray
    pareto_shape: np.ndarray
    p_loo: np.ndarray

    @property
    def needs_refit(self) -> np.ndarray:
        """Bins (bin,) of which the weights cannot tell: retrieve the spectrum without them."""
        refit: np.ndarray = np.isfinite(self.elpd) & ~(self.pareto_shape <= LARGEST_SHAPE)
        return refit

    @property
    def total(self) -> float:
        """Sum of ``elpd`` over the bins that have a value."""
        return float(np.nansum(self.elpd))


def leave_one_out(log_likelihood: np.ndarray, weight: np.ndarray) -> LeaveOneOut:
    """Leave every bin out of a posterior in turn.

    Parameters
    ----------
    log_likelihood
        Natural log-likelihoods (draw, bin) of single bins, which are independent given the
        parameters; NaN in all draws of a bin without a value.
    weight
        Importance weights (draw,) of the posterior's draws, equal for plain samples.

    Raises
    ------
    ArielflowError
        There are fewer than 25 draws of any weight, a weight is not valid, or a bin has a value in
        some draws alone.
    """
    log_likelihood, weight = check_bins(log_likelihood, weight)
    used = np.isfinite(log_likelihood).all(axis=0)
    found = np.full((4, len(used)), np.nan)
    log_weight = np.log(weight)
    for number in np.flatnonzero(used):
        own = log_likelihood[:, number]
        smoothed, shape = _smoothed(log_weight - own)
        elpd = logsumexp(smoothed + own)
        scatter = np.exp(smoothed + own - elpd) - np.exp(smoothed)
        error = np.sqrt(np.sum(scatter**2))
        found[:, number] = elpd, error, shape, logsumexp(log_weight + own) - elpd
    return LeaveOneOut(*found)


def check_bins(log_likelihood: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draws that have a weight: log-likelihoods (draw, bin) and weights (draw,) that sum to one.

    Raises
    ------
    ArielflowError
        See :func:`leave_one_out`.
    """
    rows = np.arange(len(log_likelihood), dtype=float)[:, None]
    _, weight = check_weighted_samples(rows, weight, "leaving bins out")
    log_likelihood, weight = log_likelihood[weight > 0], weight[weight > 0]
    if len(weight) < _FEWEST_DRAWS:
        raise ArielflowError(
            f"leaving bins out: {len(weight)} draws have a weight, expected at least "
            f"{_FEWEST_DRAWS}; keep more draws of the retrieval (kept_draws)"
        )
    finite = np.isfinite(log_likelihood)
    mixed = finite.any(axis=0) & ~finite.all(axis=0)
    if mixed.any():
        number = int(np.argmax(mixed))
        count = int(finite[:, number].sum())
        raise ArielflowError(
            f"leaving bins out: bin {number} has a log-likelihood in {count} of {len(weight)} "
            "draws, expected all or none; drop draws without a spectrum"
        )
    return log_likelihood, weight


def _smoothed(log_weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Pareto-smoothed log-weights (n,) of normalised weights, and the shape of their tail."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # It takes the negative of the logarithm.
        smoothed, shape = array_stats.psislw(-log_weight)
    if not np.isfinite(smoothed).all():
        # All but a few vanish beside the largest: there is no tail to fit.
        smoothed, shape = log_weight, np.inf
    return smoothed - logsumexp(smoothed), float(shape)


def leave_bins_out(posterior: xr.Dataset, planets: Sequence[str] | None = None) -> xr.Dataset:
    """Leave every bin out of planets' posteriors in turn, by the weighted draws that they keep.

    Parameters
    ----------
    posterior
        Posterior dataset of importance sampling, see :mod:`arielflow.retrieval.kept_draws`.
    planets
        Identifiers; all of its planets if left out.

    Returns
    -------
    xarray.Dataset
        ``elpd``, ``elpd_error``, ``loo_pareto_shape``, ``p_loo`` and ``needs_refit`` (0 or 1), each
        (planet, wavelength), see :class:`LeaveOneOut`; NaN for planets that keep no draws.

    Raises
    ------
    ArielflowError
        The posterior keeps no draws at all, or a planet is not in it.
    """
    if "draw_weight" not in posterior:
        raise ArielflowError(
            "posterior dataset: it keeps no weighted draws (draw_weight); make it by importance "
            "sampling with kept_draws above 0"
        )
    names = [str(name) for name in posterior["planet"].values]
    asked = names if planets is None else list(planets)
    if missing := sorted(set(asked) - set(names)):
        raise ArielflowError(
            f"posterior dataset: planet {missing[0]} is not in it; choose among its {len(names)}"
        )
    empty = np.full(posterior.sizes["wavelength"], np.nan)
    found = []
    for name in asked:
        draws = kept_draws(posterior, name)
        if draws is None or len(draws.weight) < _FEWEST_DRAWS:
            found.append(LeaveOneOut(empty, empty, empty, empty))
        else:
            found.append(leave_one_out(draws.log_likelihood, draws.weight))
    columns = {
        "elpd": [one.elpd for one in found],
        "elpd_error": [one.elpd_error for one in found],
        "loo_pareto_shape": [one.pareto_shape for one in found],
        "p_loo": [one.p_loo for one in found],
        "needs_refit": [one.needs_refit.astype(np.int8) for one in found],
    }
    dims = "planet", "wavelength"
    return describe(
        xr.Dataset(
            {name: (dims, np.reshape(rows, (len(asked), -1))) for name, rows in columns.items()},
            coords={"planet": asked, "wavelength": posterior["wavelength"]},
        )
    )
