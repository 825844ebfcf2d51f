"""What an edition of the challenge is: its targets, columns, grid, file layout and metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import xarray as xr


@dataclass(frozen=True)
class Range:
    """Uniform range of a parameter, ``low`` to ``high``.

    With ``relative_to_equilibrium`` the two are factors on each planet's equilibrium temperature,
    cut to ``limits`` [K].
    """

    low: float
    high: float
    relative_to_equilibrium: bool = False
    limits: tuple[float, float] = (-np.inf, np.inf)


@dataclass(frozen=True)
class Parameter:
    """One target of an edition.

    Attributes
    ----------
    name : str
        Official name, the column of FM_Parameter_Table.csv.
    quartile_name : str | None
        Prefix of its columns in the quartiles table.
    quantity : str
        Edition-independent meaning (:data:`arielflow.core.schema.MOLECULES`, ``planet_radius`` …).
    units, latex : str
        How it is written in labels.
    score_bounds : tuple[float, float]
        The official metric clips and scales with these.
    priors : dict[str, Range]
        Range of the parameter by the name of the prior.
    limits : tuple[float, float]
        What nature allows, whatever the priors say.
    """

    name: str
    quantity: str
    units: str
    latex: str
    score_bounds: tuple[float, float]
    priors: dict[str, Range]
    quartile_name: str | None = None
    limits: tuple[float, float] = (-np.inf, np.inf)

    @property
    def quartile_prefix(self) -> str:
        """Prefix of the parameter's columns in the quartiles table."""
        return self.quartile_name or self.name

    @property
    def plausible(self) -> tuple[float, float]:
        """Range that labels may lie in: the widest prior, widened by half its width.

        The official bounds always belong to it: real planets are hotter than the built-in opacity
        tables, which bound the priors of temperature.
        """
        ranges = [
            span.limits if span.relative_to_equilibrium else (span.low, span.high)
            for span in self.priors.values()
        ]
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        margin = 0.5 * (high - low)
        return (
            max(self.limits[0], min(low - margin, self.score_bounds[0])),
            min(self.limits[1], max(high + margin, self.score_bounds[1])),
        )


@dataclass(frozen=True)
class AuxiliaryColumn:
    """One column of the auxiliary table.

    Attributes
    ----------
    name : str
        Official name.
    quantity : str
        Edition-independent meaning, with its unit.
    units : str
        How it is written in labels.
    limits : tuple[float, float]
        What real stars and planets have, the extremes included.
    used : bool
        The physics, the priors or the features need it.
    """

    name: str
    quantity: str
    units: str
    limits: tuple[float, float]
    used: bool = True


class Reader(Protocol):
    """Reads one split of an edition's folder into raw datasets."""

    def __call__(
        self, folder: Path, edition: Edition, split: str
    ) -> tuple[xr.Dataset, xr.Dataset | None]:
        """Return the planets (without prior box and quality) and, where present, the traces."""
        ...


@dataclass(frozen=True)
class Edition:
    """One edition of the challenge; all that the rest of the code needs to know.

    Attributes
    ----------
    name, title : str
        Short name, as in the configuration, and the name for people.
    targets : tuple[Parameter, ...]
        Parameters to retrieve, in the official order.
    auxiliary : tuple[AuxiliaryColumn, ...]
        Columns of the auxiliary table, in the official order.
    wavelength_um, wavelength_width_um : np.ndarray
        Bin centres (ascending) and full widths.
    group_template : str
        Name of a planet's HDF5 group.
    identifier_templates : dict[str, str]
        How planets of each split are named.
    first_identifier : int
        Number of a split's first planet.
    sample_limits : tuple[int, int]
        Fewest and most samples per planet in a submission, both allowed.
    noise : str
        ``free`` if stored spectra are noise-free, ``included`` if noise was added.
    metrics : tuple[str, ...]
        Names of the official metrics, the main one first (scoring looks them up).
    retrieval_prior : str
        Name of the prior that the official truth was made with.
    tracks : dict[str, str]
        File suffix of the submission by track.
    reader : Reader
        Reads the official files.
    writer : Callable[..., None] | None
        Writes official files; None where the edition cannot be simulated.
    """

    name: str
    title: str
    targets: tuple[Parameter, ...]
    auxiliary: tuple[AuxiliaryColumn, ...]
    wavelength_um: np.ndarray
    wavelength_width_um: np.ndarray
    group_template: str
    identifier_templates: dict[str, str]
    first_identifier: int
    sample_limits: tuple[int, int]
    noise: str
    metrics: tuple[str, ...]
    retrieval_prior: str
    tracks: dict[str, str]
    reader: Reader
    writer: Callable[..., None] | None = None

    @property
    def target_names(self) -> list[str]:
        """Official names of the targets, in order."""
        return [target.name for target in self.targets]

    def identifiers(self, split: str, count: int) -> list[str]:
        """Identifiers of the first ``count`` planets of a simulated split."""
        template = self.identifier_templates.get(split, f"{split}{{n}}")
        first = self.first_identifier
        return [template.format(n=n) for n in range(first, first + count)]

    def group(self, planet_id: str) -> str:
        """Name of the HDF5 group of a planet."""
        return self.group_template.format(planet_ID=planet_id)

    def coordinates(self) -> dict[str, object]:
        """Coordinates that every dataset of this edition bears."""
        targets, columns = self.targets, self.auxiliary
        return {
            "wavelength": self.wavelength_um,
            "target": [t.name for t in targets],
            "target_quantity": ("target", [t.quantity for t in targets]),
            "target_units": ("target", [t.units for t in targets]),
            "target_latex": ("target", [t.latex for t in targets]),
            "auxiliary": np.array([c.name for c in columns], dtype=object),
            "auxiliary_quantity": ("auxiliary", np.array([c.quantity for c in columns], object)),
            "auxiliary_units": ("auxiliary", np.array([c.units for c in columns], object)),
        }
