"""The forward model against a plain loop of the same physics, and its derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad

from arielflow.core.errors import ArielflowError
from arielflow.editions.adc import WAVELENGTH_UM, WAVELENGTH_WIDTH_UM
from arielflow.physics.binning import binning_matrix
from arielflow.physics.forward import PhysicsSettings, transmission_model
from arielflow.physics.opacity_cache import load_opacities
from arielflow.physics.rayleigh import rayleigh_cross_section_cm2
from arielflow.physics.systems import (
    ATOMIC_MASS_UNIT_KG,
    BOLTZMANN_CONSTANT,
    GRAVITATIONAL_CONSTANT,
    MOLECULAR_MASS_U,
)
from arielflow.physics.transmission import Flag

BINS = WAVELENGTH_UM, WAVELENGTH_WIDTH_UM
MOLECULES = ("H2O", "CO2", "CO", "CH4", "NH3")
PLANETS = {
    "hot Jupiter": (9e7, 1.9e27, 1450.0, 8e8, [-4.0, -6.0, -3.5, -5.0, -7.0]),
    "sub-Neptune": (1.6e7, 5e25, 620.0, 4e8, [-3.0, -5.0, -6.0, -3.0, -4.0]),
    "beyond the cold edge": (7e7, 1e27, 150.0, 7e8, [-5.0, -8.0, -4.0, -4.0, -6.0]),
}


@pytest.fixture(scope="module")
def model(physics: PhysicsSettings):
    return transmission_model(MOLECULES, physics, *BINS)


def evaluate(model, *planets, **options) -> torch.Tensor:
    columns = [torch.tensor(column, dtype=torch.float64) for column in zip(*planets, strict=True)]
    return model(*columns, **options)


def by_loops(tables, radius, mass, temperature, star_radius, log_x) -> np.ndarray:
    """Native-grid transit depth, layer by layer and chord by chord, in double precision."""
    x = 10.0 ** np.array(log_x)
    rest = 1 - x.sum()
    gases = {**dict(zip(MOLECULES, x, strict=True)), "H2": rest / 1.17, "He": rest * 0.17 / 1.17}
    mu = sum(gases[g] * MOLECULAR_MASS_U[g] for g in gases) * ATOMIC_MASS_UNIT_KG
    levels = np.logspace(6, -5, 101)
    z = [0.0]
    for i in range(100):
        gravity = GRAVITATIONAL_CONSTANT * mass / (radius + z[i]) ** 2
        height = BOLTZMANN_CONSTANT * temperature / (mu * gravity)
        z.append(z[i] + height * np.log(levels[i] / levels[i + 1]))
    z, dz = np.array(z), np.diff(z)
    pressure = np.sqrt(levels[1:] * levels[:-1])
    density = pressure / (BOLTZMANN_CONSTANT * temperature)
    first = tables["H2O"]
    wavelength_um = 1e4 / first.wavenumber_cm1
    sigma = np.zeros((100, len(wavelength_um)))
    for gas, fraction in gases.items():
        sigma += fraction * rayleigh_cross_section_cm2(gas, wavelength_um)
    for gas in MOLECULES:
        t_nodes, p_nodes = first.temperature_k, np.log10(first.pressure_pa)
        t = np.clip(temperature, t_nodes[0], t_nodes[-1])
        j = min(max(np.searchsorted(t_nodes, t), 1), len(t_nodes) - 1)
        f = (t - t_nodes[j - 1]) / (t_nodes[j] - t_nodes[j - 1])
        table = tables[gas].cross_section_cm2.astype(float)
        at_t = (1 - f) * table[:, j - 1] + f * table[:, j]
        for layer in range(100):
            logp = np.log10(pressure[layer])
            column = [np.interp(logp, p_nodes, at_t[:, w]) for w in range(len(wavelength_um))]
            sigma[layer] += gases[gas] * np.array(column)
    tangent = radius + dz[0] / 2 + z[:-1]
    edge = radius + dz[0] / 2 + z[:-1] + dz / 2
    depth = np.full(len(wavelength_um), radius**2)
    for layer in range(100):
        q = np.sqrt(np.maximum(edge[layer:] ** 2 - tangent[layer] ** 2, 0))
        chord = 2 * np.diff(q, prepend=0)
        tau = (density[layer:] * chord) @ sigma[layer:] * 1e-4
        depth += 2 * (radius + z[layer]) * dz[layer] * (1 - np.exp(-tau))
    return depth / star_radius**2


@pytest.mark.parametrize("name", PLANETS)
def test_agrees_with_plain_loops(model, opacities, name) -> None:
    expected = by_loops(load_opacities(opacities, MOLECULES, *BINS), *PLANETS[name])
    found = evaluate(model, PLANETS[name], native=True)[0].numpy()
    assert np.abs(found - expected).max() < 0.01e-6
    bins = binning_matrix(model.wavenumber_cm1, WAVELENGTH_UM, WAVELENGTH_WIDTH_UM)
    np.testing.assert_allclose(evaluate(model, PLANETS[name])[0], bins @ expected, atol=1e-8)


def test_batches_do_not_change_the_result(model) -> None:
    planets = list(PLANETS.values())
    together = evaluate(model, *(planets * 15))
    alone = torch.cat([evaluate(model, planet) for planet in planets])
    assert torch.allclose(together[:3], alone, rtol=1e-6)
    assert torch.allclose(together[42:], alone, rtol=1e-6)


def test_gradients_agree_with_central_differences(model) -> None:
    radius, mass, temperature, star, log_x = PLANETS["hot Jupiter"]
    point = torch.tensor([radius, temperature, *log_x], dtype=torch.float64, requires_grad=True)

    def mean_depth(p: torch.Tensor) -> torch.Tensor:
        fixed = [torch.tensor([v], dtype=torch.float64) for v in (mass, star)]
        return model(p[:1], fixed[0], p[1:2], fixed[1], p[None, 2:]).mean()

    mean_depth(point).backward()
    steps = torch.tensor([1e4, 2.0, *[0.02] * 5], dtype=torch.float64)
    for i, step in enumerate(steps):
        shift = torch.zeros_like(steps)
        shift[i] = step
        with torch.no_grad():
            numeric = (mean_depth(point + shift) - mean_depth(point - shift)) / (2 * step)
        assert float(point.grad[i]) == pytest.approx(float(numeric), rel=0.01)


def test_derivatives_in_both_modes_agree(model) -> None:
    radius, mass, temperature, star, log_x = PLANETS["sub-Neptune"]
    fixed = [torch.tensor([v], dtype=torch.float64) for v in (mass, star)]

    def depths(*p: torch.Tensor) -> torch.Tensor:
        return model(p[0], fixed[0], p[1], fixed[1], p[2])[0]

    point = [torch.tensor([v], dtype=torch.float64) for v in (radius, temperature, log_x)]
    along = [1e-3 * radius * torch.ones(1), 10 * torch.ones(1), torch.linspace(-1, 1, 5)[None]]
    along = [part.double() for part in along]
    with forward_ad.dual_level():
        dual = depths(*(forward_ad.make_dual(p, a) for p, a in zip(point, along, strict=True)))
        forward = forward_ad.unpack_dual(dual).tangent
    asked = [part.requires_grad_() for part in point]
    depth = depths(*asked)
    reverse = torch.stack(
        [
            sum((g * a).sum() for g, a in zip(row, along, strict=True))
            for row in (torch.autograd.grad(d, asked, retain_graph=True) for d in depth)
        ]
    )
    torch.testing.assert_close(forward, reverse, rtol=1e-4, atol=1e-12)


GOOD = PLANETS["hot Jupiter"]
FAULTY = {
    "NaN temperature": ((9e7, 1.9e27, np.nan, 8e8, GOOD[4]), Flag.NON_FINITE),
    "infinite abundance": ((9e7, 1.9e27, 900.0, 8e8, [np.inf] * 5), Flag.NON_FINITE),
    "negative mass, so gravity": ((9e7, -1.9e27, 900.0, 8e8, GOOD[4]), Flag.OUT_OF_RANGE),
    "more than all": ((9e7, 1.9e27, 900.0, 8e8, [-0.1, -0.1, -4, -4, -4]), Flag.OUT_OF_RANGE),
    "runaway": ((7e7, 5e24, 2500.0, 7e8, [-9.0, -9.0, -6.0, -9.0, -9.0]), Flag.DIVERGED),
}


@pytest.mark.parametrize("case", FAULTY)
def test_a_faulty_planet_is_flagged_and_leaves_the_others_alone(model, case) -> None:
    faulty, flag = FAULTY[case]
    columns = [
        torch.tensor(c, dtype=torch.float64).requires_grad_()
        for c in zip(GOOD, faulty, PLANETS["sub-Neptune"], strict=True)
    ]
    depths = model(*columns)
    assert depths[1].isnan().all() and depths[[0, 2]].isfinite().all()
    flags = model.flags(model.planets(*columns))
    assert flags[[0, 2]].tolist() == [0, 0] and int(flags[1]) & flag
    expected = evaluate(model, GOOD, PLANETS["sub-Neptune"])
    torch.testing.assert_close(depths[[0, 2]], expected)
    for gradient in torch.autograd.grad(depths.nansum(), columns):
        assert gradient.isfinite().all()
        assert gradient[[0, 2]].abs().min() > 0 and not gradient[1].any()


def test_an_absent_molecule_is_minus_infinity(model) -> None:
    absent, trace = (
        (*GOOD[:4], [-np.inf if v is None else v for v in (None, *GOOD[4][1:])]),
        (*GOOD[:4], [-30.0, *GOOD[4][1:]]),
    )
    torch.testing.assert_close(evaluate(model, absent), evaluate(model, trace))


def test_wrong_number_of_molecules_is_one_line(model) -> None:
    with pytest.raises(ArielflowError, match=r"expected \(planet, 5\): H2O, CO2"):
        evaluate(model, (*GOOD[:4], [-4.0, -4.0]))


def test_temperatures_beyond_the_tables_are_clamped_and_counted(physics) -> None:
    model = transmission_model(MOLECULES, physics, *BINS)
    evaluate(model, GOOD, (*GOOD[:2], 150.0, *GOOD[3:]), (*GOOD[:2], 2900.0, *GOOD[3:]))
    assert (model.calls, model.clamped) == (3, 2)


def test_binning_conserves_and_refuses_uncovered_bins(model) -> None:
    bins = binning_matrix(model.wavenumber_cm1, WAVELENGTH_UM, WAVELENGTH_WIDTH_UM)
    np.testing.assert_allclose(bins.sum(axis=1), 1)
    with pytest.raises(ArielflowError, match="reaches beyond"):
        binning_matrix(model.wavenumber_cm1, np.array([9.0]), np.array([0.1]))
