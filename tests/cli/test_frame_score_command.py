"""``score`` and ``validate-submission`` with detector frames: JSON, words, one line of fault."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from frame_spectra import PLANETS, answers, write_labels, written

from arielflow.editions import FRAME_NAMES, NAMES, get_frame_edition
from arielflow.evaluation.frames.submission import write_frame_submission


@pytest.fixture(params=FRAME_NAMES)
def edition(request) -> str:
    """Name of an edition."""
    return request.param


@pytest.fixture
def files(edition, tmp_path) -> tuple[Path, Path]:
    """A valid submission and the labels of its planets."""
    return written(get_frame_edition(edition), tmp_path)


def _one_line(answer: tuple[int, str, str], *says: str) -> None:
    code, out, err = answer
    assert code == 2 and out == "" and len(err.strip().splitlines()) == 1
    assert "Traceback" not in err and all(word in err for word in says), err


def test_a_score_in_json_and_in_words(edition, files, called) -> None:
    given = ("score", files[0], "--edition", edition, "--truth", files[1], "--reference", files[1])
    done = run(*given, "--json")
    assert done.returncode == 0 and done.stderr == ""
    content = json.loads(done.stdout)
    assert list(content) == ["score", "score_low", "score_high", "unclipped_score", "planets"]
    assert list(content["planets"]) == PLANETS[::-1]
    assert 0 <= content["score_low"] < content["score"] < content["score_high"] <= 1
    assert content["unclipped_score"] == content["score"]
    if edition == "adc2025":
        mean = np.mean(list(content["planets"].values()))
        assert content["score"] == pytest.approx(mean, rel=1e-12)
    code, out, err = called(*given)
    assert code == 0 and err == ""
    assert f"score {content['score']:.4f} (" in out and "over 6 planets" in out
    other = json.loads(called(*given, "--seed", 5, "--json")[1])
    assert other["score"] == content["score"] and other["score_low"] != content["score_low"]


def test_the_constants_of_2024_and_none_of_2025(edition, files, called) -> None:
    answer = called("score", files[0], "--edition", edition, "--truth", files[1], "--json")
    if edition == "adc2024":
        assert 0 < json.loads(answer[1])["score"] < 1
    else:
        _one_line(answer, "adc2025", "train.csv", "--reference")


def test_a_single_planet_has_no_interval(tmp_path, called) -> None:
    edition = get_frame_edition("adc2024")
    truth, spectrum, sigma = answers(1)
    submission = tmp_path / "submission.csv"
    write_frame_submission(submission, edition, ["5"], spectrum, sigma)
    labels = write_labels(tmp_path / "labels.csv", edition, truth, ["5.0"])
    given = ("score", submission, "--edition", "adc2024", "--truth", labels)
    content = json.loads(called(*given, "--json")[1])
    assert content["score_low"] is None is content["score_high"]
    assert content["planets"] == {"5": pytest.approx(content["unclipped_score"])}
    assert f"score {content['score']:.4f} over 1 planets" in called(*given)[1]


def test_what_cannot_be_scored_is_one_line(edition, files, tmp_path, called) -> None:
    given = ("--edition", edition, "--reference", files[1])
    rows = files[0].read_text().splitlines(keepends=True)
    fewer = tmp_path / "fewer.csv"
    fewer.write_text("".join(rows[:-1]))
    _one_line(called("score", fewer, *given, "--truth", files[1]), str(fewer), "9", "missing")
    nan = tmp_path / "nan.csv"
    nan.write_text("".join([*rows[:-1], ",".join(["9", "nan", *rows[-1].split(",")[2:]])]))
    _one_line(
        called("score", nan, *given, "--truth", files[1]), "9: column wl_1 is nan", "1 faults"
    )
    missing = tmp_path / "none.csv"
    _one_line(called("score", files[0], *given, "--truth", missing), "none.csv: no such file")
    _one_line(called("score", files[0], *given, "--truth", files[0]), "sigma_1", "surplus")
    _one_line(called("score", files[1], *given, "--truth", files[1]), "sigma_1", "missing")


def test_options_of_the_other_kind_of_edition_are_refused(edition, files, tmp_path, called) -> None:
    given = ("score", files[0], "--truth", files[1], "--edition")
    _one_line(called(*given, edition, "--test", tmp_path), "--test does not apply", edition)
    _one_line(
        called(*given, "adc2023", "--reference", files[1]), "--reference does not apply", "adc2023"
    )
    _one_line(called(*given, "adc1999"), "adc1999", *NAMES, *FRAME_NAMES)
    _one_line(
        called("ingest", tmp_path, "--edition", edition, "--output", tmp_path / "out"),
        f"edition '{edition}' has detector frames",
    )


def test_submissions_are_validated(edition, files, tmp_path, called) -> None:
    folder = tmp_path / "data"
    for planet in PLANETS:
        (folder / "test" / planet).mkdir(parents=True)
    given = ("validate-submission", files[0], "--edition", edition, "--test", folder)
    code, out, err = called(*given, "--json")
    assert code == 0 and err == ""
    assert json.loads(out) == {"valid": True, "faults": [], "warnings": []}
    (folder / "test" / "77").mkdir()
    code, out, err = called(*given)
    assert code == 1 and "77: planet is missing" in out and out.rstrip().endswith("1 faults")
    (folder / "sample_submission.csv").write_text("planet_id\n" + "\n".join(PLANETS) + "\n")
    assert called(*given)[0] == 0
    _one_line(called(*given[:-1], tmp_path / "no"), "is no folder")


def test_many_planets_with_the_same_fault_are_one_line(edition, files, tmp_path, called) -> None:
    header, *rows = files[0].read_text().splitlines()
    cells = [row.split(",") for row in rows]
    spoilt = [",".join([*row[:n], "", *row[n + 1 :]]) for n, row in enumerate(cells, 1)]
    files[0].write_text("\n".join([header, *spoilt]))
    for planet in PLANETS:
        (tmp_path / "data" / planet).mkdir(parents=True)
    given = ("validate-submission", files[0], "--edition", edition, "--test", tmp_path / "data")
    code, out, _ = called(*given)
    assert code == 1 and len(out.strip().splitlines()) == 2
    assert "(and 5 more planets with this fault)" in out
    assert len(json.loads(called(*given, "--json")[1])["faults"]) == 6
