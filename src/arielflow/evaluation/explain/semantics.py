"""Hidden semantics: what the embedding of a spectrum holds, by linear probes.

Beside the trained network stand the same network with random weights and the spectrum itself: what
they hold as well, training did not put there.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.evaluation.explain.agreement import random_weights
from arielflow.evaluation.explain.differentiable import Mixed
from arielflow.evaluation.explain.neighbours import embeddings
from arielflow.models.features import context_features, planet_tensors
from arielflow.models.probes import FOLDS, linear_probe

# A linear map of so many numbers needs a multiple of planets to be found.
_PLANETS_A_NUMBER = 2


def probe_embedding(model: Mixed, planets: xr.Dataset, *, seed: int) -> pd.DataFrame:
    """How much of every target and of the system a linear map finds in the embedding.

    Parameters
    ----------
    model
        Members that have a context network; the first one is probed.
    planets
        Planets with theta that the model was not trained on, usable planets only.
    seed
        Of folds and random weights.

    Returns
    -------
    pandas.DataFrame
        ``quantity``, ``trained``, ``untrained`` and ``spectrum``: cross-validated R² from the
        embedding of the network, from that of a random one and from the context's features.

    Raises
    ------
    ArielflowError
        There are too few planets for the number of features.
    """
    first = Mixed(model.estimators[:1], np.ones(1))
    tensors = planet_tensors(planets)
    with torch.no_grad():
        features = context_features(tensors).numpy()
    # The prior's edges are the same for all planets.
    features = features[:, features.std(axis=0) > 0]
    latents = {
        "trained": embeddings(first, planets),
        "untrained": embeddings(random_weights(first, seed), planets),
        "spectrum": features,
    }
    needed = _PLANETS_A_NUMBER * FOLDS // (FOLDS - 1) * max(v.shape[1] for v in latents.values())
    if planets.sizes["planet"] < needed:
        raise ArielflowError(
            f"explain: {planets.sizes['planet']} planets are too few to probe "
            f"{needed // _PLANETS_A_NUMBER} features, expected {needed}; give more planets"
        )
    values = dict(zip(planets["target"].values.astype(str), planets["theta"].values.T, strict=True))
    if tensors.physical:
        values |= {
            "log equilibrium temperature": tensors.equilibrium_k.log().numpy(),
            "log planet mass": tensors.mass_kg.log().numpy(),
            "log star radius": tensors.star_radius_m.log().numpy(),
        }
    values["log mean error"] = tensors.error.mean(dim=1).log().numpy()
    return pd.DataFrame(
        [
            {"quantity": name}
            | {kind: linear_probe(latent, column, seed) for kind, latent in latents.items()}
            for name, column in values.items()
        ]
    )
