"""What an edition with detector frames is: its sensors, files, channels and score.

An edition with spectra (:class:`arielflow.editions.base.Edition`) asks for a posterior of the
atmosphere; one with frames asks for the spectrum itself. They share a name and a title, no more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_INTEGER = re.compile(r"([0-9]+(?:\.[0-9]*)?)(?:[eE]\+?([0-9]{1,2}))?")


@dataclass(frozen=True)
class Sensor:
    """One detector and how it is read out.

    Attributes
    ----------
    name : str
        Official name, which begins its files' names.
    n_frames : int
        Frames of a visit. They alternate: a read shortly after the reset, and one at the end of
        the exposure; the difference of a pair is the signal.
    shape : tuple[int, int]
        Rows and columns of a frame.
    crop : tuple[int, int]
        First column that is a channel, and the one after the last.
    dispersed : bool
        Columns are wavelengths, each a channel; otherwise the whole frame is one channel.
    integration_s : tuple[float, float]
        Time from the reset to the first and to the second read of a pair [s], by which the dark
        current is multiplied.
    pair_s : float
        Time from one pair to the next [s].
    pairs_per_bin : int
        Pairs that one time bin of the organisers' example takes.
    background_rows : tuple[tuple[int, int], ...]
        Rows without light of the star, each range as first and after the last; none where the
        star's light falls on all.
    """

    name: str
    n_frames: int
    shape: tuple[int, int]
    crop: tuple[int, int]
    dispersed: bool
    integration_s: tuple[float, float]
    pair_s: float
    pairs_per_bin: int
    background_rows: tuple[tuple[int, int], ...]

    @property
    def n_columns(self) -> int:
        """Columns that are kept."""
        return self.crop[1] - self.crop[0]

    @property
    def n_channels(self) -> int:
        """Channels of the spectrum that the sensor gives."""
        return self.n_columns if self.dispersed else 1

    @property
    def n_bins(self) -> int:
        """Whole time bins of a visit."""
        return self.n_frames // 2 // self.pairs_per_bin


@dataclass(frozen=True)
class Reference:
    """Mean and standard deviation of all training labels: the spectrum that scores nothing."""

    mean: float
    standard_deviation: float


@dataclass(frozen=True)
class GaussianScore:
    """An official score: a Gaussian log-likelihood between a reference and an ideal.

    Attributes
    ----------
    per_element : bool
        The ratio is formed for every planet and channel and averaged with weights (2025), not
        once for the sums (2024).
    ideal_sigma : tuple[float, float]
        Standard deviation of the ideal answer, of FGS1's channel and of the others.
    weight : tuple[float, float]
        Weight of FGS1's channel and of each other one.
    reference : Reference | None
        As the organisers' function has it; None where it must be computed from labels.
    """

    per_element: bool
    ideal_sigma: tuple[float, float]
    weight: tuple[float, float] = (1.0, 1.0)
    reference: Reference | None = None


@dataclass(frozen=True)
class FrameEdition:
    """One edition whose planets are detector frames; all that the rest of the code needs to know.

    Attributes
    ----------
    name, title : str
        Short name, as in the configuration, and the name for people.
    sensors : tuple[Sensor, ...]
        In the order of the spectrum's channels.
    wavelength_um : np.ndarray
        Of the channels, in the official order: FGS1's, then AIRS-CH0's ascending.
    visits : bool
        File names bear a visit's number, of which a planet may have several.
    labels_table : str
        File of the training spectra.
    adc_table : dict[str, str]
        By split the file of gain and offset.
    adc_per_planet : bool
        The table has a row per planet, not one for all.
    star_table : dict[str, str]
        By split the file of star and orbit; empty where there is none.
    score : GaussianScore
        The official score.
    """

    name: str
    title: str
    sensors: tuple[Sensor, ...]
    wavelength_um: np.ndarray
    visits: bool
    labels_table: str
    adc_table: dict[str, str]
    adc_per_planet: bool
    star_table: dict[str, str]
    score: GaussianScore

    @property
    def n_channels(self) -> int:
        """Channels of a spectrum."""
        return sum(sensor.n_channels for sensor in self.sensors)

    @property
    def spectrum_columns(self) -> list[str]:
        """Names of the columns with spectra, in labels and submissions."""
        return [f"wl_{channel + 1}" for channel in range(self.n_channels)]

    @property
    def submission_columns(self) -> list[str]:
        """Columns of a submission, in order."""
        sigmas = [f"sigma_{channel + 1}" for channel in range(self.n_channels)]
        return ["planet_id", *self.spectrum_columns, *sigmas]

    def sensor(self, name: str) -> Sensor:
        """The sensor of this name."""
        return next(sensor for sensor in self.sensors if sensor.name == name)

    def signal_file(self, planet_folder: Path, sensor: Sensor, visit: int) -> Path:
        """File of the frames of one visit."""
        return planet_folder / f"{sensor.name}_signal{self._visit(visit)}.parquet"

    def calibration_folder(self, planet_folder: Path, sensor: Sensor, visit: int) -> Path:
        """Folder of the calibration frames of one visit."""
        return planet_folder / f"{sensor.name}_calibration{self._visit(visit)}"

    def _visit(self, visit: int) -> str:
        return f"_{visit}" if self.visits else ""


def planet_name(text: str) -> str:
    """A planet's identifier as its folder is named: the integer's text of what reads as a float.

    Tools that take the column for numbers write 1103775 as ``1103775.0``, and so does the
    organisers' star table of 2025.
    """
    text = text.strip()
    if text.isdecimal() or not (found := _INTEGER.fullmatch(text)):
        return text
    whole, _, fraction = found[1].partition(".")
    exponent = int(found[2] or 0)
    digits = whole + fraction.ljust(exponent, "0")
    point = len(whole) + exponent
    return text if digits[point:].strip("0") else digits[:point].lstrip("0") or "0"
