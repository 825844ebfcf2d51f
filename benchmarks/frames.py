"""Detector frames of full size into light curves: seconds, memory, and what scatter is left.

``python benchmarks/frames.py FOLDER`` writes five synthetic visits in the layout of 2025's
challenge into FOLDER (0.22 GB each, like the challenge's own; those that are there are kept). Each
is calibrated in processes of their own on one thread: with the defaults, with the search for cosmic
rays, with an aperture in place of optimal extraction, and the first visits in the order of the
organisers' example in plain NumPy. Prints tables and writes ``benchmarks/frames.csv``.

Processor seconds are told beside those of the clock, since other work may run beside; ratios are
those of one visit's jobs, one after the other. The files lie in the system's cache.
"""

from __future__ import annotations

import argparse
import os
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd
from frame_visits import write_visits

from arielflow.core.files import write_dataset, write_table
from arielflow.editions import get_frame_edition
from arielflow.editions.frames import Sensor
from arielflow.frames.folder import FrameFolder
from arielflow.frames.planet import planet_light_curves
from arielflow.settings.frames import CalibrationSettings, LightCurveSettings

EDITION = get_frame_edition("adc2025")
SEED = 2026
PLANETS, CORES = 1100, (2, 64)
REDDEST = 10
"""Channels from the last one that stand for 3.9 um."""
OURS = {
    "arielflow": (CalibrationSettings(), LightCurveSettings()),
    "arielflow, cosmic rays": (CalibrationSettings(cosmic_rays=True), LightCurveSettings()),
    "arielflow, aperture": (CalibrationSettings(), LightCurveSettings(extraction="aperture")),
}
ORGANISERS = "organisers' order, NumPy"


def calibrate(path: Path, planet: str, way: str) -> dict[str, Any]:
    """Light curves by this package, written to a file."""
    output = path / "light_curves" / f"{way}_{planet}.nc".replace(", ", "_").replace(" ", "_")
    started = perf_counter(), process_time()
    curves = planet_light_curves(FrameFolder(path, EDITION), planet, *OURS[way])
    write_dataset(curves, output)
    row = _cost(*started) | {"file_mb": output.stat().st_size / 1e6}
    row["cosmic_rays"] = int(curves["cosmic_rays"].sum())
    flux = curves["flux"].values[0]
    # With the background, which the organisers' example leaves in.
    pixels = [curves[f"usable_{s.name.replace('-', '_')}"].values[0] for s in EDITION.sensors]
    pixels = np.concatenate([[pixels[0].sum()], pixels[1].sum(axis=0)[::-1]])
    pairs = [s.pairs_per_bin for s in EDITION.sensors for _ in range(s.n_channels)]
    total = flux.mean(axis=0) + curves["background"].values[0] * pixels * pairs
    ratio = curves["scatter_ratio"].values[0]
    scatter = _scatter_ppm(flux)
    explained = np.sqrt(curves["flux_variance"].values[0].mean(axis=0)) / flux.mean(axis=0)
    row |= {
        "scatter_ratio_fgs1": ratio[0],
        "scatter_ratio_airs": np.median(ratio[1:]),
        "bin_scatter_ratio_airs": np.median(scatter[1:] / (1e6 * explained[1:])),
        "electrons": total,
    }
    return row | _three(scatter)


def organisers_order(path: Path, planet: str, way: str) -> dict[str, Any]:
    """Light curves as the organisers' example makes them, step by step on all frames at once."""
    started = perf_counter(), process_time()
    folder = path / "train" / planet
    gains = pd.read_csv(path / EDITION.adc_table["train"])
    curves = [_organisers_sensor(folder, sensor, gains) for sensor in EDITION.sensors]
    flux = np.concatenate([curves[0].sum(axis=1, keepdims=True), curves[1][:, ::-1]], axis=1)
    output = path / "light_curves" / f"organisers_{planet}.npy"
    np.save(output, flux)
    row = _cost(*started) | {"file_mb": output.stat().st_size / 1e6}
    return row | {"electrons": flux.mean(axis=0)} | _three(_scatter_ppm(flux))


def _organisers_sensor(folder: Path, sensor: Sensor, gains: pd.DataFrame) -> np.ndarray:
    """Electrons of a sensor's time bins, summed over the rows, (bin, column)."""
    place = EDITION.calibration_folder(folder, sensor, 0)
    frames = {
        name: pd.read_parquet(place / f"{name}.parquet").to_numpy()
        for name in ("dead", "dark", "flat", "linear_corr")
    }
    crop = slice(*sensor.crop)
    dead, dark, flat = (frames[name][:, crop] for name in ("dead", "dark", "flat"))
    powers = frames["linear_corr"].reshape(6, *sensor.shape)[..., crop]
    raw = pd.read_parquet(EDITION.signal_file(folder, sensor, 0)).to_numpy()
    signal = raw.astype(np.float64).reshape(-1, *sensor.shape)
    del raw
    gain, offset = (gains[f"{sensor.name}_adc_{what}"].iloc[0] for what in ("gain", "offset"))
    signal /= gain
    signal += offset
    signal = signal[:, :, crop].copy()
    signal[:, dead] = np.nan
    # Power by power, as polynomials are evaluated.
    linear = np.full_like(signal, powers[-1])
    for power in powers[-2::-1]:
        linear *= signal
        linear += power
    del signal
    for read, integration_s in enumerate(sensor.integration_s):
        linear[read::2] -= dark * integration_s
    pairs = linear[1::2] - linear[::2]
    del linear
    whole = pairs[: sensor.n_bins * sensor.pairs_per_bin]
    bins = whole.reshape(sensor.n_bins, sensor.pairs_per_bin, *whole.shape[1:]).sum(axis=1)
    return np.asarray(np.nansum(bins / flat, axis=1))


def _cost(started: float, started_cpu: float) -> dict[str, float]:
    return {
        "seconds": perf_counter() - started,
        "cpu_seconds": process_time() - started_cpu,
        "process_cpu_seconds": process_time(),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


def _scatter_ppm(flux: np.ndarray) -> np.ndarray:
    """Relative scatter from bin to bin, (channel,), of fluxes (bin, channel).

    By the median of the steps in the first and the last third of the visit, out of transit.
    """
    steps = np.abs(np.diff(flux / flux.mean(axis=0), axis=0))
    third = len(steps) // 3
    outside = np.concatenate([steps[:third], steps[-third:]])
    return np.asarray(1e6 * 1.4826 / np.sqrt(2) * np.median(outside, axis=0))


def _three(ppm: np.ndarray) -> dict[str, float]:
    """Scatter of FGS1, of AIRS-CH0's median channel and of its reddest ones."""
    red = ppm[-REDDEST:].mean()
    return {"fgs1_ppm": ppm[0], "airs_ppm": np.median(ppm[1:]), "red_ppm": red}


def alone(job: Callable[..., Any], *arguments: Any) -> Any:
    """What a job returns that runs in a new process, which keeps nothing of this one's memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(job, *arguments).result()


def measure(path: Path, planet: str, with_organisers: bool) -> list[dict[str, Any]]:
    """Costs of one visit by every way, with ratios to the organisers' order."""
    rows = []
    if with_organisers:
        rows.append({"way": ORGANISERS} | alone(organisers_order, path, planet, ORGANISERS))
    rows += [{"way": way} | alone(calibrate, path, planet, way) for way in OURS]
    expected = rows[0].pop("electrons") if with_organisers else None
    for row in rows[with_organisers:]:
        electrons = row.pop("electrons")
        if expected is not None:
            row["ratio"] = rows[0]["seconds"] / row["seconds"]
            row["cpu_ratio"] = rows[0]["cpu_seconds"] / row["cpu_seconds"]
            row["memory_ratio"] = rows[0]["peak_mb"] / row["peak_mb"]
            row["electrons_ratio"] = np.median(electrons / expected)
    print(f"planet {planet}: done", flush=True)
    return [{"planet": planet} | row for row in rows]


def report(table: pd.DataFrame) -> None:
    """Print medians over the visits and what a whole data set would cost."""
    columns = ["seconds", "cpu_seconds", "peak_mb", "ratio", "cpu_ratio", "memory_ratio"]
    columns += ["electrons_ratio", "file_mb"]
    by_way = table.groupby("way", sort=False)
    print(by_way[columns].median().round(3).to_string())
    print("largest:")
    print(by_way[columns[:3]].max().round(2).to_string())
    print(f"{PLANETS} planets of one visit each, extrapolated from medians by the clock:")
    for way, rows in by_way:
        minutes = [PLANETS * rows["seconds"].median() / 60 / cores for cores in CORES]
        disk = PLANETS * rows["file_mb"].median() / 1e3
        times = ", ".join(f"{m:.1f} min on {c} cores" for m, c in zip(minutes, CORES, strict=True))
        print(f"  {way}: {times}; light curves {disk:.2f} GB")
    scatter = ["scatter_ratio_fgs1", "scatter_ratio_airs", "bin_scatter_ratio_airs"]
    scatter += ["fgs1_ppm", "airs_ppm", "red_ppm", "cosmic_rays"]
    print("scatter:")
    print(by_way[scatter].median().round(3).to_string())
    red = table.pivot(index="planet", columns="way", values="red_ppm")
    ratio = red["arielflow, aperture"] / red["arielflow"]
    print(f"at 3.9 um the aperture scatters {ratio.median():.3f} times as much as the default")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the visits are, or will be")
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--organisers", type=int, default=2, help="visits by their order too")
    arguments = parser.parse_args()
    # Also the number of threads of pyarrow's readers; processes that are started take it over.
    os.environ["OMP_NUM_THREADS"] = "1"
    planets = [str(1001 + number) for number in range(arguments.visits)]
    alone(write_visits, arguments.folder, EDITION, planets, SEED)
    (arguments.folder / "light_curves").mkdir(exist_ok=True)
    rows: list[dict[str, Any]] = []
    for number, planet in enumerate(planets):
        rows += measure(arguments.folder, planet, number < arguments.organisers)
    table = pd.DataFrame(rows).round(4)
    write_table(table, Path(__file__).with_suffix(".csv"))
    report(table)


if __name__ == "__main__":
    main()
