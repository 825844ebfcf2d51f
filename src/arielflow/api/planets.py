"""Planets of a data set, their truth, and simulated ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from arielflow.api.physics import edition_of, physics_settings
from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed
from arielflow.core.schema import open_dataset, validate_planets
from arielflow.data.ingest import hide_truth, ingest, ingest_truth
from arielflow.data.ingest import read_truth as read_truth_files
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import NAMES, get_edition
from arielflow.editions.official_files import GROUND_TRUTH, split_folder
from arielflow.physics.forward import PhysicsSettings
from arielflow.simulation.dataset import TEST_TRUTH

_TRUTH_VARIABLES = ("theta", "row_size", "trace", "weight")


def read(
    source: str | Path,
    *,
    edition: str | None = None,
    split: str = "test",
    prior: str | None = None,
    limits: Mapping[str, tuple[float, float]] | None = None,
) -> xr.Dataset:
    """Read planets as the workflow does: checked, flagged, each with the box of its prior.

    Parameters
    ----------
    source
        Root folder of a data set in the official layout, or a NetCDF file of planets that the
        workflow or ``arielflow ingest`` wrote.
    edition
        ``adc2022``, ``adc2023`` or ``wfc3``; of a file, what it bears.
    split
        ``train``, ``test`` or what else the edition has; only training planets keep their theta.
    prior
        Name of the retrieval prior; if left out, what the data set's own record names, else the
        edition's own.
    limits
        Lowest and highest plausible value by column or target, in place of the edition's.

    Returns
    -------
    xarray.Dataset
        Planets dataset, see :mod:`arielflow.core.schema`; ``quality`` tells what is suspect.

    Raises
    ------
    ArielflowError
        The data cannot be read, none of them is usable, or the edition is not known.

    Examples
    --------
    >>> import arielflow as af
    >>> planets = af.read("dataset", edition="adc2023", split="test")
    >>> planets.sizes["planet"], planets.sizes["wavelength"], planets.attrs["prior"]
    (3, 52, 'matched')
    >>> bool((planets["quality"] == 0).all())
    True
    """
    if Path(source).is_file():
        try:
            planets = validate_planets(open_dataset(source))
        except ArielflowError as error:
            told = str(error)
            raise ArielflowError(told if str(source) in told else f"{source}: {told}") from None
        found = edition_of(planets).name
        if edition not in (None, found):
            raise ArielflowError(
                f"{source}: holds planets of edition {found}, expected {edition}; leave edition out"
            )
        return planets
    if not Path(source).exists() and edition is None:
        raise ArielflowError(
            f"{source}: no such file or folder; give the root of a data set, or a NetCDF file of "
            "planets"
        )
    if edition is None:
        raise ArielflowError(f"{source}: of which edition? give edition, one of {listed(NAMES)}")
    planets, _, _ = ingest(source, get_edition(edition), split, prior=prior, limits=limits)
    return planets if split == "train" else hide_truth(planets)


def read_truth(folder: str | Path, planets: xr.Dataset) -> xr.Dataset:
    """The same planets with what is known of their truth: theta, and traces of the true posterior.

    Parameters
    ----------
    folder
        Root folder of the data set, or the folder with the truth's own files.
    planets
        What :func:`read` gave, all planets or some.

    Returns
    -------
    xarray.Dataset
        The planets, with ``theta`` (NaN where it is not known) and ragged traces: ``row_size``
        (0 where there is none), ``trace`` and ``weight``.

    Raises
    ------
    ArielflowError
        There is no truth in the folder, or its files are damaged.

    Examples
    --------
    >>> import arielflow as af
    >>> planets = af.read("dataset", edition="adc2023", split="test")
    >>> truth = af.read_truth("dataset", planets)
    >>> truth["row_size"].values.tolist()
    [200, 200, 200]
    """
    edition, split = edition_of(planets), planets.attrs.get("split", "test")
    if split == "train" and edition.identifier_templates:
        directory = split_folder(folder, split) / GROUND_TRUTH
        truth = read_truth_files(directory if directory.is_dir() else folder, edition, planets)
    else:
        directory = Path(folder) / TEST_TRUTH
        truth, _ = ingest_truth(directory if directory.is_dir() else folder, edition, planets)
    if not truth["row_size"].any() and np.isnan(truth["theta"]).all():
        raise ArielflowError(
            f"{folder}: holds no truth of the {split} planets; give the data set's root, or the "
            "folder that holds their traces and parameters"
        )
    return planets.assign({name: truth[name] for name in _TRUTH_VARIABLES})


def simulate(
    n_planets: int,
    *,
    edition: str = "adc2023",
    split: str = "test",
    seed: int = 2026,
    prior: str = "matched",
    population: str | None = None,
    physics: PhysicsSettings | None = None,
) -> xr.Dataset:
    """Draw planets and compute their spectra; the first n of a seed are the same however many.

    Parameters
    ----------
    n_planets
        Number of planets.
    edition
        Gives targets, columns and wavelengths: ``adc2022`` or ``adc2023``.
    split
        ``train`` or ``test``; each has its own stream of planets, and names for them.
    seed
        Of everything random.
    prior, population
        Names of the retrieval prior, whose box the planets bear, and of the prior that theta is
        drawn from (the same if left out): ``matched``, ``wide`` or ``population``.
    physics
        Opacities and mode of the forward model (:func:`arielflow.physics_settings`).

    Returns
    -------
    xarray.Dataset
        Planets dataset with their theta.

    Raises
    ------
    ArielflowError
        The edition cannot be simulated, or a name is not known.

    Examples
    --------
    >>> import arielflow as af
    >>> planets = af.simulate(2, seed=1)
    >>> planets["planet"].values.tolist(), planets["theta"].dims
    (['public1', 'public2'], ('planet', 'target'))
    """
    chosen = get_edition(edition)
    if chosen.writer is None:
        raise ArielflowError(f"edition {edition} cannot be simulated; choose adc2022 or adc2023")
    return simulate_planets(
        chosen,
        n_planets,
        seed=seed,
        split=split,
        prior=prior,
        population=population,
        physics=physics or physics_settings(),
    )
