"""The house's own rules: import directions, versions in step, schema and configurations in step."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from arielflow.chemistry.compressed import CompressedNetwork
from arielflow.config import merged, read_config
from arielflow.config_faults import config_faults
from arielflow.editions import NAMES, get_edition
from arielflow.models import FAMILIES, make_estimator, make_representation
from arielflow.models.surrogate import Emulator

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "arielflow"

# A module may import modules of its own tier or of a lower one; everyone may import `common`.
TIERS = [
    {
        *(
            "schema",
            "errors",
            "yaml_keys",
            "readers",
            "hdf5",
            "provenance",
            "checksums",
            "benchmark_files",
        ),
        *("config", "config_faults", "config_rules", "inputs", "__init__", "plausibility"),
        *("settings", "array_files", "hdf5_heaps"),
    },
    {"physics", "editions", "download", "transfer", "distributed"},
    {
        *("training", "training_state", "features", "coordinates", "posterior", "priors"),
        *("diagnostics", "quality", "worker_pool"),
    },
    {"edition_physics"},
    {
        *("inference", "models", "simulate", "truth", "truth_library", "ingest", "explore"),
        *("spectrum", "retrieve", "retrieve_importance", "retrieve_variational", "select_model"),
        *("embedded_truth", "train_member", "tune", "represent", "disentangle", "chemistry"),
        *("check_settings", "retrieval_summary"),
    },
    {
        *("scoring", "submission", "submission_check", "submission_verdict"),
        "submission_plausibility",
        *("evaluate", "evaluate_surrogate", "calibrate", "crate"),
    },
    {"plotting"},
    {"report"},
    {"recover", "job_resources"},
    {"cli", "jobs", "train_worker"},
]
FORBIDDEN = {
    "physics": {"editions"},
    "editions": {"physics", "features", "models", "scoring"},
    "models": {"editions"},
    "scoring": {"models", "editions", "physics"},
}


def _tier(name: str) -> int:
    return next(number for number, tier in enumerate(TIERS) if name in tier)


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def _package(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: p.name)
def test_imports_point_downwards(path: Path) -> None:
    own = _package(path)
    for name in _imports(path):
        assert not name.startswith("snakemake"), f"{path.name} imports snakemake"
        if name.startswith("arielflow."):
            other = name.split(".")[1]
            assert _tier(other) <= _tier(own), f"{path.name} ({own}) imports {other}"
            assert other not in FORBIDDEN.get(own, set()), f"{path.name} ({own}) imports {other}"


def test_official_scores_do_not_import_torch() -> None:
    assert not any(n.startswith("torch") for n in _imports(SOURCE / "scoring" / "official.py"))


LOCKS = ("requirements.lock", "requirements-torch.lock", "requirements-test.lock")


def _locked(*names: str) -> dict[str, str]:
    lines = [line for name in names for line in (ROOT / name).read_text().splitlines()]
    pins = (re.match(r"([A-Za-z0-9_.-]+)==(\S+)", line) for line in lines)
    return {m[1].lower().replace("_", "-"): m[2] for m in pins if m}


def test_locks_are_portable_and_hashed() -> None:
    unwanted = ("--index-url", "--extra-index-url", "--find-links", "file://", "+cpu")
    for name in LOCKS:
        text = (ROOT / name).read_text()
        assert not [words for words in unwanted if words in text]
        pins = [line for line in text.splitlines() if "==" in line and not line.startswith("#")]
        # PyTorch's file says why it has none.
        assert all(line.endswith(" \\") for line in pins) == (name != "requirements-torch.lock")
    assert "torchvision" not in _locked(*LOCKS)
    assert not set(_locked(LOCKS[0])) & set(_locked(*LOCKS[1:]))
    assert "pytest" not in _locked(LOCKS[0]) and "pytest" in _locked(LOCKS[2])


def test_lock_environment_and_project_name_the_same_packages() -> None:
    locked = _locked(*LOCKS)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = {re.match(r"[A-Za-z0-9-]+", d)[0] for d in project["dependencies"]}
    assert direct <= set(locked)
    conda = {"pytorch": "torch"}
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pins = dict(item.split("=") for item in environment["dependencies"] if isinstance(item, str))
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    pins |= dict(item.split("==") for item in pip)
    assert pins.pop("python").startswith("3.1")
    pins.pop("pip")
    named = {conda.get(name, name): version for name, version in pins.items()}
    assert set(named) == direct
    assert named == {name: locked[name] for name in named}


SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"


def _schema() -> dict:
    return yaml.safe_load(SCHEMA.read_text())


CONFIGS = sorted([*(ROOT / "config").glob("*.yaml"), *(ROOT / "tests/config").glob("*.yaml")])


@pytest.mark.parametrize("path", [ROOT / "config.yaml", *CONFIGS], ids=lambda p: p.stem)
def test_configurations_are_valid(path: Path) -> None:
    config = read_config(ROOT / "config.yaml", path)
    assert config_faults(config, SCHEMA) == []
    edition = get_edition(config["edition"])
    assert all(config["dataset"]["prior"] in target.priors for target in edition.targets)
    low, high = edition.sample_limits
    assert low <= config["posterior"]["n_samples"] <= high
    for name in config["models"]:
        spec = config["model_settings"].get(name, {})
        make_estimator(spec.get("family", name), spec.get("settings"))
    Emulator.from_settings(config["surrogate"]["settings"])
    for name in config["representation"]["models"]:
        make_representation(name, config["representation"]["settings"])
    section = config["disentangle"]
    for name in section["methods"]:
        make_representation(name, section["settings"] | {"nuisance": section["nuisance"]})
    CompressedNetwork.from_settings(config["chemistry"]["compression"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sede": 3}, ["top level", "unknown key 'sede'", "seed"]),
        ({"simulation": {"n_trian": 5}}, ["simulation", "n_trian", "n_train"]),
        ({"edition": "adc1999"}, ["edition", "adc1999", "adc2023"]),
        ({"simulation": {"n_test": "many"}}, ["simulation.n_test", "many", "integer"]),
        ({"posterior": {"n_samples": 500}}, ["posterior.n_samples", "500", "1001"]),
        ({"submission": {"model": "oracle"}}, ["submission.model", "oracle", "random_forest"]),
        ({"models": ["flow", "oracle"]}, ["models", "oracle", "mc_dropout"]),
        ({"explore": {"clusters": [9, 3]}}, ["explore.clusters", "9", "3"]),
        (
            {"model_settings": {"flow": {"processes": 3, "nodes": 2}}},
            ["model_settings.flow.nodes", "3 processes", "2 nodes"],
        ),
        ({"publish": "ftp://x"}, ["publish", "ftp://x", "S3"]),
        (
            {"dataset": {"path": "d", "sources": {"a.npy": {"url": "http://x/a"}}}},
            ["dataset.sources.a.npy", "checksum"],
        ),
        (
            {"dataset": {"sources": {"a.npy": {"url": "s3://x/a"}}}},
            ["dataset.sources", "dataset.path"],
        ),
    ],
)
def test_each_fault_of_a_configuration_is_one_telling_line(change, words) -> None:
    default = yaml.safe_load((ROOT / "config.yaml").read_text())
    (fault,) = config_faults(merged(default, change), SCHEMA)
    assert "\n" not in fault
    assert all(word in fault for word in words), fault


def test_schema_describes_every_key_and_forbids_others() -> None:
    def check(node: dict, path: str) -> None:
        assert "description" in node, path
        if node.get("type") == "object" and "properties" in node:
            assert node.get("additionalProperties") is False or path.endswith("model_settings")
            for name, child in node["properties"].items():
                check(child, f"{path}.{name}")

    check(_schema(), "config")


def test_families_and_editions_are_the_files_that_exist() -> None:
    # The surrogate is an emulator (theta to spectrum), no family of posterior estimators.
    shared = {"__init__", "base", "density", "networks", "ensemble", "surrogate"}
    shared |= {"mixture", "weight_posterior", "autoencoder", "disentangled", "pca", "scaled"}
    shared |= {"description", "network_file", "forest_file", "faults", "importances"}
    settings = _schema()["properties"]["model_settings"]["additionalProperties"]["properties"]
    assert settings["family"]["enum"] == list(FAMILIES)
    assert set(FAMILIES) == {p.stem for p in (SOURCE / "models").glob("*.py")} - shared
    helpers = {"__init__", "base", "adc", "official_files", "trace_files"}
    assert set(NAMES) == {p.stem for p in (SOURCE / "editions").glob("*.py")} - helpers


def test_source_files_stay_small_and_scripts_thin() -> None:
    long = [p.name for p in SOURCE.rglob("*.py") if len(p.read_text().splitlines()) > 420]
    assert not long
    for script in (ROOT / "workflow/scripts").glob("*.py"):
        assert len(script.read_text().splitlines()) <= 25, script.name
