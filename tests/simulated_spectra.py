"""A described planet, spectra made for it, and settings that are quick."""

from __future__ import annotations

import numpy as np

from arielflow.data.description.read import Description, describe_planet
from arielflow.data.spectra.spectrum import ObservedSpectrum
from arielflow.settings.importance import FallbackSettings, ImportanceSettings
from arielflow.settings.nested import NestedSettings

QUICK = {
    "importance": ImportanceSettings(
        n_proposal=400, n_refined=300, rounds=2, effective_aim=150, most_draws=1500
    ),
    "fallback": FallbackSettings(efficiency=0.01, pareto_shape=1.5),
    "nested": NestedSettings(n_live=60, n_effective=150, n_batch=128, n_networks=0),
}


def planet(**changes: object) -> Description:
    """A planet with free radius, temperature and water unless changed."""
    atmosphere = {
        "gases": {"H2O": {"log_uniform": [1e-9, 0.1]}},
        "temperature": {"isothermal": {"uniform": [500, 2000], "unit": "K"}},
    }
    content = {
        "star": {"radius": "0.9 Rsun", "temperature": "5500 K"},
        "planet": {"mass": "0.3 Mjup", "radius": {"uniform": [1.0, 1.4], "unit": "Rjup"}},
        "atmosphere": atmosphere | changes.pop("atmosphere", {}),
    }
    content["planet"] |= changes.pop("planet", {})
    return describe_planet(content | changes)


def spectrum(
    n: int = 13, low: float = 1.1, high: float = 1.7, names: str = "A", **changes: object
) -> ObservedSpectrum:
    """Equal depths in bins of equal resolving power, instruments in turn."""
    edges = np.geomspace(low, high, n + 1)
    values = {
        "wavelength_um": 0.5 * (edges[1:] + edges[:-1]),
        "width_um": np.diff(edges),
        "depth": np.full(n, 0.0187),
        "error_low": np.full(n, 5e-5),
        "error_high": np.full(n, 5e-5),
        "instrument": np.resize(list(names), n),
    }
    return ObservedSpectrum(**values | changes)
