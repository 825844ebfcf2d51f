"""Trained models: load all members of a row, sample them, or train new ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from arielflow.api.physics import edition_of
from arielflow.core.errors import ArielflowError
from arielflow.core.readers import read_json_object
from arielflow.core.schema import describe, is_usable, open_dataset
from arielflow.core.seeds import derived_seed
from arielflow.data.splits import annotated_planets, split_planets, subset
from arielflow.models import FAILED, make_estimator
from arielflow.models.base import PosteriorEstimator
from arielflow.models.ensemble import Ensemble
from arielflow.models.member import write_trained

log = logging.getLogger(__name__)

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Model:
    """A row's trained members and how they are mixed.

    Attributes
    ----------
    name : of the row, such as ``flow``
    members : folders of the members
    ensemble : the members that were trained to their end, and their shares
    mixing : where the shares come from, in words
    device : that networks are evaluated on, as asked for
    """

    name: str
    members: tuple[Path, ...]
    ensemble: Ensemble
    mixing: str
    device: str = "auto"

    def __repr__(self) -> str:
        shares = ", ".join(f"{share:.3g}" for share in self.ensemble.shares)
        return f"<Model {self.name}: {len(self.members)} members, shares {shares} ({self.mixing})>"

    @property
    def has_log_prob(self) -> bool:
        """Every member has a density."""
        return self.ensemble.has_log_prob

    def sample(self, planets: xr.Dataset, n_samples: int = 4000, *, seed: int = 2026) -> xr.Dataset:
        """Posteriors of planets, the members mixed: with a run's seed, the run's own samples.

        Parameters
        ----------
        planets
            Planets dataset. One whose data are unusable gets draws from its prior.
        n_samples
            Equally weighted samples per planet.
        seed
            Of the run: the row's own seed is derived from it, as the workflow does.

        Returns
        -------
        xarray.Dataset
            ``theta(planet, sample, target)``, ``weight(planet, sample)``, ``retrieved`` (0 where
            theta is drawn from the prior) and ``fault``, and of ensembles the standard deviations
            ``aleatoric`` and ``epistemic``.

        Raises
        ------
        ArielflowError
            Every member fails for all of several planets.

        Examples
        --------
        >>> model = af.load_model("models/flow")
        >>> posterior = model.sample(planets, n_samples=1000, seed=1)
        >>> posterior["theta"].dims, posterior.sizes["sample"]
        (('planet', 'sample', 'target'), 1000)
        >>> float(posterior["theta"].sel(planet="public1", target="planet_temp").median()) > 100
        True
        """
        own = derived_seed(seed, f"sample/{self.name}")
        posterior = self.ensemble.sample(planets, n_samples, seed=own)
        kept = ("edition", "split", "prior")
        names = {name: planets.attrs[name] for name in kept if name in planets.attrs}
        return posterior.assign_attrs(names, model=self.name)

    def log_prob(self, planets: xr.Dataset, theta: xr.DataArray | np.ndarray) -> xr.DataArray:
        """Natural log-density of the mixture at points of the targets.

        Parameters
        ----------
        planets
            Planets dataset.
        theta
            Shape (planet, sample, target), or (planet, target) for one point per planet, in the
            targets' units.

        Returns
        -------
        xarray.DataArray
            Shape (planet, sample) or (planet,); NaN for planets whose data are unusable, or for
            which all members fail.

        Raises
        ------
        ArielflowError
            The members have no density, or the shape is not that of these planets.

        Examples
        --------
        >>> model = af.load_model("models/flow")
        >>> posterior = model.sample(planets, n_samples=1000, seed=1)
        >>> model.log_prob(planets, posterior["theta"]).dims
        ('planet', 'sample')
        """
        if not self.has_log_prob:
            raise ArielflowError(
                f"model {self.name} has no density; choose a flow, a cvae or a bnn"
            )
        points = np.asarray(theta, dtype=float)
        expected = planets.sizes["planet"], planets.sizes["target"]
        if points.ndim not in (2, 3) or (points.shape[0], points.shape[-1]) != expected:
            raise ArielflowError(
                f"theta: shape {points.shape}, expected (planet, target) or (planet, sample, "
                f"target) with {expected[0]} planets and {expected[1]} targets"
            )
        given = is_usable(planets)
        several = points if points.ndim == 3 else points[:, None]
        density = np.full(several.shape[:2], np.nan)
        if given.any():
            density[given] = self.ensemble.log_prob(planets.isel(planet=given), several[given])
        dims = ("planet", "sample")[: points.ndim - 1]
        found = xr.Dataset(
            {"log_prob": (dims, density.reshape(points.shape[:-1]))},
            coords={"planet": planets["planet"]},
        )
        return describe(found)["log_prob"]


def load_model(
    folder: str | Path, *, shares: Sequence[float] | None = None, device: str = "auto"
) -> Model:
    """Load all trained members of a row, mixed as the run did.

    Parameters
    ----------
    folder
        A row's folder of members, ``results/<run>/models/<row>``, of a run or copied elsewhere; a
        row made of another row's members need not be there. Or one member's folder.
    shares
        Share of each member in the mixture. If left out, those that the run's posterior of the row
        bears, else equal ones; ``Model.mixing`` tells which.
    device
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    ArielflowError
        The folder holds no model, a model is damaged, or the training of every member failed.

    Examples
    --------
    >>> import arielflow as af
    >>> model = af.load_model("models/flow")
    >>> model
    <Model flow: 2 members, shares 0.5, 0.5 (equal shares, as no posterior of a run tells others)>
    """
    folder = Path(folder)
    name, members, sampled = _row(folder)
    mixing = "as asked for"
    if shares is None:
        shares, mixing = _shares(members, sampled)
        log.info("model %s: %s", name, mixing)
    return Model(name, tuple(members), Ensemble(members, shares, device=device), mixing, device)


def _row(folder: Path) -> tuple[str, list[Path], Path | None]:
    """Name and members' folders of a row, and the run's posterior of it where there may be one."""
    if (folder / PosteriorEstimator.description_file).is_file():
        inside = folder.resolve()
        return (inside.parent.name if inside.name.isdecimal() else inside.name), [folder], None
    name, run = folder.resolve().name, folder.resolve().parents[1]
    sampled = run / "posteriors" / "test" / f"{name}.nc"
    spec = _spec(run / _MANIFEST, name)
    if spec is not None:
        owner = folder.with_name(spec.get("members_of") or name)
        return name, [owner / str(number) for number in range(spec.get("members", 1))], sampled
    found = [path for path in folder.glob("*") if path.name.isdecimal() and path.is_dir()]
    if not found:
        raise ArielflowError(
            f"{folder}: holds no trained members, expected folders 0, 1, …; give "
            "results/<run>/models/<row>, or train the model first"
        )
    return name, sorted(found, key=lambda path: int(path.name)), sampled


def _spec(manifest: Path, name: str) -> Mapping[str, Any] | None:
    """What the run's manifest says of a row; None without a manifest, or of no row of the run."""
    if not manifest.is_file():
        return None
    config = read_json_object(manifest, ["config"], "run the workflow again")["config"]
    return config["model_settings"].get(name, {}) if name in config["models"] else None


def _shares(members: Sequence[Path], sampled: Path | None) -> tuple[np.ndarray | None, str]:
    """Shares of the members that are left, None for equal ones, and where they come from."""
    if sampled is None or not sampled.is_file():
        return None, "equal shares, as no posterior of a run tells others"
    shares = np.atleast_1d(open_dataset(sampled).attrs["shares"])
    kept = sum(not (member / FAILED).is_file() for member in members)
    if len(shares) != kept:
        return None, f"equal shares, as {sampled} was mixed of {len(shares)} members, not {kept}"
    return shares, f"shares of {sampled}"


def train(
    planets: xr.Dataset,
    family: str,
    directory: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    members: int = 1,
    validation_fraction: float = 0.05,
    seed: int = 2026,
    device: str = "auto",
) -> Model:
    """Train a model's members and write them, as the workflow does with the same seed.

    Parameters
    ----------
    planets
        Training planets with theta (:func:`arielflow.read` with ``split="train"``); for a model
        that learns from traces, with these (:func:`arielflow.read_truth`).
    family
        ``flow``, ``random_forest``, ``mc_dropout``, ``bnn``, ``cvae`` or ``flow_matching``.
    directory
        Receives a folder per member, 0, 1, …, and its training's history, ``0.csv``; its name is
        the row's.
    settings
        Of the family; what is left out has its default.
    members
        Number of members, each with a seed of its own.
    validation_fraction
        Share of the planets that the training is watched on.
    seed, device
        Of the training.

    Returns
    -------
    Model
        The members, with equal shares.

    Raises
    ------
    ArielflowError
        A setting is not known, the planets are too few, or the training of the only member
        diverged.

    Examples
    --------
    >>> import arielflow as af
    >>> known = af.read("dataset", edition="adc2023", split="train")
    >>> forest = af.train(known, "random_forest", "forest", settings={"trees": 5}, seed=1)
    >>> forest.name, forest.has_log_prob
    ('forest', False)
    """
    directory = Path(directory)
    spec = {"family": family, "settings": dict(settings or {}), "members": members}
    estimator, edition = make_estimator(family, spec["settings"]), edition_of(planets)
    quantities = [
        [part.quantity for part in parts] for parts in (edition.targets, edition.auxiliary)
    ]
    if fault := estimator.misfit(*quantities):
        raise ArielflowError(fault)
    split = split_planets(planets, validation_fraction, derived_seed(seed, "split"))
    plain = planets.drop_vars(["row_size", "trace", "weight"], errors="ignore")
    known, valid = (subset(plain, split, name) for name in ("train", "valid"))
    annotated = annotated_planets(known, planets) if "trace" in planets else None
    for number in range(members):
        write_trained(
            directory / str(number),
            directory / f"{number}.csv",
            spec,
            (known, valid, annotated),
            seed=derived_seed(seed, directory.resolve().name, number),
            device=device,
        )
    return load_model(directory, device=device)
