"""Certificates against posteriors and residuals that are known in closed form."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import binom, multivariate_normal

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import Quality
from arielflow.evaluation.trust.certificate import certify
from arielflow.evaluation.trust.local_test import LEVEL, LocalTest
from arielflow.evaluation.trust.novelty import Novelty, Reconstruction, novelty_tests
from arielflow.evaluation.trust.posteriors import posterior_tests, predict
from arielflow.evaluation.trust.residuals import RESIDUAL_TESTS, Refit, residual_tests
from arielflow.evaluation.trust.rows import certify_rows
from arielflow.evaluation.trust.thresholds import AMBER_RATE, RED_RATE, Reference
from arielflow.evaluation.trust.verdicts import row_verdicts, verdict_counts
from arielflow.models import make_representation
from arielflow.retrieval.linear import gain, unabsorbed

WAVELENGTH_UM = np.geomspace(0.6, 7.5, 40)
N_TARGETS, N_SAMPLES = 3, 64
SLOPES = 20 * np.random.default_rng(1).standard_normal((40, N_TARGETS)).cumsum(axis=0) / 40**0.5


class LinearForward:
    """Depths that are a straight line of theta, errors of one."""

    def spectra(self, rows: np.ndarray, theta: np.ndarray) -> np.ndarray:
        return theta @ SLOPES.T


class GaussianModel:
    """The exact posterior of :class:`LinearForward` under a standard normal prior, or a wrong one.

    Parameters
    ----------
    width
        Times the exact standard deviations.
    shift
        In standard deviations.
    shear
        Correlation that the exact posterior does not have, between the first two targets.
    """

    has_log_prob = True

    def __init__(self, width: float = 1.0, shift: float = 0.0, shear: float = 0.0) -> None:
        exact = np.linalg.inv(SLOPES.T @ SLOPES + np.eye(N_TARGETS))
        factor = np.linalg.cholesky(exact)
        change = np.eye(N_TARGETS)
        change[1, 0] = shear
        change /= np.sqrt((change**2).sum(axis=1, keepdims=True))
        self.factor = width * factor @ change
        self.offset = shift * np.sqrt(np.diag(exact))

    def means(self, planets: xr.Dataset) -> np.ndarray:
        return planets["transit_depth"].values @ gain(SLOPES[None])[0].T + self.offset

    def sample(self, planets: xr.Dataset, n_samples: int, *, seed: int) -> xr.Dataset:
        rng = np.random.default_rng(seed)
        normal = rng.standard_normal((planets.sizes["planet"], n_samples, N_TARGETS))
        theta = self.means(planets)[:, None] + normal @ self.factor.T
        return xr.Dataset({"theta": (("planet", "sample", "target"), theta)})

    def log_prob(self, planets: xr.Dataset, theta: np.ndarray) -> np.ndarray:
        density = multivariate_normal(np.zeros(N_TARGETS), self.factor @ self.factor.T)
        # The prior is left out of the weights, as a uniform one would be.
        return density.logpdf(theta - self.means(planets)[:, None]) + 0.5 * (theta**2).sum(axis=2)


def linear_planets(count: int, seed: int) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    theta = rng.standard_normal((count, N_TARGETS))
    depth = theta @ SLOPES.T + rng.standard_normal((count, len(WAVELENGTH_UM)))
    return xr.Dataset(
        {
            "transit_depth": (("planet", "wavelength"), depth),
            "transit_depth_error": (("planet", "wavelength"), np.ones_like(depth)),
            "theta": (("planet", "target"), theta),
        },
        coords={
            "planet": [f"p{n}" for n in range(count)],
            "wavelength": WAVELENGTH_UM,
        },
    )


def checked(model: GaussianModel, planets: xr.Dataset, seed: int) -> pd.DataFrame:
    predicted = predict(model, LinearForward(), planets, N_SAMPLES, seed=seed)
    best = GaussianModel().means(planets)
    residual = planets["transit_depth"].values - best @ SLOPES.T
    return posterior_tests(model, planets, predicted, best, (residual**2).sum(axis=1))


WRONG = {
    "over-confident": (GaussianModel(width=0.6), 0.9),
    "under-confident": (GaussianModel(width=1.6), 0.9),
    "biased": (GaussianModel(shift=0.5), 0.9),
    "wrongly correlated": (GaussianModel(shear=2.0), 0.9),
}


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(checked(GaussianModel(), linear_planets(2000, 1), 2))


def nominal(share: float, rate: float) -> bool:
    """Whether a share of 3,000 planets is a rate, the threshold being that of 2,000 others."""
    low, high = binom.interval(0.999, 1200, rate)
    return bool(low <= 1200 * share <= high)


def test_exact_posteriors_are_called_wrong_at_the_nominal_rate(reference) -> None:
    tests = checked(GaussianModel(), linear_planets(3000, 3), 4)
    verdicts = reference.verdicts(reference.probabilities(tests))
    assert nominal(np.mean(verdicts == "red"), RED_RATE)
    assert nominal(np.mean(verdicts == "amber"), AMBER_RATE)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_posteriors_are_recognised(reference, name: str) -> None:
    # The power is that of one planet's 64 samples; stated, so that a weaker test would be noticed.
    model, power = WRONG[name]
    tests = checked(model, linear_planets(300, 5), 6)
    verdicts = reference.verdicts(reference.probabilities(tests))
    assert np.mean(verdicts != "green") > power


def noise_left(count: int, seed: int, added: np.ndarray | float = 0.0) -> pd.DataFrame:
    """Tests of the residuals of linear fits to noise, and to something added."""
    slopes = np.broadcast_to(SLOPES, (count, *SLOPES.shape))
    noise = np.random.default_rng(seed).standard_normal((count, len(WAVELENGTH_UM))) + added
    found = Refit(unabsorbed(slopes, noise), slopes, np.zeros((count, N_TARGETS)))
    return residual_tests(found, WAVELENGTH_UM)


def test_residuals_of_noise_have_the_moments_that_the_tests_expect() -> None:
    tests = noise_left(2000, 1)
    assert abs(tests["chi2"].mean() - 37) < 0.7
    for name in RESIDUAL_TESTS[1:4]:
        assert abs(tests[name].mean()) < 0.1 and 0.9 < tests[name].std() < 1.1


def test_a_band_is_found_where_it_is_and_named() -> None:
    band = 4 * np.exp(-0.5 * (np.log(WAVELENGTH_UM / 4.3) / 0.1) ** 2)
    tests = noise_left(200, 2, band).set_axis([f"p{n}" for n in range(200)])
    usual = Reference(noise_left(2000, 3))
    found = certify(tests, usual)
    assert (found["verdict"] == "red").mean() > 0.9
    assert abs(np.median(tests["pattern_um"]) - 4.3) < 0.3
    reasons = found["reasons"][found["verdict"] == "red"]
    assert reasons.str.startswith("extra absorption, ").mean() > 0.9
    assert found["next_step"].str.contains("add a gas that absorbs there").mean() > 0.5
    below = certify(noise_left(200, 2, -band).set_axis(range(200)), usual)
    assert below["reasons"].str.contains("too little absorption").mean() > 0.9


def test_a_planet_without_a_fit_has_no_residual_tests() -> None:
    residual = np.full((1, len(WAVELENGTH_UM)), np.nan)
    found = Refit(residual, SLOPES[None], np.zeros((1, N_TARGETS)))
    assert residual_tests(found, WAVELENGTH_UM)[list(RESIDUAL_TESTS)].isna().all(axis=None)


def test_novelty_grows_away_from_the_training_planets() -> None:
    train, other = linear_planets(500, 7), linear_planets(100, 8)
    space = Novelty.fitted(lambda planets: planets["transit_depth"].values, train)
    far = other.assign(transit_depth=other["transit_depth"] + 30)
    usual, strange = (novelty_tests({"spectrum": space}, p) for p in (other, far))
    for name in ("spectrum_distance", "spectrum_isolation"):
        assert strange[name].min() > usual[name].quantile(0.99)


def test_what_a_representation_cannot_reconstruct_is_strange() -> None:
    train, other = linear_planets(500, 7), linear_planets(100, 8)
    model = make_representation("pca", {"n_latent": N_TARGETS, "scaling": "standardised"})
    quality = np.zeros(500, dtype=int)
    usable = [p.assign(quality=("planet", quality[: p.sizes["planet"]])) for p in (train, other)]
    model.fit(usable[0], usable[1], seed=1, device="cpu")
    band = 10 * np.exp(-0.5 * (np.log(WAVELENGTH_UM / 4.3) / 0.1) ** 2)
    spaces = {"pca": Reconstruction(model, "cpu")}
    usual = novelty_tests(spaces, usable[1])
    strange = novelty_tests(spaces, usable[1].assign(transit_depth=other["transit_depth"] + band))
    assert list(usual) == ["pca_rest"]
    assert np.median(strange["pca_rest"]) > usual["pca_rest"].quantile(0.95)


def test_a_bin_that_no_sample_predicts_is_told_by_its_probability() -> None:
    planets = linear_planets(2000, 15)
    planets["transit_depth"].values[0, 7] += 8
    found = predict(GaussianModel(), LinearForward(), planets, N_SAMPLES, seed=16).outlying_bin
    assert 8**2 / 2 - 20 < found[0] < 8**2 / 2 + 20 and found[0] > found[1:].max()
    # Of forty bins alike the likeliest to be furthest out has a probability of 1/(2 * 40).
    assert abs(np.median(found[1:]) - np.log(80)) < 0.5


def test_the_least_likely_bin_is_told_and_decides_nothing() -> None:
    usual = noise_left(500, 3).assign(outlying_bin=np.arange(500.0))
    asked = noise_left(1, 21).set_axis(["a"]).assign(outlying_bin=1e4)
    with_it, without = (
        certify(tests, Reference(reference)).iloc[0]
        for tests, reference in (
            (asked, usual),
            (asked.drop(columns="outlying_bin"), usual.drop(columns="outlying_bin")),
        )
    )
    assert with_it["p_outlying_bin"] < 1e-6
    assert (with_it["verdict"], with_it["probability"]) == ("green", without["probability"])


def test_probabilities_go_on_beyond_all_calibration_planets() -> None:
    values = np.random.default_rng(0).exponential(size=1000)
    reference = Reference(pd.DataFrame({"one": values, "none": np.nan}))
    asked = pd.DataFrame({"one": [0.0, np.log(2), 10.0, 20.0, np.nan], "none": np.nan})
    found = reference.probabilities(asked)
    assert list(found) == ["one"]
    first = found["one"].to_numpy()
    assert first[0] == 1 and abs(first[1] - 0.5) < 0.05
    assert 1e-6 < first[2] < 1e-3 and first[3] < first[2] and np.isnan(first[4])
    with pytest.raises(ArielflowError, match="10 calibration planets, expected at least 300"):
        Reference(pd.DataFrame({"one": values[:10]}))


def row_planets() -> xr.Dataset:
    quality = [0, int(Quality.NON_FINITE_SPECTRUM), 0]
    return linear_planets(3, 9).assign(quality=("planet", quality))


def test_every_planet_of_every_row_has_a_certificate() -> None:
    calibration = checked(GaussianModel(), linear_planets(500, 10), 11)
    planets = row_planets()
    tests = checked(GaussianModel(), planets.isel(planet=[0, 2]), 12)
    weights = xr.Dataset(
        {
            "pareto_shape": ("planet", [0.2, np.nan, 0.9]),
            "effective_samples": ("planet", [2000.0, 0.0, 700.0]),
            "retrieved": ("planet", [1, 0, 1]),
        },
        coords={"planet": planets["planet"]},
    )
    # Without residual tests nothing but the weights speaks against an importance row.
    calibration["chi2"], tests["chi2"] = np.arange(500.0), [10.0, 20.0]
    table = certify_rows(
        planets, {"flow": tests}, {"flow": calibration}, {"flow_importance": weights}
    )
    assert list(table["planet"]) == ["p0", "p1", "p2"] * 2
    importance = table[table["row"] == "flow_importance"].set_index("planet")
    assert list(importance["verdict"]) == ["green", "red", "amber"]
    assert "Pareto shape 0.90" in importance.loc["p2", "reasons"]
    assert importance.loc["p2", "next_step"] == "retrieve the planet by nested sampling"
    assert verdict_counts(table, "flow_importance") == {"green": 1, "amber": 1, "red": 1}
    assert verdict_counts(table, "forest") == {}


def test_a_row_below_the_prior_is_red_as_a_whole() -> None:
    certificates = pd.DataFrame({"row": "flow", "planet": ["a", "b", "c"], "verdict": "green"})
    board = pd.DataFrame(
        {"model": ["flow", "forest", "prior", "ceiling"], "final_score": [700.0, 300, 400, 999]}
    )
    found = row_verdicts(certificates, board).set_index("row")
    assert list(found.index) == ["flow", "forest"]
    assert found.loc["flow", "verdict"] == "green" and found.loc["flow", "green"] == 3
    assert found.loc["forest", "reasons"] == "final_score 300, below the prior's 400"
    bad = certificates.assign(verdict=["red", "red", "green"])
    assert row_verdicts(bad, None).loc[0, "reasons"] == "most of its planets are red"


def test_the_best_sample_is_the_one_of_least_chi2() -> None:
    planets = linear_planets(50, 13)
    found = predict(GaussianModel(), LinearForward(), planets, N_SAMPLES, seed=14)
    residual = planets["transit_depth"].values - found.best() @ SLOPES.T
    assert np.allclose((residual**2).sum(axis=1), found.chi2.min(axis=1))


class LocallyNarrow(GaussianModel):
    """Exact, but too narrow where the first parameter is large."""

    def sample(self, planets: xr.Dataset, n_samples: int, *, seed: int) -> xr.Dataset:
        found = super().sample(planets, n_samples, seed=seed)
        mean = self.means(planets)[:, None]
        width = np.where(mean[..., :1] > 0, 0.6, 1.0)
        return found.assign(theta=mean + width * (found["theta"] - mean))


def test_a_local_test_finds_where_posteriors_are_not_calibrated() -> None:
    def context(planets: xr.Dataset) -> np.ndarray:
        return GaussianModel().means(planets)

    known, asked = linear_planets(1000, 17), linear_planets(300, 18)
    high = context(asked)[:, 0] > 0
    called = {}
    for name, model in {"exact": GaussianModel(), "narrow": LocallyNarrow()}.items():
        test = LocalTest.fitted(model, context, known, seed=19)
        called[name] = test.probabilities(asked, 20) < LEVEL
    assert called["exact"].mean() < 0.01
    assert called["narrow"][high].mean() > 0.9
    assert called["narrow"][~high].mean() < called["narrow"][high].mean()


def test_a_planet_without_local_calibration_is_amber() -> None:
    usual = Reference(noise_left(500, 3))
    tests = noise_left(4, 21).set_axis(["a", "b", "c", "d"]).assign(local_test=[0.5, 1e-5, 1, 1])
    found = certify(tests, usual).set_index("planet")
    assert found.loc["b", "verdict"] == "amber"
    assert found.loc["b", "reasons"].endswith("spectra like this one are not calibrated")
    assert found.loc["b", "p_local_test"] == 1e-5
