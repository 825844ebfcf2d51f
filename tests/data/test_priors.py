"""The retrieval prior follows the data set's own record, and the user's word where they differ."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from arielflow.cli import app
from arielflow.core.errors import ArielflowError
from arielflow.data.ingest import ingest
from arielflow.data.priors import SIMULATION_RECORD, agreed_prior, choose_prior
from arielflow.editions import get_edition
from arielflow.editions.official_files import write_official


@pytest.fixture
def data(simulated, tmp_path):
    """A data set that was simulated for the matched prior, as its record says."""
    planets = simulated.isel(planet=slice(0, 2))
    write_official(tmp_path, get_edition("adc2023"), "test", planets)
    (tmp_path / SIMULATION_RECORD).write_text(json.dumps({"prior": "matched"}))
    return tmp_path


def test_the_record_decides_where_nothing_is_asked_for(data) -> None:
    edition = get_edition("adc2023")
    for folder in (data, data / "TestData"):
        planets, *_ = ingest(folder, edition, "test")
        assert planets.attrs["prior"] == "matched"
        assert "simulation.json" in planets.attrs["prior_source"]
    asked, words = choose_prior(data, edition, "wide")
    assert asked == "wide" and "matched" in words
    (data / SIMULATION_RECORD).unlink()
    planets, *_ = ingest(data, edition, "test")
    assert planets.attrs["prior"] == edition.retrieval_prior == "wide"


def test_a_conflict_in_a_run_is_for_the_user_to_resolve(data) -> None:
    assert agreed_prior(data, "matched") == "matched"
    with pytest.raises(ArielflowError, match=r"dataset.prior is wide.*is matched.*set") as fault:
        agreed_prior(data, "wide")
    assert "\n" not in str(fault.value)
    (data / SIMULATION_RECORD).write_text("{")
    with pytest.raises(ArielflowError, match="not a readable JSON"):
        agreed_prior(data, "wide")


@pytest.mark.parametrize("command", ["ingest", "retrieve", "select-model"])
def test_commands_take_the_recorded_prior_and_print_it(data, opacities, command, monkeypatch):
    seen = {}

    def stop(edition, planets, *arguments, **options):
        seen["prior"] = planets.attrs["prior"]
        raise ArielflowError("enough")

    monkeypatch.setattr("arielflow.retrieval.planets.retrieve_planets", stop)
    monkeypatch.setattr("arielflow.retrieval.model_selection.select_models", stop)
    arguments = [command, str(data), "--edition", "adc2023", "--output", str(data / "out")]
    if command != "ingest":
        arguments += ["--planet", "train1", "--opacities", str(opacities)]
    done = CliRunner().invoke(app, arguments)
    if command == "ingest":
        assert "prior matched" in done.output
    else:
        assert seen["prior"] == "matched", done.output
