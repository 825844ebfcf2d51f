"""Methods for one spectrum: importance sampling, a variational flow, nested sampling.

Importance sampling starts from the posterior's Laplace approximation, widened, and refines its
proposal, in the coordinates of :mod:`arielflow.retrieval.spectra.sheared`; where that is not enough
nested sampling takes over, in the same coordinates. Nested sampling that is asked for samples the
priors' own, so that it is a check on them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np
from scipy.special import gammaln
from scipy.stats import qmc
from torch import Tensor

from arielflow.core.errors import ArielflowError
from arielflow.core.samples import choose_weighted, effective_sample_size, resample
from arielflow.core.seeds import derived_seed, fingerprint
from arielflow.retrieval.importance import importance_sampling
from arielflow.retrieval.nested import NestedProgress, nested_sampling
from arielflow.retrieval.probit import laplace
from arielflow.retrieval.proposals import Box
from arielflow.retrieval.spectra.model import SpectrumModel, SpectrumPosterior
from arielflow.retrieval.spectra.sheared import ShearedModel
from arielflow.retrieval.variational import fit_posterior
from arielflow.settings.importance import FallbackSettings, ImportanceSettings
from arielflow.settings.nested import NestedSettings
from arielflow.settings.variational import VariationalSettings

log = logging.getLogger(__name__)

MethodName = Literal["importance", "variational", "nested"]
Say = Callable[[str], None]
"""Told, now and then, how far a retrieval is."""

SPECTRUM_SETTINGS = ImportanceSettings(
    n_proposal=2048,
    n_refined=3000,
    n_redrawn=500,
    rounds=6,
    effective_aim=2500,
    most_draws=36_000,
    defensive_share=0.2,
    widening=1.7,
)
"""Of importance sampling from a Laplace approximation, a poorer start than a trained flow's."""

SPECTRUM_FALLBACK = FallbackSettings(efficiency=0.005)
"""Some 200 effective samples of the most draws: simulated spectra at 0.007 had quantiles and
evidence as by nested sampling (``benchmarks/own_spectra.py``)."""

# A proposal should be wider than its target, and have heavier tails.
_WIDENED, _FREEDOM = 2.5, 5.0
_LONGEST_AXIS = 1.0
# Clouds and tables make many local maxima, of which a spectrum of many points has steep ones.
_SCREENED, _STARTS = 512, 8
_KEPT_DRAWS = 1000


@dataclass(frozen=True)
class SpectrumResult:
    """A posterior of one spectrum.

    Attributes
    ----------
    model : SpectrumModel
        What was retrieved with.
    method : str
        ``importance``, ``variational`` or ``nested``: which gave the samples.
    samples : np.ndarray
        Equally weighted samples (sample, parameter) of what is sampled, in random order.
    draws, draw_weight : np.ndarray
        At most a thousand of the method's own draws (draw, parameter), and their weights (draw,),
        which sum to one.
    log_evidence, log_evidence_error : float
        Natural logarithm of the evidence under the priors, and its standard error.
    effective_samples : float
        Kish's number of the weighted draws.
    sampling_efficiency, pareto_shape : float
        Of the importance weights; NaN for nested sampling.
    spectra : int
        Spectra that were computed.
    seconds : float
        Wall-clock time.
    notes : tuple[str, ...]
        What a reader of the result should know.
    """

    model: SpectrumModel
    method: MethodName
    samples: np.ndarray
    draws: np.ndarray
    draw_weight: np.ndarray
    log_evidence: float
    log_evidence_error: float
    effective_samples: float
    sampling_efficiency: float
    pareto_shape: float
    spectra: int
    seconds: float
    notes: tuple[str, ...] = ()


def retrieve_spectrum(
    model: SpectrumModel,
    method: MethodName = "importance",
    *,
    seed: int,
    n_samples: int = 4000,
    importance: ImportanceSettings = SPECTRUM_SETTINGS,
    fallback: FallbackSettings | None = SPECTRUM_FALLBACK,
    nested: NestedSettings | None = None,
    checkpoints: Path | None = None,
    say: Say | None = None,
) -> SpectrumResult:
    """Retrieve one spectrum.

    Parameters
    ----------
    model
        From :func:`arielflow.retrieval.spectra.setup.prepared_model`.
    method
        ``importance`` sampling, with nested sampling where it falls short; a ``variational`` flow,
        its draws weighted; or ``nested`` sampling.
    seed
        Of everything random.
    n_samples
        Equally weighted samples to keep.
    importance, fallback, nested
        Settings of importance sampling, when its weights are not enough (None: they always are),
        and of nested sampling.
    checkpoints
        Folder from which an interrupted nested sampling resumes.
    say
        Told how far it is.

    Raises
    ------
    ArielflowError
        The model has no spectrum anywhere in the prior, or sampling did not end.
    """
    if model.dimension == 0:
        raise ArielflowError(
            "planet file: every parameter is fixed; give at least one a prior, such as "
            "{uniform: [500 K, 2000 K]}"
        )
    say, started = say or (lambda text: None), perf_counter()
    before = model.calls
    if method == "nested":
        found = _nested(model, model, seed, n_samples, nested, checkpoints, say)
    elif method == "variational":
        found = _variational(model, seed, n_samples, say)
    else:
        found = _importance_or_nested(
            model, seed, n_samples, importance, fallback, nested, checkpoints, say
        )
    return replace(found, spectra=model.calls - before, seconds=perf_counter() - started)


def trusted(found: SpectrumResult, fallback: FallbackSettings | None) -> bool:
    """Whether importance sampling's result may stand."""
    return fallback is None or (
        found.sampling_efficiency >= fallback.efficiency
        and found.pareto_shape <= fallback.pareto_shape
    )


def _why(found: SpectrumResult) -> str:
    return f"efficiency {found.sampling_efficiency:.3f}, Pareto shape {found.pareto_shape:.2f}"


class LaplaceProposal:
    """A multivariate Student density around the most probable point, in shares of the priors."""

    def __init__(self, mode: Tensor, covariance: Tensor) -> None:
        # Along what the data do not constrain the prior, of unit variance, is the limit.
        values, vectors = np.linalg.eigh(covariance.numpy())
        values = np.clip(values, 1e-10, _LONGEST_AXIS) * _WIDENED
        self._mode, self._factor = mode.numpy(), vectors * np.sqrt(values)
        self._inverse = (vectors / np.sqrt(values)).T
        self._log_volume = 0.5 * float(np.sum(np.log(values)))
        self._box = Box(np.zeros(len(mode)), np.ones(len(mode)))

    def draw(self, n: int, seed: int) -> np.ndarray:
        """Shares (n, parameter)."""
        dimension = len(self._mode)
        # Sobol's points are balanced in powers of two.
        count = 1 << (n - 1).bit_length()
        normal = qmc.MultivariateNormalQMC(np.zeros(dimension), seed=seed).random(count)[:n]
        rng = np.random.default_rng(seed)
        stretch = np.sqrt(_FREEDOM / rng.chisquare(_FREEDOM, (n, 1)))
        return self._box.theta(self._mode + normal * stretch @ self._factor.T)

    def log_prob(self, share: np.ndarray) -> np.ndarray:
        """Natural log-densities (n,) at shares (n, parameter)."""
        coordinates = self._box.coordinates(share)
        scaled = (coordinates - self._mode) @ self._inverse.T
        size = len(self._mode)
        constant = gammaln((_FREEDOM + size) / 2) - gammaln(_FREEDOM / 2)
        constant -= size / 2 * np.log(_FREEDOM * np.pi) + self._log_volume
        tail = np.log1p(np.sum(scaled**2, axis=1) / _FREEDOM)
        return constant - (_FREEDOM + size) / 2 * tail + self._box.log_slope(coordinates)


def _importance_or_nested(
    model: SpectrumModel,
    seed: int,
    n_samples: int,
    settings: ImportanceSettings,
    fallback: FallbackSettings | None,
    nested: NestedSettings | None,
    checkpoints: Path | None,
    say: Say,
) -> SpectrumResult:
    cube: ShearedModel | SpectrumModel = model
    try:
        say("looking for the best fit")
        posterior = SpectrumPosterior(model)
        mode, covariance = _best_fit(posterior, seed)
        cube = ShearedModel(model, posterior.theta(mode[None])[0])
        proposal = LaplaceProposal(*cube.start(mode, covariance))
        found = _importance(model, cube, proposal, seed, n_samples, settings, say)
        if trusted(found, fallback):
            return found
        why = _why(found)
    except (ArielflowError, np.linalg.LinAlgError) as error:
        why = str(error)
    say(f"importance sampling is not enough ({why}); nested sampling takes over")
    log.info("importance sampling is not enough (%s)", why)
    found = _nested(model, cube, seed, n_samples, nested, checkpoints, say)
    note = f"nested sampling took over from importance sampling ({why})"
    return replace(found, notes=(*found.notes, note))


def _importance(
    model: SpectrumModel,
    sheared: ShearedModel,
    proposal: LaplaceProposal,
    seed: int,
    n_samples: int,
    settings: ImportanceSettings,
    say: Say,
) -> SpectrumResult:
    say("importance sampling")
    found = importance_sampling(
        _reported(sheared, model, say),
        proposal.draw(settings.n_proposal, derived_seed(seed, "proposal")),
        proposal.log_prob,
        np.zeros(sheared.dimension),
        np.ones(sheared.dimension),
        seed=seed,
        settings=settings,
    )
    chosen = _resampled(found.theta, found.weight, n_samples, seed)
    kept, weight = _kept(found.weight, seed)
    return SpectrumResult(
        model=model,
        method="importance",
        samples=sheared.sampled(chosen).numpy(),
        draws=sheared.sampled(found.theta[kept]).numpy(),
        draw_weight=weight,
        log_evidence=found.log_evidence,
        log_evidence_error=found.log_evidence_error,
        effective_samples=found.effective_samples,
        sampling_efficiency=found.sampling_efficiency,
        pareto_shape=found.pareto_shape,
        spectra=0,
        seconds=0.0,
    )


def _best_fit(posterior: SpectrumPosterior, seed: int) -> tuple[Tensor, Tensor]:
    return laplace(posterior, seed, screened=_SCREENED, starts=_STARTS)


def _variational(model: SpectrumModel, seed: int, n_samples: int, say: Say) -> SpectrumResult:
    say("fitting a flow")
    settings = VariationalSettings(n_samples=n_samples)
    found = fit_posterior(SpectrumPosterior(model), seed=seed, settings=settings)
    return SpectrumResult(
        model=model,
        method="variational",
        samples=found.theta,
        draws=found.theta[:_KEPT_DRAWS],
        draw_weight=np.full(min(n_samples, _KEPT_DRAWS), 1 / min(n_samples, _KEPT_DRAWS)),
        log_evidence=found.log_evidence,
        log_evidence_error=found.log_evidence_error,
        effective_samples=found.sampling_efficiency * (settings.n_elbo + settings.n_check),
        sampling_efficiency=found.sampling_efficiency,
        pareto_shape=found.pareto_shape,
        spectra=0,
        seconds=0.0,
        notes=(found.warning,) if found.warning else (),
    )


def _nested(
    model: SpectrumModel,
    cube: ShearedModel | SpectrumModel,
    seed: int,
    n_samples: int,
    settings: NestedSettings | None,
    checkpoints: Path | None,
    say: Say,
) -> SpectrumResult:
    settings = settings or NestedSettings()

    def report(state: NestedProgress) -> None:
        part = f"{state.effective_samples:.0f} of {state.n_effective} effective samples"
        part = part if state.effective_samples else "exploring"
        say(f"nested sampling: {state.likelihood_calls:,} spectra, {part}")

    found = nested_sampling(
        cube.log_likelihood,
        np.zeros(cube.dimension),
        np.ones(cube.dimension),
        seed=seed,
        settings=settings,
        checkpoint=checkpoints and checkpoints / f"{_mark(model, cube, seed, settings)}.h5",
        progress=report,
    )
    chosen = _resampled(found.theta, found.weight, n_samples, seed)
    kept, weight = _kept(found.weight, seed)
    # nautilus tells no error of the evidence; this is that of as many effective samples.
    return SpectrumResult(
        model=model,
        method="nested",
        samples=cube.sampled(chosen).numpy(),
        draws=cube.sampled(found.theta[kept]).numpy(),
        draw_weight=weight,
        log_evidence=found.log_evidence,
        log_evidence_error=float(1 / np.sqrt(effective_sample_size(found.weight))),
        effective_samples=found.effective_samples,
        sampling_efficiency=np.nan,
        pareto_shape=np.nan,
        spectra=0,
        seconds=0.0,
    )


def _mark(
    model: SpectrumModel, cube: ShearedModel | SpectrumModel, seed: int, settings: NestedSettings
) -> str:
    """What a checkpoint belongs to."""
    spectrum, described = model.spectrum, model.description
    arrays = [spectrum.wavelength_um, spectrum.width_um, spectrum.depth]
    arrays += [spectrum.error_low, spectrum.error_high]
    rest = [seed, settings.model_dump(), repr(replace(described, notes=()))]
    if cube is not model:
        rest.append(repr(cube))
    return fingerprint(*(np.array(a) for a in arrays), rest)


def _resampled(cube: np.ndarray, weight: np.ndarray, n_samples: int, seed: int) -> np.ndarray:
    """Equally weighted points (n_samples, parameter) of a cube, in random order."""
    rng = np.random.default_rng([seed, 1])
    return rng.permutation(resample(cube, weight, n_samples, rng))


def _kept(weight: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which draws are kept, and with which weights."""
    return choose_weighted(weight, _KEPT_DRAWS, np.random.default_rng([seed, 2]))


def _reported(
    sheared: ShearedModel, model: SpectrumModel, say: Say
) -> Callable[[np.ndarray], np.ndarray]:
    def log_likelihood(cube: np.ndarray) -> np.ndarray:
        found = sheared.log_likelihood(cube)
        say(f"importance sampling: {model.calls:,} spectra")
        return found

    return log_likelihood
