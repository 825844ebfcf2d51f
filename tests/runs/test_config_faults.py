"""Hostile configurations: a telling line each, in a time that is bounded, before anything runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from workflow_run import ROOT, project, run_tiny, snakemake

from arielflow.core.config import config_files, merged, read_config
from arielflow.core.errors import ArielflowError
from arielflow.runs.config_faults import config_faults, record_settings

SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
DEFAULT = read_config(ROOT / "config.yaml")
WHOLE = {"importance": {"models": ["flow", "mc_dropout", "random_forest"]}}


def _faults(change: dict[Any, Any]) -> list[str]:
    """Faults of a changed default configuration, each a line that fits a screen."""
    start = time.process_time()
    faults = config_faults(merged(DEFAULT, change))
    assert time.process_time() - start < 5
    for fault in faults:
        assert fault.isprintable() and len(fault) < 500, fault
    return faults


def _model(name: str) -> dict[str, Any]:
    return {"models": [name, "flow"], "model_settings": {name: {"family": "flow"}}}


NONE = [
    ({"dataset": {"validation_fraction": float("nan")}}, ["dataset.validation_fraction", "nan"]),
    ({"importance": {"fallback": {"pareto_shape": float("inf")}}}, ["pareto_shape", "inf"]),
    ({"model_settings": {"flow": {"settings": {"dropout": float("-inf")}}}}, ["dropout", "-inf"]),
    ({"surrogate": {"settings": {"widths": [1, float("nan")]}}}, ["surrogate.settings.widths.1"]),
    ({"run": "tiny\n"}, ["run", "tiny", "line break"]),
    ({"models": ["flow\n"]}, ["models.0", "flow"]),
    ({"publish": "s3://bucket/place\n"}, ["publish"]),
    ({"a\nb": 1}, ["top level", "key"]),
    ({"run": "../elsewhere"}, ["run", "../elsewhere"]),
    ({"run": "a" * 101}, ["run", "101 characters"]),
    ({"run": "a" * 100_000}, ["run", "100000 characters"]),
    ({"dataset": {"path": "data/{x}"}}, ["dataset.path", "data/{x}"]),
    ({"dataset": None}, ["dataset", "expected a mapping"]),
    ({"simulation": [1]}, ["simulation", "expected a mapping"]),
    ({1: 2}, ["top level", "key 1", "quotes"]),
]
TAKEN = [
    (_model("prior"), ["models", "'prior'", "reference row"]),
    (_model("ceiling"), ["models", "'ceiling'", "reference row"]),
    (_model("flow_importance"), ["'flow_importance'", "row of the model 'flow'"]),
    (_model("flow_importance_fallback"), ["'flow_importance_fallback'", "row of the model 'flow'"]),
    (_model("flow_recalibrated"), ["'flow_recalibrated'", "row of the model 'flow'"]),
    (_model("flow_variational"), ["'flow_variational'", "variational"]),
    (_model("laplace"), ["'laplace'", "variational"]),
    (_model("surrogate"), ["'surrogate'", "folder"]),
]
NUMBERS = [
    ({"simulation": {"n_test": 4.0}}, ["simulation.n_test", "4.0", "integer"]),
    ({"simulation": {"n_test": True}}, ["simulation.n_test", "True", "integer"]),
    ({"seed": False}, ["seed", "False", "integer"]),
    ({"seed": 1 << 64}, ["seed", "65 bits"]),
    ({"seed": 10**6000}, ["seed", "bits"]),  # more digits than Python shows
    ({"posterior": {"chunks": "2"}}, ["posterior.chunks", "write 2"]),
    ({"variational": {"settings": {"learning_rate": "1e-3"}}}, ["learning_rate", "write 0.001"]),
    ({"variational": {"settings": {"learning_rate": "1e-5"}}}, ["learning_rate", "1.0e-05"]),
    ({"dataset": {"validation_fraction": 0}}, ["validation_fraction", "above 0"]),
    ({"dataset": {"validation_fraction": 0.9}}, ["validation_fraction", "at most 0.5"]),
    ({"explore": {"clusters": [2, 30]}, "simulation": {"n_train": 25}}, ["clusters", "30", "25"]),
    ({"explore": {"n_components": 30}, "simulation": {"n_train": 30}}, ["n_components", "30"]),
    ({"dataset": {"limits": {"star_radius_m": [1e9, 1e6]}}}, ["limits.star_radius_m", "below"]),
    ({"chemistry": {"times": {"first_yr": 10, "last_yr": 1}}}, ["chemistry.times", "10", "1"]),
    (
        merged(WHOLE, {"posterior": {"chunks": 2000}, "model_settings": {"flow": {"members": 999}}})
        | {"variational": {"start": "laplace", "settings": {}}}
        | {"models": ["random_forest", "mc_dropout", "flow", "bnn", "cvae"]}
        | {"model_settings": {n: {"members": 999} for n in ("flow", "bnn", "cvae")}},
        ["posterior.chunks", "8000", "at most 10000"],
    ),
]
SIZES = [
    *(f"simulation.{name}" for name in ("n_train", "n_traces", "n_test", "n_prior")),
    *("posterior.n_samples", "posterior.chunks", "explore.n_components", "disentangle.n_latent"),
    *(f"model_settings.flow.{name}" for name in ("members", "processes", "nodes")),
    *(f"tuning.{name}" for name in ("trials", "epochs", "n_rows")),
    *("importance.settings.most_draws", "variational.settings.steps", "chemistry.n_train"),
]
MEANT = [
    ({"sede": 3}, "did you mean seed;"),
    ({"models_settings": {}}, "did you mean model_settings;"),
    ({"n_test": 5}, "did you mean simulation.n_test or chemistry.n_test;"),
    ({"validation_fraction": 0.1}, "did you mean dataset.validation_fraction;"),
    ({"simulation": {"validation_fractoin": 0.1}}, "did you mean dataset.validation_fraction;"),
    (
        {"model_settings": {"flow": {"member": 2}}},
        "model_settings.flow: unknown key 'member', did you mean members;",
    ),
    ({"model_settings": {"flow": {"epochs": 2}}}, "model_settings.flow.settings.training.epochs;"),
    ({"model_settings": {"flwo": {"members": 2}}}, "did you mean flow"),
]


@pytest.mark.parametrize(("change", "words"), [*NONE, *TAKEN, *NUMBERS])
def test_what_no_run_can_use_is_refused_in_one_telling_line(change, words) -> None:
    (fault,) = _faults(change)
    assert fault.startswith("config: ") and all(word in fault for word in words), fault


@pytest.mark.parametrize("key", SIZES)
def test_a_slip_of_the_finger_fills_no_disk(key: str) -> None:
    change: Any = 10**9
    for part in reversed(key.split(".")):
        change = {part: change}
    assert any(key in fault and "at most" in fault for fault in _faults(change))


@pytest.mark.parametrize(("change", "words"), MEANT)
def test_the_key_that_was_meant_is_named(change, words: str) -> None:
    (fault,) = _faults(change)
    assert words in fault + ";", fault


def test_what_importance_sampling_has_is_allowed() -> None:
    settings = {"efficiency_aim": 0.3, "most_draws": 5000}
    assert _faults({"importance": {"settings": settings}}) == []


def test_every_integer_of_the_schema_has_a_largest_value_and_every_pattern_an_end() -> None:
    def rules(node: object) -> Iterator[dict]:
        if isinstance(node, dict):
            yield node
        for part in node.values() if isinstance(node, dict) else node:
            if isinstance(part, dict | list):
                yield from rules(part)

    for rule in rules(yaml.safe_load(SCHEMA.read_text())):
        if rule.get("type") == "integer":
            assert {"minimum", "maximum"} <= set(rule), rule
        # "^http" tells two kinds apart and refuses nothing.
        if isinstance(rule.get("pattern"), str) and rule["pattern"] != "^http":
            assert rule["pattern"].endswith(r"$(?!\n)"), rule
            assert not re.search(rule["pattern"], "s3://a\n")


CHAIN = [(n, f"a{n - 1}" if n else "a") for n in range(40)]


def _bomb() -> dict[str, Any]:
    part: list[Any] = ["x"] * 9
    for _ in range(12):
        part = [part] * 9
    return {"models": part}


def _deep() -> dict[str, Any]:
    part: dict[str, Any] = {}
    for _ in range(900):
        part = {"settings": part}
    return {"model_settings": {"flow": part}}


def _circle() -> dict[str, Any]:
    part: dict[str, Any] = {"family": "flow"}
    part["settings"] = part
    return {"model_settings": {"flow": part}}


@pytest.mark.parametrize(
    "content",
    [
        _bomb(),
        _deep(),
        _circle(),
        {"models": ["flow"] * 200_000},
        {"models": [{"flow": n} for n in range(290)]},
        {f"key{n}": n for n in range(4_000)},
        {"k" * 1_000_000: 1},
        {"run": "/" * 3_000},
    ],
    ids=["bomb", "deep", "circle", "long", "unlike", "many", "key", "text"],
)
def test_a_huge_or_endless_configuration_is_refused_at_once(content: dict[str, Any]) -> None:
    start = time.process_time()
    faults = config_faults({**DEFAULT, **content})
    assert time.process_time() - start < 5
    assert 1 <= len(faults) <= 21
    assert all(len(fault) < 500 and "\n" not in fault for fault in faults)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- seed\n- 7\n", "holds list"),
        ("seed\n", "holds str"),
        ("seed: [7\n", "not a readable YAML file"),
        ("seed: 1\nrun: a\nseed: 2\n", "key 'seed' occurs more than once, last in line 3"),
        ("dataset: {path: a, path: b}\n", "key 'path' occurs more than once"),
        ("seed: 7\n\tindented: by a tab\n", "not a readable YAML file"),
        ("seed: !!python/object/apply:os.system [true]\n", "not a readable YAML file"),
        ("a: &a [x]\n" + "".join(f"a{n}: &a{n} [*{m}, *{m}]\n" for n, m in CHAIN), "unfolds to"),
        ("[" * 5000, "not a readable YAML file"),
        ("seed: " + "9" * 5000, "not a readable YAML file"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_line(text, words, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(ArielflowError, match=words) as caught:
        read_config(ROOT / "config.yaml", tmp_path / "run.yaml")
    assert "run.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("# seed: 7\n")
    assert read_config(ROOT / "config.yaml", tmp_path / "run.yaml") == DEFAULT


# What make is told.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder with configuration files."""
    (tmp_path / "seed.yaml").write_text("seed: 7\n")
    (tmp_path / "my config.yaml").write_text("run: mine\n")
    (tmp_path / "empty.yaml").touch()
    return tmp_path


def test_one_file_may_have_blanks_and_several_are_told_apart(folder: Path) -> None:
    mine, seed = f"{folder}/my config.yaml", f"{folder}/seed.yaml"
    assert config_files(mine) == [Path(mine)]
    assert config_files(f"{seed} {folder}/empty.yaml") == [Path(seed), folder / "empty.yaml"]
    for line in ("", "  ", f"{seed} typo.yaml", str(folder)):
        with pytest.raises(ArielflowError):
            config_files(line)


def _configured(line: str) -> subprocess.CompletedProcess:
    say = [sys.executable, "-c", "import sys; print(*sys.argv[1:], sep='|')", "--cores", "2"]
    script = "workflow/scripts/configured.py"
    return subprocess.run(
        [sys.executable, script, line, *say], cwd=ROOT, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("config.yaml", "--configfile|config.yaml"),
        ("{folder}/my config.yaml", "--configfile|{folder}/my config.yaml"),
        ("{folder}/seed.yaml {folder}/empty.yaml", "--configfile|{folder}/seed.yaml"),
        ("{folder}/empty.yaml", None),  # Snakemake refuses such a file
    ],
)
def test_make_hands_on_what_snakemake_can_read(line, given, folder: Path) -> None:
    done = _configured(line.format(folder=folder))
    assert done.returncode == 0, done.stderr
    words = "--cores|2" if given is None else "--cores|2|" + given.format(folder=folder)
    assert done.stdout.strip() == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such file"),
        ("- a\n- list\n", "holds list"),
        ("seed: {7\n", "not a readable YAML file"),
        ("sede: 7\n", "unknown key 'sede'"),
        ("dataset: {path: nowhere}\n", "dataset.path: nowhere: no such folder"),
    ],
)
def test_make_refuses_before_anything_is_run(text, words, folder: Path) -> None:
    if text is not None:
        (folder / "run.yaml").write_text(text)
    done = _configured(f"{folder}/run.yaml")
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("arielflow: ") and words in line


@pytest.mark.parametrize("target", ["run", "recover"])
def test_make_looks_for_the_file_before_it_installs(target: str, tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    command = ["make", target, "CONFIG=seed.yaml typo.yaml"]
    (tmp_path / "seed.yaml").touch()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.startswith("arielflow: CONFIG: typo.yaml: no such file")
    assert not (tmp_path / ".venv").exists()


def test_the_summary_of_a_partial_configuration_is_shown(folder: Path) -> None:
    (folder / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    for run in ("default", "mine"):
        (folder / "results" / run).mkdir(parents=True)
        (folder / "results" / run / "summary.txt").write_text(f"{run} is done\n")
    script = str(ROOT / "workflow/scripts/show_summary.py")
    for line, run in (
        ("seed.yaml", "default"),
        ("empty.yaml", "default"),
        ("my config.yaml", "mine"),
        ("seed.yaml empty.yaml", "default"),
    ):
        command = [sys.executable, script, line]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.stdout == f"{run} is done\n", done.stderr


@pytest.mark.parametrize("command", ["recover", "resources"])
@pytest.mark.parametrize("option", [["--configfile", "typo.yaml"], ["--configfile=typo.yaml"]])
def test_commands_for_runs_name_a_missing_file_in_one_line(command, option, tmp_path) -> None:
    words = [sys.executable, "-m", "arielflow.cli", command, *option, "--cores", "1"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert "typo.yaml: no such file" in done.stderr and "Traceback" not in done.stderr


# Settings of models.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_settings": {"flow": {"settings": {"hiden": 3}}}}, ["flow.settings", "hiden"]),
        (
            {"model_settings": {"mc_dropout": {"settings": {"training": {"epochs": "x"}}}}},
            ["epoch"],
        ),
        ({"surrogate": {"settings": {"width": 3}}}, ["surrogate.settings", "width"]),
        ({"chemistry": {"compression": {"n_latent": 1}}}, ["chemistry.compression", "n_latent"]),
        (
            {"representation": {"models": ["autoencoder"], "settings": {"widht": 3}}},
            ["representation.settings", "autoencoder", "widht"],
        ),
        (
            {"disentangle": {"methods": ["factor"], "settings": {"weigth": 3}}},
            ["disentangle.settings", "factor", "weigth"],
        ),
        (
            {"dataset": {"prior": "matched", "path": "data"}, "edition": "wfc3"},
            ["dataset.prior", "population"],
        ),
    ],
)
def test_settings_of_every_part_are_checked(change, words) -> None:
    (fault,) = _faults(change)
    assert all(word in fault for word in words), fault


def test_recalibrated_rows_need_their_model_and_a_forward_model() -> None:
    chosen = {"calibration": {"recalibrated": ["flow"]}}
    assert _faults(chosen | {"submission": {"model": "flow_recalibrated"}}) == []
    (fault,) = _faults({"calibration": {"recalibrated": ["flwo"]}})
    assert "calibration.recalibrated" in fault and "'flwo'" in fault and "flow" in fault
    (fault,) = _faults({"submission": {"model": "flow_recalibrated"}})
    assert "submission.model" in fault and "none of the run's rows" in fault
    (fault,) = _faults({"calibration": {"settings": {"n_fit": 10}}})
    assert "calibration.settings.n_fit" in fault and "300" in fault


def test_every_fault_of_a_models_settings_is_a_line() -> None:
    slips = {name: {"settings": {"slip": 1, "n_rows": -1}} for name in ("flow", "mc_dropout")}
    faults = _faults({"model_settings": slips})
    assert len(faults) == 4 and sum("'slip'" in fault for fault in faults) == 2


def test_settings_are_kept_with_their_defaults(tmp_path: Path) -> None:
    record = tmp_path / "run/settings.json"
    record_settings(DEFAULT, record)
    kept = json.loads(record.read_text())["settings"]
    assert kept["importance.settings"]["most_draws"] == 10_000
    flow = DEFAULT["model_settings"]["flow"]["settings"]
    assert kept["model_settings.flow.settings"]["training"]["epochs"] == flow["training"]["epochs"]
    assert kept["model_settings.flow.settings"]["hidden"] == 96


def test_no_job_runs_before_the_settings_are_checked(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "slip.yaml").write_text("model_settings: {flow: {settings: {hiden: 3}}}\n")
    files = ("--configfile", "tests/config/tiny.yaml", "slip.yaml")
    done = snakemake(folder, "--cores", "2", "--keep-going", *files)
    assert done.returncode != 0 and "model_settings.flow.settings" in done.stderr
    assert "hiden" in done.stderr and "Traceback" not in done.stderr
    assert not (folder / "results/tiny").exists()
    # Nothing is left locked either.
    assert snakemake(folder, "--cores", "2", *files).stderr.count("hiden") == 1


def test_other_settings_rerun_what_they_shape_alone(tiny: Path) -> None:
    (tiny / "change.yaml").write_text("model_settings: {flow: {settings: {hidden: 24}}}\n")
    done = run_tiny(tiny, "-n", "--configfile", "tests/config/tiny.yaml", "change.yaml")
    assert done.returncode == 0, done.stderr[-2000:]
    jobs = set(re.findall(r"^rule (\w+):$", done.stdout + done.stderr, re.MULTILINE))
    assert {"train_model", "sample_posterior"} <= jobs
    assert not jobs & {"prepare_opacities", "simulate_dataset", "ingest", "train_representation"}


@pytest.mark.slow
def test_names_of_planets_reach_their_job_as_they_are(tiny: Path) -> None:
    names = ("HD 209458 b", "β Pictoris b", "Gl 581 (c); #2 & more")
    targets = [f"results/tiny/posteriors/nested/{name}.nc" for name in names]
    done = run_tiny(tiny, "--keep-going", "--", *targets)
    assert done.returncode != 0  # the tiny run has no such planets
    for name in names:
        assert name in (tiny / f"results/tiny/logs/retrieve_nested_{name}.log").read_text()
    for name in ("a'b", "$(touch made)", ".hidden", "a,b"):
        done = run_tiny(tiny, "-n", "--", f"results/tiny/posteriors/nested/{name}.nc")
        assert "MissingRuleException" in done.stdout + done.stderr
    assert not (tiny / "made").exists()
