"""Retrieval of an observed spectrum: set-up, likelihood, its derivatives, methods, selection."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from scipy.integrate import quad
from scipy.stats import ks_2samp

from arielflow.cli.tables import comparison_table
from arielflow.core.errors import ArielflowError
from arielflow.data.description.editions import describe_edition_planet, edition_spectrum
from arielflow.data.description.read import Description, describe_planet
from arielflow.data.spectra.spectrum import ObservedSpectrum
from arielflow.editions import get_edition
from arielflow.physics.forward import ForwardModel, transmission_model
from arielflow.retrieval.likelihood import gaussian_log_likelihood
from arielflow.retrieval.model_selection import FLAT_LINE
from arielflow.retrieval.spectra import selection
from arielflow.retrieval.spectra.methods import SpectrumResult, retrieve_spectrum
from arielflow.retrieval.spectra.model import SpectrumModel, SpectrumPosterior
from arielflow.retrieval.spectra.selection import compare_models, in_words, simpler_models
from arielflow.retrieval.spectra.setup import prepared_model
from arielflow.settings.importance import FallbackSettings, ImportanceSettings
from arielflow.settings.nested import NestedSettings


def planet(**changes: object) -> Description:
    """A planet with free radius, temperature and water unless changed."""
    atmosphere = {
        "gases": {"H2O": {"log_uniform": [1e-9, 0.1]}},
        "temperature": {"isothermal": {"uniform": [500, 2000], "unit": "K"}},
    }
    content = {
        "star": {"radius": "0.9 Rsun", "temperature": "5500 K"},
        "planet": {"mass": "0.3 Mjup", "radius": {"uniform": [1.0, 1.4], "unit": "Rjup"}},
        "atmosphere": atmosphere | changes.pop("atmosphere", {}),
    }
    content["planet"] |= changes.pop("planet", {})
    return describe_planet(content | changes)


def spectrum(
    n: int = 13, low: float = 1.1, high: float = 1.7, names: str = "A", **changes: object
) -> ObservedSpectrum:
    """Equal depths in bins of equal resolving power, instruments in turn."""
    edges = np.geomspace(low, high, n + 1)
    values = {
        "wavelength_um": 0.5 * (edges[1:] + edges[:-1]),
        "width_um": np.diff(edges),
        "depth": np.full(n, 0.0187),
        "error_low": np.full(n, 5e-5),
        "error_high": np.full(n, 5e-5),
        "instrument": np.resize(list(names), n),
    }
    return ObservedSpectrum(**values | changes)


@pytest.fixture(scope="module")
def folder(opacities) -> str:
    return str(opacities)


@pytest.fixture(scope="module")
def observed(folder) -> ObservedSpectrum:
    """A simulated spectrum of 13 bins with noise."""
    known = planet(
        planet={"radius": "1.2 Rjup"},
        atmosphere={"gases": {"H2O": 1e-3, "CO": {"log_uniform": [1e-12, 1e-11]}}},
    )
    made = prepared_model(known, spectrum(), opacities=folder)
    share = torch.tensor([[0.43, 0.5]], dtype=torch.float64)
    depth = made.depths(made.sampled(share))[0].numpy()
    noise = np.random.default_rng(3).normal(size=len(depth))
    return spectrum(depth=depth + 5e-5 * noise)


QUICK = {
    "importance": ImportanceSettings(
        n_proposal=400, n_refined=300, rounds=2, effective_aim=150, most_draws=1500
    ),
    "fallback": FallbackSettings(efficiency=0.01, pareto_shape=1.5),
    "nested": NestedSettings(n_live=60, n_effective=150, n_batch=128, n_networks=0),
}

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


EVERYTHING = planet(
    planet={"radius": None},
    atmosphere={
        "gases": ["H2O", "CO2"],
        "temperature": {
            "points": {
                "pressures": ["10 bar", "1e-6 bar"],
                "temperatures": [
                    {"uniform": ["500 K", "2000 K"]},
                    {"uniform": ["500 K", "2000 K"]},
                ],
            }
        },
        "clouds": {"top_pressure": {"log_uniform": ["1e-5 bar", "10 bar"]}, "fraction": 0.5},
        "haze": {"strength": {"log_uniform": [1, 1e4]}},
    },
    star_spots={"temperature": "4500 K", "fraction": {"uniform": [0, 0.3]}},
    instruments={
        "A": {"offset": {"normal": [0, 50], "unit": "ppm"}},
        "B": {"error_factor": {"uniform": [1, 3]}},
    },
)
PARTS = {
    "without H2O": {"log_H2O"},
    "without CO2": {"log_CO2"},
    "without clouds": {"log_cloud_top_pressure"},
    "without haze": {"log_haze_strength"},
    "without star spots": {"spot_fraction"},
    "without offsets": {"offset[A]"},
}


def test_all_models_share_points_tables_and_priors(folder) -> None:
    """Points beyond the tables are left out and the others averaged once, for all models."""
    many = spectrum(420, 0.4, 30.0, names="AB")
    full = prepared_model(EVERYTHING, many, opacities=folder)
    assert len(full.spectrum) < 420 and len(full.description.notes) == 1
    models = dict(simpler_models(full))
    assert list(models) == [*PARTS, "isothermal", FLAT_LINE]
    for name, model in models.items():
        assert model.spectrum is full.spectrum
        if name in PARTS:
            assert set(full.names) - set(model.names) == PARTS[name]
            assert set(model.names) < set(full.names)
        kept = {p.name: p for p in full.description.free}
        for parameter in model.description.free:
            assert kept.get(parameter.name, parameter) == parameter, "the same prior"
        if name != FLAT_LINE:
            assert getattr(model.physics, "transmission", None) is full.physics.transmission
        share = torch.full((2, model.dimension), 0.5, dtype=torch.float64)
        depths = model.depths(model.sampled(share))
        assert depths.shape == (2, len(full.spectrum)) and torch.isfinite(depths).all(), name
    assert set(models["isothermal"].names) - set(full.names) == {"temperature"}
    flat = models[FLAT_LINE]
    assert set(flat.names) == {"planet_radius", "offset[A]", "error_factor[B]"}
    depths = flat.depths(flat.sampled(torch.full((1, 3), 0.5, dtype=torch.float64)))
    assert np.ptp(depths.numpy()) < 1e-15


def test_a_model_without_a_gas_is_one_of_tiny_abundance(folder, observed) -> None:
    tiny = planet(atmosphere={"gases": {"H2O": {"log_uniform": [1e-9, 0.1]}, "CO2": 1e-14}})
    full = prepared_model(tiny, observed, opacities=folder, dtype=torch.float64)
    share = np.random.default_rng(0).uniform(0.3, 0.6, (4, 3))
    without = dict(simpler_models(full))["without CO2"]
    np.testing.assert_allclose(without.log_likelihood(share), full.log_likelihood(share), rtol=1e-8)


def test_a_flat_lines_evidence_is_the_integral_over_its_prior(folder) -> None:
    rng = np.random.default_rng(5)
    given = spectrum(depth=0.0187 + 5e-5 * rng.normal(size=13))
    found = compare_models(planet(), given, opacities=folder, seed=1, **QUICK).table.set_index(
        "model"
    )
    assert found.index.tolist() == ["full", "without H2O", FLAT_LINE]
    flat = found.loc[FLAT_LINE]
    star = 0.9 * 6.957e8 / 7.1492e7
    top = -0.5 * np.sum(((given.depth.mean() - given.depth) / 5e-5) ** 2)

    def likelihood(radius: float) -> float:
        residual = ((radius / star) ** 2 - given.depth) / 5e-5
        return np.exp(-0.5 * np.sum(residual**2) - top) / 0.4

    middle = star * np.sqrt(given.depth.mean())
    integral = quad(likelihood, middle - 0.01, middle + 0.01, points=[middle])[0]
    expected = np.log(integral) + top - 13 * np.log(5e-5 * np.sqrt(2 * np.pi))
    error = max(flat["log_evidence_error"], 0.01)
    assert flat["log_evidence"] == pytest.approx(expected, abs=4 * error)
    assert flat["selected"] and error < 0.2
    assert found.loc["full", "log_bayes_factor"] < 0


def test_water_that_is_there_is_asked_for(folder, observed) -> None:
    told: list[str] = []
    found = compare_models(planet(), observed, opacities=folder, seed=1, say=told.append, **QUICK)
    table = found.table.set_index("model")
    assert found.selected == "full" and str(found) == "selected full"
    assert (table.loc[["without H2O", FLAT_LINE], "significance"] == "strong against").all()
    assert table.loc["full", "significance"] == "" and table["selected"].sum() == 1
    difference = table["log_evidence"] - table.loc["full", "log_evidence"]
    np.testing.assert_allclose(table["log_bayes_factor_full"], difference)
    assert table["log_bayes_factor"].max() == 0 and (table["log_evidence_error"] < 0.3).all()
    console = Console(width=200, record=True, file=StringIO())
    console.print(comparison_table(found.table.assign(warning="[b] a warning"), "WASP-0b"))
    text = console.export_text()
    assert "without H2O: warning: [b] a warning" in text and "strong against" in text
    assert text.count("selected") == 1
    assert any(line.startswith("without H2O, model 2 of 3: ") for line in told)
    again = compare_models(planet(), observed, opacities=folder, seed=1, **QUICK).table
    pd.testing.assert_frame_equal(
        again.drop(columns="seconds"), found.table.drop(columns="seconds")
    )


def test_models_that_cannot_be_retrieved_are_told_and_fixed_ones_are_exact(
    folder, observed, monkeypatch
) -> None:
    def fails(model: SpectrumModel, method: str, **options: object) -> SpectrumResult:
        if "H2O" in model.description.fixed:
            raise ArielflowError("no spectrum anywhere")
        return SpectrumResult(model, method, np.empty(0), 3.0, 0.1, 9, 1, 0, 7, 1.0, ("a note",))

    monkeypatch.setattr(selection, "retrieve_spectrum", fails)
    found = compare_models(planet(), observed, opacities=folder, seed=1, **QUICK).table.set_index(
        "model"
    )
    absent = found.loc["without H2O"]
    assert absent["log_evidence"] == -np.inf and not absent["selected"]
    assert absent["warning"] == "not retrieved: no spectrum anywhere"
    assert found.loc["full", "warning"] == "a note"
    water = planet(
        planet={"radius": "1.2 Rjup"}, atmosphere={"temperature": {"isothermal": "1000 K"}}
    )
    found = compare_models(water, observed, opacities=folder, seed=1, **QUICK).table.set_index(
        "model"
    )
    exact = found.loc["without H2O"]
    assert exact["free_parameters"] == 0 and exact["method"] == "exact"
    assert np.isfinite(exact["log_evidence"]) and exact["log_evidence_error"] == 0
    with pytest.raises(ArielflowError, match="threshold nan"):
        compare_models(planet(), observed, opacities=folder, seed=1, threshold=np.nan)


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (0.0, "inconclusive"),
        (-0.99, "inconclusive"),
        (1.0, "weak for"),
        (-2.4, "weak against"),
        (2.5, "moderate for"),
        (-4.9, "moderate against"),
        (5.0, "strong for"),
        (-np.inf, "strong against"),
    ],
)
def test_bayes_factors_in_words(factor: float, words: str) -> None:
    assert in_words(factor) == words


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
