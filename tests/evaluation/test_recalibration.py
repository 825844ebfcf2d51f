"""Recalibration of posteriors that are known in closed form."""

from __future__ import annotations

import json

import numpy as np
import pytest
from report_content import N_TARGETS, make_planets
from scipy.special import ndtr, ndtri

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import JOINT, MEAN, posterior_dataset
from arielflow.evaluation.calibration.fresh import fit_recalibration, measure
from arielflow.evaluation.calibration.gain import measure_gain
from arielflow.evaluation.calibration.recalibration import (
    FEWEST_PLANETS,
    KNOTS,
    Recalibration,
    recalibrate_posterior,
)
from arielflow.evaluation.diagnostics import exact_calibration_error

LEVELS = np.linspace(0.02, 0.98, 49)
ERROR = 0.1  # of a bin that shows a target directly, in widths of the prior


def ranks(n_planets: int, width: float, seed: int, shift: float = 0.0) -> np.ndarray:
    """In normal posteriors of one target, ``width`` times too wide, shifted in exact deviations."""
    normal = np.random.default_rng(seed).standard_normal((n_planets, 1))
    return ndtr((normal - shift) / width)


def fitted(*given, **more) -> Recalibration:
    return Recalibration.fitted(ranks(*given, **more), ["a"])


def largest_error(found: Recalibration, width: float, shift: float = 0.0) -> float:
    """Of the fitted distribution of ranks."""
    exact = ndtr(width * ndtri(LEVELS) + shift)
    return float(np.abs(found.level(LEVELS[:, None])[:, 0] - exact).max())


@pytest.mark.parametrize(("width", "shift"), [(1.0, 0.0), (0.6, 0.0), (1.6, 0.0), (1.0, 0.5)])
def test_the_map_is_that_of_a_normal_posterior(width: float, shift: float) -> None:
    assert largest_error(fitted(5000, width, 1, shift=shift), width, shift) < 0.02


def test_few_planets_make_no_wild_map() -> None:
    off = [largest_error(fitted(FEWEST_PLANETS, 1.0, seed), 1.0) for seed in range(20)]
    # The largest distance of the ranks' own distribution, which the map smooths.
    assert np.median(off) < 0.06 and max(off) < 0.12
    for seed in range(20):
        slope = np.exp(fitted(FEWEST_PLANETS, 1.0, seed).log_slope)
        assert slope.min() > 0.7 and slope.max() < 1.5


def test_maps_are_monotone_whatever_the_ranks_are() -> None:
    lumps = np.repeat([[0.0], [0.31], [0.999], [1.0]], 100, axis=0)
    found = Recalibration.fitted(lumps, ["a"])
    assert (np.diff(found.level(np.linspace(0.001, 0.999, 500)[:, None])[:, 0]) > 0).all()


def test_samples_keep_their_order_and_the_edges_of_the_prior() -> None:
    rng = np.random.default_rng(3)
    theta = np.clip(rng.normal([[0.5, 0.0]], [[0.1, 0.1]], (2000, 2)), 0.0, 1.0)
    found = Recalibration.fitted(np.repeat(ranks(4000, 0.5, 2), 2, axis=1), ["a", "b"])
    low, high = np.array([0.0, 0.0]), np.array([1.0, 1.0])
    mended = found.samples(theta, np.ones(2000), low, high)
    for column in range(2):
        order = np.argsort(theta[:, column], kind="stable")
        assert (np.diff(mended[order, column]) >= 0).all()
    assert (mended >= low).all() and (mended <= high).all()
    middle = np.abs(theta[:, 0] - 0.5) < 0.07
    assert np.std(mended[middle, 0]) > 1.7 * np.std(theta[middle, 0])
    # Beyond the last sample the tail goes on: no heap of samples at one value.
    assert len(np.unique(mended[:, 0])) > 1990


def test_weights_count() -> None:
    rng = np.random.default_rng(4)
    theta = rng.normal(0, 1, (4000, 1))
    found, box = fitted(5000, 0.6, 1), (np.array([-20.0]), np.array([20.0]))
    narrow = np.exp(-0.5 * theta[:, 0] ** 2 * (1 / 0.6**2 - 1))
    mended = found.samples(theta, narrow, *box)[:, 0]
    share = narrow / narrow.sum()
    assert np.sqrt(share @ (mended - share @ mended) ** 2) == pytest.approx(1, abs=0.08)


class NormalModel:
    """Posteriors of :func:`planets`, ``width`` times as wide as the exact ones, correlated."""

    def __init__(self, width: float) -> None:
        self.width = width

    def sample(self, planets, n_samples: int, *, seed: int):
        datum = planets["transit_depth"].values[:, None, :N_TARGETS]
        low, high = (planets[name].values[:, None] for name in ("prior_low", "prior_high"))
        shape = len(datum), n_samples, N_TARGETS
        normal = np.random.default_rng(seed).standard_normal(shape)
        theta = low + (high - low) * (datum + self.width * ERROR * normal)
        return posterior_dataset(planets, np.clip(theta, low, high))


def planets(seed: int):
    """A flat prior far wider than the noise: the exact posterior is the datum's normal one."""
    found = make_planets(400, "test", seed)
    low, high = found["prior_low"].values, found["prior_high"].values
    unit = 0.4 + 0.2 * np.random.default_rng(seed).random(low.shape)
    depth = found["transit_depth"].values
    depth[:, :N_TARGETS] = unit
    return found.assign(
        theta=(("planet", "target"), low + (high - low) * unit),
        transit_depth=(("planet", "wavelength"), depth),
        transit_depth_error=(("planet", "wavelength"), np.full(depth.shape, ERROR)),
        quality=("planet", np.zeros(400, int)),
    )


def test_a_width_of_six_tenths_is_mended() -> None:
    model = NormalModel(0.6)
    found = fit_recalibration(model, planets(1), 400, seed=1)
    table = measure_gain(model, planets(2), found, 400, seed=2).set_index(["measure", "target"])
    error = table.loc[("calibration_error", MEAN)]
    assert error["before"] > 0.12 and error["after"] < 2.5 * exact_calibration_error(400)
    assert error["change_low"] < error["change"] < error["change_high"] < -0.1
    assert table.loc[("coverage_68", MEAN), "before"] == pytest.approx(0.45, abs=0.03)
    assert table.loc[("coverage_68", MEAN), "after"] == pytest.approx(0.68, abs=0.03)
    # Its true 2.5 % quantile lies beyond the 400 samples.
    assert 0.9 < table.loc[("coverage_95", MEAN), "after"] < 0.97
    assert table.loc[("energy_score", JOINT), "change_high"] < 0
    assert (table["n_planets"] == 400).all()


def test_exact_posteriors_are_left_alone_within_noise() -> None:
    model = NormalModel(1.0)
    found = fit_recalibration(model, planets(3), 400, seed=3)
    table = measure_gain(model, planets(4), found, 400, seed=4).set_index(["measure", "target"])
    assert table.loc[("calibration_error", MEAN), "after"] < 2 * exact_calibration_error(400)
    assert abs(table.loc[("coverage_68", MEAN), "change"]) < 0.02
    energy = table.loc[("energy_score", JOINT)]
    assert abs(energy["change"]) < 0.01 * energy["before"]
    mended = measure(model, planets(4), 400, seed=4, recalibration=found)
    plain = measure(model, planets(4), 400, seed=4)
    assert np.abs(mended.ranks - plain.ranks).max() < 0.08
    assert mended.planets.attrs["noise"] == "included"


def test_planets_without_a_posterior_are_left_as_they_are() -> None:
    some = planets(5).isel(planet=slice(0, 3))
    posterior = NormalModel(1.0).sample(some, 50, seed=1)
    names = [str(name) for name in some["target"].values]
    found = Recalibration.fitted(np.repeat(ranks(500, 0.5, 1), N_TARGETS, axis=1), names)
    given = posterior.assign(
        retrieved=("planet", np.array([1, 0, 1], dtype=np.int8)),
        epistemic=(("planet", "target"), np.ones((3, N_TARGETS))),
        log_prob=(("planet", "sample"), np.ones((3, 50))),
    )
    mended = recalibrate_posterior(given, some.isel(planet=[2, 0, 1]), found)
    same = (mended["theta"].values == given["theta"].values).all(axis=(1, 2))
    assert list(same) == [False, True, False]
    assert not {"epistemic", "log_prob"} & set(mended.variables)
    with pytest.raises(ArielflowError, match="fitted for a"):
        recalibrate_posterior(given, some, fitted(500, 1.0, 1))


def test_a_map_is_read_as_it_was_written(tmp_path) -> None:
    found = fitted(1000, 0.8, 1)
    found.write(tmp_path / "map.json")
    again = Recalibration.read(tmp_path / "map.json")
    assert again.target_names == ("a",) and again.n_planets == 1000
    assert np.array_equal(again.offset, found.offset)
    assert np.array_equal(again.log_slope, found.log_slope)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"offset": ["x"]}, "holds no maps"),
        ({"offset": [float("nan")]}, "finite"),
        ({"offset": [1.0, 2.0]}, r"\(2,\)"),
        ({"knots": [0.0]}, "knots"),
        ({"targets": 3}, "holds no maps"),
    ],
)
def test_damaged_maps_are_told(tmp_path, change: dict, words: str) -> None:
    path = tmp_path / "map.json"
    fitted(1000, 0.8, 1).write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ArielflowError, match=words) as caught:
        Recalibration.read(path)
    assert "\n" not in str(caught.value) and "map.json" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: fitted(100, 1.0, 1), "100 planets, expected at least 200"),
        (lambda: Recalibration.fitted(ranks(300, 1.0, 1), ["a", "b"]), "2\\)"),
        (lambda: Recalibration.fitted(ranks(300, 1.0, 1) + 1, ["a"]), "outside of 0 to 1"),
        (lambda: Recalibration.fitted(ranks(300, 1.0, 1) * np.nan, ["a"]), "unknown"),
        (
            lambda: fitted(300, 1.0, 1).samples(
                np.ones((5, 2)), np.ones(5), np.zeros(2), np.full(2, 2.0)
            ),
            "samples of 2 targets",
        ),
        (
            lambda: fitted(300, 1.0, 1).samples(
                np.ones((5, 1)), np.ones(5), np.full(1, 2.0), np.zeros(1)
            ),
            "below high",
        ),
    ],
)
def test_bad_input_is_one_line(make, words: str) -> None:
    with pytest.raises(ArielflowError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_knots_lie_even_about_the_middle() -> None:
    assert np.allclose(np.add(KNOTS, KNOTS[::-1]), 0)
