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
from arielflow.retrieval.kept_draws import KeptDraws
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
            theta=np.repeat([[0.0, 1.0], [2.0, 3.0]], [3, 1], axis=0),
            warning="" if absent else "the flow misses a lot",
        )

    monkeypatch.setattr(model_selection, "fit_variational", fit)
    monkeypatch.setattr(model_selection, "flat_line_log_evidence", lambda *arguments: flat)
    by_bin = lambda forward, planet, theta: theta  # noqa: E731 - in place of a function
    monkeypatch.setattr(model_selection, "log_likelihood_by_bin", by_bin)
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
    # Samples that are the same count together.
    assert set(found.draws) == set(table.index) - {FLAT_LINE}
    np.testing.assert_array_equal(found.draws["without H2O"].weight, [0.75, 0.25])


def test_the_command_writes_the_table_and_names_bad_planets(
    simulated, opacities, tmp_path, monkeypatch
) -> None:
    planets = simulated.isel(planet=slice(0, 2)).copy(deep=True)
    planets["planet"] = ["test1", "test2"]
    planets["transit_depth"].values[1] = np.nan
    write_official(tmp_path, get_edition("adc2023"), "test", planets)
    columns = {"model": ["flat line", "all molecules", "without H2O", "without CO"]}
    columns |= {"elbo": [1.0, 9.0, 4.0, 8.0], "elbo_error": 0.1}
    columns |= {"log_evidence": [1.5, 9.5, 5.5, 8.5], "log_evidence_error": 0.02}
    columns |= {"warning": ["", "only [/] 20 effective draws", "", ""]}
    columns |= {"log_bayes_factor": [-8.0, 0.0, -4.0, -1.0], "forward_calls": 5}
    table = pd.DataFrame(columns | {"selected": [False, True, False, False]})
    # Without H2O the bin at 3 um is met worse by 3.5, all others as well as with it.
    by_bin = np.random.default_rng(1).normal(0, 0.01, (60, 52))
    worse = by_bin.copy()
    worse[:, 30] -= 3.5
    draws = {"all molecules": by_bin, "without H2O": worse, "without CO": by_bin[:20]}
    weighted = {name: KeptDraws(b, np.full(len(b), 1 / len(b)), b) for name, b in draws.items()}
    fake = Selection(("H2O",), table, weighted)
    monkeypatch.setattr(model_selection, "select_molecules", lambda *arguments, **options: fake)
    command = ["select-model", str(tmp_path), "--edition", "adc2023", "--opacities", str(opacities)]
    command += ["--planet", "test1", "--planet", "test2", "--output", str(tmp_path / "out.csv")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "selected" in done.output and "-8.00" in done.output
    assert "9.50 ± 0.02" in done.output
    assert "all molecules: warning: only [/] 20 effective draws" in done.output
    assert "test2: no comparison (unusable data" in done.output
    written = pd.read_csv(tmp_path / "out.csv", keep_default_na=False).set_index("model")
    assert list(written.index) == columns["model"] and set(written["planet"]) == {"test1"}
    assert written["selected"].tolist() == [False, True, False, False]
    water = written.loc["without H2O"]
    wavelength_um = get_edition("adc2023").wavelength_um
    assert float(water["elpd_loss"]) == pytest.approx(3.5, abs=0.01)
    assert float(water["log_bayes_factor_full"]) == -4
    assert float(water["leading_wavelength_um"]) == wavelength_um[30]
    assert float(water["log_bayes_factor_full_without_it"]) == pytest.approx(-0.5, abs=0.01)
    assert f"H2O rests on the bin at {wavelength_um[30]:.3f} um alone" in water["warning"]
    assert "20 draws have a weight" in written.loc["without CO", "warning"]
    assert written.loc["flat line", "elpd_loss"] == written.loc["all molecules", "elpd_loss"] == ""
    points = pd.read_csv(tmp_path / "out_points.csv")
    assert list(points.columns[:2]) == ["planet", "wavelength_um"] and len(points) == 52
    assert points["without H2O"].sum() == pytest.approx(float(water["elpd_loss"]))
    assert (tmp_path / "out_points_test1.png").read_bytes().startswith(b"\x89PNG")


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
