"""Posteriors of a small made-up spectrum, drawn by hand around what it was made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from arielflow.data.description.read import describe_planet
from arielflow.data.spectra.spectrum import ObservedSpectrum
from arielflow.retrieval.spectra.methods import SpectrumResult
from arielflow.retrieval.spectra.setup import prepared_model

HOSTILE = "G395H/<b>$_\N{LATIN SMALL LETTER U WITH DIAERESIS}"
"""An instrument's name that HTML, NetCDF and matplotlib would each misread."""

_ISOTHERMAL = {"isothermal": {"uniform": ["300 K", "2000 K"]}}
_POINTS = {
    "points": {
        "pressures": ["10 bar", "1 mbar"],
        "temperatures": [{"uniform": ["500 K", "2500 K"]}, {"uniform": ["300 K", "2000 K"]}],
    }
}


def planet(*, profile: bool = False) -> dict:
    """Content of a planet file; ``profile`` makes the temperature depend on pressure."""
    return {
        "name": "Made-up <i>b</i>",
        "star": {"radius": "0.9 Rsun"},
        "planet": {
            "mass": {"normal": [0.3, 0.02], "unit": "Mjup"},
            "radius": {"uniform": [0.9, 1.5], "unit": "Rjup"},
        },
        "atmosphere": {
            "gases": {"H2O": {"log_uniform": [1e-12, 0.1]}, "CO2": 1e-5},
            "temperature": _POINTS if profile else _ISOTHERMAL,
            "layers": 30,
        },
        "instruments": {
            HOSTILE: {
                "offset": {"normal": [0, 100], "unit": "ppm"},
                "error_factor": {"uniform": [1, 3]},
            }
        },
    }


def make_result(opacities: Path, *, profile: bool = False, n: int = 300) -> SpectrumResult:
    """Samples of a Gaussian around the truth; both instruments have eight points."""
    wavelength_um = np.concatenate([np.linspace(1.1, 1.7, 8), np.linspace(3.0, 5.0, 8)])
    spectrum = ObservedSpectrum(
        wavelength_um=wavelength_um,
        width_um=np.repeat([0.08, 0.28], 8),
        depth=np.full(16, 0.015),
        error_low=np.full(16, 8e-5),
        error_high=np.full(16, 1.2e-4),
        instrument=np.repeat(["WFC3", HOSTILE], 8),
        files=("made_up.txt",),
        notes=("half widths <doubled>",),
    )
    described = describe_planet(planet(profile=profile))
    model = prepared_model(described, spectrum, opacities=str(opacities))
    rng = np.random.default_rng(3)
    centres = {
        "planet_mass": (0.3, 0.01),
        "planet_radius": (1.2, 0.005),
        "temperature": (1000, 60),
        "point_temperature_0": (1500, 100),
        "point_temperature_1": (1000, 60),
        "log_H2O": (-4, 0.3),
        f"offset[{HOSTILE}]": (200, 30),
        f"error_factor[{HOSTILE}]": (1.8, 0.2),
    }
    truth, spread = np.array([centres[name] for name in model.names]).T
    samples = truth + spread * rng.standard_normal((n, len(truth)))
    depth = model.depths(torch.as_tensor(truth[None]))[0].numpy()
    observed = replace(model.spectrum, depth=depth + 1e-4 * rng.standard_normal(len(depth)))
    model = type(model)(model.physics, model.description, observed)
    return SpectrumResult(
        model=model,
        method="importance",
        samples=samples,
        draws=samples,
        draw_weight=np.full(n, 1 / n),
        log_evidence=100.0,
        log_evidence_error=0.1,
        effective_samples=250.0,
        sampling_efficiency=0.4,
        pareto_shape=0.3,
        spectra=1000,
        seconds=2.0,
        notes=(),
    )
