"""Retrievals: resuming, faulty planets, evidence, the command line, another sampler."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from typer.testing import CliRunner

from arielflow.cli import app
from arielflow.core.errors import ArielflowError
from arielflow.core.samples import weighted_quantiles
from arielflow.core.schema import Quality, open_dataset, validate_posterior
from arielflow.data import forward_models as edition_physics
from arielflow.data.forward_models import edition_model, fast_physics
from arielflow.editions import get_edition
from arielflow.editions.official_files import write_official
from arielflow.physics.forward import ForwardModel
from arielflow.physics.nodes import NodeRange, NodeSet, write_nodes
from arielflow.physics.rays import Rays
from arielflow.physics.systems import Systems
from arielflow.retrieval import nested
from arielflow.retrieval.likelihood import gaussian_log_likelihood, sampling_box
from arielflow.retrieval.nested import Nested, nested_sampling, retrieve
from arielflow.retrieval.planets import choose_planets, retrieve_planets
from arielflow.retrieval.summary import summarise
from arielflow.settings.nested import NestedSettings

# Without the networks of nautilus' bounds, whose training is most of a small run's time.
QUICK = NestedSettings(n_live=60, n_effective=150, n_batch=128, n_networks=0)
LOW, HIGH = np.full(3, -5.0), np.full(3, 5.0)


@pytest.fixture(scope="module")
def faint(simulated) -> xr.Dataset:
    """Three planets seen so badly that nested sampling ends within seconds."""
    planets = simulated.isel(planet=slice(0, 3)).copy(deep=True)
    planets["transit_depth_error"] *= 100
    planets["planet"] = ["test1", "test2", "test3"]
    return planets


class Interruptible:
    """A Gaussian log-likelihood that counts its calls and can break off, as a kill would."""

    def __init__(self, stop_at: float = math.inf) -> None:
        self.calls, self.stop_at = 0, stop_at

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        if self.calls >= self.stop_at:
            raise KeyboardInterrupt
        self.calls += len(theta)
        return -0.5 * np.sum((theta / 0.7) ** 2, axis=1)


@pytest.fixture
def often(monkeypatch) -> None:
    """Reports and checkpoints all the time."""
    monkeypatch.setattr(nested, "_REPORT_SECONDS", 0.02)
    monkeypatch.setattr(nested, "_CHECKPOINT_SECONDS", 0.0)


def _same(first, second) -> None:
    np.testing.assert_array_equal(first.theta, second.theta)
    np.testing.assert_array_equal(first.weight, second.weight)
    assert first.log_evidence == second.log_evidence
    assert first.likelihood_calls == second.likelihood_calls


def test_an_interrupted_run_resumes_and_ends_as_if_it_had_not_been(tmp_path, often) -> None:
    options = {"seed": 4, "settings": QUICK.model_copy(update={"n_networks": 1})}
    whole = Interruptible()
    expected = nested_sampling(whole, LOW, HIGH, **options)
    file = tmp_path / "state.h5"
    with pytest.raises(KeyboardInterrupt):
        nested_sampling(Interruptible(0.7 * whole.calls), LOW, HIGH, checkpoint=file, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["state.h5"]
    rest, seen = Interruptible(), []
    result = nested_sampling(rest, LOW, HIGH, checkpoint=file, progress=seen.append, **options)
    assert rest.calls < 0.6 * whole.calls
    _same(result, expected)
    assert result.seconds > 0
    assert [s.likelihood_calls for s in seen] == sorted(s.likelihood_calls for s in seen)
    assert seen[-1].likelihood_calls == whole.calls
    assert seen[-1].effective_samples >= seen[-1].n_effective == QUICK.n_effective


def test_a_damaged_checkpoint_is_told_and_sampling_starts_afresh(tmp_path, caplog) -> None:
    file = tmp_path / "state.h5"
    file.write_bytes(b"not HDF5")
    options = {"seed": 4, "settings": QUICK}
    result = nested_sampling(Interruptible(), LOW, HIGH, checkpoint=file, **options)
    assert str(file) in caplog.text
    _same(result, nested_sampling(Interruptible(), LOW, HIGH, **options))


def test_checkpoints_belong_to_one_spectrum_prior_seed_and_settings(
    faint, tmp_path, monkeypatch
) -> None:
    files = set()

    def remember(log_likelihood, low, high, *, checkpoint, **options):
        files.add(checkpoint)
        raise ArielflowError("enough")

    monkeypatch.setattr(nested, "nested_sampling", remember)

    def attempt(planets: xr.Dataset, seed: int = 1, settings: NestedSettings = QUICK) -> int:
        with pytest.raises(ArielflowError, match="enough"):
            forward = SimpleNamespace(systems=Systems.of(planets))
            retrieve(forward, 0, seed=seed, settings=settings, checkpoints=tmp_path)
        return len(files)

    monkeypatch.setattr(nested, "gaussian_log_likelihood", lambda *arguments: None)
    assert attempt(faint) == 1 and attempt(faint) == 1
    for number, name in enumerate(("transit_depth", "transit_depth_error", "prior_high")):
        other = faint.copy(deep=True)
        other[name].values[0, -1] *= 1.0001
        assert attempt(other) == 2 + number
    assert attempt(faint, seed=2) == 5
    assert attempt(faint, settings=QUICK.model_copy(update={"n_live": 61})) == 6


def test_a_retrieval_resumes_and_a_bad_planet_does_not_sink_it(
    faint, physics, tmp_path, often, monkeypatch, caplog
) -> None:
    planets = faint.copy(deep=True)
    planets["quality"].values[1] = Quality.NON_FINITE_SPECTRUM
    planets["transit_depth"].values[1] = np.nan
    caplog.set_level("INFO")
    output = tmp_path / "out" / "posterior.nc"
    options = {"physics": physics, "seed": 3, "n_samples": 200}

    def broken(planet: str, state) -> None:
        if state.likelihood_calls > 600:
            raise KeyboardInterrupt

    call = (get_edition("adc2023"), choose_planets(planets, ["test3", "test2"]), Nested(QUICK))
    with pytest.raises(KeyboardInterrupt):
        retrieve_planets(*call, output, progress=broken, **options)
    assert not output.exists() and list(tmp_path.rglob("*.h5"))
    seen = []
    posterior = retrieve_planets(
        *call, output, progress=lambda *state: seen.append(state), **options
    )
    assert seen[0][0] == "test3" and seen[0][1].likelihood_calls > 600
    assert "resumed after" in caplog.text
    assert [path.name for path in output.parent.iterdir()] == ["posterior.nc"]
    xr.testing.assert_identical(open_dataset(output), posterior)
    validate_posterior(posterior)
    assert posterior["theta"].shape == (2, 200, 7)
    np.testing.assert_array_equal(posterior["retrieved"], [1, 0])
    assert posterior["fault"].values[1] == "unusable data (non finite spectrum)"
    assert "test2" in caplog.text
    low, high = (planets[f"prior_{side}"].values[[2, 1], None] for side in ("low", "high"))
    assert (posterior["theta"] >= low).all() and (posterior["theta"] <= high).all()
    for name in ("log_evidence", "effective_samples", "likelihood_calls", "seconds", "fault"):
        assert {"long_name", "units"} <= set(posterior[name].attrs)
    summary = summarise(posterior)
    json.dumps(summary, allow_nan=False)
    assert summary["test2"]["log_evidence"] is None
    # Almost no information: the evidence under the prior is nearly the likelihood's own height.
    forward = ForwardModel(edition_model(call[0], physics), planets)
    theta = low[0] + (high[0] - low[0]) * np.random.default_rng(1).random((4096, 7))
    log_likelihood = gaussian_log_likelihood(forward, 2)(theta)
    monte_carlo = np.logaddexp.reduce(log_likelihood) - np.log(len(theta))
    assert summary["test3"]["log_evidence"] == pytest.approx(monte_carlo, abs=0.5)


def test_an_unretrievable_edition_is_told_before_any_sampling(physics, faint) -> None:
    with pytest.raises(ArielflowError, match="planet_mass_kg"):
        columns = faint["auxiliary_quantity"].values != "planet_mass_kg"
        retrieve_planets(
            get_edition("adc2023"),
            faint.isel(auxiliary=columns),
            Nested(),
            physics=physics,
            seed=1,
        )


def test_command(faint, opacities, tmp_path, monkeypatch) -> None:
    quick = partial(NestedSettings, **(QUICK.model_dump() | {"n_live": 50}))
    monkeypatch.setattr(nested, "NestedSettings", quick)
    write_official(tmp_path / "data", get_edition("adc2023"), "test", faint)
    output = tmp_path / "posterior.nc"
    command = ["retrieve", str(tmp_path / "data"), "--edition", "adc2023", "--output", str(output)]
    command += ["--opacities", str(opacities), "--prior", "matched", "--live", "50", "--json"]
    done = CliRunner().invoke(app, [*command, "--planet", "test2", "--samples", "300"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["planets"]["test2"]
    assert found["retrieved"] and found["likelihood_calls"] > 500 and found["seconds"] > 0
    assert set(found["targets"]) == set(get_edition("adc2023").target_names)
    assert all(t["low"] < t["median"] < t["high"] for t in found["targets"].values())
    posterior = validate_posterior(open_dataset(output))
    assert posterior["theta"].shape == (1, 300, 7) and posterior.attrs["n_live"] == 50
    fault = CliRunner().invoke(app, [*command, "--planet", "test9"]).exception
    assert isinstance(fault, ArielflowError) and "\n" not in str(fault)
    assert "test9" in str(fault) and "test1, test2, test3" in str(fault)


def test_nodes_of_the_fast_mode_are_made_once(physics, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []

    def make(edition, fast, **options) -> None:
        made.append(Path(fast.nodes))
        matrix = np.full((52, 2), 0.5)
        nodes = NodeSet(np.arange(2), matrix, Rays.all(100), made[-1].stem, NodeRange(), {})
        write_nodes(nodes, made[-1])

    monkeypatch.setattr(edition_physics, "build_edition_nodes", make)
    first, second = (fast_physics(get_edition("adc2023"), physics) for _ in range(2))
    assert first == second == replace(physics, nodes=str(made[0])) and len(made) == 1
    assert made[0].is_relative_to(tmp_path)


@pytest.mark.slow
def test_processes_and_one_process_agree(faint, physics) -> None:
    found = [
        retrieve_planets(
            get_edition("adc2023"),
            choose_planets(faint, ["test1", "test3"]),
            Nested(QUICK),
            physics=physics,
            seed=1,
            n_samples=100,
            workers=workers,
            progress=lambda planet, state: None,
        ).drop_vars("seconds")
        for workers in (1, 2)
    ]
    xr.testing.assert_identical(*found)


@pytest.mark.slow
def test_another_sampler_finds_the_same_posterior(simulated, physics) -> None:
    nestle = pytest.importorskip("nestle")
    torch.set_num_threads(1)
    forward = ForwardModel(edition_model(get_edition("adc2023"), physics), simulated)
    low, high = sampling_box(forward.systems, 5)
    log_likelihood = gaussian_log_likelihood(forward, 5)
    ours = nested_sampling(log_likelihood, low, high, seed=1)
    theirs = nestle.sample(
        lambda point: float(log_likelihood(point[None])[0]),
        lambda cube: low + (high - low) * cube,
        len(low),
        method="multi",
        npoints=300,
        rstate=np.random.RandomState(1),
    )
    assert ours.log_evidence == pytest.approx(theirs.logz, abs=4 * theirs.logzerr)
    quantiles = (0.16, 0.5, 0.84)
    first = weighted_quantiles(ours.theta, ours.weight, quantiles)
    second = weighted_quantiles(theirs.samples, theirs.weights, quantiles)
    spread = 0.5 * (first[2] - first[0])
    assert np.abs((first - second) / spread).max() < 0.35
