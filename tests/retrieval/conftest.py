"""What tests of observed spectra share: the opacities' folder, and a noisy spectrum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from simulated_spectra import planet, spectrum

from arielflow.data.spectra.spectrum import ObservedSpectrum
from arielflow.retrieval.spectra.setup import prepared_model


@pytest.fixture(scope="module")
def folder(opacities) -> str:
    return str(opacities)


@pytest.fixture(scope="module")
def observed(folder) -> ObservedSpectrum:
    """A simulated spectrum of 13 bins with noise."""
    known = planet(
        planet={"radius": "1.2 Rjup"},
        atmosphere={"gases": {"H2O": 1e-3, "CO": {"log_uniform": [1e-12, 1e-11]}}},
    )
    made = prepared_model(known, spectrum(), opacities=folder)
    share = torch.tensor([[0.43, 0.5]], dtype=torch.float64)
    depth = made.depths(made.sampled(share))[0].numpy()
    noise = np.random.default_rng(3).normal(size=len(depth))
    return spectrum(depth=depth + 5e-5 * noise)
