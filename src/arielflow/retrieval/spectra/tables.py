"""Tables of a posterior of one spectrum: its parameters and what limits them, its instruments."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import kstest, norm

from arielflow.core.readers import printable
from arielflow.data.description.parameters import Parameter
from arielflow.retrieval.spectra.methods import SpectrumResult
from arielflow.retrieval.spectra.names import sampled_long_name
from arielflow.retrieval.spectra.predictions import (
    PPM,
    Predictions,
    derived,
    predict,
    quantile_columns,
)

Edge = Literal["", "upper limit", "lower limit", "unconstrained", "as the prior"]
"""What a prior has made of a posterior; empty where the data alone constrain it."""

# The zone at an edge, in half-widths of the posterior's central 68 %, and as a share of the prior.
_ZONE_HALF_WIDTHS, _ZONE_SHARE = 0.5, 0.05
_OF_GREATEST, _OF_PRIOR = 0.2, 2 / 3
_SAME_AS_PRIOR = 0.1


def edge(samples: np.ndarray, parameter: Parameter) -> Edge:
    """What of a parameter's posterior its prior's edges cut off.

    A posterior reaches an edge where its density there is above a fifth of its greatest, as that of
    a Gaussian less than 1.8 standard deviations away, or above a third of the prior's, so that the
    data say little against values at the edge (the ratio is the Savage-Dickey one). If it reaches
    only the lower edge it is an ``upper limit``, if only the higher one a ``lower limit``, if both,
    the parameter is ``unconstrained``. Densities are means over half the half-width of the
    posterior's central 68 %, at most a twentieth of the prior.

    A normal prior has no edges; the posterior is ``as the prior`` if its distribution function is
    nowhere a tenth away from the prior's.

    Parameters
    ----------
    samples
        Of what is sampled, equally weighted (sample,).
    parameter
        Its prior.
    """
    if parameter.prior == "normal":
        distance = kstest(samples, norm(parameter.first, parameter.second).cdf).statistic
        return "as the prior" if distance < _SAME_AS_PRIOR else ""
    low, high = parameter.edges
    share = np.sort((samples - low) / (high - low))
    spread = float(np.subtract(*np.quantile(share, [0.84, 0.16])))
    zone = min(_ZONE_SHARE, max(_ZONE_HALF_WIDTHS * spread / 2, 1e-9))
    greatest = np.max(np.searchsorted(share, share + zone, side="right") - np.arange(len(share)))
    least = max(min(_OF_GREATEST * greatest, _OF_PRIOR * zone * len(share)), 1)
    at_low, at_high = np.sum(share <= zone) > least, np.sum(share >= 1 - zone) > least
    if at_low and at_high:
        return "unconstrained"
    return "upper limit" if at_low else "lower limit" if at_high else ""


def parameter_table(result: SpectrumResult) -> pd.DataFrame:
    """What was retrieved, in the user's units, and what follows from it.

    Returns
    -------
    pandas.DataFrame
        One row per sampled parameter, then per derived quantity: ``parameter``, ``unit``,
        ``long_name``, ``prior`` (in words; empty for a derived one), ``median``, ``low_68``,
        ``high_68``, ``low_95``, ``high_95`` (limits of the central 68 and 95 %), and ``edge``, see
        :func:`edge`.
    """
    rows = []
    for parameter, unit, samples in zip(
        result.model.description.free, result.model.units, result.samples.T, strict=True
    ):
        names = (
            printable(parameter.sampled_name),
            unit,
            sampled_long_name(parameter),
            parameter.words(),
        )
        rows.append(_row(*names, samples, edge(samples, parameter)))
    for (name, unit, words), samples in derived(result).items():
        rows.append(_row(name, unit, words, "", samples, ""))
    return pd.DataFrame(rows)


def _row(
    name: str, unit: str, words: str, prior: str, samples: np.ndarray, found: Edge
) -> dict[str, object]:
    limits = {key: float(value) for key, value in quantile_columns(samples).items()}
    names = {"parameter": name, "unit": unit, "long_name": words, "prior": prior}
    order = ("median", "low_68", "high_68", "low_95", "high_95")
    return {**names, **{key: limits[key] for key in order}, "edge": found}


def instrument_table(
    result: SpectrumResult, predictions: Predictions | None = None
) -> pd.DataFrame:
    """How well the model fits every instrument, and all of them.

    Returns
    -------
    pandas.DataFrame
        One row per instrument, and a last one, ``all``, of the whole spectrum: ``instrument``,
        ``points``, ``chi2`` of the sample with the highest likelihood and ``chi2_median`` over the
        samples, both in inflated errors; ``chi2_reduced``, the former over the points, of the whole
        spectrum over the degrees of freedom (NaN if there are none); ``rms_sigma`` of the data
        less the median model in stated errors; and the medians of ``offset_ppm`` (with
        ``offset_low_68_ppm`` and ``offset_high_68_ppm``) and ``error_inflation``, the used over the
        stated errors.
    """
    predictions = predictions or predict(result)
    spectrum = result.model.spectrum
    squares = predictions.residual**2
    offset = quantile_columns(predictions.offset, PPM)
    residual = (predictions.depth + predictions.offset) - spectrum.depth
    residual = np.nanmedian(residual, axis=0)
    stated = np.where(residual > 0, spectrum.error_high, spectrum.error_low)
    used = np.median(predictions.error_low + predictions.error_high, axis=0)
    inflation = used / (spectrum.error_low + spectrum.error_high)
    rows = []
    for name in (*spectrum.instruments, None):
        own = spectrum.instrument == name if name is not None else np.ones(len(spectrum), bool)
        freedom = own.sum() - (result.model.dimension if name is None else 0)
        chi2 = float(squares[predictions.best, own].sum())
        rows.append(
            {
                "instrument": "all" if name is None else printable(name),
                "points": int(own.sum()),
                "chi2": chi2,
                "chi2_median": float(np.nanmedian(squares[:, own].sum(axis=1))),
                "chi2_reduced": chi2 / freedom if freedom > 0 else np.nan,
                "rms_sigma": float(np.sqrt(np.mean((residual / stated)[own] ** 2))),
                # Of the whole spectrum there is no single one.
                "offset_ppm": np.nan if name is None else float(offset["median"][own][0]),
                "offset_low_68_ppm": np.nan if name is None else float(offset["low_68"][own][0]),
                "offset_high_68_ppm": np.nan if name is None else float(offset["high_68"][own][0]),
                "error_inflation": float(np.median(inflation[own])),
            }
        )
    return pd.DataFrame(rows)
