"""The fast mode: agreement with the reference, its range, and nodes that no longer fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.data import forward_models as edition_physics
from arielflow.data.forward_models import (
    build_edition_nodes,
    edition_molecules,
    fast_physics,
    nodes_file,
)
from arielflow.editions import get_edition
from arielflow.physics.builtin_opacity import generate
from arielflow.physics.forward import (
    ForwardModel,
    PhysicsSettings,
    fast_or_reference,
    fingerprint,
    transmission_model,
)
from arielflow.physics.node_selection import (
    NodeSettings,
    build_nodes,
    draw_planets,
    draw_population,
)
from arielflow.physics.nodes import (
    FastTransmission,
    NodeRange,
    read_nodes,
    write_nodes,
)
from arielflow.physics.opacity_cache import load_opacities
from arielflow.physics.opacity_formats.taurex import write_taurex_hdf5

MOLECULES = ("H2O", "CO2")
BINS = np.array([1.45, 2.0, 2.7]), np.array([0.1, 0.2, 0.2])
SETTINGS = NodeSettings(tolerance=0.03, n_select=300, n_fit=900, n_validation=100)


@pytest.fixture(scope="module")
def resolved(tmp_path_factory) -> PhysicsSettings:
    """Tables of R = 5,000 with resolved lines over three bins."""
    folder = tmp_path_factory.mktemp("resolved")
    for name in MOLECULES:
        table = generate(
            name,
            resolving_power=5000,
            wavelength_range_um=(1.35, 2.9),
            temperature_k=np.array([400.0, 1000.0, 1700.0, 2600.0]),
        )
        write_taurex_hdf5(folder / f"{name}.h5", table)
    return PhysicsSettings(str(folder), nodes=str(folder / "nodes.npz"))


@pytest.fixture(scope="module")
def reference(resolved):
    return transmission_model(MOLECULES, resolved, *BINS)


@pytest.fixture(scope="module")
def fast(resolved, reference) -> FastTransmission:
    mark = fingerprint(MOLECULES, resolved, *BINS)
    write_nodes(build_nodes(reference, mark, settings=SETTINGS), resolved.nodes)
    return fast_or_reference(MOLECULES, resolved, *BINS)


def test_planets_not_seen_agree_with_the_reference(fast, reference) -> None:
    planets = draw_population(60, MOLECULES, NodeRange(), seed=99)
    error_ppm = 1e6 * (fast(*planets) - reference(*planets)).numpy()
    assert np.sqrt(np.mean(error_ppm**2)) < 5
    assert np.quantile(np.abs(error_ppm), 0.99) < 20
    assert fast.outside == 0
    assert fast.nodes.validation["rms_ppm"] < 5 and fast.nodes.validation["planets"] == 100
    assert len(fast.nodes.index) <= 120 < len(reference.wavenumber_cm1) / 10


def test_half_of_the_rays_give_the_depth_of_all(fast, reference) -> None:
    few = reference.with_rays(fast.nodes.rays)
    assert len(fast.nodes.rays.layer) == 50 and fast.nodes.rays.weight.sum() == pytest.approx(
        100, abs=2
    )
    planets = draw_population(60, MOLECULES, NodeRange(), seed=96)
    error_ppm = 1e6 * (few(*planets) - reference(*planets)).numpy()
    assert np.sqrt(np.mean(error_ppm**2)) < 0.1 and np.abs(error_ppm).max() < 1
    # What every ray adds is what the depth is the sum of.
    parts = reference.absorbed_by_ray(*(values[:3] for values in planets))
    above = reference(*(values[:3] for values in planets)).numpy().T - (
        (planets[0] / planets[3])[:3] ** 2
    )
    np.testing.assert_allclose(parts.sum(axis=1), above.T, rtol=1e-4)


def test_gradients_pass_through_the_nodes(fast, reference) -> None:
    planets = draw_population(4, MOLECULES, NodeRange(), seed=98)
    gradients = []
    for model in (fast, reference):
        arguments = [torch.as_tensor(p).requires_grad_() for p in planets]
        gradients.append(torch.autograd.grad(model(*arguments).sum(), arguments))
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0.05, atol=2e-6)


def test_outside_its_range_the_reference_mode_is_used_and_counted(fast, reference) -> None:
    planets = draw_planets(6, MOLECULES, NodeRange(), seed=97)
    planets[2][0], planets[4][1] = 3600.0, [-0.5, -3.0]
    planets[1][2] = np.nan
    before = fast.outside
    found, expected = fast(*planets), reference(*planets)
    assert fast.outside - before == 2
    torch.testing.assert_close(found[:2], expected[:2], rtol=1e-12, atol=0)
    assert found[2].isnan().all() and found[3:].isfinite().all()
    cloud = {"cloud_pressure_pa": np.full(6, 1e3)}
    torch.testing.assert_close(
        fast(*planets, **cloud), reference(*planets, **cloud), equal_nan=True
    )
    assert fast.outside - before == 2 + 5, "a faulty planet is nobody's"


def test_nodes_of_other_tables_are_refused(fast, resolved, tmp_path: Path) -> None:
    for path in Path(resolved.opacities).glob("*.h5"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    same = replace(resolved, opacities=str(tmp_path))
    fast_or_reference(MOLECULES, same, *BINS)
    write_taurex_hdf5(tmp_path / "CO2.h5", generate("CO2", wavelength_range_um=(1.3, 3.0)))
    with pytest.raises(ArielflowError, match="made from other opacity tables"):
        fast_or_reference(MOLECULES, same, *BINS)


def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "nodes.npz").write_bytes(b"PK nonsense")
    for path in (tmp_path / "nodes.npz", tmp_path / "none.npz"):
        with pytest.raises(ArielflowError, match="build them again") as fault:
            read_nodes(path)
        assert "\n" not in str(fault.value)


CHANGES = {
    "negative": lambda a: a["index"].__setitem__(0, -5),
    "twice": lambda a: a["index"].__setitem__(1, a["index"][0]),
    "fractions": lambda a: a.__setitem__("index", a["index"] + 0.5),
    "fewer": lambda a: a.__setitem__("index", a["index"][:-1]),
    "flat": lambda a: a.__setitem__("matrix", a["matrix"].ravel()),
    "not finite": lambda a: a["matrix"].__setitem__((0, 0), np.nan),
    "rays below": lambda a: a["ray_layer"].__setitem__(0, -1),
    "rays twice": lambda a: a["ray_layer"].__setitem__(1, a["ray_layer"][0]),
    "fewer rays": lambda a: a.__setitem__("ray_layer", a["ray_layer"][:-1]),
    "ray not finite": lambda a: a["ray_weight"].__setitem__(0, np.inf),
    "no rays": lambda a: a.pop("ray_layer"),
    "no matrix": lambda a: a.pop("matrix"),
    "no text": lambda a: a.__setitem__("meta", np.array("{")),
    "no range": lambda a: a.__setitem__(
        "meta", np.array(str(a["meta"]).replace("log_mixing_ratio", "other"))
    ),
    "range upside down": lambda a: a.__setitem__(
        "meta", np.array(str(a["meta"]).replace("[200.0, 3400.0]", "[3400.0, 200.0]"))
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_nodes_that_cannot_be_right_are_refused(fast, resolved, tmp_path: Path, case) -> None:
    with np.load(resolved.nodes) as file:
        arrays = dict(file)
    CHANGES[case](arrays)
    np.savez(tmp_path / "nodes.npz", **arrays)
    with pytest.raises(ArielflowError, match="build them again") as fault:
        read_nodes(tmp_path / "nodes.npz")
    assert "\n" not in str(fault.value)


def test_nodes_beyond_the_tables_are_refused(fast, resolved) -> None:
    tables = load_opacities(resolved.opacities, MOLECULES, *BINS)
    beyond = replace(fast.nodes, index=fast.nodes.index + 10**6)
    fewer = replace(fast.nodes, matrix=fast.nodes.matrix[:2])
    rays = replace(fast.nodes.rays, layer=fast.nodes.rays.layer + 100)
    for nodes in (beyond, fewer, replace(fast.nodes, rays=rays)):
        with pytest.raises(ArielflowError, match="build them again"):
            FastTransmission(nodes, tables, lambda: None, bins=BINS)


def test_planets_in_other_bins_are_refused(fast, reference) -> None:
    spectrum, prior = (("planet", name) for name in ("wavelength", "target"))
    planets = xr.Dataset(
        {
            "wavelength_width": ("wavelength", BINS[1]),
            **dict.fromkeys(("transit_depth", "transit_depth_error"), (spectrum, np.ones((1, 3)))),
            **dict.fromkeys(("prior_low", "prior_high"), (prior, np.ones((1, 1)))),
        },
        coords={
            "wavelength": BINS[0],
            "target_quantity": ("target", ["H2O"]),
            "auxiliary_quantity": ("auxiliary", np.empty(0, dtype=str)),
        },
    )
    shifted = planets.assign_coords(wavelength=BINS[0] + [0.05, 0, 0])
    wider = planets.assign(wavelength_width=planets["wavelength_width"] * 1.2)
    for model in (fast, reference):
        for other in (shifted, wider, planets.isel(wavelength=slice(0, 2))):
            with pytest.raises(ArielflowError, match="the forward model has 3 bins") as fault:
                ForwardModel(model, other)
            assert "\n" not in str(fault.value)
        # The bins agree: what is missing next is a target.
        with pytest.raises(ArielflowError, match="needs the target"):
            ForwardModel(model, planets)


def test_damaged_nodes_in_the_user_s_cache_are_made_anew(monkeypatch, physics, tmp_path) -> None:
    edition = get_edition("adc2023")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []
    monkeypatch.setattr(
        edition_physics, "build_edition_nodes", lambda *a, **named: made.append(a[1].nodes)
    )
    path = nodes_file(edition, physics)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK nonsense")
    assert fast_physics(edition, physics).nodes == str(path)
    assert made == [str(path)]


def test_an_edition_s_nodes_on_the_built_in_tables(physics, tmp_path: Path) -> None:
    edition = get_edition("adc2023")
    settings = replace(physics, nodes=str(tmp_path / "nodes.npz"))
    nodes = build_edition_nodes(edition, settings, seed=1)
    # At R = 300 all of the grid's points are nodes; the rays alone are fewer.
    assert len(nodes.index) > 800 and len(nodes.rays.layer) == 50
    assert nodes.validation["rms_ppm"] < 0.1 and nodes.validation["p99_ppm"] < 0.3
    other = replace(physics, cia=not physics.cia)
    assert nodes_file(edition, physics).parent == nodes_file(edition, other).parent
    assert edition_molecules(edition) == ["H2O", "CO2", "CO", "CH4", "NH3"]
