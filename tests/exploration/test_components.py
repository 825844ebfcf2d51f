from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import Quality
from arielflow.exploration.components import explore
from arielflow.models.scaling import spectrum_shape

N_BINS, N_CLUSTERS = 24, 3
SETTINGS = {"n_components": 4, "clusters": range(2, 6), "seed": 5}


def planets(depth: np.ndarray, quality: np.ndarray | None = None) -> xr.Dataset:
    n = len(depth)
    return xr.Dataset(
        {
            "transit_depth": (("planet", "wavelength"), depth),
            "theta": (("planet", "target"), np.zeros((n, 1))),
            "quality": ("planet", np.zeros(n, int) if quality is None else quality),
        },
        coords={
            "planet": [f"p{i}" for i in range(n)],
            "wavelength": np.linspace(0.5, 7, N_BINS),
            "target": ["planet_temp"],
            "target_quantity": ("target", ["planet_temperature"]),
            "target_units": ("target", ["K"]),
            "target_latex": ("target", ["$T$"]),
        },
    )


def clustered_spectra(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Spectra of three kinds, spread along one common pattern, of any radius and scale height."""
    rng = np.random.default_rng(seed)
    phase = np.linspace(0, 2 * np.pi, N_BINS, endpoint=False)
    kinds = np.stack([np.sin(k * phase) for k in (1, 2, 3)])
    label = rng.choice(N_CLUSTERS, size=n, p=[0.5, 0.3, 0.2])
    shape = kinds[label] + 0.2 * rng.normal(size=(n, 1)) * np.cos(4 * phase)
    shape += 0.01 * rng.normal(size=shape.shape)
    depth = rng.uniform(0.001, 0.02, (n, 1)) + rng.uniform(1e-5, 1e-3, (n, 1)) * shape
    return depth, label


@pytest.fixture(scope="module")
def train() -> xr.Dataset:
    return planets(clustered_spectra(400, seed=1)[0])


@pytest.fixture(scope="module")
def test() -> xr.Dataset:
    return planets(clustered_spectra(60, seed=2)[0])


def test_recovers_planted_structure(train, test):
    result = explore(train, test, **SETTINGS)
    # Two differences between three kinds and one common pattern: three dimensions.
    assert float(result["explained_variance_ratio"][:3].sum()) > 0.99
    assert result.attrs["chosen_clusters"] == N_CLUSTERS
    planted = np.concatenate([clustered_spectra(400, 1)[1], clustered_spectra(60, 2)[1]])
    np.testing.assert_array_equal(result["cluster_label"], planted + 1)
    assert list(result["cluster_size"].values) == sorted(result["cluster_size"], reverse=True)


def test_scores_and_loadings_give_the_spectra_back(train, test):
    result = explore(train, test, **SETTINGS)
    shape = spectrum_shape(test["transit_depth"].values)
    centre = spectrum_shape(train["transit_depth"].values).mean(axis=0)
    projected = result["score"].values[-60:] @ result["loading"].values + centre
    assert np.abs(projected - shape).max() < 0.1
    # Independent components span the same space as the principal ones.
    sources = result["source_score"].values[-60:] @ result["source_pattern"].values
    again = sources + centre
    assert np.abs(again - again.mean(0) - (projected - projected.mean(0))).max() < 1e-6


def test_learns_from_the_training_split_alone(train, test):
    first = explore(train, test, **SETTINGS)
    other = explore(train, planets(5 * clustered_spectra(90, seed=9)[0] ** 2), **SETTINGS)
    learnt = [name for name in first.data_vars if "planet" not in first[name].dims]
    assert {"loading", "source_pattern", "silhouette", "cluster_spectrum"} <= set(learnt)
    xr.testing.assert_identical(first[learnt], other[learnt])
    in_train = [ds.isel(planet=ds["split"].values == "train") for ds in (first, other)]
    xr.testing.assert_identical(*in_train)


def test_is_deterministic(train, test):
    xr.testing.assert_identical(explore(train, test, **SETTINGS), explore(train, test, **SETTINGS))


def test_shape_does_not_depend_on_radius_and_scale_height(train):
    depth = train["transit_depth"].values
    np.testing.assert_allclose(spectrum_shape(depth), spectrum_shape(3 * depth + 0.01), atol=1e-9)
    assert not spectrum_shape(np.full((1, N_BINS), 0.01)).any()


def test_unusable_planets_are_left_out(train, test):
    depth = test["transit_depth"].values.copy()
    depth[3, 5] = np.nan
    quality = np.zeros(60, int)
    quality[3] = Quality.NON_FINITE_SPECTRUM
    quality[4] = Quality.NONSENSE_WIDTH
    result = explore(train, planets(depth, quality), **SETTINGS)
    names = result["planet"].values[result["split"].values == "test"]
    assert "p3" not in names
    assert "p4" in names
    assert np.isfinite(result["score"].values).all()


def test_result_survives_netcdf(train, test, tmp_path):
    from arielflow.core.files import write_dataset
    from arielflow.core.schema import open_dataset

    result = explore(train, test, **SETTINGS, scaling="standardised")
    write_dataset(result, tmp_path / "exploration.nc")
    xr.testing.assert_equal(open_dataset(tmp_path / "exploration.nc"), result)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_components": 25}, "explore.n_components"),
        ({"clusters": range(1, 4)}, "explore.clusters"),
        ({"scaling": "fancy"}, "choose one of shape"),
    ],
)
def test_settings_out_of_range_are_told(train, test, change, message):
    with pytest.raises(ArielflowError, match=message):
        explore(train, test, **(SETTINGS | change))


def test_other_grid_is_told(train, test):
    with pytest.raises(ArielflowError, match="different grids"):
        explore(train, test.isel(wavelength=slice(1, None)), **SETTINGS)
