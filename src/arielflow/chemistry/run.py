"""The steps of a chemistry run, from the configuration's section ``chemistry``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from arielflow.chemistry.compressed import CompressedNetwork
from arielflow.chemistry.network import Network, read_reactions
from arielflow.chemistry.solver import recorded_times, trajectories
from arielflow.core.config import strict_settings
from arielflow.settings.chemistry import Conditions, Times


def network_of(settings: Mapping[str, Any]) -> Network:
    """The reaction network under a run's conditions."""
    return Network(
        read_reactions(),
        strict_settings(Conditions, settings["conditions"], "chemistry.conditions"),
    )


def solve_clouds(settings: Mapping[str, Any], *, seed: int) -> xr.Dataset:
    """Trajectories of all clouds of a run, see :func:`arielflow.chemistry.solver.trajectories`.

    Raises
    ------
    ArielflowError
        A setting is out of range, or the solver gives up.
    """
    n_clouds = sum(settings[f"n_{name}"] for name in ("train", "valid", "test"))
    times = recorded_times(strict_settings(Times, settings["times"], "chemistry.times"))
    return trajectories(network_of(settings), n_clouds, times, seed=seed)


def parts(settings: Mapping[str, Any], clouds: xr.Dataset) -> dict[str, xr.Dataset]:
    """The clouds for training, for validation and for the test; none is in two of them."""
    found, first = {}, 0
    for name in ("train", "valid", "test"):
        last = first + settings[f"n_{name}"]
        found[name], first = clouds.isel(cloud=slice(first, last)), last
    return found


def compress_network(
    settings: Mapping[str, Any],
    clouds: xr.Dataset,
    *,
    seed: int,
    device: str = "auto",
    state_dir: str | Path | None = None,
) -> tuple[CompressedNetwork, pd.DataFrame]:
    """Train the compressed network of a run and return it with its history.

    Parameters
    ----------
    settings
        The configuration's section.
    clouds
        What :func:`solve_clouds` returned.
    seed, device, state_dir
        What the training takes, see :meth:`CompressedNetwork.fit`.
    """
    model, split = CompressedNetwork.from_settings(settings["compression"]), parts(settings, clouds)
    history = model.fit(
        split["train"],
        split["valid"],
        seed=seed,
        device=device,
        state_dir=None if state_dir is None else Path(state_dir),
    )
    return model, history
