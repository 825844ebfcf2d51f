"""Planet files: every fault is one line that says where; units and ways of giving are equal."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from scipy import stats

from arielflow.core.errors import ArielflowError
from arielflow.data.description.editions import describe_edition_planet, edition_spectrum
from arielflow.data.description.parameters import Parameter
from arielflow.data.description.read import Description, describe_planet, read_planet_file
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.settings.planet import PlanetSettings

PLANET = {
    "name": "WASP-0b",
    "star": {"radius": "0.9 Rsun", "temperature": "5500 K"},
    "planet": {"mass": "0.3 Mjup", "radius": {"uniform": [0.9, 1.5], "unit": "Rjup"}},
    "atmosphere": {
        "gases": {"H2O": {"log_uniform": [1e-12, 0.1]}, "CO2": "1e-4"},
        "temperature": {"isothermal": {"normal": ["1000 K", "100 K"]}},
        "clouds": {"top_pressure": {"log_uniform": [1e-6, 10], "unit": "bar"}, "fraction": 0.5},
        "haze": {"strength": {"log_uniform": [1, 1e5]}},
    },
    "star_spots": {"temperature": "4500 K", "fraction": {"uniform": [0, 0.3]}},
    "instruments": {"A": {"offset": {"normal": [0, 50], "unit": "ppm"}, "jitter": "20 ppm"}},
}
POINTS = {"pressures": ["10 bar", "1 mbar"], "temperatures": ["1500 K", "900 K"]}


def changed(path: str, value: object) -> dict:
    """The planet with something else at a place; ``...`` removes it."""
    content = copy.deepcopy(PLANET)
    *above, last = path.split(".")
    part = content
    for name in above:
        part = part[name]
    part[last] = value
    if value is ...:
        del part[last]
    return content


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("star.radus", "1 Rsun", "did you mean radius"),
        ("stars", {}, "did you mean star"),
        ("star", ..., "'star' is missing"),
        ("star", None, "star: found None, expected a mapping"),
        ("planet.mass", ..., "'mass' is missing"),
        ("star.radius", 0.9, "0.9 has no unit"),
        ("star.radius", "0.9", "0.9 has no unit"),
        ("star.radius", "0.9 Foo", "unit Foo is not known"),
        ("star.radius", "0.9 K", "unit K is of another quantity"),
        ("star.radius", "0.9 Rsun Rsun", "another quantity"),
        ("star.radius", "0,9 Rsun", "unit ,9 Rsun is not known"),
        ("star.radius", "nan Rsun", "expected a number with its unit"),
        ("star.radius", "Rsun", "expected a number with its unit"),
        ("star.radius", "", "expected a number with its unit"),
        ("star.radius", "1e999 Rsun", "is not possible"),
        ("star.radius", "-0.9 Rsun", "is not possible"),
        ("star.radius", "9e8 Rsun", "check its unit"),
        ("star.radius", float("nan"), "star.radius: found nan, expected a finite number"),
        ("star.radius", float("inf"), "expected a finite number"),
        ("star.radius", True, "star.radius: found True, expected a number"),
        ("star.radius", None, "star.radius: found None, expected text"),
        ("star.radius", ["1 Rsun"], "expected text"),
        ("star.radius", {"uniforms": [1, 2], "unit": "Rsun"}, "did you mean uniform"),
        ("star.radius", {}, "found none, expected one of uniform"),
        ("planet.radius", {"uniform": [1, 2], "normal": [1, 2]}, "found uniform and normal"),
        ("planet.radius", {"uniform": [1, 2, 3]}, "3 items, expected at most 2"),
        ("planet.radius", {"uniform": [1, 2]}, "1 has no unit"),
        ("planet.radius", {"uniform": ["1 Rjup", "2 K"]}, "another quantity"),
        ("planet.radius", {"uniform": [2, 1], "unit": "Rjup"}, "give the lower value first"),
        ("planet.radius", {"uniform": [1, 1], "unit": "Rjup"}, "give the lower value first"),
        ("planet.radius", {"uniform": [1, float("nan")], "unit": "Rjup"}, "uniform.1: found nan"),
        ("planet.radius", {"uniform": [None, 2], "unit": "Rjup"}, "uniform.0: found None"),
        ("planet.radius", {"normal": [1, 0], "unit": "Rjup"}, "is not above zero"),
        ("planet.radius", {"normal": [0.1, -1], "unit": "Rjup"}, "is not above zero"),
        ("planet.radius", {"uniform": [1, 2], "unit": 3}, "unit: found 3, expected text"),
        ("atmosphere.gases", {"H2O": {"log_uniform": [0, 0.1]}}, "lowest value 0 is not above"),
        ("atmosphere.gases", {"H2O": {"log_uniform": [1e-3, 2]}}, "2 is not possible"),
        ("atmosphere.gases", {"H2O": 1.5}, "1.5 is not possible"),
        ("atmosphere.gases", {"H2O": "1e-4 bar"}, "another quantity"),
        ("atmosphere.gases", {"H2O": 0.7, "CO": 0.6}, "sum to 1.3, expected at most 1"),
        ("atmosphere.gases", ["H2O", "H2O"], "twice"),
        ("atmosphere.gases", ["H2O", "1H2-16O"], "H2O twice"),
        ("atmosphere.gases", ["H2O", "H2"], "H2 fill up what the other gases leave"),
        ("atmosphere.gases", [], "name at least one absorber"),
        ("atmosphere.gases", {}, "name at least one absorber"),
        ("atmosphere.gases", "H2O", "gases: found 'H2O', expected a list"),
        ("atmosphere.gases", [18], "gases.0: found 18, expected text"),
        ("atmosphere.gases", {"H2O": None}, "gases.H2O: found None"),
        ("atmosphere.gases", ..., "'gases' is missing"),
        ("atmosphere.temperature", {}, "found none, expected one of isothermal"),
        (
            "atmosphere.temperature",
            {"isothermal": "9 K", "points": POINTS},
            "isothermal and points",
        ),
        ("atmosphere.temperature", {"isothermal": "20 deg_C"}, "unit deg_C"),
        (
            "atmosphere.temperature",
            {"points": POINTS | {"pressures": ["1 mbar", "10 bar"]}},
            "pressures do not fall",
        ),
        (
            "atmosphere.temperature",
            {"points": POINTS | {"pressures": ["1 mbar", "1 mbar"]}},
            "pressures do not fall",
        ),
        (
            "atmosphere.temperature",
            {"points": POINTS | {"temperatures": ["1 K"] * 3}},
            "2 pressures and 3 temperatures",
        ),
        ("atmosphere", {"gases": ["H2O"], "clouds": {"fraction": 0.5}}, "covers nothing"),
        ("atmosphere.clouds.fraction", 1.1, "1.1 is not possible, expected 0 to 1"),
        ("atmosphere.haze.strength", 0, "expected a number above zero"),
        ("atmosphere.bottom_pressure", "1e-12 bar", "swap them"),
        ("atmosphere.bottom_pressure", 10, "bottom_pressure: found 10, expected text"),
        ("atmosphere.layers", 3, "expected at least 10"),
        ("star_spots.fraction", 1.1, "is not possible, expected 0 to 1"),
        ("star.temperature", ..., "star_spots needs star.temperature"),
        ("instruments.A.offset", 20, "20 has no unit"),
        ("instruments.A.jitter", "-20 ppm", "is not possible, expected 0"),
        ("instruments.A.error_factor", 0, "expected a number above zero"),
        ("name", "x" * 300, "300 characters"),
    ],
)
def test_every_wrong_thing_is_one_line(path: str, value: object, words: str) -> None:
    with pytest.raises(ArielflowError) as fault:
        describe_planet(changed(path, value), where="planet file x.yaml")
    text = str(fault.value)
    assert words in text and text.startswith("planet file x.yaml") and text.count("\n") == 0
    assert text.count("planet file") == 1, "one fault is told once"
    assert len(text) < 400


BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds nothing"),
        (b"\n\n# nothing\n", "holds nothing"),
        (b"- star\n- planet\n", "holds list, expected keys"),
        (b"just words\n", "holds str, expected keys"),
        (bytes(range(256)), "not a readable YAML file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "not a readable YAML file"),
        ("name: Wüste".encode("latin-1"), "not a readable YAML file"),
        (b"star: {radius: 1 Rsun\n", "not a readable YAML file"),
        (b"star:\n\tradius: 1 Rsun\n", "not a readable YAML file"),
        (b"star: 1\nstar: 2\n", "star"),
        (BOMB.encode(), "without aliases"),
        (b"a: &a [*a]\n", "without aliases"),
        (b"[" * 5000, "not a readable YAML file"),
        (b"1: 2\n", "no text; write it in quotes"),
        (b"'[key]': 2\n", "unknown key '[key]'"),
        (b"star: !!python/object/apply:os.getcwd []\n", "not a readable YAML file"),
    ],
    ids=range(16),
)
def test_files_that_are_no_planet_files_are_one_line(tmp_path, content: bytes, words: str) -> None:
    path = tmp_path / "planet.yaml"
    path.write_bytes(content)
    with pytest.raises(ArielflowError) as fault:
        read_planet_file(path)
    text = str(fault.value)
    assert words in text and "planet.yaml" in text and "\n" not in text


def test_files_that_are_not_there_or_are_folders_are_one_line(tmp_path) -> None:
    for path, words in ((tmp_path / "no.yaml", "no such file"), (tmp_path, "is a folder")):
        with pytest.raises(ArielflowError, match=words):
            read_planet_file(path)


def test_a_planet_file_a_dictionary_and_settings_are_one_description(tmp_path) -> None:
    path = tmp_path / "Ωμέγα.yaml"
    text = yaml.safe_dump(PLANET, sort_keys=False)
    expected = describe_planet(PLANET)
    assert describe_planet(PlanetSettings.model_validate(PLANET)) == expected
    for content in (text, text.replace("\n", "\r\n"), "\ufeff" + text, text.rstrip("\n")):
        path.write_text(content, encoding="utf-8", newline="")
        assert read_planet_file(path) == expected
    unnamed = changed("name", ...)
    path.write_text(yaml.safe_dump(unnamed, sort_keys=False), encoding="utf-8")
    assert read_planet_file(path) == replace(expected, name="Ωμέγα")


@pytest.mark.parametrize(
    ("path", "value", "other"),
    [
        ("star.radius", "0.9 Rsun", "6.2613e8 m"),
        ("star.radius", "0.9 Rsun", "626130 km"),
        ("star.radius", "0.9 Rsun", ".9e0R_sun"),
        ("star.radius", "0.9 Rsun", "0.9 solRad"),
        ("planet.mass", "1 Mjup", "1.8981245973360505e27 kg"),
        ("planet.radius", "1 Rjup", "71492 km"),
        ("planet.radius", {"uniform": ["1 Rjup", "2 Rjup"]}, {"uniform": [1, 2], "unit": "Rjup"}),
        ("atmosphere.clouds.top_pressure", "1 mbar", "100 Pa"),
        ("atmosphere.gases", {"H2O": "0.01 percent"}, {"H2O": 1e-4}),
        ("atmosphere.gases", {"H2O": "100 ppm"}, {"H2O": "1e-4"}),
        ("atmosphere.gases", ["H2O"], {"H2O": {"log_uniform": [1e-12, 0.1]}}),
        ("atmosphere.bottom_pressure", "10 bar", "1e6 Pa"),
    ],
)
def test_units_are_equal(path: str, value: object, other: object) -> None:
    first, second = (describe_planet(changed(path, given)) for given in (value, other))
    assert first.fixed == pytest.approx(second.fixed, rel=1e-9)
    assert first.free == second.free and first.pressures == second.pressures


def test_edges_in_different_units_are_brought_to_the_first_ones() -> None:
    given = changed("planet.radius", {"uniform": ["71492 km", "2 Rjup"]})
    (radius,) = (p for p in describe_planet(given).free if p.name == "planet_radius")
    assert (radius.unit, radius.second) == ("km", pytest.approx(2 * 71492))
    share = torch.tensor([0.0, 1.0], dtype=torch.float64)
    np.testing.assert_allclose(radius.si(radius.sampled(share)), [7.1492e7, 2 * 7.1492e7])


@pytest.mark.parametrize(
    ("prior", "first", "second", "law"),
    [
        ("uniform", 0.9, 1.5, stats.uniform(0.9, 0.6)),
        ("log_uniform", 1e-6, 10.0, stats.loguniform(1e-6, 10.0)),
        ("normal", -20.0, 50.0, stats.norm(-20.0, 50.0)),
    ],
)
def test_shares_of_priors_are_their_quantiles(prior, first, second, law) -> None:
    parameter = Parameter("x", prior, first, second, "bar", 1e5)
    share = np.linspace(0.001, 0.999, 201)
    sampled = parameter.sampled(torch.as_tensor(share))
    np.testing.assert_allclose(parameter.si(sampled), 1e5 * law.ppf(share), rtol=1e-9)
    if prior == "log_uniform":
        np.testing.assert_allclose(sampled, np.log10(law.ppf(share)), atol=1e-9)
        assert (parameter.sampled_name, parameter.sampled_unit) == ("log_x", "log10(bar)")


def _names(description: Description) -> set[str]:
    return set(description.parameters)


def test_parts_are_left_out_with_all_that_belongs_to_them() -> None:
    full = describe_planet(PLANET)
    everything = _names(full)
    assert everything - _names(full.without_spots()) == {"spot_temperature", "spot_fraction"}
    assert everything - _names(full.without_offsets()) == {"offset[A]"}
    assert everything - _names(full.without_clouds()) == {"cloud_top_pressure"}
    assert everything - _names(full.without_haze()) == {"haze_strength", "haze_slope"}
    neither = everything - _names(full.without_haze().without_clouds())
    assert neither == everything - _names(full.without_clouds().without_haze())
    assert "cloud_fraction" in neither, "of what is not there nothing can be covered"
    assert full.without_gas("H2O").fixed["H2O"] == 0 and full.without_gas("CO2").fixed["CO2"] == 0
    assert {p.name for p in full.free} - {p.name for p in full.without_gas("H2O").free} == {"H2O"}
    assert full.without("no such") == full


def test_a_profile_becomes_isothermal_without_leftovers() -> None:
    temperature = Parameter("temperature", "uniform", 300.0, 3000.0, "K", 1.0)
    guillot = {"irradiation": "1500 K", "infrared_opacity": "0.01 m2/kg"}
    guillot |= {"visible_opacity": {"log_uniform": [1e-4, 1e-2], "unit": "m2/kg"}}
    guillot |= {"second_visible_opacity": "1e-3 m2/kg", "second_share": 0.2}
    flat = describe_planet(changed("atmosphere.temperature", {"isothermal": "1000 K"}))
    for profile in ({"guillot": guillot}, {"points": POINTS}):
        described = describe_planet(changed("atmosphere.temperature", profile))
        made = described.isothermal(temperature)
        assert _names(made) == _names(flat)
        assert (made.profile, made.n_points, made.smoothing) == ("isothermal", 0, 0.0)


@pytest.mark.parametrize("name", ["adc2023", "adc2022"])
def test_every_edition_is_a_description(name: str, physics) -> None:
    edition = get_edition(name)
    options = {"seed": 1, "split": "train", "prior": "matched", "physics": physics}
    planets = simulate_planets(edition, 3, **options)
    planet = str(planets["planet"].values[1])
    described = describe_edition_planet(edition, planets, planet)
    assert len(described.free) == planets.sizes["target"]
    share = torch.tensor([0.0, 1.0], dtype=torch.float64)
    edges = np.array([p.sampled(share).numpy() for p in described.free])
    np.testing.assert_allclose(edges[:, 0], planets["prior_low"].values[1], rtol=1e-12)
    np.testing.assert_allclose(edges[:, 1], planets["prior_high"].values[1], rtol=1e-12)
    spectrum = edition_spectrum(edition, planets, planet)
    np.testing.assert_array_equal(spectrum.depth, planets["transit_depth"].values[1])
    for call in (describe_edition_planet, edition_spectrum):
        with pytest.raises(ArielflowError, match="planet no such is not in the data set"):
            call(edition, planets, "no such")


def test_a_name_is_the_files_own_where_it_has_none(tmp_path: Path) -> None:
    path = tmp_path / "HD 1b.yaml"
    path.write_text(yaml.safe_dump(changed("name", ...)))
    assert read_planet_file(path).name == "HD 1b"
