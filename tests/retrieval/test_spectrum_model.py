"""Retrieval of an observed spectrum: set-up, likelihood, its derivatives, methods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import ks_2samp
from simulated_spectra import planet, spectrum

from arielflow.core.errors import ArielflowError
from arielflow.data.description.editions import describe_edition_planet, edition_spectrum
from arielflow.editions import get_edition
from arielflow.physics.forward import ForwardModel, transmission_model
from arielflow.retrieval.likelihood import gaussian_log_likelihood
from arielflow.retrieval.spectra.methods import retrieve_spectrum
from arielflow.retrieval.spectra.model import SpectrumModel, SpectrumPosterior
from arielflow.retrieval.spectra.setup import prepared_model
from arielflow.settings.importance import ImportanceSettings
from arielflow.settings.nested import NestedSettings

# What is known of instruments: offsets, and errors that are larger than they say.
INSTRUMENTS = {
    "A": {"offset": {"normal": [0, 100], "unit": "ppm"}, "jitter": "30 ppm"},
    "B": {"error_factor": {"log_uniform": [0.5, 5]}},
}


@pytest.fixture(scope="module")
def inflated(folder) -> SpectrumModel:
    """Two instruments, asymmetric errors, one offset, one jitter, one free error factor."""
    rng = np.random.default_rng(1)
    errors = {f"error_{side}": 5e-5 * rng.uniform(0.5, 2, 14) for side in ("low", "high")}
    given = spectrum(14, names="AB", depth=0.0187 + 1e-4 * rng.normal(size=14), **errors)
    described = planet(instruments=INSTRUMENTS)
    return prepared_model(described, given, opacities=folder, dtype=torch.float64)


def test_the_likelihood_is_that_of_split_normal_errors(inflated) -> None:
    share = np.random.default_rng(2).uniform(0.2, 0.8, (5, inflated.dimension))
    sampled = inflated.sampled(torch.as_tensor(share))
    by_name = dict(zip(inflated.names, sampled.numpy().T, strict=True))
    bare = inflated.depths(sampled, offsets=False).numpy()
    data = inflated.spectrum
    is_a = data.instrument == "A"
    expected = []
    for row in range(5):
        model = bare[row] + np.where(is_a, 1e-6 * by_name["offset[A]"][row], 0)
        factor = np.where(is_a, 1, 10 ** by_name["log_error_factor[B]"][row])
        low, high = (
            np.hypot(factor * error, np.where(is_a, 3e-5, 0))
            for error in (data.error_low, data.error_high)
        )
        error = np.where(model > data.depth, high, low)
        norm = np.log(np.sqrt(2 / np.pi) / (low + high))
        expected.append(np.sum(norm - 0.5 * ((model - data.depth) / error) ** 2))
    np.testing.assert_allclose(inflated.log_likelihood(share), expected, rtol=1e-10)


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_likelihood_is_normalised_in_every_datum(folder, symmetric: bool) -> None:
    high = np.full(13, 5e-5 if symmetric else 1.1e-4)
    given = spectrum(error_high=high)
    described = planet(instruments={"A": {"error_factor": 1.5, "jitter": "20 ppm"}})
    made = prepared_model(described, given, opacities=folder)
    sampled = made.sampled(torch.full((1, made.dimension), 0.5, dtype=torch.float64))
    centre = float(made.depths(sampled)[0, 4])

    def density(depth: float) -> float:
        depths = np.array(given.depth)
        depths[4] = depth
        moved = SpectrumModel(made.physics, made.description, replace(given, depth=depths))
        return float(torch.exp(moved.log_likelihood_by_point(sampled)[0, 4]))

    halves = [(centre - 1e-3, centre), (centre, centre + 1e-3)]
    assert sum(quad(density, *half)[0] for half in halves) == pytest.approx(1, abs=1e-6)


def test_the_posteriors_gradient_is_that_of_differences(inflated) -> None:
    posterior = SpectrumPosterior(inflated)
    rng = np.random.default_rng(4)
    z = torch.as_tensor(rng.normal(0, 0.5, (3, posterior.dimension))).requires_grad_()
    value, good = posterior.log_likelihood(z)
    assert good.all()
    (gradient,) = torch.autograd.grad(value.sum(), z)
    step = 1e-5
    with torch.no_grad():
        for column in range(posterior.dimension):
            move = torch.zeros_like(z)
            move[:, column] = step
            above, below = (posterior.log_likelihood(z + side)[0] for side in (move, -move))
            numeric = ((above - below) / (2 * step)).numpy()
            np.testing.assert_allclose(gradient[:, column], numeric, rtol=2e-4, atol=2e-4)
        residual = posterior.residuals(z)
    # Half their squares are minus the log-likelihood but for one constant.
    constant = (value.detach() + 0.5 * residual.square().sum(dim=1)).numpy()
    np.testing.assert_allclose(constant, constant[0], rtol=1e-9)


def test_planets_without_a_spectrum_weigh_nothing_and_spoil_no_gradient(folder, observed) -> None:
    gases = {name: {"uniform": [1e-3, 1]} for name in ("H2O", "CO2")}
    made = prepared_model(planet(atmosphere={"gases": gases}), observed, opacities=folder)
    share = np.full((2, made.dimension), 0.5)
    share[:, -2:] = [[0.1], [0.9]]
    found = made.log_likelihood(share)
    assert found[0] > -1e20 and found[1] == -1e100
    posterior = SpectrumPosterior(made)
    z = torch.special.ndtri(torch.as_tensor(share)).requires_grad_()
    value, good = posterior.log_likelihood(z)
    assert good.tolist() == [True, False] and value[1] == 0
    (gradient,) = torch.autograd.grad(value.sum(), z)
    assert torch.isfinite(gradient).all() and (gradient[0] != 0).any()
    assert (gradient[1] == 0).all()
    assert torch.isfinite(posterior.jacobian(z.detach()[:1])).all()


def test_bins_beyond_the_tables_are_left_out_aloud(folder) -> None:
    far = spectrum(30, 0.5, 30.0)
    made = prepared_model(planet(), far, opacities=folder)
    (note,) = made.spectrum.notes
    left_out = len(far) - len(made.spectrum)
    assert left_out > 0 and note.startswith(f"{left_out} points between 8.")
    assert "no opacities there" in note and made.spectrum.wavelength_um.max() < 8.3
    with pytest.raises(ArielflowError, match=r"no bin between 30.* is covered"):
        prepared_model(planet(), spectrum(5, 30.0, 40.0), opacities=folder)


def test_many_points_are_averaged_aloud_unless_asked_not_to(folder) -> None:
    many = spectrum(401)
    made = prepared_model(planet(), many, opacities=folder)
    assert len(made.spectrum) < 60
    assert f"401 points averaged to {len(made.spectrum)}, a resolving power of 100" in str(
        made.spectrum.notes
    )
    kept = prepared_model(planet(), many, opacities=folder, resolving_power=np.inf)
    assert len(kept.spectrum) == 401 and not kept.spectrum.notes
    assert not prepared_model(planet(), spectrum(40), opacities=folder).spectrum.notes
    for power in (0.0, -100.0):
        with pytest.raises(ArielflowError, match="not above zero"):
            prepared_model(planet(), many, opacities=folder, resolving_power=power)


@pytest.mark.parametrize(
    ("described", "given", "words"),
    [
        (planet(), spectrum(kind="eclipse"), "eclipse depths; the forward model computes transit"),
        (planet(instruments={"C": {}}), spectrum(names="AB"), "instruments C are not in the spec"),
        (planet(atmosphere={"gases": ["H2O", "Xy"]}), spectrum(), "Xy"),
        (planet(), spectrum(2), "cover 2 of 2 points"),
    ],
    ids=["eclipse", "instrument", "gas", "few"],
)
def test_what_cannot_be_retrieved_is_one_line(folder, described, given, words: str) -> None:
    with pytest.raises(ArielflowError) as fault:
        prepared_model(described, given, opacities=folder)
    assert words in str(fault.value) and "\n" not in str(fault.value)


def test_what_the_planet_file_leaves_open_is_filled_in_aloud(folder) -> None:
    open_file = planet(planet={"radius": None}, atmosphere={"temperature": None})
    made = prepared_model(open_file, spectrum(), opacities=folder)
    assert set(made.names) == {"planet_radius", "temperature", "log_H2O"}
    temperature, radius = made.description.notes
    assert temperature.startswith("no temperature in the planet file: uniform from 300")
    assert radius.startswith("no radius in the planet file: uniform from")
    (prior,) = (p for p in made.description.free if p.name == "planet_radius")
    seen = 0.9 * 6.957e8 * np.sqrt(0.0187) / 7.1492e7
    np.testing.assert_allclose((prior.first, prior.second), (0.7 * seen, 1.1 * seen), atol=1e-4)
    assert not prepared_model(planet(), spectrum(), opacities=folder).description.notes


def test_a_retrieval_of_nothing_is_refused(folder) -> None:
    known = planet(
        planet={"radius": "1.2 Rjup"},
        atmosphere={"gases": {"H2O": 1e-4}, "temperature": {"isothermal": "1000 K"}},
    )
    made = prepared_model(known, spectrum(), opacities=folder)
    for method in ("importance", "variational", "nested"):
        with pytest.raises(ArielflowError, match="every parameter is fixed"):
            retrieve_spectrum(made, method, seed=1)
    assert np.isfinite(made.log_likelihood(np.empty((1, 0)))).all()


def test_a_challenge_planet_is_an_instance_of_the_same_description(simulated, physics) -> None:
    """The same log-likelihood in double precision; single precision is told apart from it."""
    edition, row = get_edition("adc2023"), 4
    planets = simulated.isel(planet=[row])
    name = str(planets["planet"].values[0])
    bins = edition.wavelength_um, edition.wavelength_width_um
    described = describe_edition_planet(edition, planets, name)
    given = edition_spectrum(edition, planets, name)
    rng = np.random.default_rng(1)
    low, high = planets["prior_low"].values[0], planets["prior_high"].values[0]
    truth = planets["theta"].values[0]
    theta = np.clip(truth + 0.05 * (high - low) * rng.normal(size=(20, len(truth))), low, high)
    share = (theta - low) / (high - low)
    for dtype, tolerance in ((torch.float64, 1e-8), (torch.float32, 1e-4)):
        transmission = transmission_model(described.gases, physics, *bins, dtype=dtype)
        expected = gaussian_log_likelihood(ForwardModel(transmission, planets), 0)(theta)
        made = prepared_model(described, given, opacities=physics.opacities, dtype=dtype)
        assert len(made.spectrum) == 52
        np.testing.assert_allclose(made.sampled(torch.as_tensor(share)), theta, rtol=1e-12)
        assert np.isfinite(expected).all() and np.ptp(expected) > 100
        np.testing.assert_allclose(made.log_likelihood(share), expected, rtol=tolerance)


@pytest.mark.slow
def test_importance_and_nested_sampling_agree(folder, observed) -> None:
    made = prepared_model(planet(), observed, opacities=folder)
    aim = ImportanceSettings(n_proposal=2048, n_refined=2000, rounds=5, effective_aim=3000)
    drawn = retrieve_spectrum(made, "importance", seed=1, importance=aim)
    nested = retrieve_spectrum(made, "nested", seed=1, nested=NestedSettings(n_effective=3000))
    assert drawn.method == "importance" and nested.method == "nested"
    assert drawn.log_evidence == pytest.approx(nested.log_evidence, abs=0.2)
    for name, first, second in zip(made.names, drawn.samples.T, nested.samples.T, strict=True):
        assert ks_2samp(first, second).statistic < 0.06, name
