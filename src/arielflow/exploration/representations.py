"""Learned representations of a run's spectra, compared with principal components.

Everything is learnt from the training planets; the dimension is chosen on the validation planets,
errors are reported for these and for the test planets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import TARGET_COORDINATES, is_usable, open_dataset
from arielflow.data.splits import read_split, subset
from arielflow.models import load_representation, make_representation
from arielflow.models.base import SpectrumRepresentation
from arielflow.models.probes import FOLDS, linear_probe

REFERENCE = "pca"


def train_representation(
    name: str,
    settings: Mapping[str, Any],
    planets_file: str | Path,
    split_file: str | Path,
    *,
    n_latent: int,
    scaling: str,
    seed: int,
    device: str = "auto",
    state_dir: str | Path | None = None,
) -> tuple[SpectrumRepresentation, pd.DataFrame]:
    """Train a representation on a run's files and return it with its history.

    Parameters
    ----------
    name
        See :data:`arielflow.models.REPRESENTATIONS`.
    settings
        The autoencoders'; principal components have none besides the next two.
    planets_file, split_file
        Planets dataset and which of its planets are for training and for validation.
    n_latent, scaling
        Number of latent variables, and scaling of the spectra.
    seed, device, state_dir
        What the training takes, see :meth:`TrainedModel.fit`.
    """
    own = {} if name == REFERENCE else dict(settings)
    model = make_representation(name, own | {"n_latent": n_latent, "scaling": scaling})
    planets, split = open_dataset(planets_file), read_split(split_file)
    history = model.fit(
        subset(planets, split, "train"),
        subset(planets, split, "valid"),
        seed=seed,
        device=device,
        state_dir=None if state_dir is None else Path(state_dir),
    )
    return model, history


def rms_error(model: SpectrumRepresentation, planets: xr.Dataset, device: str = "auto") -> float:
    """Root mean square error of the reconstructed scaled spectra, over all bins."""
    decoded = model.decode(model.encode(planets, device=device), device=device)
    return float(np.sqrt(np.mean((decoded - model.scaled(planets)) ** 2)))


def compare_representations(
    models: Mapping[str, Mapping[int, str | Path]],
    planets: xr.Dataset,
    split: pd.DataFrame,
    test: xr.Dataset,
    exploration: xr.Dataset,
    *,
    seed: int,
    device: str = "auto",
) -> xr.Dataset:
    """Errors by dimension, the dimension chosen, latent variables and linear probes.

    Parameters
    ----------
    models
        Folders of the trained representations by name and dimension, ``pca`` among the names.
    planets, split
        Planets dataset and its split into training and validation planets.
    test
        Test planets; unusable ones are left out.
    exploration
        What :func:`arielflow.exploration.components.explore` returned, whose clusters the planets
        get.
    seed
        Seed of the probes' folds.

    Returns
    -------
    xarray.Dataset
        ``rms_valid`` and ``rms_test(model, dimension)``, in the units of the scaled spectra. Every
        model's ``chosen_dimension`` is the one with the least validation error relative to the
        principal components of the same dimension. At the chosen dimension of the best
        autoencoder (attributes ``best`` and ``dimension``): ``probe_r2(model, target)`` and, of
        this one, ``latent(planet, latent)``, ``theta`` and ``cluster_label`` of the validation
        planets.

    Raises
    ------
    ArielflowError
        No autoencoder is among the models, or there are too few validation planets to probe.
    """
    names = [name for name in models if name != REFERENCE]
    if not names or REFERENCE not in models:
        raise ArielflowError(
            f"representation.models: {', '.join(models) or 'none'}; expected {REFERENCE} and at "
            "least one autoencoder to compare with it"
        )
    valid, test = subset(planets, split, "valid"), test.isel(planet=is_usable(test))
    if valid.sizes["planet"] < 2 * FOLDS:
        raise ArielflowError(
            f"representation: {valid.sizes['planet']} validation planets are too few to probe, "
            f"expected {2 * FOLDS}; raise dataset.validation_fraction"
        )
    dimensions = sorted(models[REFERENCE])
    loaded = {
        name: {n: load_representation(models[name][n]) for n in dimensions} for name in models
    }
    rms = {
        kind: np.array(
            [[rms_error(loaded[m][n], part, device) for n in dimensions] for m in models]
        )
        for kind, part in (("rms_valid", valid), ("rms_test", test))
    }
    order = list(models)
    ratio = rms["rms_valid"] / rms["rms_valid"][order.index(REFERENCE)]
    chosen = np.array(dimensions)[np.argmin(ratio, axis=1)]
    best = min(names, key=lambda name: ratio[order.index(name)].min())
    dimension = int(chosen[order.index(best)])
    chosen[order.index(REFERENCE)] = dimension
    theta = valid["theta"].values
    latent = {name: loaded[name][dimension].encode(valid, device=device) for name in order}
    probes = [[linear_probe(latent[m], column, seed) for column in theta.T] for m in order]
    result = xr.Dataset(
        {name: (("model", "dimension"), values) for name, values in rms.items()}
        | {
            "chosen_dimension": ("model", chosen),
            "probe_r2": (("model", "target"), probes),
            "latent": (("planet", "latent"), latent[best]),
            "theta": (("planet", "target"), theta),
            "cluster_label": ("planet", _clusters(exploration, valid)),
        },
        coords={
            "model": order,
            "dimension": dimensions,
            "planet": valid["planet"].values.astype(object),
            **{name: valid[name] for name in TARGET_COORDINATES},
        },
        attrs={
            "best": best,
            "dimension": dimension,
            "scaling": exploration.attrs["representation"],
            "n_valid": valid.sizes["planet"],
            "n_test": test.sizes["planet"],
        },
    )
    return _describe(result)


def _clusters(exploration: xr.Dataset, planets: xr.Dataset) -> np.ndarray:
    """Cluster of each of the planets, which are training planets of the exploration."""
    explored = exploration.isel(planet=exploration["split"].values == "train")
    labels = pd.Series(explored["cluster_label"].values, explored["planet"].values.astype(str))
    return labels.reindex(planets["planet"].values.astype(str)).to_numpy()


def _describe(result: xr.Dataset) -> xr.Dataset:
    long_names = {
        "rms_valid": "rms error of the scaled spectra of validation planets",
        "rms_test": "rms error of the scaled spectra of test planets",
        "chosen_dimension": "latent variables of the chosen size",
        "probe_r2": "cross-validated R² of a linear map from the latent variables",
        "latent": "latent variable of the best autoencoder",
        "cluster_label": "k-means cluster of the exploration, 1 is the largest",
    }
    for name, long_name in long_names.items():
        result[name].attrs |= {"long_name": long_name, "units": "1"}
    return result


def model_folders(folders: Sequence[str | Path]) -> dict[str, dict[int, Path]]:
    """Folders ``…/{name}/{dimension}`` of trained representations by name and dimension."""
    found: dict[str, dict[int, Path]] = {}
    for folder in map(Path, folders):
        found.setdefault(folder.parent.name, {})[int(folder.name)] = folder
    return found
