"""Named parameters to depths: star spots, profiles, clouds, and what has no spectrum."""

from __future__ import annotations

from collections.abc import Callable

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.constants import c, h, k_B
from torch.autograd import forward_ad

from arielflow.physics.atmosphere import Pressures
from arielflow.physics.forward import transmission_model
from arielflow.physics.parametric import ParametricModel, TemperatureProfile
from arielflow.physics.transmission import TransmissionModel

EDGES = np.geomspace(1.1, 1.7, 9)
CENTRES, WIDTHS = 0.5 * (EDGES[1:] + EDGES[:-1]), np.diff(EDGES)
VALUES = {
    "star_radius": 6.3e8,
    "star_temperature": 5500.0,
    "planet_radius": 9e7,
    "planet_mass": 5e26,
    "temperature": 1200.0,
    "H2O": 1e-3,
    "CO": 1e-4,
}


@pytest.fixture(scope="module")
def transmission(physics) -> TransmissionModel:
    return transmission_model(("H2O", "CO"), physics, CENTRES, WIDTHS, dtype=torch.float64)


def values(**changes: float | list[float]) -> dict[str, torch.Tensor]:
    """Parameters by name, as many rows as the longest list."""
    wanted = {n: np.atleast_1d(value) for n, value in (VALUES | changes).items()}
    rows = max(map(len, wanted.values()))
    return {n: torch.as_tensor(np.resize(v, rows).astype(float)) for n, v in wanted.items()}


def model(transmission: TransmissionModel, **options: object) -> ParametricModel:
    return ParametricModel(transmission, torch.as_tensor(CENTRES), **options)


def slope_along(depths: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor) -> torch.Tensor:
    """Derivatives of depths in forward mode, as fits have them."""
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(at.clone().requires_grad_(), torch.ones_like(at))
        return forward_ad.unpack_dual(depths(dual)).tangent.detach()


def test_star_spots_contaminate_as_black_bodies_do(transmission) -> None:
    spots, shares = [3500.0, 4800.0, 5500.0, 6000.0], [0.1, 0.25, 0.25, 0.05]
    made = model(transmission)
    clean = made.depths(values())
    spotted = made.depths(values(spot_temperature=spots, spot_fraction=shares))

    def planck(temperature: float) -> np.ndarray:
        wavelength = CENTRES * u.um
        exponent = (h * c / (wavelength * k_B * temperature * u.K)).to_value(u.one)
        radiance = 2 * h * c**2 / wavelength**5 / np.expm1(exponent)
        return radiance.to_value(u.W / u.m**3)

    expected = [
        1 / (1 - share * (1 - planck(spot) / planck(5500.0)))
        for spot, share in zip(spots, shares, strict=True)
    ]
    np.testing.assert_allclose(spotted / clean, expected, rtol=1e-8)
    assert (spotted[0] > clean[0]).all() and (spotted[3] < clean[0]).all()
    np.testing.assert_allclose(spotted[2], clean[0], rtol=1e-14)


def test_named_parameters_are_the_transmission_models_own(transmission) -> None:
    given = values(cloud_top_pressure=1e3, cloud_fraction=0.4, haze_strength=50.0, haze_slope=-6.0)
    expected = transmission(
        [9e7],
        [5e26],
        [1200.0],
        [6.3e8],
        [[-3.0, -4.0]],
        cloud_pressure_pa=[1e3],
        cloud_fraction=[0.4],
        haze_log_strength=[np.log10(50.0)],
        haze_slope=[-6.0],
    )
    np.testing.assert_allclose(model(transmission).depths(given), expected, rtol=1e-13)


def test_a_profile_of_equal_points_is_isothermal(transmission) -> None:
    points = {"point_pressure_0": 1e6, "point_pressure_1": 1.0}
    points |= {"point_temperature_0": 1200.0, "point_temperature_1": 1200.0}
    layered = model(transmission, profile=TemperatureProfile("points", 2, 0.1))
    found, isothermal = layered.depths(values(**points)), layered.with_profile(TemperatureProfile())
    np.testing.assert_allclose(found, isothermal.depths(values()), rtol=1e-5)
    hot = layered.depths(values(**points | {"point_temperature_1": 1500.0}))
    assert (hot > found).all()


def test_a_gas_of_no_abundance_leaves_the_others_their_derivatives(transmission) -> None:
    made = model(transmission)

    def depths(temperature: torch.Tensor) -> torch.Tensor:
        return made.depths(values(CO=0.0) | {"temperature": temperature})

    at = torch.tensor([1234.0], dtype=torch.float64)
    forward = slope_along(depths, at)
    backward = torch.autograd.functional.jacobian(depths, at)[0, :, 0]
    numeric = (depths(at + 0.5) - depths(at - 0.5))[0]  # between two nodes of the tables
    np.testing.assert_allclose(forward[0], backward, rtol=1e-9)
    np.testing.assert_allclose(backward, numeric, rtol=1e-4)
    trace = made.depths(values(CO=1e-14, temperature=1234.0))
    np.testing.assert_allclose(depths(at), trace, rtol=1e-9)


def test_a_named_gas_overrides_the_equilibrium(transmission) -> None:
    def chemistry(metallicity, c_to_o, temperature, pressure_pa) -> torch.Tensor:
        share = 10.0 ** (metallicity[:, None] - 3.5) * torch.ones_like(temperature)
        return torch.stack([share, share * c_to_o[:, None]], dim=2)

    made, free = model(transmission, chemistry=chemistry), model(transmission)
    elements = {"metallicity": 10.0, "c_to_o": 0.5}
    given = values(**elements)
    del given["H2O"], given["CO"]
    both = made.depths(given)
    expected = free.depths(values(H2O=10**-2.5, CO=0.5 * 10**-2.5))
    np.testing.assert_allclose(both, expected, rtol=1e-5)
    without = made.depths({**given, "CO": torch.zeros(1, dtype=torch.float64)})
    expected = free.depths(values(H2O=10**-2.5, CO=0.0))
    np.testing.assert_allclose(without, expected, rtol=1e-5)

    def depths(metallicity: torch.Tensor) -> torch.Tensor:
        absent = {"CO": torch.zeros(1, dtype=torch.float64)}
        return made.depths({**given, **absent, "metallicity": metallicity})

    slope = slope_along(depths, given["metallicity"])
    assert torch.isfinite(slope).all() and (slope != 0).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"H2O": 0.7, "CO": 0.6},
        {"temperature": -5.0},
        {"planet_radius": float("nan")},
        {"planet_mass": 1e20},
        {"cloud_top_pressure": -1.0},
        {"cloud_top_pressure": 10.0, "cloud_fraction": 1.2},
    ],
)
def test_a_planet_without_a_spectrum_is_nan_and_spoils_no_other(transmission, wrong) -> None:
    made = model(transmission)
    usual = {"cloud_top_pressure": 100.0, "cloud_fraction": 0.5}
    base = VALUES | usual
    rows = {name: [base[name], value] for name, value in (base | wrong).items()}
    given = {name: torch.tensor(v, dtype=torch.float64) for name, v in rows.items()}
    given = {name: value.requires_grad_() for name, value in given.items()}
    depth = made.depths(given)
    assert torch.isnan(depth[1]).all() and torch.isfinite(depth[0]).all()
    np.testing.assert_allclose(depth[0].detach(), made.depths(values(**usual))[0], rtol=1e-12)
    depth[0].sum().backward()
    for name, value in given.items():
        if value.grad is not None:
            assert torch.isfinite(value.grad).all(), name


def test_guillots_profile_is_of_named_parameters() -> None:
    profile = TemperatureProfile("guillot")
    pressure = torch.as_tensor(Pressures(20).layers_pa)
    given = values(
        irradiation_temperature=1500.0,
        internal_temperature=100.0,
        infrared_opacity=0.01,
        visible_opacity=0.004,
    )
    temperature = profile(given, pressure)
    assert temperature.shape == (1, 20)
    assert temperature[0, 0] > temperature[0, -1], "weak visible opacity: no inversion"
