"""FastChem's chemistry, its input files, and the grids made of it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from equilibrium_points import inside
from fastchem_files import SOLAR, fastchem_inputs

from arielflow.core.errors import ArielflowError
from arielflow.physics import equilibrium
from arielflow.physics.equilibrium import EquilibriumGrid, grid_file, make_grid, read_grid
from arielflow.physics.fastchem import EquilibriumGas
from arielflow.settings.equilibrium import EquilibriumSettings

MOLECULES = ("H2O", "CO", "CO2", "CH4", "NH3", "HCN", "SO2", "H2S", "H2", "He")
PUBLISHED = "taurex-fastchem==1.1.0"  # ships FastChem's own species (Stock et al. 2018)

needs_fastchem = pytest.mark.skipif(
    not importlib.util.find_spec("pyfastchem"), reason="pyfastchem is not installed"
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> EquilibriumSettings:
    return fastchem_inputs(tmp_path_factory.mktemp("fastchem"))


@pytest.fixture(scope="module")
def gas(settings: EquilibriumSettings) -> EquilibriumGas:
    folder = Path(settings.inputs)
    return EquilibriumGas(folder / settings.species, folder / settings.abundances, MOLECULES)


# Chemistry


@pytest.fixture(scope="module")
def grid(settings: EquilibriumSettings) -> EquilibriumGrid:
    return make_grid(MOLECULES, settings)


def at(gas: EquilibriumGas, molecule: str, temperature_k: float, **other: float) -> float:
    """log10 mixing ratio in a gas of solar metallicity at 10^4 Pa, unless told otherwise."""
    found = gas.log_mixing_ratios(
        other.get("log_metallicity", 0.0),
        other.get("c_to_o", 0.55),
        np.array([temperature_k]),
        np.array([other.get("pressure_pa", 1e4)]),
    )
    return float(found[0, MOLECULES.index(molecule)])


@needs_fastchem
def test_the_grid_holds_what_fastchem_gives(grid: EquilibriumGrid, gas: EquilibriumGas) -> None:
    for i, k, m, j in ((0, 0, 0, 0), (1, 4, 2, 1), (2, 6, 4, 2), (2, 3, 1, 0)):
        found = gas.log_mixing_ratios(
            *(grid.log_metallicity[i], grid.c_to_o[k]),
            *(grid.temperature_k[[m]], grid.pressure_pa[[j]]),
        )
        np.testing.assert_allclose(grid.log_mixing_ratio[i, k, m, j], found[0], rtol=1e-5)


@needs_fastchem
def test_between_its_points_the_grid_is_near_fastchem(
    settings: EquilibriumSettings, gas: EquilibriumGas
) -> None:
    """Even with few points, away from C/O of 1; ``docs/equilibrium.md`` has the default grid's."""
    close = settings.model_copy(
        update={
            "log_metallicity": (0.0, 0.5, 1.0),
            "c_to_o": (0.4, 0.55, 0.7),
            "temperature_k": tuple(np.geomspace(500, 2000, 24)),
            "pressure_pa": tuple(np.geomspace(1e2, 1e4, 5)),
        }
    )
    arguments = inside(grid := make_grid(MOLECULES, close), n=8, n_layers=8)
    found = grid.mixing_ratios(*arguments).log10().numpy()
    metallicity, c_to_o, temperature, pressure = (a.numpy() for a in arguments)
    expected = np.stack(
        [
            gas.log_mixing_ratios(metallicity[i], c_to_o[i], temperature[i], pressure)
            for i in range(len(metallicity))
        ]
    )
    errors = np.abs(found - expected)[expected > -10]
    assert errors.max() > 1e-6  # these are no points of the grid
    assert np.median(errors) < 0.005 and np.quantile(errors, 0.95) < 0.05


@needs_fastchem
def test_the_chemistry_is_that_of_the_textbooks(gas: EquilibriumGas) -> None:
    # Carbon: all of it in CO when hot, in CH4 when cold, and earlier so under pressure.
    assert at(gas, "CO", 1500) > at(gas, "CH4", 1500) + 3
    assert at(gas, "CH4", 600) > at(gas, "CO", 600) + 3
    assert at(gas, "CH4", 1000, pressure_pa=1e6) > at(gas, "CO", 1000, pressure_pa=1e6)
    carbon = 10 ** (SOLAR["C"] - 12) * 0.55 / 10 ** (SOLAR["C"] - SOLAR["O"])
    hydrogen, helium = 1.0, 10 ** (SOLAR["He"] - 12)
    expected = np.log10(carbon / (hydrogen / 2 + helium))
    assert at(gas, "CH4", 500) == pytest.approx(expected, abs=0.005)
    # Oxygen: CO takes all of it as soon as there is as much carbon.
    assert at(gas, "H2O", 1500, c_to_o=0.55) > -3.6 > -6 > at(gas, "H2O", 1500, c_to_o=1.1)
    assert at(gas, "HCN", 1500, c_to_o=1.1) > at(gas, "HCN", 1500, c_to_o=0.55) + 3
    # Nitrogen leaves NH3 as it gets hot; CO2 grows with the square of the metallicity.
    assert at(gas, "NH3", 500) > at(gas, "NH3", 1500) + 2
    grown = at(gas, "CO2", 1500, log_metallicity=1.0) - at(gas, "CO2", 1500)
    assert grown == pytest.approx(2, abs=0.1)


@needs_fastchem
def test_oxygen_follows_metallicity_alone_and_nothing_is_lost(gas: EquilibriumGas) -> None:
    columns = {name: i for i, name in enumerate(MOLECULES)}
    share = {}
    for c_to_o in (0.3, 0.8):
        found = 10 ** gas.log_mixing_ratios(1.0, c_to_o, np.array([700.0]), np.array([1e4]))[0]
        oxygen = found[[columns[m] for m in ("H2O", "CO", "CO2")]] @ [1, 1, 2]
        carbon = found[[columns[m] for m in ("CH4", "CO", "CO2")]].sum()
        helium = found[columns["He"]]
        assert found.sum() == pytest.approx(1, abs=2e-3)  # the rest is N2
        assert carbon / oxygen == pytest.approx(c_to_o, rel=1e-3)
        share[c_to_o] = oxygen / helium
    assert share[0.3] == pytest.approx(10 ** (1 + SOLAR["O"] - SOLAR["He"]), rel=1e-3)
    assert share[0.8] == pytest.approx(share[0.3], rel=1e-3)


@needs_fastchem
def test_points_that_fail_quickly_are_solved_with_patience(
    gas: EquilibriumGas, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = at(gas, "H2O", 1200)
    densities, asked = EquilibriumGas._densities, []

    def failing(self, temperature_k, pressure_pa, steps):
        asked.append(steps)
        found = densities(self, temperature_k, pressure_pa, steps)
        return found if steps == patience else np.full_like(found, np.nan)

    monkeypatch.setattr(EquilibriumGas, "_densities", failing)
    patience = 400
    assert at(gas, "H2O", 1200) == pytest.approx(expected, abs=1e-4) and asked == [10, 400]
    patience = None
    with pytest.raises(ArielflowError, match=r"no equilibrium at 1 of 1 .*first at 1200 K"):
        at(gas, "H2O", 1200)


@needs_fastchem
@pytest.mark.parametrize("molecule", ["XX", "", "TiO", "H2O H2", "é", "K+"])
def test_a_molecule_that_is_no_species_is_named(settings, molecule: str) -> None:
    with pytest.raises(ArielflowError, match=r"species\.dat: no species '") as error:
        make_grid(("H2O", molecule), settings)
    assert "\n" not in str(error.value)


@needs_fastchem
def test_names_of_isotopologues_are_understood(settings, gas) -> None:
    folder = Path(settings.inputs)
    same = EquilibriumGas(folder / settings.species, folder / settings.abundances, ["1H2-16O"])
    point = 0.0, 0.5, np.array([900.0]), np.array([1e3])
    assert same.log_mixing_ratios(*point)[0, 0] == gas.log_mixing_ratios(*point)[0, 0]


@pytest.mark.parametrize("molecules", [(), ("H2O", "H2O")])
def test_no_molecule_or_one_twice_is_refused(settings, molecules) -> None:
    with pytest.raises(ArielflowError, match="at least one, each once"):
        make_grid(molecules, settings)


def test_without_the_library_the_remedy_is_named(settings, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyfastchem", None)
    with pytest.raises(ArielflowError, match=r"install arielflow\[equilibrium\]$") as error:
        make_grid(("H2O",), settings)
    assert "\n" not in str(error.value)


@pytest.mark.external
@needs_fastchem
def test_fastchem_s_own_species_agree_with_the_small_chemistry(
    gas: EquilibriumGas, settings: EquilibriumSettings, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(tmp_path), PUBLISHED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"pip download {PUBLISHED} failed: {done.stderr.strip()[-200:]}")
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        species = Path(archive.extract("taurex_fastchem/data/logK.dat", tmp_path))
    molecules = [name for name in MOLECULES if name != "HCN"]  # FastChem 4 has renamed it
    published = EquilibriumGas(species, Path(settings.inputs) / "abundances.dat", molecules)
    temperature, pressure = np.array([500.0, 800.0, 1100.0, 1500.0]), np.full(4, 1e4)
    for c_to_o in (0.5, 1.2):
        expected = published.log_mixing_ratios(0.5, c_to_o, temperature, pressure)
        found = gas.log_mixing_ratios(0.5, c_to_o, temperature, pressure)
        found = found[:, [i for i, name in enumerate(MOLECULES) if name != "HCN"]]
        assert np.abs(found - expected)[expected > -10].max() < 0.1


# Grids that are kept


@needs_fastchem
def test_a_grid_is_made_once(settings, grid, monkeypatch) -> None:
    path = grid_file(grid.provenance["fingerprint"])
    assert path.is_file() and grid.provenance["species"] == "species.dat"
    assert grid.provenance["fastchem"] == importlib.metadata.version("pyfastchem")
    seen: list[tuple[int, int]] = []
    with monkeypatch.context() as patch:
        patch.setattr(equilibrium, "EquilibriumGas", None)  # would fail if it were made anew
        again = make_grid(MOLECULES, settings, lambda *done: seen.append(done))
    np.testing.assert_array_equal(again.log_mixing_ratio, grid.log_mixing_ratio)
    assert again.provenance == grid.provenance and not seen
    path.write_bytes(path.read_bytes()[:-100])
    again = make_grid(MOLECULES, settings, lambda *done: seen.append(done))
    np.testing.assert_array_equal(again.log_mixing_ratio, grid.log_mixing_ratio)
    n_points = grid.log_mixing_ratio[..., 0].size
    assert seen[0] == (15, n_points) and seen[-1] == (n_points, n_points)
    assert read_grid(path).provenance == grid.provenance


@needs_fastchem
def test_another_file_axis_or_version_is_another_grid(settings, tmp_path, monkeypatch) -> None:
    def mark(changed: EquilibriumSettings, molecules: tuple[str, ...] = ("H2O",)) -> str:
        return equilibrium._provenance(molecules, changed)["fingerprint"]

    marks = {mark(settings), mark(settings, ("CO",))}
    marks.add(mark(settings.model_copy(update={"pressure_pa": (1.0, 10.0)})))
    for name in ("species.dat", "abundances.dat"):
        content = (Path(settings.inputs) / name).read_bytes()
        (tmp_path / name).write_bytes(content)
    moved = settings.model_copy(update={"inputs": str(tmp_path)})
    assert mark(moved) in marks  # where the files lie does not matter
    with (tmp_path / "abundances.dat").open("a") as stream:
        stream.write("Fe 7.46\n")
    marks.add(mark(moved))
    monkeypatch.setattr(equilibrium, "fastchem_version", lambda: "5.0")
    marks.add(mark(settings))
    assert len(marks) == 5


# FastChem's files


GOOD = {"abundances.dat": b"# Sun\nH 12\nHe 10.9\nC 8.5\nO 8.7\n", "species.dat": b"#\n#\n#\n"}
GOOD["species.dat"] += b"C1O1 CO : C 1 O 1 # JANAF\n1.3e5 -0.5 -9 1e-4 0\n\n"


def _spoilt(name: str, content: bytes) -> dict[str, bytes]:
    return {**GOOD, name: content}


BAD_INPUTS = {
    "empty abundances": _spoilt("abundances.dat", b""),
    "binary abundances": _spoilt("abundances.dat", bytes(range(256))),
    "Latin-1": _spoilt("abundances.dat", GOOD["abundances.dat"] + b"\xe9 7\n"),
    "no number": _spoilt("abundances.dat", GOOD["abundances.dat"] + b"N x\n"),
    "NaN": _spoilt("abundances.dat", GOOD["abundances.dat"] + b"N nan\n"),
    "infinite": _spoilt("abundances.dat", GOOD["abundances.dat"] + b"N inf\n"),
    "huge": _spoilt("abundances.dat", GOOD["abundances.dat"] + b"N 1e9\n"),
    "no element": _spoilt("abundances.dat", GOOD["abundances.dat"] + b"Xx 7\n"),
    "twice": _spoilt("abundances.dat", GOOD["abundances.dat"] + b"C 8\n"),
    "columns": _spoilt("abundances.dat", GOOD["abundances.dat"] + b"N 7 8\n"),
    "no carbon": _spoilt("abundances.dat", GOOD["abundances.dat"].replace(b"C 8.5\n", b"")),
    "empty species": _spoilt("species.dat", b""),
    "header alone": _spoilt("species.dat", b"#\n#\n#\n"),
    "binary species": _spoilt("species.dat", bytes(range(256))),
    "four coefficients": _spoilt("species.dat", GOOD["species.dat"].replace(b" 1e-4", b"")),
    "NaN coefficient": _spoilt("species.dat", GOOD["species.dat"].replace(b"-9", b"nan")),
    "cut": _spoilt("species.dat", GOOD["species.dat"].partition(b"1.3e5")[0]),
    "no count": _spoilt("species.dat", GOOD["species.dat"].replace(b"O 1 #", b"O #")),
    "zero atoms": _spoilt("species.dat", GOOD["species.dat"].replace(b"O 1 #", b"O 0 #")),
    "no such element": _spoilt("species.dat", GOOD["species.dat"].replace(b"O 1 #", b"Qq 1 #")),
    "element twice": _spoilt("species.dat", GOOD["species.dat"].replace(b"O 1 #", b"C 1 #")),
    "species twice": _spoilt("species.dat", GOOD["species.dat"] + GOOD["species.dat"][6:]),
    "condensates": _spoilt("species.dat", GOOD["species.dat"].replace(b"\n1.3e5", b"\ns 1 2\n1")),
    "other elements": _spoilt("species.dat", GOOD["species.dat"].replace(b"O 1 #", b"Fe 1 #")),
}


@needs_fastchem
@pytest.mark.parametrize("name", BAD_INPUTS)
def test_a_damaged_file_of_fastchem_s_is_refused_in_one_line(
    settings: EquilibriumSettings, tmp_path: Path, name: str
) -> None:
    for file, content in BAD_INPUTS[name].items():
        (tmp_path / file).write_bytes(content)
    with pytest.raises(ArielflowError, match=r"\.dat.*fetch the folder input of") as error:
        make_grid(("CO",), settings.model_copy(update={"inputs": str(tmp_path)}))
    assert "\n" not in str(error.value)


@needs_fastchem
def test_other_line_ends_tabs_and_a_mark_at_the_start_change_nothing(tmp_path: Path) -> None:
    found = []
    for number, change in enumerate((lambda b: b, _as_windows)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for file, content in GOOD.items():
            (folder / file).write_bytes(change(content))
        gas = EquilibriumGas(folder / "species.dat", folder / "abundances.dat", ["CO"])
        found.append(gas.log_mixing_ratios(0, 0.5, np.array([1500.0]), np.array([1e3])).item())
    assert found[0] == found[1] > -5


def _as_windows(content: bytes) -> bytes:
    return b"\xef\xbb\xbf" + content.rstrip().replace(b" 1", b"\t1").replace(b"\n", b"\r\n")


@needs_fastchem
def test_missing_files_of_fastchem_s_are_named(settings: EquilibriumSettings, tmp_path) -> None:
    missing = settings.model_copy(update={"inputs": str(tmp_path)})
    with pytest.raises(ArielflowError, match=r"species\.dat: no such file; fetch the folder input"):
        make_grid(("CO",), missing)
    (tmp_path / "species.dat").mkdir()
    with pytest.raises(ArielflowError, match=r"species\.dat: is a folder"):
        make_grid(("CO",), missing)


@pytest.mark.parametrize(
    "wrong",
    [
        {"c_to_o": [1.0, 0.5]},
        {"c_to_o": [0.0, 0.5]},
        {"temperature_k": [500.0]},
        {"temperature_k": [500.0, 1e9]},
        {"pressure_pa": [1.0, float("nan")]},
        {"log_metallicity": ["solar", 1.0]},
        {"metallicity": [0.0, 1.0]},
        {"inputs": ""},
    ],
)
def test_axes_that_make_no_grid_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EquilibriumSettings(**{"inputs": "folder", **wrong})
