"""A posterior of one spectrum as ArviZ reads it."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from arielflow.core.readers import printable
from arielflow.core.seeds import derived_seed
from arielflow.retrieval.spectra.methods import SpectrumResult
from arielflow.retrieval.spectra.names import sampled_long_name
from arielflow.retrieval.spectra.predictions import Predictions, predict
from arielflow.runs.manifest import package_versions

_DEPTH = "transit_depth"
_FRACTION = {"units": "1"}
_DRAWS = ("chain", "draw", "point")


def posterior_tree(
    result: SpectrumResult,
    n_draws: int = 1000,
    *,
    seed: int,
    predictions: Predictions | None = None,
) -> xr.DataTree:
    """A posterior in the groups, and with the dimensions, of ArviZ.

    Parameters
    ----------
    result
        The posterior.
    n_draws
        Samples to predict the spectrum from.
    seed
        Of the retrieval; of the predictions' noise too.
    predictions
        What the samples predict, if that is known; ``n_draws`` is not used then.

    Returns
    -------
    xarray.DataTree
        ``posterior``: a variable per sampled parameter (chain, draw), one chain of independent
        draws, with its unit and prior. Of the first draws, ``posterior_predictive`` (with noise)
        and ``log_likelihood``: ``transit_depth`` (chain, draw, point). ``observed_data``:
        ``transit_depth`` and its errors (point,). ``constant_data``: wavelengths, widths,
        instruments. The root's attributes say how it was made.
    """
    predictions = predictions or predict(result, n_draws)
    spectrum = result.model.spectrum
    draws = {"chain": [0], "draw": np.arange(len(predictions.sampled))}
    groups = {
        "posterior": _posterior(result),
        "posterior_predictive": xr.Dataset(
            {_DEPTH: (_DRAWS, _with_noise(predictions, seed)[None], _FRACTION)}, draws
        ),
        "log_likelihood": xr.Dataset({_DEPTH: (_DRAWS, predictions.log_likelihood[None])}, draws),
        "observed_data": xr.Dataset(
            {
                _DEPTH: ("point", spectrum.depth, _FRACTION),
                f"{_DEPTH}_error_low": ("point", spectrum.error_low, _FRACTION),
                f"{_DEPTH}_error_high": ("point", spectrum.error_high, _FRACTION),
            }
        ),
        "constant_data": xr.Dataset(
            {
                "wavelength": ("point", spectrum.wavelength_um, {"units": "um"}),
                "wavelength_width": ("point", spectrum.width_um, {"units": "um"}),
                "instrument": (
                    "point",
                    np.array([printable(n) for n in spectrum.instrument], object),
                ),
                f"{_DEPTH}_error": ("point", spectrum.error, _FRACTION),
            }
        ),
    }
    points = {"point": np.arange(len(spectrum))}
    groups = {
        name: group.assign_coords(points) if "point" in group.dims else group
        for name, group in groups.items()
    }
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=_facts(result, seed)), **groups})


def _posterior(result: SpectrumResult) -> xr.Dataset:
    model, variables = result.model, {}
    for parameter, unit, samples in zip(
        model.description.free, model.units, result.samples.T, strict=True
    ):
        facts = {
            "units": unit,
            "long_name": sampled_long_name(parameter),
            "prior": parameter.words(),
            "parameter": printable(parameter.sampled_name),
        }
        # A slash would make a group of NetCDF.
        name = printable(parameter.sampled_name).replace("/", "_")
        while name in variables:
            name += "_"
        variables[name] = (("chain", "draw"), samples[None], facts)
    coordinates = {"chain": [0], "draw": np.arange(len(result.samples))}
    return xr.Dataset(variables, coordinates, {"inference_library": "arielflow"})


def _with_noise(predictions: Predictions, seed: int) -> np.ndarray:
    """Depths (draw, point) with offsets and noise: a half normal to either side.

    The likelihood divides the split normal by the errors' mean, so that each side holds its error's
    share.
    """
    rng = np.random.default_rng(derived_seed(seed, "noise"))
    low, high = predictions.error_low, predictions.error_high
    size = np.abs(rng.standard_normal(low.shape))
    # The model lies above the data as often as the upper error's share.
    below = rng.random(low.shape) < high / (low + high)
    noise = np.where(below, -high * size, low * size)
    return predictions.depth + predictions.offset + noise


def _facts(result: SpectrumResult, seed: int) -> dict[str, object]:
    model = result.model
    versions = package_versions()
    return {
        "inference_library": "arielflow",
        "inference_library_version": versions["arielflow"],
        "versions": json.dumps(versions),
        "planet": printable(model.description.name),
        "method": result.method,
        "log_evidence": result.log_evidence,
        "log_evidence_error": result.log_evidence_error,
        "effective_samples": result.effective_samples,
        "sampling_efficiency": result.sampling_efficiency,
        "pareto_shape": result.pareto_shape,
        "spectra": result.spectra,
        "seconds": result.seconds,
        "seed": seed,
        "opacities": printable(model.description.opacities),
        "files": json.dumps(model.spectrum.files),
        "notes": json.dumps(all_notes(result)),
    }


def all_notes(result: SpectrumResult) -> list[str]:
    """What was read, filled in, left out and found, in words."""
    model = result.model
    notes = (*model.spectrum.notes, *model.description.notes, *result.notes)
    return list(dict.fromkeys(map(printable, notes)))
