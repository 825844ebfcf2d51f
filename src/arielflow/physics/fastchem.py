"""Gas in chemical equilibrium by FastChem (Stock et al. 2018, 2022; Kitzmann et al. 2024).

The package pyfastchem is FastChem's program alone. Its data, a table of species with the
coefficients of their log K and a table of solar abundances, are files of its repository. They are
read and checked here, and FastChem gets a clean copy: its own reader takes whatever it finds.

Condensates are left out: every element stays in the gas.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import guarded, listed, regular_file, shown
from arielflow.physics.molecule_names import ELEMENTS, formula

REMEDY = (
    "fetch the folder input of https://github.com/NewStrangeWorlds/FastChem (docs/equilibrium.md)"
)
"""What to do about a missing or damaged file of FastChem's."""
_MOST_BYTES = 1 << 24
_HEADER_LINES = 3
_N_COEFFICIENTS = 5
_ELECTRON = "e-"
_UNSCALED = ("H", "He", _ELECTRON)

# Steps after which FastChem solves for all elements at once. Its default, 400, takes ten times as
# long where C/O is near 1 or the gas is cold, and is what the few points get that fail with 10.
# Both agree within 0.01 dex where the gas is hardest to solve (C/O of 1, 1e-5 Pa), within 0.0001
# with a hundredth of FastChem's tolerance.
_STEPS_BEFORE_NEWTON = (10, 400)

Progress = Callable[[int, int], None]
"""Called with the number of points done and of all."""


def fastchem_version() -> str:
    """Version of pyfastchem.

    Raises
    ------
    ArielflowError
        It is not installed.
    """
    _library()
    return importlib.metadata.version("pyfastchem")


def _library() -> Any:
    try:
        return importlib.import_module("pyfastchem")
    except ImportError as error:
        raise ArielflowError(
            f"equilibrium chemistry needs pyfastchem ({shown(error)}); "
            "install arielflow[equilibrium]"
        ) from None


class EquilibriumGas:
    """Mixing ratios of a gas in equilibrium, computed point by point.

    Metallicity multiplies all elements but hydrogen and helium; then carbon is set to C/O times
    oxygen, so that oxygen follows the metallicity alone.

    Parameters
    ----------
    species_file, abundance_file
        Of FastChem: species with the coefficients of their log K, and log10 of the elements'
        abundances, hydrogen at 12.
    molecules
        Chemical formulas, those of atoms too; gives the order.

    Raises
    ------
    ArielflowError
        pyfastchem is not installed, a file is missing or damaged, or a molecule is no species.
    """

    def __init__(
        self,
        species_file: str | Path,
        abundance_file: str | Path,
        molecules: Sequence[str],
    ) -> None:
        self._library = _library()
        solar = read_abundances(abundance_file)
        blocks = read_species(species_file, solar)
        with TemporaryDirectory() as folder:
            abundances, species = Path(folder) / "abundances.dat", Path(folder) / "species.dat"
            rows = (f"{symbol} {value!r}\n" for symbol, value in solar.items())
            abundances.write_text("#\n" + "".join(rows))
            species.write_text("#\n" * _HEADER_LINES + "\n\n".join(blocks) + "\n\n")
            self._gas = self._library.FastChem(str(abundances), str(species), 0)
        symbols = [self._gas.getElementSymbol(i) for i in range(int(self._gas.getElementNumber()))]
        self._solar = np.array(self._gas.getElementAbundances())
        self._carbon, self._oxygen = symbols.index("C"), symbols.index("O")
        self._scaled = np.array([symbol not in _UNSCALED for symbol in symbols])
        self.molecules = tuple(molecules)
        self._columns = [self._column(name, species_file) for name in molecules]

    def _column(self, molecule: str, species_file: str | Path) -> int:
        name, index = formula(molecule), self._library.FASTCHEM_UNKNOWN_SPECIES
        if re.fullmatch(r"([A-Z][a-z]?\d{0,2}){1,10}", name):
            # Atoms stand under their own symbols, molecules in Hill's notation.
            for symbol in (name, self._gas.convertToHillNotation(name)):
                index = min(index, self._gas.getGasSpeciesIndex(symbol))
        if index == self._library.FASTCHEM_UNKNOWN_SPECIES:
            raise ArielflowError(
                f"{species_file}: no species '{shown(molecule)}' made of the elements given; "
                "leave it out or choose another file of species"
            )
        return int(index)

    def log_mixing_ratios(
        self,
        log_metallicity: float,
        c_to_o: float,
        temperature_k: np.ndarray,
        pressure_pa: np.ndarray,
    ) -> np.ndarray:
        """log10 of the volume mixing ratios at some points of one gas, shape (point, molecule).

        Parameters
        ----------
        log_metallicity
            log10 of solar multiples.
        c_to_o
            Carbon atoms to oxygen atoms.
        temperature_k, pressure_pa
            Shape (point,) [K, Pa].

        Raises
        ------
        ArielflowError
            FastChem finds no solution at a point.
        """
        elements = np.where(self._scaled, self._solar * 10.0**log_metallicity, self._solar)
        elements[self._carbon] = c_to_o * elements[self._oxygen]
        self._gas.setElementAbundances(elements)
        temperature_k, pressure_pa = np.asarray(temperature_k), np.asarray(pressure_pa)
        density = np.full((len(temperature_k), self._gas.getGasSpeciesNumber()), np.nan)
        for steps in _STEPS_BEFORE_NEWTON:
            left = np.flatnonzero(np.isnan(density[:, 0]))
            if len(left):
                density[left] = self._densities(temperature_k[left], pressure_pa[left], steps)
        if failed := np.flatnonzero(np.isnan(density[:, 0])).tolist():
            raise ArielflowError(
                f"FastChem finds no equilibrium at {len(failed)} of {len(density)} points of log10 "
                f"metallicity {log_metallicity:g} and C/O {c_to_o:g}, first at "
                f"{temperature_k[failed[0]]:g} K and {pressure_pa[failed[0]]:g} Pa; move that "
                "point a little"
            )
        ratio = density[:, self._columns] / density.sum(axis=1, keepdims=True)
        return np.log10(np.maximum(ratio, 1e-99))

    def on_grid(
        self,
        log_metallicity: np.ndarray,
        c_to_o: np.ndarray,
        temperature_k: np.ndarray,
        pressure_pa: np.ndarray,
        *,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """log10 of the volume mixing ratios at all points of a grid, in single precision.

        Parameters
        ----------
        log_metallicity, c_to_o, temperature_k, pressure_pa
            Axes, see :meth:`log_mixing_ratios`.
        progress
            Called after every gas.

        Returns
        -------
        np.ndarray
            Shape (metallicity, c_to_o, temperature, pressure, molecule).

        Raises
        ------
        ArielflowError
            FastChem finds no solution at a point.
        """
        gases = len(log_metallicity), len(c_to_o)
        layers = len(temperature_k), len(pressure_pa)
        points = [axis.ravel() for axis in np.meshgrid(temperature_k, pressure_pa, indexing="ij")]
        table = np.empty((*gases, *layers, len(self.molecules)), dtype=np.float32)
        for done, (i, k) in enumerate(np.ndindex(gases), 1):
            found = self.log_mixing_ratios(float(log_metallicity[i]), float(c_to_o[k]), *points)
            table[i, k] = found.reshape(*layers, -1)
            if progress:
                progress(done * len(found), table[..., 0].size)
        return table

    def _densities(
        self, temperature_k: np.ndarray, pressure_pa: np.ndarray, steps: int
    ) -> np.ndarray:
        """Number densities of all species, NaN at points without a solution."""
        self._gas.setParameter("nbSwitchToNewton", steps)
        points, found = self._library.FastChemInput(), self._library.FastChemOutput()
        points.temperature = temperature_k.astype(float)
        points.pressure = 1e-5 * pressure_pa  # bar
        self._gas.calcDensities(points, found)
        density = np.array(found.number_densities)
        solved = np.array(found.fastchem_flag) == self._library.FASTCHEM_SUCCESS
        solved &= np.isfinite(density).all(axis=1)
        return np.where(solved[:, None], density, np.nan)


def _lines(path: str | Path, what: str) -> list[str]:
    """Lines of a text file of FastChem's."""
    path = regular_file(path, REMEDY)
    if path.stat().st_size > _MOST_BYTES:
        raise ArielflowError(
            f"{path}: {path.stat().st_size} bytes, expected {what} of at most {_MOST_BYTES}; "
            f"{REMEDY}"
        )
    with guarded(path, f"{what} of FastChem", REMEDY):
        return path.read_text(encoding="utf-8-sig").splitlines()


def read_abundances(path: str | Path) -> dict[str, float]:
    """log10 abundances of elements by symbol, hydrogen at 12, out of a file of FastChem's.

    The first line is a comment; then a symbol and a number a line.

    Raises
    ------
    ArielflowError
        The file is missing or damaged, or lacks hydrogen, helium, carbon or oxygen.
    """
    found: dict[str, float] = {}
    for number, line in enumerate(_lines(path, "abundances of elements"), 1):
        words = line.split()
        if number == 1 or not words or words[0].startswith("#"):
            continue
        symbol, value = words[0], _number(words[1] if len(words) == 2 else "")
        known = symbol in ELEMENTS or symbol == _ELECTRON
        if not known or symbol in found or not -30 <= value <= 30:
            raise ArielflowError(
                f"{path}, line {number}: expected an element, named once, and the log10 of its "
                f"abundance, found {shown(line)}; {REMEDY}"
            )
        found[symbol] = value
    if missing := [symbol for symbol in ("H", "He", "C", "O") if symbol not in found]:
        raise ArielflowError(
            f"{path}: no abundance of {listed(missing)}, found {listed(list(found)) or 'nothing'}; "
            f"{REMEDY}"
        )
    return found


def read_species(path: str | Path, elements: dict[str, float]) -> list[str]:
    """Species that are made of these elements, two lines each, out of a file of FastChem's.

    After three lines of comments every species has a line ``formula name : element count …``, which
    a comment may end, a line with the five coefficients of log K, and an empty line.

    Raises
    ------
    ArielflowError
        The file is missing or damaged, or has no such species.
    """
    lines = _lines(path, "table of species")
    blocks, seen, number = [], set(), _HEADER_LINES
    while number < len(lines):
        if not lines[number].strip():
            number += 1
            continue
        symbol, parts = _species(path, number + 1, lines[number])
        text = lines[number + 1] if number + 1 < len(lines) else ""
        coefficients = [_number(word) for word in text.split()]
        if len(coefficients) != _N_COEFFICIENTS or not all(map(math.isfinite, coefficients)):
            raise ArielflowError(
                f"{path}, line {number + 2}: expected {_N_COEFFICIENTS} coefficients of log K of "
                f"{shown(symbol)}, found {shown(text) or 'nothing'}; {REMEDY}"
            )
        if symbol in seen:
            raise ArielflowError(
                f"{path}, line {number + 1}: {shown(symbol)} stands there twice; {REMEDY}"
            )
        seen.add(symbol)
        if set(parts[::2]) <= set(elements):
            values = " ".join(map(repr, coefficients))
            blocks.append(f"{symbol} {symbol} : {' '.join(parts)} #\n{values}")
        number += 2
    if not blocks:
        raise ArielflowError(
            f"{path}: none of its {len(seen)} species is made of the elements given; {REMEDY}"
        )
    return blocks


def _species(path: str | Path, number: int, line: str) -> tuple[str, list[str]]:
    """Symbol of a species, and its elements and their counts in turn."""
    head, _, tail = line.partition(" : ")
    parts, names = tail.partition("#")[0].split(), head.split()
    counts = parts[1::2]
    good = names and counts and len(parts) % 2 == 0 and len(set(parts[::2])) == len(counts)
    known = all(symbol in ELEMENTS or symbol == _ELECTRON for symbol in parts[::2])
    if not good or not known or not all(re.fullmatch(r"-?[1-9]\d{0,2}", c) for c in counts):
        raise ArielflowError(
            f"{path}, line {number}: expected 'formula name : element count …', found "
            f"{shown(line)}; {REMEDY}"
        )
    return names[0], parts


def _number(word: str) -> float:
    """A number, NaN of any other word."""
    try:
        return float(word)
    except ValueError:
        return math.nan
