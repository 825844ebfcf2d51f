"""Spectra of many planets by one extractor: a planet that it cannot do gets the floor's entry."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.seeds import derived_seed
from arielflow.models.extractors.base import SpectrumExtractor

log = logging.getLogger(__name__)


def split_labelled(planets: Sequence[str], fraction: float, seed: int) -> list[bool]:
    """Which labelled planets rows are scored on, the others being those that they learn from.

    Parameters
    ----------
    planets
        Identifiers.
    fraction
        Share to score on; at least one planet, and at least two are left to learn from.
    seed
        The run's.

    Raises
    ------
    ArielflowError
        There are fewer than three planets.
    """
    if len(planets) < 3:
        raise ArielflowError(
            f"{len(planets)} labelled planets have frames, expected at least 3: two to learn from, "
            "one to be scored on"
        )
    count = int(np.clip(round(fraction * len(planets)), 1, len(planets) - 2))
    rng = np.random.default_rng(derived_seed(seed, "labelled planets"))
    chosen = set(rng.choice(len(planets), count, replace=False).tolist())
    return [position in chosen for position in range(len(planets))]


def extract_spectra(
    extractor: SpectrumExtractor,
    floor: SpectrumExtractor,
    curves: Iterable[xr.Dataset],
    wavelength_um: np.ndarray,
) -> xr.Dataset:
    """Spectra of planets with their standard deviations.

    Parameters
    ----------
    extractor
        Fitted.
    floor
        Answers for planets that the extractor cannot do; they are marked.
    curves
        Light curves, planet by planet.
    wavelength_um
        Of the channels.

    Returns
    -------
    xarray.Dataset
        ``depth(planet, channel)``, ``sigma(planet, channel)``, ``fallback(planet)`` (1 where the
        floor answered) and ``fault(planet)``, its reason.
    """
    names, depths, sigmas, faults = [], [], [], []
    for light in curves:
        name, fault = str(light.attrs["planet_id"]), ""
        try:
            found = extractor.extract(light)
            sigma = np.sqrt(np.diag(found.covariance))
            if not (np.isfinite(found.depth).all() and (sigma > 0).all()):
                raise ArielflowError(f"planet {name}: the spectrum is not finite")
        except ArielflowError as error:
            fault = str(error)
            log.warning("%s; the floor's entry is taken", fault)
            found = floor.extract(light)
            sigma = np.sqrt(np.diag(found.covariance))
        names.append(name)
        # A submission takes no depth below zero, and no star is hidden whole.
        depths.append(np.clip(found.depth, 0.0, 1.0))
        sigmas.append(sigma)
        faults.append(fault)
    dims = ("planet", "channel")
    shape = (len(names), len(wavelength_um))
    spectra = xr.Dataset(
        {
            "depth": (dims, np.reshape(depths, shape)),
            "sigma": (dims, np.reshape(sigmas, shape)),
            "fallback": ("planet", np.array([bool(fault) for fault in faults], dtype=np.int8)),
            "fault": ("planet", np.array(faults, dtype=object)),
        },
        coords={
            "planet": np.array(names, dtype=object),
            "wavelength": ("channel", wavelength_um),
        },
    )
    spectra["depth"].attrs = {"long_name": "transit depth (Rp/Rs)^2", "units": "1"}
    spectra["sigma"].attrs = {"long_name": "standard deviation of the transit depth", "units": "1"}
    spectra["fallback"].attrs = {"long_name": "the floor answered", "units": "1"}
    spectra["wavelength"].attrs = {"long_name": "wavelength of the channel", "units": "um"}
    return spectra
