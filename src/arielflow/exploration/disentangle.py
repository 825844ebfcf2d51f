"""The effect of taking nuisance factors out of a representation, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import MOLECULES, auxiliary_values
from arielflow.data.forward_models import edition_model
from arielflow.editions import Edition
from arielflow.models import load_representation
from arielflow.models.probes import linear_probe
from arielflow.models.representations.disentangled import nuisance_factors
from arielflow.physics.forward import ForwardModel, PhysicsSettings

BEFORE = "variational_autoencoder"


def chemical_twins(
    edition: Edition, planets: xr.Dataset, physics: PhysicsSettings, seed: int
) -> xr.Dataset:
    """Planets with the abundances of the given ones, and everything else of others.

    Planet i gets the star, mass, radius, temperature and errors of another planet, drawn without
    replacement, and the abundances of planet i.

    Parameters
    ----------
    planets
        Usable planets with known parameters.
    physics
        Opacities of the forward model.
    seed
        Seed of the draw.

    Returns
    -------
    xarray.Dataset
        In the order of ``planets``; spectra are NaN where the forward model has no solution.

    Raises
    ------
    ArielflowError
        Parameters or masses are not known, or there are fewer than two planets.
    """
    n, theta = planets.sizes["planet"], planets["theta"].values
    if n < 2 or not np.isfinite(theta).all():
        raise ArielflowError(
            f"disentangle: {n} planets, expected at least two, all with known parameters"
        )
    if auxiliary_values(planets, "planet_mass_kg") is None:
        raise ArielflowError(
            f"disentangle: planets of edition {edition.name} have no star and mass for the forward "
            "model; set disentangle.methods to [] or take adc2022 or adc2023"
        )
    # A shift of a random order leaves no planet its own partner.
    order = np.random.default_rng(seed).permutation(n)
    partner = np.empty(n, dtype=int)
    partner[order] = np.roll(order, 1)
    twins = planets.isel(planet=partner).copy(deep=True)
    molecules = np.isin(planets["target_quantity"].values, MOLECULES)
    twins["theta"].values[:, molecules] = theta[:, molecules]
    model = ForwardModel(edition_model(edition, physics), twins)
    twins["transit_depth"].values[:] = model.spectra(np.arange(n), twins["theta"].values)
    return twins


def compare_disentangled(
    models: Mapping[str, str | Path],
    planets: xr.Dataset,
    twins: xr.Dataset,
    *,
    nuisance: tuple[str, ...],
    seed: int,
    device: str = "auto",
) -> xr.Dataset:
    """Linear predictability of factors and abundances, and distances of chemical twins.

    Parameters
    ----------
    models
        Folders of the trained representations by name, the plain one (``BEFORE``) first.
    planets, twins
        Planets that no model was fitted to, and :func:`chemical_twins` of them.
    nuisance
        Factors that were taken out.
    seed
        Seed of the probes' folds and of the random pairs.

    Returns
    -------
    xarray.Dataset
        ``factor_r2(model, factor)`` and ``abundance_r2(model, molecule)``, cross-validated;
        ``twin_distance`` and ``random_distance(model, pair)``, Euclidean in latent variables
        brought to unit variance; ``twin_ratio(model)``, of their medians, and
        ``nearer_share(model)``, the share of planets whose twin is nearer than a random planet.
    """
    good = np.isfinite(twins["transit_depth"].values).all(axis=1)
    planets, twins = planets.isel(planet=good), twins.isel(planet=good)
    factors = nuisance_factors(planets, nuisance)
    molecules = [str(q) for q in planets["target_quantity"].values if q in MOLECULES]
    columns = np.isin(planets["target_quantity"].values, MOLECULES)
    abundances = planets["theta"].values[:, columns]
    shuffled = np.roll(np.random.default_rng(seed).permutation(len(factors)), 1)
    rows: dict[str, list] = {"factor_r2": [], "abundance_r2": [], "twin": [], "random": []}
    for folder in models.values():
        model = load_representation(folder)
        latent, twin = (model.encode(part, device=device) for part in (planets, twins))
        scale = latent.std(axis=0)
        rows["factor_r2"].append([linear_probe(latent, f, seed) for f in factors.T])
        rows["abundance_r2"].append([linear_probe(latent, a, seed) for a in abundances.T])
        for name, other in (("twin", twin), ("random", twin[shuffled])):
            rows[name].append(np.linalg.norm((latent - other) / scale, axis=1))
    distance = {name: np.array(rows[name]) for name in ("twin", "random")}
    medians = {name: np.median(values, axis=1) for name, values in distance.items()}
    nearer = (distance["twin"] < distance["random"]).mean(axis=1)
    result = xr.Dataset(
        {
            "factor_r2": (("model", "factor"), rows["factor_r2"]),
            "abundance_r2": (("model", "molecule"), rows["abundance_r2"]),
            "twin_distance": (("model", "pair"), distance["twin"]),
            "random_distance": (("model", "pair"), distance["random"]),
            "twin_ratio": ("model", medians["twin"] / medians["random"]),
            "nearer_share": ("model", nearer),
        },
        coords={"model": list(models), "factor": list(nuisance), "molecule": molecules},
    )
    for name, variable in result.data_vars.items():
        variable.attrs |= {"long_name": name.replace("_", " "), "units": "1"}
    return result
