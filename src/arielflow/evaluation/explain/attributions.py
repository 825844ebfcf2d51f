"""Local attributions: how a model's answer for one planet depends on every bin of its spectrum.

All are in units of the answer per error bar, so that they can be laid beside one another and beside
the gain (:mod:`arielflow.evaluation.explain.gain`). The path methods, integrated gradients
(Sundararajan et al. 2017) and expected gradients (GradientSHAP; Lundberg & Lee 2017, Erion et al.
2021), come from captum in two forms: the mean *slope* along the path, times the error bar; and the
*contribution*, the slope times the distance from the baseline, as they are usually shown. The
first answers "what if this depth were higher", the second "what came from this depth".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
import xarray as xr
from captum.attr import GradientShap, IntegratedGradients, KernelShap
from torch import Tensor

from arielflow.evaluation.explain.differentiable import SpectrumFunction
from arielflow.models.ensemble import Ensemble
from arielflow.models.scaling import spectrum_shape

Form = Literal["slope", "contribution"]

# Rows of a pass; more draws than this many rows have do not fit the cache.
_ROWS_AT_ONCE = 16


@dataclass(frozen=True)
class Effort:
    """How much work the costlier methods do.

    Attributes
    ----------
    steps : points of an integrated gradient's path
    draws : paths, or noisy copies, of expected and smoothed gradients
    coalitions : sets of bins that KernelSHAP evaluates, beside every bin alone
    noise : error bars that smoothed gradients and expected gradients' paths scatter by
    step : error bars of finite differences
    samples : posterior samples a planet, of answers that are differenced or compared
    repeats : exchanges of a band's bins
    """

    steps: int = 24
    draws: int = 24
    coalitions: int = 300
    noise: float = 1.0
    step: float = 1.0
    samples: int = 256
    repeats: int = 3


def flat_baselines(function: SpectrumFunction) -> Tensor:
    """Spectra without features (planet, wavelength): each at its error-weighted mean depth."""
    weight = function.error**-2
    mean = (weight * function.depth).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True)
    return mean.expand_as(function.depth)


def shaped_baselines(function: SpectrumFunction, spectra: np.ndarray) -> Tensor:
    """Other planets' spectra with each planet's mean and scatter (planet, baseline, wavelength).

    As they are, spectra of larger or smaller planets lie off the path of possible ones.

    Parameters
    ----------
    function
        Gives the planets.
    spectra
        The others' depths (baseline, wavelength).
    """
    depth = function.depth
    mean, scatter = depth.mean(dim=1)[:, None, None], depth.std(dim=1)[:, None, None]
    return mean + scatter * torch.as_tensor(spectrum_shape(spectra))


def gradients(function: SpectrumFunction) -> np.ndarray:
    """Derivatives at the spectrum itself (planet, output, wavelength), per error bar."""
    return _joined(function, partial(_slopes, function))


def smoothed_gradients(function: SpectrumFunction, effort: Effort, seed: int) -> np.ndarray:
    """Mean derivative over noisy copies of the spectrum (SmoothGrad, Smilkov et al. 2017)."""
    generator = torch.Generator().manual_seed(seed)

    def one(rows: Tensor) -> Tensor:
        copies = rows.repeat_interleave(effort.draws)
        depth, error = function.depth[copies], function.error[copies]
        noise = torch.randn(depth.shape, generator=generator, dtype=depth.dtype)
        slopes = _slopes(function, copies, depth + effort.noise * error * noise)
        return slopes.unflatten(0, (len(rows), effort.draws)).mean(dim=1)

    return _joined(function, one, at_once=1)


def integrated_gradients(
    function: SpectrumFunction, baseline: Tensor, effort: Effort, form: Form
) -> np.ndarray:
    """Integrated gradients from baselines (planet, wavelength), in depth units.

    Their contributions sum to the difference of the answers at spectrum and baseline.
    """
    method = IntegratedGradients(function, multiply_by_inputs=form == "contribution")

    def one(rows: Tensor, output: int) -> Tensor:
        return method.attribute(
            function.depth[rows],
            baseline[rows],
            target=output,
            additional_forward_args=(rows,),
            n_steps=effort.steps,
            internal_batch_size=_ROWS_AT_ONCE * 8,
        )

    return _by_output(function, one, form)


def expected_gradients(
    function: SpectrumFunction, baselines: Tensor, effort: Effort, form: Form, seed: int
) -> np.ndarray:
    """SHAP values by captum's GradientShap, from baselines (planet, baseline, wavelength).

    Every draw takes one of the planet's baselines and a point between it and the noisy spectrum.
    """
    method = GradientShap(function, multiply_by_inputs=form == "contribution")

    def one(rows: Tensor, output: int) -> Tensor:
        with _seeded(seed):
            return method.attribute(
                function.depth[rows],
                baselines[rows[0]],
                n_samples=effort.draws,
                stdevs=float(effort.noise * function.error[rows].mean()),
                target=output,
                additional_forward_args=(rows,),
            )

    return _by_output(function, one, form, at_once=1)


def kernel_shap(
    answer: SpectrumFunction, baseline: Tensor, groups: np.ndarray, effort: Effort, seed: int
) -> np.ndarray:
    """SHAP values of groups of bins by captum's KernelShap, spread evenly over each one's bins.

    Parameters
    ----------
    answer
        Any function of depths and rows; no derivatives are taken.
    baseline
        What takes the place of a bin that is left out (planet, wavelength).
    groups
        Number of the group of every bin (wavelength,), from 0 without gaps.
    effort, seed
        Number of coalitions and the seed that they are drawn with.
    """
    sizes = torch.as_tensor(np.bincount(groups)[groups].astype(float))
    mask = torch.as_tensor(groups)[None]
    method = KernelShap(answer)
    n_planets, n_bins = answer.depth.shape
    found = np.empty((n_planets, answer.n_outputs, n_bins))
    for row in range(n_planets):
        for output in range(answer.n_outputs):
            with _seeded(seed), torch.no_grad():
                values = method.attribute(
                    answer.depth[[row]],
                    baseline[[row]],
                    target=output,
                    additional_forward_args=(torch.tensor([row]),),
                    feature_mask=mask,
                    n_samples=effort.coalitions,
                    perturbations_per_eval=_ROWS_AT_ONCE * 4,
                )
            found[row, output] = (values[0] / sizes).numpy()
    return found


def finite_differences(
    ensemble: Ensemble, planets: xr.Dataset, effort: Effort, n_samples: int, seed: int
) -> dict[str, np.ndarray]:
    """Central differences of posterior mean and log10 width, for models without derivatives.

    Every bin in turn is moved up and down by ``effort.step`` error bars, the draws' seed kept.

    Returns
    -------
    dict
        ``mean`` and ``width`` (planet, target, wavelength), per error bar.
    """
    error = planets["transit_depth_error"].values
    n_planets, n_bins = error.shape
    found = {
        name: np.empty((n_planets, planets.sizes["target"], n_bins)) for name in ("mean", "width")
    }
    for column in range(n_bins):
        sides = []
        for sign in (1, -1):
            depth = planets["transit_depth"].values.copy()
            depth[:, column] += sign * effort.step * error[:, column]
            moved = planets.assign(transit_depth=(("planet", "wavelength"), depth))
            theta = ensemble.mixture(moved, n_samples, seed=seed).theta
            width = np.log10(np.maximum(theta.std(axis=1), np.finfo(float).tiny))
            sides.append({"mean": theta.mean(axis=1), "width": width})
        for name, values in found.items():
            values[:, :, column] = (sides[0][name] - sides[1][name]) / (2 * effort.step)
    return found


def score_covariance(
    theta: np.ndarray, log_prob: Callable[[np.ndarray], SpectrumFunction]
) -> np.ndarray:
    """Derivative of the posterior mean from the density alone (planet, target, wavelength).

    It is the posterior's covariance of theta with the gradient of ln p(theta | spectrum), whose
    mean is zero.

    Parameters
    ----------
    theta
        Posterior samples (planet, sample, target).
    log_prob
        Makes the function of ln p at points (planet, target).
    """
    about = theta - theta.mean(axis=1, keepdims=True)
    n_samples = theta.shape[1]
    products = (
        about[:, number, :, None] * gradients(log_prob(theta[:, number]))
        for number in range(n_samples)
    )
    return np.add.reduce(list(products)) / (n_samples - 1)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The global generators of torch and NumPy, which captum draws from, seeded for a while."""
    state = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002


def _slopes(function: SpectrumFunction, rows: Tensor, depth: Tensor | None = None) -> Tensor:
    """Derivatives (row, output, wavelength) in depth units."""
    depth = (function.depth[rows] if depth is None else depth).clone().requires_grad_()
    values = function(depth, rows)
    columns = [
        torch.autograd.grad(values[:, output].sum(), depth, retain_graph=True)[0]
        for output in range(values.shape[1])
    ]
    return torch.stack(columns, dim=1)


def _chunks(function: SpectrumFunction, at_once: int) -> Iterator[Tensor]:
    yield from torch.arange(len(function.depth)).split(at_once)


def _joined(
    function: SpectrumFunction, one: Callable[[Tensor], Tensor], at_once: int = _ROWS_AT_ONCE
) -> np.ndarray:
    slopes = torch.cat([one(rows) for rows in _chunks(function, at_once)])
    return (slopes * function.error[:, None, :]).detach().numpy()


def _by_output(
    function: SpectrumFunction,
    one: Callable[[Tensor, int], Tensor],
    form: Form,
    at_once: int = _ROWS_AT_ONCE,
) -> np.ndarray:
    parts = [
        torch.stack([one(rows, output) for output in range(function.n_outputs)], dim=1).detach()
        for rows in _chunks(function, at_once)
    ]
    found = torch.cat(parts)
    return (found * function.error[:, None, :] if form == "slope" else found).numpy()
