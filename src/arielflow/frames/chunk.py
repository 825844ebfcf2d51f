"""Light curves of many planets, one file each: resumable, and no planet sinks the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.code import code_digest
from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_dataset
from arielflow.core.netcdf import read_netcdf
from arielflow.core.seeds import fingerprint
from arielflow.editions import FrameEdition
from arielflow.frames.dataset import light_curve_dataset
from arielflow.frames.folder import FrameFolder
from arielflow.frames.planet import planet_light_curves
from arielflow.frames.quality import FrameQuality, Note
from arielflow.frames.visit import Options, SensorVisit
from arielflow.settings.frames import CalibrationSettings, LightCurveSettings

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


def calibrate_planets(
    folder: FrameFolder,
    planets: Sequence[str],
    output: str | Path,
    calibration: CalibrationSettings,
    settings: LightCurveSettings,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Write the light curves of planets, ``<output>/<planet>.nc`` each.

    A file that is there and was made from the same frames, settings and code is kept, so that an
    interrupted call loses the planets in work at most. A planet whose files cannot be understood
    at all gets a file without light curves, and its reason.

    Parameters
    ----------
    folder
        The data set.
    planets
        Identifiers.
    output
        Folder of the files.
    calibration, settings
        Steps and options.
    progress
        Called with the number of planets done and of all.

    Returns
    -------
    pandas.DataFrame
        The planets' quality: ``planet_id``, ``visits``, ``quality`` (bit mask over visits and
        sensors), ``flags`` (their names), ``notes``.

    Raises
    ------
    ArielflowError
        The data set's tables are of no use.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    folder.check_axis()
    options = Options(calibration, settings)
    code = code_digest(__name__)
    rows = []
    for done, planet in enumerate(planets, 1):
        mark = _mark(folder, planet, options, code)
        path = output / f"{planet}.nc"
        kept = _kept(path, mark)
        rows.append(quality_row(kept) if kept else _calibrate(folder, planet, path, options, mark))
        if progress:
            progress(done, len(planets))
    return pd.DataFrame(rows)


def quality_row(curves: xr.Dataset) -> dict[str, object]:
    """A planet's row of the quality table, from its light curves."""
    quality = FrameQuality(int(np.bitwise_or.reduce(curves["quality"].values, axis=None)))
    return {
        "planet_id": curves.attrs["planet_id"],
        "visits": curves.sizes["visit"],
        "quality": int(quality),
        "flags": " ".join(str(flag.name).lower() for flag in quality),
        "notes": "; ".join(curves.attrs["notes"].splitlines()),
    }


def _calibrate(
    folder: FrameFolder, planet: str, path: Path, options: Options, mark: str
) -> dict[str, object]:
    try:
        curves = planet_light_curves(folder, planet, options.calibration, options.settings)
    except (ArielflowError, OSError) as error:
        curves = _without_curves(folder.edition, planet, str(error), options)
    curves.attrs["fingerprint"] = mark
    write_dataset(curves, path)
    row = quality_row(curves)
    if row["quality"]:
        log.warning("planet %s: %s", planet, row["notes"])
    return row


def _without_curves(
    edition: FrameEdition, planet: str, reason: str, options: Options
) -> xr.Dataset:
    note = Note(FrameQuality.UNREADABLE_SIGNAL, reason)
    nothing = [SensorVisit(None, None, (note,))]
    nothing += [SensorVisit(None, None, ()) for _ in edition.sensors[1:]]
    return light_curve_dataset(edition, planet, [0], [nothing], options)


def _mark(folder: FrameFolder, planet: str, options: Options, code: str) -> str:
    """Fingerprint of what a planet's light curves follow from; frames by their size and time."""
    try:
        own = folder.planet_folder(planet, folder.split_of(planet))
    except ArielflowError:
        return ""  # asked for in a sample submission and not there: nothing to keep
    tables = [folder.table(name) for name in set(folder.edition.adc_table.values())]
    files = [path for path in (*sorted(own.rglob("*.parquet")), *sorted(tables)) if path.is_file()]
    stats = [(str(path.name), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    settings = options.calibration.model_dump(), options.settings.model_dump()
    return fingerprint(folder.edition.name, planet, stats, settings, code)


def _kept(path: Path, mark: str) -> xr.Dataset | None:
    """A planet's file, if it is there and whole and bears the fingerprint."""
    if not path.is_file():
        return None
    try:
        curves = read_netcdf(path)
    except ArielflowError:
        return None
    return curves if curves.attrs.get("fingerprint") == mark else None


def read_curves(output: str | Path, planets: Sequence[str]) -> Iterator[xr.Dataset]:
    """Light curves that :func:`calibrate_planets` wrote, planet by planet.

    Raises
    ------
    ArielflowError
        A planet's file is missing or damaged.
    """
    for planet in planets:
        yield read_netcdf(
            Path(output) / f"{planet}.nc", "remove its chunk's table and run the workflow again"
        )
