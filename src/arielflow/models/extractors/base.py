"""The interface of extractors: light curves of a planet to its spectrum with covariance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import xarray as xr
from safetensors.numpy import load_file, save_file

from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path
from arielflow.models.description import (
    REMEDY,
    model_guard,
    read_description,
    write_description,
)

DESCRIPTION = "extractor.json"
_STATE = "state.safetensors"


class Spectrum(NamedTuple):
    """An extracted spectrum.

    Attributes
    ----------
    depth : np.ndarray
        Transit depths (channel,).
    covariance : np.ndarray
        Of the depths (channel, channel).
    """

    depth: np.ndarray
    covariance: np.ndarray


class SpectrumExtractor(ABC):
    """Light curves of a planet (:mod:`arielflow.frames`) to its spectrum with covariance.

    Attributes
    ----------
    name : str
        Name of its module, which is the row's.
    state : dict[str, np.ndarray]
        What fitting found; all that is saved.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self.state: dict[str, np.ndarray] = {}

    @abstractmethod
    def fit(self, curves: Iterable[xr.Dataset], spectra: np.ndarray) -> None:
        """Learn from labelled planets.

        Parameters
        ----------
        curves
            Light curves of the planets, read one after another.
        spectra
            Their true transit depths (planet, channel).

        Raises
        ------
        ArielflowError
            Too few planets have light curves.
        """

    @abstractmethod
    def extract(self, curves: xr.Dataset) -> Spectrum:
        """Spectrum of a planet.

        Raises
        ------
        ArielflowError
            Its light curves do not do; the reason belongs to the planet alone.
        """

    def save(self, directory: str | Path) -> None:
        """Save what fitting found."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        with atomic_path(directory / _STATE) as temporary:
            save_file({name: np.ascontiguousarray(a) for name, a in self.state.items()}, temporary)
        write_description(directory / DESCRIPTION, {"extractor": self.name}, [_STATE])

    def load(self, directory: str | Path) -> None:
        """Load what :meth:`save` saved.

        Raises
        ------
        ArielflowError
            It is damaged, or of another extractor.
        """
        directory = Path(directory)
        with model_guard(directory):
            found = read_description(directory / DESCRIPTION, ["extractor"], [_STATE])
            if found["extractor"] != self.name:
                raise ArielflowError(
                    f"{directory}: holds extractor {found['extractor']}, expected {self.name}; "
                    f"{REMEDY}"
                )
            self.state = load_file(directory / _STATE)
