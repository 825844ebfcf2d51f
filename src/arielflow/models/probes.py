"""Linear probes: what latent variables and embeddings hold."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_score

FOLDS = 5


def linear_probe(latent: np.ndarray, values: np.ndarray, seed: int) -> float:
    """Share of the variance of values (planet,) that a linear map of the latents explains.

    The mean of R² over the folds of a cross-validation, so that many latent variables do not look
    better than they are (Alain & Bengio 2016, arXiv:1610.01644).

    Parameters
    ----------
    latent
        Latent variables, shape (planet, latent).
    values
        What to predict; NaN where it is not known for some planet.
    seed
        Seed of the folds.
    """
    if not np.isfinite(values).all():
        return np.nan
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    return float(cross_val_score(LinearRegression(), latent, values, cv=folds, scoring="r2").mean())
