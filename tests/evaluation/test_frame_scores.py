"""Official scores of spectra: against SciPy's normal distribution, their ends, and real labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from frame_spectra import PLANETS, Answers, answers, write_labels
from scipy.stats import norm

from arielflow.core.errors import ArielflowError
from arielflow.editions import FRAME_NAMES, get_frame_edition
from arielflow.editions.frames import Reference
from arielflow.evaluation.frames.scores import frame_score, reference_of
from arielflow.evaluation.frames.tables import read_labels

REFERENCE = Reference(0.0025, 0.0017)
# Measured on all 673 labels of 2024; the 540 that are public give it within 0.01.
WHITE_ERRORS = {
    5: (1.03, 0.983),
    10: (0.911, 0.866),
    20: (0.789, 0.747),
    30: (0.717, 0.679),
    50: (0.627, 0.592),
    100: (0.504, 0.474),
}


@pytest.fixture(params=FRAME_NAMES)
def name(request) -> str:
    """An edition's name."""
    return request.param


@pytest.fixture
def planets() -> Answers:
    """Forty planets."""
    return answers(40)


def scored(name: str, parts: Answers, reference: Reference | None = REFERENCE, **settings):
    return frame_score(get_frame_edition(name).score, *parts, reference, **settings)


def independent_score(name: str, parts: Answers, reference: Reference) -> float:
    """Either formula written down once more, before clipping."""
    truth, spectrum, sigma = parts
    own = norm.logpdf(truth, loc=spectrum, scale=np.clip(sigma, 1e-15, None))
    base = norm.logpdf(truth, loc=reference.mean, scale=reference.standard_deviation)
    if name == "adc2024":
        best = norm.logpdf(truth, loc=truth, scale=np.full(truth.shape, 1e-5)).sum()
        return (own.sum() - base.sum()) / (best - base.sum())
    scale = np.append([1e-6], np.full(truth.shape[1] - 1, 1e-5)) * np.ones(truth.shape)
    best = norm.logpdf(truth, loc=truth, scale=scale)
    weights = np.append([57.846], np.ones(truth.shape[1] - 1)) * np.ones(truth.shape)
    return np.average((own - base) / (best - base), weights=weights)


@pytest.mark.parametrize("factor", [0.1, 1.0, 30.0, 1000.0])
def test_both_formulas_agree_with_an_independent_one(name, planets, factor) -> None:
    parts = planets._replace(sigma=factor * planets.sigma)
    found = scored(name, parts)
    expected = independent_score(name, parts, REFERENCE)
    assert found.unclipped == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert found.score == pytest.approx(np.clip(expected, 0, 1), rel=1e-9, abs=1e-9)


def test_deviations_of_almost_nothing_count_as_1e_15(name, planets) -> None:
    for value in (0.0, 1e-300, 1e-15):
        parts = planets._replace(sigma=np.full_like(planets.sigma, value))
        expected = independent_score(name, parts, REFERENCE)
        assert scored(name, parts).unclipped == pytest.approx(expected, rel=1e-9)
    assert scored(name, parts).score == 0.0
    exact = parts._replace(spectrum=parts.truth)
    assert scored(name, exact).score == 1.0 < scored(name, exact).unclipped


def test_the_reference_scores_nothing(name, planets) -> None:
    own = get_frame_edition(name).score.reference or reference_of(planets.truth)
    flat = np.full_like(planets.truth, own.mean)
    parts = Answers(planets.truth, flat, np.full_like(flat, own.standard_deviation))
    found = scored(name, parts, None if name == "adc2024" else own)
    assert abs(found.unclipped) < 1e-12 and found.score < 1e-12
    assert np.abs(found.planets).max() < 1e-12


def test_the_ideal_answer_scores_one(name, planets) -> None:
    sigma = np.full_like(planets.truth, 1e-5)
    if name == "adc2025":
        sigma[:, 0] = 1e-6
    found = scored(name, Answers(planets.truth, planets.truth, sigma))
    assert found.score == pytest.approx(1, abs=1e-12)
    assert found.planets == pytest.approx(np.ones(40), abs=1e-12)


def test_the_reference_is_the_labels_mean_and_population_deviation(planets) -> None:
    found = reference_of(planets.truth)
    values = planets.truth.ravel().tolist()
    mean = sum(values) / len(values)
    assert found.mean == pytest.approx(mean, rel=1e-12)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    assert found.standard_deviation == pytest.approx(variance**0.5, rel=1e-12)


def test_a_planet_s_score_is_that_of_its_spectrum_alone(name, planets) -> None:
    found = scored(name, planets)
    for row in (0, 17, 39):
        alone = scored(name, Answers(*(part[row : row + 1] for part in planets)))
        assert found.planets[row] == pytest.approx(alone.unclipped, rel=1e-12)
        assert np.isnan([alone.low, alone.high]).all()
    mean = found.planets.mean()
    assert (mean == pytest.approx(found.unclipped, rel=1e-12)) == (name == "adc2025")


def test_2025_weighs_fgs1_like_58_channels(planets) -> None:
    sigma = np.full_like(planets.truth, 1e-5)
    sigma[:, 0] = 1e-6
    spectrum = planets.truth.copy()
    spectrum[:, 0], sigma[:, 0] = REFERENCE.mean, REFERENCE.standard_deviation
    found = scored("adc2025", Answers(planets.truth, spectrum, sigma))
    assert found.score == pytest.approx(282 / (282 + 57.846), rel=1e-9)


def test_the_interval_holds_the_score_and_is_as_wide_as_the_planets_scatter(name) -> None:
    planets = answers(200)
    found = scored(name, planets, seed=3)
    assert 0 <= found.low < found.score < found.high <= 1
    width = 2 * 1.96 * found.planets.std() / 200**0.5
    assert found.high - found.low == pytest.approx(width, rel=0.15)
    assert scored(name, planets, seed=3).low == found.low != scored(name, planets, seed=4).low


def test_the_interval_is_clipped_as_the_score_is(name, planets) -> None:
    found = scored(name, planets._replace(spectrum=planets.spectrum + 0.1))
    assert (found.score, found.low, found.high) == (0, 0, 0) and found.unclipped < 0


@pytest.mark.parametrize("part", ["truth", "spectrum", "sigma"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e-9, 1e300])
def test_what_is_no_number_is_never_scored(name, planets, part, value) -> None:
    spoilt = getattr(planets, part).copy()
    spoilt[3, 7] = value
    with pytest.raises(ArielflowError, match=f"1 values of {part} are not between") as caught:
        scored(name, planets._replace(**{part: spoilt}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [np.s_[:39], np.s_[:, :282], np.s_[0], np.s_[:0]])
def test_shapes_that_differ_are_refused(name, planets, cut) -> None:
    with pytest.raises(ArielflowError, match="have shapes"):
        scored(name, planets._replace(sigma=planets.sigma[cut]))


@pytest.mark.parametrize("cut", [np.s_[0], np.s_[:0], np.s_[:, :0]])
def test_shapes_without_planets_or_channels_are_refused(name, planets, cut) -> None:
    with pytest.raises(ArielflowError, match=r"expected \(planet, channel\)"):
        scored(name, Answers(*(part[cut] for part in planets)))


@pytest.mark.parametrize("deviation", [0.0, 1e-5, -1.0, np.nan, np.inf])
def test_a_reference_that_leaves_no_scale_is_refused(name, planets, deviation) -> None:
    with pytest.raises(ArielflowError, match="above the ideal answer's 1e-05"):
        scored(name, planets, Reference(0.0025, deviation))


def test_2025_needs_a_reference(planets) -> None:
    with pytest.raises(ArielflowError, match="no constants"):
        scored("adc2025", planets, None)
    for labels in (np.empty((0, 283)), np.array([[np.nan]])):
        with pytest.raises(ArielflowError, match="empty or not finite"):
            reference_of(labels)


@pytest.fixture(scope="module")
def real_labels(shared: Path) -> np.ndarray:
    """The public spectra of 2024 (planet, channel)."""
    path = shared / "data/adc_frames/adc2024/train_labels.csv"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return read_labels(path, get_frame_edition("adc2024")).spectrum


@pytest.mark.external
def test_real_labels_give_nearly_the_official_constants(real_labels) -> None:
    assert real_labels.shape == (540, 283)
    found = reference_of(real_labels)
    assert found.mean == pytest.approx(0.0026297, abs=5e-8)
    assert found.standard_deviation == pytest.approx(0.0017616, abs=5e-8)


@pytest.mark.external
@pytest.mark.parametrize("ppm", WHITE_ERRORS)
def test_what_white_errors_score_on_real_labels(real_labels, ppm) -> None:
    sigma = np.full_like(real_labels, 1e-6 * ppm)
    noise = np.random.default_rng(ppm).normal(size=sigma.shape)
    parts = Answers(real_labels, real_labels + sigma * noise, sigma)
    for name, expected in zip(FRAME_NAMES, WHITE_ERRORS[ppm], strict=True):
        found = scored(name, parts, reference_of(real_labels), n_resamples=1)
        assert found.unclipped == pytest.approx(expected, abs=0.01)


@pytest.mark.external
def test_what_flat_spectra_score_on_real_labels(real_labels) -> None:
    flat = np.broadcast_to(real_labels.mean(axis=1, keepdims=True), real_labels.shape)
    everywhere = np.full_like(real_labels, (real_labels - flat).std())
    own = np.broadcast_to((real_labels - flat).std(axis=1, keepdims=True), flat.shape)
    for sigma, expected in ((everywhere, 0.529), (own, 0.779)):
        found = scored("adc2024", Answers(real_labels, flat, sigma), reference_of(real_labels))
        assert found.unclipped == pytest.approx(expected, abs=0.01)


def test_a_run_goes_on_without_labels_that_are_no_spectra(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    edition = get_frame_edition("adc2025")
    truth = answers().truth
    truth[1, 7], truth[2, 0] = np.nan, -1.0
    planets = [*PLANETS[:4], PLANETS[4], PLANETS[4]]
    path = write_labels(tmp_path / "labels.csv", edition, truth, planets)
    with pytest.raises(ArielflowError, match="labels of edition adc2025"):
        read_labels(path, edition)
    kept = read_labels(path, edition, skip=True)
    assert kept.planet_ids == [PLANETS[0], PLANETS[3]]
    np.testing.assert_array_equal(kept.spectrum, truth[[0, 3]])
    assert all(name in caplog.text for name in (PLANETS[1], PLANETS[2], PLANETS[4]))
    write_labels(path, edition, np.full_like(truth, np.nan))
    with pytest.raises(ArielflowError, match="labels of edition adc2025"):
        read_labels(path, edition, skip=True)
