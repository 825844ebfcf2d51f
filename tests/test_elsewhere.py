"""The workflow run from another directory, and as a module of another workflow."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from workflow_run import ENVIRONMENT, LOCAL, ROOT, TINY, command, project, run_tiny

MODULE = """
configfile: "config/config.yaml"

module arielflow:
    snakefile: "{workflow}/workflow/Snakefile"
    config: config

use rule * from arielflow
"""


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("workflow"))


def deployed(folder: Path, workflow: Path, config: str) -> Path:
    """A folder whose Snakefile takes the workflow in, as the workflow catalogue describes it."""
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text(config)
    (folder / "Snakefile").write_text(MODULE.format(workflow=workflow))
    return folder


def run(folder: Path, workflow: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run Snakemake in a folder, with the library of the workflow beside it."""
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=ENVIRONMENT | {"PYTHONPATH": str(workflow / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def jobs(done: subprocess.CompletedProcess) -> dict[str, str]:
    """Number of jobs of every rule of a plan."""
    table = re.search(r"^Job stats:\n.*\n-+ .*\n((?:\w+ +\d+\n)+)", done.stdout, re.MULTILINE)
    assert table is not None, done.stdout[-3000:]
    return dict(line.split() for line in table[1].splitlines())


@pytest.fixture(scope="module")
def planned_at_home(workflow: Path) -> dict[str, str]:
    return jobs(run_tiny(workflow, "-n"))


def test_the_plan_is_the_same_in_another_directory(
    workflow: Path, tmp_path: Path, planned_at_home: dict[str, str]
) -> None:
    elsewhere = ("--directory", str(tmp_path))
    assert jobs(run(workflow, workflow, "-n", *LOCAL, *TINY, *elsewhere)) == planned_at_home
    assert not (workflow / "results").exists()


def test_the_plan_is_the_same_as_a_module_that_is_told_what_differs(
    workflow: Path, tmp_path: Path, planned_at_home: dict[str, str]
) -> None:
    tiny = (workflow / "tests/config/tiny.yaml").read_text()
    assert jobs(run(deployed(tmp_path, workflow, tiny), workflow, "-n")) == planned_at_home


def test_a_module_s_jobs_run(workflow: Path, tmp_path: Path) -> None:
    config = {
        "run": "away",
        "simulation": {"n_train": 60, "n_traces": 0, "n_test": 1, "n_prior": 0},
        "models": ["random_forest"],
        "submission": {"model": "random_forest"},
    }
    folder = deployed(tmp_path, workflow, yaml.safe_dump(config))
    run(folder, workflow, "--cores", "2", "results/away/exploration.nc")
    assert (folder / "results/away/checksums.json").is_file()
    assert (folder / "results/away/exploration.nc").is_file()
    assert not (workflow / "results").exists()


def test_the_catalogue_s_file_is_what_it_expects() -> None:
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    assert (ROOT / "config/README.md").is_file() and (ROOT / "workflow/Snakefile").is_file()
