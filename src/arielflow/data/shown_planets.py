"""Which planets stand for a data set where only a few can be shown."""

from __future__ import annotations

import numpy as np
import xarray as xr

from arielflow.core.schema import is_usable, signal_to_noise

N_SHOWN = 3
"""Planets of a report whose posteriors are drawn."""


def typical_planets(planets: xr.Dataset, number: int) -> list[str]:
    """Identifiers of usable planets from the faintest to the strongest spectral features.

    Strength is the spectrum's range over its median error bar.
    """
    usable = planets.isel(planet=is_usable(planets))
    order = np.argsort(signal_to_noise(usable), kind="stable")
    # The very ends are outliers: a tenth of the planets is cut off on both sides.
    cut = len(order) // 10 if len(order) >= 3 * number else 0
    inner = order[cut : len(order) - cut]
    rows = np.unique(np.linspace(0, len(inner) - 1, min(number, len(inner))).round().astype(int))
    return [str(name) for name in usable["planet"].values[inner[rows]]]


def shown_planets(planets: xr.Dataset, truth: xr.Dataset | None = None) -> list[str]:
    """Identifiers of the test planets that a report draws: of weak, typical and strong features.

    Parameters
    ----------
    planets
        Planets dataset.
    truth
        Ragged true posteriors; where it has any, planets that have one are chosen.
    """
    if truth is not None and "row_size" in truth:
        annotated = truth["planet"].values[truth["row_size"].values > 0]
        if len(annotated):
            planets = planets.isel(planet=np.isin(planets["planet"].values, annotated))
    return typical_planets(planets, N_SHOWN)
