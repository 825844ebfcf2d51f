"""The commands about opacities: exit codes, JSON, one-line errors."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from command_line import run
from opacity_twins import nemesis, write_nemesis, write_photochem, write_pyratbay_cia


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two tables, one pair of gases and a note."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = tmp_path / "tables"
    found.mkdir()
    write_photochem(found / "H2O.h5")
    write_nemesis(found / "ch4wasp43.kta", nemesis(6))
    write_pyratbay_cia(found / "CIA.dat")
    (found / "[bold]note.md").write_text("x")
    return found


def test_check_tells_what_is_there(folder: Path) -> None:
    done = run("opacities", "check", folder)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    for words in (
        "H2O.h5: H2O, correlated-k (photochem HDF5), 0.4-10 um at R = 9.3",
        "100-2000 K (3), 1e-06-100 bar (4)",
        "ch4wasp43.kta: CH4, correlated-k (NEMESIS .kta), 1.05-4.95 um",
        "CIA.dat: H2-He, CIA (pyratbay CIA)",
        "  doubt: covers 100-2000 K",
        "no table: [bold]note.md",
        "absent: H2-H2: no collision-induced absorption",
    ):
        assert words in done.stdout, done.stdout


def test_check_ends_with_one_where_something_asked_for_is_missing(folder: Path) -> None:
    asked = ("--molecule", "h2o", "--molecule", "NH3", "--wavelength", 0.3, 5, "--cia", "--json")
    done = run("opacities", "check", folder, *asked)
    assert done.returncode == 1
    content = json.loads(done.stdout)
    assert content["complete"] is False and content["absent"] == content["faults"] == []
    assert [words.split(":")[0] for words in content["missing"]] == ["NH3", "H2O", "H2-H2"]
    assert {entry["gas"] for entry in content["entries"]} == {"H2O", "CH4", "H2-He"}
    done = run("opacities", "check", folder, "--molecule", "H2O", "--wavelength", 0.5, 5)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--wavelength", 2, 1), "expected two ascending"),
        (("--wavelength", 1, 2, "--edition", "adc2023"), "choose one"),
        (("--edition", "adc1999"), "adc1999"),
    ],
)
def test_check_refuses_in_one_line(folder: Path, arguments: tuple, words: str) -> None:
    done = run("opacities", "check", folder, *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1 and words in done.stderr


def test_fetch_brings_a_list_from_a_mirror_and_leaves_what_is_there(
    folder: Path, tmp_path: Path
) -> None:
    digits = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.h5")}
    digits["ch4wasp43.kta"] = "0" * 64
    listing = tmp_path / "list.txt"
    listing.write_text("".join(f"https://x.org/{n} {d}\n" for n, d in digits.items()))
    call = ("opacities", "fetch", listing, "--output", tmp_path / "here", "--mirror", folder)
    done = run(*call)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "H2O.h5: fetched" in done.stdout
    assert "ch4wasp43.kta: not fetched" in done.stdout and "expected 000000" in done.stdout
    content = json.loads(run(*call, "--json").stdout)
    assert content["present"] == ["H2O.h5"] and content["fetched"] == []
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["H2O.h5"]
    done = run("opacities", "fetch", tmp_path / "none.csv", "--output", tmp_path / "here")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
