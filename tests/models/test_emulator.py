"""The surrogate of the forward model: a known function recovered, scalings, files, comparisons."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.editions import get_edition
from arielflow.evaluation.better_scores import bhattacharyya
from arielflow.evaluation.emulator import emulator_report, spectrum_accuracy
from arielflow.models import load_estimator
from arielflow.models.emulator import Config, Emulator, _Network
from arielflow.physics.forward import ForwardModel
from arielflow.physics.systems import (
    JUPITER_MASS_KG,
    JUPITER_RADIUS_M,
    SOLAR_RADIUS_M,
    scale_height_m,
    surface_gravity_m_s2,
)
from arielflow.settings.nested import NestedSettings

TRAINING = {"epochs": 40, "batch_size": 64, "learning_rate": 4e-3, "patience": 40}
SETTINGS = {
    "dense": {"widths": [64, 64], "training": TRAINING},
    "convolution": {
        "architecture": "convolution",
        "widths": [48, 48],
        "channels": 8,
        "training": TRAINING,
    },
}
QUICK = NestedSettings(n_live=60, n_effective=200)


class KnownSpectra:
    """Smooth in every parameter: in scale heights, a slope, a band of water, and temperature."""

    molecules = ("H2O", "CO2", "CO", "CH4", "NH3")

    def __call__(self, radius_m, mass_kg, temperature_k, star_radius_m, log_mixing_ratio):
        height = scale_height_m(temperature_k, surface_gravity_m_s2(mass_kg, radius_m))
        bins = torch.linspace(0, 1, 52, dtype=torch.float64)
        water, methane = log_mixing_ratio[:, :1] / 4, log_mixing_ratio[:, 3:4] / 4
        heights = 8 + water * torch.sin(3 * bins) + methane * bins**2
        heights = heights + torch.log(temperature_k / 1000)[:, None] * (1 - bins)
        above = 2 * radius_m * height / star_radius_m**2
        return ((radius_m / star_radius_m) ** 2)[:, None] + above[:, None] * heights


def known_planets(simulated: xr.Dataset, n_planets: int, seed: int) -> xr.Dataset:
    """Systems of the simulated planets with fresh atmospheres and the known spectra."""
    rng = np.random.default_rng(seed)
    planets = simulated.isel(planet=rng.integers(0, simulated.sizes["planet"], n_planets))
    planets = planets.copy(deep=True)
    low, high = planets["prior_low"].values, planets["prior_high"].values
    fresh = low + (high - low) * rng.random(low.shape)
    planets["theta"].values[:, 1:] = fresh[:, 1:]
    rows = np.arange(n_planets)
    known = ForwardModel(KnownSpectra(), planets)
    planets["transit_depth"].values[:] = known.spectra(rows, planets["theta"].values)
    return planets


@pytest.fixture(scope="module")
def parts(simulated) -> tuple[xr.Dataset, xr.Dataset]:
    return known_planets(simulated, 1200, 1), known_planets(simulated, 150, 2)


@pytest.fixture(scope="module", params=SETTINGS)
def emulator(request, parts) -> Emulator:
    emulator = Emulator.from_settings(SETTINGS[request.param])
    history = emulator.fit(*parts, seed=5, device="cpu")
    assert list(history.columns) == ["epoch", "train_loss", "valid_loss"]
    return emulator


def parameters(n_planets: int = 6) -> tuple[np.ndarray, ...]:
    """Arguments of an emulator, inside the range of the training planets."""
    rng = np.random.default_rng(3)
    return (
        JUPITER_RADIUS_M * rng.uniform(0.9, 1.2, n_planets),
        JUPITER_MASS_KG * rng.uniform(0.4, 0.6, n_planets),
        rng.uniform(800, 1200, n_planets),
        SOLAR_RADIUS_M * rng.uniform(0.7, 1.3, n_planets),
        rng.uniform(-5.8, -5.2, (n_planets, 5)),
    )


def test_a_known_function_is_recovered_through_the_forward_model(emulator, simulated) -> None:
    test = known_planets(simulated, 100, 7)
    rows, theta = np.arange(100), test["theta"].values
    found = emulator.forward_model(test).spectra(rows, theta)
    expected = test["transit_depth"].values
    assert found.shape == expected.shape == (100, 52)
    gravity = surface_gravity_m_s2(
        test["auxiliary_value"].sel(auxiliary="planet_mass_kg").values,
        theta[:, 0] * JUPITER_RADIUS_M,
    )
    star = test["auxiliary_value"].sel(auxiliary="star_radius_m").values
    height = scale_height_m(theta[:, 1], gravity)
    one = 2 * theta[:, :1] * JUPITER_RADIUS_M * (height / star**2)[:, None]
    error = np.abs(found - expected) / one
    # Spectra vary by 0.6 scale heights in the median bin.
    assert np.median(error) < 0.03 and np.percentile(error, 95) < 0.15
    assert emulator.forward_model(test).spectra(4, theta[:7]).shape == (7, 52)


def test_the_star_scales_out_exactly(emulator) -> None:
    radius, mass, temperature, star, mixing = parameters()
    one = emulator.predict(radius, mass, temperature, star, mixing)
    twice = emulator.predict(radius, mass, temperature, 2 * star, mixing)
    np.testing.assert_array_equal(one, 4 * twice)


def test_saved_and_loaded_it_gives_the_same_bits(emulator, tmp_path) -> None:
    before = emulator.predict(*parameters())
    emulator.save(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"emulator.json", "network.safetensors"}
    loaded = Emulator.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(*parameters()), before)
    assert loaded.molecules == emulator.molecules == KnownSpectra.molecules
    assert loaded.config == emulator.config
    with pytest.raises(ArielflowError, match="no trained model"):
        load_estimator(tmp_path)
    with pytest.raises(ArielflowError, match="train it first"):
        Emulator.load(tmp_path / "elsewhere")


def test_gradients_agree_with_differences(emulator) -> None:
    given = [torch.as_tensor(values).requires_grad_() for values in parameters(1)]
    torch.autograd.backward(emulator(*given).mean())
    for position, value in enumerate(given):
        # Wide enough for the single precision of the layers.
        step = 1e-2 * torch.ones_like(value) * (value.detach().mean() if position < 4 else 1)
        ends = [list(parameters(1)), list(parameters(1))]
        for sign, end in zip((-0.5, 0.5), ends, strict=True):
            end[position] = (value + sign * step).detach().numpy()
        low, high = (emulator.predict(*end).mean() for end in ends)
        change = float((value.grad * step.detach()).sum())
        assert change == pytest.approx(high - low, rel=0.05, abs=2e-8)


def test_unphysical_planets_are_nan_and_others_counted(emulator) -> None:
    radius, mass, temperature, star, mixing = parameters(4)
    temperature[1], mixing[2, 0], mixing[3, 0] = np.nan, 0.1, -11.0
    before = emulator.extrapolated
    depth = emulator.predict(radius, mass, temperature, star, mixing)
    np.testing.assert_array_equal(np.isnan(depth).any(axis=1), [False, True, True, False])
    assert emulator.extrapolated - before == 2
    with pytest.raises(ArielflowError, match="H2O, CO2, CO, CH4, NH3"):
        emulator.predict(radius, mass, temperature, star, mixing[:, :3])


def test_same_seed_same_weights(parts) -> None:
    quick = SETTINGS["dense"] | {"training": TRAINING | {"epochs": 1}}
    weights = []
    for seed in (1, 1, 2):
        emulator = Emulator.from_settings(quick)
        emulator.fit(*parts, seed=seed, device="cpu")
        weights.append(torch.cat([p.flatten() for p in emulator.network.parameters()]))
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"colour": "red"}, "'colour'; valid settings are architecture"),
        ({"architecture": "recurrent"}, "expected one of dense, convolution"),
        ({"channels": 16}, "channels is a setting of architecture convolution"),
        ({"widths": [64, 0]}, "widths.1"),
        ({"training": {"epoch": 3}}, "training: unknown key 'epoch', did you mean epochs"),
    ],
)
def test_settings_are_strict(settings, words) -> None:
    with pytest.raises(ArielflowError, match="settings of model surrogate: ") as caught:
        Emulator.from_settings(settings)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_architectures_of_the_papers_are_the_defaults() -> None:
    for settings, widths in (({}, [2048] * 4), ({"architecture": "convolution"}, [4096] * 3)):
        with torch.device("meta"):
            layers = _Network(Config(**settings), 8, 52).layers
        dense = [layer.out_features for layer in layers if isinstance(layer, torch.nn.Linear)]
        assert dense == [*widths, 52]


def test_planets_that_do_not_fit_are_refused(emulator, parts) -> None:
    with pytest.raises(ArielflowError, match="51 of"):
        emulator.forward_model(parts[0].isel(wavelength=slice(1, None)))
    noisy = parts[0].assign_attrs(noise="included")
    with pytest.raises(ArielflowError, match="noise-free"):
        Emulator.from_settings({}).fit(noisy, parts[1], seed=1)


def test_accuracy_of_known_differences() -> None:
    expected = np.full((4, 25), 0.01)
    found = expected + np.arange(1, 5)[:, None] * 1e-6
    found[3] = np.nan
    accuracy = spectrum_accuracy(expected, found, np.full((4, 25), 1.0001e-5))
    assert accuracy["n_planets"] == 3
    assert accuracy["median_ppm"] == pytest.approx(2)
    assert accuracy["percentile_95_ppm"] == pytest.approx(3)
    assert accuracy["median_over_error"] == pytest.approx(0.2, rel=1e-3)
    # 0.1, 0.2 and 0.3 of the error in each of 25 bins: 0.5, 1 and 1.5 in all.
    assert accuracy["share_within_one_sigma"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("emulator", ["dense"], indirect=True)
def test_report_holds_accuracy_speed_and_overlaps(emulator, simulated, physics) -> None:
    planets = known_planets(simulated, 3, 9).assign_coords(planet=["a", "b", "c"])
    rng = np.random.default_rng(1)
    traces = []
    for _ in range(2):
        samples = planets["theta"].values[:, None, :] + 0.1 * rng.standard_normal((3, 200, 7))
        # The first planet was not annotated.
        trace = {
            "row_size": ("planet", [0, 200, 200]),
            "trace": (("obs", "target"), samples[1:].reshape(-1, 7)),
            "weight": ("obs", np.full(400, 1 / 200)),
            "theta": planets["theta"],
        }
        traces.append(xr.Dataset(trace))
    edition = get_edition("adc2023")
    options = {"physics": physics, "n_retrievals": 1, "seed": 1, "settings": QUICK}
    report = emulator_report(edition, emulator, planets, *traces, **options)
    assert report["accuracy"]["n_planets"] == 3
    assert min(report["spectra_per_s"].values()) > 0
    (row,) = report["retrievals"]["bhattacharyya"]
    assert row["planet"] == "b"
    assert len(row["surrogate"]) == 7 and np.mean(row["rerun"]) > 0.9
    traces[0]["theta"].values[:] = np.nan
    with pytest.raises(ArielflowError, match="known parameters"):
        emulator_report(edition, emulator, planets, *traces, **options)


def test_bhattacharyya_of_gaussians() -> None:
    rng = np.random.default_rng(4)
    shifts, widths = np.array([0.0, 1.0, 0.0, 3.0]), np.array([1.0, 1.0, 2.0, 0.5])
    first = rng.standard_normal((40_000, 4))
    second = shifts + widths * rng.standard_normal((30_000, 4))
    found = bhattacharyya(first, np.ones(40_000), second, np.ones(30_000))
    variance = 1 + widths**2
    expected = np.sqrt(2 * widths / variance) * np.exp(-(shifts**2) / (4 * variance))
    np.testing.assert_allclose(found, expected, atol=0.01)
    weight = np.exp(first[:, 0] - 0.5)
    tilted = bhattacharyya(first[:, :1], weight, first[:, :1] + 1, np.ones(40_000))
    np.testing.assert_allclose(tilted, 1, atol=0.01)


def test_bhattacharyya_at_its_ends() -> None:
    theta, ones = np.random.default_rng(1).random((500, 2)), np.ones(500)
    np.testing.assert_allclose(bhattacharyya(theta, ones, theta, ones), 1)
    np.testing.assert_allclose(bhattacharyya(theta, ones, theta + 5, ones), 0)
    assert np.isnan(bhattacharyya(0 * theta, ones, 0 * theta, ones)).all()
    with pytest.raises(ArielflowError, match="same targets"):
        bhattacharyya(theta, ones, theta[:, :1], ones)
