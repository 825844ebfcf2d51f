"""Tests of a trained model's posteriors, of planets and of fresh ones to compare them with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import is_usable
from arielflow.core.seeds import derived_seed
from arielflow.data.forward_models import edition_model
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import Edition
from arielflow.evaluation.trust.certificate import planet_tests
from arielflow.evaluation.trust.novelty import Novelty, Reconstruction, Strangeness
from arielflow.models import load_representation
from arielflow.models.ensemble import Ensemble
from arielflow.models.features import context_features, noisy_copies, planet_tensors
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.settings.trust import TrustSettings

SPLIT = "calibration"
"""Split of the fresh planets: no other planets of a run are drawn from the same stream."""

_CHUNK = 500


class ModelTests(NamedTuple):
    """Tests of usable planets in their order, and of the calibration planets."""

    planets: pd.DataFrame
    calibration: pd.DataFrame


def model_spaces(
    ensemble: Ensemble,
    train: xr.Dataset,
    seed: int,
    representations: Mapping[str, str | Path] | None = None,
    *,
    device: str = "auto",
) -> dict[str, Strangeness]:
    """The spaces in which a model's planets are compared with those that it was trained on.

    ``spectrum``: depths in scale heights; ``embedding``: what the first member's context network
    makes of spectrum and system, where it has one; and whatever trained representations there are.

    Parameters
    ----------
    ensemble
        The trained model.
    train
        Usable training planets.
    seed
        Of the noise that they get.
    representations
        Folders of trained representations, by name.
    device
        Where these are computed.

    Raises
    ------
    ArielflowError
        A folder holds no representation, or a damaged one.
    """
    noisy = noisy_copies(train, derived_seed(seed, "trust/training noise"))
    n_bins = noisy.sizes["wavelength"]

    def spectrum(planets: xr.Dataset) -> np.ndarray:
        return context_features(planet_tensors(planets))[:, :n_bins].numpy()

    spaces: dict[str, Strangeness] = {"spectrum": Novelty.fitted(spectrum, noisy)}
    first = ensemble.estimators[0]
    if first.has_derivatives:

        @torch.no_grad()
        def embedding(planets: xr.Dataset) -> np.ndarray:
            found: np.ndarray = first.embedding(planet_tensors(planets)).double().cpu().numpy()
            return found

        spaces["embedding"] = Novelty.fitted(embedding, noisy)
    for name, folder in (representations or {}).items():
        spaces[name] = Reconstruction(load_representation(folder), device)
    return spaces


def calibration_tests(
    ensemble: Ensemble,
    spaces: Mapping[str, Strangeness],
    edition: Edition,
    physics: PhysicsSettings,
    settings: TrustSettings,
    *,
    prior: str,
    population: str,
    seed: int,
) -> pd.DataFrame:
    """Tests of fresh simulated planets without a fault, see :func:`planet_tests`."""
    planets = simulate_planets(
        edition,
        settings.n_calibration,
        seed=seed,
        split=SPLIT,
        prior=prior,
        population=population,
        physics=physics,
    )
    planets = planets.isel(planet=is_usable(planets))
    own = derived_seed(seed, "trust/calibration")
    return _tests(ensemble, spaces, edition, physics, settings, planets, own)


def _tests(
    ensemble: Ensemble,
    spaces: Mapping[str, Strangeness],
    edition: Edition,
    physics: PhysicsSettings,
    settings: TrustSettings,
    planets: xr.Dataset,
    seed: int,
) -> pd.DataFrame:
    """Tests of usable planets, some at a time."""
    # Before the planets are parted: a part's noise would be that of any other.
    noisy = noisy_copies(planets, derived_seed(seed, "trust/noise"))
    forward = ForwardModel(edition_model(edition, physics), noisy)
    count = noisy.sizes["planet"]
    parts = np.array_split(np.arange(count), max(1, -(-count // _CHUNK)))
    return pd.concat(
        [
            planet_tests(
                ensemble,
                forward,
                noisy.isel(planet=rows),
                spaces,
                seed=derived_seed(seed, "trust/part", number),
                n_samples=settings.n_samples,
            )
            for number, rows in enumerate(parts)
        ],
        ignore_index=True,
    )


def model_tests(
    members: Sequence[str | Path],
    train: xr.Dataset,
    planets: xr.Dataset,
    edition: Edition,
    physics: PhysicsSettings,
    settings: TrustSettings | None = None,
    *,
    prior: str,
    population: str,
    seed: int,
    shares: Sequence[float] | None = None,
    representations: Mapping[str, str | Path] | None = None,
    device: str = "auto",
) -> ModelTests:
    """Tests of a model's posteriors, of planets and of fresh ones without a fault.

    Parameters
    ----------
    members, shares
        Folders of the trained members, and their shares of the mixture.
    train
        Planets that the model was trained on.
    planets
        Planets to test, of which unusable ones are left out; spectra stored without noise get one
        draw of it.
    edition, physics
        Of the forward model.
    settings
        Numbers of planets and samples.
    prior, population
        Names of the retrieval prior and of the prior that calibration planets are drawn from.
    seed, device
        Of everything random; where the members sample.
    representations
        Folders of trained representations, by name, whose reconstruction is a test too.

    Raises
    ------
    ArielflowError
        The edition has no forward model, or a member or representation is damaged.
    """
    settings = settings or TrustSettings()
    ensemble = Ensemble(members, shares, device=device)
    usable = np.flatnonzero(is_usable(train))[: settings.n_training]
    if not len(usable):
        raise ArielflowError("certificates: no training planet is usable; check the training data")
    known = train.isel(planet=usable)
    spaces = model_spaces(ensemble, known, seed, representations, device=device)
    calibration = calibration_tests(
        ensemble, spaces, edition, physics, settings, prior=prior, population=population, seed=seed
    )
    own = planets.isel(planet=is_usable(planets))
    given = (ensemble, spaces, edition, physics, settings, own, seed)
    found = _tests(*given) if own.sizes["planet"] else calibration.iloc[:0]
    return ModelTests(found, calibration)
