"""The recipes of CONTRIBUTING.md, followed word for word in a copy of the checkout."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from workflow_run import ENVIRONMENT, ROOT

pytestmark = pytest.mark.slow
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
# A paragraph that names a file last, and the block of its content; or a block alone, of commands.
_BLOCK = re.compile(r"(?:`([\w./]+)`[^`\n]*(?:\n[^`\n]+)*:\n\n)?^```(\w*)\n(.*?)^```$", re.M | re.S)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout whose ``.venv`` is the Python of the tests."""
    ignored = (".git", ".venv", "results", ".snakemake", "__pycache__", "*.egg-info", ".*_cache")
    copy = shutil.copytree(ROOT, tmp_path / "arielflow", ignore=shutil.ignore_patterns(*ignored))
    (copy / ".venv").symlink_to(sys.prefix)
    (copy / "results").mkdir()
    return copy


def follow(checkout: Path, title: str) -> set[str]:
    """Do what a section says, in its order; the files that it edits or adds."""
    section = TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]
    edited = set()
    for name, kind, content in _BLOCK.findall(section):
        if name:
            edit(checkout / name, kind, content)
            edited.add(name)
        else:
            for line in content.splitlines():
                run(checkout, line)
    return edited


def edit(path: Path, kind: str, content: str) -> None:
    """Change the lines that a diff shows, or write a file, or add to its end."""
    if kind != "diff":
        path.write_text(f"{path.read_text()}\n\n{content}" if path.exists() else content)
        return
    before, after = (
        "".join(f"{line[1:]}\n" for line in content.splitlines() if line[0] in kept)
        for kept in (" -", " +")
    )
    text = path.read_text()
    assert text.count(before) == 1, f"{path}: {before}"
    path.write_text(text.replace(before, after))


def run(checkout: Path, line: str) -> None:
    environment = ENVIRONMENT | {"PYTHONPATH": str(checkout / "src")}
    done = subprocess.run(
        shlex.split(line), cwd=checkout, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def test_a_model_is_added_in_three_files(checkout: Path) -> None:
    edited = follow(checkout, "Add a model")
    assert len(edited) <= 3 and "src/arielflow/models/families/neighbours.py" in edited
    run(checkout, ".venv/bin/ruff check .")
    run(checkout, ".venv/bin/ruff format --check .")


def test_an_edition_is_added(checkout: Path) -> None:
    edited = follow(checkout, "Add an edition")
    assert "src/arielflow/editions/toy.py" in edited
    assert len(pd.read_csv(checkout / "results/toy_data/TrainingData/AuxillaryTable.csv")) == 10
    run(checkout, ".venv/bin/ruff check .")
    run(checkout, ".venv/bin/ruff format --check .")


def test_a_rule_is_added(checkout: Path, tiny: Path) -> None:
    shutil.copytree(tiny / "results", checkout / "results", dirs_exist_ok=True)
    shutil.copytree(tiny / ".snakemake", checkout / ".snakemake")
    follow(checkout, "Add a rule")
    table = pd.read_csv(checkout / "results/tiny/mean_depths.csv")
    assert list(table) == ["planet_ID", "depth"] and (table["depth"] > 0).all()
    run(checkout, ".venv/bin/ruff check .")
    run(checkout, ".venv/bin/ruff format --check .")
