"""Planets that no prior draw can explain end in one line; how well a spectrum is met is told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import Quality, auxiliary_values, posterior_dataset, target_index
from arielflow.data.forward_models import edition_model
from arielflow.editions import get_edition
from arielflow.models import make_estimator
from arielflow.models.ensemble import Ensemble
from arielflow.physics.forward import ForwardModel
from arielflow.physics.systems import Systems
from arielflow.retrieval import nested
from arielflow.retrieval.amortised import Fallback, importance_posteriors
from arielflow.retrieval.fit_check import POOR_FIT, with_fit_check
from arielflow.retrieval.likelihood import gaussian_log_likelihood, sampling_box
from arielflow.retrieval.nested import Nested, nested_sampling, retrieve
from arielflow.retrieval.planets import retrieve_planets
from arielflow.retrieval.summary import summarise, summary_lines
from arielflow.retrieval.variational import Variational, fit_variational
from arielflow.settings.importance import ImportanceSettings
from arielflow.settings.nested import NestedSettings
from arielflow.settings.variational import VariationalSettings

QUICK = NestedSettings(n_live=60, n_effective=150, n_batch=128, n_networks=0)


@pytest.fixture
def planet(simulated) -> xr.Dataset:
    return simulated.isel(planet=[4]).copy(deep=True)


@pytest.fixture
def forward(planet, physics) -> ForwardModel:
    return ForwardModel(edition_model(get_edition("adc2023"), physics), planet)


def _set(planet: xr.Dataset, quantity: str, value: float) -> xr.Dataset:
    auxiliary_values(planet, quantity)[0] = value  # a view of the dataset's own array
    return planet


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: _set(p, "star_radius_m", 1.1), "Jupiter radii, the prior has 0.1 to 3"),
        (lambda p: _set(p, "star_radius_m", 1.1e12), "Jupiter radii, the prior has 0.1 to 3"),
        (lambda p: p.assign(transit_depth=p["transit_depth"] * 1e6), "the prior has 0.1 to 3"),
        (lambda p: _set(p, "planet_mass_kg", -1e27), "check the units"),
        (lambda p: _set(p, "planet_mass_kg", np.nan), "check the units"),
        (lambda p: p.assign(prior_low=p["prior_high"]), "prior"),
    ],
)
def test_a_spectrum_that_no_radius_of_the_prior_explains_is_refused(planet, change, words) -> None:
    with pytest.raises(ArielflowError, match=words) as fault:
        sampling_box(Systems.of(change(planet)), 0)
    assert "\n" not in str(fault.value)
    assert str(planet["planet"].values[0]) in str(fault.value)


def test_a_planet_without_any_spectrum_stops_the_sampler(planet, physics) -> None:
    _set(planet, "planet_mass_kg", 0.8)  # in Jupiter masses: every atmosphere runs away
    forward = ForwardModel(edition_model(get_edition("adc2023"), physics), planet)
    with pytest.raises(ArielflowError, match=r"none of \d+ draws .*observed depth .*the model's"):
        retrieve(forward, 0, seed=1, settings=QUICK)
    with pytest.raises(ArielflowError):
        fit_variational(forward, 0, seed=1)
    assert forward.transmission.calls < 10_000


def test_sampling_without_an_end_is_stopped(monkeypatch) -> None:
    monkeypatch.setattr(nested, "_MOST_CALLS", 3000)
    monkeypatch.setattr(nested, "_MOST_CALLS_PER_LIVE_POINT", 1)
    low, high = np.zeros(2), np.ones(2)
    with pytest.raises(ArielflowError, match="has not ended after"):
        nested_sampling(
            # A plateau with a needle: the live points never leave the plateau.
            lambda theta: np.where(np.abs(theta - 0.123456789).max(axis=1) < 1e-9, 0.0, -1e100),
            low,
            high,
            seed=1,
            settings=QUICK,
        )


def test_bins_without_a_value_are_left_out(planet, physics) -> None:
    theta = planet["theta"].values + np.array([[0.0], [0.01]]) * [0, 0, 1, 1, 1, 1, 1]
    holed = planet.copy(deep=True)
    holed["transit_depth"].values[0, 7] = np.nan
    shorter = planet.isel(wavelength=np.arange(52) != 7)
    forward = ForwardModel(edition_model(get_edition("adc2023"), physics), holed)
    cut = _Cut(forward, 7, Systems.of(shorter))
    expected = gaussian_log_likelihood(cut, 0)(theta)
    found = gaussian_log_likelihood(forward, 0)(theta)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(sampling_box(forward.systems, 0), sampling_box(cut.systems, 0))


def test_a_missing_bin_costs_a_planet_no_retrieval(simulated, physics, tmp_path) -> None:
    planets = simulated.isel(planet=slice(1, 3)).copy(deep=True)
    planets["transit_depth_error"] *= 20
    for row, name in enumerate(("transit_depth", "transit_depth_error")):
        planets[name].values[row, 7] = np.nan
        planets["quality"].values[row] = int(Quality.NON_FINITE_SPECTRUM)
    edition, shape = get_edition("adc2023"), {"hidden": 16, "context_width": 16, "embedding": 8}
    flow = make_estimator("flow", shape | {"training": {"epochs": 1}})
    flow.fit(simulated, simulated.isel(planet=slice(0, 20)), seed=1, device="cpu")
    flow.save(tmp_path / "flow")
    ensemble = Ensemble([tmp_path / "flow"], device="cpu")
    amortised = ensemble.sample(planets, 200, seed=1)
    assert amortised["retrieved"].values.tolist() == [0, 0]
    assert "non finite spectrum" in str(amortised["fault"].values[0])
    options = {"physics": physics, "seed": 3, "n_samples": 200}
    few = ImportanceSettings(n_proposal=150, n_refined=150, rounds=1, most_draws=400)
    weighted, _ = importance_posteriors(
        *(edition, planets, ensemble),
        **options,
        settings=few,
        fallback=Fallback(efficiency=0.0, pareto_shape=1e9),
    )
    quick = VariationalSettings(steps=5, batch=8, n_elbo=64, n_check=120, layers=1, hidden=8)
    fitted = retrieve_planets(edition, planets, Variational(quick, amortised), **options)
    for found in (weighted, fitted):
        assert found["retrieved"].values.tolist() == [1, 1], found["fault"].values
        assert np.isfinite(found["log_evidence"].values).all()


class _Cut:
    """A forward model without one bin."""

    def __init__(self, forward: ForwardModel, left_out: int, systems: Systems) -> None:
        self.forward, self.left_out, self.systems = forward, left_out, systems

    def spectra(self, planet: int, theta: np.ndarray) -> np.ndarray:
        return np.delete(self.forward.spectra(planet, theta), self.left_out, axis=1)


def test_the_fit_is_measured(planet, forward) -> None:
    rng = np.random.default_rng(1)
    low, high = planet["prior_low"].values[0], planet["prior_high"].values[0]
    theta = np.repeat(planet["theta"].values[:, None], 300, axis=1)
    theta[0, :, 1:] = (0.5 * (low + high))[1:]
    column = target_index(planet, "CO")
    theta[0, :, column] = low[column] + 0.002 * rng.random(300) * (high - low)[column]
    planet["transit_depth"].values[:] = forward.spectra(0, theta[0, :1])
    planet["transit_depth"].values[0, 20] += 6 * planet["transit_depth_error"].values[0, 20]
    posterior = posterior_dataset(planet, theta).assign(
        retrieved=("planet", np.ones(1, dtype=np.int8))
    )
    found = with_fit_check(posterior, forward)
    assert found["chi_square_per_bin"].item() == pytest.approx(36 / 52, rel=0.02)
    assert found["worst_bin"].item() == planet["wavelength"].values[20]
    assert found["worst_bin_residual"].item() == pytest.approx(6, rel=0.01)
    assert found["at_prior_edge"].values[0].nonzero()[0].tolist() == [column]


def test_a_poor_fit_and_the_edge_are_in_file_and_summary(planet, physics) -> None:
    planet["transit_depth_error"] *= 30
    planet["transit_depth"].values[0, :] *= np.where(np.arange(52) % 2, 0.8, 1.25)
    planet["transit_depth_error"].values[0, :] = 0.05 * planet["transit_depth"].values[0]
    posterior = retrieve_planets(
        get_edition("adc2023"),
        planet,
        Nested(QUICK),
        physics=physics,
        seed=1,
        n_samples=300,
    )
    assert posterior["chi_square_per_bin"].item() > POOR_FIT
    (line,) = (x for x in summary_lines(summarise(posterior)) if "chi-square" in x)
    assert "a poor fit" in line and "um by" in line


@pytest.mark.slow
def test_an_edition_with_bins_of_its_own_is_retrieved_on_them(physics, planet) -> None:
    edition = get_edition("adc2023")
    edges = np.geomspace(1.0, 3.6, 53)
    own = dataclasses.replace(
        edition,
        wavelength_um=0.5 * (edges[1:] + edges[:-1]),
        wavelength_width_um=np.diff(edges),
    )
    rebinned = planet.assign_coords(wavelength=own.wavelength_um)
    rebinned["wavelength_width"] = ("wavelength", own.wavelength_width_um)
    truth = ForwardModel(edition_model(own, physics), rebinned)
    rebinned["transit_depth"].values[:] = truth.spectra(0, rebinned["theta"].values)
    rebinned["transit_depth_error"].values[:] = 0.02 * rebinned["transit_depth"].values
    options = {"physics": physics, "seed": 1, "n_samples": 300}
    found = retrieve_planets(own, rebinned, Nested(QUICK), **options)
    radius = target_index(planet, "planet_radius")
    samples, true = found["theta"].values[0, :, radius], planet["theta"].values[0, radius]
    assert abs(samples.mean() - true) < 4 * samples.std()
    assert found["chi_square_per_bin"].item() < 1
    processes = retrieve_planets(own, rebinned, Nested(QUICK), workers=2, **options)
    np.testing.assert_array_equal(processes["theta"], found["theta"])


def test_faults_of_a_planet_leave_the_others_alone(simulated, physics) -> None:
    planets = simulated.isel(planet=[4, 5]).copy(deep=True)
    planets["transit_depth_error"] *= 100
    auxiliary_values(planets, "star_radius_m")[0] = 1.1
    posterior = retrieve_planets(
        get_edition("adc2023"),
        planets,
        Nested(QUICK.model_copy(update={"n_live": 50})),
        physics=physics,
        seed=1,
        n_samples=300,
    )
    assert posterior["retrieved"].values.tolist() == [0, 1]
    assert "star radius" in str(posterior["fault"].values[0])
    assert np.isnan(posterior["chi_square_per_bin"].values[0])
    assert np.isfinite(posterior["theta"].values).all()
