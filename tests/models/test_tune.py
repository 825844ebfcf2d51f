"""The search of settings: resumed, reproducible, tolerant of failures, and its result usable."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from arielflow.core.config import merged, read_config
from arielflow.core.errors import ArielflowError
from arielflow.models import make_estimator
from arielflow.models.families import flow, flow_matching
from arielflow.models.tune import tune
from arielflow.runs.config_faults import config_faults

ROOT = Path(__file__).parents[2]
SPECS = {
    "flow": {"family": "flow", "settings": {"layer_pairs": 1, "hidden": 16}},
    "matched": {"family": "flow_matching", "settings": {"width": 16, "targets": "mixed"}},
}


@pytest.fixture(autouse=True)
def _small_networks(monkeypatch) -> None:
    """Proposals that train in a moment, out of the families' own spaces."""

    def small(family):
        original = family.search_space

        def space(trial, config):
            sizes = {"context_width": 16, "embedding": 8}
            widths = {"hidden": 16} if family is flow else {"width": 16}
            return original(trial, config) | sizes | widths

        return space

    for family in (flow, flow_matching):
        monkeypatch.setattr(family, "search_space", small(family))


@pytest.fixture
def parts(simulated):
    return simulated.isel(planet=slice(0, 240)), simulated.isel(planet=slice(240, 300)), None


def search(model, parts, folder, trials):
    tuning = {"trials": trials, "epochs": 1, "n_rows": 100}
    return tune(model, SPECS[model], tuning, parts, seed=3, device="cpu", database=folder / "s.db")


@pytest.mark.parametrize("model", SPECS)
def test_a_resumed_search_is_the_uninterrupted_one(model, parts, tmp_path) -> None:
    _, early = search(model, parts, tmp_path / "resumed", 2)
    overlay, late = search(model, parts, tmp_path / "resumed", 4)
    whole, trials = search(model, parts, tmp_path / "whole", 4)
    assert early.equals(late.loc[:1, early.columns])
    assert late.drop(columns="seconds").equals(trials.drop(columns="seconds"))
    assert overlay == whole
    assert late["learning_rate"].isna().tolist() == [True, False, False, False]
    assert late["learning_rate"].nunique() == 3


def test_the_result_is_a_valid_configuration(parts, tmp_path) -> None:
    overlay, trials = search("flow", parts, tmp_path, 3)
    assert overlay.startswith("# Search of flow's settings: 3 trials, 0 failed, each of 1 epochs")
    assert f"{trials['valid_loss'].min():.4f}" in overlay and "seed 3" in overlay
    config = merged(read_config(ROOT / "config.yaml"), yaml.safe_load(overlay))
    assert config_faults(config) == []
    make_estimator("flow", config["model_settings"]["flow"]["settings"])


def test_a_failed_trial_is_recorded_and_the_search_goes_on(parts, tmp_path, monkeypatch) -> None:
    original, calls = flow.Estimator.fit, []

    def failing(self, *arguments, **keywords):
        calls.append(1)
        if len(calls) == 2:
            raise ArielflowError("training ended with a loss of inf")
        return original(self, *arguments, **keywords)

    monkeypatch.setattr(flow.Estimator, "fit", failing)
    overlay, trials = search("flow", parts, tmp_path, 3)
    assert trials["state"].tolist() == ["complete", "fail", "complete"]
    assert "loss of inf" in trials["error"][1] and "3 trials, 1 failed" in overlay
    search("flow", parts, tmp_path, 3)
    assert len(calls) == 3


def test_an_interrupted_trial_is_made_again(parts, tmp_path, monkeypatch) -> None:
    original, calls = flow.Estimator.fit, []

    def interrupted(self, *arguments, **keywords):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, *arguments, **keywords)

    monkeypatch.setattr(flow.Estimator, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search("flow", parts, tmp_path / "broken", 3)
    overlay, _ = search("flow", parts, tmp_path / "broken", 3)
    assert overlay.replace("trial 3", "trial 2") == search("flow", parts, tmp_path / "whole", 3)[
        0
    ].replace("trial 3", "trial 2")


def test_other_data_start_afresh(parts, tmp_path) -> None:
    search("flow", parts, tmp_path, 2)
    other = parts[0].isel(planet=slice(0, 60)), *parts[1:]
    assert len(search("flow", other, tmp_path, 1)[1]) == 1


def test_what_cannot_be_searched_is_said(parts, tmp_path) -> None:
    tuning = {"trials": 1, "epochs": 1, "n_rows": 100}
    forest = {"family": "random_forest", "settings": {}}
    with pytest.raises(ArielflowError, match="has no search_space"):
        tune("forest", forest, tuning, parts, seed=3, database=tmp_path / "s.db")
    wild = {
        "family": "flow",
        "settings": SPECS["flow"]["settings"]
        | {"training": {"learning_rate": 1e30, "clip_gradient": None}},
    }
    with pytest.raises(ArielflowError, match="none of 1 trials ended with a loss"):
        tune("flow", wild, tuning, parts, seed=3, database=tmp_path / "wild.db")
