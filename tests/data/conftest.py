"""A small data set in the official layout."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from arielflow.core.schema import describe
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.editions.official_files import (
    write_official,
)


def _traces(planets: xr.Dataset, annotated: int) -> xr.Dataset:
    rng = np.random.default_rng(0)
    sizes = np.where(np.arange(planets.sizes["planet"]) < annotated, 40, 0)
    weight = rng.random(sizes.sum())
    trace = np.repeat(planets["theta"].values, sizes, axis=0)
    trace = trace + 0.01 * np.abs(trace) * rng.normal(size=trace.shape)
    return describe(
        xr.Dataset(
            {
                "row_size": ("planet", sizes),
                "trace": (("obs", "target"), trace),
                "weight": ("obs", weight),
            },
            coords={name: planets[name] for name in ("planet", "target")},
        )
    )


@pytest.fixture(scope="module", params=["adc2023", "adc2022"])
def dataset(request, tmp_path_factory, physics) -> tuple[str, Path, dict[str, xr.Dataset]]:
    """A ten-planet data set in the official layout."""
    edition = get_edition(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    planets = {
        split: simulate_planets(edition, 10, seed=5, split=split, prior="matched", physics=physics)
        for split in ("train", "test")
    }
    write_official(folder, edition, "train", planets["train"], _traces(planets["train"], 4))
    write_official(folder, edition, "test", planets["test"])
    return request.param, folder, planets


@pytest.fixture
def copy(dataset, tmp_path) -> tuple[str, Path]:
    """The data set, to be spoilt."""
    name, folder, _ = dataset
    target = tmp_path / "data"
    shutil.copytree(folder, target)
    return name, target
