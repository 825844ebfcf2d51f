"""Planets and members that fail: each is found, told and left out of whatever is mixed."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from test_models import SETTINGS, damaged

from arielflow.core.errors import ArielflowError, Stopped
from arielflow.evaluation.calibration import calibrate_model
from arielflow.evaluation.leaderboard import SCORES, leaderboard
from arielflow.models import load_estimator, make_estimator
from arielflow.models.ensemble import Ensemble, sample_ensemble, stacking_shares
from arielflow.models.faults import attempted

FAR = 1e100  # a depth that a standardisation in single precision cannot hold


@pytest.fixture(scope="module")
def members(simulated, tmp_path_factory) -> dict[str, Path]:
    """Folders of a flow, of the baseline, and of one whose weights make NaN of everything."""
    folders = {}
    for family in ("flow", "mc_dropout"):
        model = make_estimator(family, SETTINGS[family])
        model.fit(simulated.isel(planet=slice(0, 100)), simulated.isel(planet=[100, 101]), seed=1)
        folders[family] = tmp_path_factory.mktemp(family)
        model.save(folders[family])
    with torch.no_grad():
        model.network.dense[0].weight.fill_(3e38)
    folders["broken"] = tmp_path_factory.mktemp("broken")
    model.save(folders["broken"])
    return folders


@pytest.fixture(scope="module")
def planets(simulated) -> xr.Dataset:
    """Planets of which the third has too deep a transit for the baseline alone."""
    planets = simulated.isel(planet=slice(200, 206)).copy(deep=True)
    planets["transit_depth"].values[2] = FAR
    return planets


def test_a_planet_is_mixed_from_the_members_that_do_not_fail(members, planets, caplog) -> None:
    both = [members["mc_dropout"], members["flow"]]
    found = sample_ensemble(both, planets, 200, seed=3)
    others = [0, 1, 3, 4, 5]
    whole = sample_ensemble(both, planets.isel(planet=others), 200, seed=3)
    for name in ("theta", "aleatoric", "epistemic"):
        np.testing.assert_array_equal(found[name].values[others], whole[name].values)
    assert found["retrieved"].values.all() and (found["fault"].values == "").all()
    assert f"{planets['planet'].values[2]}: without 1 members" in caplog.text
    alone = Ensemble([members["flow"]]).mixture(planets.isel(planet=[2]), 200, seed=3)
    spread = [np.ptp(theta, axis=0) for theta in (found["theta"].values[2], alone.theta[0])]
    # Its radius lies at one edge of the prior or at the other.
    np.testing.assert_allclose(spread[0][1:], spread[1][1:], rtol=0.5)


def test_a_member_that_fails_for_all_planets_is_left_out(members, planets, caplog) -> None:
    good = planets.isel(planet=[0, 1, 3])
    found = sample_ensemble([members["flow"], members["broken"]], good, 200, seed=3)
    assert "member 1 is left out" in caplog.text
    assert found["retrieved"].values.all() and np.isfinite(found["theta"].values).all()
    flow = load_estimator(members["flow"])
    assert np.ptp(found["theta"].values[:, :, 0], axis=1).max() <= 2.9
    assert flow.sees(good).all()
    with pytest.raises(ArielflowError, match="all 1 members fail for all 3 planets"):
        sample_ensemble([members["broken"]], good, 200, seed=3)


def test_all_planets_may_be_impossible(members, planets) -> None:
    bad = damaged(damaged(planets.isel(planet=[0, 1]), 0, "depth"), 1, "error")
    found = sample_ensemble([members["flow"]], bad, 100, seed=1)
    assert not found["retrieved"].values.any()
    assert all("not finite" in fault for fault in found["fault"].values)


def test_calibration_and_stacking_do_without_the_planet(members, simulated, caplog) -> None:
    valid = damaged(simulated.isel(planet=slice(200, 230)), 4, "star")
    shares = stacking_shares([members["flow"], members["flow"]], valid, seed=1)
    np.testing.assert_allclose(shares, 0.5)
    assert "stacking leaves out 1 of 30 planets" in caplog.text
    found = calibrate_model([members["flow"]], valid, valid["theta"].values, 100, seed=1)
    assert (found.table["n_planets"] == 29).all() and len(found.ranks) == 29
    assert "calibration leaves out 1 of 30 planets" in caplog.text
    with pytest.raises(ArielflowError, match="fails for all 1 planets"):
        calibrate_model(
            [members["flow"]], valid.isel(planet=[4]), valid["theta"].values[4:5], 100, seed=1
        )


@pytest.mark.parametrize("metrics", [("adc2023_posterior",), ("r2",)])
def test_a_leaderboard_tells_of_how_many_planets_a_mean_is(metrics, caplog) -> None:
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"planet_ID": [f"p{i}" for i in range(9)]})
    for name in (*SCORES, "mean_a", "true_a"):
        table[name] = rng.random(9)
    table.loc[3, ["log_prob", "energy_score", "mean_a"]] = np.nan
    row = leaderboard(
        {"flow": table}, target_names=["a"], metrics=metrics, seed=1, calibration={}
    ).iloc[0]
    assert row["log_prob"] == pytest.approx(table["log_prob"].mean())
    assert "flow: log_prob is the mean of 8 planets; 1 have none: p3" in caplog.text
    assert metrics != ("r2",) or np.isfinite(row["r2_a"])


def test_faults_are_found_one_by_one() -> None:
    def attempt(rows: np.ndarray) -> int:
        bad = sorted({3, 17, 18} & set(rows.tolist()))
        if bad:
            raise AssertionError(f"row {bad[0]}")
        return len(rows)

    assert attempted(attempt, np.array([0, 1, 2])) == (3, {})
    result, faults = attempted(attempt, np.arange(40))
    assert result is None and sorted(faults) == [3, 17, 18]
    assert faults[17] == "AssertionError: row 17"

    def together(rows: np.ndarray) -> int:
        if len(rows) > 4:
            raise RuntimeError("out of memory")
        return len(rows)

    with pytest.raises(ArielflowError, match="by itself none of them fails"):
        attempted(together, np.arange(9))

    def stopped(rows: np.ndarray) -> int:
        raise Stopped(signal.SIGTERM)

    with pytest.raises(Stopped):
        attempted(stopped, np.arange(9))
