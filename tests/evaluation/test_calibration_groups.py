"""Calibration by groups against analytic posteriors: exact, over-confident, and so in one group."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from report_content import make_planets
from scipy.special import ndtr
from scipy.stats import binom

from arielflow.core.errors import ArielflowError
from arielflow.evaluation.calibration.findings import findings, summary, write_groups
from arielflow.evaluation.calibration.groups import (
    Band,
    all_planets,
    numbered_groups,
    quantile_groups,
    yes_no_groups,
)

N_PLANETS, N_TARGETS = 600, 2
NAMES = ["log_H2O", "log_CH4"]
RNG = np.random.default_rng(1)
VALUES = RNG.lognormal(size=N_PLANETS)
TOLD = RNG.random((N_PLANETS, N_TARGETS)) < 0.4


def groupings(n_planets: int = N_PLANETS) -> list:
    return [
        all_planets(n_planets, N_TARGETS),
        quantile_groups("signal_to_noise", "1", VALUES[:n_planets], 3, N_TARGETS),
        numbered_groups("cluster", np.arange(n_planets) % 2 + 1, N_TARGETS),
        yes_no_groups("detectable", TOLD[:n_planets], np.array([False, True])),
    ]


@pytest.fixture(scope="module")
def band() -> Band:
    return Band(groupings(), seed=5, n_draws=1000)


def ranks(seed: int, width: float | np.ndarray = 1.0) -> np.ndarray:
    """Of truths in normal posteriors that are ``width`` times as wide as the exact ones."""
    return ndtr(np.random.default_rng(seed).standard_normal((N_PLANETS, N_TARGETS)) / width)


def test_exact_posteriors_leave_the_band_as_often_as_it_says(band: Band) -> None:
    repeats = 400
    left = sum(band.cells(ranks(seed), NAMES)["outside"].any() for seed in range(100, 500))
    # The band's own level is known within .7 %, from a thousand draws.
    low, high = binom.ppf(0.0005, repeats, 0.036), binom.ppf(0.9995, repeats, 0.064)
    assert low <= left <= high


def test_the_table_has_a_row_per_group_and_target(band: Band) -> None:
    table = band.cells(ranks(1), NAMES)
    counts = table.groupby("covariate", sort=False).size()
    assert counts.to_dict() == {"all": 2, "signal_to_noise": 6, "cluster": 4, "detectable": 2}
    assert set(table.loc[table["covariate"] == "detectable", "target"]) == {"log_CH4"}
    own = table[table["covariate"] == "signal_to_noise"]
    assert (own["n_planets"] == N_PLANETS / 3).all()
    assert own["low"].iloc[0] == VALUES.min() and own["high"].iloc[-1] == VALUES.max()
    chosen = own["high"].iloc[0] >= VALUES
    central = np.abs(2 * ranks(1)[chosen, 0] - 1)
    assert own["coverage_68"].iloc[0] == pytest.approx((central <= 0.68).mean(), abs=2e-3)
    for level in (50, 68, 95):
        low, high = table[f"coverage_{level}_low"], table[f"coverage_{level}_high"]
        assert ((low < level / 100) & (level / 100 < high)).all()
        inside = table[f"coverage_{level}"].between(low, high)
        assert inside[~table["outside"]].all()
    # Fewer planets, a wider band.
    width = table["coverage_68_high"] - table["coverage_68_low"]
    assert width[0] < width[2] and table["calibration_error_limit"][0] < 0.1


@pytest.mark.parametrize("width", [0.6, 1.6])
def test_a_wrong_width_is_seen_in_every_group(band: Band, width: float) -> None:
    table = band.cells(ranks(2, width), NAMES)
    assert table["outside"].all() and (table["p_value"] < 0.05).all()
    assert ((table["coverage_68"] < 0.68) == (width < 1)).all()


def test_overconfidence_in_one_group_is_found_there(band: Band) -> None:
    width = np.ones((N_PLANETS, N_TARGETS))
    width[~TOLD[:, 1], 1] = 0.7
    table = band.cells(ranks(3, width), NAMES)
    outside = table[table["outside"]]
    assert set(outside["target"]) == {"log_CH4"}
    own = table[table["covariate"] == "detectable"].set_index("group")["outside"]
    assert own["no"] and not own["yes"]
    words = findings(table)
    assert len(words) == len(outside)
    (told,) = (line for line in words if "detectable" in line)
    share = 100 * table.loc[table["group"] == "no", "coverage_68"].iloc[0]
    assert told.startswith("log CH4 covers ") and "where it is not detectable" in told
    assert f"{share:.1f} % instead of 68 %" in told or "instead of 50 %" in told


def test_findings_begin_with_the_worst(band: Band) -> None:
    width = np.where(np.arange(N_PLANETS)[:, None] % 2 == 0, 0.4, 0.75) * np.ones(N_TARGETS)
    words = findings(band.cells(ranks(4, width), NAMES))
    assert "in cluster 1" in words[0] and "in cluster 1" in words[1]


def test_the_farthest_cell_is_told_though_it_is_inside(band: Band) -> None:
    table = band.cells(ranks(1), NAMES)
    assert not table["outside"].any() and (table["p_value"] > 0.05).all()
    found = summary(table, "flow")
    assert found["findings"] == [] and found["n_outside"] == 0
    assert "% of exact posteriors have a cell as far" in found["farthest"]


def test_files_of_a_folder(band: Band, tmp_path) -> None:
    planets = make_planets(12, "test", 5)
    names = [str(name) for name in planets["target"].values]
    wide = Band([all_planets(300, len(names))], seed=1, n_draws=100)
    table = wide.cells(np.random.default_rng(0).random((300, len(names))) ** 2, names)
    write_groups(table, planets, "flow", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "groups.csv",
        "groups.svg",
        "summary.json",
    ]
    found = summary(table, "flow")
    assert found["n_planets"] == 300 and found["n_cells"] == found["n_outside"] == len(names)
    assert len(pd.read_csv(tmp_path / "groups.csv")) == len(names)
    assert "<svg" in (tmp_path / "groups.svg").read_text()[:500]


def test_equal_values_make_fewer_groups() -> None:
    found = quantile_groups("temperature", "K", np.array([5.0, 5, 5, np.nan]), 4, 1)
    assert len(found.groups) == 1 and list(found.label[:, 0]) == [0, 0, 0, -1]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: quantile_groups("temperature", "K", np.full(3, np.nan), 2, 1), "known values"),
        (lambda: quantile_groups("temperature", "K", np.ones(3), 0, 1), "0 groups"),
        (lambda: Band([], seed=1), "0 groupings"),
        (lambda: Band(groupings(20), seed=1, level=1.2), "level 1.2"),
        (lambda: Band(groupings(20), seed=1, n_draws=5), "5 draws"),
        (lambda: Band(groupings(20), seed=1, n_draws=50).cells(ranks(1), NAMES), "expected"),
        (
            lambda: Band(groupings(), seed=1, n_draws=50).cells(ranks(1) * np.nan, NAMES),
            "unknown",
        ),
    ],
)
def test_bad_input_is_one_line(make, words: str) -> None:
    with pytest.raises(ArielflowError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_further_planets_get_the_clusters_of_the_exploration() -> None:
    from arielflow.exploration.components import assign_clusters, explore

    planets = make_planets(80, "train", 3)
    found = explore(planets, planets, n_components=3, clusters=range(2, 4), seed=1)
    own = assign_clusters(found, planets, planets.isel(planet=slice(10, 40)))
    usable = found["cluster_label"].values[: found.sizes["planet"] // 2]
    known = dict(zip(found["planet"].values, usable, strict=False))
    wanted = [known.get(name) for name in planets["planet"].values[10:40]]
    same = [a == b for a, b in zip(own, wanted, strict=True) if b is not None]
    assert len(same) > 20 and np.mean(same) > 0.9
    other = xr.Dataset({"transit_depth": (("planet", "wavelength"), np.ones((2, 3)))})
    with pytest.raises(ArielflowError, match="same grid"):
        assign_clusters(found, planets, other.assign_coords(wavelength=[1.0, 2, 3]))
