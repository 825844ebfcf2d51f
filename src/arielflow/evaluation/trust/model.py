"""Tests of a trained model's posteriors, of planets and of fresh ones to compare them with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

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
from arielflow.evaluation.trust.local_test import LOCAL_TEST, LocalTest
from arielflow.evaluation.trust.novelty import Novelty, Reconstruction, Strangeness
from arielflow.models import load_representation
from arielflow.models.ensemble import Ensemble
from arielflow.models.features import context_features, noisy_copies, planet_tensors
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.settings.trust import TrustSettings

SPLIT = "calibration"
"""Split of the fresh planets: no other planets of a run are drawn from the same stream."""

SPECTRUM = "spectrum"
"""Name of the space of depths in scale heights."""

_CHUNK = 500
# What the local test knows of a spectrum; a classifier of a few thousand pairs learns no more.
_LOCAL_COMPONENTS = 8


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

    spaces: dict[str, Strangeness] = {SPECTRUM: Novelty.fitted(spectrum, noisy)}
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


def calibration_planets(
    edition: Edition,
    physics: PhysicsSettings,
    settings: TrustSettings,
    *,
    prior: str,
    population: str,
    seed: int,
) -> xr.Dataset:
    """Fresh simulated planets without a fault, with noise; ``theta`` is their truth."""
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
    return noisy_copies(planets, derived_seed(seed, "trust/calibration noise"))


def _tests(
    ensemble: Ensemble,
    spaces: Mapping[str, Strangeness],
    edition: Edition,
    physics: PhysicsSettings,
    settings: TrustSettings,
    noisy: xr.Dataset,
    seed: int,
) -> pd.DataFrame:
    """Tests of usable planets with noise, some at a time."""
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
    fresh = calibration_planets(
        edition, physics, settings, prior=prior, population=population, seed=seed
    )
    common = ensemble, spaces, edition, physics, settings
    calibration = _tests(*common, fresh, derived_seed(seed, "trust/calibration"))
    # Before the planets are parted: a part's noise would be that of any other.
    own = noisy_copies(planets.isel(planet=is_usable(planets)), derived_seed(seed, "trust/noise"))
    found = _tests(*common, own, seed) if own.sizes["planet"] else calibration.iloc[:0]
    if settings.local_test and own.sizes["planet"]:
        found[LOCAL_TEST] = _local_test(ensemble, cast(Novelty, spaces[SPECTRUM]), fresh, own, seed)
    return ModelTests(found, calibration)


def _local_test(
    ensemble: Ensemble,
    space: Novelty,
    fresh: xr.Dataset,
    own: xr.Dataset,
    seed: int,
) -> np.ndarray:
    """Probability (planet,) of a calibrated posterior to look as wrong at each spectrum."""
    test = LocalTest.fitted(
        ensemble,
        lambda planets: space.scores(planets)[:, :_LOCAL_COMPONENTS],
        fresh,
        seed=seed,
    )
    return test.probabilities(own, seed)
