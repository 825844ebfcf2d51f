"""Variational retrievals: known posteriors, evidence, counted calls, faults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import Quality, validate_posterior
from arielflow.data.forward_models import edition_model
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.evaluation.better_scores import weighted_ks_score
from arielflow.physics.forward import ForwardModel
from arielflow.physics.systems import Systems
from arielflow.retrieval.importance import ImportanceResult
from arielflow.retrieval.nested import retrieve
from arielflow.retrieval.planets import retrieve_planets
from arielflow.retrieval.posterior_flow import PosteriorFlow
from arielflow.retrieval.probit import ProbitPosterior, laplace
from arielflow.retrieval.variational import Variational, _bound, fit_variational
from arielflow.retrieval.variational_check import check_warning
from arielflow.settings.variational import VariationalSettings
from arielflow.simulation.library import TruthLibrary

SMALL = VariationalSettings(steps=150, batch=16, layers=2, hidden=16, n_elbo=1000, n_check=1500)
TINY = SMALL.model_copy(update={"steps": 5, "n_elbo": 50, "n_check": 150, "n_samples": 200})
DESIGN = np.array([[1.0, 0.4], [-0.3, 1.0], [0.5, 0.5]])


class Linear:
    """Depths linear in two targets; NaN where the first one exceeds ``stop``."""

    def __init__(self, planets: xr.Dataset, stop: float = np.inf) -> None:
        self.systems, self.rows, self.stop = Systems.of(planets), 0, stop

    def depths(self, planet: np.ndarray, theta: torch.Tensor) -> torch.Tensor:
        self.rows += len(theta)
        depths = theta.nan_to_num(neginf=0.0) @ torch.as_tensor(DESIGN.T)
        return torch.where(theta[:, :1] > self.stop, torch.nan, depths)


def linear_planets(truth: tuple[float, float]) -> xr.Dataset:
    """One planet whose prior is the unit square, its spectrum that of ``truth``."""
    depth = (DESIGN @ truth)[None]
    return xr.Dataset(
        {
            "transit_depth": (("planet", "wavelength"), depth),
            "transit_depth_error": (("planet", "wavelength"), np.full_like(depth, 0.1)),
            "prior_low": (("planet", "target"), np.zeros((1, 2))),
            "prior_high": (("planet", "target"), np.ones((1, 2))),
            "auxiliary_value": (("planet", "auxiliary"), np.empty((1, 0))),
        },
        coords={
            "planet": ["toy"],
            "target": ["T", "log_H2O"],
            "target_quantity": ("target", ["planet_temperature", "H2O"]),
            "auxiliary_quantity": ("auxiliary", np.empty(0, dtype=str)),
        },
        attrs={"edition": "toy"},
    )


def exact(planets: xr.Dataset, stop: float = 1.0) -> tuple[float, np.ndarray, np.ndarray]:
    """Log-evidence, mean and covariance of the linear planet, by a fine grid."""
    centres = (np.arange(800) + 0.5) / 800
    theta = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1).reshape(-1, 2)
    theta = theta[theta[:, 0] <= stop]
    residual = (theta @ DESIGN.T - planets["transit_depth"].values[0]) / 0.1
    density = np.exp(-0.5 * np.sum(residual**2, axis=1)) / (0.1 * np.sqrt(2 * np.pi)) ** 3
    weight = density / density.sum()
    mean = weight @ theta
    return np.log(density.sum() / 800**2), mean, np.cov(theta.T, aweights=weight, ddof=0)


@pytest.mark.parametrize("warm", [False, True])
def test_a_posterior_cut_by_its_prior_is_found_with_its_evidence(warm) -> None:
    planets = linear_planets((0.93, 0.4))
    log_evidence, mean, covariance = exact(planets)
    deviation = np.sqrt(np.diag(covariance))
    # As an amortised flow might have it: displaced and too wide, without the correlation.
    amortised = np.random.default_rng(0).normal(mean - 0.5 * deviation, 1.3 * deviation, (500, 2))
    start = amortised.clip(0, 1) if warm else None
    found = fit_variational(Linear(planets), 0, seed=1, settings=SMALL, start=start)
    assert found.elbo < log_evidence + 4 * found.elbo_error
    assert found.elbo == pytest.approx(log_evidence, abs=0.1)
    assert found.log_evidence == pytest.approx(log_evidence, abs=4 * found.log_evidence_error)
    assert found.log_evidence_error < 0.03
    np.testing.assert_allclose(found.theta.mean(axis=0), mean, atol=0.12 * deviation.min())
    ratio = np.cov(found.theta.T) / np.outer(deviation, deviation)
    np.testing.assert_allclose(ratio, covariance / np.outer(deviation, deviation), atol=0.15)
    assert (found.theta >= 0).all() and (found.theta <= 1).all()


class Shoulder:
    """Depths of a temperature and of the logarithm of an abundance, which shows above -6."""

    def __init__(self, planets: xr.Dataset) -> None:
        self.systems = Systems.of(planets)

    def depths(self, planet: np.ndarray, theta: torch.Tensor) -> torch.Tensor:
        signal = 10 ** (theta[:, 1:] + 6)
        return torch.cat([theta[:, :1], theta[:, :1] + signal], dim=1)


def test_the_plateau_of_a_non_detection_is_not_lost_or_a_warning_says_so() -> None:
    # A detection at two sigma: the prior below it, to -12, holds 43 per cent of the posterior.
    planets = linear_planets((0.5, 0.5)).isel(wavelength=slice(0, 2)).copy(deep=True)
    planets["transit_depth"].values[0] = 0.5, 0.7
    planets["transit_depth_error"].values[:] = 0.1 / np.sqrt(2)
    planets["prior_low"].values[0], planets["prior_high"].values[0] = (0, -12), (1, -1)
    axes = (np.linspace(low, high, 2000) for low, high in ((0, 1), (-12, -1)))
    grid = torch.cartesian_prod(*map(torch.as_tensor, axes))
    forward = Shoulder(planets)
    residual = (forward.depths(np.array(0), grid).numpy() - [0.5, 0.7]) / (0.1 / np.sqrt(2))
    density = np.exp(-0.5 * np.sum(residual**2, axis=1)) / (0.1 * np.sqrt(np.pi)) ** 2
    log_evidence = np.log(density.mean())
    share = density[grid[:, 1].numpy() < -8].sum() / density.sum()
    assert share > 0.4
    for seed in (1, 2):
        found = fit_variational(forward, 0, seed=seed, settings=SMALL)
        # The flow alone stays at the peak, and its own draws fit it well.
        assert found.elbo < log_evidence - 0.4 and found.elbo_error < 0.02
        assert "the flow misses up to" in found.warning
        assert found.log_evidence == pytest.approx(log_evidence, abs=3 * found.log_evidence_error)
        assert found.log_evidence_error < 0.06
        assert np.mean(found.theta[:, 1] < -8) == pytest.approx(share, abs=0.06)


@pytest.mark.parametrize(
    ("elbo", "shape", "effective", "expected"),
    [
        (-0.2, 0.5, 900, []),
        (-0.7, 0.5, 900, ["misses up to 50 % of the posterior"]),
        (0.5, 0.5, 900, ["bound is 0.50 above"]),
        (-0.2, 0.9, 20, ["Pareto shape is 0.90", "only 20 effective"]),
        (-0.2, np.nan, 900, ["Pareto shape is nan"]),
    ],
)
def test_a_warning_says_what_speaks_against_a_fit(elbo, shape, effective, expected) -> None:
    empty, rest = np.empty(0), {"likelihood_calls": 0, "seconds": 0.0}
    found = ImportanceResult(empty, empty, 0.0, 0.02, 0.0, effective, 0.3, shape, **rest)
    warning = check_warning(found, 0.0, elbo, 0.01)
    assert len(warning.split("; ")) == max(len(expected), 1) and bool(warning) == bool(expected)
    assert all(words in warning for words in expected)


@pytest.mark.slow
def test_a_planet_with_a_non_detection_agrees_with_nested_sampling(physics) -> None:
    planets = simulate_planets(
        get_edition("adc2023"),
        1,
        seed=2026,
        split="test",
        prior="wide",
        population="matched",
        physics=physics,
    )
    forward = ForwardModel(edition_model(get_edition("adc2023"), physics), planets)
    found = fit_variational(forward, 0, seed=2026)
    truth = retrieve(forward, 0, seed=1)
    width = planets["prior_high"].values[0] - planets["prior_low"].values[0]
    log_evidence = truth.log_evidence + truth.log_volume - np.sum(np.log(width))
    assert found.elbo < log_evidence - 0.15
    error = np.hypot(found.log_evidence_error, 1 / np.sqrt(truth.effective_samples))
    assert found.log_evidence == pytest.approx(log_evidence, abs=3 * error)
    ammonia = planets["target_quantity"].values.tolist().index("NH3")
    expected = truth.equal_weight_samples(4000, 1)[:, ammonia]
    assert np.mean(found.theta[:, ammonia] < -10.5) == pytest.approx(
        np.mean(expected < -10.5), abs=0.06
    )


def test_laplace_is_exact_where_the_model_is_linear_in_the_coordinates() -> None:
    planets = linear_planets((0.5, 0.5))
    forward = Linear(planets)
    forward.depths = lambda planet, theta: torch.special.ndtri(theta) @ torch.as_tensor(DESIGN.T)
    planets["transit_depth"].values[0] = DESIGN @ [0.8, -0.4]
    mean, covariance = laplace(ProbitPosterior(forward, 0), seed=1)
    precision = DESIGN.T @ DESIGN / 0.01 + np.eye(2)
    expected = np.linalg.solve(precision, DESIGN.T @ DESIGN @ [0.8, -0.4] / 0.01)
    np.testing.assert_allclose(mean, expected, atol=1e-6)
    np.testing.assert_allclose(covariance, np.linalg.inv(precision), rtol=1e-6)


def test_the_flow_is_a_density_and_begins_where_it_is_told_to() -> None:
    mean, covariance = torch.tensor([1.0, -2.0]).double(), torch.tensor([[2.0, 0.6], [0.6, 0.5]])
    flow = PosteriorFlow(mean, covariance.double(), {"layers": 2, "bins": 6, "hidden": 8})
    with torch.no_grad():
        # Away from the identity, so that a wrong slope of any layer would show.
        for value in flow.parameters():
            value += 0.1 * torch.randn_like(value)
        axis = torch.linspace(-14, 14, 701).double()
        grid = torch.cartesian_prod(axis, axis)
        mass = torch.exp(flow(grid)).sum() * (axis[1] - axis[0]) ** 2
        assert float(mass) == pytest.approx(1, abs=2e-3)
        base = torch.randn(50, 2).double()
        back, _ = flow.splines.inverse(flow.splines(base)[0])
        torch.testing.assert_close(back, base, rtol=0, atol=1e-7)


def test_every_forward_call_is_counted() -> None:
    forward = Linear(linear_planets((0.5, 0.4)))
    found = fit_variational(forward, 0, seed=1, settings=TINY)
    asked = TINY.steps * TINY.batch + TINY.n_elbo
    assert found.forward_calls == forward.rows > asked + TINY.n_check // 2
    forward.rows = 0
    samples = np.random.default_rng(0).random((300, 2))
    found = fit_variational(forward, 0, seed=1, settings=TINY, start=samples)
    assert asked < found.forward_calls == forward.rows <= asked + TINY.n_check
    assert len(found.history) == TINY.steps and found.seconds > 0


def test_the_seed_alone_decides_and_the_global_stream_is_left_alone() -> None:
    planets = linear_planets((0.5, 0.4))
    state = torch.get_rng_state()
    first = fit_variational(Linear(planets), 0, seed=1, settings=TINY)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    again, other = (
        fit_variational(Linear(planets), 0, seed=seed, settings=TINY) for seed in (1, 2)
    )
    np.testing.assert_array_equal(first.theta, again.theta)
    assert first.elbo == again.elbo != other.elbo
    assert first.log_evidence == again.log_evidence != other.log_evidence


def test_rows_without_a_spectrum_are_cut_out() -> None:
    planets, stop = linear_planets((0.5, 0.4)), 0.6
    posterior = ProbitPosterior(Linear(planets, stop), 0)
    shape = {"layers": 2, "bins": 8, "hidden": 8}
    flow = PosteriorFlow(torch.zeros(2).double(), torch.eye(2).double(), shape)
    base = torch.randn(64, 2, dtype=torch.float64)
    good = posterior.log_likelihood(flow.push(base).detach())[1]
    assert 10 < good.sum() < 60
    gradients = []
    for rows in (base, base[good]):
        flow.zero_grad()
        _bound(flow, posterior, rows, 1.0).backward()
        gradients.append(torch.cat([p.grad.ravel() for p in flow.parameters()]))
    assert torch.isfinite(gradients[0]).all() and gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients)
    found = fit_variational(Linear(planets, stop), 0, seed=1, settings=SMALL)
    log_evidence, *_ = exact(planets, stop)
    assert log_evidence - 0.3 < found.elbo < log_evidence + 4 * found.elbo_error
    assert found.log_evidence == pytest.approx(log_evidence, abs=4 * found.log_evidence_error)
    assert (found.theta[:, 0] <= stop).all()


def test_absent_molecules_lower_the_dimension_and_faults_are_told() -> None:
    planets = linear_planets((0.5, 0.0))
    found = fit_variational(Linear(planets), 0, seed=1, settings=SMALL, absent=["H2O"])
    assert np.isneginf(found.theta[:, 1]).all()
    precision = np.sum(DESIGN[:, 0] ** 2) / 0.01
    assert found.theta[:, 0].std() == pytest.approx(precision**-0.5, rel=0.1)
    peak = -3 * np.log(0.1 * np.sqrt(2 * np.pi))
    log_evidence = peak + 0.5 * np.log(2 * np.pi / precision)
    assert found.elbo == pytest.approx(log_evidence, abs=0.05)
    with pytest.raises(ArielflowError, match="absent molecule CO2"):
        fit_variational(Linear(planets), 0, seed=1, absent=["CO2"])
    with pytest.raises(ArielflowError, match="no spectrum at any"):
        fit_variational(Linear(planets, stop=-1), 0, seed=1)


def test_a_bad_planet_does_not_sink_the_others(simulated, physics) -> None:
    planets = simulated.isel(planet=slice(0, 2)).copy(deep=True)
    planets["transit_depth_error"] *= 20
    planets["transit_depth"].values[1] = np.nan
    options = {"physics": physics, "seed": 3, "n_samples": 150}
    method = Variational(TINY.model_copy(update={"n_samples": 150}))
    edition = get_edition("adc2023")
    unflagged = retrieve_planets(edition, planets, method, **options)
    assert "not finite" in str(unflagged["fault"].values[1])
    planets["quality"].values[1] = Quality.NON_FINITE_SPECTRUM
    posterior = retrieve_planets(edition, planets, method, **options)
    validate_posterior(posterior)
    assert posterior["retrieved"].values.tolist() == [1, 0]
    assert posterior["fault"].values.tolist() == ["", "unusable data (non finite spectrum)"]
    assert np.isfinite(posterior["elbo"].values).tolist() == [True, False]
    assert posterior["likelihood_calls"].values[0] > 130 > posterior["likelihood_calls"].values[1]
    low, high = (planets[f"prior_{edge}"].values[1] for edge in ("low", "high"))
    share = (posterior["theta"].values[1] - low) / (high - low)
    assert (share > 0).all() and (share < 1).all() and 0.4 < share.mean() < 0.6
    alone = retrieve_planets(edition, planets.isel(planet=[0]), method, **options)
    np.testing.assert_array_equal(posterior["theta"][0], alone["theta"][0])
    assert np.isfinite(posterior["log_evidence_error"].values).tolist() == [True, False]
    assert "effective" in posterior["warning"].values[0] and not posterior["warning"].values[1]
    expected = {"edition": "adc2023", "prior": planets.attrs["prior"], "seed": 3, "n_check": 150}
    assert posterior.attrs.items() >= expected.items()
    with pytest.raises(ArielflowError, match="start posterior"):
        retrieve_planets(edition, planets, replace(method, start=alone), **options)
    with pytest.raises(ArielflowError, match="151 samples asked for"):
        retrieve_planets(edition, planets, method, **options | {"n_samples": 151})


def test_a_small_budget_comes_close_to_the_shipped_truth(physics, request) -> None:
    planets = simulate_planets(
        get_edition("adc2023"), 1, seed=2026, split="test", prior="matched", physics=physics
    )
    library = TruthLibrary(request.config.rootpath / "data/embedded/truth.h5")
    truth = library.look_up(planets, "test", "truth")
    cost = next(c for c in library.costs() if (c["split"], c["run"]) == ("test", "truth"))
    forward = ForwardModel(edition_model(get_edition("adc2023"), physics), planets)
    settings = VariationalSettings(steps=100, batch=16, n_elbo=256, layers=2)
    found = fit_variational(forward, 0, seed=1, settings=settings)
    weights = (np.full(len(x), 1 / len(x)) for x in (found.theta, truth))
    bounds = planets["score_low"].values, planets["score_high"].values
    score = weighted_ks_score(found.theta, next(weights), truth, next(weights), *bounds)
    assert score.score > 850
    log_evidence = cost["log_evidence"] + ProbitPosterior(forward, 0).log_share
    assert log_evidence - 2 < found.elbo < log_evidence + 0.3
    assert found.log_evidence == pytest.approx(log_evidence, abs=0.15)
    assert found.forward_calls == forward.transmission.calls < 6600
