"""Counts to electrons: against a plain transcription of the steps, on twins and on real frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.stats import sigma_clip
from frame_twins import GAIN, OFFSET, write_twin

from arielflow.editions import FrameEdition, get_frame_edition
from arielflow.editions.frames import Sensor
from arielflow.frames.cosmic_rays import remove_cosmic_rays
from arielflow.frames.dataset import image_name
from arielflow.frames.folder import FrameFolder
from arielflow.frames.planet import planet_light_curves
from arielflow.frames.response import adc_polynomial, composed, pair_differences
from arielflow.settings.frames import CalibrationSettings

REAL = Path(__file__).parents[3] / "shared" / "data" / "adc_frames"


def transcription(
    edition: FrameEdition, folder: Path, sensor: Sensor, settings: CalibrationSettings
) -> np.ndarray:
    """Differences of pairs, step by step in double precision; NaN where masked."""
    raw = pq.read_table(edition.signal_file(folder, sensor, 0)).to_pandas().to_numpy().ravel()
    frames = raw.reshape(-1, *sensor.shape)[:, :, slice(*sensor.crop)].astype(float)
    frames = frames * GAIN + OFFSET if settings.adc == "multiply" else frames / GAIN + OFFSET
    place = edition.calibration_folder(folder, sensor, 0)
    known = {
        name: pd.read_parquet(place / f"{name}.parquet").to_numpy()
        for name in ("dark", "dead", "flat", "linear_corr")
    }
    masked = np.zeros(sensor.shape, bool)
    if settings.dead:
        masked |= known["dead"]
    if settings.hot:
        masked |= np.ma.getmaskarray(sigma_clip(known["dark"], sigma=5, maxiters=5))
    frames[:, masked[:, slice(*sensor.crop)]] = np.nan
    if settings.linearity:
        powers = known["linear_corr"].reshape(-1, *sensor.shape)[..., slice(*sensor.crop)]
        frames = sum(power * frames**k for k, power in enumerate(powers))
    if settings.dark:
        seconds = np.tile(sensor.integration_s, len(frames) // 2)[:, np.newaxis, np.newaxis]
        frames = frames - known["dark"][:, slice(*sensor.crop)] * seconds
    differences: np.ndarray = frames[1::2] - frames[0::2]
    if settings.flat:
        differences /= known["flat"][:, slice(*sensor.crop)]
    return differences


def compare(folder: FrameFolder, planet: str, settings: CalibrationSettings) -> None:
    edition = folder.edition
    curves = planet_light_curves(folder, planet, settings, frames="pairs")
    for sensor in edition.sensors:
        found = curves[image_name(sensor, "frames")].values[0].astype(float)
        expected = transcription(edition, folder.path / "train" / planet, sensor, settings)
        assert np.array_equal(np.isnan(found), np.isnan(expected))
        assert np.nanmax(np.abs(found - expected)) < 0.02
        sums, right = np.nansum(found, axis=1), np.nansum(expected, axis=1)
        bright = np.abs(right) > 1000
        assert np.abs(sums / right - 1)[bright].max() < 1e-6


@pytest.fixture(scope="module", params=["adc2024", "adc2025"])
def twin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FrameFolder:
    edition = get_frame_edition(request.param)
    path = tmp_path_factory.mktemp("frames") / "data"
    write_twin(path, edition, {"train": ("785834",)}, pairs={"AIRS-CH0": 20, "FGS1": 240})
    return FrameFolder(path, edition)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"hot": True},
        {"adc": "multiply"},
        {"linearity": False, "dark": False},
        {"flat": False, "dead": False},
    ],
    ids=str,
)
def test_steps_equal_a_plain_transcription(twin: FrameFolder, settings: dict[str, object]) -> None:
    compare(twin, "785834", CalibrationSettings(**settings))


@pytest.mark.external
@pytest.mark.parametrize("hot", [False, True])
def test_real_frames_equal_a_plain_transcription(tmp_path: Path, hot: bool) -> None:
    source = REAL / "adc2025"
    if not source.is_dir():
        pytest.skip(f"{source} is not there")
    (tmp_path / "train").mkdir()
    for path in (source / "adc_info.csv", source / "axis_info.parquet"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "train" / "342072318").symlink_to(source / "train_50_frames" / "342072318")
    folder = FrameFolder(tmp_path, get_frame_edition("adc2025"))
    folder.check_axis()
    compare(folder, "342072318", CalibrationSettings(hot=hot))


@pytest.mark.external
@pytest.mark.parametrize("name", ["adc2024", "adc2025"])
def test_channels_are_the_real_columns_turned_round(name: str) -> None:
    if not (REAL / name).is_dir():
        pytest.skip(f"{REAL / name} is not there")
    edition = get_frame_edition(name)
    official = pd.read_csv(REAL / name / "wavelengths.csv").to_numpy().ravel()
    axis = pd.read_parquet(REAL / name / "axis_info.parquet")["AIRS-CH0-axis2-um"].dropna()
    assert np.abs(edition.wavelength_um - official).max() < 1e-12
    assert np.abs(axis.to_numpy()[39:321][::-1] - official[1:]).max() < 1e-12


@pytest.mark.external
def test_real_reset_reads_are_near_zero_electrons() -> None:
    edition = get_frame_edition("adc2025")
    folder = REAL / "adc2025" / "train_50_frames" / "342072318"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    constant, slope = adc_polynomial(GAIN, OFFSET, "divide")
    for sensor in edition.sensors:
        raw = pq.read_table(edition.signal_file(folder, sensor, 0)).to_pandas().to_numpy().ravel()
        resets = raw.reshape(-1, *sensor.shape)[0::2]
        assert abs(constant + slope * float(np.median(resets)) - 7) < 3


def test_composition_is_the_polynomial_of_the_straight_line() -> None:
    powers = np.array([0.14, 0.9999, -5.7e-9, 1.2e-11])[:, np.newaxis]
    x = np.linspace(0, 65535, 50)
    inside = OFFSET + x / GAIN
    expected = sum(p * inside**k for k, p in enumerate(powers))
    found = sum(p * x**k for k, p in enumerate(composed(powers, OFFSET, 1 / GAIN)))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-8)


def test_a_strongly_curved_response_keeps_all_its_powers() -> None:
    rng = np.random.default_rng(3)
    counts = rng.integers(300, 60_000, size=(5, 400)).astype(np.uint16)
    powers = np.array([10.0, 2.0, 1e-5, -3e-10, 2e-15])[:, np.newaxis] * np.ones(5)
    dark = np.arange(5.0)
    electrons = sum(p[:, np.newaxis] * counts.astype(float) ** k for k, p in enumerate(powers))
    expected = electrons[:, 1::2] - electrons[:, 0::2] - dark[:, np.newaxis]
    np.testing.assert_allclose(
        pair_differences(counts, powers, dark), expected, rtol=3e-6, atol=0.1
    )


def test_cosmic_rays_are_found_and_little_else() -> None:
    rng = np.random.default_rng(4)
    clean = (1000 + 40 * rng.standard_normal((30, 630))).astype(np.float32)
    hit = clean.copy()
    places = rng.choice(clean.size, 60, replace=False)
    hit.flat[places] += rng.uniform(600, 50_000, 60).astype(np.float32)
    hits = remove_cosmic_rays(hit, 8.0, 30)
    assert hits == 60
    others = np.ones(clean.size, bool)
    others[places] = False
    assert np.array_equal(hit.flat[others], clean.flat[others])
    assert np.abs(hit.flat[places] - 1000).max() < 40


def test_clean_pixels_lose_nothing_to_the_search() -> None:
    rng = np.random.default_rng(5)
    clean = rng.standard_normal((50, 6000)).astype(np.float32)
    same = clean.copy()
    assert remove_cosmic_rays(same, 8.0, 30) == 0 and np.array_equal(same, clean)
