"""Calibration of a model by groups of planets as a folder of table, figure and summary."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from arielflow.api.model import Model
from arielflow.api.physics import forward_model
from arielflow.core.errors import ArielflowError
from arielflow.core.readers import shown
from arielflow.evaluation.calibration.findings import summary, write_groups
from arielflow.evaluation.calibration.fresh import calibrate_groups
from arielflow.evaluation.calibration.recalibration import Recalibration
from arielflow.exploration.components import assign_clusters
from arielflow.physics.forward import PhysicsSettings
from arielflow.settings.calibration import CalibrationSettings


def calibrate_by_group(
    model: Model,
    planets: xr.Dataset,
    output: str | Path,
    *,
    physics: PhysicsSettings,
    exploration: xr.Dataset | None = None,
    train: xr.Dataset | None = None,
    recalibration: Recalibration | None = None,
    settings: CalibrationSettings | None = None,
    seed: int = 2026,
) -> dict[str, Any]:
    """Measure a model's calibration by groups of simulated planets and write it to a folder.

    Parameters
    ----------
    model
        A loaded model of any family.
    planets
        Simulated planets with a known theta, drawn from the retrieval prior.
    output
        Folder; receives ``groups.csv``, ``groups.svg`` and ``summary.json``.
    physics
        Opacities and mode of the forward model, by which amounts are detectable or not.
    exploration, train
        What :func:`arielflow.exploration.components.explore` made of training planets, and these;
        planets are grouped by cluster too where both are given.
    recalibration
        Applied to the posteriors.
    settings
        Numbers of samples and groups.
    seed
        Of all that is drawn.

    Returns
    -------
    dict
        What ``summary.json`` holds: ``model``, ``n_planets``, ``n_cells``, ``n_outside``, ``band``,
        ``findings``, in words, and ``farthest``, the cell that is nearest to being one.

    Raises
    ------
    ArielflowError
        A theta is not known, no planet has a posterior, the clusters are of another grid, or
        ``output`` is a file.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise ArielflowError(f"{shown(output)}: is no folder; name one for the calibration")
    clusters = None
    if exploration is not None and train is not None:
        clusters = partial(assign_clusters, exploration, train)
    table = calibrate_groups(
        model.ensemble,
        planets,
        lambda part: forward_model(part, physics),
        settings or CalibrationSettings(),
        seed=seed,
        clusters=clusters,
        recalibration=recalibration,
    )
    write_groups(table, planets, model.name, output)
    return summary(table, model.name)
