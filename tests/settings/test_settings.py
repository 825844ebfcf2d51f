"""One source of settings: what is made of it, what it refuses, and that it stays light."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from arielflow.chemistry.compressed import CompressedNetwork
from arielflow.core.code import imported
from arielflow.core.config import merged, read_config, strict_settings
from arielflow.core.errors import ArielflowError
from arielflow.data.quality import plausible_limits
from arielflow.editions import NAMES, get_edition
from arielflow.models import make_estimator, make_representation
from arielflow.models.description import write_description
from arielflow.models.emulator import Emulator
from arielflow.models.families import flow
from arielflow.runs.config_faults import config_faults
from arielflow.runs.settings_reference import (
    frame_run_schema,
    reference_text,
    run_schema,
    schema_text,
)
from arielflow.settings.base import StrictSettings
from arielflow.settings.best_fit import FitSettings
from arielflow.settings.chemistry import CompressionSettings, Conditions, Times
from arielflow.settings.editions import EDITION_NAMES, FACTS
from arielflow.settings.families import FAMILIES, family_config
from arielflow.settings.importance import FallbackSettings, ImportanceSettings
from arielflow.settings.nested import NestedSettings
from arielflow.settings.nodes import NodeSettings
from arielflow.settings.representations import REPRESENTATIONS, representation_config
from arielflow.settings.run import RunConfig, model_spec
from arielflow.settings.sections import ModelSettings
from arielflow.settings.variational import VariationalOptions, VariationalSettings

ROOT = Path(__file__).parents[2]
DEFAULT = read_config(ROOT / "config.yaml")
KINDS: list[type[BaseModel]] = [
    RunConfig,
    *map(family_config, FAMILIES),
    *(representation_config(name)[0] for name in REPRESENTATIONS),
    *(FitSettings, NestedSettings, NodeSettings, VariationalSettings),
]


# What is made of it.


def test_the_schema_and_the_reference_page_are_those_of_the_settings() -> None:
    schema = (ROOT / "workflow/schemas/config.schema.yaml").read_text()
    assert schema == schema_text(run_schema()), "run make schema"
    frames = (ROOT / "workflow/schemas/frames.schema.yaml").read_text()
    assert frames == schema_text(frame_run_schema()), "run make schema"
    page = (ROOT / "docs/settings.md").read_text()
    assert page == reference_text(DEFAULT), "run make schema"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__module__)
def test_every_setting_says_what_it_means_and_no_number_is_endless(kind) -> None:
    schema = kind.model_json_schema()
    for part in (schema, *schema.get("$defs", {}).values()):
        for name, field in part["properties"].items():
            choices = [field, *field.get("anyOf", [])]
            described = any("description" in c for c in choices) or "$ref" in field
            assert described, (kind, name)
            for choice in choices:
                if choice.get("type") == "integer":
                    assert {"minimum", "maximum"} <= set(choice), (kind, name)


def test_every_setting_of_every_model_is_on_the_reference_page() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    for kind in KINDS[1:]:
        for name in kind.model_fields.keys() - {"n_samples"}:
            assert re.search(rf"\| `(\w+\.)?{name}` \|", page), (kind, name)


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"model_settings": {"flow": {"settings": {"hidden": 32}}}}, True),
        ({"model_settings": {"flow": {"settings": {"hiden": 32}}}}, False),
        ({"model_settings": {"mine": {"family": "bnn", "settings": {"rank": 0}}}}, False),
        ({"model_settings": {"mine": {"family": "bnn", "settings": {"rank": 5}}}}, True),
        ({"surrogate": {"settings": {"training": {"epochs": 0}}}}, False),
        ({"representation": {"settings": {"widht": 3}}}, False),
        ({"importance": {"settings": {"rounds": -1}}}, False),
        ({"dataset": {"sources": {"a": {"url": "ftp://x"}}}}, False),
        ({"run": "a b"}, False),
    ],
)
def test_the_schema_tells_editors_what_the_settings_refuse(change, good: bool) -> None:
    assert Draft202012Validator(run_schema()).is_valid(merged(DEFAULT, change)) is good


def test_defaults_are_those_that_the_default_run_shows() -> None:
    assert FallbackSettings(**DEFAULT["importance"]["fallback"]) == FallbackSettings()
    assert Conditions(**DEFAULT["chemistry"]["conditions"]) == Conditions()
    assert Times(**DEFAULT["chemistry"]["times"]) == Times()
    for section, key in (("importance", "settings"), ("variational", "settings")):
        assert DEFAULT[section][key] == {}
    assert ImportanceSettings() and VariationalOptions() and CompressionSettings()
    assert ModelSettings(**DEFAULT["model_settings"]["random_forest"]).members == 1
    assert model_spec(DEFAULT, "mc_dropout") == {
        "family": "mc_dropout",
        "members": 1,
        "members_of": None,
        "planets": "dataset",
        "folds": False,
        "mixing": "uniform",
        "processes": 1,
        "nodes": 1,
        "settings": {},
    }


def test_facts_of_the_editions_are_theirs() -> None:
    assert tuple(FACTS) == EDITION_NAMES == NAMES
    for name, facts in FACTS.items():
        edition = get_edition(name)
        assert facts.n_bins == len(edition.wavelength_um)
        assert facts.targets == tuple(target.quantity for target in edition.targets)
        assert facts.auxiliaries == tuple(column.quantity for column in edition.auxiliary)
        priors = [set(target.priors) for target in edition.targets]
        assert set(facts.priors) == set.intersection(*priors)
        assert facts.submitted == (edition.writer is not None)
    known = {name for edition in NAMES for name in plausible_limits(get_edition(edition))}
    limits = run_schema()["properties"]["dataset"]["properties"]["limits"]
    assert set(limits["propertyNames"]["enum"]) == known


# What it refuses.


BAD: list[tuple[str, dict[str, Any]]] = [
    ("flow", {"hiden": 3}),
    ("flow", {"hidden": -1}),
    ("flow", {"training": {"learning_rate": "1e-3"}}),
    ("flow", {"training": {"epochz": 3}}),
    ("bnn", {"rank": 3}),
    ("mc_dropout", {"filters": [32, -1]}),
    ("random_forest", {"trees": True}),
]


@pytest.mark.parametrize(("family", "settings"), BAD)
def test_a_models_setting_is_refused_with_the_same_line_everywhere(family, settings) -> None:
    change = {"models": [family, "flow"], "model_settings": {family: {"settings": settings}}}
    written = yaml.safe_load(yaml.safe_dump(change))
    if family == "flow":
        written["models"] = ["flow"]
    base = DEFAULT | {"model_settings": {}}
    (line,) = config_faults(merged(base, written))
    with pytest.raises(ArielflowError) as caught:
        make_estimator(family, settings)
    start = f"config: model_settings.{family}.settings"
    assert line.startswith(start)
    in_python = str(caught.value).removeprefix(f"settings of model {family}: ")
    assert line.removeprefix(start).lstrip(".: ") == in_python


@pytest.mark.parametrize(
    ("place", "kind", "settings"),
    [
        ("importance.settings", ImportanceSettings, {"n_props": 5}),
        ("importance.settings", ImportanceSettings, {"n_proposal": 5}),
        ("importance.fallback", FallbackSettings, {"efficiency": "0.1"}),
        ("variational.settings", VariationalOptions, {"learning_rate": "1e-3"}),
        ("chemistry.times", Times, {"first_yr": 10, "last_yr": 1}),
        ("chemistry.compression", CompressionSettings, {"training": {"epochs": 0}}),
    ],
)
def test_a_sections_setting_is_refused_with_the_same_line_everywhere(place, kind, settings) -> None:
    section, key = place.split(".")
    (line,) = config_faults(merged(DEFAULT, {section: {key: settings}}))
    with pytest.raises(ArielflowError) as caught:
        strict_settings(kind, settings, place)
    assert line == f"config: {caught.value}"


def test_from_the_command_line_a_setting_is_refused_with_the_same_line(tmp_path: Path) -> None:
    for name in ("Snakefile", "config.yaml", "workflow", "data"):
        (tmp_path / name).symlink_to(ROOT / name)
    settings = {"model_settings": {"flow": {"settings": {"hiden": 3}}}}
    (line,) = config_faults(merged(DEFAULT, settings))
    command = [sys.executable, "-m", "snakemake", "-n"]
    overlay = f"model_settings={json.dumps(settings['model_settings'])}"
    done = subprocess.run(
        [*command, "--config", overlay], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0 and line in done.stdout + done.stderr


# What it brings along.


def test_settings_import_pydantic_alone() -> None:
    allowed = {"pydantic", "pydantic_core", *sys.stdlib_module_names}
    for path in (ROOT / "src/arielflow/settings").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.startswith("arielflow.settings") or name.split(".")[0] in allowed, path


HEAVY = ("torch", "lightning", "sklearn", "pandas", "numpy", "xarray", "scipy", "jsonschema")


def test_the_parse_imports_nothing_heavy() -> None:
    """What the Snakefile and its rules import, and the checks of a configuration."""
    files = [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]
    lines = [
        line
        for file in files
        for line in re.findall(r"^from arielflow\S* import .*$", file.read_text(), re.MULTILINE)
    ]
    assert len(lines) > 3
    program = [
        "import sys",
        *lines,
        "from arielflow.core.config import read_config",
        "config = read_config('config.yaml', 'tests/config/tiny.yaml')",
        "assert inputs.run_faults(config) == []",
        "assert [model_spec(config, name) for name in config['models']]",
        f"print([name for name in {HEAVY} if name in sys.modules])",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(program)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


def _closure(name: str) -> set[str]:
    """All modules of arielflow that a module imports, directly or not."""
    found, todo = set(), [name]
    while todo:
        name = todo.pop()
        path = (ROOT / "src").joinpath(*name.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name not in found and file.is_file():
            found.add(name)
            todo += imported(file)
    return found


_OF_MODELS = "arielflow.settings.families.", "arielflow.settings.representations"


def test_an_edit_of_a_familys_settings_retrains_that_family_alone() -> None:
    for family in FAMILIES:
        needed = _closure(f"arielflow.models.families.{family}") | _closure("arielflow.models")
        own = {name.rpartition(".")[2] for name in needed if name.startswith(_OF_MODELS)}
        assert own - {"_density", "representations"} == {family}, family
        assert not needed & {"arielflow.settings.run", "arielflow.settings.sections"}


# Saved models.

# Of the defaults as earlier versions saved them, entry by entry.
SAVED = "580467a7bdb863e7b57a7edfc0112fd830920888cc61f0082f2731231e872fc5"
STORED = """\
{
 "family": "flow",
 "settings": {
  "targets": "fm",
  "physical_features": true,
  "context_network": "mlp",
  "context_width": 256,
  "context_blocks": 2,
  "embedding": 64,
  "channels": 32,
  "activation": "silu",
  "dropout": 0.0,
  "jitter": 0.0,
  "error_factors": [
   0.4,
   1.1
  ],
  "training": {
   "epochs": 3,
   "batch_size": 512,
   "learning_rate": 0.001,
   "weight_decay": 0.0,
   "schedule": "one_cycle",
   "patience": 30,
   "clip_gradient": 5.0,
   "shuffle": true
  },
  "draws": 64,
  "fine_tuning": {
   "epochs": 20,
   "batch_size": 512,
   "learning_rate": 0.0002,
   "weight_decay": 0.0,
   "schedule": "one_cycle",
   "patience": 5,
   "clip_gradient": 5.0,
   "shuffle": true
  },
  "architecture": "coupling",
  "layer_pairs": 2,
  "layers": 3,
  "bins": 10,
  "hidden": 32,
  "blocks": 2,
  "tail_bound": 5.0
 },
 "sha256": {},
 "description_sha256": "d0d9bbd4c93c56ad6fe1a8fbfb4beeb528485cabdd2fb776a18f4c7f8c024dc1"
}
"""


def test_descriptions_of_saved_models_keep_their_bytes(tmp_path: Path) -> None:
    configs = [
        *(make_estimator(family).config for family in FAMILIES),
        *(make_representation(name).config for name in REPRESENTATIONS),
        Emulator.from_settings({}).config,
        CompressedNetwork.from_settings({}).settings,
        *(NestedSettings(), ImportanceSettings(), VariationalSettings(), FitSettings()),
        *(NodeSettings(), FallbackSettings()),
    ]
    dumped = json.dumps([config.model_dump(mode="json") for config in configs])
    assert sha256(dumped.encode()).hexdigest() == SAVED
    config = make_estimator("flow", {"hidden": 32, "training": {"epochs": 3}}).config
    description = {"family": "flow", "settings": config.model_dump(mode="json")}
    write_description(tmp_path / "estimator.json", description, ())
    assert (tmp_path / "estimator.json").read_text() == STORED


def test_a_model_saved_before_is_read_and_what_it_lacks_has_its_default(tmp_path) -> None:
    config = flow.Estimator.from_settings(json.loads(STORED)["settings"]).config
    assert (config.hidden, config.training.epochs, config.tail_bound) == (32, 3, 5.0)
    older = json.loads(STORED)["settings"]
    for name in ("tail_bound", "fine_tuning", "jitter"):
        del older[name]
    del older["training"]["weight_decay"]
    assert flow.Estimator.from_settings(older).config == config


def test_a_group_of_settings_keeps_the_defaults_of_what_it_does_not_name() -> None:
    groups, waiting = [], [StrictSettings]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        groups += [
            (kind, name, field.default)
            for name, field in kind.model_fields.items()
            if isinstance(field.default, StrictSettings)
        ]
    assert len(groups) > 10
    for kind, name, default in groups:
        completed = kind._beside_what_is_given({name: {}})[name]
        assert type(default).model_validate(completed) == default, (kind, name)
    config = make_estimator("mc_dropout", {"training": {"epochs": 10}}).config
    assert config.training == family_config("mc_dropout")().training.model_copy(
        update={"epochs": 10}
    )


def test_settings_cannot_be_changed_and_take_no_unknown_names() -> None:
    assert all(issubclass(kind, StrictSettings) for kind in KINDS)
    with pytest.raises(ValueError, match="frozen"):
        NestedSettings().n_live = 3
    with pytest.raises(ValueError, match="Extra inputs"):
        NestedSettings(n_lives=3)


def test_auto_takes_planets_of_the_prior_where_the_data_set_is_simulated() -> None:
    def planets(path: str | None, n_prior: int, chosen: str = "auto") -> str:
        config = {
            "model_settings": {"flow": {"planets": chosen}},
            "dataset": {"path": path},
            "simulation": {"n_prior": n_prior},
        }
        return model_spec(config, "flow")["planets"]

    assert planets(None, 100) == "prior"
    # Real data are trained on, unless the prior is asked for.
    assert planets("data/adc2023", 100) == planets(None, 0) == "dataset"
    assert planets("data/adc2023", 100, "prior") == "prior"
    assert planets(None, 100, "dataset") == "dataset"
