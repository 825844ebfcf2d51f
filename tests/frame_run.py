"""What a small run with detector frames hands to its report, made of a twin."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from frame_twins import write_twin

from arielflow.core.files import write_table
from arielflow.core.netcdf import read_netcdf
from arielflow.editions import get_frame_edition
from arielflow.frames.chunk import calibrate_planets
from arielflow.frames.folder import FrameFolder
from arielflow.report.frames_page import FrameReportInputs
from arielflow.settings.frames import CalibrationSettings, LightCurveSettings

EDITION = get_frame_edition("adc2025")
PLANETS = {"train": ("101", "102"), "test": ("201",)}
HOSTILE_LINE = "planet <b>201</b>: sigma is large"


def make_frame_run(
    folder: Path, airs_pairs: int = 64, planets: dict[str, tuple[str, ...]] | None = None
) -> FrameReportInputs:
    """Calibrated planets, one of them seen twice and without a file, one unreadable; and scores.

    The spectra are the truth with errors of the size that they state.
    """
    planets = planets or PLANETS
    pairs = {"AIRS-CH0": airs_pairs, "FGS1": 12 * airs_pairs}
    twin = write_twin(folder / "data", EDITION, planets, pairs=pairs)
    _spoil(twin.path, planets)
    data = FrameFolder(twin.path, EDITION)
    settings = LightCurveSettings(pairs_per_bin=2)
    quality, curves = {}, []
    for split, names in planets.items():
        out = folder / split
        quality[split] = calibrate_planets(data, names, out, CalibrationSettings(), settings)
        curves += [read_netcdf(out / f"{name}.nc", "make it") for name in names]
    names = list(planets["train"])
    depth = np.array([twin.depth[name] for name in names])
    submission = folder / "box_baseline.csv"
    write_table(pd.DataFrame(columns=EDITION.submission_columns), submission)
    return FrameReportInputs(
        config={
            "run": "twin",
            "edition": EDITION.name,
            "seed": 1,
            "frames": {"path": "data/adc2025", "submitted": "box_baseline"},
        },
        edition=EDITION,
        quality=quality,
        curves=curves,
        leaderboard=leaderboard(),
        spectra=spectra(names, depth),
        truth=xr.DataArray(depth, dims=("planet", "channel"), coords={"planet": names}),
        submission=submission,
        check={
            "valid": True,
            "faults": {str(submission): []},
            "warnings": {str(submission): [HOSTILE_LINE]},
            "fallback_planets": [planets["test"][-1]],
        },
        jobs=pd.DataFrame(
            {"job": ["calibrate_frames_train_0"], "seconds": [75.0], "memory_mb": [612.0]}
        ),
        manifest={"code": {"commit": "c0ffee"}},
    )


def _spoil(data: Path, planets: dict[str, tuple[str, ...]]) -> None:
    lit, dark = data / "train" / planets["train"][-1], data / "test" / planets["test"][-1]
    for sensor in EDITION.sensors:
        own, again = (EDITION.signal_file(lit, sensor, visit) for visit in (0, 1))
        shutil.copy(own, again)
        own, again = (EDITION.calibration_folder(lit, sensor, visit) for visit in (0, 1))
        shutil.copytree(own, again)
        EDITION.signal_file(dark, sensor, 0).write_bytes(b"PAR1 no longer")
    (own / "dead.parquet").unlink()


def leaderboard() -> pd.DataFrame:
    """Scores of a row and of the floor."""
    rows = {"box_baseline": (0.412, 0.35, 0.46, 0.412, -1.2345), "constant": (0.0, 0, 0, -0.01, -2)}
    names = ["score", "score_low", "score_high", "unclipped_score", "worst_planet_score"]
    table = pd.DataFrame(rows.values(), columns=names)
    table.insert(0, "model", list(rows))
    return table.assign(worst_planet="102", fallback_planets=0)


def spectra(planets: list[str], depth: np.ndarray) -> dict[str, xr.Dataset]:
    """By row spectra of planets; the floor's are all alike."""
    rng, dims = np.random.default_rng(5), ("planet", "channel")
    sigma = np.linspace(1e-4, 6e-4, depth.shape[1]) * np.ones_like(depth)
    found = {
        "box_baseline": (depth + sigma * rng.standard_normal(depth.shape), sigma),
        "constant": (np.full_like(depth, depth.mean()), np.full_like(depth, 2e-3)),
    }
    return {
        row: xr.Dataset(
            {
                "depth": (dims, value),
                "sigma": (dims, error),
                "fallback": ("planet", np.zeros(len(planets), np.int8)),
            },
            coords={"planet": planets},
        )
        for row, (value, error) in found.items()
    }
