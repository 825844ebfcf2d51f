"""Submissions that keep the rules and cannot be meant: warned of, and valid all the same."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from submission_files import Files, written

from arielflow.editions import Edition, get_edition
from arielflow.evaluation.submission.check import review_submission


@pytest.fixture(params=["adc2023", "adc2022"])
def files(request, tmp_path: Path) -> Files:
    """Edition, folder with TestData, and a valid submission for its six planets."""
    return written(get_edition(request.param), tmp_path)


@pytest.fixture
def adc2023(tmp_path: Path) -> Files:
    """The same of 2023 alone, which has a radius."""
    return written(get_edition("adc2023"), tmp_path)


def test_a_valid_submission_has_neither_faults_nor_warnings(files: Files) -> None:
    edition, folder, path = files
    found = review_submission(path, edition, folder)
    assert found.faults == [] and found.warnings == []


def _column(quantity: str, change):
    def spoil(file: h5py.File, edition: Edition) -> None:
        columns = [n for n, t in enumerate(edition.targets) if t.quantity == quantity]
        for name in file:
            theta = file[name]["tracedata"][()]
            theta[:, columns] = change(theta[:, columns])
            file[name]["tracedata"][:] = theta

    return spoil


def _every(change):
    def spoil(file: h5py.File, edition: Edition) -> None:
        for name in file:
            theta, weight = change(file[name]["tracedata"][()], file[name]["weights"][()])
            file[name]["tracedata"][:], file[name]["weights"][:] = theta, weight

    return spoil


def _swapped(theta: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return theta[:, [1, 0, *range(2, theta.shape[1])]], weight


def _on_one(theta: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return theta, np.where(np.arange(len(weight)) == 7, 1.0, 0.0)


def _copies(file: h5py.File, edition: Edition) -> None:
    first, *others = sorted(file)
    for name in others:
        file[name]["tracedata"][:] = file[first]["tracedata"][()]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_column("H2O", lambda v: 10**v), "log_H2O: .* abundances without a logarithm"),
        (_column("CH4", lambda v: (0.5 * v - 6) * np.log(10)), "log_CH4: .* natural logarithms"),
        (_column("planet_temperature", np.log10), "planet_temp: .* look like logarithms"),
        (_column("planet_temperature", lambda v: v * 0 + 9000), "planet_temp: .* 9000"),
        (_column("NH3", lambda v: v * 0 - 5), "log_NH3 is the same in all samples"),
        (_every(_swapped), "check the order of the columns"),
        (_every(lambda t, w: (np.repeat(t[:1], len(t), 0), w)), "all samples are equal"),
        (_every(lambda t, w: (t[np.arange(len(t)) % 20], w)), "fewer than 100 different samples"),
        (_every(_on_one), "nearly all weight lies on a few samples"),
        (_copies, "6 planets share their samples"),
    ],
)
def test_what_is_implausible_is_a_warning_and_valid(files, spoil, says) -> None:
    edition, folder, path = files
    with h5py.File(path, "r+") as file:
        spoil(file, edition)
    found = review_submission(path, edition, folder)
    assert found.faults == []
    assert [line for line in found.warnings if re.search(says, line)], found.warnings
    assert all("\n" not in line and len(line) < 400 for line in found.warnings)


@pytest.mark.parametrize(
    ("factor", "says"),
    [
        (7.1492e7, "look like metres"),
        (7.1492e4, "look like kilometres"),
        (1 / 9.7313, "look like solar radii"),
        (11.209, "look like Earth radii"),
    ],
)
def test_the_radius_in_another_unit_is_told(adc2023: Files, factor: float, says: str) -> None:
    edition, folder, path = adc2023
    with h5py.File(path, "r+") as file:
        for name in file:
            theta = file[name]["tracedata"][()]
            theta[:, 0] = factor * (0.8 + 0.01 * theta[:, 0])
            file[name]["tracedata"][:] = theta
    (line,) = review_submission(path, edition, folder).warnings
    assert line.startswith("planet_radius: ") and says in line
