"""Random forest whose leaves give the joint posterior (Márquez-Neila et al. 2018).

The posterior of a planet is the training planets weighted by how often they share a leaf with it,
times their bootstrap count in that tree. Importances come from one forest per target.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
import xarray as xr
from safetensors.numpy import save_file
from sklearn.ensemble import RandomForestRegressor

from arielflow.core.array_files import read_safetensors
from arielflow.core.schema import posterior_dataset
from arielflow.models.base import PosteriorEstimator
from arielflow.models.description import REMEDY
from arielflow.models.families._forest_file import leaves_fault, load_forest, save_forest
from arielflow.models.features import (
    PlanetTensors,
    context_feature_names,
    context_features,
    planet_tensors,
)
from arielflow.models.importances import IMPORTANCES, read_importances
from arielflow.settings.families.random_forest import Config

_FOREST, _LEAVES = "forest.skops", "leaves.safetensors"
_SCALE = 100.0


class Estimator(PosteriorEstimator):
    """See the module's docstring and :class:`PosteriorEstimator`."""

    family: ClassVar[str] = "random_forest"
    state_files: ClassVar[tuple[str, ...]] = (_FOREST, _LEAVES, IMPORTANCES)
    Config = Config

    def fit(
        self,
        train_planets: xr.Dataset,
        valid_planets: xr.Dataset,
        *,
        seed: int,
        device: str = "auto",
        state_dir: Path | None = None,
        annotated: xr.Dataset | None = None,
    ) -> pd.DataFrame:
        """See :meth:`PosteriorEstimator.fit`; the validation planets are not used."""
        config = self.config
        train_planets = self._trainable(train_planets)
        chosen = train_planets.isel(planet=slice(0, config.n_rows))
        data = planet_tensors(chosen)
        generator = torch.Generator().manual_seed(seed)
        repeats = config.repeats if data.noisy else 1
        features = np.concatenate([_features(data.with_noise(generator)) for _ in range(repeats)])
        theta = np.tile(data.theta.numpy(), (repeats, 1))
        low, high = theta.min(axis=0), theta.max(axis=0)
        scaled = _SCALE * (theta - low) / np.where(high > low, high - low, 1)
        self.forest = _forest(config, config.trees, seed).fit(features, scaled)
        leaves = self.forest.apply(features)
        self.arrays = _leaf_members(self.forest, leaves) | {"theta": theta}
        self.importances = self._importances(chosen, features, scaled, seed)
        return pd.DataFrame(columns=["epoch", "train_loss", "valid_loss"])

    def _importances(
        self, planets: xr.Dataset, features: np.ndarray, scaled: np.ndarray, seed: int
    ) -> pd.DataFrame | None:
        if not self.config.importance_trees:
            return None
        names = context_feature_names(planets)[: features.shape[1]]
        depths = len(planets["wavelength"])
        wavelength = np.full(len(names), np.nan)
        wavelength[:depths] = planets["wavelength"].values
        tables = []
        for number, target in enumerate(planets["target"].values):
            forest = _forest(self.config, self.config.importance_trees, seed + 1 + number)
            importance = forest.fit(features, scaled[:, number]).feature_importances_
            columns = {"feature": names, "wavelength": wavelength, "importance": importance}
            tables.append(pd.DataFrame({"target": str(target)} | columns))
        return pd.concat(tables, ignore_index=True)

    def feature_importances(self) -> pd.DataFrame | None:
        """Columns target, feature, wavelength [um] (of depths), importance; sums of 1 by target."""
        return self.importances

    def sample(
        self, planets: xr.Dataset, n_samples: int, *, seed: int, device: str = "auto"
    ) -> xr.Dataset:
        """See :meth:`PosteriorEstimator.sample`: training planets drawn by their weights."""
        self._check_seen(planets)
        leaves = self.forest.apply(_features(planet_tensors(planets)))
        rng = np.random.default_rng(seed)
        trees = np.arange(leaves.shape[1])
        starts, sizes = self.arrays["start"], self.arrays["size"]
        theta = np.empty((len(leaves), n_samples, self.arrays["theta"].shape[1]))
        for row, leaf in enumerate(leaves):
            # Drawing a tree by the size of its leaf, then a member of the leaf, draws a training
            # planet with its weight without ever forming the weights.
            size = sizes[trees, leaf]
            tree = rng.choice(len(trees), size=n_samples, p=size / size.sum())
            member = starts[tree, leaf[tree]] + rng.integers(size[tree])
            theta[row] = self.arrays["theta"][self.arrays["member"][tree, member]]
        low, high = (planets[name].values[:, None, :] for name in ("prior_low", "prior_high"))
        return posterior_dataset(planets, np.clip(theta, low, high))

    def sees(self, planets: xr.Dataset) -> np.ndarray:
        """See :meth:`PosteriorEstimator.sees`."""
        with np.errstate(over="ignore"):
            return np.isfinite(_features(planet_tensors(planets))).all(axis=1)

    def _save_state(self, directory: Path) -> None:
        save_forest(self.forest, directory / _FOREST)
        save_file(self.arrays, directory / _LEAVES)
        if self.importances is not None:
            self.importances.to_csv(directory / IMPORTANCES, index=False)

    def _load_state(self, directory: Path) -> None:
        self.forest = load_forest(directory / _FOREST)
        self.arrays, _ = read_safetensors(directory / _LEAVES, REMEDY)
        if fault := leaves_fault(self.forest, self.arrays):
            raise ValueError(f"{_LEAVES}: {fault}")
        path = directory / IMPORTANCES
        self.importances = read_importances(path) if path.exists() else None


def _features(planets: PlanetTensors) -> np.ndarray:
    """The paper's depths alone where nothing else is known, the context's features elsewhere."""
    features = context_features(planets) if planets.physical else planets.depth
    return features.numpy().astype(np.float32)


def _forest(config: Config, trees: int, seed: int) -> RandomForestRegressor:
    return RandomForestRegressor(
        trees,
        max_features="sqrt",
        min_impurity_decrease=config.min_impurity_decrease,
        random_state=seed,
        n_jobs=1,
    )


def _leaf_members(forest: RandomForestRegressor, leaves: np.ndarray) -> dict[str, np.ndarray]:
    """Bootstrap rows sorted by leaf (tree, row), and each leaf's start and size (tree, leaf)."""
    n_leaves = int(leaves.max()) + 1
    members, starts, sizes = [], [], []
    for tree, drawn in enumerate(forest.estimators_samples_):
        leaf = leaves[drawn, tree]
        order = np.argsort(leaf, kind="stable")
        size = np.bincount(leaf, minlength=n_leaves)
        members.append(drawn[order])
        sizes.append(size)
        starts.append(np.cumsum(size) - size)
    stacked = {"member": members, "start": starts, "size": sizes}
    return {name: np.stack(rows).astype(np.int32) for name, rows in stacked.items()}
