"""The light track: cells that are no numbers, implausible ones, and its score."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from submission_files import plausible_samples, written

from arielflow.core.errors import ArielflowError
from arielflow.editions import Edition, get_edition
from arielflow.evaluation.submission.check import (
    check_submission,
    read_quartiles,
    review_submission,
)
from arielflow.evaluation.submission.write import score_submission


@pytest.fixture
def light(tmp_path: Path) -> tuple[Edition, Path, Path, pd.DataFrame]:
    """2022, the folder with TestData, a path and a valid light-track table, all as text."""
    edition, folder, _ = written(get_edition("adc2022"), tmp_path)
    rows = [
        np.quantile(plausible_samples(edition, row), (0.16, 0.5, 0.84), axis=0) for row in range(6)
    ]
    names = [f"{t.quartile_prefix}_q{q}" for t in edition.targets for q in (1, 2, 3)]
    table = pd.DataFrame([row.T.ravel() for row in rows], columns=names).astype(str)
    table.insert(0, "planet_ID", edition.identifiers("test", 6))
    return edition, folder, tmp_path / "flow.csv", table


def _cell(column: str, value: object):
    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[2, column] = value
        return table

    return spoil


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_cell("T_q2", "warm"), "planet 2, column T_q2 holds 'warm', expected a number"),
        (_cell("T_q2", "True"), "column T_q2 holds 'True'"),
        (_cell("T_q2", "1e3 K"), "column T_q2 holds '1e3 K'"),
        (_cell("T_q3", "inf"), "2: a quartile of planet_temp is not finite"),
        (_cell("T_q3", ""), "2: a quartile of planet_temp is not finite"),
        (_cell("T_q1", "1e308"), "2: the quartiles of planet_temp do not ascend"),
        (_cell("planet_ID", "1"), "1: occurs more than once"),
        (_cell("planet_ID", "[/]"), r"\[/\]: planet is not in the test data"),
        (_cell("planet_ID", "2.0"), "2: planet is missing"),
        (lambda t: t.drop(columns="log_CO_q2"), "column log_CO_q2 is missing"),
        (lambda t: t.rename(columns={"log_CO_q2": "T_q2"}), "column T_q2 occurs more than once"),
        (lambda t: t.drop(index=5), "5: planet is missing"),
        (lambda t: pd.concat([t] * 200), "bytes, expected at most"),
    ],
)
def test_light_track_cells_must_be_numbers(light, spoil, says: str) -> None:
    edition, folder, path, table = light
    spoil(table).to_csv(path, index=False)
    faults = check_submission(path, edition, folder)
    assert [fault for fault in faults if re.search(says, fault)], faults
    assert all("\n" not in fault for fault in faults)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda t: t.assign(log_H2O_q3="0.5"), "log_H2O: samples of 0, 1, 2 and 3 more"),
        (lambda t: t.assign(**{n: t.loc[0, n] for n in t.columns[1:]}), "6 planets share their"),
        (lambda t: t.assign(**{n: "-3" for n in t.columns[4:]}), "log_CO is the same"),
        (lambda t: t.assign(comment="good"), "column comment is not looked at"),
    ],
)
def test_implausible_quartiles_are_a_warning(light, spoil, says: str) -> None:
    edition, folder, path, table = light
    spoil(table).to_csv(path, index=False)
    found = review_submission(path, edition, folder)
    assert found.faults == []
    assert [line for line in found.warnings if says in line], found.warnings


def test_light_track_scores_only_what_is_valid(light, tmp_path: Path) -> None:
    edition, _, path, table = light
    truth = tmp_path / "Tracedata.hdf5"
    with h5py.File(truth, "w") as file:
        for row, name in enumerate(table["planet_ID"]):
            file[f"Planet_{name}/tracedata"] = plausible_samples(edition, row)
            file[f"Planet_{name}/weights"] = np.full(1200, 1 / 1200)
    table.to_csv(path, index=False)
    assert min(score_submission(path, edition, truth, seed=0).values()) > 990
    assert read_quartiles(path, edition)["2"].shape == (3, 6)
    for column, value, says in (
        ("T_q3", "0", "do not ascend"),
        ("T_q3", "1e308", "planet 2: light track: quartiles up to 1e\\+308 have no finite"),
    ):
        _cell(column, value)(table.copy()).to_csv(path, index=False)
        with pytest.raises(ArielflowError, match=says):
            score_submission(path, edition, truth, seed=0)
