"""How well and how fast an emulator stands in for the forward model."""

from __future__ import annotations

import logging
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import torch
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.samples import WeightedSamples
from arielflow.core.schema import is_usable, trace_of, traces_of
from arielflow.core.seeds import derived_seed
from arielflow.data.forward_models import edition_model
from arielflow.editions import Edition
from arielflow.evaluation.better_scores import bhattacharyya
from arielflow.models.base import SpectrumEmulator
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.nested import retrieve
from arielflow.settings.nested import NestedSettings

log = logging.getLogger(__name__)

_SPEED_BATCHES = 4
_SPEED_REPEATS = 3


def emulator_report(
    edition: Edition,
    emulator: SpectrumEmulator,
    planets: xr.Dataset,
    truth: xr.Dataset,
    rerun: xr.Dataset,
    *,
    physics: PhysicsSettings,
    n_retrievals: int,
    seed: int,
    settings: NestedSettings | None = None,
) -> dict[str, Any]:
    """Accuracy, speed and retrievals of an emulator, beside the reference mode's.

    Parameters
    ----------
    planets
        Test planets, which the emulator was not trained on.
    truth, rerun
        Their true theta with the posteriors sampled on the forward model, and with an independent
        rerun of these: what two runs of one and the same retrieval agree to.
    physics
        Opacities of the forward model; its reference mode is used, whatever the run's.
    n_retrievals
        Planets to retrieve with the emulator, the first ones that have a truth.
    seed
        Seed of the retrievals.
    settings
        The nested sampler's; leave them out to have those of the truth.

    Returns
    -------
    dict
        ``accuracy`` (see :func:`spectrum_accuracy`), ``spectra_per_s`` on so many ``threads``, and
        ``retrievals``: the Bhattacharyya coefficients per target, means over the planets and of
        each planet.

    Raises
    ------
    ArielflowError
        No test planet is usable with known theta, or the emulator has other bins.
    """
    theta = truth["theta"].values
    known = np.flatnonzero(is_usable(planets) & np.isfinite(theta).all(axis=1))
    if not len(known):
        raise ArielflowError(
            f"surrogate: none of the {len(theta)} test planets is usable with known parameters; "
            "evaluate it on a run with simulated test planets"
        )
    reference = ForwardModel(edition_model(edition, replace(physics, nodes=None)), planets)
    stand_in = emulator.forward_model(planets)
    models = {"reference": reference, "surrogate": stand_in}
    error = planets["transit_depth_error"].values[known]
    return {
        "accuracy": spectrum_accuracy(
            reference.spectra(known, theta[known]), stand_in.spectra(known, theta[known]), error
        ),
        "spectra_per_s": {
            name: spectra_per_second(model, known, theta[known]) for name, model in models.items()
        },
        "threads": torch.get_num_threads(),
        "retrievals": _retrievals(
            models["surrogate"], planets, truth, rerun, n_retrievals, seed, settings
        ),
    }


def spectrum_accuracy(
    expected: np.ndarray, found: np.ndarray, error: np.ndarray
) -> dict[str, float]:
    """Absolute differences of spectra (planet, wavelength): medians and 95th percentiles.

    Parameters
    ----------
    expected, found
        Transit depths; planets of which either is not finite are left out.
    error
        Their one-sigma errors, shape (planet, wavelength).

    Returns
    -------
    dict
        ``n_planets``, ``median_ppm``, ``percentile_95_ppm``, ``median_over_error`` and
        ``percentile_95_over_error``, over all planets and bins, and
        ``share_within_one_sigma``: the planets whose whole spectrum is off by less than one, as
        the root of the summed squares over the errors, and whose posterior hardly moves.
    """
    good = np.isfinite(expected).all(axis=1) & np.isfinite(found).all(axis=1)
    difference = np.abs(found - expected)[good]
    median, high = np.percentile(difference * 1e6, [50, 95])
    relative = difference / error[good]
    relative_median, relative_high = np.percentile(relative, [50, 95])
    return {
        "n_planets": int(good.sum()),
        "median_ppm": float(median),
        "percentile_95_ppm": float(high),
        "median_over_error": float(relative_median),
        "percentile_95_over_error": float(relative_high),
        "share_within_one_sigma": float(np.mean(np.linalg.norm(relative, axis=1) < 1)),
    }


def spectra_per_second(forward: ForwardModel, planet: np.ndarray, theta: np.ndarray) -> float:
    """Spectra per second in batches of a retrieval's size, the best of a few repetitions.

    Parameters
    ----------
    planet, theta
        Positions (n,) and parameters (n, target), repeated until the rows suffice.
    """
    rows = np.resize(np.arange(len(planet)), (_SPEED_BATCHES, NestedSettings().n_batch))
    forward.spectra(planet[rows[0]], theta[rows[0]])
    seconds = []
    for _ in range(_SPEED_REPEATS):
        started = perf_counter()
        for part in rows:
            forward.spectra(planet[part], theta[part])
        seconds.append(perf_counter() - started)
    return rows.size / min(seconds)


def _retrievals(
    emulator: ForwardModel,
    planets: xr.Dataset,
    truth: xr.Dataset,
    rerun: xr.Dataset,
    n_retrievals: int,
    seed: int,
    settings: NestedSettings | None,
) -> dict[str, Any]:
    """Compare posteriors with the emulator, and the truth's rerun, with the truth."""
    names = [str(name) for name in planets["planet"].values]
    annotated = [row for row, trace in enumerate(traces_of(truth, names)) if len(trace[0])]
    rows: list[dict[str, Any]] = []
    for row in annotated[:n_retrievals]:
        name = names[row]
        result = retrieve(
            emulator, row, seed=derived_seed(seed, "surrogate", row), settings=settings
        )
        true = trace_of(truth, name)
        rows.append(
            {
                "planet": name,
                "surrogate": _overlap(true, (result.theta, result.weight)),
                "rerun": _overlap(true, trace_of(rerun, name)),
                "likelihood_calls": result.likelihood_calls,
                "seconds": result.seconds,
            }
        )
        log.info("retrieved %s in %.0f s", name, result.seconds)
    means = {
        kind: np.mean([row[kind] for row in rows], axis=0).tolist() if rows else []
        for kind in ("surrogate", "rerun")
    }
    return {
        "targets": [str(target) for target in planets["target"].values],
        "mean_bhattacharyya": means,
        "bhattacharyya": rows,
    }


def _overlap(first: WeightedSamples, second: WeightedSamples) -> list[float]:
    overlap: list[float] = bhattacharyya(*first, *second).tolist()
    return overlap
