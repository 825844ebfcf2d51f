"""The reaction network, its solver against known cases, and the compressed network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from arielflow.chemistry.compressed import CompressedNetwork, LatentNetwork, _Modules
from arielflow.chemistry.evaluate import evaluate_compression
from arielflow.chemistry.network import (
    Conditions,
    Network,
    Reaction,
    composition,
    read_reactions,
)
from arielflow.chemistry.run import compress_network, network_of, parts, solve_clouds
from arielflow.chemistry.solver import YEAR_S, initial_abundances, solve
from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_dataset, write_table
from arielflow.report.chemistry_page import write_chemistry_page

RUN = {
    "conditions": {},
    "times": {"last_yr": 1e4, "number": 7},
    "n_train": 6,
    "n_valid": 2,
    "n_test": 3,
    "compression": {"n_latent": 3, "width": 8, "training": {"epochs": 3, "batch_size": 3}},
}


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(read_reactions(), Conditions())


@pytest.fixture(scope="module")
def clouds():
    return solve_clouds(RUN, seed=1)


@pytest.fixture(scope="module")
def compressed(clouds, tmp_path_factory):
    """Trained compressed network, its folder and its history."""
    model, history = compress_network(RUN, clouds, seed=1)
    folder = tmp_path_factory.mktemp("compressed")
    model.save(folder)
    return model, folder, history


def test_every_reaction_has_a_source_and_a_published_form(network) -> None:
    assert len(network.species) == 32 and len(network.reactions) == 310
    assert {reaction.source for reaction in network.reactions} == {"UMIST RATE22", "Jura 1975"}
    assert (network.rate > 0).all()


def test_composition() -> None:
    assert composition("H3O+") == {"H": 3, "O": 1, "charge": 1}
    assert composition("He") == {"He": 1, "charge": 0}
    assert composition("e-") == {"charge": -1}
    with pytest.raises(ArielflowError, match="'MgH' is not made of"):
        composition("MgH")


def test_elements_and_charge_are_conserved(network) -> None:
    for totals in network.totals(network.stoichiometry).values():
        np.testing.assert_array_equal(totals, 0)
    start = initial_abundances(network, 1, 3)[0]
    y = solve(network, start, np.geomspace(1, 1e6, 5))
    for name, total in network.totals(y).items():
        np.testing.assert_allclose(total, network.totals(start)[name], rtol=1e-6, atol=1e-12)


def test_clouds_are_neutral_and_seeded(network) -> None:
    first, same, other = (initial_abundances(network, 50, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
    np.testing.assert_allclose(network.totals(first)["charge"], 0, atol=1e-15)
    np.testing.assert_allclose(network.totals(first)["H"], 1)
    assert (first >= 0).all()


def test_rates_have_their_published_values() -> None:
    """By hand, at 30 K, 1000 cm^-3 and twice the reference ionisation rate."""
    conditions = Conditions(temperature_k=30, density_cm3=1e3, ionisation_s=2.6e-17)
    sources = [
        Reaction(("H3+", "CO"), ("HCO+", "H2"), "arrhenius", 1.36e-9, -0.14, -3.4, ""),
        Reaction(("H2",), ("H2+", "e-"), "cosmic_ray", 1.2e-17, 0, 0, ""),
        Reaction(("CO",), ("O", "C"), "cosmic_ray_photon", 1.3e-17, 1.17, 105, ""),
        Reaction(("H", "H"), ("H2",), "grain_surface", 3e-17, 0, 0, ""),
    ]
    expected = [
        1.36e-9 * 0.1**-0.14 * np.exp(3.4 / 30) * 1e3,
        2.4e-17,
        1.3e-17 * 0.1**1.17 * 105 / 0.5 * 2,
        3e-14,
    ]
    np.testing.assert_allclose(Network(sources, conditions).rate, expected)


def test_the_solver_finds_a_known_decay_and_a_known_recombination() -> None:
    ionisation = Reaction(("H",), ("H+", "e-"), "cosmic_ray", 1.3e-17, 0, 0, "")
    decay = Network([ionisation], Conditions(ionisation_s=1e-12))
    times = np.geomspace(1e3, 1e6, 6)
    y = solve(decay, np.array([1.0, 0.0, 0.0]), times)
    np.testing.assert_allclose(y[:, 0], np.exp(-1e-12 * times * YEAR_S), rtol=1e-4, atol=1e-9)
    recombination = Reaction(("H+", "e-"), ("H",), "arrhenius", 3.5e-12, 0, 0, "")
    second_order = Network([recombination], Conditions(density_cm3=1.0))
    y = solve(second_order, np.array([0.0, 1.0, 1.0]), times)
    np.testing.assert_allclose(y[:, 1], 1 / (1 + 3.5e-12 * times * YEAR_S), rtol=1e-4)


def test_the_jacobian_is_the_derivative(network) -> None:
    y = initial_abundances(network, 1, 1)[0] + 1e-6
    step = 1e-9 * np.eye(len(y))
    numerical = (network.derivative(y + step) - network.derivative(y - step)).T / 2e-9
    jacobian = network.jacobian(y)
    np.testing.assert_allclose(jacobian, numerical, atol=1e-9 * np.abs(jacobian).max())


def test_slopes_are_those_of_the_trajectories(clouds) -> None:
    log = np.log10(clouds["abundance"].sel(species="H2O").values)
    between = np.diff(log, axis=1) * (clouds.sizes["time"] - 1)
    slope = clouds["slope"].sel(species="H2O").values
    middle = (slope[:, 1:] + slope[:, :-1]) / 2
    np.testing.assert_allclose(between[:, 1:], middle[:, 1:], rtol=0.35, atol=0.3)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("H + H,H,arrhenius,1,0,0,x", "line 2: H . H → H does not conserve"),
        ("H,H+,cosmic_ray,1,0,0,x", "does not conserve elements and charge"),
        ("H,H,magic,1,0,0,x", "form 'magic' is unknown; choose arrhenius"),
        ("H + H,H2,cosmic_ray,1,0,0,x", "too many reactants"),
        ("H,H,arrhenius,fast,0,0,x", "could not convert"),
    ],
)
def test_faulty_tables_are_told(tmp_path, row, message) -> None:
    path = tmp_path / "reactions.csv"
    path.write_text("reactants,products,form,alpha,beta,gamma,source\n" + row + "\n")
    with pytest.raises(ArielflowError, match=message):
        read_reactions(path)


def test_bad_input_is_told(network, compressed, tmp_path) -> None:
    with pytest.raises(ArielflowError, match="no such table"):
        read_reactions(tmp_path / "none.csv")
    with pytest.raises(ArielflowError, match="finite and not negative"):
        solve(network, np.full(32, -1.0), np.array([1.0, 2.0]))
    sizes = {"n_train": 1, "n_valid": 1, "n_test": 1}
    with pytest.raises(ArielflowError, match=r"chemistry.times: .*is not after first_yr"):
        solve_clouds({"times": {"first_yr": 10, "last_yr": 1}} | sizes, seed=1)
    with pytest.raises(ArielflowError, match=r"chemistry.conditions.temperature_k: .*at most 300"):
        network_of({"conditions": {"temperature_k": 1e5}})
    with pytest.raises(ArielflowError, match=r"expected \(cloud, 32\)"):
        compressed[0].predict(np.ones((2, 5)))
    with pytest.raises(ArielflowError, match="valid settings are n_latent"):
        CompressedNetwork.from_settings({"colour": "red"})
    with pytest.raises(ArielflowError, match="train it first"):
        CompressedNetwork.load(tmp_path)


def test_latent_reactions_conserve_their_sum(monkeypatch) -> None:
    kinetics = LatentNetwork(4)
    change = kinetics.derivative(kinetics.matrix(), torch.rand(10, 4))
    torch.testing.assert_close(change.sum(dim=1), torch.zeros(10), atol=1e-6, rtol=0)
    # By hand: nothing but z1 -> z2 at rate 2 and z3 + z4 -> 2 z4 at rate 3.
    rates = torch.zeros(2, 4, 4)
    rates[0, 0, 1], rates[1, 2, 3] = 2, 3
    monkeypatch.setattr(kinetics, "rates", lambda: rates)
    change = kinetics.derivative(kinetics.matrix(), torch.tensor([1.0, 0.0, 0.5, 0.2]))
    torch.testing.assert_close(change, torch.tensor([-2.0, 2.0, -0.3, 0.3]))


def test_no_cloud_is_in_two_parts(clouds) -> None:
    split = parts(RUN, clouds)
    assert [part.sizes["cloud"] for part in split.values()] == [6, 2, 3]
    starts = {tuple(c) for part in split.values() for c in part["abundance"].values[:, 0]}
    assert len(starts) == 11


def test_compressed_contract(compressed, clouds) -> None:
    model, folder, history = compressed
    assert list(history.columns) == ["epoch", "train_loss", "valid_loss"]
    first = parts(RUN, clouds)["test"]["abundance"].values[:, 0]
    predicted = model.predict(first)
    assert predicted.shape == (3, 7, 32) and (predicted > 0).all()
    np.testing.assert_array_equal(CompressedNetwork.load(folder).predict(first), predicted)
    again, _ = compress_network(RUN, clouds, seed=1)
    np.testing.assert_array_equal(again.predict(first), predicted)
    other, _ = compress_network(RUN, clouds, seed=2)
    assert not np.array_equal(other.predict(first), predicted)
    assert set(model.reactions().columns) == {"reaction", "rate"}


def test_evaluation_and_page(compressed, clouds, tmp_path) -> None:
    model, folder, history = compressed
    found = evaluate_compression(model, parts(RUN, clouds)["test"])
    assert found.attrs["median_error"] == pytest.approx(float(np.median(found["relative_error"])))
    write_dataset(found, tmp_path / "evaluation.nc")
    write_table(history, tmp_path / "history.csv")
    files = [str(tmp_path / name) for name in ("history.csv", "evaluation.nc")]
    page, figures = str(tmp_path / "page/index.html"), str(tmp_path / "figures")
    write_chemistry_page("chemistry", RUN, str(folder), *files, page, figures)
    text = (tmp_path / "page/index.html").read_text()
    assert "median relative error" in text and "times as fast" in text
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {
        "abundance_trajectories",
        "abundance_errors",
        "latent_trajectories",
        "training_curves",
    }


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cpu_and_gpu_agree(compressed) -> None:
    model = compressed[0]
    z = torch.rand(4, 3)
    network: _Modules = model.network
    path = network.evolve(z)
    other = network.to("cuda").evolve(z.to("cuda")).cpu()
    network.to("cpu")
    torch.testing.assert_close(path, other, atol=1e-4, rtol=1e-3)
