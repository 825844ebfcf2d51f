"""One contract for every family of models, and problems whose posterior is known."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from arielflow.core.device import resolve_device
from arielflow.core.errors import ArielflowError
from arielflow.core.schema import Quality
from arielflow.editions import get_edition
from arielflow.models import FAMILIES, load_estimator, make_estimator
from arielflow.models.coordinates import TargetCoordinates
from arielflow.models.ensemble import ensemble_log_prob, sample_ensemble
from arielflow.models.families import _density as density
from arielflow.models.families import flow, mc_dropout
from arielflow.models.features import context_features, planet_tensors

FAST = {"epochs": 3, "batch_size": 64, "learning_rate": 2e-3}
# For the families whose default settings take long.
SETTINGS = {
    "bnn": {"context_width": 16, "embedding": 8, "weight_draws": 4, "training": FAST},
    "cvae": {"width": 16, "blocks": 1, "context_width": 16, "latent": 3, "training": FAST},
    "flow": {"layer_pairs": 1, "hidden": 16, "context_width": 16, "training": FAST},
    "flow_matching": {"width": 16, "blocks": 1, "context_width": 16, "training": FAST},
    "mc_dropout": {"n_rows": 100, "training": FAST | {"schedule": "constant", "batch_size": 32}},
    "random_forest": {"trees": 20, "importance_trees": 3},
}


@pytest.fixture(scope="module", params=FAMILIES)
def trained(request, simulated, tmp_path_factory):
    """Family, trained estimator and its folder."""
    estimator = make_estimator(request.param, SETTINGS.get(request.param))
    parts = simulated.isel(planet=slice(0, 240)), simulated.isel(planet=slice(240, 300))
    history = estimator.fit(*parts, seed=4)
    assert list(history.columns) == ["epoch", "train_loss", "valid_loss"]
    folder = tmp_path_factory.mktemp(request.param)
    estimator.save(folder)
    return request.param, estimator, folder


def test_contract(trained, simulated) -> None:
    _, estimator, folder = trained
    planets = simulated.isel(planet=slice(250, 260))
    first, same, other = (estimator.sample(planets, 300, seed=s)["theta"] for s in (1, 1, 2))
    assert first.shape == (10, 300, 7)
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
    assert (first >= planets["prior_low"].values[:, None]).all()
    assert (first <= planets["prior_high"].values[:, None]).all()
    loaded = load_estimator(folder).sample(planets, 300, seed=1)["theta"]
    np.testing.assert_array_equal(first, loaded)


def test_density_of_own_samples(trained, simulated) -> None:
    _, estimator, folder = trained
    planets = simulated.isel(planet=slice(250, 260))
    posterior = estimator.sample(planets, 20, seed=1)
    mixture = ensemble_log_prob([folder, folder], planets, posterior["theta"].values[:, 0])
    if not estimator.has_log_prob:
        assert mixture is None and "log_prob" not in posterior
        with pytest.raises(NotImplementedError):
            estimator.log_prob(planets, posterior["theta"].values)
        return
    with pytest.raises(ArielflowError, match="device 'tpu' is not known"):
        ensemble_log_prob([folder], planets, posterior["theta"].values[:, 0], device="tpu")
    again = estimator.log_prob(planets, posterior["theta"].values)
    np.testing.assert_allclose(again, posterior["log_prob"], atol=0.02)
    np.testing.assert_allclose(mixture, again[:, 0], atol=1e-6)


def test_moments_are_those_of_the_samples_and_their_slopes_their_own(trained, simulated) -> None:
    _, estimator, _ = trained
    planets = simulated.isel(planet=slice(250, 253))
    tensors = planet_tensors(planets)
    if not estimator.has_derivatives:
        with pytest.raises(NotImplementedError):
            estimator.moments(tensors, 8, seed=1)
        return
    before = torch.random.get_rng_state()
    mean, variance = estimator.moments(tensors, 2000, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    theta = estimator.sample(planets, 2000, seed=5)["theta"].values
    # What all samples share, at the prior's edge, has no width.
    width = theta.std(axis=1)
    distance = np.abs(mean.detach().numpy() - theta.mean(axis=1))
    np.testing.assert_array_less(distance, 0.15 * width + 1e-6)
    np.testing.assert_allclose(variance.detach().sqrt(), width, rtol=0.15, atol=1e-6)
    # Along the gradient of a mean over a step that single precision resolves.
    depth = tensors.depth.clone().requires_grad_()
    mean, _ = estimator.moments(replace(tensors, depth=depth), 400, seed=1)
    (slope,) = torch.autograd.grad((mean[:, 2]).sum(), depth)
    step = 0.3 * tensors.error * torch.nn.functional.normalize(slope * tensors.error, dim=1)
    with torch.no_grad():
        sides = [
            estimator.moments(replace(tensors, depth=tensors.depth + sign * step), 400, seed=1)[0]
            for sign in (1, -1)
        ]
    change = (sides[0] - sides[1])[:, 2] / 2
    np.testing.assert_allclose(change, (slope * step).sum(dim=1), rtol=0.1, atol=1e-6)


def test_the_tensors_density_and_embedding_are_the_models_own(trained, simulated) -> None:
    _, estimator, _ = trained
    planets = simulated.isel(planet=slice(250, 253))
    tensors = planet_tensors(planets)
    theta = estimator.sample(planets, 4, seed=1)["theta"].values
    if estimator.has_log_prob:
        own = estimator.log_density(tensors, torch.as_tensor(theta[:, 0]))
        np.testing.assert_allclose(
            own.detach(), estimator.log_prob(planets, theta)[:, 0], atol=1e-4
        )
    else:
        with pytest.raises(NotImplementedError):
            estimator.log_density(tensors, torch.as_tensor(theta[:, 0]))
    if not estimator.has_derivatives:
        with pytest.raises(NotImplementedError):
            estimator.embedding(tensors)
        return
    embedding = estimator.embedding(tensors).detach()
    assert len(embedding) == 3 and embedding.isfinite().all() and embedding.std(dim=0).any()


@pytest.mark.parametrize("family", FAMILIES)
def test_unknown_settings_are_errors_that_list_the_valid_ones(family) -> None:
    with pytest.raises(ArielflowError, match="valid settings are") as caught:
        make_estimator(family, {"colour": "red"})
    assert "colour" in str(caught.value)
    with pytest.raises(ArielflowError, match="random_forest"):
        make_estimator("oracle")


IMPOSSIBLE = [
    ("flow", {"hidden": -1}, "hidden"),
    ("flow", {"bins": 1_000_000_000_000}, "bins"),
    ("flow", {"training": {"epochs": -1}}, "training.epochs"),
    ("flow", {"training": {"epochs": 10**9}}, "training.epochs"),
    ("flow", {"training": {"batch_size": 0}}, "training.batch_size"),
    ("flow", {"training": {"learning_rate": -1}}, "training.learning_rate"),
    ("flow", {"training": {"learning_rate": float("inf")}}, "training.learning_rate"),
    ("flow", {"training": {"learning_rate": "1e-3"}}, "write 0.001"),
    ("flow", {"training": {"weight_decay": float("nan")}}, "training.weight_decay"),
    ("flow", {"training": {"patience": 0}}, "training.patience"),
    ("flow", {"training": {"clip_gradient": 0}}, "training.clip_gradient"),
    ("flow", {"epochs": 3}, "did you mean training.epochs"),
    ("flow", {"hiden": 3}, "did you mean hidden"),
    ("flow", {"dropout": 2}, "dropout"),
    ("flow", {"dropout": 1.0}, "dropout"),
    ("flow", {"jitter": float("nan")}, "jitter"),
    ("flow", {"tail_bound": 0}, "tail_bound"),
    ("flow", {"x" * 100_000: 1}, "unknown key"),
    ("flow", [1], "expected a mapping"),
    ("flow", {3: 1}, "the key 3 is no text"),
    ("flow_matching", {"frequencies": 10**9}, "frequencies"),
    ("flow_matching", {"nodes": 10**9}, "nodes"),
    ("cvae", {"latent": True}, "latent"),
    ("cvae", {"importance_draws": 10**9}, "importance_draws"),
    ("bnn", {"weight_draws": 10**9}, "weight_draws"),
    ("bnn", {"prior_scale": float("inf")}, "prior_scale"),
    ("mc_dropout", {"filters": [32, -1]}, "filters.1"),
    ("mc_dropout", {"dense": "500"}, "dense"),
    ("mc_dropout", {"repeats": 0}, "repeats"),
    ("mc_dropout", {"validation_fraction": 1.0}, "validation_fraction"),
    ("mc_dropout", {"n_rows": "3"}, "n_rows"),
    ("random_forest", {"trees": 0}, "trees"),
    ("random_forest", {"trees": 10**9}, "trees"),
    ("random_forest", {"min_impurity_decrease": -1}, "min_impurity_decrease"),
]


@pytest.mark.parametrize(("family", "settings", "words"), IMPOSSIBLE)
def test_impossible_settings_are_refused_in_one_line(family, settings, words) -> None:
    with pytest.raises(ArielflowError) as caught:
        make_estimator(family, settings)
    text = str(caught.value)
    assert words in text and "\n" not in text and len(text) < 1000


def test_inputs_that_the_data_lack_are_refused_before_the_training(simulated) -> None:
    settings = {"extra_inputs": ["planet_radius"]}
    quantities = [list(simulated[f"{k}_quantity"].values) for k in ("target", "auxiliary")]
    estimator = make_estimator("mc_dropout", settings)
    with pytest.raises(ArielflowError, match=r"planet_radius is not known.*temperature"):
        estimator.fit(simulated, simulated, seed=1)
    targets, auxiliaries = quantities
    assert "planet_radius is not known" in estimator.misfit(targets, auxiliaries)
    assert estimator.misfit(targets[1:], [*auxiliaries, "surface_gravity_m_s2"]) is None
    with pytest.raises(ArielflowError, match="leave nothing of 52 bins"):
        make_estimator("mc_dropout", {"filters": [4] * 6}).fit(simulated, simulated, seed=1)


def test_an_unusable_planet_gets_its_prior(trained, simulated) -> None:
    _, _, folder = trained
    planets = simulated.isel(planet=slice(250, 253)).copy(deep=True)
    planets["quality"].values[1] = int(Quality.NON_FINITE_SPECTRUM)
    planets["transit_depth"].values[1] = np.nan
    theta = sample_ensemble([folder, folder], planets, 1000, seed=3)["theta"].values
    assert np.isfinite(theta).all()
    low, high = planets["prior_low"].values[1], planets["prior_high"].values[1]
    unit = (theta[1] - low) / (high - low)
    np.testing.assert_allclose(unit.mean(axis=0), 0.5, atol=0.05)
    np.testing.assert_allclose(unit.std(axis=0), 1 / np.sqrt(12), atol=0.03)


DAMAGE = {
    "depth": ("transit_depth", slice(None), np.nan),
    "error": ("transit_depth_error", slice(3, 5), 0.0),
    "star": ("auxiliary_value", "star_radius_m", 0.0),
    "mass": ("auxiliary_value", "planet_mass_kg", -1.0),
    "distance": ("auxiliary_value", "semi_major_axis_au", 1e-300),
    "far": ("transit_depth", slice(None), 1e250),
}


def damaged(planets: xr.Dataset, row: int, damage: str) -> xr.Dataset:
    """The planets, one of them with data that are called usable and are not."""
    name, place, value = DAMAGE[damage]
    if isinstance(place, str):
        place = list(planets["auxiliary_quantity"].values).index(place)
    planets = planets.copy(deep=True)
    planets[name].values[row, place] = value
    return planets


@pytest.mark.parametrize("damage", DAMAGE)
def test_one_impossible_planet_is_told_and_changes_no_other(
    damage, trained, simulated, caplog
) -> None:
    _, estimator, folder = trained
    good = simulated.isel(planet=slice(250, 256))
    planets = damaged(good, 2, damage)
    found = sample_ensemble([folder, folder], planets, 300, seed=3)
    others = [0, 1, 3, 4, 5]
    whole = sample_ensemble([folder, folder], good.isel(planet=others), 300, seed=3)
    assert found["retrieved"].values[others].all() and whole["retrieved"].values.all()
    fault = found["fault"].values[2]
    assert (fault == "") == found["retrieved"].values[2]
    assert damage != "depth" or fault
    name = str(planets["planet"].values[2])
    assert not fault or name in caplog.text
    low, high = (planets[f"prior_{end}"].values[2] for end in ("low", "high"))
    unit = (found["theta"].values[2] - low) / (high - low)
    assert ((unit >= 0) & (unit <= 1)).all()
    if fault:
        np.testing.assert_allclose(unit.mean(axis=0), 0.5, atol=0.1)
        for variable in {"theta", "weight", "aleatoric", "epistemic"} & set(found):
            np.testing.assert_array_equal(found[variable].values[others], whole[variable].values)
    if estimator.has_log_prob:
        point = good["theta"].values
        density = ensemble_log_prob([folder, folder], planets, point)
        assert np.isnan(density[2]) == bool(fault)
        without = ensemble_log_prob([folder, folder], good.isel(planet=others), point[others])
        np.testing.assert_allclose(density[others], without, rtol=1e-5, atol=1e-3)
    if fault and damage != "far":  # which is only too much for what follows the features
        with pytest.raises(ArielflowError, match=name):
            estimator.sample(planets, 10, seed=1)


@pytest.mark.parametrize("damage", ["depth", "star"])
def test_an_impossible_planet_is_left_out_of_the_training(damage, simulated, caplog) -> None:
    train, valid = simulated.isel(planet=slice(0, 60)), simulated.isel(planet=slice(240, 260))
    for family in ("flow", "random_forest"):
        models = [make_estimator(family, SETTINGS[family]) for _ in range(2)]
        histories = [
            model.fit(planets, valid, seed=4)
            for model, planets in zip(
                models, (damaged(train, 7, damage), train.drop_isel(planet=7)), strict=True
            )
        ]
        pd.testing.assert_frame_equal(*histories)
        assert "1 training planets are left out" in caplog.text
        assert str(train["planet"].values[7]) in caplog.text
        caplog.clear()


def linear_planets(n: int, seed: int) -> xr.Dataset:
    """Two targets, uniform on the unit square, seen through a linear map with Gaussian noise."""
    rng = np.random.default_rng(seed)
    edition = get_edition("wfc3")
    theta = rng.random((n, 2))
    signal = np.stack([np.linspace(0, 1, 13), np.linspace(1, 0, 13) ** 2])
    depth = 0.01 + 0.001 * theta @ signal
    error = np.full_like(depth, 1.2e-4)
    coordinates = {"planet": [f"p{i}" for i in range(n)], "wavelength": edition.wavelength_um}
    for name in ("target", "target_quantity", "target_units", "target_latex"):
        coordinates[name] = ("target", ["a", "b"])
    planets = xr.Dataset(
        {
            "transit_depth": (("planet", "wavelength"), depth),
            "transit_depth_error": (("planet", "wavelength"), error),
            "auxiliary_value": (("planet", "auxiliary"), np.empty((n, 0))),
            "theta": (("planet", "target"), theta),
            "prior_low": (("planet", "target"), np.zeros((n, 2))),
            "prior_high": (("planet", "target"), np.ones((n, 2))),
        },
        coords=coordinates | {"auxiliary_quantity": ("auxiliary", np.empty(0, dtype=object))},
        attrs={"noise": "free"},
    )
    planets.attrs["covariance"] = np.linalg.inv(1e-6 * signal @ signal.T / 1.2e-4**2)
    return planets


KNOWN = {
    "bnn": {"context_width": 64, "embedding": 32, "warm_up": 2},
    "cvae": {"width": 64, "blocks": 1, "context_width": 64, "latent": 4, "warm_up": 5},
    "flow": {"layer_pairs": 1, "hidden": 32, "context_width": 64},
    "flow_matching": {"width": 32, "blocks": 2, "context_width": 64, "time_exponent": 1.0},
}


@pytest.mark.parametrize("family", KNOWN)
def test_a_known_posterior_is_recovered(family) -> None:
    train, valid, test = (linear_planets(n, s) for n, s in ((4000, 0), (400, 1), (60, 2)))
    inner = test.isel(planet=(np.abs(test["theta"].values - 0.5) < 0.25).all(axis=1))
    training = {"epochs": 20, "batch_size": 128, "learning_rate": 5e-3}
    estimator = make_estimator(family, KNOWN[family] | {"training": training})
    estimator.fit(train, valid, seed=1)
    theta = estimator.sample(inner, 600, seed=1)["theta"].values
    expected = np.sqrt(np.diag(test.attrs["covariance"]))
    bias = (theta.mean(axis=1) - inner["theta"].values) / expected
    assert np.abs(bias).mean() < 0.35
    np.testing.assert_allclose(np.median(theta.std(axis=1), axis=0), expected, rtol=0.2)


def test_a_forest_follows_the_parameters() -> None:
    train, valid, test = (linear_planets(n, s) for n, s in ((4000, 0), (400, 1), (60, 2)))
    forest = make_estimator("random_forest", {"trees": 60, "importance_trees": 0})
    forest.fit(train, valid, seed=1)
    mean = forest.sample(test, 500, seed=1)["theta"].values.mean(axis=1)
    for target in range(2):
        assert np.corrcoef(mean[:, target], test["theta"].values[:, target])[0, 1] > 0.85


def test_coordinates_are_a_bijection_with_the_stated_slope(simulated) -> None:
    data = planet_tensors(simulated)
    coordinates = TargetCoordinates.fitted(data, radius=0)
    z, log_slope = coordinates(data, data.theta)
    back, slope_back = coordinates.inverse(data, z)
    torch.testing.assert_close(slope_back, log_slope)
    torch.testing.assert_close(back, data.theta, rtol=1e-8, atol=1e-8)
    one = data.rows(torch.tensor([5]))
    jacobian = torch.autograd.functional.jacobian(
        lambda theta: coordinates(one, theta[None])[0][0], one.theta[0]
    )
    assert float(torch.logdet(jacobian.abs())) == pytest.approx(float(log_slope[5]), rel=1e-6)


def test_atoms_are_spread_and_clipped_back() -> None:
    planets = linear_planets(500, 0)
    planets["theta"].values[:200, 1] = 0.0
    data = planet_tensors(planets)
    coordinates = TargetCoordinates.fitted(data, radius=None)
    spread = coordinates.dequantise(data, data.theta, torch.Generator().manual_seed(0))
    assert coordinates.slab_below[1] > 0 and coordinates.slab_below[0] == 0
    assert len(spread[:200, 1].unique()) == 200 and (spread[:200, 1] < 0).all()
    back, _ = coordinates.inverse(data, coordinates(data, spread)[0])
    assert (back[:200, 1] == 0).all()
    torch.testing.assert_close(back[200:], data.theta[200:], rtol=1e-6, atol=1e-6)


def test_gravity_does_not_leak_the_radius(simulated) -> None:
    changed = simulated.copy(deep=True)
    column = list(changed["auxiliary_quantity"].values).index("surface_gravity_m_s2")
    changed["auxiliary_value"].values[:, column] *= 3
    first, second = (context_features(planet_tensors(p)) for p in (simulated, changed))
    assert torch.equal(first, second)


class _InterruptedError(Exception):
    pass


def test_an_interrupted_training_resumes_to_the_same_model(
    simulated, tmp_path, monkeypatch
) -> None:
    parts = simulated.isel(planet=slice(0, 240)), simulated.isel(planet=slice(240, 300))
    whole = make_estimator("flow", SETTINGS["flow"])
    history = whole.fit(*parts, seed=4)
    broken = make_estimator("flow", SETTINGS["flow"])
    original, calls = density.DensityNetwork.loss, []

    def failing(self, *arguments):
        calls.append(1)
        if len(calls) > 10:
            raise _InterruptedError
        return original(self, *arguments)

    monkeypatch.setattr(density.DensityNetwork, "loss", failing)
    with pytest.raises(_InterruptedError):
        broken.fit(*parts, seed=4, state_dir=tmp_path)
    monkeypatch.setattr(density.DensityNetwork, "loss", original)
    resumed = make_estimator("flow", SETTINGS["flow"])
    pd.testing.assert_frame_equal(resumed.fit(*parts, seed=4, state_dir=tmp_path), history)
    planets = simulated.isel(planet=slice(250, 255))
    np.testing.assert_array_equal(
        whole.sample(planets, 50, seed=1)["theta"], resumed.sample(planets, 50, seed=1)["theta"]
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_fails_loudly_where_there_is_none() -> None:
    with pytest.raises(ArielflowError, match="finds no CUDA device"):
        resolve_device("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cpu_and_gpu_agree(trained, simulated) -> None:
    _, estimator, _ = trained
    planets = simulated.isel(planet=slice(250, 260))
    means = [
        estimator.sample(planets, 4000, seed=1, device=device)["theta"].mean("sample")
        for device in ("cpu", "cuda")
    ]
    scatter = estimator.sample(planets, 4000, seed=1)["theta"].std("sample")
    assert (np.abs(means[0] - means[1]) < 0.1 * scatter).all()


def test_samples_of_a_shared_context_are_those_of_a_repeated_one() -> None:
    torch.manual_seed(1)
    shared = flow._coupling_flow(flow.Config(hidden=16, embedding=8), 5)
    embedding = torch.randn(3, 8)
    with torch.no_grad():
        for parameter in shared.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        torch.manual_seed(2)
        z, log_prob = shared.sample_and_log_prob(40, embedding)
        torch.manual_seed(2)
        # nflows' own sampling repeats the context.
        expected_z, expected_log_prob = shared.flow.sample_and_log_prob(40, embedding)
        densities = [
            shared.log_prob(z.flatten(0, 1), context).view(3, 40)
            for context in (embedding, embedding.repeat_interleave(40, dim=0))
        ]
    assert z.std(dim=1).min() > 0.1
    torch.testing.assert_close(z, expected_z, rtol=1e-4, atol=1e-4)
    for found in (expected_log_prob, *densities):
        torch.testing.assert_close(log_prob, found, rtol=1e-3, atol=1e-2)


def test_mc_dropout_starts_from_the_baseline_s_initial_weights() -> None:
    """Keras' defaults; PyTorch's own leave the trained network blind to all but the radius."""
    network = mc_dropout._Network(mc_dropout.Config(), n_bins=52, n_targets=7)
    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv1d | torch.nn.Linear)]
    assert len(layers) == 9
    for layer in layers:
        fans = torch.tensor(layer.weight.shape[:2]) * layer.weight[0, 0].numel()
        assert not layer.bias.any()
        bound = (6 / float(fans.sum())) ** 0.5
        assert float(layer.weight.detach().abs().max()) == pytest.approx(bound, rel=0.05)


def test_a_model_is_loaded_and_sampled_without_the_training_library() -> None:
    """Lightning takes as long to import as everything else together."""
    imports = [f"import arielflow.models.families.{family}" for family in FAMILIES]
    code = "; ".join(["import sys", *imports, "sys.exit('lightning' in sys.modules)"])
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
