"""Variational retrievals: known posteriors, evidence, counted calls, faults; model selection."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from scipy.integrate import quad
from typer.testing import CliRunner

from arielflow import select_model
from arielflow.cli import app
from arielflow.edition_physics import edition_model
from arielflow.editions import get_edition
from arielflow.editions.official_files import write_official
from arielflow.errors import ArielflowError
from arielflow.inference import model_selection
from arielflow.inference.model_selection import (
    FLAT_LINE,
    Selection,
    flat_line_log_evidence,
    select_molecules,
)
from arielflow.inference.posterior_flow import PosteriorFlow
from arielflow.inference.probit import ProbitPosterior, laplace
from arielflow.inference.variational import VariationalSettings, _bound, fit_variational
from arielflow.physics.forward import ForwardModel
from arielflow.retrieve_variational import variational_posteriors
from arielflow.schema import Quality, auxiliary_values, validate_posterior
from arielflow.scoring.extra import weighted_ks_score
from arielflow.simulate import simulate_planets
from arielflow.truth_library import TruthLibrary

SMALL = VariationalSettings(steps=150, batch=16, layers=2, hidden=16, n_elbo=1000)
TINY = replace(SMALL, steps=5, n_elbo=50, n_samples=200)
DESIGN = np.array([[1.0, 0.4], [-0.3, 1.0], [0.5, 0.5]])


class Linear:
    """Depths linear in two targets; NaN where the first one exceeds ``stop``."""

    def __init__(self, stop: float = np.inf) -> None:
        self.rows, self.stop = 0, stop

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
        },
        coords={
            "planet": ["toy"],
            "target": ["T", "log_H2O"],
            "target_quantity": ("target", ["planet_temperature", "H2O"]),
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
    found = fit_variational(Linear(), planets, 0, seed=1, settings=SMALL, start=start)
    assert found.elbo < log_evidence + 4 * found.elbo_error
    assert found.elbo == pytest.approx(log_evidence, abs=0.1)
    np.testing.assert_allclose(found.theta.mean(axis=0), mean, atol=0.12 * deviation.min())
    ratio = np.cov(found.theta.T) / np.outer(deviation, deviation)
    np.testing.assert_allclose(ratio, covariance / np.outer(deviation, deviation), atol=0.15)
    assert (found.theta >= 0).all() and (found.theta <= 1).all()


def test_laplace_is_exact_where_the_model_is_linear_in_the_coordinates() -> None:
    planets, forward = linear_planets((0.5, 0.5)), Linear()
    forward.depths = lambda planet, theta: torch.special.ndtri(theta) @ torch.as_tensor(DESIGN.T)
    planets["transit_depth"].values[0] = DESIGN @ [0.8, -0.4]
    mean, covariance = laplace(ProbitPosterior(forward, planets, 0), seed=1)
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
    planets, forward = linear_planets((0.5, 0.4)), Linear()
    found = fit_variational(forward, planets, 0, seed=1, settings=TINY)
    assert found.forward_calls == forward.rows > TINY.steps * TINY.batch + TINY.n_elbo
    forward.rows = 0
    samples = np.random.default_rng(0).random((300, 2))
    found = fit_variational(forward, planets, 0, seed=1, settings=TINY, start=samples)
    assert found.forward_calls == forward.rows == TINY.steps * TINY.batch + TINY.n_elbo
    assert len(found.history) == TINY.steps and found.seconds > 0


def test_the_seed_alone_decides_and_the_global_stream_is_left_alone() -> None:
    planets = linear_planets((0.5, 0.4))
    state = torch.get_rng_state()
    first = fit_variational(Linear(), planets, 0, seed=1, settings=TINY)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    again, other = (
        fit_variational(Linear(), planets, 0, seed=seed, settings=TINY) for seed in (1, 2)
    )
    np.testing.assert_array_equal(first.theta, again.theta)
    assert first.elbo == again.elbo != other.elbo


def test_rows_without_a_spectrum_are_cut_out() -> None:
    planets, stop = linear_planets((0.5, 0.4)), 0.6
    posterior = ProbitPosterior(Linear(stop), planets, 0)
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
    found = fit_variational(Linear(stop), planets, 0, seed=1, settings=SMALL)
    log_evidence, *_ = exact(planets, stop)
    assert log_evidence - 0.3 < found.elbo < log_evidence + 4 * found.elbo_error


def test_absent_molecules_lower_the_dimension_and_faults_are_told() -> None:
    planets = linear_planets((0.5, 0.0))
    found = fit_variational(Linear(), planets, 0, seed=1, settings=SMALL, absent=["H2O"])
    assert np.isneginf(found.theta[:, 1]).all()
    precision = np.sum(DESIGN[:, 0] ** 2) / 0.01
    assert found.theta[:, 0].std() == pytest.approx(precision**-0.5, rel=0.1)
    peak = -3 * np.log(0.1 * np.sqrt(2 * np.pi))
    log_evidence = peak + 0.5 * np.log(2 * np.pi / precision)
    assert found.elbo == pytest.approx(log_evidence, abs=0.05)
    with pytest.raises(ArielflowError, match="absent molecule CO2"):
        fit_variational(Linear(), planets, 0, seed=1, absent=["CO2"])
    with pytest.raises(ArielflowError, match="no spectrum at any"):
        fit_variational(Linear(stop=-1), planets, 0, seed=1)


def test_a_bad_planet_does_not_sink_the_others(simulated, physics) -> None:
    planets = simulated.isel(planet=slice(0, 2)).copy(deep=True)
    planets["transit_depth_error"] *= 20
    planets["transit_depth"].values[1] = np.nan
    options = {"physics": physics, "seed": 3, "settings": TINY, "n_samples": 150}
    unflagged = variational_posteriors(get_edition("adc2023"), planets, **options)
    assert "not finite" in str(unflagged["fault"].values[1])
    planets["quality"].values[1] = Quality.NON_FINITE_SPECTRUM
    posterior = variational_posteriors(get_edition("adc2023"), planets, **options)
    validate_posterior(posterior)
    assert posterior["retrieved"].values.tolist() == [1, 0]
    assert posterior["fault"].values.tolist() == ["", "unusable data (non finite spectrum)"]
    assert np.isfinite(posterior["elbo"].values).tolist() == [True, False]
    assert posterior["likelihood_calls"].values[0] > 130 > posterior["likelihood_calls"].values[1]
    low, high = (planets[f"prior_{edge}"].values[1] for edge in ("low", "high"))
    share = (posterior["theta"].values[1] - low) / (high - low)
    assert (share > 0).all() and (share < 1).all() and 0.4 < share.mean() < 0.6
    alone = variational_posteriors(get_edition("adc2023"), planets.isel(planet=[0]), **options)
    np.testing.assert_array_equal(posterior["theta"][0], alone["theta"][0])
    with pytest.raises(ArielflowError, match="start posterior"):
        variational_posteriors(get_edition("adc2023"), planets, start=alone, **options)


def test_a_small_budget_comes_close_to_the_shipped_truth(physics, request) -> None:
    planets = simulate_planets(
        get_edition("adc2023"), 1, seed=2026, split="test", prior="matched", physics=physics
    )
    library = TruthLibrary(request.config.rootpath / "data/embedded/truth.h5")
    truth = library.look_up(planets, "test", "truth")
    cost = next(c for c in library.costs() if (c["split"], c["run"]) == ("test", "truth"))
    forward = ForwardModel(edition_model(get_edition("adc2023"), physics), planets)
    settings = VariationalSettings(steps=100, batch=16, n_elbo=256, layers=2)
    found = fit_variational(forward, planets, 0, seed=1, settings=settings)
    weights = (np.full(len(x), 1 / len(x)) for x in (found.theta, truth))
    bounds = planets["score_low"].values, planets["score_high"].values
    score = weighted_ks_score(found.theta, next(weights), truth, next(weights), *bounds)
    assert score.score > 850
    log_evidence = cost["log_evidence"] + ProbitPosterior(forward, planets, 0).log_share
    assert log_evidence - 2 < found.elbo < log_evidence + 0.3
    assert found.forward_calls == forward.transmission.calls < 3000


def test_flat_line_evidence_is_the_integral_over_the_radius(simulated) -> None:
    planets = simulated.isel(planet=[0]).copy(deep=True)
    star = auxiliary_values(planets, "star_radius_m")[0]
    depth, error = np.full(52, 0.01), planets["transit_depth_error"].values[0]
    planets["transit_depth"].values[0] = depth + error * np.random.default_rng(1).normal(size=52)
    low, high = model_selection._radius_range_m(planets, 0)
    peak = np.sum(-0.5 * ((0.01 - planets["transit_depth"].values[0]) / error) ** 2)

    def likelihood(radius: float) -> float:
        residual = ((radius / star) ** 2 - planets["transit_depth"].values[0]) / error
        return np.exp(-0.5 * np.sum(residual**2) - peak)

    middle = 0.1 * star
    integral = quad(likelihood, 0.9 * middle, 1.1 * middle, points=[middle], limit=500)[0]
    expected = np.log(integral / (high - low)) + peak - np.log(error * np.sqrt(2 * np.pi)).sum()
    assert flat_line_log_evidence(planets, 0) == pytest.approx(expected, abs=1e-3)
    planets["transit_depth"].values[0] = 0.9
    assert flat_line_log_evidence(planets, 0) == -np.inf


@pytest.mark.parametrize(
    ("gains", "flat", "expected"),
    [
        ({"H2O": 30.0, "CH4": 4.0, "CO": -0.6, "CO2": 0.3}, -50.0, ("H2O", "CH4")),
        ({"H2O": 2.0, "CH4": 1.0, "CO": -0.5, "CO2": -0.5}, -50.0, ()),
        ({"H2O": 3.0, "CH4": -1.0, "CO": -0.5, "CO2": -0.5}, 2.0, ()),
        ({"H2O": 90.0, "CH4": 90.0, "CO": 90.0, "CO2": 90.0}, -50.0, ("H2O", "CO2", "CO", "CH4")),
    ],
)
def test_the_search_keeps_what_earns_its_place(gains, flat, expected, monkeypatch) -> None:
    tried = []

    def fit(forward, planets, planet, *, seed, settings, absent) -> SimpleNamespace:
        tried.append(tuple(sorted(absent)))
        elbo = sum(gain for name, gain in gains.items() if name not in absent)
        return SimpleNamespace(elbo=elbo, elbo_error=0.1, forward_calls=7, seconds=1.0)

    monkeypatch.setattr(model_selection, "fit_variational", fit)
    monkeypatch.setattr(model_selection, "flat_line_log_evidence", lambda *arguments: flat)
    molecules = ("H2O", "CO2", "CO", "CH4")
    forward = SimpleNamespace(transmission=SimpleNamespace(molecules=molecules))
    found = select_molecules(forward, None, 0, seed=1)
    assert found.molecules == expected
    assert len(set(tried)) == len(tried) <= 16
    assert all((name,) in tried for name in molecules)
    table = found.table.set_index("model")
    assert table["selected"].sum() == 1
    assert (table.index[table["selected"]][0] == FLAT_LINE) == (flat > -50)
    assert table["log_bayes_factor"].max() == 0
    assert table.loc["without H2O", "elbo"] == pytest.approx(sum(gains.values()) - gains["H2O"])


def test_the_command_writes_the_table_and_names_bad_planets(
    simulated, opacities, tmp_path, monkeypatch
) -> None:
    planets = simulated.isel(planet=slice(0, 2)).copy(deep=True)
    planets["planet"] = ["test1", "test2"]
    planets["transit_depth"].values[1] = np.nan
    write_official(tmp_path, get_edition("adc2023"), "test", planets)
    columns = {"model": ["flat line", "all molecules"], "elbo": [1.0, 9.0], "elbo_error": 0.1}
    columns |= {"log_bayes_factor": [-8.0, 0.0], "forward_calls": 5, "selected": [False, True]}
    fake = Selection(("H2O",), pd.DataFrame(columns))
    monkeypatch.setattr(select_model, "select_molecules", lambda *arguments, **options: fake)
    command = ["select-model", str(tmp_path), "--edition", "adc2023", "--opacities", str(opacities)]
    command += ["--planet", "test1", "--planet", "test2", "--output", str(tmp_path / "out.csv")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "selected" in done.output and "-8.00" in done.output
    assert "test2: no comparison (unusable data" in done.output
    written = pd.read_csv(tmp_path / "out.csv")
    assert written["planet"].tolist() == ["test1", "test1"]
    assert written["selected"].tolist() == [False, True]


@pytest.mark.slow
@pytest.mark.parametrize("present", list(combinations(("H2O", "CH4", "CO2"), 2)))
def test_detectable_molecules_are_found_and_no_others(simulated, physics, present) -> None:
    planets = simulated.isel(planet=[0]).copy(deep=True)
    forward = ForwardModel(edition_model(get_edition("adc2023"), physics), planets)
    theta = planets["theta"].values
    abundance = {"H2O": -3.5, "CH4": -3.5, "CO2": -5.0}
    for column, quantity in enumerate(planets["target_quantity"].values):
        if quantity in forward.transmission.molecules:
            theta[0, column] = abundance[quantity] if quantity in present else -np.inf
    planets["transit_depth"].values[:] = forward.spectra(0, theta)
    found = select_molecules(forward, planets, 0, seed=1)
    assert set(found.molecules) == set(present)
