"""Spectra of a table of planets, and the command that computes them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_cli import run

from arielflow.editions import get_edition
from arielflow.errors import ArielflowError
from arielflow.physics.builtin_opacity import generate
from arielflow.physics.opacity_files import write_taurex_hdf5
from arielflow.schema import auxiliary_values
from arielflow.simulate import simulate_planets
from arielflow.spectrum import compute_spectra

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
    table = planets(planet_ID=["a", "b"]).astype({"planet_temp": object})
    table.loc[1, "planet_temp"] = "warm"
    table.to_csv(tmp_path / "planets.csv", index=False)
    done = run(
        *("spectrum", tmp_path / "planets.csv", "--opacities", opacities, "--native", "--json"),
        *("--output", tmp_path / "spectra.csv"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["faults"] == {"b": "non finite"}
    written = pd.read_csv(tmp_path / "spectra.csv")
    assert written.shape[1] > 700 and written.iloc[0, 1:].notna().all()
    assert written.iloc[1, 1:].isna().all()
    done = run("spectrum", tmp_path / "none.csv", "--output", tmp_path / "spectra.csv")
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_an_interrupted_simulation_resumes(physics, tmp_path, monkeypatch) -> None:
    options = {"seed": 4, "split": "train", "prior": "matched", "physics": physics}
    monkeypatch.setattr("arielflow.simulate._BLOCK", 30)
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
