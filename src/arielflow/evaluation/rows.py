"""From posterior, planets and truth datasets to one model's scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.samples import WeightedSamples
from arielflow.core.schema import traces_of
from arielflow.data.forward_models import edition_model
from arielflow.editions import Edition
from arielflow.evaluation.leaderboard import Forward, score_planets
from arielflow.models.ensemble import ensemble_log_prob
from arielflow.physics.forward import ForwardModel, PhysicsSettings


def score_posterior(
    edition: Edition,
    posterior: xr.Dataset,
    planets: xr.Dataset,
    truth: xr.Dataset,
    *,
    seed: int,
    physics: PhysicsSettings | None = None,
    members: Sequence[str] = (),
    device: str = "auto",
) -> pd.DataFrame:
    """Scores of one posterior, one row per planet.

    See :func:`arielflow.evaluation.leaderboard.score_planets`.

    Parameters
    ----------
    posterior
        A posterior dataset, or ragged traces (the rerun of the truth).
    planets, truth
        Test planets, and their traces and theta.
    physics
        Opacities and mode of the forward model; None for editions without a spectral score.
    members
        Folders of the model's members, for the log-probability of the true theta.
    device
        ``auto``, ``cpu`` or ``cuda``, for the members.
    """
    identifiers = [str(name) for name in planets["planet"].values]
    theta_true = truth["theta"].sel(planet=identifiers).values
    forward: Forward | None = None
    if physics is not None:
        forward = ForwardModel(edition_model(edition, physics), planets).spectra
    shares = posterior.attrs.get("shares")
    log_prob = None
    if members:
        log_prob = ensemble_log_prob(members, planets, theta_true, shares, device=device)
    return score_planets(
        identifiers,
        _samples(posterior, identifiers),
        _samples(truth, identifiers),
        theta_true,
        target_names=edition.target_names,
        bounds=(planets["score_low"].values, planets["score_high"].values),
        metrics=edition.metrics,
        seed=seed,
        forward=forward,
        log_prob=log_prob,
    )


def _samples(dataset: xr.Dataset, identifiers: list[str]) -> list[WeightedSamples]:
    if "trace" in dataset:
        return traces_of(dataset, identifiers)
    order = {str(name): row for row, name in enumerate(dataset["planet"].values)}
    rows = np.array([order[identifier] for identifier in identifiers])
    return list(zip(dataset["theta"].values[rows], dataset["weight"].values[rows], strict=True))
