"""Planets of an edition as descriptions: the challenge's retrieval is one of many."""

from __future__ import annotations

import numpy as np
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed, shown
from arielflow.core.schema import MOLECULES
from arielflow.data.description.parameters import Parameter
from arielflow.data.description.read import Description
from arielflow.data.spectra.spectrum import ObservedSpectrum
from arielflow.editions import Edition
from arielflow.physics.atmosphere import Pressures
from arielflow.physics.systems import HE_H2_RATIO, JUPITER_RADIUS_M, Systems

_SAMPLED = {
    "planet_radius": ("planet_radius", "Rjup", JUPITER_RADIUS_M),
    "planet_temperature": ("temperature", "K", 1.0),
}


def describe_edition_planet(edition: Edition, planets: xr.Dataset, name: str) -> Description:
    """The description of one planet of an edition, with the priors of its data set.

    Parameters
    ----------
    edition
        The planets'.
    planets
        Dataset of planets with their priors.
    name
        Identifier of the planet.

    Returns
    -------
    Description
        Its parameters are in the order of the edition's targets.

    Raises
    ------
    ArielflowError
        There is no such planet, its star or mass is not known, or a target is none of the forward
        model's.
    """
    systems, row = Systems.of(planets), _row(planets, name)
    free = [
        _parameter(quantity, systems.prior[:, row, column], edition.name)
        for quantity, column in systems.targets.items()
    ]
    fixed = {
        "star_radius": _known(systems.star_radius_m, row, "the star's radius", name),
        "planet_mass": _known(systems.planet_mass_kg, row, "the planet's mass", name),
    }
    if systems.star_temperature_k is not None:
        fixed["star_temperature"] = float(systems.star_temperature_k[row])
    if "planet_radius" not in systems.targets:
        fixed["planet_radius"] = _known(systems.planet_radius_m, row, "the planet's radius", name)
    return Description(
        name=name,
        free=tuple(free),
        fixed=fixed,
        gases=tuple(gas for gas in systems.targets if gas in MOLECULES),
        profile="isothermal",
        n_points=0,
        smoothing=0.0,
        fastchem=None,
        collision_induced=False,
        pressures=Pressures(),
        he_h2_ratio=HE_H2_RATIO,
        opacities="builtin",
    )


def edition_spectrum(edition: Edition, planets: xr.Dataset, name: str) -> ObservedSpectrum:
    """The spectrum of one planet of an edition, without bins that have no value.

    Parameters
    ----------
    edition, planets, name
        As for :func:`describe_edition_planet`.

    Raises
    ------
    ArielflowError
        There is no such planet, or its spectrum holds values that no spectrum has.
    """
    systems, row = Systems.of(planets), _row(planets, name)
    used = systems.valid_bins(row)
    error = systems.error[row][used]
    return ObservedSpectrum(
        systems.wavelength_um[used],
        planets["wavelength_width"].values[used],
        systems.depth[row][used],
        error,
        error,
        np.full(used.sum(), edition.name),
    )


def _row(planets: xr.Dataset, name: str) -> int:
    names = planets["planet"].values.astype(str)
    found = np.flatnonzero(names == name)
    if not len(found):
        raise ArielflowError(
            f"planet {shown(name)} is not in the data set, which has {listed(names.tolist())}"
        )
    return int(found[0])


def _parameter(quantity: str, edges: np.ndarray, edition: str) -> Parameter:
    low, high = map(float, edges)
    if quantity in MOLECULES:
        return Parameter(quantity, "log_uniform", 10.0**low, 10.0**high, "", 1.0)
    if quantity not in _SAMPLED:
        raise ArielflowError(
            f"edition {edition}: the target {quantity} is no parameter of the forward model, "
            f"expected {listed([*_SAMPLED, *MOLECULES], 10)}"
        )
    name, unit, si_factor = _SAMPLED[quantity]
    return Parameter(name, "uniform", low, high, unit, si_factor)


def _known(values: np.ndarray | None, row: int, what: str, name: str) -> float:
    if values is None or not np.isfinite(values[row]):
        raise ArielflowError(f"planet {shown(name)}: {what} is not known; give it")
    return float(values[row])
