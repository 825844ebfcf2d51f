"""The data model: names of dimensions, variables and units, and the checks on them.

Three kinds of dataset pass between the steps of the workflow, all NetCDF files:

*planets*
    ``transit_depth(planet, wavelength)``, ``transit_depth_error``,
    ``wavelength_width(wavelength)``, ``auxiliary_value(planet, auxiliary)`` (xarray forbids naming
    it like its dimension), ``theta(planet, target)`` (NaN where unknown), the retrieval prior's
    box ``prior_low/prior_high(planet, target)``, the official score bounds
    ``score_low/score_high(target)`` and the bit mask ``quality(planet)``.
*traces*
    Ragged weighted samples: ``row_size(planet)``, ``trace(obs, target)``, ``weight(obs)``.
*posterior*
    ``theta(planet, sample, target)``, ``weight(planet, sample)``, optionally ``log_prob``; that of
    Bayesian networks and ensembles ``aleatoric`` and ``epistemic`` (planet, target); that of
    a retrieval tells each planet's ``log_evidence`` and ``effective_samples`` (or ``elbo``,
    ``elbo_error`` and ``efficiency``), ``likelihood_calls``, ``seconds``, ``retrieved`` and
    ``fault``. That of importance sampling also keeps weighted draws: ``draw_theta(planet, draw,
    target)``, ``draw_weight(planet, draw)``, which sum to one, and
    ``draw_log_likelihood(planet, draw, wavelength)``; where a planet has fewer draws than another,
    or none, the rest is NaN with a weight of zero.

Every target and auxiliary column has an official name, which differs between editions, and a
*quantity*, which does not; code outside ``editions/`` looks columns up by quantity.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag
from pathlib import Path

import numpy as np
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.netcdf import read_netcdf

MOLECULES = ("H2O", "CO2", "CO", "CH4", "NH3")
"""Quantities of the targets that are log10 volume mixing ratios in the forward model."""


ALEATORIC, EPISTEMIC = "aleatoric", "epistemic"
"""Standard deviations of a posterior within and between networks; variables of a posterior."""


class Quality(IntFlag):
    """Why a planet's data are suspect; several may hold at once."""

    GOOD = 0
    NON_FINITE_SPECTRUM = 1
    DEPTH_OUT_OF_RANGE = 2
    NOISE_NOT_POSITIVE = 4
    OFF_GRID = 8
    NON_FINITE_AUXILIARY = 16
    NONSENSE_WIDTH = 32
    IMPLAUSIBLE_AUXILIARY = 64
    IMPLAUSIBLE_DEPTH = 128
    IMPLAUSIBLE_NOISE = 256
    IMPLAUSIBLE_THETA = 512
    DOUBTFUL_AUXILIARY = 1024
    BAD_TRACE = 2048


UNUSABLE = (
    Quality.NON_FINITE_SPECTRUM
    | Quality.DEPTH_OUT_OF_RANGE
    | Quality.NOISE_NOT_POSITIVE
    | Quality.OFF_GRID
    | Quality.NON_FINITE_AUXILIARY
    | Quality.IMPLAUSIBLE_AUXILIARY
    | Quality.IMPLAUSIBLE_DEPTH
    | Quality.IMPLAUSIBLE_NOISE
    | Quality.IMPLAUSIBLE_THETA
)
"""Flags with which a spectrum is not given to a model; widths fall back on the edition's.

A doubtful auxiliary is one that nothing uses; a planet with a bad trace has no trace."""

FEWEST_VALID_BINS = 0.75

_PLANETS = {
    "transit_depth": ("planet", "wavelength"),
    "transit_depth_error": ("planet", "wavelength"),
    "wavelength_width": ("wavelength",),
    "auxiliary_value": ("planet", "auxiliary"),
    "theta": ("planet", "target"),
    "prior_low": ("planet", "target"),
    "prior_high": ("planet", "target"),
    "score_low": ("target",),
    "score_high": ("target",),
    "quality": ("planet",),
}
_TRACES = {"row_size": ("planet",), "trace": ("obs", "target"), "weight": ("obs",)}
_POSTERIOR = {"theta": ("planet", "sample", "target"), "weight": ("planet", "sample")}
_LONG_NAMES = {
    "transit_depth": ("transit depth (Rp/Rs)^2", "1"),
    "transit_depth_error": ("one-sigma uncertainty of the transit depth", "1"),
    "wavelength": ("wavelength of the bin centre", "um"),
    "wavelength_width": ("full width of the wavelength bin", "um"),
    "auxiliary_value": (
        "star and planet properties, units in auxiliary_units",
        "see auxiliary_units",
    ),
    "theta": ("atmospheric parameters, units in target_units", "see target_units"),
    "prior_low": ("lower edge of the retrieval prior", "see target_units"),
    "prior_high": ("upper edge of the retrieval prior", "see target_units"),
    "score_low": ("lower bound of the official metric", "see target_units"),
    "score_high": ("upper bound of the official metric", "see target_units"),
    "quality": ("quality bit mask, 0 is good", "1"),
    "row_size": ("number of samples of the planet", "1"),
    "trace": ("weighted posterior sample", "see target_units"),
    "weight": ("statistical weight of the sample", "1"),
    "log_prob": ("natural logarithm of the posterior density", "1"),
    "draw_theta": ("weighted draw of the posterior", "see target_units"),
    "draw_weight": ("statistical weight of the draw", "1"),
    "draw_log_likelihood": ("natural log-likelihood of the bin at the draw", "1"),
    "elpd": ("expected log predictive density of the bin, predicted by the other bins", "1"),
    "elpd_error": ("Monte-Carlo error of elpd", "1"),
    "loo_pareto_shape": ("shape of the Pareto tail of the weights that leave the bin out", "1"),
    "p_loo": ("effective number of parameters that the bin takes", "1"),
    "needs_refit": ("1 where only a retrieval without the bin tells its elpd", "1"),
    ALEATORIC: ("standard deviation within the networks of the posterior", "see target_units"),
    EPISTEMIC: ("standard deviation between the networks of the posterior", "see target_units"),
    "log_evidence": ("natural logarithm of the evidence under the retrieval prior", "1"),
    "log_evidence_error": ("standard error of log_evidence", "1"),
    "elbo": ("evidence lower bound, a natural logarithm, under the retrieval prior", "1"),
    "elbo_error": ("Monte-Carlo error of the evidence lower bound", "1"),
    "effective_samples": ("effective samples of the retrieval", "1"),
    "sampling_efficiency": ("effective samples over draws, were or are they weighted", "1"),
    "pareto_shape": ("shape of the generalised Pareto tail of the importance weights", "1"),
    "fallen_back": ("1 where nested sampling took over from importance sampling", "1"),
    "likelihood_calls": ("likelihood calls of the retrieval", "1"),
    "seconds": ("wall-clock time of the retrieval", "s"),
    "chi_square_per_bin": ("mean squared residual of the best sample, in error bars", "1"),
    "worst_bin": ("wavelength of the best sample's largest residual", "um"),
    "worst_bin_residual": ("data less model there, in error bars", "1"),
    "at_prior_edge": ("1 where the samples pile up at an edge of the prior", "1"),
    "retrieved": ("1 where theta was retrieved, 0 where it is drawn from the prior", "1"),
    "fault": ("why the planet was not retrieved; empty where it was", "1"),
    "warning": ("what speaks against the planet's retrieval; empty if nothing does", "1"),
}


def describe(dataset: xr.Dataset) -> xr.Dataset:
    """Give every variable that the data model knows its ``long_name`` and ``units``."""
    for name, (long_name, units) in _LONG_NAMES.items():
        if name in dataset.variables:
            dataset[name].attrs |= {"long_name": long_name, "units": units}
    return dataset


def _check_variables(dataset: xr.Dataset, expected: dict[str, tuple[str, ...]], kind: str) -> None:
    for name, dims in expected.items():
        if name not in dataset:
            raise ArielflowError(
                f"{kind} dataset: variable {name} is missing "
                f"(found {sorted(map(str, dataset.data_vars))}); "
                "make the file again with this version of arielflow"
            )
        if dataset[name].dims != dims:
            raise ArielflowError(
                f"{kind} dataset: {name} has dimensions {dataset[name].dims}, expected {dims}; "
                "make the file again with this version of arielflow"
            )


def validate_planets(dataset: xr.Dataset) -> xr.Dataset:
    """Check a planets dataset against the data model and return it.

    Raises
    ------
    ArielflowError
        A variable is missing or has other dimensions, the wavelengths do not ascend, planet
        identifiers repeat, or a planet marked usable holds a value that is not finite.
    """
    _check_variables(dataset, _PLANETS, "planets")
    if not np.all(np.diff(dataset["wavelength"].values) > 0):
        raise ArielflowError("planets dataset: wavelength does not ascend; ingest the files again")
    identifiers = dataset["planet"].values
    if len(np.unique(identifiers)) != len(identifiers):
        raise ArielflowError("planets dataset: planet identifiers repeat; ingest the files again")
    usable = is_usable(dataset)
    sound = usable & (dataset["quality"].values & int(Quality.DOUBTFUL_AUXILIARY) == 0)
    finite = {"transit_depth": usable, "transit_depth_error": usable, "auxiliary_value": sound}
    for name, rows in finite.items():
        if not np.all(np.isfinite(dataset[name].values[rows])):
            raise ArielflowError(
                f"planets dataset: {name} of a planet marked usable is not finite; "
                "ingest the files again"
            )
    return dataset


def validate_traces(dataset: xr.Dataset) -> xr.Dataset:
    """Check a ragged traces dataset against the data model and return it."""
    _check_variables(dataset, _TRACES, "traces")
    if int(dataset["row_size"].sum()) != dataset.sizes["obs"]:
        raise ArielflowError(
            f"traces dataset: row_size sums to {int(dataset['row_size'].sum())}, "
            f"the file holds {dataset.sizes['obs']} samples; ingest the files again"
        )
    return dataset


def validate_posterior(dataset: xr.Dataset) -> xr.Dataset:
    """Check a posterior dataset against the data model and return it.

    Raises
    ------
    ArielflowError
        A variable is missing, a sample or weight is not finite, a weight is negative, or the
        weights of a planet do not sum to one.
    """
    _check_variables(dataset, _POSTERIOR, "posterior")
    weight = dataset["weight"].values
    bad = ~np.isfinite(dataset["theta"].values).all(axis=(1, 2)) | ~np.isfinite(weight).all(axis=1)
    bad |= (weight < 0).any(axis=1) | ~np.isclose(weight.sum(axis=1), 1, rtol=0, atol=1e-6)
    if bad.any():
        names = ", ".join(map(str, dataset["planet"].values[bad][:5]))
        raise ArielflowError(
            f"posterior dataset: {int(bad.sum())} planets (first: {names}) have samples or weights "
            "that are not finite, negative, or do not sum to one; the model that made them failed"
        )
    return dataset


def posterior_dataset(
    planets: xr.Dataset,
    theta: np.ndarray,
    weight: np.ndarray | None = None,
    log_prob: np.ndarray | None = None,
) -> xr.Dataset:
    """Wrap posterior samples of ``planets`` in a validated dataset.

    Parameters
    ----------
    planets
        The planets dataset that the samples belong to.
    theta
        Samples, shape (planet, sample, target), in the targets' units.
    weight
        Weights, shape (planet, sample), each row summing to one; equal if left out.
    log_prob
        Natural logarithm of the model's density at the samples, shape (planet, sample).
    """
    if weight is None:
        weight = np.full(theta.shape[:2], 1.0 / theta.shape[1])
    dataset = xr.Dataset(
        {"theta": (_POSTERIOR["theta"], theta), "weight": (_POSTERIOR["weight"], weight)},
        coords={name: planets[name] for name in TARGET_COORDINATES} | {"planet": planets["planet"]},
    )
    if log_prob is not None:
        dataset["log_prob"] = (("planet", "sample"), log_prob)
    return validate_posterior(describe(dataset))


TARGET_COORDINATES = ("target", "target_quantity", "target_units", "target_latex")


def is_usable(planets: xr.Dataset) -> np.ndarray:
    """Boolean (planet,): the spectrum may be given to a model."""
    usable: np.ndarray = (planets["quality"].values & int(UNUSABLE)) == 0
    return usable


def _flag_words(flag: Quality) -> str:
    return str(flag.name).lower().replace("_", " ")


def data_faults(planets: xr.Dataset) -> np.ndarray:
    """Why spectra may not be given to a model (planet,); empty where they may."""
    return np.array(
        [
            "" if usable else f"unusable data ({', '.join(map(_flag_words, flags))})"
            for usable, flags in zip(
                is_usable(planets), map(Quality, planets["quality"].values.tolist()), strict=True
            )
        ],
        dtype=object,
    )


def retrieval_faults(planets: xr.Dataset) -> np.ndarray:
    """Why spectra cannot be retrieved by their likelihood (planet,); empty where they can.

    A few bins that are not numbers are left out of a likelihood, but no network takes the others.
    """
    return np.where(is_retrievable(planets), "", data_faults(planets))


def valid_bins(planets: xr.Dataset) -> np.ndarray:
    """Boolean (planet, wavelength): depth and error of the bin are numbers."""
    depth, error = (planets[name].values for name in ("transit_depth", "transit_depth_error"))
    valid: np.ndarray = np.isfinite(depth) & np.isfinite(error)
    return valid


def is_retrievable(planets: xr.Dataset) -> np.ndarray:
    """Boolean (planet,): usable, or at fault only in a few bins that are not numbers.

    Networks see all bins or none; for a likelihood :func:`valid_bins` tells which to leave out.
    """
    sound = (planets["quality"].values & int(UNUSABLE & ~Quality.NON_FINITE_SPECTRUM)) == 0
    enough = valid_bins(planets).mean(axis=1) >= FEWEST_VALID_BINS
    usable: np.ndarray = is_usable(planets) | (sound & enough)
    return usable


def target_index(dataset: xr.Dataset, quantity: str) -> int | None:
    """Position of the target with this quantity, or None if the edition does not have it."""
    found = np.flatnonzero(dataset["target_quantity"].values == quantity)
    return int(found[0]) if len(found) else None


def auxiliary_values(planets: xr.Dataset, quantity: str) -> np.ndarray | None:
    """Values (planet,) of the auxiliary column with this quantity, or None if there is none."""
    found = np.flatnonzero(planets["auxiliary_quantity"].values == quantity)
    return planets["auxiliary_value"].values[:, found[0]] if len(found) else None


def signal_to_noise(planets: xr.Dataset) -> np.ndarray:
    """Range of every spectrum over its median error bar (planet,); NaN with a bin not known."""
    depth, error = planets["transit_depth"].values, planets["transit_depth_error"].values
    ratio: np.ndarray = np.ptp(depth, axis=1) / np.median(error, axis=1)
    return ratio


def traces_of(
    traces: xr.Dataset, planets: Sequence[str] | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Samples (n, target) and weights (n,) of some planets, or of all in their order.

    Both are empty where a planet was not annotated.

    Raises
    ------
    ArielflowError
        A planet is not in the file.
    """
    ends = np.cumsum(traces["row_size"].values)
    parts = (np.split(traces[name].values, ends)[:-1] for name in ("trace", "weight"))
    every = list(zip(*parts, strict=True))
    if planets is None:
        return every
    found = dict(zip(traces["planet"].values, every, strict=True))
    missing = [planet for planet in planets if planet not in found]
    if missing:
        raise ArielflowError(
            f"traces dataset: planet {missing[0]} is not in it; check the file paired"
        )
    return [found[planet] for planet in planets]


def trace_of(traces: xr.Dataset, planet: str) -> tuple[np.ndarray, np.ndarray]:
    """Samples and weights of one planet, see :func:`traces_of`."""
    return traces_of(traces, [planet])[0]


def open_dataset(path: str | Path) -> xr.Dataset:
    """Load a NetCDF file of the workflow into memory.

    Raises
    ------
    ArielflowError
        The file is missing or is not readable NetCDF.
    """
    return read_netcdf(path, "run the step that makes it")


JOINT = "joint"
"""Name of all targets together, beside the targets' own, in tables of calibration."""

MEAN = "mean"
"""Target that stands for the mean over all targets."""


REFERENCE_ROWS = ("prior", "ceiling", "constant")
