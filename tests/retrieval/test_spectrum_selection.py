"""Models of an observed spectrum compared by their evidence."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from scipy.integrate import quad
from simulated_spectra import QUICK, planet, spectrum

from arielflow.cli.tables import comparison_table
from arielflow.core.errors import ArielflowError
from arielflow.retrieval.model_selection import FLAT_LINE
from arielflow.retrieval.spectra import selection
from arielflow.retrieval.spectra.methods import SpectrumResult
from arielflow.retrieval.spectra.model import SpectrumModel
from arielflow.retrieval.spectra.selection import compare_models, in_words, simpler_models
from arielflow.retrieval.spectra.setup import prepared_model

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
        draws = model.sampled(torch.full((30, model.dimension), 0.5, dtype=torch.float64)).numpy()
        own = draws, np.full(30, 1 / 30)
        numbers = 3.0, 0.1, 9, 1, 0, 7, 1.0
        return SpectrumResult(model, method, np.empty(0), *own, *numbers, ("a note",))

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
