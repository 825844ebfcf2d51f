"""Official submission files: written, checked fault by fault, scored."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import posterior_dataset
from arielflow.data.ingest import empty_traces
from arielflow.data.priors import prior_samples
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.editions.official_files import write_official, write_traces
from arielflow.evaluation.submission.write import (
    check_findings,
    check_submission,
    score_submission,
    submit,
    write_submission,
)
from arielflow.report.summary import run_summary


@pytest.fixture(scope="module", params=["adc2023", "adc2022"])
def case(request, tmp_path_factory, physics):
    """Edition, data set's folder, posterior of six test planets, folder with its files."""
    edition = get_edition(request.param)
    folder = tmp_path_factory.mktemp("submission")
    planets = simulate_planets(edition, 6, seed=5, split="test", prior="matched", physics=physics)
    write_official(folder, edition, "test", planets)
    posterior = posterior_dataset(planets, prior_samples(planets, 1200, seed=1))
    return edition, folder, posterior, planets


@pytest.fixture
def files(case, tmp_path):
    """Edition, data set's folder, and fresh official files."""
    edition, folder, posterior, _ = case
    return edition, folder, write_submission(posterior, edition, tmp_path, "flow")


def test_valid_files_for_every_track(files, case, tmp_path) -> None:
    edition, folder, paths = files
    assert [p.suffix for p in paths] == list(edition.tracks.values())
    for path in paths:
        assert check_submission(path, edition, folder) == []
    again = write_submission(case[2], edition, tmp_path / "again", "flow")
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again]
    with h5py.File(paths[0]) as file:
        names = [edition.group(str(p)) for p in case[2]["planet"].values]
        assert [file[name].attrs["ID"] for name in names] == list(range(6))


def _weights(group, weights) -> None:
    group["weights"][:] = weights


def _replace(group, theta, weights) -> None:
    del group["tracedata"], group["weights"]
    group["tracedata"], group["weights"] = theta, weights


def _negative(group) -> None:
    weights = np.full(1200, 1 / 1200)
    weights[:2] = -0.5 / 1200, 2.5 / 1200
    _weights(group, weights)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f, n: f[n]["tracedata"].__setitem__((5, 1), np.nan), "1 values .* not finite"),
        (lambda f, n: f[n]["weights"].__setitem__(5, np.nan), "1 weights are not finite"),
        (lambda f, n: _negative(f[n]), "1 weights are negative"),
        (lambda f, n: _weights(f[n], 0.9 / 1200), "weights sum to 0.9"),
        (
            lambda f, n: _replace(f[n], f[n]["tracedata"][:999], np.full(999, 1 / 999)),
            "999 samples",
        ),
        (lambda f, n: f.__delitem__(n), "planet is missing"),
        (lambda f, n: f.move(n, "Planet_stranger"), "Planet_stranger: planet is not in"),
        (lambda f, n: f[n].attrs.__setitem__("ID", 77), "attribute ID is 77"),
        (lambda f, n: f[n].__delitem__("weights"), "dataset weights is missing"),
        (
            lambda f, n: _replace(f[n], f[n]["tracedata"][:, :3], f[n]["weights"][:]),
            r"tracedata has shape \(1200, 3\)",
        ),
    ],
)
def test_every_fault_is_named(files, spoil, says) -> None:
    edition, folder, paths = files
    with h5py.File(paths[0], "r+") as file:
        name = sorted(file)[2]
        spoil(file, name)
    faults = check_submission(paths[0], edition, folder)
    assert len(pd.Series(faults, dtype=str).loc[lambda s: s.str.contains(says)]) == 1, faults
    assert all("\n" not in fault for fault in faults)


def test_all_faults_are_listed_at_once(files) -> None:
    edition, folder, paths = files
    with h5py.File(paths[0], "r+") as file:
        first, second, third = sorted(file)[:3]
        del file[first]
        _weights(file[second], 0.5 / 1200)
        file[third]["tracedata"][0, 0] = np.inf
    assert len(check_submission(paths[0], edition, folder)) == 3


def test_unreadable_and_unknown_files(files, tmp_path) -> None:
    edition, folder, paths = files
    paths[0].write_bytes(paths[0].read_bytes()[:500])
    assert "not a readable HDF5" in check_submission(paths[0], edition, folder)[0]
    (tmp_path / "flow.txt").write_text("x")
    assert "file type .txt" in check_submission(tmp_path / "flow.txt", edition, folder)[0]


def test_light_track_faults(files) -> None:
    edition, folder, paths = files
    if edition.name != "adc2022":
        pytest.skip("only 2022 has a light track")
    table = pd.read_csv(paths[1])
    table.loc[0, ["T_q1", "T_q3"]] = table.loc[0, ["T_q3", "T_q1"]].to_numpy()
    table.loc[1, "log_CO_q2"] = np.nan
    table.drop(index=4).to_csv(paths[1], index=False)
    faults = check_submission(paths[1], edition, folder)
    assert len(faults) == 3
    for says in ("do not ascend", "is not finite", "missing"):
        assert any(says in fault for fault in faults)


def test_too_few_samples_are_refused(case, tmp_path) -> None:
    edition, _, _, planets = case
    few = posterior_dataset(planets, prior_samples(planets, 500, seed=1))
    with pytest.raises(ArielflowError, match="500 samples"):
        write_submission(few, edition, tmp_path, "flow")
    assert not list(tmp_path.iterdir())


def test_score_against_traces(case, files, tmp_path) -> None:
    edition, _, posterior, planets = case
    _, folder, paths = files
    truth = empty_traces(planets)
    theta = posterior["theta"].values
    truth = truth.drop_vars(["trace", "weight"]).assign(
        row_size=("planet", [1200] * 5 + [0]),
        trace=(("obs", "target"), theta[:5].reshape(-1, theta.shape[2])),
        weight=("obs", np.full(6000, 1 / 1200)),
    )
    write_traces(tmp_path / "Tracedata.hdf5", edition, truth)
    scores = score_submission(paths[0], edition, tmp_path / "Tracedata.hdf5", seed=0)
    assert list(scores) == [str(p) for p in planets["planet"].values[:5]]
    np.testing.assert_allclose(list(scores.values()), 1000, atol=1e-6)
    assert scores == score_submission(paths[0], edition, tmp_path / "Tracedata.hdf5", 0, folder)
    if edition.name == "adc2022":
        light = score_submission(paths[1], edition, tmp_path / "Tracedata.hdf5", seed=0)
        np.testing.assert_allclose(list(light.values()), 1000, atol=0.1)
    with h5py.File(paths[0], "r+") as file:
        del file[edition.group(str(planets["planet"].values[3]))]
    with pytest.raises(ArielflowError, match="is missing"):
        score_submission(paths[0], edition, tmp_path / "Tracedata.hdf5", seed=0)


def test_warnings_are_noted_and_told_in_the_summary(case, tmp_path) -> None:
    edition, folder, posterior, _ = case
    check, kinds = tmp_path / "check.json", ("faults", "warnings")
    equal = posterior.assign(theta=posterior["theta"].copy(data=0 * posterior["theta"] + 1))
    for samples, telling in ((posterior, "(valid)"), (equal, "(valid, ")):
        submit(samples, edition, tmp_path, "flow", folder, check)
        files = {track: tmp_path / f"flow{suffix}" for track, suffix in edition.tracks.items()}
        faults, warnings = (check_findings(check, files, kind) for kind in kinds)
        assert set(faults) == set(warnings) == set(files)
        assert not any(faults.values()) and any(warnings.values()) == (samples is equal)
        text = run_summary(
            page="page", model="flow", leaderboard=None, submission=["flow"], check=str(check)
        )
        assert telling in text and (f"warnings in {check}" in text) == (samples is equal)
