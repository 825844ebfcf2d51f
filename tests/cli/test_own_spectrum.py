"""``arielflow retrieve`` and ``select-model`` of an observed spectrum; the commands of its page."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from typer.testing import CliRunner

from arielflow.cli import app
from arielflow.core.errors import ArielflowError
from arielflow.data.description.read import Description, describe_planet, read_planet_file
from arielflow.data.spectra.spectrum import ObservedSpectrum
from arielflow.retrieval.spectra.setup import prepared_model

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "your_spectrum.md"
COMMANDS = [
    line
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for line in block.splitlines()
]
QUICK = {
    "star": {"radius": "0.9 Rsun"},
    "planet": {"mass": "0.3 Mjup", "radius": {"uniform": [1.1, 1.4], "unit": "Rjup"}},
    "atmosphere": {
        "gases": {"H2O": {"log_uniform": [1e-6, 1e-2]}},
        "temperature": {"isothermal": "1100 K"},
    },
}
TRUTH = {"planet_radius": 1.25, "log_H2O": -3.5}
# Of what a planet file of the project leaves free; gases that are not named have the least.
TRUTHS = {
    "wasp39b": {"planet_radius": 1.2, "temperature": 900, "log_H2O": -3, "log_CO2": -4},
    "hd209458b": {"planet_mass": 0.685, "planet_radius": 1.3, "temperature": 1200, "log_H2O": -4},
    "wasp43b": {"planet_radius": 1.0, "temperature": 1400, "log_H2O": -4},
}
CLOUDY = {
    "log_cloud_top_pressure": -2,
    "cloud_fraction": 0.4,
    "log_haze_strength": 1,
    "haze_slope": -5,
}


def simulated(
    described: Description,
    truth: dict[str, float],
    wavelength_um: np.ndarray,
    opacities: Path,
    error: float,
) -> ObservedSpectrum:
    """A spectrum of a description at values of what is sampled, with noise."""
    flat = np.full(len(wavelength_um), 0.015)
    width = np.gradient(wavelength_um)
    empty = ObservedSpectrum(
        wavelength_um, width, flat, flat * 0 + error, flat * 0 + error, np.full(len(flat), "a")
    )
    model = prepared_model(described, empty, opacities=str(opacities))
    sampled = [truth[name] for name in model.names]
    depth = model.depths(torch.tensor([sampled], dtype=torch.double))[0].numpy()
    noise = error * np.random.default_rng(5).standard_normal(len(depth))
    return ObservedSpectrum(
        wavelength_um, width, depth + noise, *[flat * 0 + error] * 2, empty.instrument
    )


def write_spectrum(spectrum: ObservedSpectrum, path: Path) -> None:
    table = pd.DataFrame(
        {
            "wavelength [um]": spectrum.wavelength_um,
            "bin_half_width [um]": spectrum.width_um / 2,
            "depth [ppm]": 1e6 * spectrum.depth,
            "depth_err [ppm]": 1e6 * spectrum.error_low,
        }
    )
    table.to_csv(path, index=False)


@pytest.fixture(scope="module")
def own(opacities: Path, tmp_path_factory) -> Path:
    """A folder with a spectrum of 13 bins and a planet file of two parameters."""
    folder = tmp_path_factory.mktemp("own")
    grid = np.linspace(1.12, 1.65, 13)
    seen = simulated(describe_planet(QUICK), TRUTH, grid, opacities, 4e-5)
    write_spectrum(seen, folder / "planet.csv")
    (folder / "planet.yaml").write_text(json.dumps(QUICK | {"opacities": str(opacities)}))
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.fixture(scope="module")
def retrieved(own: Path) -> tuple[Path, str]:
    output = own / "result"
    said = run("retrieve", own / "planet.csv", "--planet", own / "planet.yaml", "--output", output)
    return output, said


def test_a_spectrum_is_retrieved(retrieved: tuple[Path, str]) -> None:
    output, said = retrieved
    summary = json.loads((output / "summary.json").read_text())
    for name, truth in TRUTH.items():
        found = summary["parameters"][name]
        assert found["low_95"] < truth < found["high_95"]
        assert f"{name}: {found['median']:.4g}" in said
    assert summary["method"] == "importance" and summary["pareto_shape"] < 0.7
    assert "points: 13" in said and "half" in said and str(output / "report.html") in said
    tree = xr.open_datatree(output / "posterior.nc")
    assert tree["posterior"]["log_H2O"].shape == (1, 4000)
    assert not (output / ".state").exists()


def test_nested_sampling_agrees(own: Path, retrieved: tuple[Path, str], tmp_path) -> None:
    command = ["retrieve", own / "planet.csv", "--planet", own / "planet.yaml", "--json"]
    told = run(*command, "--output", tmp_path, "--method", "nested", "--live", 100)
    nested, importance = json.loads(told), json.loads((retrieved[0] / "summary.json").read_text())
    assert abs(nested["log_evidence"] - importance["log_evidence"]) < 0.2
    for name in TRUTH:
        first, second = nested["parameters"][name], importance["parameters"][name]
        width = second["high_68"] - second["low_68"]
        assert abs(first["median"] - second["median"]) < 0.25 * width


@pytest.mark.parametrize("value", ["planet_file", "spectrum", "option", "many", "folder"])
def test_what_does_not_go_together_is_one_line(own: Path, tmp_path, value: str) -> None:
    spectrum, planet = own / "planet.csv", own / "planet.yaml"
    command, said = {
        "planet_file": ((spectrum, "--planet", tmp_path / "none.yaml"), "no such file"),
        "spectrum": ((tmp_path / "none.csv", "--planet", planet), "no such file"),
        "option": ((spectrum, "--planet", planet, "--workers", 2), "--workers"),
        "many": ((spectrum, "--planet", planet, "--planet", planet), "2 planet files"),
        "folder": ((own, "--planet", planet), "--edition"),
    }[value]
    with pytest.raises(ArielflowError, match=said) as fault:
        run("retrieve", *command, "--output", tmp_path / "out")
    assert "\n" not in str(fault.value) and not (tmp_path / "out").exists()


def test_models_are_compared(own: Path, tmp_path) -> None:
    output = tmp_path / "models.csv"
    run("select-model", own / "planet.csv", "--planet", own / "planet.yaml", "--output", output)
    table = pd.read_csv(output).set_index("model")
    assert table.loc["full", "selected"] and table.index[0] == "full"
    assert table.loc["flat line", "log_bayes_factor"] < -5
    points = pd.read_csv(tmp_path / "models_points.csv")
    assert len(points) == 13 and np.isfinite(points.to_numpy()).all()
    # What leaving out loses is the same in both files, and the water band speaks for water.
    water = table.loc["without H2O"]
    assert water["elpd_loss"] == pytest.approx(points["without H2O"].sum())
    assert water["elpd_loss"] > 0 and 1.1 < water["leading_wavelength_um"] < 1.7
    assert (tmp_path / "models_points.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("path", sorted((ROOT / "config" / "planets").glob("*.yaml")), ids=str)
def test_planet_files_of_the_project_are_right(path: Path) -> None:
    described = read_planet_file(path)
    assert described.name and described.free


@pytest.fixture(scope="module")
def followed(opacities: Path, tmp_path_factory) -> Path:
    """A folder with the files that the page speaks of: simulated spectra, the project's planets."""
    folder = tmp_path_factory.mktemp("page")
    for path in (ROOT / "config" / "planets").glob("*.yaml"):
        shutil.copy(path, folder)
    gases = dict.fromkeys(("log_H2O", "log_CO2", "log_CO", "log_CH4", "log_NH3"), -11)

    def seen(name: str, low_um: float, high_um: float, points: int) -> ObservedSpectrum:
        described = read_planet_file(folder / f"{name}.yaml")
        truth = gases | CLOUDY | TRUTHS[name]
        return simulated(described, truth, np.linspace(low_um, high_um, points), opacities, 6e-5)

    write_spectrum(seen("wasp39b", 1.1, 5.0, 40), folder / "wasp39b.csv")
    write_spectrum(seen("hd209458b", 0.55, 1.0, 12), folder / "hd209458b_optical.dat")
    write_spectrum(seen("hd209458b", 1.1, 5.0, 40), folder / "hd209458b_infrared.dat")
    few = seen("wasp43b", 1.12, 1.65, 13)
    columns = [few.wavelength_um, few.depth, few.error_low]
    np.savetxt(folder / "wasp43b.txt", np.column_stack(columns))
    return folder


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(line, marks=[] if line.startswith("arielflow inspect") else pytest.mark.slow)
        for line in COMMANDS
    ],
)
def test_commands_of_the_page(command: str, followed: Path, monkeypatch) -> None:
    monkeypatch.chdir(followed)
    program, *arguments = shlex.split(command)
    assert program == "arielflow"
    said = run(*arguments)
    assert said
    if "--output" in arguments:
        assert Path(arguments[arguments.index("--output") + 1]).exists()
