"""The infrared bands of the molecules, by which bins are marked and grouped.

Intervals are the bands' full widths at low resolution as they stand out in spectra of warm
hydrogen atmospheres (Madhusudhan 2019, ARA&A 57, figure 5; the centres are those of
:mod:`arielflow.physics.molecular_bands`). Bands of different molecules overlap.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class MolecularBand(NamedTuple):
    """A band.

    Attributes
    ----------
    molecule : str
        Quantity of its target; ``scattering`` for the visible continuum.
    low_um, high_um : float
        Its ends [um].
    """

    molecule: str
    low_um: float
    high_um: float

    @property
    def name(self) -> str:
        """For people: the molecule and the middle of the band."""
        return f"{self.molecule} {(self.low_um + self.high_um) / 2:.2g} um"


BANDS = tuple(
    MolecularBand(molecule, low, high)
    for molecule, ends in {
        "scattering": ((0.3, 0.85),),
        "H2O": ((0.9, 1.0), (1.1, 1.2), (1.32, 1.5), (1.78, 2.0), (2.5, 2.9), (5.4, 7.2)),
        "CO2": ((1.94, 2.1), (2.66, 2.84), (4.15, 4.5)),
        "CO": ((2.28, 2.42), (4.5, 5.0)),
        "CH4": ((1.62, 1.76), (2.15, 2.46), (3.1, 3.6), (7.2, 8.1)),
        "NH3": ((1.45, 1.57), (1.92, 2.08), (2.2, 2.4), (2.84, 3.1), (5.7, 6.6)),
    }.items()
    for low, high in ends
)


class BinGroup(NamedTuple):
    """Neighbouring bins that are looked at together.

    Attributes
    ----------
    name : str
        For people.
    bins : np.ndarray
        Numbers of the bins (bin,).
    """

    name: str
    bins: np.ndarray


def band_groups(wavelength_um: np.ndarray) -> list[BinGroup]:
    """The bands that hold bins, each with its bins; what no band holds in runs of neighbours.

    Parameters
    ----------
    wavelength_um
        Centres of the bins (wavelength,), ascending.
    """
    groups, seen = [], np.zeros(len(wavelength_um), dtype=bool)
    for band in BANDS:
        inside = (wavelength_um >= band.low_um) & (wavelength_um <= band.high_um)
        if inside.any():
            groups.append(BinGroup(band.name, np.flatnonzero(inside)))
            seen |= inside
    left = np.flatnonzero(~seen)
    for run in np.split(left, np.flatnonzero(np.diff(left) > 1) + 1) if len(left) else []:
        ends = wavelength_um[run[[0, -1]]]
        name = f"between bands {ends[0]:.3g}" + (f"-{ends[1]:.3g}" if len(run) > 1 else "") + " um"
        groups.append(BinGroup(name, run))
    return groups


def disjoint_groups(wavelength_um: np.ndarray, ratio: float = 1.12) -> np.ndarray:
    """Number of a group for every bin (wavelength,): intervals of equal width in ln wavelength.

    Parameters
    ----------
    wavelength_um
        Centres of the bins, ascending.
    ratio
        Between the ends of an interval.
    """
    place = np.floor(np.log(wavelength_um / wavelength_um[0]) / np.log(ratio)).astype(int)
    return np.unique(place, return_inverse=True)[1]
