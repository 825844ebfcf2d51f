"""Nested sampling against an analytic posterior, and simulated data sets end to end."""

from __future__ import annotations

import numpy as np
import pytest

from arielflow.core.schema import auxiliary_values
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.physics.population import draw_systems, transit_depth_errors
from arielflow.physics.systems import JUPITER_RADIUS_M, surface_gravity_m_s2
from arielflow.retrieval.nested import nested_sampling
from arielflow.settings.nested import NestedSettings
from arielflow.simulation.truth import TruthJob, sample_truth

QUICK = NestedSettings(n_live=200, n_effective=1000)


def test_analytic_evidence_and_moments() -> None:
    centre, sigma = np.array([0.2, -0.3, 1.0]), np.array([0.1, 0.2, 0.4])
    low, high = np.full(3, -5.0), np.full(3, 5.0)

    def log_likelihood(theta: np.ndarray) -> np.ndarray:
        return -0.5 * np.sum(((theta - centre) / sigma) ** 2, axis=1)

    result = nested_sampling(log_likelihood, low, high, seed=1, settings=QUICK)
    expected = np.sum(np.log(sigma * np.sqrt(2 * np.pi) / 10))
    assert result.log_evidence == pytest.approx(expected, abs=0.1)
    mean = result.weight @ result.theta
    np.testing.assert_allclose(mean, centre, atol=0.15 * sigma.max())
    spread = np.sqrt(result.weight @ (result.theta - mean) ** 2)
    np.testing.assert_allclose(spread, sigma, rtol=0.12)
    again = nested_sampling(log_likelihood, low, high, seed=1, settings=QUICK)
    np.testing.assert_array_equal(result.theta, again.theta)


@pytest.mark.parametrize("name", ["adc2022", "adc2023"])
def test_population(name, physics) -> None:
    edition = get_edition(name)
    options = {"seed": 3, "split": "train", "prior": "matched", "physics": physics}
    many, few = (simulate_planets(edition, n, **options) for n in (400, 60))
    for variable in ("theta", "transit_depth_error", "auxiliary_value"):
        np.testing.assert_array_equal(many[variable][:60], few[variable])
    np.testing.assert_allclose(many["transit_depth"][:60], few["transit_depth"], rtol=1e-7)
    low, high, theta = (many[n].values for n in ("prior_low", "prior_high", "theta"))
    assert (theta >= low).all() and (theta <= high).all()
    unit = (theta - low) / (high - low)
    atmosphere = [t.quantity != "planet_radius" for t in edition.targets]
    np.testing.assert_allclose(unit[:, atmosphere].mean(axis=0), 0.5, atol=0.06)
    if name == "adc2023":
        radius = theta[:, 0] * JUPITER_RADIUS_M
        gravity = surface_gravity_m_s2(auxiliary_values(many, "planet_mass_kg"), radius)
        np.testing.assert_allclose(auxiliary_values(many, "surface_gravity_m_s2"), gravity)
        ratio = (
            many["transit_depth"].min("wavelength")
            / (radius / auxiliary_values(many, "star_radius_m")) ** 2
        )
        assert float(ratio.min()) > 1 and float(ratio.max()) < 1.5
    error = np.median(many["transit_depth_error"], axis=1) * 1e6
    assert 5 < np.median(error) < 200


def test_error_bars_follow_the_scale_height() -> None:
    edition = get_edition("adc2023")
    systems = draw_systems(500, seed=1, split="test", radius_rjup=(0.1, 3))
    hotter = systems | {"semi_major_axis_au": systems["semi_major_axis_au"] / 4}
    errors = [
        transit_depth_errors(
            s, edition.wavelength_um, edition.wavelength_width_um, seed=1, split="test"
        )
        for s in (systems, hotter)
    ]
    np.testing.assert_allclose(errors[1], 2 * errors[0])


@pytest.mark.slow
def test_a_planet_that_cannot_be_sampled_leaves_the_others_their_truth(
    simulated, physics, tmp_path, caplog
) -> None:
    planets = simulated.isel(planet=slice(0, 2)).copy(deep=True)
    # One bin far below the rest: no radius in the box that this bin allows explains the others.
    planets["transit_depth"].values[0, 3] *= 0.3
    jobs = [TruthJob("train", position, "truth", 100) for position in range(2)]
    paths = sample_truth(
        get_edition("adc2023"),
        {"train": planets},
        jobs,
        seed=1,
        physics=physics,
        directory=tmp_path,
        settings={"train": NestedSettings(n_live=100, n_effective=300)},
    )
    assert paths[0] is None
    assert np.load(paths[1])["theta"].shape == (100, 7)
    assert str(planets["planet"].values[0]) in caplog.text
