"""The challenge's folder of detector frames: its planets, their visits and its tables."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from arielflow.core.errors import ArielflowError
from arielflow.core.parquet import read_numbers
from arielflow.core.planet_folders import planet_folders
from arielflow.core.readers import listed, shown
from arielflow.core.tables import cell_numbers, read_csv
from arielflow.editions import FrameEdition
from arielflow.editions.frames import Sensor, planet_name
from arielflow.frames.quality import FrameQuality, Note

SPLITS = ("train", "test")
_REMEDY = "check the path, or fetch the data set"
_MOST_VISITS = 100


class FrameFolder:
    """A data set of an edition with frames.

    Parameters
    ----------
    path
        Folder of the challenge: ``train/`` and ``test/`` with a folder per planet, and tables; or
        a folder of planets itself, whose tables lie in it or beside it.
    edition
        Whose layout it has.

    Raises
    ------
    ArielflowError
        There is no such folder, or it has no planets.
    """

    def __init__(self, path: str | Path, edition: FrameEdition) -> None:
        self.path, self.edition = Path(path), edition
        if not self.path.is_dir():
            raise ArielflowError(f"{shown(path, 400)}: no such folder; {_REMEDY}")
        self._splits = {
            split: self.path / split for split in SPLITS if (self.path / split).is_dir()
        }
        if not self._splits:
            if not planet_folders(self.path):
                names = sorted(entry.name for entry in self.path.iterdir())
                raise ArielflowError(
                    f"{self.path}: holds neither train/ nor test/ nor folders of planets, found "
                    f"{listed(names) or 'nothing'}; {_REMEDY}"
                )
            self._splits = {"test" if "test" in self.path.name else "train": self.path}

    def split_folder(self, split: str) -> Path:
        """Folder with a folder per planet."""
        return self._splits.get(split, self.path / split)

    def table(self, name: str) -> Path:
        """A table of the data set, which lies beside a folder of planets that stands for it."""
        beside = self.path.parent / name
        here = self.path / name
        return beside if self.path in self._splits.values() and not here.is_file() else here

    def planets(self, split: str) -> list[str]:
        """Identifiers of a split's planets, sorted by number.

        Raises
        ------
        ArielflowError
            Two folders have the same number.
        """
        folder = self.split_folder(split)
        names = planet_folders(folder)
        found = [planet_name(name) for name in names]
        if len(set(found)) < len(found):
            twice = sorted(name for name in names if found.count(planet_name(name)) > 1)
            raise ArielflowError(f"{folder}: {listed(twice)} are the same planet; keep one of them")
        return found

    def planet_folder(self, planet: str, split: str) -> Path:
        """Folder of a planet's files; its name may be a number that passed through doubles."""
        folder = self.split_folder(split)
        plain = folder / planet
        return plain if plain.is_dir() else folder / f"{planet}.0"

    def split_of(self, planet: str) -> str:
        """Which split a planet belongs to.

        Raises
        ------
        ArielflowError
            None.
        """
        for split in self._splits:
            if planet in self.planets(split):
                return split
        have = [planet for split in self._splits for planet in self.planets(split)]
        raise ArielflowError(
            f"{self.path}: has no planet {shown(planet)}; it has "
            f"{listed(have) or 'none'}; check its number"
        )

    def visits(self, planet: str, split: str) -> list[int]:
        """Numbers of a planet's visits, those of either sensor."""
        folder = self.planet_folder(planet, split)
        if not self.edition.visits:
            return [0]
        names = "|".join(re.escape(sensor.name) for sensor in self.edition.sensors)
        pattern = re.compile(rf"({names})_signal_(\d{{1,3}})\.parquet")
        with os.scandir(folder) as entries:
            found = {int(m[2]) for entry in entries if (m := pattern.fullmatch(entry.name))}
        return sorted(found)[:_MOST_VISITS] or [0]

    def gains(self, split: str) -> AdcTable:
        """Gain and offset of the converters."""
        return AdcTable(self.table(self.edition.adc_table[split]), self.edition)

    def check_axis(self) -> None:
        """Refuse a data set whose AIRS-CH0 columns are not in the edition's order.

        Raises
        ------
        ArielflowError
            ``axis_info.parquet`` names other wavelengths than the edition's, or reversed ones.
        """
        path = self.table("axis_info.parquet")
        if not path.is_file():
            return
        (sensor,) = (s for s in self.edition.sensors if s.dispersed)
        axis = read_numbers(path)
        columns = [column[np.isfinite(column)] for column in axis.T]
        lengths = [column for column in columns if len(column) == sensor.shape[1]]
        if len(lengths) != 1:
            raise ArielflowError(
                f"{path}: {len(lengths)} columns of {sensor.shape[1]} wavelengths, expected 1; "
                "fetch it again"
            )
        own = lengths[0][slice(*sensor.crop)]
        expected = self.edition.wavelength_um[-sensor.n_channels :][::-1]
        if not np.allclose(own, expected, rtol=0, atol=1e-6):
            turned = np.allclose(lengths[0][::-1][slice(*sensor.crop)], expected, rtol=0, atol=1e-6)
            what = "in ascending order" if turned else "of another grid"
            raise ArielflowError(
                f"{path}: wavelengths of {sensor.name}'s columns are {what}, expected descending "
                f"from {expected[0]:.4f} to {expected[-1]:.4f} um between columns "
                f"{sensor.crop[0]} and {sensor.crop[1]}; fetch it again"
            )


class AdcTable:
    """Gain and offset of the converters, by planet or one for all.

    Raises
    ------
    ArielflowError
        The table is missing or damaged, lacks a column, or holds something else than numbers.
    """

    def __init__(self, path: Path, edition: FrameEdition) -> None:
        table = read_csv(path)
        self._path, self._per_planet = path, edition.adc_per_planet
        names = [f"{s.name}_adc_{what}" for s in edition.sensors for what in ("gain", "offset")]
        missing = [name for name in names if name not in table]
        if self._per_planet and "planet_id" not in table:
            missing.append("planet_id")
        if missing or not len(table):
            lacks = listed(missing) if missing else "a row"
            raise ArielflowError(f"{path}: lacks {lacks}; fetch it again")
        # A word in place of a number is one planet's fault, told where that is asked for.
        self._values = pd.DataFrame({name: cell_numbers(table[name])[0] for name in names})
        if self._per_planet:
            self._values.index = pd.Index([planet_name(name) for name in table["planet_id"]])

    def of(self, planet: str, sensor: Sensor) -> tuple[float, float, list[Note]]:
        """Gain and offset of a planet's sensor, and what is wrong with them.

        Where the table has none that could be, the median of its other planets is taken.
        """
        columns = [f"{sensor.name}_adc_gain", f"{sensor.name}_adc_offset"]
        if not self._per_planet:
            rows = self._values.iloc[:1]
        else:
            rows = self._values.loc[self._values.index == planet]
        found = rows[columns].to_numpy(float)
        good = np.isfinite(found).all(axis=1) & (found[:, 0] > 0)
        notes = []
        if len(found) > 1 and len(np.unique(found, axis=0)) > 1:
            notes.append(
                Note(
                    FrameQuality.DOUBTFUL_GAIN,
                    f"{self._path.name}: {len(found)} different rows of planet {planet}; the first "
                    "is used",
                )
            )
        if good.any():
            gain, offset = found[good][0]
            return float(gain), float(offset), notes
        values = self._values[columns].to_numpy(float)
        values = values[np.isfinite(values).all(axis=1) & (values[:, 0] > 0)]
        if not len(values):
            raise ArielflowError(
                f"{self._path}: no planet has a gain above zero and an offset for {sensor.name}; "
                "fetch it again"
            )
        gain, offset = np.median(values, axis=0)
        what = "no gain above zero and offset" if len(found) else "no row"
        notes.append(
            Note(
                FrameQuality.MISSING_GAIN,
                f"{self._path.name}: {what} for planet {planet}'s {sensor.name}; the median of the "
                f"others is used ({gain:.4f}, {offset:.1f})",
            )
        )
        return float(gain), float(offset), notes
