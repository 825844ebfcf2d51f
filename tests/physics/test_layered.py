"""Atmospheres whose temperature or composition change with altitude: against TauREx 3 and others.

TauREx is given the same tables in double precision.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from taurex.temperature import Guillot2010, NPoint
from taurex_peer import MOLECULES, model_arguments, taurex_depth, use_opacities
from test_opacity_folder import write_cia
from torch.autograd import forward_ad

from arielflow.editions.adc import WAVELENGTH_UM, WAVELENGTH_WIDTH_UM
from arielflow.physics.forward import PhysicsSettings, transmission_model
from arielflow.physics.opacity_cache import load_opacities
from arielflow.physics.opacity_formats.taurex import write_taurex_hdf5
from arielflow.physics.profiles import guillot, joined_points, moving_average
from arielflow.physics.systems import GRAVITATIONAL_CONSTANT
from arielflow.physics.transmission import Planets, TransmissionModel

BINS = WAVELENGTH_UM, WAVELENGTH_WIDTH_UM
HOT_JUPITER = [1.4, 0.7, 1500.0, 1.2, -3.0, -5.0, -4.0, -6.0, -7.0]
SUB_NEPTUNE = [0.25, 0.03, 700.0, 0.5, -2.0, -3.0, -6.0, -2.0, -4.0]
PPM = 1e-6


@pytest.fixture(scope="module")
def physics(opacities: Path, tmp_path_factory) -> PhysicsSettings:
    folder = tmp_path_factory.mktemp("layered")
    for molecule, table in load_opacities(opacities, MOLECULES, *BINS).items():
        exact = replace(table, cross_section_cm2=table.cross_section_cm2.astype(float))
        write_taurex_hdf5(folder / f"{molecule}.h5", exact)
    for pair in ("H2-H2", "H2-He"):
        write_cia(folder / f"{pair}.cia", pair)
    return PhysicsSettings(str(folder), cia=True)


@pytest.fixture(scope="module")
def model(physics: PhysicsSettings) -> TransmissionModel:
    return transmission_model(MOLECULES, physics, *BINS, dtype=torch.float64)


def planets_of(model: TransmissionModel, row: list[float], **changes: object) -> Planets:
    planets = model.planets(*model_arguments(np.array([row])))
    return replace(planets, **{n: torch.as_tensor(v) for n, v in changes.items()})


def gravity_of(planets: Planets) -> torch.Tensor:
    return GRAVITATIONAL_CONSTANT * planets.mass_kg / planets.radius_m**2


@pytest.mark.parametrize("row", [HOT_JUPITER, SUB_NEPTUNE], ids=["hot Jupiter", "sub-Neptune"])
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_guillot_is_taurex(model, physics, row, share) -> None:
    opacities = {"kappa_irr": 0.02, "kappa_v1": 0.005, "kappa_v2": 0.08}
    theirs = Guillot2010(T_irr=row[2], T_int=150.0, alpha=share, **opacities)
    use_opacities(physics.opacities)
    pairs = ["H2-H2", "H2-He"]
    expected = taurex_depth(row, profile=theirs, cia_pairs=pairs)
    planets = planets_of(model, row)
    values = [
        torch.tensor([float(v)], dtype=torch.double)
        for v in (row[2], 150, *opacities.values(), share)
    ]
    pressure = torch.as_tensor(model.pressures.layers_pa)
    temperature = guillot(pressure, gravity_of(planets), *values)
    assert float(temperature.max() - temperature.min()) > 100
    found = model(replace(planets, temperature_k=temperature), native=True)[0].numpy()
    assert np.abs(found - expected).max() < 1e-3 * PPM


@pytest.mark.parametrize("points", [[], [(1200.0, 1e4), (700.0, 1e1)]], ids=["two", "four"])
def test_points_are_taurex(model, physics, points) -> None:
    inner = [t for t, _ in points], [p for _, p in points]
    theirs = NPoint(
        T_surface=1900.0, T_top=600.0, temperature_points=inner[0], pressure_points=inner[1]
    )
    use_opacities(physics.opacities)
    expected = taurex_depth(HOT_JUPITER, profile=theirs)
    layers_pa = model.pressures.layers_pa
    temperature = torch.tensor([[1900.0, *inner[0], 600.0]], dtype=torch.double)
    nodes = torch.tensor([[layers_pa[0], *inner[1], layers_pa[-1]]], dtype=torch.double)
    smooth = torch.as_tensor(moving_average(100))
    joined = joined_points(torch.as_tensor(layers_pa), nodes, temperature) @ smooth.T
    clear = transmission_model(MOLECULES, replace(physics, cia=False), *BINS, dtype=torch.float64)
    found = clear(planets_of(clear, HOT_JUPITER, temperature_k=joined), native=True)[0].numpy()
    assert np.abs(found - expected).max() < 1e-3 * PPM


def test_points_that_do_not_fall_have_no_spectrum(model) -> None:
    layers_pa = torch.as_tensor(model.pressures.layers_pa)
    nodes = torch.tensor([[1e6, 1e2, 1e3, 1e-5]], dtype=torch.double)
    joined = joined_points(layers_pa, nodes, torch.full((1, 4), 900.0, dtype=torch.double))
    assert torch.isnan(model(planets_of(model, HOT_JUPITER, temperature_k=joined))).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_layers_of_one_temperature_are_an_isothermal_atmosphere(physics, dtype) -> None:
    model = transmission_model(MOLECULES, physics, *BINS, dtype=dtype)
    plain = planets_of(
        model, HOT_JUPITER, cloud_pressure_pa=[300.0], haze_log_strength=[2.0], haze_slope=[-5.0]
    )
    layered = replace(plain, temperature_k=plain.temperature_k[:, None].expand(-1, 100))
    composed = replace(plain, log_mixing_ratio=plain.log_mixing_ratio[:, None].expand(-1, 100, -1))
    limit = (1e-9 if dtype == torch.float64 else 0.02) * PPM
    for other in (layered, composed):
        assert (model(plain) - model(other)).abs().max() < limit


def test_composition_by_layer_counts_where_it_is(model) -> None:
    """Water above 1 mbar lies between none and everywhere, and near the latter in its bands."""
    mixing = torch.full((3, 100, 5), -12.0, dtype=torch.double)
    mixing[1, 50:, 0] = mixing[2, :, 0] = -3.0
    rows = [HOT_JUPITER] * 3
    planets = model.planets(*model_arguments(np.array(rows)))
    none, above, everywhere = model(replace(planets, log_mixing_ratio=mixing))
    assert (none <= above + 1e-12).all() and (above <= everywhere + 1e-12).all()
    strongest = (everywhere - none).argmax()
    assert (above - none)[strongest] > 0.5 * (everywhere - none)[strongest]


@pytest.mark.parametrize("haze", [False, True])
def test_patchy_clouds_are_a_weighted_mean(model, haze) -> None:
    named = {"cloud_pressure_pa": [2000.0]}
    if haze:
        named |= {"haze_log_strength": [3.0], "haze_slope": [-6.0]}
    clear = model(planets_of(model, HOT_JUPITER))
    covered = model(planets_of(model, HOT_JUPITER, **named))
    patchy = model(planets_of(model, HOT_JUPITER, **named, cloud_fraction=[0.3]))
    assert (covered - clear).max() > 50 * PPM
    torch.testing.assert_close(patchy, 0.3 * covered + 0.7 * clear, rtol=0, atol=1e-10)


def test_cloud_fraction_beyond_one_has_no_spectrum(model) -> None:
    planets = planets_of(model, HOT_JUPITER, cloud_pressure_pa=[2000.0], cloud_fraction=[1.2])
    assert torch.isnan(model(planets)).all()


def chord_integral(planets: Planets, model: TransmissionModel, sigma: np.ndarray) -> np.ndarray:
    """Depths (wavenumber,) by a plain loop over rays and shells; sigma (layer, wavenumber) [m2]."""
    levels = [float(planets.radius_m[0])]
    temperature, mu = 1500.0, float(model.mean_mass_kg(planets)[0])
    step = 1.380649e-23 * temperature * model.pressures.log_step
    for _ in range(100):
        levels.append(
            levels[-1]
            + step * levels[-1] ** 2 / (mu * GRAVITATIONAL_CONSTANT * float(planets.mass_kg[0]))
        )
    density = model.pressures.layers_pa / (1.380649e-23 * temperature)
    thickness = np.diff(levels)
    area = levels[0] ** 2
    for ray in range(100):
        tangent = levels[ray] + 0.5 * thickness[0]
        depth, inner = 0.0, 0.0
        for shell in range(ray, 100):
            outer = np.sqrt(
                (levels[shell] + 0.5 * thickness[0] + 0.5 * thickness[shell]) ** 2 - tangent**2
            )
            depth = depth + 2 * (outer - inner) * density[shell] * sigma[shell]
            inner = outer
        area = area + 2 * levels[ray] * thickness[ray] * (1 - np.exp(-depth))
    return area / float(planets.star_radius_m[0]) ** 2


def test_haze_is_a_plain_chord_integral(physics) -> None:
    clear = transmission_model(MOLECULES, replace(physics, cia=False), *BINS, dtype=torch.float64)
    row = [*HOT_JUPITER[:4], *[-np.inf] * 5]
    planets = planets_of(clear, row, haze_log_strength=[3.0], haze_slope=[-7.0])
    from arielflow.physics.rayleigh import rayleigh_cross_section_cm2

    um, (h2, he) = 1e4 / clear.wavenumber_cm1, (1 / 1.17, 0.17 / 1.17)
    scattered = h2 * rayleigh_cross_section_cm2("H2", um) + he * rayleigh_cross_section_cm2(
        "He", um
    )
    reference = rayleigh_cross_section_cm2("H2", np.array([0.35]))[0]
    haze = h2 * 1e3 * reference * (um / 0.35) ** -7.0
    sigma = np.tile((scattered + haze) * 1e-4, (100, 1))
    found = clear(planets, native=True)[0].numpy()
    assert np.abs(found - chord_integral(planets, clear, sigma)).max() < 1e-3 * PPM


def spectrum_of(model: TransmissionModel, values: torch.Tensor) -> torch.Tensor:
    """Depths of a hazy, patchy planet with a Guillot profile, as a function of all parameters."""
    planets = planets_of(model, HOT_JUPITER)
    radius = planets.radius_m * values[:, 0]
    pressure = torch.as_tensor(model.pressures.layers_pa)
    gravity = GRAVITATIONAL_CONSTANT * planets.mass_kg / radius**2
    temperature = guillot(
        pressure, gravity, values[:, 1], values[:, 2], *(10.0 ** values[:, 3:6].T), values[:, 6]
    )
    return model(
        radius,
        planets.mass_kg.expand(len(values)),
        temperature,
        planets.star_radius_m.expand(len(values)),
        values[:, 7:12],
        cloud_pressure_pa=10.0 ** values[:, 12],
        haze_log_strength=values[:, 13],
        haze_slope=values[:, 14],
        cloud_fraction=values[:, 15],
    )


POINT = [
    1.0,
    1400.0,
    200.0,
    -2.0,
    -2.6,
    -1.3,
    0.3,
    -3.0,
    -5.0,
    -4.0,
    -6.0,
    -7.0,
    2.71,
    1.5,
    -5.0,
    0.6,
]


def test_gradients_are_central_differences(model) -> None:
    point = torch.tensor([POINT], dtype=torch.double, requires_grad=True)
    weights = torch.as_tensor(np.random.default_rng(3).normal(size=52))
    (spectrum_of(model, point)[0] @ weights).backward()
    step = torch.tensor([1e-6, 1e-2, 1e-2, *[1e-5] * 13], dtype=torch.double)
    ends = point.detach() + torch.diag(step)[:, None] * torch.tensor([1.0, -1.0])[:, None]
    upper, lower = spectrum_of(model, ends.reshape(-1, 16)).reshape(16, 2, 52).unbind(1)
    expected = ((upper - lower) @ weights) / (2 * step)
    torch.testing.assert_close(point.grad[0], expected, rtol=1e-4, atol=1e-12)


def test_forward_mode_is_reverse_mode(model) -> None:
    point = torch.tensor([POINT], dtype=torch.double, requires_grad=True)
    direction = torch.as_tensor(
        np.random.default_rng(4).normal(size=(1, 16)) * [[0.01, *[1.0] * 15]]
    )
    with forward_ad.dual_level():
        dual = spectrum_of(model, forward_ad.make_dual(point, direction))
        tangent = forward_ad.unpack_dual(dual).tangent.detach()
    weights = torch.as_tensor(np.random.default_rng(5).normal(size=52))
    (spectrum_of(model, point)[0] @ weights).backward()
    torch.testing.assert_close(
        (point.grad * direction).sum(), tangent[0] @ weights, rtol=1e-9, atol=0
    )
