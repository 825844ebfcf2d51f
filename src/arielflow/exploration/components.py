"""What a set of spectra is made of: principal and independent components, clusters, statistics.

Everything is learnt from the training split; test planets are only projected onto it. The choice
of statistics and of the spectrum's *shape* as the space to work in follows Matchev, Matcheva &
Roman 2022 (ApJ 930, 33): mean and scatter of a transmission spectrum carry the planet's radius and
scale height, what remains carries the chemistry.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA, FastICA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import TARGET_COORDINATES, is_usable
from arielflow.models.scaling import apply_scaling, fit_scaling

MAX_SILHOUETTE_PLANETS = 2000
# Components with less than this share of the variance are round-off: whitening them is noise.
_NEGLIGIBLE_VARIANCE = 1e-10


class Clustering(NamedTuple):
    """A k-means model with the silhouette score (n_clusters,) of every number tried."""

    model: KMeans
    order: np.ndarray
    silhouette: np.ndarray


def independent_components(
    scores: np.ndarray, pca: PCA, seed: int
) -> tuple[FastICA, np.ndarray, np.ndarray, bool]:
    """Independent components of principal-component scores.

    Order and sign of independent components are arbitrary, so they are sorted by the variance that
    each brings to the spectra and turned so that the largest entry of its pattern is positive.

    Returns
    -------
    The fitted model; the patterns (source, wavelength); order-and-sign matrix (source, source) that
    takes raw sources to sorted ones; whether the iteration converged.
    """
    ica = FastICA(whiten="unit-variance", random_state=seed, max_iter=1000, tol=1e-3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        ica.fit(scores)
    converged = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
    patterns = ica.mixing_.T @ pca.components_[: scores.shape[1]]
    order = np.argsort(-(patterns**2).sum(axis=1), kind="stable")
    peak = np.abs(patterns).argmax(axis=1)
    sign = np.sign(patterns[np.arange(len(patterns)), peak])
    arrange = np.diag(sign)[order]
    return ica, arrange @ patterns, arrange, converged


def choose_clusters(scores: np.ndarray, numbers: range, seed: int) -> Clustering:
    """K-means with the number of clusters that has the best silhouette score.

    Silhouettes compare all pairs of planets, so at most ``MAX_SILHOUETTE_PLANETS`` drawn at random
    enter them. Clusters are numbered from the largest to the smallest.

    Parameters
    ----------
    scores
        Training planets in component space, shape (planet, component).
    numbers
        Numbers of clusters to try, each at least 2 and below the number of planets.
    seed
        Seed of the subsample and of the starting points.

    Raises
    ------
    ArielflowError
        A number to try is out of range.
    """
    numbers = list(numbers)
    if not numbers or min(numbers) < 2 or max(numbers) >= len(scores):
        raise ArielflowError(
            f"explore: numbers of clusters {numbers}, expected from 2 to {len(scores) - 1} for "
            f"{len(scores)} usable training planets; change explore.clusters"
        )
    size = min(MAX_SILHOUETTE_PLANETS, len(scores))
    subsample = np.sort(np.random.default_rng(seed).choice(len(scores), size, replace=False))
    models = [KMeans(k, n_init=10, random_state=seed).fit(scores) for k in numbers]
    silhouette = np.array([_silhouette(scores[subsample], m.labels_[subsample]) for m in models])
    best = models[int(np.nanargmax(silhouette))]
    sizes = np.bincount(best.labels_, minlength=best.n_clusters)
    return Clustering(best, np.argsort(-sizes, kind="stable"), silhouette)


def _silhouette(scores: np.ndarray, labels: np.ndarray) -> float:
    # A tiny cluster may be missing from the subsample; with a single one left there is no score.
    return float(silhouette_score(scores, labels)) if len(np.unique(labels)) > 1 else -1.0


def explore(
    train: xr.Dataset,
    test: xr.Dataset,
    *,
    n_components: int,
    clusters: range,
    seed: int,
    scaling: str = "shape",
) -> xr.Dataset:
    """Components, clusters and summary statistics of a training set, with the test set projected.

    Parameters
    ----------
    train, test
        Planets datasets on the same wavelength grid; unusable planets are left out.
    n_components
        Number of principal components to keep.
    clusters
        Numbers of clusters to try.
    seed
        Seed of everything random; the same seed gives the same result on the same machine.
    scaling
        ``shape`` (default) or ``standardised``, see :func:`fit_scaling`.

    Returns
    -------
    xarray.Dataset
        Over *planet* (training planets, then test planets, told apart by the coordinate ``split``;
        identifiers may repeat between splits): ``score(planet, component)``,
        ``source_score(planet, source)``, ``cluster_label(planet)``, ``depth_mean(planet)``,
        ``depth_scatter(planet)`` and ``theta(planet, target)``. Learnt from training planets alone:
        ``explained_variance_ratio(component)``, ``loading(component, wavelength)``,
        ``source_pattern(source, wavelength)``, ``silhouette(n_clusters)``,
        ``cluster_spectrum(cluster, wavelength)`` and its scatter (in the scaling's units),
        ``cluster_size(cluster)``.

    Raises
    ------
    ArielflowError
        Grids differ, there are too few planets, or a setting is out of range.
    """
    train, test = (planets.isel(planet=is_usable(planets)) for planets in (train, test))
    _check(train, test, n_components)
    depth = {"train": train["transit_depth"].values, "test": test["transit_depth"].values}
    fitted = fit_scaling(depth["train"], scaling)
    spectra = {split: apply_scaling(values, fitted) for split, values in depth.items()}
    # One thread: the order of additions, and so the last bits, must not depend on the machine.
    with threadpool_limits(1):
        pca = PCA(n_components, svd_solver="full").fit(spectra["train"])
        score = np.concatenate([pca.transform(s) for s in spectra.values() if len(s)])
        n_train = len(spectra["train"])
        rank = max(1, int((pca.explained_variance_ratio_ > _NEGLIGIBLE_VARIANCE).sum()))
        ica, patterns, arrange, converged = independent_components(
            score[:n_train, :rank], pca, seed
        )
        clustering = choose_clusters(score[:n_train], clusters, seed)
        label = 1 + np.argsort(clustering.order)[clustering.model.predict(score)]
    found = {
        "score": (("planet", "component"), score),
        "source_score": (("planet", "source"), ica.transform(score[:, :rank]) @ arrange.T),
        "cluster_label": ("planet", label),
        "explained_variance_ratio": ("component", pca.explained_variance_ratio_),
        "loading": (("component", "wavelength"), pca.components_),
        "source_pattern": (("source", "wavelength"), patterns),
        "silhouette": ("n_clusters", clustering.silhouette),
        **_cluster_spectra(spectra["train"] + fitted.centre, label[:n_train]),
    }
    result = xr.Dataset(
        found | _planet_statistics(train, test),
        coords=_coordinates(train, test) | {"n_clusters": list(clusters)},
        attrs={
            "representation": scaling,
            "chosen_clusters": clustering.model.n_clusters,
            "independent_components_converged": int(converged),
            "seed": seed,
            "edition": train.attrs.get("edition", ""),
        },
    )
    return _describe(
        result.assign_coords(
            component=np.arange(1, n_components + 1),
            source=np.arange(1, rank + 1),
            cluster=np.arange(1, clustering.model.n_clusters + 1),
        )
    )


def _check(train: xr.Dataset, test: xr.Dataset, n_components: int) -> None:
    grids = train["wavelength"].values, test["wavelength"].values
    if grids[0].shape != grids[1].shape or not np.allclose(*grids, rtol=1e-6):
        raise ArielflowError(
            f"explore: training and test spectra lie on different grids ({len(grids[0])} and "
            f"{len(grids[1])} bins); ingest both with the same edition"
        )
    largest = min(train.sizes["planet"] - 1, train.sizes["wavelength"])
    if not 1 <= n_components <= largest:
        raise ArielflowError(
            f"explore: {n_components} components, expected 1 to {largest} for "
            f"{train.sizes['planet']} usable training planets and {train.sizes['wavelength']} bins;"
            " change explore.n_components"
        )


def _coordinates(train: xr.Dataset, test: xr.Dataset) -> dict[str, object]:
    splits = ["train"] * train.sizes["planet"] + ["test"] * test.sizes["planet"]
    identifiers = np.concatenate([p["planet"].values.astype(object) for p in (train, test)])
    shared = {name: train[name] for name in (*TARGET_COORDINATES, "wavelength")}
    return {"planet": identifiers, "split": ("planet", np.array(splits, dtype=object)), **shared}


def _planet_statistics(train: xr.Dataset, test: xr.Dataset) -> dict[str, tuple]:
    depth = np.concatenate([train["transit_depth"].values, test["transit_depth"].values])
    theta = np.concatenate([train["theta"].values, test["theta"].values])
    return {
        "depth_mean": ("planet", depth.mean(axis=1)),
        "depth_scatter": ("planet", depth.std(axis=1)),
        "theta": (("planet", "target"), theta),
    }


def _cluster_spectra(spectra: np.ndarray, label: np.ndarray) -> dict[str, tuple]:
    members = [spectra[label == k] for k in range(1, label.max() + 1)]
    return {
        "cluster_spectrum": (("cluster", "wavelength"), np.stack([m.mean(0) for m in members])),
        "cluster_scatter": (("cluster", "wavelength"), np.stack([m.std(0) for m in members])),
        "cluster_size": ("cluster", np.array([len(m) for m in members])),
    }


def _describe(result: xr.Dataset) -> xr.Dataset:
    long_names = {
        "score": ("principal-component score", "1"),
        "source_score": ("independent-component score, unit variance in training", "1"),
        "cluster_label": ("k-means cluster, 1 is the largest", "1"),
        "explained_variance_ratio": ("share of the variance of the training spectra", "1"),
        "loading": ("principal component over wavelength, unit length", "1"),
        "source_pattern": ("spectrum that one unit of the independent component adds", "1"),
        "silhouette": ("mean silhouette of k-means clusters", "1"),
        "cluster_spectrum": ("mean scaled spectrum of the cluster's training planets", "1"),
        "cluster_scatter": ("standard deviation of the cluster's scaled spectra", "1"),
        "cluster_size": ("training planets in the cluster", "1"),
        "depth_mean": ("mean transit depth over the bins", "1"),
        "depth_scatter": ("standard deviation of the transit depth over the bins", "1"),
        "wavelength": ("wavelength of the bin centre", "um"),
    }
    for name, (long_name, units) in long_names.items():
        result[name].attrs |= {"long_name": long_name, "units": units}
    return result


def assign_clusters(exploration: xr.Dataset, train: xr.Dataset, planets: xr.Dataset) -> np.ndarray:
    """Clusters of further planets (planet,): that of the nearest mean among the components.

    Parameters
    ----------
    exploration
        What :func:`explore` returned.
    train
        The training planets that it was learnt from.
    planets
        Usable planets on the same wavelength grid.

    Raises
    ------
    ArielflowError
        Their grid is another, or no training planet is usable.
    """
    usable = train.isel(planet=is_usable(train))
    grids = [data["wavelength"].values for data in (exploration, usable, planets)]
    if not usable.sizes["planet"] or any(grid.shape != grids[0].shape for grid in grids):
        raise ArielflowError(
            f"explore: clusters of {len(grids[0])} bins for planets of {len(grids[2])} with "
            f"{usable.sizes['planet']} usable training planets of {len(grids[1])}; expected the "
            "same grid and at least one; explore the run's own training set"
        )
    scaling = fit_scaling(usable["transit_depth"].values, exploration.attrs["representation"])
    spectra = apply_scaling(planets["transit_depth"].values, scaling)
    loading = exploration["loading"].values
    means = (exploration["cluster_spectrum"].values - scaling.centre) @ loading.T
    nearest = np.argmin(cdist(spectra @ loading.T, means), axis=1)
    found: np.ndarray = exploration["cluster"].values[nearest]
    return found
