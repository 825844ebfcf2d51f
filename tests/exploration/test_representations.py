"""One contract for every representation of spectra, and their comparison."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from arielflow import plotting
from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_dataset
from arielflow.editions import get_edition
from arielflow.exploration.components import explore
from arielflow.exploration.disentangle import chemical_twins, compare_disentangled
from arielflow.exploration.representations import (
    compare_representations,
    model_folders,
    rms_error,
    train_representation,
)
from arielflow.models import REPRESENTATIONS, load_representation, make_representation
from arielflow.models.representations.disentangled import nuisance_factors
from arielflow.report.content import ReportContent
from arielflow.report.representation_section import (
    disentangled_section,
    representation_section,
)

TRAINING = {"epochs": 30, "batch_size": 32, "learning_rate": 5e-3}
SETTINGS = {"width": 32, "training": TRAINING}


def settings(name: str, n_latent: int = 3) -> dict:
    return {"n_latent": n_latent} | ({} if name == "pca" else SETTINGS)


@pytest.fixture(scope="module", params=REPRESENTATIONS)
def trained(request, simulated, tmp_path_factory):
    """Name, trained representation and its folder."""
    model = make_representation(request.param, settings(request.param))
    parts = simulated.isel(planet=slice(0, 240)), simulated.isel(planet=slice(240, 300))
    history = model.fit(*parts, seed=4)
    assert list(history.columns) == ["epoch", "train_loss", "valid_loss"]
    folder = tmp_path_factory.mktemp(request.param)
    model.save(folder)
    return request.param, model, folder


def test_contract(trained, simulated) -> None:
    _, model, folder = trained
    planets = simulated.isel(planet=slice(250, 260))
    latent = model.encode(planets)
    decoded = model.decode(latent)
    assert latent.shape == (10, model.n_latent) == (10, 3)
    assert decoded.shape == model.scaled(planets).shape == (10, 52)
    np.testing.assert_array_equal(latent, model.encode(planets))
    loaded = load_representation(folder)
    np.testing.assert_array_equal(latent, loaded.encode(planets))
    np.testing.assert_array_equal(decoded, loaded.decode(latent))


def test_something_is_learnt(trained, simulated) -> None:
    _, model, _ = trained
    # Spectra reduced to their shape have unit scatter: knowing nothing costs about that.
    assert rms_error(model, simulated.isel(planet=slice(240, 300))) < 0.6


def test_the_seed_decides(trained, simulated) -> None:
    name, model, _ = trained
    parts = simulated.isel(planet=slice(0, 240)), simulated.isel(planet=slice(240, 300))
    planets = simulated.isel(planet=slice(250, 260))
    latents = []
    for seed in (4, 5):
        again = make_representation(name, settings(name))
        again.fit(*parts, seed=seed)
        latents.append(again.encode(planets))
    np.testing.assert_array_equal(latents[0], model.encode(planets))
    assert (name == "pca") == np.array_equal(*latents)


def test_wrong_input_is_told(trained, simulated) -> None:
    _, model, _ = trained
    with pytest.raises(ArielflowError, match="51 bins, expected 52"):
        model.encode(simulated.isel(wavelength=slice(1, None)))
    with pytest.raises(ArielflowError, match=r"expected \(planet, 3\)"):
        model.decode(np.zeros((4, 2)))


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_unknown_settings_are_errors_that_list_the_valid_ones(name) -> None:
    with pytest.raises(ArielflowError, match=r"colour.*valid settings are n_latent"):
        make_representation(name, {"colour": "red"})


def test_unknown_names_and_empty_folders_are_told(tmp_path, simulated) -> None:
    with pytest.raises(ArielflowError, match="choose pca"):
        make_representation("magic")
    with pytest.raises(ArielflowError, match="train it first"):
        load_representation(tmp_path)
    with pytest.raises(ArielflowError, match="n_latent is 60, expected at most 52"):
        make_representation("pca", {"n_latent": 60}).fit(simulated, simulated, seed=1)


@pytest.fixture(scope="module")
def comparison(simulated, tmp_path_factory):
    root = tmp_path_factory.mktemp("comparison")
    split = pd.DataFrame({"planet_ID": simulated["planet"].values, "subset": "train"})
    split.loc[240:, "subset"] = "valid"
    write_dataset(simulated, root / "planets.nc")
    split.to_csv(root / "split.csv", index=False)
    names, dimensions = ["pca", "autoencoder"], [2, 5]
    for name in names:
        for n in dimensions:
            model, _ = train_representation(
                name,
                SETTINGS,
                root / "planets.nc",
                root / "split.csv",
                n_latent=n,
                scaling="shape",
                seed=1,
            )
            model.save(root / name / str(n))
    test = simulated.isel(planet=slice(240, 300))
    explored = explore(simulated, test, n_components=3, clusters=range(2, 4), seed=1)
    folders = model_folders([root / name / str(n) for name in names for n in dimensions])
    return compare_representations(folders, simulated, split, test, explored, seed=1)


def test_comparison(comparison) -> None:
    error = comparison["rms_test"]
    assert dict(error.sizes) == {"model": 2, "dimension": 2}
    pca = error.sel(model="pca")
    assert float(pca.sel(dimension=5)) < float(pca.sel(dimension=2))
    ratio = comparison["rms_valid"].sel(model="autoencoder") / comparison["rms_valid"].sel(
        model="pca"
    )
    assert comparison.attrs["dimension"] == [2, 5][int(np.argmin(ratio.values))]
    assert comparison.attrs["best"] == "autoencoder"
    assert dict(comparison["probe_r2"].sizes) == {"model": 2, "target": 7}
    assert comparison["latent"].shape == (60, comparison.attrs["dimension"])
    assert set(np.unique(comparison["cluster_label"])) <= {1, 2, 3}


def test_comparison_in_the_report(comparison) -> None:
    section = representation_section(ReportContent("t", "r", "e", representation=comparison))
    names = [block.name for block in section.blocks if hasattr(block, "figure")]
    assert names == ["representation_error", "latent_by_target", "latent_by_cluster"]
    for axes in plotting.representation_error(comparison).axes:
        assert axes.get_xlabel().endswith("]") and axes.get_ylabel().endswith("]")


def test_comparison_needs_an_autoencoder(simulated) -> None:
    with pytest.raises(ArielflowError, match="at least one autoencoder"):
        compare_representations({"pca": {}}, simulated, None, simulated, None, seed=1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cpu_and_gpu_agree(trained, simulated) -> None:
    _, model, _ = trained
    planets = simulated.isel(planet=slice(250, 260))
    latents = [model.encode(planets, device=device) for device in ("cpu", "cuda")]
    np.testing.assert_allclose(*latents, atol=1e-4)


def test_chemical_twins_share_abundances_alone(simulated, physics) -> None:
    planets = simulated.isel(planet=slice(0, 40))
    twins = chemical_twins(get_edition("adc2023"), planets, physics, seed=1)
    theta, other = planets["theta"].values, twins["theta"].values
    np.testing.assert_array_equal(theta[:, 2:], other[:, 2:])
    assert (theta[:, :2] != other[:, :2]).all()
    assert set(theta[:, 1]) == set(other[:, 1])
    assert np.isfinite(twins["transit_depth"].values).all()
    with pytest.raises(ArielflowError, match="expected at least two"):
        chemical_twins(get_edition("adc2023"), planets.isel(planet=[0]), physics, seed=1)
    bare = planets.isel(auxiliary=[])
    with pytest.raises(ArielflowError, match="have no star and mass"):
        chemical_twins(get_edition("adc2023"), bare, physics, seed=1)


def test_disentangling_is_measured_and_reported(simulated, physics, tmp_path) -> None:
    parts = simulated.isel(planet=slice(0, 240)), simulated.isel(planet=slice(240, 300))
    names = ["variational_autoencoder", "poly"]
    for name in names:
        model = make_representation(name, settings(name))
        model.fit(*parts, seed=1)
        model.save(tmp_path / name)
    twins = chemical_twins(get_edition("adc2023"), parts[1], physics, seed=1)
    folders = {name: tmp_path / name for name in names}
    nuisance = ("temperature", "radius", "noise")
    found = compare_disentangled(folders, parts[1], twins, nuisance=nuisance, seed=1)
    assert found["factor_r2"].shape == (2, 3) and found["abundance_r2"].shape == (2, 5)
    assert ((found["nearer_share"] >= 0) & (found["nearer_share"] <= 1)).all()
    section = disentangled_section(ReportContent("t", "r", "e", disentangled=found))
    assert [len(row) for row in section.blocks[0].rows] == [11, 11]


def test_nuisance_factors_must_be_known(simulated) -> None:
    unknown = simulated.copy(deep=True)
    unknown["theta"].values[0, 1] = np.nan
    with pytest.raises(ArielflowError, match="temperature is no known target"):
        nuisance_factors(unknown, ("noise", "temperature"))


@pytest.mark.parametrize(("method", "setting"), [("poly", "weight"), ("fader", "degree")])
def test_settings_of_another_method_are_errors(method, setting) -> None:
    with pytest.raises(ArielflowError, match=f"{setting} is no setting of method {method}"):
        make_representation(method, {setting: 1})
