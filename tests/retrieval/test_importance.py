"""Importance sampling against posteriors and evidences that are known exactly."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import multivariate_normal, norm, truncnorm

from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_dataset
from arielflow.core.samples import weighted_ks
from arielflow.core.schema import (
    Quality,
    auxiliary_values,
    is_usable,
    open_dataset,
    posterior_dataset,
)
from arielflow.data.forward_models import edition_model
from arielflow.data.priors import prior_samples
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.models import make_estimator
from arielflow.models.ensemble import Ensemble
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.amortised import Fallback, Importance, importance_posteriors
from arielflow.retrieval.importance import _smoothed, importance_sampling
from arielflow.retrieval.kept_draws import kept_draws
from arielflow.retrieval.likelihood import gaussian_log_likelihood
from arielflow.retrieval.planets import gather_posteriors, retrieved_posterior
from arielflow.retrieval.proposals import Box, RedrawnMixture, fit_mixture
from arielflow.settings.importance import ImportanceSettings

LOW, HIGH = np.array([-5.0, -5.0, 0.0]), np.array([5.0, 5.0, 1.0])
MEAN, SIGMA = np.array([0.5, -1.0, 0.1]), np.array([0.3, 0.6, 0.2])
CORRELATION = 0.8


def _covariance() -> np.ndarray:
    covariance = np.diag(SIGMA**2)
    covariance[0, 1] = covariance[1, 0] = CORRELATION * SIGMA[0] * SIGMA[1]
    return covariance


def log_likelihood(theta: np.ndarray) -> np.ndarray:
    """A Gaussian; its third target runs into the prior's lower edge."""
    return multivariate_normal(MEAN, _covariance()).logpdf(theta)


def _proposal(shift: float, stretch: float, n: int = 2000):
    """Draws and density of a Gaussian that is off by ``shift`` and too wide by ``stretch``."""
    density = multivariate_normal(MEAN + shift * SIGMA, stretch**2 * np.diag(SIGMA**2))
    return density.rvs(n, random_state=3), density.logpdf


def _log_evidence() -> float:
    inside = norm(MEAN[2], SIGMA[2])
    return float(np.log(inside.cdf(1) - inside.cdf(0)) - np.sum(np.log(HIGH - LOW)))


@pytest.mark.parametrize(("shift", "stretch"), [(0.0, 1.3), (1.0, 1.0), (1.5, 0.9), (8.0, 0.5)])
def test_a_known_posterior_is_recovered_from_a_wrong_proposal(shift, stretch) -> None:
    result = importance_sampling(log_likelihood, *_proposal(shift, stretch), LOW, HIGH, seed=1)
    assert result.log_evidence == pytest.approx(_log_evidence(), abs=0.06)
    assert abs(result.log_evidence - _log_evidence()) < 5 * result.log_evidence_error + 1e-3
    assert result.pareto_shape < 0.7
    assert result.sampling_efficiency > 0.3
    assert (result.theta >= LOW).all() and (result.theta <= HIGH).all()
    edge = truncnorm(-MEAN[2] / SIGMA[2], (1 - MEAN[2]) / SIGMA[2], MEAN[2], SIGMA[2])
    exact = np.column_stack(
        [
            np.random.default_rng(0).multivariate_normal(MEAN[:2], _covariance()[:2, :2], 20000),
            edge.rvs(20000, random_state=1),
        ]
    )
    ks = weighted_ks(result.theta, result.weight, exact, np.ones(len(exact)))
    assert ks.max() < 0.04


def test_refinement_raises_the_efficiency() -> None:
    alone = ImportanceSettings(rounds=0, defensive_share=0.0)
    proposal = _proposal(2.0, 1.5)
    first = importance_sampling(log_likelihood, *proposal, LOW, HIGH, seed=1, settings=alone)
    refined = importance_sampling(log_likelihood, *proposal, LOW, HIGH, seed=1)
    assert refined.sampling_efficiency > 2 * first.sampling_efficiency
    assert first.likelihood_calls <= 2000 < refined.likelihood_calls <= 7500


def test_no_further_round_once_there_are_enough_effective_samples() -> None:
    def run(shift: float, **settings: object):
        chosen = ImportanceSettings(**settings)
        return importance_sampling(
            log_likelihood, *_proposal(shift, 1.3, 1500), LOW, HIGH, seed=1, settings=chosen
        )

    first, poorer, every = run(0.0), run(3.0), run(0.0, effective_aim=10_000_000)
    assert every.likelihood_calls > 1500 + 6 * 800
    assert first.likelihood_calls < poorer.likelihood_calls < every.likelihood_calls
    assert first.likelihood_calls < 0.5 * every.likelihood_calls
    for result in (first, poorer):
        assert result.effective_samples >= 1500 and result.pareto_shape <= 0.7
        assert abs(result.log_evidence - _log_evidence()) < 5 * result.log_evidence_error + 1e-3
    # A tail that is too heavy asks for more, whatever the number.
    assert run(0.0, pareto_shape_aim=-10.0).likelihood_calls > every.likelihood_calls


def test_a_poor_proposal_gets_more_draws_up_to_the_most() -> None:
    """Far off and narrow in seven dimensions: more rounds than seven, within limits."""
    low, high, mean = np.full(7, -5.0), np.full(7, 5.0), np.full(7, 2.0)
    target, far = multivariate_normal(mean, 0.01), multivariate_normal(-mean, 0.01)

    def run(density: object, **settings: object):
        draws = density.rvs(1000, random_state=3)
        chosen = ImportanceSettings(**settings)
        density = density.logpdf
        return importance_sampling(
            target.logpdf, draws, density, low, high, seed=1, settings=chosen
        )

    good, poor = run(target), run(far)
    short = run(far, most_draws=100)
    assert good.likelihood_calls <= 1050 + 7 * 800
    assert 1.5 * short.likelihood_calls < poor.likelihood_calls <= 10_000
    assert poor.sampling_efficiency > 5 * short.sampling_efficiency
    assert poor.log_evidence == pytest.approx(-7 * np.log(10), abs=0.1)


def test_a_proposal_that_misses_the_posterior_is_told_by_its_weights() -> None:
    """Without refinement and defence a too narrow, displaced proposal has a heavy tail."""
    alone = ImportanceSettings(rounds=0, defensive_share=0.0)
    result = importance_sampling(
        log_likelihood, *_proposal(3.0, 0.5), LOW, HIGH, seed=1, settings=alone
    )
    assert Fallback().needed(result)
    assert not Fallback().needed(
        importance_sampling(log_likelihood, *_proposal(0.0, 1.2), LOW, HIGH, seed=1)
    )


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e4, 1e6])
@pytest.mark.parametrize("count", [1, 2, 5, 24, 25, 30, 220])
def test_weights_are_finite_however_few_and_far_apart_the_draws_are(count, scale) -> None:
    log_weight = -scale * np.random.default_rng(count).random(count)
    weight, shape = _smoothed(log_weight)
    assert (weight >= 0).all() and weight.sum() == pytest.approx(1)
    assert weight[log_weight.argmax()] == weight.max()
    # One draw with all the weight is nothing to trust, and neither is a handful.
    assert scale < 1e4 or shape > 0.7
    assert count >= 25 or shape > 0.7


def test_same_seed_same_samples_and_calls_are_counted() -> None:
    calls = []

    def counted(theta: np.ndarray) -> np.ndarray:
        calls.append(len(theta))
        return log_likelihood(theta)

    first, second = (
        importance_sampling(counted, *_proposal(0.5, 1.0), LOW, HIGH, seed=4) for _ in range(2)
    )
    np.testing.assert_array_equal(first.theta, second.theta)
    np.testing.assert_array_equal(first.weight, second.weight)
    assert first.likelihood_calls + second.likelihood_calls == sum(calls)
    samples = first.equal_weight_samples(500, 2)
    np.testing.assert_array_equal(samples, second.equal_weight_samples(500, 2))


def test_no_likelihood_anywhere_is_one_error() -> None:
    with pytest.raises(ArielflowError, match="draws has a likelihood"):
        importance_sampling(
            lambda theta: np.full(len(theta), -1e100), *_proposal(0, 1), LOW, HIGH, seed=1
        )


@pytest.fixture(scope="module")
def flow_member(simulated: xr.Dataset, tmp_path_factory):
    """Folder of a flow that has learnt a little."""
    settings = {"layer_pairs": 1, "training": {"epochs": 25, "batch_size": 64}}
    flow = make_estimator("flow", settings)
    flow.fit(simulated.isel(planet=slice(0, 260)), simulated.isel(planet=slice(260, 300)), seed=1)
    folder = tmp_path_factory.mktemp("member")
    flow.save(folder)
    return folder


def test_planets_through_the_forward_model(
    simulated: xr.Dataset, physics: PhysicsSettings, flow_member
) -> None:
    """Chunks give what one call gives; a bad planet is flagged and sinks no other."""
    planets = simulated.isel(planet=slice(270, 274)).copy(deep=True)
    planets["quality"].values[2] = int(Quality.NON_FINITE_SPECTRUM)
    planets["transit_depth"].values[2] = np.nan

    def run(part: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
        return importance_posteriors(
            get_edition("adc2023"),
            part,
            Ensemble([flow_member]),
            physics=physics,
            seed=5,
            n_samples=1200,
            settings=ImportanceSettings(n_proposal=500, n_refined=500, rounds=5, most_draws=100),
            fallback=Fallback(efficiency=0.0, pareto_shape=1e9),
        )

    whole, fallback = run(planets)
    chunks = [run(planets.isel(planet=slice(start, None, 2)))[0] for start in range(2)]
    gathered = gather_posteriors(chunks, planets)
    xr.testing.assert_equal(
        gathered.drop_vars("seconds"), whole.drop_vars("seconds").sel(planet=gathered["planet"])
    )
    names = ("seed", "prior", "mode", "collision_induced_absorption", "n_proposal")
    for posterior in (whole, fallback, gathered):
        kept = [posterior.attrs[name] for name in names]
        assert kept == [5, planets.attrs["prior"], "reference", 0, 500]
        assert posterior.attrs["fallback_efficiency"] == 0.0
    assert list(whole["retrieved"].values) == [1, 1, 0, 1]
    assert "non finite spectrum" in whole["fault"].values[2]
    assert np.isnan(whole["sampling_efficiency"].values[2])
    assert np.isfinite(whole["theta"].values).all()
    assert not fallback["fallen_back"].any()
    good = whole.isel(planet=[0, 1, 3])
    assert (good["likelihood_calls"] <= 500 * 1.05 + 2500).all()
    # This flow has seen 260 planets; what matters here is that its weights say how good it is.
    efficiency, error = good["sampling_efficiency"].values, good["log_evidence_error"].values
    assert ((efficiency > 0) & (efficiency < 1)).all()
    assert (error >= np.sqrt((1 / efficiency - 1) / 3025) - 1e-9).all()


def test_weighted_draws_are_kept_and_change_no_sample(simulated, physics, flow_member) -> None:
    edition, planets = get_edition("adc2023"), simulated.isel(planet=[271, 272]).copy(deep=True)
    planets["transit_depth"].values[0, 7] = np.nan
    planets["quality"].values[0] = int(Quality.NON_FINITE_SPECTRUM)
    planets["transit_depth"].values[1] = np.nan
    planets["quality"].values[1] = int(Quality.NON_FINITE_SPECTRUM)

    def run(kept_draws: int) -> list[xr.Dataset]:
        sizes = {"n_proposal": 500, "n_refined": 500, "rounds": 5, "most_draws": 100}
        return importance_posteriors(
            edition,
            planets,
            Ensemble([flow_member]),
            physics=physics,
            seed=5,
            n_samples=700,
            settings=ImportanceSettings(**sizes, kept_draws=kept_draws),
            fallback=Fallback(efficiency=0.0, pareto_shape=1e9),
        )

    none, some = run(0), run(300)
    new = ["draw_theta", "draw_weight", "draw_log_likelihood", "wavelength"]
    for before, after in zip(none, some, strict=True):
        assert not set(new) & set(before.variables)
        xr.testing.assert_equal(
            before.drop_vars("seconds"), after.drop_vars([*new, "seconds"], errors="raise")
        )
        assert after["theta"].values.tobytes() == before["theta"].values.tobytes()
        assert kept_draws(after, str(planets["planet"].values[1])) is None
        draws = kept_draws(after, str(planets["planet"].values[0]))
        assert len(draws.weight) == 300
        forward = ForwardModel(edition_model(edition, physics), planets)
        expected = gaussian_log_likelihood(forward, 0)(draws.theta)
        assert np.isnan(draws.log_likelihood[:, 7]).all()
        # Draws are in single precision, their likelihoods rounded.
        found = np.nansum(draws.log_likelihood, axis=1)
        assert np.median(np.abs(found - expected)) < 0.05
        weighted = draws.weight @ draws.theta
        scatter = after["theta"].values[0].std(axis=0)
        np.testing.assert_array_less(
            np.abs(weighted - after["theta"].values[0].mean(axis=0)), 0.3 * scatter
        )


class PriorProposal:
    """The prior as a proposal: what samples and has a density will do."""

    def sample(self, planets: xr.Dataset, n_samples: int, *, seed: int) -> xr.Dataset:
        return posterior_dataset(planets, prior_samples(planets, n_samples, seed))

    def log_prob(self, planets: xr.Dataset, theta: np.ndarray) -> np.ndarray:
        width = (planets["prior_high"] - planets["prior_low"]).values
        return np.broadcast_to(-np.log(width).sum(axis=1)[:, None], theta.shape[:2])


def test_a_planet_that_no_radius_explains_is_its_own_fault(simulated, physics) -> None:
    planets = simulated.isel(planet=[4, 5]).copy(deep=True)
    planets["transit_depth_error"] *= 100
    auxiliary_values(planets, "star_radius_m")[1] = 1.1
    arguments = get_edition("adc2023"), planets, PriorProposal()
    options = {"physics": physics, "seed": 1, "n_samples": 100}
    options["settings"] = ImportanceSettings(
        n_proposal=200, n_refined=200, rounds=1, most_draws=100
    )
    options["fallback"] = Fallback(efficiency=0.0, pareto_shape=1e9)
    for posterior in importance_posteriors(*arguments, **options):
        assert posterior["retrieved"].values.tolist() == [1, 0]
        assert "star radius" in posterior["fault"].values[1]
        assert np.isfinite(posterior["log_evidence"].values).tolist() == [True, False]
    assert posterior["fallen_back"].values.tolist() == [0, 1]


def test_a_proposal_without_a_density_is_refused(simulated, physics) -> None:
    proposal = PriorProposal()
    proposal.has_log_prob = False
    with pytest.raises(ArielflowError, match="needs the proposal's density"):
        importance_posteriors(
            get_edition("adc2023"), simulated, proposal, physics=physics, seed=1, n_samples=100
        )


def test_gathered_chunks_survive_a_file(simulated: xr.Dataset, tmp_path) -> None:
    """Names of different lengths in the chunks' files, in an order that is not the planets'."""
    planets = simulated.isel(planet=slice(95, 104))  # train96 to train104
    whole = retrieved_posterior(planets, ["no data"] * 9, Importance.variables, 50, seed=1)
    for number in range(2):
        write_dataset(whole.isel(planet=slice(number, None, 2)), tmp_path / f"{number}.nc")
    parts = [open_dataset(tmp_path / f"{number}.nc") for number in (0, 1)]
    write_dataset(gather_posteriors(parts, planets), tmp_path / "whole.nc")
    xr.testing.assert_equal(open_dataset(tmp_path / "whole.nc"), whole)
    with pytest.raises(ArielflowError, match="remake the chunks"):
        gather_posteriors(parts[:1], planets)


@pytest.mark.slow
def test_fall_back_and_agreement_with_nested_sampling(physics: PhysicsSettings, tmp_path) -> None:
    edition = get_edition("adc2023")
    many = simulate_planets(edition, 4000, seed=3, split="train", prior="matched", physics=physics)
    many = many.isel(planet=is_usable(many))
    flow = make_estimator("flow", {"training": {"epochs": 30, "learning_rate": 2e-3}})
    flow.fit(many.isel(planet=slice(100, None)), many.isel(planet=slice(0, 100)), seed=1)
    flow.save(tmp_path / "member")
    planets = many.isel(planet=[7])
    first, second = importance_posteriors(
        edition,
        planets,
        Ensemble([tmp_path / "member"]),
        physics=physics,
        seed=5,
        n_samples=3000,
        fallback=Fallback(efficiency=1.0),
        state_dir=tmp_path / "state",
    )
    assert second["fallen_back"].item() == 1 and second["retrieved"].item() == 1
    assert first["log_evidence"].item() == pytest.approx(second["log_evidence"].item(), abs=0.1)
    weight = np.ones(3000)
    ks = weighted_ks(first["theta"].values[0], weight, second["theta"].values[0], weight)
    assert ks.max() < 0.06
    assert first["likelihood_calls"].item() < 0.4 * second["likelihood_calls"].item()


def test_redrawn_proposals_have_the_density_that_they_are_drawn_from() -> None:
    rng, box = np.random.default_rng(1), Box(np.array([-1.0, 2.0]), np.array([3.0, 2.5]))
    theta = box.theta(rng.normal((0.5, -0.4), (0.1, 0.3), (500, 2)))
    proposal = RedrawnMixture(fit_mixture(box, theta, np.zeros(500), 3, rng))
    steps = (np.arange(400) + 0.5) / 400
    grid = box.low + box.width * np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    weight = np.exp(proposal.log_prob(grid)) * box.width.prod() / len(grid)
    assert weight.sum() == pytest.approx(1, abs=2e-3)
    draws = proposal.draw(20_000, rng)
    for power in (1, 2):
        scale = box.width**power
        expected = weight @ (grid - box.low) ** power / scale
        np.testing.assert_allclose(
            np.mean((draws - box.low) ** power / scale, axis=0), expected, atol=0.01
        )


def test_targets_drawn_anew_find_what_all_other_proposals_miss() -> None:
    low, high = np.full(3, -10.0), np.full(3, 10.0)
    width = np.array([0.1, 0.2])

    def log_likelihood(theta: np.ndarray) -> np.ndarray:
        # A peak in all targets, and e^-4.6 of it wherever the third one is below -1.
        peak = norm.logpdf(theta[:, 2], 0.0, 0.1) - norm.logpdf(0.0, 0.0, 0.1)
        third = np.logaddexp(peak, np.where(theta[:, 2] < -1, -4.6, -np.inf))
        return norm.logpdf(theta[:, :2], 0.0, width).sum(axis=1) + third

    peak = multivariate_normal(np.zeros(3), np.diag([*width, 0.1]) ** 2)
    proposal = peak.rvs(600, random_state=1)
    expected = np.log((0.1 * np.sqrt(2 * np.pi) + 9 * np.exp(-4.6)) / 20**3)
    found = {}
    for n_redrawn in (0, 200):
        settings = ImportanceSettings(n_refined=400, n_redrawn=n_redrawn, rounds=3)
        found[n_redrawn] = importance_sampling(
            log_likelihood, proposal, peak.logpdf, low, high, seed=1, settings=settings
        )
    assert found[0].log_evidence < expected - 5 * found[0].log_evidence_error
    assert found[200].log_evidence == pytest.approx(expected, abs=3 * found[200].log_evidence_error)
    assert found[200].log_evidence_error < 0.05
