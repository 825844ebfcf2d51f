"""The leaderboard of extractors: official scores over labelled planets that none learnt from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed
from arielflow.editions import FrameEdition
from arielflow.editions.frames import Reference
from arielflow.evaluation.frames.scores import frame_score
from arielflow.evaluation.frames.tables import Labels


def frame_leaderboard(
    edition: FrameEdition,
    spectra: Mapping[str, xr.Dataset],
    labels: Labels,
    reference: Reference,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of rows, best first, and those of single planets.

    Parameters
    ----------
    edition
        Whose score.
    spectra
        By row what :func:`arielflow.models.extractors.rows.extract_spectra` returned.
    labels
        True spectra of the same planets.
    reference
        The answer that scores nothing.
    seed
        Of the bootstrap over planets.

    Returns
    -------
    leaderboard : pandas.DataFrame
        ``model``, ``score`` with ``score_low`` and ``score_high`` (95 %), ``unclipped_score``,
        ``fallback_planets``, ``worst_planet`` and ``worst_planet_score``.
    planets : pandas.DataFrame
        ``planet_id`` and a column per row with each planet's own ratio.

    Raises
    ------
    ArielflowError
        A row lacks a labelled planet.
    """
    rows, planets = [], pd.DataFrame({"planet_id": labels.planet_ids})
    for name, found in spectra.items():
        missing = [p for p in labels.planet_ids if p not in set(found["planet"].values)]
        if missing:
            raise ArielflowError(f"row {name}: lacks labelled planets {listed(missing)}")
        own = found.sel(planet=labels.planet_ids)
        result = frame_score(
            edition.score,
            labels.spectrum,
            own["depth"].values,
            own["sigma"].values,
            reference,
            seed=seed,
        )
        planets[name] = result.planets
        worst = int(np.argmin(result.planets))
        rows.append(
            {
                "model": name,
                "score": result.score,
                "score_low": result.low,
                "score_high": result.high,
                "unclipped_score": result.unclipped,
                "fallback_planets": int(own["fallback"].sum()),
                "worst_planet": labels.planet_ids[worst],
                "worst_planet_score": float(result.planets[worst]),
            }
        )
    board = pd.DataFrame(rows).sort_values(
        "unclipped_score", ascending=False, kind="stable", ignore_index=True
    )
    return board, planets
