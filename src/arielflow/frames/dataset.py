"""Light curves of a planet as a dataset: what its file holds, and what the names mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from arielflow.editions import FrameEdition
from arielflow.editions.frames import Sensor
from arielflow.frames.quality import flags
from arielflow.frames.visit import Options, SensorVisit

_LONG_NAMES = {
    "flux": ("flux of a time bin", "electrons"),
    "flux_variance": ("variance of the flux by photons and reads", "electrons2"),
    "scatter_ratio": ("scatter from pair to pair over what photons and reads explain", "1"),
    "background": ("background that was subtracted, of a pair and pixel", "electrons"),
    "position_row": ("mean row of the light", "pixels"),
    "position_column": ("mean column of the light", "pixels"),
    "clipped": ("pairs left out as outliers", "1"),
    "cosmic_rays": ("hits of cosmic rays that were replaced", "1"),
    "quality": ("quality bit mask, 0 is good", "1"),
    "wavelength": ("wavelength of the channel", "um"),
    "time": ("middle of the time bin since the visit's start", "h"),
}


def image_name(sensor: Sensor, what: str = "image") -> str:
    """Variable of a sensor's mean ``image``, ``usable`` pixels or calibrated ``frames``."""
    return f"{what}_{sensor.name.replace('-', '_')}"


def light_curve_dataset(
    edition: FrameEdition,
    planet: str,
    visits: Sequence[int],
    found: Sequence[Sequence[SensorVisit]],
    options: Options,
) -> xr.Dataset:
    """The dataset of :func:`arielflow.frames.planet.planet_light_curves`.

    Parameters
    ----------
    edition, planet
        Whose light curves.
    visits
        Numbers of the visits.
    found
        By visit and sensor what was extracted.
    options
        How.
    """
    lengths = [s.light.flux.shape[1] for visit in found for s in visit if s.light]
    n_bins = max(lengths, default=1)
    per_channel = [_channels(edition, sensors, n_bins) for sensors in found]
    variables: dict[str, tuple[Any, ...]] = {
        name: (dims, np.stack([visit[name] for visit in per_channel]))
        for name, dims in (
            ("flux", ("visit", "time", "channel")),
            ("flux_variance", ("visit", "time", "channel")),
            ("scatter_ratio", ("visit", "channel")),
            ("background", ("visit", "channel")),
            ("position_row", ("visit", "sensor", "time")),
            ("position_column", ("visit", "sensor", "time")),
        )
    }
    for name in ("clipped", "cosmic_rays"):
        counts = [[_count(sensor, name) for sensor in sensors] for sensors in found]
        variables[name] = (("visit", "sensor"), np.array(counts, dtype=np.int64))
    masks = [[int(flags(sensor.notes)) for sensor in sensors] for sensors in found]
    variables["quality"] = (("visit", "sensor"), np.array(masks, dtype=np.int32))
    variables |= _images(edition, found)
    airs_pairs = options.settings.pairs_per_bin or edition.sensors[-1].pairs_per_bin
    bin_h = airs_pairs * edition.sensors[-1].pair_s / 3600
    dataset = xr.Dataset(
        variables,
        coords={
            "visit": np.asarray(visits),
            "time": (np.arange(n_bins) + 0.5) * bin_h,
            "wavelength": ("channel", edition.wavelength_um),
            "channel_sensor": (
                "channel",
                [sensor.name for sensor in edition.sensors for _ in range(sensor.n_channels)],
            ),
            "sensor": [sensor.name for sensor in edition.sensors],
        },
        attrs={
            "planet_id": planet,
            "edition": edition.name,
            "notes": "\n".join(
                note.what for sensors in found for sensor in sensors for note in sensor.notes
            ),
            "calibration": options.calibration.model_dump_json(),
            "light_curves": options.settings.model_dump_json(),
        },
    )
    for name, (long_name, units) in _LONG_NAMES.items():
        dataset[name].attrs |= {"long_name": long_name, "units": units}
    return dataset


def _channels(
    edition: FrameEdition, sensors: Sequence[SensorVisit], n_bins: int
) -> dict[str, np.ndarray]:
    """Values of one visit by channel, NaN where there is no light curve."""
    pieces: dict[str, list[np.ndarray]] = {}
    for sensor, seen in zip(edition.sensors, sensors, strict=True):
        count = sensor.n_channels
        # Columns of a dispersed sensor are in descending order of wavelength.
        order = slice(None, None, -1 if sensor.dispersed else 1)
        values = {
            "flux": np.full((n_bins, count), np.nan),
            "flux_variance": np.full((n_bins, count), np.nan),
            "scatter_ratio": np.full(count, np.nan),
            "background": np.full(count, np.nan),
            "position_row": np.full((1, n_bins), np.nan),
            "position_column": np.full((1, n_bins), np.nan),
        }
        if seen.light and seen.curves:
            own = seen.light.flux.shape[1]
            values["flux"][:own] = seen.light.flux[order].T
            values["flux_variance"][:own] = seen.light.variance[order].T
            values["scatter_ratio"][:] = seen.light.scatter_ratio[order]
            values["background"][:] = seen.curves.background[order]
            for name, position in zip(
                ("position_row", "position_column"), seen.curves.position, strict=False
            ):
                parts = np.array_split(position[: len(position) // own * own], own)
                values[name][0, :own] = [np.mean(part) for part in parts]
        for name, value in values.items():
            pieces.setdefault(name, []).append(value)
    return {
        name: np.concatenate(parts, axis=0 if name.startswith("position") else -1)
        for name, parts in pieces.items()
    }


def _count(seen: SensorVisit, name: str) -> int:
    if not (seen.light and seen.curves):
        return 0
    return seen.light.clipped if name == "clipped" else seen.curves.cosmic_rays


def _images(
    edition: FrameEdition, found: Sequence[Sequence[SensorVisit]]
) -> dict[str, tuple[Any, ...]]:
    """Mean images and, where they were kept, calibrated frames of the sensors."""
    images: dict[str, tuple[Any, ...]] = {}
    for position, sensor in enumerate(edition.sensors):
        seen = [sensors[position].curves for sensors in found]
        shape = (sensor.shape[0], sensor.n_columns)
        dims = (f"row_{sensor.name}", f"column_{sensor.name}")
        stack = [np.full(shape, np.nan) if one is None else one.image for one in seen]
        images[image_name(sensor)] = (
            ("visit", *dims),
            np.stack(stack).astype(np.float32),
            {"long_name": f"mean image of a pair, {sensor.name}", "units": "electrons"},
        )
        masks = [np.zeros(shape, bool) if one is None else one.usable for one in seen]
        images[image_name(sensor, "usable")] = (
            ("visit", *dims),
            np.stack(masks).astype(np.uint8),
            {"long_name": f"pixels that count, {sensor.name}", "units": "1"},
        )
        kept = [one.frames for one in seen if one is not None and one.frames is not None]
        if not kept:
            continue
        n_bins = max(map(len, kept))
        frames = np.full((len(seen), n_bins, *shape), np.nan, np.float32)
        for visit, one in enumerate(seen):
            if one is not None and one.frames is not None:
                frames[visit, : len(one.frames)] = one.frames
        images[image_name(sensor, "frames")] = (
            ("visit", f"frame_bin_{sensor.name}", *dims),
            frames,
            {"long_name": f"calibrated frames of a pair, {sensor.name}", "units": "electrons"},
        )
    return images
