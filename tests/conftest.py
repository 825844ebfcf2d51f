"""Fixtures that the tests share; every generator is seeded, every test runs on one thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from arielflow.editions import get_edition
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import PhysicsSettings
from arielflow.simulate import simulate_planets

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Converted opacities stay out of the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - for libraries that still draw from the global stream


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real data and official numbers beside the checkout."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: no real data beside this checkout")
    return folder


@pytest.fixture(scope="session")
def opacities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the built-in opacities."""
    return ensure_builtin_opacities(tmp_path_factory.mktemp("opacities"))


@pytest.fixture(scope="session")
def physics(opacities: Path) -> PhysicsSettings:
    """The reference mode on the built-in opacities."""
    return PhysicsSettings(str(opacities))


@pytest.fixture(scope="session")
def simulated(physics: PhysicsSettings) -> xr.Dataset:
    """Training planets of the 2023 edition."""
    return simulate_planets(
        get_edition("adc2023"), 300, seed=1, split="train", prior="matched", physics=physics
    )
