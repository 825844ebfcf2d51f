"""A finished run that is damaged, and one whose code is edited: what is refused, what is remade."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from workflow_run import ENVIRONMENT, TINY, run_tiny, snakemake

RUN = Path("results/tiny")
SPLIT = RUN / "ingested/train_split.csv"
FOREST = RUN / "models/random_forest/0"
POSTERIOR = RUN / "posteriors/test/flow.nc"
SUBMISSION = RUN / "submission/flow.hdf5"
PCA = RUN / "representation/models/pca/2"


@pytest.fixture
def finished(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may damage."""
    return shutil.copytree(tiny, tmp_path / "copy", symlinks=True)


def _cut(path: Path) -> None:
    """Cut a file in half so that its age does not tell."""
    times = path.stat()
    os.truncate(path, times.st_size // 2)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _make(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess:
    return run_tiny(folder, *map(str, arguments))


def _show_summary(folder: Path) -> subprocess.CompletedProcess:
    """What ``make run`` prints at its end."""
    command = [sys.executable, "workflow/scripts/show_summary.py", "tests/config/tiny.yaml"]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)


def _refusals(done: subprocess.CompletedProcess) -> dict[str, str]:
    """What each line of a failed run says to remove, by the file that it names."""
    assert done.returncode != 0 and "Traceback" not in done.stderr
    pattern = (
        r"^arielflow: ([^:\n]+): .*damaged or edited after the run; remove (\S+) and run again$"
    )
    return dict(re.findall(pattern, done.stderr, re.MULTILINE))


def _planned(done: subprocess.CompletedProcess) -> set[str]:
    """Rules that a dry run would run."""
    assert done.returncode == 0, done.stderr[-2000:]
    return set(re.findall(r"^ *(?:local)?rule (\w+):$", done.stdout + done.stderr, re.MULTILINE))


@pytest.mark.slow
def test_damaged_files_are_refused_and_removing_them_is_the_remedy(finished: Path) -> None:
    forest_file = sorted((finished / FOREST).glob("[!.]*"))[0].relative_to(finished)
    damaged = {str(SPLIT): SPLIT, str(forest_file): FOREST, str(POSTERIOR): POSTERIOR}
    whole = {name: (finished / name).read_bytes() for name in [*damaged, str(SUBMISSION)]}
    split_times = (finished / SPLIT).stat()
    for name in damaged:
        _cut(finished / name)
    # Each reads one of them.
    readers = [PCA, RUN / "posteriors/test/random_forest.nc", SUBMISSION]
    done = _make(finished, "--force", "--", *readers)
    assert _refusals(done) == {name: str(output) for name, output in damaged.items()}
    assert not (finished / SUBMISSION).exists()

    (finished / SPLIT).unlink()
    assert _make(finished, "--", PCA).returncode == 0
    # As old as before: what hangs on it would be trained again, which takes long here.
    os.utime(finished / SPLIT, ns=(split_times.st_atime_ns, split_times.st_mtime_ns))
    shutil.rmtree(finished / FOREST)
    (finished / POSTERIOR).unlink()
    done = _make(finished, "--", *readers)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {name: (finished / name).read_bytes() for name in whole} == whole


def test_a_damaged_submission_is_neither_shown_nor_listed(finished: Path) -> None:
    assert "(valid)" in _show_summary(finished).stdout
    _cut(finished / SUBMISSION)
    shown = _show_summary(finished)
    assert _refusals(shown) == {str(SUBMISSION): str(SUBMISSION)} and not shown.stdout
    assert len(shown.stderr.splitlines()) == 1
    done = _make(finished, "--force", "--", RUN / "manifest.json")
    assert _refusals(done) == {str(SUBMISSION): str(SUBMISSION)}
    (finished / SUBMISSION).unlink()
    assert _planned(_make(finished, "-n")) >= {"submit", "manifest", "report", "summary"}


TRAINING = {"simulate_dataset", "ingest", "split_planets", "train_model", "train_representation"}


# tests/test_triggers.py has a module of every package; this is what Snakemake makes of it.
@pytest.mark.parametrize(
    ("module", "rerun", "kept"),
    [
        ("models/ensemble.py", {"sample_posterior", "score_model", "calibrate_model"}, TRAINING),
        ("report/sections.py", {"report"}, TRAINING | {"sample_posterior", "score_model"}),
    ],
)
def test_an_edit_reruns_what_it_touches(
    finished: Path, module: str, rerun: set[str], kept: set[str]
) -> None:
    with (finished / "src/arielflow" / module).open("a") as file:
        file.write("# edited\n")
    planned = _planned(_make(finished, "-n"))
    assert planned >= rerun and not planned & kept


def test_scores_ask_for_a_gpu_where_a_model_is_evaluated_on_one(finished: Path) -> None:
    slurm = ("--profile", "workflow/profiles/slurm", "--dry-run", "--config", "device=cuda")
    done = snakemake(finished, *TINY, *slurm)
    plan = done.stdout + done.stderr
    asked = dict(
        re.findall(r"^rule score_model:(?:\n .*)*?wildcards: model=(\w+)\n.*\bgpu=(\d)", plan, re.M)
    )
    assert {asked[name] for name in ("flow", "bnn", "mc_dropout", "random_forest")} == {"1"}
    assert {asked[name] for name in ("prior", "ceiling", "flow_importance")} == {"0"}
