"""Bayesian networks, their uncertainties, and ensembles that lose a member."""

from __future__ import annotations

import json
from typing import get_args

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import wilcoxon
from test_models import SETTINGS, linear_planets

from arielflow.core.errors import ArielflowError, DivergedError
from arielflow.core.schema import ALEATORIC, EPISTEMIC
from arielflow.data.splits import split_planets
from arielflow.models import FAILED, failures, load_members, make_estimator
from arielflow.models.ensemble import sample_ensemble, spread_parts
from arielflow.models.member import write_member
from arielflow.models.networks.mixture import gaussian_mixture, marginal_moments, mixture_outputs
from arielflow.models.networks.residual import Activation

QUICK = {"epochs": 3, "batch_size": 64, "learning_rate": 2e-3}
SMALL = {"context_width": 16, "context_blocks": 1, "embedding": 8}


@pytest.mark.parametrize(
    "settings",
    [
        {"guide": "low_rank", "rank": 3, "weight_draws": 4},
        {"guide": "flow", "weight_draws": 4},
        {"bayesian": "all", "weight_draws": 4, "context_network": "convolution", "channels": 4},
        {"bayesian": "none", "components": 3},
    ],
    ids=["low_rank", "flow", "all", "mixture"],
)
def test_every_kind_of_weight_posterior_samples_its_density(settings) -> None:
    planets = linear_planets(150, 0)
    estimator = make_estimator("bnn", SMALL | settings | {"training": QUICK})
    estimator.fit(planets, linear_planets(50, 1), seed=1)
    test = planets.isel(planet=slice(0, 5))
    posterior = estimator.sample(test, 40, seed=1)
    again = estimator.log_prob(test, posterior["theta"].values)
    np.testing.assert_allclose(again, posterior["log_prob"], atol=1e-3)
    assert (EPISTEMIC in posterior) == (settings.get("bayesian") != "none")


@pytest.mark.parametrize("name", get_args(Activation))
def test_every_activation_trains(name) -> None:
    settings = {"bayesian": "none", "activation": name, "training": QUICK | {"batch_size": 5}}
    estimator = make_estimator("bnn", SMALL | settings)
    planets = linear_planets(20, 0)
    assert np.isfinite(estimator.fit(planets, planets, seed=0)["valid_loss"]).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bayesian": "none", "guide": "flow"}, "guide has no effect on bayesian none"),
        ({"rank": 3}, "rank has no effect without guide low_rank"),
        ({"bayesian": "all", "guide": "flow"}, "all weights are too many"),
    ],
)
def test_settings_without_effect_are_errors(settings, words) -> None:
    with pytest.raises(ArielflowError, match=words):
        make_estimator("bnn", settings)


@pytest.mark.parametrize("family", ["bnn", "cvae"])
def test_densities_integrate_to_one(family) -> None:
    settings = SETTINGS[family] | {"training": QUICK}
    if family == "cvae":
        settings |= {"importance_draws": 512}
    estimator = make_estimator(family, settings)
    estimator.fit(linear_planets(300, 0), linear_planets(50, 1), seed=1)
    centres = (np.arange(50) + 0.5) / 50
    grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(1, -1, 2)
    density = np.exp(estimator.log_prob(linear_planets(1, 2), grid))
    assert density.mean() == pytest.approx(1, abs=0.1)


def test_moments_by_quadrature_are_those_of_samples() -> None:
    outputs = torch.randn(3, mixture_outputs(2, 4), generator=torch.Generator().manual_seed(0))
    mixture = gaussian_mixture(outputs, n_targets=2, components=4)
    torch.manual_seed(1)
    values = torch.special.ndtr(mixture.sample((200_000,)).double())
    mean, variance = marginal_moments(mixture, torch.special.ndtr)
    torch.testing.assert_close(mean, values.mean(dim=0), atol=3e-3, rtol=0)
    torch.testing.assert_close(variance, values.var(dim=0), atol=2e-3, rtol=0)


def test_the_parts_of_a_mixture_s_variance_add_up_and_are_free_of_sampling_noise() -> None:
    rng = np.random.default_rng(0)
    shares, n = np.array([0.25, 0.75]), 2000

    def member(mean: float, width: float) -> xr.Dataset:
        theta = mean + width * rng.standard_normal((500, n, 1))
        weight = np.full((500, n), 1 / n)
        dims = ("planet", "sample", "target")
        return xr.Dataset({"theta": (dims, theta), "weight": (dims[:2], weight)})

    parts = spread_parts([member(0, 1), member(2, 3)], shares)
    assert parts[ALEATORIC].mean() == pytest.approx(np.sqrt(0.25 + 0.75 * 9), rel=0.01)
    assert parts[EPISTEMIC].mean() == pytest.approx(2 * np.sqrt(0.25 * 0.75), rel=0.02)
    same = spread_parts([member(0, 1), member(0, 1)], np.array([0.5, 0.5]))
    assert np.sqrt((same[EPISTEMIC] ** 2).mean()) < 0.02
    assert spread_parts([member(0, 1)], np.ones(1)) == {}


@pytest.mark.slow
def test_epistemic_uncertainty_rises_with_fewer_planets_more_than_aleatoric() -> None:
    test, valid = linear_planets(100, 2), linear_planets(200, 1)
    found = []
    # Long enough for the weights' widths to leave where they start.
    for n, epochs, batch in ((2000, 60, 100), (100, 240, 20)):
        training = {"epochs": epochs, "batch_size": batch, "learning_rate": 1e-2, "patience": 999}
        settings = {"context_width": 32, "context_blocks": 1, "embedding": 16}
        estimator = make_estimator("bnn", settings | {"warm_up": epochs // 5, "training": training})
        estimator.fit(linear_planets(n, 0), valid, seed=1)
        found.append(estimator.sample(test, 50, seed=1))
    aleatoric, epistemic = (
        [p[part].values.mean(axis=1) for p in found] for part in (ALEATORIC, EPISTEMIC)
    )
    assert wilcoxon(*epistemic[::-1], alternative="greater").pvalue < 1e-3
    shares = [e / a for e, a in zip(epistemic, aleatoric, strict=True)]
    assert wilcoxon(*shares[::-1], alternative="greater").pvalue < 1e-2


def test_a_cold_posterior_of_the_weights_is_narrower() -> None:
    test, parts = linear_planets(50, 2), (linear_planets(200, 0), linear_planets(100, 1))
    training = {"epochs": 40, "batch_size": 50, "learning_rate": 1e-2}
    found = []
    for weight in (1.0, 0.05):
        estimator = make_estimator("bnn", SMALL | {"kl_weight": weight, "training": training})
        estimator.fit(*parts, seed=1)
        found.append(estimator.sample(test, 50, seed=1)[EPISTEMIC].values.mean(axis=1))
    assert wilcoxon(*found, alternative="greater").pvalue < 1e-3


def _files(folder, planets: xr.Dataset) -> dict:
    planets.to_netcdf(folder / "train.nc", engine="h5netcdf")
    split_planets(planets, 0.2, 0).to_csv(folder / "split.csv", index=False)
    return {"planets_file": folder / "train.nc", "split_file": folder / "split.csv"}


def test_a_diverged_member_is_left_out_and_told(simulated, tmp_path, caplog) -> None:
    settings = SETTINGS["bnn"] | {
        "training": QUICK | {"learning_rate": 1e25, "clip_gradient": None, "schedule": "constant"}
    }
    files = _files(tmp_path, simulated)
    spec = {"family": "bnn", "settings": settings, "members": 2, "folds": False}
    broken, whole = tmp_path / "bnn/0", tmp_path / "bnn/1"
    write_member(broken, tmp_path / "0.csv", spec, member=0, **files, seed=1)
    write_member(
        whole, tmp_path / "1.csv", spec | {"settings": SETTINGS["bnn"]}, member=1, **files, seed=1
    )
    assert "diverged in epoch" in json.loads((broken / FAILED).read_text())["error"]
    assert (tmp_path / "0.csv").read_text().startswith("epoch,")
    test = simulated.isel(planet=slice(0, 3))
    posterior = sample_ensemble([broken, whole], test, 100, seed=1)
    assert "bnn/0 is left out" in caplog.text
    np.testing.assert_array_equal(posterior.attrs["shares"], [1])
    assert list(failures([broken, whole])) == ["bnn/0"]
    with pytest.raises(ArielflowError, match="all 2 members failed"):
        load_members([broken, broken])
    with pytest.raises(DivergedError, match="lower the learning rate"):
        write_member(
            tmp_path / "x", tmp_path / "x.csv", spec | {"members": 1}, member=0, **files, seed=1
        )
