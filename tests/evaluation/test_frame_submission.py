"""Submissions of spectra: written and read to the last bit, spoilt ones refused in one line."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from frame_spectra import PLANETS, answers, write_labels, written

from arielflow.core.errors import ArielflowError
from arielflow.editions import FRAME_NAMES, FrameEdition, get_frame_edition
from arielflow.evaluation.frames.submission import (
    frame_planets_to_submit,
    review_frame_submission,
    score_frame_submission,
    write_frame_submission,
)
from arielflow.evaluation.frames.tables import planet_name, read_labels

Spoil = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module", params=FRAME_NAMES)
def edition(request) -> FrameEdition:
    """One of the editions."""
    return get_frame_edition(request.param)


@pytest.fixture
def files(edition, tmp_path) -> tuple[Path, Path]:
    """A valid submission and the labels of its planets."""
    return written(edition, tmp_path)


def _table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str)


def _cell(row: int, column: str, value: str) -> Spoil:
    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[row, column] = value
        return table

    return spoil


def _refused_alike(edition: FrameEdition, submission: Path, labels: Path) -> str:
    """The only line of the checker, which the score repeats."""
    verdict = review_frame_submission(submission, edition, PLANETS[::-1])
    assert verdict.faults and not verdict.warnings
    with pytest.raises(ArielflowError) as caught:
        score_frame_submission(submission, edition, labels, labels)
    line = str(caught.value)
    assert "\n" not in line and line.startswith(f"{submission}: ")
    assert verdict.fault_lines[0].removeprefix(f"{submission}: ") in line.replace(
        str(labels), "the test data"
    )
    return verdict.fault_lines[0]


def test_what_is_written_is_read_to_the_last_bit(edition, files) -> None:
    _, spectrum, sigma = answers()
    table = pd.read_csv(files[0], dtype={"planet_id": str}, float_precision="round_trip")
    assert list(table.columns) == edition.submission_columns
    assert table["planet_id"].tolist() == PLANETS
    assert (table.to_numpy()[:, 1:284].astype(float) == spectrum).all()
    assert (table.to_numpy()[:, 284:].astype(float) == sigma).all()
    assert review_frame_submission(files[0], edition, PLANETS[::-1]).fault_lines == []
    assert (read_labels(files[1], edition).spectrum == answers().truth[::-1]).all()


def test_planets_are_found_by_name_in_any_order(edition, files, tmp_path) -> None:
    names, found = score_frame_submission(*(files[0], edition, files[1], files[1]))
    assert names == PLANETS[::-1] and 0.3 < found.score < 0.9
    shuffled = tmp_path / "shuffled.csv"
    _table(files[0]).iloc[[3, 0, 5, 1, 4, 2]].to_csv(shuffled, index=False)
    again = score_frame_submission(shuffled, edition, files[1], files[1])[1]
    assert again.score == found.score and (again.planets == found.planets).all()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("1103775.0", "1103775"),
        (" 1103775 ", "1103775"),
        ("1103775.", "1103775"),
        ("1.103775e+06", "1103775"),
        ("1.103775E6", "1103775"),
        ("0.0", "0"),
        ("9" * 5000 + ".0", "9" * 5000),
        ("1103775.5", "1103775.5"),
        ("1.5e0", "1.5e0"),
        ("planet 1.0", "planet 1.0"),
        ("", ""),
    ],
)
def test_identifiers_that_read_as_floats_are_integers(text: str, name: str) -> None:
    assert planet_name(text) == name


def test_float_identifiers_are_the_same_planets(edition, files) -> None:
    expected = score_frame_submission(files[0], edition, files[1], files[1])[1].score
    for path in files:
        table = _table(path)
        table["planet_id"] += ".0"
        table.to_csv(path, index=False)
    assert not review_frame_submission(files[0], edition, PLANETS).faults
    assert not review_frame_submission(files[0], edition, [f"{p}.0" for p in PLANETS]).faults
    names, found = score_frame_submission(files[0], edition, files[1], files[1])
    assert names == PLANETS[::-1] and found.score == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content.rstrip(b"\n"),
        lambda content: content + b"\n,\n\n".replace(b",", b"," * 566),
        lambda content: content.replace(b",", b", "),
    ],
    ids=["BOM", "CRLF", "no last newline", "empty rows", "blanks"],
)
def test_how_other_programs_write_it_is_fine(edition, files, change) -> None:
    expected = score_frame_submission(files[0], edition, files[1], files[1])[1].score
    for path in files:
        n_commas = len(_table(path).columns) - 1
        content = change(path.read_bytes())
        path.write_bytes(content.replace(b"," * 566, b"," * n_commas))
    assert not review_frame_submission(files[0], edition, PLANETS).faults
    assert score_frame_submission(files[0], edition, files[1], files[1])[1].score == expected


def _swapped(table: pd.DataFrame) -> pd.DataFrame:
    return table[["planet_id", "wl_2", "wl_1", *table.columns[3:]]]


def _sigma_first(table: pd.DataFrame) -> pd.DataFrame:
    return table[["planet_id", *table.columns[284:], *table.columns[1:284]]]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_cell(1, "wl_7", ""), "342072318: column wl_7 is nan, expected a finite number"),
        (_cell(1, "sigma_7", "nan"), "342072318: column sigma_7 is nan, expected a finite"),
        (_cell(1, "wl_7", "inf"), "column wl_7 is inf, expected a finite number"),
        (_cell(1, "sigma_1", "-inf"), "column sigma_1 is -inf, expected a finite number"),
        (_cell(1, "wl_7", "1e999"), "column wl_7 is inf, expected a finite number"),
        (_cell(1, "wl_7", "1e30"), "column wl_7 is 1e+30, expected at most 1e+06"),
        (_cell(1, "sigma_7", "2e6"), "column sigma_7 is 2e+06, expected at most 1e+06"),
        (_cell(1, "wl_283", "-1e-9"), "column wl_283 is -1e-09, expected a number of at least 0"),
        (_cell(1, "sigma_283", "-1e-9"), "sigma_283 is -1e-09, expected a positive number"),
        (_cell(1, "sigma_283", "0"), "sigma_283 is 0, expected a positive number"),
        (_cell(1, "wl_7", "deep"), "342072318: column wl_7 holds 'deep', expected a number"),
        (_cell(1, "wl_7", "1_000"), "column wl_7 holds '1_000', expected a number"),
        (_cell(1, "wl_7", "0,002"), "column wl_7 holds '0,002', expected a number"),
        (_cell(1, "wl_7", "True"), "column wl_7 holds 'True', expected a number"),
        (_cell(1, "wl_7", "\x1b[2J"), r"holds '\x1b[2J', expected a number"),
        (_cell(1, "planet_id", "34983"), "34983: occurs 2 times, expected once"),
        (_cell(1, "planet_id", "34983.0"), "34983: occurs 2 times, expected once"),
        (_cell(1, "planet_id", ""), "1 rows have no planet_id"),
        (_cell(1, "planet_id", "342072318.5"), "342072318: planet is missing"),
        (lambda t: t.drop(index=2), "1103775: planet is missing"),
        (lambda t: t.drop(index=range(1, 6)), "only 1 of the 6 planets of the test data"),
        (lambda t: t.assign(planet_id=t["planet_id"] + "1"), "none of the 6 planets"),
        (lambda t: pd.concat([t, t[:1].assign(planet_id="77")]), "77: planet is not in the test"),
        (lambda t: t[:0], "holds no planets, expected a row for each"),
        (
            lambda t: t.drop(columns="sigma_283"),
            "column sigma_283 is missing, expected 567 columns",
        ),
        (lambda t: t.drop(columns="planet_id"), "column planet_id is missing"),
        (lambda t: t.iloc[:, :284], "column sigma_1, sigma_2, sigma_3, sigma_4, sigma_5 and 278"),
        (lambda t: t.assign(wl_284="0.1"), "column wl_284 is surplus, expected 567 columns"),
        (
            lambda t: t.rename(columns={"wl_3": "WL_3"}),
            "wl_3 is missing and column WL_3 is surplus",
        ),
        (lambda t: t.reset_index(names=""), "unnamed 0 is surplus (the index of a data frame?)"),
        (_swapped, "column 2 is wl_2, expected wl_1: scores go by position"),
        (_sigma_first, "column 2 is sigma_1, expected wl_1"),
        (lambda t: t.rename(columns={"wl_3": "wl_2"}), "column wl_2 occurs more than once"),
    ],
)
def test_spoilt_tables_are_refused_and_never_scored(edition, files, spoil, says) -> None:
    spoil(_table(files[0])).to_csv(files[0], index=False)
    assert says in _refused_alike(edition, *files)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no header"),
        (b"\n\n", "holds no header"),
        (b"\x00\x01\x02" * 100, "binary"),
        (b"\x89HDF\r\n\x1a\n" + bytes(range(256)), "not a readable CSV table"),
        (b"planet_id,wl_1\n\xe9,1\n", "not a readable CSV table"),
        ("planet_id,wl_1\n1,2\n".encode("utf-16"), "not a readable CSV table"),
        (gzip.compress(b"planet_id,wl_1\n1,2\n"), "not a readable CSV table"),
        (b"planet_id\twl_1\n1\t2\n", "separated by '\\t', expected commas"),
        (b"planet_id;wl_1\n1;2\n", "separated by ';', expected commas"),
        (b"x" * (1 << 20), "first line has over"),
    ],
)
def test_files_that_are_no_table_are_refused(edition, files, content, says) -> None:
    files[0].write_bytes(content)
    assert says in _refused_alike(edition, *files)


def test_rows_that_are_cut_off_are_refused(edition, files) -> None:
    content = files[0].read_bytes()
    files[0].write_bytes(content[: len(content) // 2])
    assert "cells, the header 567" in _refused_alike(edition, *files)


@pytest.mark.parametrize("made", ["nothing", "folder", "pipe"])
def test_what_is_no_file_is_refused(edition, files, made) -> None:
    files[0].unlink()
    if made == "folder":
        files[0].mkdir()
    elif made == "pipe":
        os.mkfifo(files[0])
    words = {"nothing": "no such file", "folder": "is a folder", "pipe": "is a pipe"}
    assert words[made] in _refused_alike(edition, *files)


def test_a_fault_is_told_once_per_planet_with_its_count(edition, files) -> None:
    table = _table(files[0])
    table.iloc[[0, 2], 5:9] = "nan"
    table.iloc[3, 300:302] = "-1"
    table.to_csv(files[0], index=False)
    assert review_frame_submission(files[0], edition, PLANETS).fault_lines == [
        "34983: column wl_5 is nan, expected a finite number (4 such values)",
        "1103775: column wl_5 is nan, expected a finite number (4 such values)",
        "785834: column sigma_17 is -1, expected a positive number (2 such values)",
    ]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_cell(1, "wl_7", ""), "column wl_7 is nan, expected a finite number"),
        (_cell(1, "wl_7", "-0.001"), "wl_7 is -0.001, expected a number of at least 0"),
        (_cell(1, "wl_7", "2500"), "wl_7 is 2500, expected at most 1: depths are fractions"),
        (_cell(1, "wl_7", "?"), "column wl_7 holds '?', expected a number"),
        (_cell(1, "planet_id", PLANETS[-1]), "9: occurs 2 times"),
        (lambda t: t.drop(columns="wl_3"), "column wl_3 is missing, expected 284 columns"),
        (lambda t: t.assign(star="1"), "column star is surplus"),
        (_swapped, "column 2 is wl_2, expected wl_1"),
        (lambda t: t[:0], "holds no planets"),
    ],
)
def test_spoilt_labels_are_refused(edition, files, tmp_path, spoil, says) -> None:
    spoilt = tmp_path / "spoilt.csv"
    spoil(_table(files[1])).to_csv(spoilt, index=False)
    for tables in ((spoilt, files[1]), (files[1], spoilt)):
        with pytest.raises(ArielflowError) as caught:
            score_frame_submission(files[0], edition, *tables)
        line = str(caught.value)
        assert line.startswith(f"{spoilt}: ") and says in line and "\n" not in line
        assert edition.name in line or "scores go by position" in line


def test_truth_of_other_planets_is_refused(edition, files, tmp_path) -> None:
    truth = answers(7).truth
    more = write_labels(tmp_path / "more.csv", edition, truth, [*PLANETS, "77"])
    with pytest.raises(ArielflowError, match=r"77: planet is missing \(1 faults in all"):
        score_frame_submission(files[0], edition, more, more)
    fewer = write_labels(tmp_path / "fewer.csv", edition, truth[:5], PLANETS[:5])
    with pytest.raises(ArielflowError, match=f"9: planet is not in {fewer}"):
        score_frame_submission(files[0], edition, fewer, fewer)


def test_the_reference_is_the_edition_s_or_the_labels_given(files, tmp_path) -> None:
    old, new = map(get_frame_edition, FRAME_NAMES)
    with pytest.raises(ArielflowError, match=r"give all training labels \(train.csv\)"):
        score_frame_submission(files[0], new, files[1])
    own = score_frame_submission(files[0], old, files[1])[1]
    given = score_frame_submission(files[0], old, files[1], files[1])[1]
    assert own.score != given.score == pytest.approx(own.score, abs=0.1)
    flat = write_labels(tmp_path / "flat.csv", old, np.full((6, 283), 0.002))
    with pytest.raises(ArielflowError, match=f"{flat}: .* deviation above the ideal answer's"):
        score_frame_submission(files[0], old, files[1], flat)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda spectrum, sigma: (spectrum**0.5, sigma), "they look like radius ratios Rp/Rs"),
        (lambda spectrum, sigma: (1e6 * spectrum, 1e6 * sigma), "look like parts per million"),
        (lambda spectrum, sigma: (100 * spectrum, 100 * sigma), "per cent"),
        (lambda spectrum, sigma: (0 * spectrum + 0.456, sigma), "mean depth of 0.456"),
        (lambda spectrum, sigma: (1e-3 * spectrum, 1e-3 * sigma), "expected (Rp/Rs)² between"),
        (lambda spectrum, sigma: (spectrum, 1e6 * sigma), "larger than the depths: 6 of 6"),
        (lambda spectrum, sigma: (spectrum, 1e-3 * sigma), "below the ideal answer's"),
        (lambda spectrum, sigma: (spectrum[[0, 0, 1, 2, 3, 4]], sigma), "2 planets share their"),
    ],
)
def test_implausible_submissions_are_valid_and_warned_of(
    edition, tmp_path, caplog, change, says
) -> None:
    submission, labels = written(edition, tmp_path)
    write_frame_submission(submission, edition, PLANETS, *change(*answers()[1:]))
    verdict = review_frame_submission(submission, edition, PLANETS)
    assert not verdict.faults
    assert any(says in line for line in verdict.warnings), verdict.warnings
    assert 0 <= score_frame_submission(submission, edition, labels, labels)[1].score <= 1
    assert says in caplog.text


def test_plausible_submissions_are_not_warned_of(edition, files) -> None:
    assert review_frame_submission(files[0], edition, PLANETS).warnings == []
    _, spectrum, sigma = answers()
    constant = np.full_like(sigma, 1e-4)
    write_frame_submission(files[0], edition, PLANETS, spectrum, constant)
    assert review_frame_submission(files[0], edition, PLANETS).warnings == []


@pytest.mark.parametrize(
    ("planets", "change", "says"),
    [
        (PLANETS[:5], {}, "5 planets, a spectrum of shape"),
        ([], {}, "0 planets"),
        ([*PLANETS[:5], "34983.0"], {}, "34983: occurs 2 times"),
        ([*PLANETS[:5], " "], {}, "1 rows have no planet_id"),
        (PLANETS, {"spectrum": np.nan}, "column wl_8 is nan"),
        (PLANETS, {"spectrum": -1.0}, "column wl_8 is -1"),
        (PLANETS, {"sigma": 0.0}, "column sigma_8 is 0, expected a positive number"),
        (PLANETS, {"sigma": np.inf}, "column sigma_8 is inf"),
    ],
)
def test_nothing_wrong_is_written(edition, tmp_path, planets, change, says) -> None:
    parts = {"spectrum": answers().spectrum, "sigma": answers().sigma}
    for name, value in change.items():
        parts[name][2, 7] = value
    path = tmp_path / "submission.csv"
    path.write_text("what was there before")
    with pytest.raises(ArielflowError) as caught:
        write_frame_submission(path, edition, planets, **parts)
    assert says in str(caught.value) and "nothing is written" in str(caught.value)
    assert path.read_text() == "what was there before" and len(list(tmp_path.iterdir())) == 1


def test_planets_to_submit_are_those_of_the_sample_or_the_folders(tmp_path) -> None:
    with pytest.raises(ArielflowError, match="neither sample_submission"):
        frame_planets_to_submit(tmp_path)
    for name in ("300", "20", "axis_info", ".hidden"):
        (tmp_path / "planets" / name).mkdir(parents=True)
    (tmp_path / "planets" / "7").write_text("no folder")
    assert frame_planets_to_submit(tmp_path / "planets") == ["20", "300"]
    (tmp_path / "planets").rename(tmp_path / "test")
    (tmp_path / "1").mkdir()
    assert frame_planets_to_submit(tmp_path) == ["20", "300"]
    (tmp_path / "sample_submission.csv").write_text("planet_id,wl_1\n1103775.0,0.4\n5,0.4\n")
    assert frame_planets_to_submit(tmp_path) == ["1103775", "5"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "holds no header"),
        ("planet,wl_1\n5,1\n", "column planet_id is missing, found planet, wl_1"),
        ("planet_id,wl_1\n", "holds no planets"),
        ("planet_id,wl_1\n5,1\n5.0,1\n", "planet 5: occurs 2 times"),
        ("planet_id,wl_1\n,1\n", "1 rows have no planet_id"),
        ("planet_id,wl_1\n5\n", "1 cells, the header 2"),
    ],
)
def test_a_damaged_sample_is_refused(tmp_path, content, says) -> None:
    (tmp_path / "sample_submission.csv").write_text(content)
    with pytest.raises(ArielflowError) as caught:
        frame_planets_to_submit(tmp_path)
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("made", ["nothing", "file"])
def test_what_is_no_folder_is_refused(tmp_path, made) -> None:
    path = tmp_path / "data"
    if made == "file":
        path.write_text("")
    with pytest.raises(ArielflowError, match="is no folder"):
        frame_planets_to_submit(path)


@pytest.mark.external
def test_the_real_samples_name_their_planet(edition, shared) -> None:
    folder = shared / "data/adc_frames" / edition.name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    planet = {"adc2024": "499191466", "adc2025": "1103775"}[edition.name]
    assert frame_planets_to_submit(folder) == [planet]
    verdict = review_frame_submission(folder / "sample_submission.csv", edition, [planet])
    assert not verdict.faults and "mean depth of 0." in verdict.warnings[0]
