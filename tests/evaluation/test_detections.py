"""Detections that rest on one bin, and those that do not, in models whose evidence is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_table
from arielflow.core.schema import posterior_dataset
from arielflow.core.tables import read_results
from arielflow.data.forward_models import edition_model
from arielflow.editions import get_edition
from arielflow.evaluation import detection_tables
from arielflow.evaluation.detection_tables import detect_molecules, planet_tables
from arielflow.evaluation.detections import Detection, detection, planet_detections
from arielflow.evaluation.leave_one_out import leave_one_out
from arielflow.physics.forward import ForwardModel
from arielflow.plotting import detection_map
from arielflow.retrieval.kept_draws import KeptDraws, with_kept_draws
from arielflow.retrieval.likelihood import log_likelihood_by_bin, sampling_box
from arielflow.settings.importance import ImportanceSettings

WAVELENGTH_UM = np.geomspace(1, 5, 30)
SIGMA, PRIOR = 1.0, 3.0


class Band:
    """A constant and, unless left out, a band of unknown strength, in noisy bins."""

    def __init__(self, band: np.ndarray, y: np.ndarray, *, with_band: bool) -> None:
        parts = [np.ones(len(band)), band] if with_band else [np.ones(len(band))]
        self.design, self.y = np.column_stack(parts), y

    def log_evidence(self, used: np.ndarray) -> float:
        """Exact natural log-evidence of some bins."""
        design = self.design[used]
        covariance = SIGMA**2 * np.eye(len(design)) + PRIOR**2 * design @ design.T
        return float(multivariate_normal(np.zeros(len(design)), covariance).logpdf(self.y[used]))

    def left_out(self):
        """Leave-one-out of exact posterior draws."""
        size = self.design.shape[1]
        precision = np.eye(size) / PRIOR**2 + self.design.T @ self.design / SIGMA**2
        covariance = np.linalg.inv(precision)
        mean = covariance @ self.design.T @ self.y / SIGMA**2
        theta = np.random.default_rng(5).multivariate_normal(mean, covariance, 4000)
        return leave_one_out(norm.logpdf(self.y, theta @ self.design.T, SIGMA), np.ones(4000))


def _found(band: np.ndarray, strength: float) -> tuple[Detection, Band, Band]:
    rng = np.random.default_rng(3)
    y = 0.4 + strength * band + 0.5 * rng.standard_normal(len(band))
    both = [Band(band, y, with_band=with_band) for with_band in (True, False)]
    everything = np.ones(len(band), dtype=bool)
    factor = both[0].log_evidence(everything) - both[1].log_evidence(everything)
    return detection(both[0].left_out(), both[1].left_out(), factor), *both


def test_a_broad_band_rests_on_no_bin_and_losses_add_up_to_bayes_factors_without_bins() -> None:
    band = np.exp(-0.5 * ((np.arange(30) - 15) / 4) ** 2)
    found, full, without = _found(band, 3.0)
    assert found.log_bayes_factor > 10 and found.rests_on is None
    assert found.warning("a gas", WAVELENGTH_UM) == ""
    assert found.total > found.total_error > 0
    # By the evidences of all bins but one, which are known exactly.
    for number in range(30):
        others = np.arange(30) != number
        exact = full.log_evidence(others) - without.log_evidence(others)
        assert found.log_bayes_factor_without[number] == pytest.approx(exact, abs=0.05)


def test_a_detection_by_one_bin_is_told() -> None:
    band = (np.arange(30) == 12).astype(float)
    found, full, without = _found(band, 4.5)
    assert found.log_bayes_factor > 2.5
    assert found.rests_on == found.leading == 12
    said = found.warning("CO2", WAVELENGTH_UM)
    assert f"CO2 rests on the bin at {WAVELENGTH_UM[12]:.3f} um alone" in said
    assert ("retrieve the spectrum without this bin" in said) == bool(found.needs_refit[12])
    # Without the bin both models are the same.
    others = np.arange(30) != 12
    assert full.log_evidence(others) == pytest.approx(without.log_evidence(others), abs=1e-9)


def test_what_is_no_detection_rests_on_nothing() -> None:
    loss = np.array([0.1, 1.5, np.nan, -0.2])
    refit = np.array([False, True, False, False])
    weak = Detection(1.8, loss, refit)
    assert weak.rests_on is None and weak.leading == 1
    assert weak.total == pytest.approx(1.4)
    alone = Detection(2.5, loss + 0.2, refit)
    assert alone.rests_on == 1
    assert "retrieve the spectrum without this bin" in alone.warning("NH3", WAVELENGTH_UM)


def test_the_map_marks_what_is_not_trusted_and_what_stands_alone() -> None:
    losses = {"H2O": np.linspace(-1, 2, 30), "a $ name": np.full(30, np.nan)}
    refit = {name: np.arange(30) == 4 for name in losses}
    figure = detection_map(WAVELENGTH_UM, losses, refit, {"H2O": 29, "a $ name": None})
    axes, bar = figure.axes
    assert axes.get_xlabel() == "wavelength [µm]" and bar.get_ylabel() == "loss of elpd [1]"
    assert [t.get_text() for t in axes.get_yticklabels()] == ["H2O", r"a \$ name"]
    assert len(axes.patches) == 1 and len(axes.lines) == 2
    low, high = axes.collections[0].get_clim()
    assert high == -low == 2
    figure.canvas.draw()


def test_a_planets_molecule_is_left_out_as_by_its_prior(simulated, physics) -> None:
    """With errors so large that draws of the prior alone give both evidences."""
    planets = simulated.isel(planet=[271]).copy(deep=True)
    planets["transit_depth_error"] *= 100
    forward = ForwardModel(edition_model(get_edition("adc2023"), physics), planets)
    prior = np.ptp(forward.systems.prior[:, 0], axis=0)
    low, high = sampling_box(forward.systems, 0)
    theta = low + (high - low) * np.random.default_rng(1).random((8000, len(low)))
    # The box cuts the prior where the likelihood vanishes.
    log_share = np.sum(np.log((high - low) / prior))

    def evidence(theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        by_bin = log_likelihood_by_bin(forward, 0, theta)
        total = np.nan_to_num(by_bin.sum(axis=1), nan=-np.inf)
        log_evidence = logsumexp(total) - np.log(len(theta)) + log_share
        return log_evidence, np.exp(total - logsumexp(total)), by_bin

    full, weight, by_bin = evidence(theta)
    assert 1 / np.sum(weight**2) > 200
    good = weight > 0
    draws = KeptDraws(theta[good], weight[good], by_bin[good])
    without = theta.copy()
    without[:, forward.systems.targets["H2O"]] = -np.inf
    expected, weight, by_bin = evidence(without)
    settings = ImportanceSettings(
        n_proposal=400, n_refined=400, rounds=2, most_draws=100, kept_draws=500
    )
    options = {"seed": 1, "settings": settings}
    found = planet_detections(forward, 0, draws, full, molecules=["H2O"], **options)["H2O"]
    assert found.log_bayes_factor == pytest.approx(full - expected, abs=0.15)
    loss = leave_one_out(draws.log_likelihood, draws.weight).elpd
    loss -= leave_one_out(by_bin[weight > 0], weight[weight > 0]).elpd
    np.testing.assert_allclose(found.loss, loss, atol=0.05)
    with pytest.raises(ArielflowError, match="molecule N2 is none of the forward model's"):
        planet_detections(forward, 0, draws, full, molecules=["N2"], **options)


def test_tables_of_planets_hold_what_was_found_and_what_was_not(
    simulated, physics, monkeypatch, tmp_path
) -> None:
    planets = simulated.isel(planet=[3, 5, 8]).assign_coords(planet=["007", "b", "c"])
    theta = np.zeros((3, 40, planets.sizes["target"]))
    draws = KeptDraws(theta[0], np.full(40, 1 / 40), np.zeros((40, planets.sizes["wavelength"])))
    wavelength_um = planets["wavelength"].values
    posterior = with_kept_draws(posterior_dataset(planets, theta), {0: draws}, 40, wavelength_um)
    posterior["log_evidence"] = "planet", [-7.0, -8.0, -9.0]
    loss = np.where(np.arange(len(wavelength_um)) == 9, 3.0, 0.01)
    alone = Detection(3.25, loss, loss < 0)
    asked = []

    def left_out(forward, planet, draws, log_evidence, *, molecules, seed, settings):
        asked.append((str(forward.systems.names[planet]), log_evidence, settings))
        if molecules == ["CO"]:
            raise ArielflowError("nothing is like the spectrum")
        return {molecules[0]: alone}

    monkeypatch.setattr(detection_tables, "planet_detections", left_out)
    settings = ImportanceSettings(n_proposal=300, rounds=1)
    options = {"physics": physics, "seed": 1, "settings": settings}
    found = detect_molecules(get_edition("adc2023"), planets, posterior, ["007", "c"], **options)
    for name, table in zip(("molecules", "bins"), found, strict=True):
        write_table(table, tmp_path / f"{name}.csv")
    stored = detection_tables.DetectionTables(
        *(read_results(tmp_path / f"{name}.csv") for name in ("molecules", "bins"))
    )
    # No more draws than the row's own sampling takes, and no more than are enough.
    name, log_evidence, sampling = asked[0]
    assert (name, log_evidence) == ("007", -7.0) and len(asked) == 5
    assert (sampling.n_proposal, sampling.rounds, sampling.n_refined) == (300, 1, 800)
    rows = stored.molecules.fillna({"warning": ""}).set_index(["planet", "molecule"])
    assert len(rows) == 10
    water = rows.loc[("007", "H2O")]
    assert water["leading_wavelength_um"] == wavelength_um[9]
    assert water["log_bayes_factor_without_it"] == pytest.approx(0.25)
    assert "H2O rests on the bin" in water["warning"]
    assert rows.loc[("007", "CO"), "warning"].endswith("nothing is like the spectrum")
    assert rows.loc["c", "warning"].str.contains("keeps no weighted draws").all()
    assert rows.loc["c", "log_bayes_factor"].isna().all()
    bins, again = planet_tables(stored, "007")
    np.testing.assert_allclose(bins, wavelength_um)
    assert list(again) == ["H2O", "CO2", "CH4", "NH3"] and again["H2O"].rests_on == 9
    np.testing.assert_allclose(again["H2O"].loss, loss)
    assert planet_tables(stored, "c")[1] == {}
