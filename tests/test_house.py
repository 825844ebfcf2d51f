"""The house's own rules: import directions, versions in step, schema and configurations in step."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import arielflow
from arielflow.chemistry.compressed import CompressedNetwork
from arielflow.core.config import merged, read_config
from arielflow.core.setting_faults import setting_faults
from arielflow.editions import FRAME_NAMES, NAMES, get_edition, get_frame_edition
from arielflow.models import FAMILIES, make_estimator, make_representation
from arielflow.models.emulator import Emulator
from arielflow.models.extractors import make_extractor
from arielflow.runs.config_faults import config_faults
from arielflow.runs.frame_runs import TABLES, completed, frame_part, has_frames
from arielflow.runs.inputs import run_faults
from arielflow.settings.frame_run import FrameRunConfig

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "arielflow"

# A package imports packages of lower floors only.
FLOORS = {
    **dict.fromkeys(("core", "settings"), 1),
    **dict.fromkeys(("physics", "editions", "plotting", "runs"), 2),
    **dict.fromkeys(("data", "frames"), 3),
    **dict.fromkeys(("models", "retrieval"), 4),
    **dict.fromkeys(("simulation", "evaluation", "exploration", "chemistry"), 5),
    **dict.fromkeys(("report", "api"), 6),
    "cli": 7,
}
FORBIDDEN = {"models": {"editions"}}
_MOST_LINES = 400


def _imports(path: Path) -> set[str]:
    """Dotted names of what a file imports; of ``from a import b`` both ``a`` and ``a.b``."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def _package(name: str) -> str | None:
    """Package of a dotted name; the names of arielflow itself are the API's."""
    parts = name.split(".")
    if parts[0] != "arielflow" or len(parts) == 1 or parts[1].startswith("__"):
        return None
    return "api" if parts[1] in arielflow.__all__ else parts[1]


MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE)


def test_every_package_has_a_floor() -> None:
    found = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert found == set(FLOORS) and len(found) <= 17 and max(FLOORS.values()) <= 7
    assert {path.name for path in SOURCE.glob("*.py")} == {"__init__.py"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_downwards(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0]
    for name in _imports(path):
        assert not name.startswith("snakemake"), f"{path.name} imports snakemake"
        other = _package(name)
        if other not in (None, own):
            assert FLOORS[other] < FLOORS[own], f"{path.name} ({own}) imports {other}"
            assert other not in FORBIDDEN.get(own, set()), f"{path.name} ({own}) imports {other}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_modules_stay_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= _MOST_LINES


def test_official_scores_do_not_import_torch() -> None:
    assert not any(n.startswith("torch") for n in _imports(SOURCE / "evaluation" / "official.py"))


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


FILES = sorted([*(ROOT / "config").glob("*.yaml"), *(ROOT / "tests/config").glob("*.yaml")])
WITH_FRAMES = [path for path in FILES if has_frames(read_config(path))]
CONFIGS = [path for path in FILES if path not in WITH_FRAMES]


@pytest.mark.parametrize("path", [ROOT / "config.yaml", *CONFIGS], ids=lambda p: p.stem)
def test_configurations_are_valid(path: Path) -> None:
    config = read_config(ROOT / "config.yaml", path)
    assert config_faults(config) == []
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


@pytest.mark.parametrize("path", WITH_FRAMES, ids=lambda p: p.stem)
def test_configurations_with_frames_are_valid(path: Path) -> None:
    default = read_config(ROOT / "config.yaml")
    own = frame_part(merged(default, read_config(path)), default)
    assert setting_faults(FrameRunConfig, own) == []
    (fault,) = run_faults(merged(default, read_config(path)), ROOT, default)
    assert "frames.path" in fault and "no such folder" in fault
    edition, tables = get_frame_edition(own["edition"]), TABLES[own["edition"]]
    assert tables == {"labels": edition.labels_table, **edition.adc_table}
    for name in completed(own)["frames"]["extractors"]:
        assert make_extractor(name).name == name


def test_a_setting_of_the_other_editions_is_a_fault_with_frames() -> None:
    default = read_config(ROOT / "config.yaml")
    change = {"edition": "adc2025", "frames": {"path": "data"}, "models": ["flow"]}
    (fault,) = run_faults(merged(default, change), ROOT, default)
    assert "models" in fault
    (fault,) = run_faults(merged(default, {"frames": {"path": "data"}}), ROOT, default)
    assert "frames" in fault


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
    (fault,) = config_faults(merged(default, change))
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
    settings = _schema()["properties"]["model_settings"]["additionalProperties"]["properties"]
    assert settings["family"]["enum"] == list(FAMILIES)
    assert set(FAMILIES) == {p.stem for p in (SOURCE / "models/families").glob("[a-z]*.py")}
    helpers = {"__init__", "base", "adc", "official_files", "trace_files", "frames", "ariel_frames"}
    assert {*NAMES, *FRAME_NAMES} == {p.stem for p in (SOURCE / "editions").glob("*.py")} - helpers


def test_scripts_stay_thin() -> None:
    for script in (ROOT / "workflow/scripts").glob("*.py"):
        assert len(script.read_text().splitlines()) <= 25, script.name


# Names in texts: of files, seen from the root of the checkout or from the text itself, and of
# modules with what is in them. In code only comments and docstrings are looked at.
_TEXTS = ("*.md", "*.yaml", "*.yml", "*.smk", "*.rst", "Makefile", "Snakefile", "Containerfile")
_FILE = re.compile(
    r"(?<![\w./{}<>~$*-])(?:\./)?((?:src|workflow|docs|config|data|tests|benchmarks|\.ci|\.github)/"
    r"[\w./-]*[\w/]|(?:[\w-]+/)*[\w-]+\.(?:py|smk))(?![\w*<{$…]|/[*<{…])"
)
_DOTTED = re.compile(r"(?<![\w./-])arielflow(?:\.[A-Za-z_]\w*)+")
_FROM = re.compile(r"^\s*from (arielflow[\w.]*) import (\w+(?:, \w+)*)", re.MULTILINE)
# Roles of docstrings: what they name in lower case before a dot is a module.
_ROLE = re.compile(r":(?:class|func|meth|mod):`~?([a-z]\w*)\.[\w.]+`")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
# What users fill, write or build, and a module that a test wants not to be there.
_ELSEWHERE = ("data/adc20", "data/wfc3_hela", "config/config.yaml")
_UNREAL = {"arielflow.tar", "arielflow.sif", "arielflow.nonsense"}
# What the recipes of CONTRIBUTING.md add.
_ELSEWHERE += (
    "src/arielflow/models/families/neighbours.py",
    "src/arielflow/settings/families/neighbours.py",
    "src/arielflow/editions/toy.py",
    "src/arielflow/exploration/mean_depths.py",
    "workflow/scripts/mean_depths.py",
)
_UNREAL |= {"arielflow.exploration.mean_depths", "arielflow.exploration.mean_depths.mean_depths"}
_UNREAL |= {
    "arielflow.settings.families.neighbours",
    "arielflow.settings.families.neighbours.Config",
}


def _texts() -> list[Path]:
    places = [ROOT, *(ROOT / name for name in (".github", "config", "data", "docs", "workflow"))]
    found = [path for pattern in _TEXTS for path in ROOT.glob(pattern)]
    found += [path for place in places[1:] for kind in _TEXTS for path in place.rglob(kind)]
    code = ("src", "tests", "benchmarks", "workflow", ".ci")
    return sorted({*found, *(path for name in code for path in (ROOT / name).rglob("*.py"))})


def _prose(path: Path) -> str:
    """A text, or the comments and docstrings of code."""
    text = path.read_text()
    if path.suffix != ".py":
        return text
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    words = [token.string for token in tokens if token.type == tokenize.COMMENT]
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    return "\n".join([*words, *(ast.get_docstring(node) or "" for node in nodes)])


def _there(name: str, beside: Path) -> bool:
    return name.startswith(_ELSEWHERE) or (ROOT / name).exists() or (beside / name).exists()


@pytest.mark.parametrize("path", _texts(), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_that_texts_name_are_there(path: Path) -> None:
    text = _prose(path)
    names = set(_FILE.findall(text))
    if path.suffix == ".md":
        names |= {name for name in _LINK.findall(text) if "://" not in name}
    assert not {name for name in names if not _there(name, path.parent)}


@cache
def _resolves(dotted: str) -> bool:
    """Whether a dotted name is a module, or something that a module names in its code."""
    place = SOURCE
    for part in dotted.split(".")[1:]:
        if (place / part).is_dir():
            place /= part
        elif (place / f"{part}.py").is_file():
            place = place / f"{part}.py"
        else:
            code = place if place.suffix else place / "__init__.py"
            return re.search(rf"\b{part}\b", code.read_text()) is not None
    return True


@pytest.mark.parametrize("path", _texts(), ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_that_texts_and_code_name_are_there(path: Path) -> None:
    text = path.read_text()
    names = set(_DOTTED.findall(text))
    for module, things in _FROM.findall(text):
        names |= {f"{module}.{thing}" for thing in things.split(", ")}
    assert not {name for name in names - _UNREAL if not _resolves(name)}
    assert all(find_spec(module) for module in set(_ROLE.findall(text)))


def test_hooks_and_continuous_integration_call_what_make_calls() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]  # nothing is downloaded
    lint = (ROOT / "Makefile").read_text().split("\nlint:")[1].split("\n\n")[0]
    for hook in hooks[0]["hooks"]:
        tool = hook["entry"].split()[0].removeprefix(".venv/bin/")
        assert hook["language"] == "system" and f"$(BIN)/{tool}" in lint
    (job,) = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"].values()
    assert job["steps"][-1] == {"run": ".ci/run"}
