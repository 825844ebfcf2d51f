"""Light curves of twins: right fluxes, variances, jitter, outliers, and every kind of bad file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from frame_twins import Twin, write_frame, write_signal, write_twin

from arielflow.core.errors import ArielflowError
from arielflow.editions import get_frame_edition
from arielflow.frames.chunk import calibrate_planets
from arielflow.frames.folder import FrameFolder
from arielflow.frames.light_curves import binned, without_jitter
from arielflow.frames.planet import planet_light_curves
from arielflow.frames.quality import FrameQuality
from arielflow.settings.frames import CalibrationSettings, LightCurveSettings

EDITION = get_frame_edition("adc2025")
SHORT = {"AIRS-CH0": 60, "FGS1": 720}


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Twin:
    path = tmp_path_factory.mktemp("frames") / "data"
    return write_twin(path, EDITION, {"train": ("101",), "test": ("202",)})


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("short") / "data"
    write_twin(path, EDITION, {"train": ("101",)}, pairs=SHORT)
    return path


@pytest.fixture
def short(written: Path, tmp_path: Path) -> FrameFolder:
    return FrameFolder(shutil.copytree(written, tmp_path / "data"), EDITION)


@pytest.mark.parametrize("extraction", ["optimal", "aperture"])
def test_the_depth_is_in_the_light_curves(twin: Twin, extraction: str) -> None:
    folder = FrameFolder(twin.path, EDITION)
    curves = planet_light_curves(
        folder, "101", settings=LightCurveSettings(extraction=extraction, aperture_rows=32)
    )
    assert curves.attrs["notes"].count("\n") == 1 and "frames, expected" in curves.attrs["notes"]
    flux, variance = curves["flux"].values[0], curves["flux_variance"].values[0]
    assert flux.shape == (4, 283)
    # Whole bins: of four the outer ones are out of transit, the inner ones partly in.
    missing = np.stack(
        [
            twin.transit[s.name].reshape(4, -1).mean(axis=1)
            for s in EDITION.sensors
            for _ in range(s.n_channels)
        ],
        axis=1,
    )
    star = np.concatenate(
        [
            [twin.electrons["101", 0, "FGS1"].sum()],
            twin.electrons["101", 0, "AIRS-CH0"].sum(axis=0)[39:321][::-1],
        ]
    )
    expected = star * (1 - twin.depth["101"] * missing) * np.array([360] + [30] * 282)
    scale = (flux / expected).mean(axis=0)
    # Dead pixels and the background's share of the star's wings take a little light.
    assert np.abs(np.median(scale) - 1) < 0.02
    pull = (flux / scale - expected) / np.sqrt(variance)
    assert abs(pull.std() * np.sqrt(4 / 3) - 1) < 0.1


def test_fluxes_do_not_hang_on_binning(twin: Twin) -> None:
    folder = FrameFolder(twin.path, EDITION)
    sums = planet_light_curves(folder, "101")
    means = planet_light_curves(folder, "101", settings=LightCurveSettings(binning="mean"))
    pairs = np.array([360] + [30] * 282)
    np.testing.assert_allclose(means["flux"] * pairs, sums["flux"], rtol=1e-12)
    np.testing.assert_allclose(means["flux_variance"] * pairs**2, sums["flux_variance"])


def test_frames_in_one_column_are_the_same_frames(short: FrameFolder) -> None:
    expected = planet_light_curves(short, "101")
    for sensor in EDITION.sensors:
        path = EDITION.signal_file(short.path / "train" / "101", sensor, 0)
        counts = pd.read_parquet(path).to_numpy().ravel()
        pq.write_table(pa.table({"0": counts}), path)
    found = planet_light_curves(short, "101")
    np.testing.assert_allclose(found["flux"], expected["flux"], rtol=1e-6)


def test_row_groups_make_no_difference(short: FrameFolder) -> None:
    expected = planet_light_curves(short, "101")
    path = EDITION.signal_file(short.path / "train" / "101", EDITION.sensors[1], 0)
    pq.write_table(pq.read_table(path), path, row_group_size=37, compression="zstd")
    xr_equal(planet_light_curves(short, "101"), expected)


def xr_equal(one: object, other: object) -> None:
    np.testing.assert_array_equal(one["flux"].values, other["flux"].values)  # type: ignore[index]


def test_jitter_is_taken_out_and_the_transit_stays() -> None:
    rng = np.random.default_rng(6)
    n = 5400
    transit = np.where(np.abs(np.arange(n) - n / 2) < n / 6, 0.98, 1.0)
    position = 15 + 0.1 * rng.standard_normal((2, n))
    noise = 1e-3 * rng.standard_normal((3, n))
    slopes = np.array([[0.05, -0.02], [0.0, 0.0], [-0.03, 0.04]])
    flux = 1e5 * transit * (1 + noise + slopes @ (position - 15))
    corrected = without_jitter(flux.astype(np.float32), position.astype(np.float32), 30)
    right = 1e5 * transit * (1 + noise)
    in_transit = transit < 1
    depth, wanted = (
        curve[:, in_transit].mean(axis=1) / curve[:, ~in_transit].mean(axis=1)
        for curve in (corrected, right)
    )
    np.testing.assert_allclose(depth, wanted, atol=2e-5)
    scatter = np.diff(corrected, axis=1).std(axis=1) / np.diff(right, axis=1).std(axis=1)
    np.testing.assert_allclose(scatter, 1, atol=0.01)


def test_outliers_in_time_are_left_out_and_made_up_for() -> None:
    rng = np.random.default_rng(7)
    flux = 1e5 + 300 * rng.standard_normal((4, 3000))
    flux[1, [5, 700, 2999]] += 1e5
    shot, read = np.full(4, 8e4), np.full(4, 1e4)
    found = binned(flux, shot, read, 30, LightCurveSettings())
    assert 3 <= found.clipped <= 6
    assert np.abs(found.flux / 3e6 - 1).max() < 5 * 300 / 1e5 / np.sqrt(30)
    np.testing.assert_allclose(found.scatter_ratio, 1, atol=0.06)
    kept = binned(flux, shot, read, 30, LightCurveSettings(clip_sigma=None))
    assert kept.clipped == 0 and kept.flux[1].max() > 3.09e6


def truncated(folder: Path) -> None:
    path = EDITION.signal_file(folder, EDITION.sensors[1], 0)
    path.write_bytes(path.read_bytes()[:-2000])


def missing(folder: Path) -> None:
    EDITION.signal_file(folder, EDITION.sensors[0], 0).unlink()


def no_visit(folder: Path) -> None:
    for sensor in EDITION.sensors:
        EDITION.signal_file(folder, sensor, 0).unlink()


def no_flat(folder: Path) -> None:
    (EDITION.calibration_folder(folder, EDITION.sensors[1], 0) / "flat.parquet").unlink()


def no_calibration(folder: Path) -> None:
    shutil.rmtree(EDITION.calibration_folder(folder, EDITION.sensors[1], 0))


def nan_dark(folder: Path) -> None:
    dark = np.full((32, 356), 0.01)
    dark[3, 50:90] = np.nan
    write_frame(EDITION.calibration_folder(folder, EDITION.sensors[1], 0) / "dark.parquet", dark)


def nan_everywhere(folder: Path) -> None:
    place = EDITION.calibration_folder(folder, EDITION.sensors[1], 0)
    write_frame(place / "dark.parquet", np.full((32, 356), np.nan))


def small_flat(folder: Path) -> None:
    place = EDITION.calibration_folder(folder, EDITION.sensors[1], 0)
    write_frame(place / "flat.parquet", np.ones((32, 32)))


def swapped(folder: Path) -> None:
    one, other = (EDITION.signal_file(folder, sensor, 0) for sensor in EDITION.sensors)
    one.rename(folder / "kept")
    other.rename(one)
    (folder / "kept").rename(other)


def wrong_columns(folder: Path) -> None:
    path = EDITION.signal_file(folder, EDITION.sensors[1], 0)
    write_signal(path, np.full((20, 32, 300), 450, np.uint16))


def saturated(folder: Path) -> None:
    path = EDITION.signal_file(folder, EDITION.sensors[1], 0)
    counts = pd.read_parquet(path).to_numpy().reshape(-1, 32, 356).copy()
    counts[40, 15, 100] = 65535
    write_signal(path, counts)


def words(folder: Path) -> None:
    path = EDITION.signal_file(folder, EDITION.sensors[1], 0)
    pq.write_table(pa.table({"0": ["a", "b"]}), path)


def empty(folder: Path) -> None:
    EDITION.signal_file(folder, EDITION.sensors[1], 0).write_bytes(b"")


FAULTS: list[tuple[Callable[[Path], None], str, int]] = [
    (truncated, "UNREADABLE_SIGNAL", 1),
    (missing, "MISSING_SIGNAL", 282),
    (no_visit, "MISSING_SIGNAL", 0),
    (no_flat, "MISSING_CALIBRATION", 283),
    (no_calibration, "MISSING_CALIBRATION", 283),
    (nan_dark, "NAN_CALIBRATION", 283),
    (nan_everywhere, "NAN_CALIBRATION", 283),
    (small_flat, "WRONG_SHAPE", 283),
    (swapped, "SWAPPED_SENSORS", 283),
    (wrong_columns, "WRONG_SHAPE", 1),
    (saturated, "SATURATED", 283),
    (words, "UNREADABLE_SIGNAL", 1),
    (empty, "UNREADABLE_SIGNAL", 1),
]


@pytest.mark.parametrize(
    ("spoil", "flag", "channels"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS]
)
def test_what_is_wrong_is_flagged_and_the_rest_goes_on(
    short: FrameFolder, tmp_path: Path, spoil: Callable[[Path], None], flag: str, channels: int
) -> None:
    spoil(short.path / "train" / "101")
    table = calibrate_planets(
        short, ["101"], tmp_path / "out", CalibrationSettings(), LightCurveSettings()
    )
    (row,) = table.to_dict("records")
    assert FrameQuality[flag] & FrameQuality(row["quality"]), row
    assert flag.lower() in row["flags"].split() and "\n" not in row["notes"]
    curves = planet_light_curves(short, "101")
    assert np.isfinite(curves["flux"].values).all(axis=(0, 1)).sum() == channels


@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_never_stop_the_others(short: FrameFolder, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = EDITION.signal_file(short.path / "train" / "101", EDITION.sensors[0], 0)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    start = rng.integers(4, len(content) - 300)
    content[start : start + 200] = rng.integers(0, 256, 200)
    path.write_bytes(content.tobytes())
    options = CalibrationSettings(), LightCurveSettings()
    assert len(calibrate_planets(short, ["101"], tmp_path / "out", *options)) == 1


def test_two_visits(tmp_path: Path) -> None:
    write_twin(tmp_path, EDITION, {"test": ("9",)}, visits=2, pairs=SHORT)
    curves = planet_light_curves(FrameFolder(tmp_path, EDITION), "9")
    assert list(curves["visit"].values) == [0, 1] and np.isfinite(curves["flux"]).all()
    assert "visit 1: AIRS-CH0_signal_1.parquet" in curves.attrs["notes"]


def test_a_stopped_call_goes_on_where_it_was(short: FrameFolder, tmp_path: Path) -> None:
    shutil.copytree(short.path / "train" / "101", short.path / "train" / "102")
    out = tmp_path / "out"
    options = CalibrationSettings(), LightCurveSettings()
    first = calibrate_planets(short, ["101"], out, *options)
    time = (out / "101.nc").stat().st_mtime_ns
    table = calibrate_planets(short, ["101", "102"], out, *options)
    assert (out / "101.nc").stat().st_mtime_ns == time
    assert table.iloc[0].to_dict() == first.iloc[0].to_dict() and len(table) == 2
    (out / "102.nc").write_bytes((out / "102.nc").read_bytes()[:500])
    calibrate_planets(short, ["101", "102"], out, *options)
    assert (out / "101.nc").stat().st_mtime_ns == time
    calibrate_planets(short, ["101"], out, CalibrationSettings(hot=True), LightCurveSettings())
    assert (out / "101.nc").stat().st_mtime_ns != time


def table_faults(folder: FrameFolder, content: str) -> str:
    (folder.path / "adc_info.csv").write_text(content)
    return planet_light_curves(folder, "101").attrs["notes"]


def test_gain_tables(tmp_path: Path) -> None:
    edition = get_frame_edition("adc2024")
    write_twin(tmp_path, edition, {"train": ("101", "102")}, pairs=SHORT)
    folder, path = FrameFolder(tmp_path, edition), tmp_path / "train_adc_info.csv"
    table = pd.read_csv(path)
    right = planet_light_curves(folder, "101")
    table.astype({"planet_id": float}).to_csv(path, index=False)
    xr_equal(planet_light_curves(folder, "101"), right)
    table[table["planet_id"] == 102].to_csv(path, index=False)
    curves = planet_light_curves(folder, "101")
    xr_equal(curves, right)
    assert "no row for planet 101" in curves.attrs["notes"]
    assert int(curves["quality"][0, 0]) & FrameQuality.MISSING_GAIN
    twice = pd.concat([table, table.assign(**{"FGS1_adc_gain": 0.5})])
    twice.to_csv(path, index=False)
    assert "2 different rows" in planet_light_curves(folder, "101").attrs["notes"]
    table.assign(**{"FGS1_adc_gain": "none"}).to_csv(path, index=False)
    with pytest.raises(ArielflowError, match="no planet has a gain above zero"):
        planet_light_curves(folder, "101")
    path.unlink()
    with pytest.raises(ArielflowError, match="no such file"):
        planet_light_curves(folder, "101")


def test_the_wrong_convention_is_told(short: FrameFolder) -> None:
    curves = planet_light_curves(short, "101", CalibrationSettings(adc="multiply"))
    assert "adc: divide gives" in curves.attrs["notes"]
    assert int(curves["quality"][0, 1]) & FrameQuality.DOUBTFUL_GAIN


def test_an_ascending_axis_is_refused(short: FrameFolder) -> None:
    path = short.path / "axis_info.parquet"
    axis = pd.read_parquet(path)
    short.check_axis()
    values = axis["AIRS-CH0-axis2-um"].to_numpy().copy()
    values[:356] = values[:356][::-1]
    axis.assign(**{"AIRS-CH0-axis2-um": values}).to_parquet(path)
    with pytest.raises(ArielflowError, match="ascending order"):
        short.check_axis()


def test_folders(tmp_path: Path, short: FrameFolder) -> None:
    with pytest.raises(ArielflowError, match="no such folder"):
        FrameFolder(tmp_path / "nowhere", EDITION)
    (tmp_path / "other").mkdir()
    with pytest.raises(ArielflowError, match="neither train/ nor test/"):
        FrameFolder(tmp_path / "other", EDITION)
    with pytest.raises(ArielflowError, match="has no planet 7"):
        planet_light_curves(short, "7")
    own = FrameFolder(short.path / "train", EDITION)
    xr_equal(planet_light_curves(own, "101"), planet_light_curves(short, "101"))
    (short.path / "train" / "101.0").mkdir()
    with pytest.raises(ArielflowError, match="same planet"):
        short.planets("train")
