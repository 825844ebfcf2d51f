"""Observed spectra of single planets: reading them, and retrieving them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arielflow.data.description.read import Description, describe_planet, read_planet_file
from arielflow.data.spectra.read import read_spectrum as read_spectrum
from arielflow.data.spectra.spectrum import ObservedSpectrum
from arielflow.retrieval.spectra.methods import MethodName, SpectrumResult
from arielflow.retrieval.spectra.methods import retrieve_spectrum as retrieved
from arielflow.retrieval.spectra.setup import prepared_model


def retrieve_spectrum(
    spectrum: ObservedSpectrum,
    planet: str | Path | Mapping[str, Any] | Description,
    method: MethodName = "importance",
    *,
    opacities: str | None = None,
    resolving_power: float | None = None,
    n_samples: int = 4000,
    seed: int = 2026,
) -> SpectrumResult:
    """Retrieve one observed spectrum, as ``arielflow retrieve`` does.

    Parameters
    ----------
    spectrum
        From :func:`arielflow.read_spectrum`.
    planet
        A planet file, its content as a dictionary, or a description.
    method
        ``importance`` sampling, with nested sampling where it falls short; ``variational`` or
        ``nested``.
    opacities
        ``builtin`` or a folder of tables, instead of the planet file's.
    resolving_power
        To average the points to; by default 100 if there are more than 400.
    n_samples, seed
        Equally weighted samples, and the seed of everything random.

    Returns
    -------
    SpectrumResult
        ``samples`` (sample, parameter) of ``model.names``, ``log_evidence`` and what else the
        method tells.

    Raises
    ------
    ArielflowError
        The planet file is at fault, a gas has no table, or there is no posterior to be found.

    Examples
    --------
    >>> import arielflow as af
    >>> spectrum = af.read_spectrum("planet.csv")
    >>> result = af.retrieve_spectrum(spectrum, "planet.yaml")
    >>> result.samples.shape, result.model.names
    ((4000, 2), ('planet_radius', 'log_H2O'))
    """
    description = planet
    if isinstance(planet, str | Path):
        description = read_planet_file(planet)
    elif not isinstance(planet, Description):
        description = describe_planet(planet)
    model = prepared_model(
        description, spectrum, opacities=opacities, resolving_power=resolving_power
    )
    return retrieved(model, method, seed=seed, n_samples=n_samples)
