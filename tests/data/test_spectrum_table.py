"""Spectra of a table of planets, and the command that computes them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import run

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import auxiliary_values
from arielflow.core.tables import read_csv
from arielflow.data.simulated_planets import simulate_planets
from arielflow.data.spectrum_table import compute_spectra
from arielflow.editions import get_edition
from arielflow.physics.builtin_opacity import generate
from arielflow.physics.opacity_formats.taurex import write_taurex_hdf5

EDITION = get_edition("adc2023")


def planets(**columns: object) -> pd.DataFrame:
    theta = [1.2, 1400.0, -4.0, -6.0, -4.0, -5.0, -7.0]
    base = {"planet_ID": ["a", "b"], "star_radius_m": 8e8, "planet_mass_kg": 1.9e27}
    base |= dict(zip(EDITION.target_names, theta, strict=True))
    return pd.DataFrame(base | columns, index=[0, 1])


def test_simulated_planets_come_out_again(simulated, physics) -> None:
    some = simulated.isel(planet=slice(0, 5))
    table = pd.DataFrame(
        {"planet_ID": some["planet"].values}
        | {name: auxiliary_values(some, name) for name in ("star_radius_m", "planet_mass_kg")}
        | dict(zip(EDITION.target_names, some["theta"].values.T, strict=True))
    )
    found = compute_spectra(table, EDITION, physics)
    assert list(found.table) == ["planet_ID", *(f"{um:.8g}" for um in EDITION.wavelength_um)]
    np.testing.assert_allclose(found.table.iloc[:, 1:], some["transit_depth"], rtol=1e-7)
    assert not found.faults and found.outside == 0


def test_clouds_and_haze_change_only_the_planets_that_have_them(physics) -> None:
    clear = compute_spectra(planets(), EDITION, physics).table.iloc[:, 1:].to_numpy()
    cloudy = planets(cloud_pressure_pa=[np.nan, 100.0])
    cloudy = compute_spectra(cloudy, EDITION, physics).table.iloc[:, 1:].to_numpy()
    np.testing.assert_allclose(cloudy[0], clear[0], rtol=1e-9)
    assert np.ptp(cloudy[1]) < 0.7 * np.ptp(clear[1]) and cloudy[1].min() > clear[1].min()
    haze = {"haze_log_strength": [np.nan, 3.0], "haze_slope": [np.nan, -4.0]}
    hazy = compute_spectra(planets(**haze), EDITION, physics).table.iloc[:, 1:].to_numpy()
    np.testing.assert_allclose(hazy[0], clear[0], rtol=1e-9)
    assert hazy[1, 0] > clear[1, 0] + 1e-5 and hazy[1, -1] == pytest.approx(clear[1, -1], rel=1e-3)


def test_a_further_molecule_needs_a_table(physics, tmp_path: Path) -> None:
    table = planets(log_HCN=[-3.0, -30.0])
    with pytest.raises(ArielflowError, match="no opacity table for HCN"):
        compute_spectra(table, EDITION, physics)
    for path in Path(physics.opacities).iterdir():
        (tmp_path / path.name).symlink_to(path)
    write_taurex_hdf5(tmp_path / "HCN.h5", replace(generate("NH3"), molecule="HCN"))
    found = compute_spectra(table, EDITION, replace(physics, opacities=str(tmp_path)))
    depth = found.table.iloc[:, 1:].to_numpy()
    clear = compute_spectra(planets(), EDITION, physics).table.iloc[:, 1:].to_numpy()
    np.testing.assert_allclose(depth[1], clear[1], rtol=1e-7)
    assert np.abs(depth[0] - clear[0]).max() > 1e-5


FAULTS = [
    (planets().drop(columns="log_H2O"), "lacks log_H2O"),
    (planets().drop(columns="star_radius_m"), "lacks star_radius_m"),
    (planets(cloud_presure_pa=1.0), "unknown column cloud_presure_pa"),
    (planets(haze_slope=-4.0), "belong together"),
    (planets(planet_ID="a"), "has a twice"),
    (planets().iloc[:0], "no rows"),
    (planets(planet_ID=["a", ""]), "row 2 .* has no identifier"),
    (planets(planet_ID=["a", None]), "row 2 .* has no identifier"),
    (pd.concat([planets(), planets()[["log_H2O"]]], axis=1), "column log_H2O more than once"),
    (planets(log_He=-1.0), "log_He cannot be given"),
]


@pytest.mark.parametrize(("table", "words"), FAULTS, ids=[words for _, words in FAULTS])
def test_a_table_that_is_not_as_expected_is_one_line(physics, table, words) -> None:
    with pytest.raises(ArielflowError, match=words) as fault:
        compute_spectra(table, EDITION, physics)
    assert "\n" not in str(fault.value)


def test_the_radius_may_come_from_gravity_where_it_is_no_target(physics) -> None:
    edition = get_edition("adc2022")
    both = []
    for column, value in (("planet_radius", 1.2), ("planet_surface_gravity", 17.2296)):
        table = planets().drop(columns="planet_radius")
        both.append(compute_spectra(table.assign(**{column: value}), edition, physics).table)
    np.testing.assert_allclose(both[0].iloc[:, 1:], both[1].iloc[:, 1:], rtol=1e-4)


def test_the_command_flags_faulty_planets_and_writes_the_rest(tmp_path, opacities) -> None:
    cells = {"a": {}, "b": {"planet_temp": "warm"}, "c": {"planet_temp": 3400}}
    table = table_of(cells)
    table.to_csv(tmp_path / "planets.csv", index=False)
    done = run(
        *("spectrum", tmp_path / "planets.csv", "--opacities", opacities, "--native", "--json"),
        *("--output", tmp_path / "spectra.csv"),
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert list(content["warnings"]) == ["c"]
    assert content["faults"] == {"b": "planet_temp holds 'warm', expected a number"}
    written = pd.read_csv(tmp_path / "spectra.csv")
    assert written.shape[1] > 700 and written.iloc[0, 1:].notna().all()
    assert written.iloc[1, 1:].isna().all()
    done = run("spectrum", tmp_path / "none.csv", "--output", tmp_path / "spectra.csv")
    assert done.returncode == 2 and "Traceback" not in done.stderr


def table_of(cells: dict[str, dict[str, object]], **columns: object) -> pd.DataFrame:
    """One row a case, each with its own cells in an ordinary planet's place."""
    base = planets(**columns).iloc[:1]
    rows = [base.iloc[0].to_dict() | {"planet_ID": name} | own for name, own in cells.items()]
    return pd.DataFrame(rows, dtype=object)


WORDS = [
    "1e4 Pa",
    "10,000",
    "1,00",
    "1.0d4",
    "100 Pa",
    "True",
    True,
    False,
    "1_000",
    "clear",
    1 + 2j,
]


def test_words_in_optional_columns_are_not_taken_for_nothing(physics) -> None:
    cells = {f"word {n}": {"cloud_pressure_pa": word} for n, word in enumerate(WORDS)}
    empty = {
        f"empty {n}": {"cloud_pressure_pa": c} for n, c in enumerate(["", None, np.nan, "NaN"])
    }
    cells |= empty | {"cloudy": {"cloud_pressure_pa": "1e2"}}
    found = compute_spectra(table_of(cells, cloud_pressure_pa=1e2), EDITION, physics)
    assert set(found.faults) == {name for name in cells if name.startswith("word")}
    for fault in found.faults.values():
        assert fault.startswith("cloud_pressure_pa holds ") and fault.endswith("expected a number")
    depth = found.table.set_index("planet_ID")
    assert depth.loc[list(found.faults)].isna().all(axis=None)
    clear = compute_spectra(planets().iloc[:1], EDITION, physics).table.iloc[0, 1:].astype(float)
    np.testing.assert_allclose(depth.loc[list(empty)], np.tile(clear, (len(empty), 1)), rtol=1e-7)
    assert depth.loc["cloudy"].min() > clear.min()


def test_a_column_of_booleans_is_no_column_of_ones(physics) -> None:
    with_haze = planets(haze_log_strength=[True, False], haze_slope=-4.0)
    found = compute_spectra(with_haze, EDITION, physics)
    assert found.none_found and "haze_log_strength holds 'True'" in found.faults["a"]


IMPOSSIBLE = {
    "one metre": ({"star_radius_m": 1.0}, "star_radius_m is 1 m"),
    "solar radii": ({"star_radius_m": 0.895}, "looks like solar radii"),
    "kilometres": ({"star_radius_m": 6.2e5}, "looks like kilometres"),
    "negative": ({"star_radius_m": -7e8}, "star_radius_m is -7"),
    "infinite": ({"star_radius_m": np.inf}, "star_radius_m is inf"),
    "larger than its star": ({"star_radius_m": 7e7}, "transit depths from .* between 0 and 1"),
    "Jupiter masses": ({"planet_mass_kg": 0.28}, "looks like Jupiter masses"),
    "grams": ({"planet_mass_kg": 1.9e30}, "looks like grams"),
    "metres": ({"planet_radius": 9.1e7}, "looks like metres"),
    "Earth radii": ({"planet_radius": 13.0}, "looks like Earth radii"),
    "log temperature": ({"planet_temp": 3.04}, "looks like its log10"),
    "Celsius": ({"planet_temp": -20.0}, "looks like degrees Celsius"),
    "ratio": ({"log_H2O": 1e-4}, "looks like the mixing ratio itself"),
    "more than all": ({"log_H2O": -0.1, "log_CO": -0.5}, "mixing ratios sum to 1.11"),
    "log pressure": ({"cloud_pressure_pa": -3.0}, "looks like its log10"),
    "no pressure": ({"cloud_pressure_pa": 0.0}, "cloud_pressure_pa is 0 Pa"),
    "haze": ({"haze_log_strength": 1e3, "haze_slope": -4.0}, "give its log10"),
    "half a haze": ({"haze_log_strength": 1.0}, "haze_slope is empty"),
    "nothing": ({"planet_mass_kg": None}, "planet_mass_kg is empty"),
    "unbound": ({"planet_mass_kg": 1e24, "planet_radius": 3.0}, "atmosphere is not bound"),
}


def test_impossible_planets_are_named_and_the_others_computed(physics) -> None:
    cells = {name: own for name, (own, _) in IMPOSSIBLE.items()} | {"fine": {}}
    none = dict.fromkeys(("cloud_pressure_pa", "haze_log_strength", "haze_slope"), np.nan)
    found = compute_spectra(table_of(cells, **none), EDITION, physics)
    for name, (_, words) in IMPOSSIBLE.items():
        assert re.search(words, found.faults.get(name, "")), (name, found.faults.get(name))
    depth = found.table.set_index("planet_ID")
    assert list(depth.dropna().index) == ["fine"] and not found.none_found
    expected = compute_spectra(planets().iloc[:1], EDITION, physics).table.iloc[0, 1:]
    np.testing.assert_allclose(depth.loc["fine"], expected.astype(float), rtol=1e-9)


def test_planets_at_the_limits_of_the_tables_are_named(physics) -> None:
    found = compute_spectra(
        table_of({"hot": {"planet_temp": 3400}, "cold": {"planet_temp": 120}, "fine": {}}),
        EDITION,
        physics,
    )
    assert set(found.warnings) == {"hot", "cold"} and found.clamped == 2 and not found.faults
    assert "3400 K is beyond the opacity tables' 200 to 2600 K" in found.warnings["hot"][0]
    assert "computed at 200 K" in found.warnings["cold"][0]


def test_an_empty_cell_of_a_further_molecule_means_none(physics, tmp_path: Path) -> None:
    for path in Path(physics.opacities).iterdir():
        (tmp_path / path.name).symlink_to(path)
    write_taurex_hdf5(tmp_path / "HCN.h5", replace(generate("NH3"), molecule="HCN"))
    with_hcn = replace(physics, opacities=str(tmp_path))
    found = compute_spectra(planets(log_HCN=[np.nan, -3.0]), EDITION, with_hcn).table
    clear = compute_spectra(planets(), EDITION, physics).table
    np.testing.assert_allclose(found.iloc[0, 1:].astype(float), clear.iloc[0, 1:].astype(float))
    assert np.abs(found.iloc[1, 1:] - clear.iloc[1, 1:]).max() > 1e-5


def test_targets_that_the_model_does_not_have_are_refused(physics) -> None:
    with pytest.raises(ArielflowError, match="model has no log_HCN, log_kappa0"):
        compute_spectra(planets(), get_edition("wfc3"), physics)


def test_the_command_names_what_it_could_not_compute(tmp_path, opacities) -> None:
    table = planets(planet_ID=["NA", "[/]"], cloud_pressure_pa=["1e4 Pa", "1e4"])
    table.to_csv(tmp_path / "planets.csv", index=False)
    options = ("--opacities", opacities, "--output", tmp_path / "spectra.csv")
    done = run("spectrum", tmp_path / "planets.csv", *options)
    assert done.returncode == 0, done.stderr
    assert "NA: no spectrum, cloud_pressure_pa holds '1e4 Pa'" in done.stdout
    written = pd.read_csv(tmp_path / "spectra.csv", keep_default_na=False, na_values=[""])
    assert list(written["planet_ID"]) == ["NA", "[/]"]
    assert list(written.iloc[:, 1:].isna().all(axis=1)) == [True, False]
    table = pd.DataFrame(
        [planets(planet_temp=3.04).iloc[0].to_dict() | {"planet_ID": f"x{n}"} for n in range(300)]
    )
    table.to_csv(tmp_path / "planets.csv", index=False)
    done = run("spectrum", tmp_path / "planets.csv", *options)
    assert done.returncode == 1, "no planet has a spectrum"
    assert "and 280 more planets" in done.stdout and len(done.stdout) < 5_000


CSV = {
    "repeated column": ("planet_ID,log_H2O,log_H2O\na,-3,-4\n", "occurs more than once"),
    "a million columns": (",".join(f"c{n}" for n in range(200_000)), "expected"),
    "unknown columns": (
        "planet_ID," + ",".join(f"c{n}" for n in range(1_500)) + "\n",
        "rows|lacks",
    ),
    "semicolons": ("planet_ID;log_H2O\na;-3\n", "expected commas"),
}


@pytest.mark.parametrize("case", CSV)
def test_tables_that_are_none_are_refused_shortly(physics, tmp_path, case: str) -> None:
    content, words = CSV[case]
    (tmp_path / "planets.csv").write_text(content)
    with pytest.raises(ArielflowError, match=words) as fault:
        compute_spectra(read_csv(tmp_path / "planets.csv"), EDITION, physics)
    assert "\n" not in str(fault.value) and len(str(fault.value)) < 2_000


def test_an_interrupted_simulation_resumes(physics, tmp_path, monkeypatch) -> None:
    options = {"seed": 4, "split": "train", "prior": "matched", "physics": physics}
    monkeypatch.setattr("arielflow.data.simulated_planets._BLOCK", 30)
    seen: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_planets(EDITION, 100, scratch=tmp_path, progress=stop, **options)
    assert seen == [(30, 100), (60, 100)] and len(list(tmp_path.iterdir())) == 2
    expected = simulate_planets(EDITION, 100, **options)
    again = simulate_planets(EDITION, 100, scratch=tmp_path, **options)
    np.testing.assert_array_equal(again["transit_depth"], expected["transit_depth"])
    other = simulate_planets(EDITION, 100, scratch=tmp_path, **(options | {"seed": 5}))
    assert np.abs(other["transit_depth"].values - expected["transit_depth"].values).max() > 1e-4
