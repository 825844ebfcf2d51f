"""Model selection: evidence of a flat line, the search for molecules, the command."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from typer.testing import CliRunner

from arielflow.cli import app
from arielflow.core.schema import auxiliary_values
from arielflow.data.forward_models import edition_model
from arielflow.editions import get_edition
from arielflow.editions.official_files import write_official
from arielflow.physics.forward import ForwardModel
from arielflow.physics.systems import Systems
from arielflow.retrieval import model_selection
from arielflow.retrieval.model_selection import (
    FLAT_LINE,
    Selection,
    flat_line_log_evidence,
    select_molecules,
)


def test_flat_line_evidence_is_the_integral_over_the_radius(simulated) -> None:
    planets = simulated.isel(planet=[0]).copy(deep=True)
    star = auxiliary_values(planets, "star_radius_m")[0]
    depth, error = np.full(52, 0.01), planets["transit_depth_error"].values[0]
    planets["transit_depth"].values[0] = depth + error * np.random.default_rng(1).normal(size=52)
    systems = Systems.of(planets)
    low, high = model_selection._radius_range_m(systems, 0)
    peak = np.sum(-0.5 * ((0.01 - planets["transit_depth"].values[0]) / error) ** 2)

    def likelihood(radius: float) -> float:
        residual = ((radius / star) ** 2 - planets["transit_depth"].values[0]) / error
        return np.exp(-0.5 * np.sum(residual**2) - peak)

    middle = 0.1 * star
    integral = quad(likelihood, 0.9 * middle, 1.1 * middle, points=[middle], limit=500)[0]
    expected = np.log(integral / (high - low)) + peak - np.log(error * np.sqrt(2 * np.pi)).sum()
    assert flat_line_log_evidence(systems, 0) == pytest.approx(expected, abs=1e-3)
    planets["transit_depth"].values[0] = 0.9
    assert flat_line_log_evidence(systems, 0) == -np.inf


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

    def fit(forward, planet, *, seed, settings, absent) -> SimpleNamespace:
        tried.append(tuple(sorted(absent)))
        total = sum(gain for name, gain in gains.items() if name not in absent)
        # The bound says otherwise: the flow of all molecules misses most of the posterior.
        return SimpleNamespace(
            log_evidence=total,
            log_evidence_error=0.1,
            elbo=total if absent else total - 90,
            elbo_error=0.1,
            forward_calls=7,
            seconds=1.0,
            warning="" if absent else "the flow misses a lot",
        )

    monkeypatch.setattr(model_selection, "fit_variational", fit)
    monkeypatch.setattr(model_selection, "flat_line_log_evidence", lambda *arguments: flat)
    molecules = ("H2O", "CO2", "CO", "CH4")
    transmission = SimpleNamespace(molecules=molecules)
    forward = SimpleNamespace(transmission=transmission, systems=None)
    found = select_molecules(forward, 0, seed=1)
    assert found.molecules == expected
    assert len(set(tried)) == len(tried) <= 16
    assert all((name,) in tried for name in molecules)
    table = found.table.set_index("model")
    assert table["selected"].sum() == 1
    assert (table.index[table["selected"]][0] == FLAT_LINE) == (flat > -50)
    assert table["log_bayes_factor"].max() == 0
    expected_evidence = sum(gains.values()) - gains["H2O"]
    assert table.loc["without H2O", "log_evidence"] == pytest.approx(expected_evidence)
    difference = table["log_evidence"] - table["log_evidence"].max()
    np.testing.assert_allclose(table["log_bayes_factor"], difference)
    assert table.loc["all molecules", "warning"] == "the flow misses a lot"
    assert table.loc[["without H2O", FLAT_LINE], "warning"].tolist() == ["", ""]


def test_the_command_writes_the_table_and_names_bad_planets(
    simulated, opacities, tmp_path, monkeypatch
) -> None:
    planets = simulated.isel(planet=slice(0, 2)).copy(deep=True)
    planets["planet"] = ["test1", "test2"]
    planets["transit_depth"].values[1] = np.nan
    write_official(tmp_path, get_edition("adc2023"), "test", planets)
    columns = {"model": ["flat line", "all molecules"], "elbo": [1.0, 9.0], "elbo_error": 0.1}
    columns |= {"log_evidence": [1.0, 9.5], "log_evidence_error": 0.02}
    columns |= {"warning": ["", "only [/] 20 effective draws"]}
    columns |= {"log_bayes_factor": [-8.0, 0.0], "forward_calls": 5, "selected": [False, True]}
    fake = Selection(("H2O",), pd.DataFrame(columns))
    monkeypatch.setattr(model_selection, "select_molecules", lambda *arguments, **options: fake)
    command = ["select-model", str(tmp_path), "--edition", "adc2023", "--opacities", str(opacities)]
    command += ["--planet", "test1", "--planet", "test2", "--output", str(tmp_path / "out.csv")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "selected" in done.output and "-8.00" in done.output
    assert "9.50 ± 0.02" in done.output
    assert "all molecules: warning: only [/] 20 effective draws" in done.output
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
    found = select_molecules(forward, 0, seed=1)
    assert set(found.molecules) == set(present)
