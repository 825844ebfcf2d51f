"""The plan of the full-size run: how many submissions, how long to make and to find done."""

from __future__ import annotations

import re
import resource
from pathlib import Path

import pytest
from workflow_run import project, snakemake

CONFIG = ("--configfile", "config/full_scale.yaml")
SLURM = ("--profile", "workflow/profiles/slurm")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with empty files in the place of the challenge's."""
    folder = project(tmp_path_factory.mktemp("full"))
    for below in ("TrainingData", "TestData"):
        place = folder / "data/adc2023" / below
        place.mkdir(parents=True)
        for name in ("AuxillaryTable.csv", "SpectralData.hdf5"):
            (place / name).touch()
    return folder


def _timed(folder: Path, *arguments: str) -> tuple[str, float]:
    """What Snakemake says, and its processor time, which other work beside does not stretch."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = snakemake(folder, *CONFIG, *arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-2000:]
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout + done.stderr, seconds


def test_plan_is_made_quickly_and_has_few_submissions(full: Path) -> None:
    plan, seconds = _timed(full, *SLURM, "--dry-run")
    assert seconds < 30
    single = re.findall(r"^rule (?!all:)\w+:$", plan, re.MULTILINE)
    groups = re.findall(r"Group job \w+", plan)
    assert 60 < len(single) + len(groups) < 150
    assert plan.count("rule sample_importance:") == 57
    assert len(re.findall(r"^    rule \w+:$", plan, re.MULTILINE)) == 7  # in the groups


@pytest.mark.slow
def test_training_asks_for_a_gpu_where_the_configuration_does(full: Path) -> None:
    for device, gpus in (("auto", 0), ("cuda", 1)):
        plan, _ = _timed(full, *SLURM, "--dry-run", "--config", f"device={device}")
        asked = re.findall(r"^rule train_model:(?:\n .*)*\bgpu=(\d)", plan, re.MULTILINE)
        assert len(asked) == 12 and set(map(int, asked)) == {gpus}


@pytest.mark.slow
def test_finished_run_is_found_done_quickly(full: Path) -> None:
    plan, _ = _timed(full, "--dry-run")
    for line in re.findall(r"^ *output: (.+)$", plan, re.MULTILINE):
        for name in line.split(", "):
            path = full / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch() if path.suffix else path.mkdir(parents=True, exist_ok=True)
    _timed(full, "--cores", "1", "--touch")
    said, seconds = _timed(full, *SLURM)
    assert "Nothing to be done" in said
    assert seconds < 15
