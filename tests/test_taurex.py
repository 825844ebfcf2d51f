"""The forward model against TauREx 3 (Al-Refaie et al. 2021) on the same tables.

Inside the tables' temperatures: outside them and below the lowest pressure TauREx takes zero (cold)
or extrapolates (hot), where this model clamps.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from taurex_peer import (
    MOLECULES,
    model_arguments,
    random_planets,
    taurex_binned,
    taurex_depth,
    use_opacities,
)

from arielflow.editions.adc import WAVELENGTH_UM, WAVELENGTH_WIDTH_UM
from arielflow.physics.forward import PhysicsSettings, transmission_model
from arielflow.physics.opacity_cache import load_opacities
from arielflow.physics.opacity_files import write_taurex_hdf5
from arielflow.physics.transmission import TransmissionModel

BINS = WAVELENGTH_UM, WAVELENGTH_WIDTH_UM
SPECIAL = [
    [1.4, 0.7, 1810.0, 1.2, -3.0, -5.0, -4.0, -6.0, -7.0],  # hot Jupiter
    [0.2, 0.02, 615.0, 0.5, -2.0, -3.0, -6.0, -2.0, -4.0],  # sub-Neptune
    [1.0, 1.0, 201.0, 1.0, -4.0, -6.0, -4.0, -4.0, -5.0],  # cold edge of the tables
    [1.0, 2.0, 2599.0, 1.0, -4.0, -6.0, -4.0, -4.0, -5.0],  # hot edge of the tables
]
PLANETS = np.vstack([SPECIAL, random_planets(50)])
TOLERANCE_PPM = {torch.float64: 1e-6, torch.float32: 0.05}


@pytest.fixture(scope="module")
def taurex_opacities(opacities: Path, tmp_path_factory) -> PhysicsSettings:
    """The built-in tables in double precision: TauREx interpolates in the file's own."""
    folder = tmp_path_factory.mktemp("taurex")
    for molecule, table in load_opacities(opacities, MOLECULES, *BINS).items():
        exact = replace(table, cross_section_cm2=table.cross_section_cm2.astype(float))
        write_taurex_hdf5(folder / f"{molecule}.h5", exact)
    use_opacities(folder)
    return PhysicsSettings(str(folder))


@pytest.fixture(scope="module")
def taurex_depths(taurex_opacities: PhysicsSettings) -> np.ndarray:
    return np.stack([taurex_depth(planet) for planet in PLANETS])


@pytest.fixture(scope="module", params=[torch.float64, torch.float32], ids=str)
def model(request, taurex_opacities: PhysicsSettings) -> TransmissionModel:
    return transmission_model(MOLECULES, taurex_opacities, *BINS, dtype=request.param)


def test_native_spectra_agree(model: TransmissionModel, taurex_depths: np.ndarray) -> None:
    found = model(*model_arguments(PLANETS), native=True).numpy()
    assert np.isfinite(found).all()
    assert 1e6 * np.abs(found - taurex_depths).max() < TOLERANCE_PPM[model.dtype]


def test_binned_spectra_agree(model: TransmissionModel, taurex_depths: np.ndarray) -> None:
    expected = taurex_binned(model.wavenumber_cm1, taurex_depths, *BINS)
    found = model(*model_arguments(PLANETS)).numpy()
    assert 1e6 * np.abs(found - expected).max() < TOLERANCE_PPM[model.dtype]


@pytest.mark.parametrize("number", [0, 1, 10])
def test_gradients_agree_with_central_differences(
    taurex_opacities: PhysicsSettings, number: int
) -> None:
    model = transmission_model(MOLECULES, taurex_opacities, *BINS, dtype=torch.float64)
    arguments = [a.requires_grad_() for a in model_arguments(PLANETS[[number]])]
    depth = model(*arguments, native=True).mean()
    gradients = torch.autograd.grad(depth, arguments)
    # Chain rule from the model's SI arguments back to the planet's own units.
    units = [a.item() / p for a, p in zip(arguments[:4], PLANETS[number, :4], strict=True)]
    found = [float(g) * u for g, u in zip(gradients[:4], units, strict=True)]
    found += gradients[4][0].tolist()
    steps = np.array([1e-5, 1e-5, 1e-2, 1e-5, *[1e-4] * 5])
    for column, step in enumerate(steps):
        shift = step * np.eye(9)[column]
        ends = [taurex_depth(PLANETS[number] + sign * shift).mean() for sign in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * step)
        assert found[column] == pytest.approx(expected, rel=1e-4, abs=1e-12), column
