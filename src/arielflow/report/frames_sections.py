"""Sections of detector images, light curves and their noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from arielflow import plotting
from arielflow.core.readers import listed, shown
from arielflow.editions import FrameEdition
from arielflow.evaluation.frames.noise import noise_by_time_scale, outer_quarters, white_curves
from arielflow.frames.dataset import image_name
from arielflow.report.blocks import FigureBlock, Section, TableBlock
from arielflow.report.formatting import number
from arielflow.report.score_tables import with_detail

_PLANETS_SHOWN = 3

Blocks = list[FigureBlock | TableBlock]


def images_section(curves: Sequence[xr.Dataset], edition: FrameEdition) -> Section:
    """Mean detector images with the pixels that do not count."""
    title = "Detector images"
    blocks: Blocks = []
    for position, own in _shown_planets(curves):
        images, usable, wavelength_um = {}, {}, {}
        for sensor in edition.sensors:
            seen = own[image_name(sensor)].values
            visit = next((v for v, image in enumerate(seen) if np.isfinite(image).any()), None)
            if visit is None:
                continue
            images[sensor.name] = seen[visit]
            usable[sensor.name] = own[image_name(sensor, "usable")].values[visit]
            if sensor.dispersed:
                channels = own["channel_sensor"].values == sensor.name
                # Columns are in the detector's order, that is descending.
                wavelength_um[sensor.name] = own["wavelength"].values[channels][::-1]
        if not images:
            continue
        which = "the visit" if own.sizes["visit"] == 1 else "the first visit"
        caption = (
            f"Planet {_name(own)}: mean of all pairs of {which} after calibration, background "
            "taken off; crosses mark pixels that are left out."
        )
        figure = plotting.detector_images(images, usable, wavelength_um)
        blocks.append(_block("detector_images", position, caption, figure, own, len(blocks)))
    if not blocks:
        return Section("images", title, absent="No planet with an image was handed over.")
    return Section("images", title, _which(curves), blocks)


def curves_section(curves: Sequence[xr.Dataset], edition: FrameEdition) -> Section:
    """White light curves, the map over wavelength, and the image's position."""
    title = "Light curves"
    blocks: Blocks = []
    for position, own in _shown_planets(curves):
        for figure in _curve_figures(own, edition):
            blocks.append(_block(figure[0], position, *figure[1:], own, position))
    if not blocks:
        return Section("light_curves", title, absent="No light curve was handed over.")
    intro = (
        "Fluxes are relative to the star alone: the median over the first and the last quarter of "
        "a visit, before and after the transit. A white light curve is the sum over a sensor's "
        "channels; error bars are the standard deviation by photons and reads. "
    )
    table = _extraction_table([own for _, own in _shown_planets(curves)])
    return Section("light_curves", title, intro + _which(curves), [*blocks, table])


def _curve_figures(own: xr.Dataset, edition: FrameEdition) -> Iterator[tuple[str, str, Figure]]:
    """Name, caption and figure of what one planet's light curves show."""
    time_h, visits = own["time"].values, [f"visit {v}" for v in own["visit"].values]
    white = white_curves(own)
    lit = [str(s) for s in own["sensor"].values if white["flux"].sel(sensor=s).notnull().any()]
    yield (
        "light_curves",
        f"Planet {_name(own)}: white light curves.",
        plotting.light_curves(
            time_h,
            {name: white["flux"].sel(sensor=name).values for name in lit},
            {name: white["error"].sel(sensor=name).values for name in lit},
            visits,
        ),
    )
    for sensor in edition.sensors:
        if not sensor.dispersed or sensor.name not in lit:
            continue
        channels = own["channel_sensor"].values == sensor.name
        flux = _relative(own["flux"].values[:, :, channels])
        yield (
            "flux_map",
            f"Planet {_name(own)}: relative flux of {sensor.name} over time and wavelength.",
            plotting.flux_map(time_h, own["wavelength"].values[channels], flux, visits),
        )
    positions = {}
    for axis in ("row", "column"):
        found = own[f"position_{axis}"]
        positions[axis] = {
            str(sensor) + (f", visit {visit}" if len(visits) > 1 else ""): curve.values
            for visit in own["visit"].values
            for sensor in own["sensor"].values
            if (curve := found.sel(visit=visit, sensor=sensor)).notnull().any()
        }
    if all(positions.values()):
        yield (
            "image_positions",
            f"Planet {_name(own)}: light-weighted mean position of the image, averaged over each "
            "time bin, less its median. Columns of a dispersed image are wavelengths, which tell "
            "no position.",
            plotting.image_positions(time_h, positions),
        )


def _relative(flux: np.ndarray) -> np.ndarray:
    """Fluxes (visit, time, channel) over their medians in the outer quarters of the visit."""
    relative = np.full(flux.shape, np.nan)
    for visit, channel in np.ndindex(flux.shape[0], flux.shape[2]):
        curve = flux[visit, :, channel]
        if np.isfinite(curve).any():
            level = np.median(np.concatenate(outer_quarters(curve)))
            relative[visit, :, channel] = curve / level if level > 0 else np.nan
    return relative


def _extraction_table(curves: Sequence[xr.Dataset]) -> TableBlock:
    """What the extraction says of each visit and sensor."""
    rows = []
    for own in curves:
        for visit, sensor in np.ndindex(own.sizes["visit"], own.sizes["sensor"]):
            name = own["sensor"].values[sensor]
            channels = own["channel_sensor"].values == name
            seen = own.isel(visit=visit, channel=channels)
            if not seen["flux"].notnull().any():
                continue
            counts = own.isel(visit=visit, sensor=sensor)
            rows.append(
                [
                    with_detail(_name(own), f"visit {own['visit'].values[visit]}, {name}"),
                    f"{int(seen['flux'].notnull().any('channel').sum()):,}",
                    number(float(seen["background"].median()), 1),
                    number(float(seen["scatter_ratio"].median()), 2),
                    f"{int(counts['clipped']):,}",
                    f"{int(counts['cosmic_rays']):,}",
                ]
            )
    header = ["planet", "time bins", "background [e⁻]", "scatter ratio",
              "pairs clipped", "cosmic rays"]  # fmt: skip
    note = (
        "Background: subtracted from a pixel and pair, median over channels. Scatter ratio: "
        "scatter from pair to pair over what photons and reads explain, the median. Pairs "
        "clipped: left out as outliers, over all channels. Cosmic rays: hits that were replaced, "
        "where they were searched for."
    )
    return TableBlock(header, rows, "Extraction", numeric_from=1, note=note)


def noise_section(curves: Sequence[xr.Dataset]) -> Section:
    """Scatter of the white light curves against the time that they are averaged over."""
    title = "Noise against time scale"
    noise = {
        _name(own): noise_by_time_scale(white_curves(own)) for _, own in _shown_planets(curves)
    }
    noise = {f"planet {planet}": table for planet, table in noise.items() if len(table)}
    if not noise:
        reason = "No planet shown has light curves of eight time bins or more."
        return Section("noise", title, absent=reason)
    intro = (
        "Scatter of white light curves averaged over 1, 2, 4 … time bins: the root mean square "
        "difference of neighbouring averages, divided by √2. Only the first and the last quarter "
        "of a visit count, so that the transit has no say; all visits together. Noise that is "
        "independent from bin to bin falls like the dashed lines, with the square root of the "
        "time; what lies above them is jitter, drift or a pixel that misbehaves."
    )
    caption = "Scatter out of transit (dots) and what photons and reads alone leave (dashed)."
    rows: list[list[str]] = []
    for planet, table in noise.items():
        for sensor, own in table.groupby("sensor", sort=False):
            first, last = own.iloc[0], own.iloc[-1]
            rows.append([with_detail(planet, str(sensor))])
            for row in (first, last):
                ratio = row["scatter_ppm"] / row["expected_ppm"]
                rows[-1] += [number(row["minutes"]), number(row["scatter_ppm"], 0),
                             number(ratio, 2)]  # fmt: skip
    shortest = ["shortest [min]", "scatter [ppm]", "× expected"]
    header = ["planet", *shortest, "longest [min]", *shortest[1:]]
    blocks: Blocks = [
        FigureBlock("noise_against_time", caption, plotting.noise_against_time(noise)),
        TableBlock(header, rows, numeric_from=1),
    ]
    return Section("noise", title, intro, blocks)


def _shown_planets(curves: Sequence[xr.Dataset]) -> Iterator[tuple[int, xr.Dataset]]:
    """The first planets that have a light curve, numbered."""
    lit = [own for own in curves if own["flux"].notnull().any()]
    yield from enumerate(lit[:_PLANETS_SHOWN])


def _which(curves: Sequence[xr.Dataset]) -> str:
    """Words for which of the planets are shown."""
    names = [_name(own) for _, own in _shown_planets(curves)]
    dark = [_name(own) for own in curves if not own["flux"].notnull().any()]
    more = len(curves) - len(dark) - len(names)
    text = f"Shown: planets {', '.join(names)}" if len(names) > 1 else f"Shown: planet {names[0]}"
    if more:
        text += f"; {more} more in the files"
    if dark:
        text += f"; without any light curve: {listed(dark)}"
    return f"{text}."


def _name(own: xr.Dataset) -> str:
    return shown(own.attrs["planet_id"], 40)


def _block(
    name: str, position: int, caption: str, figure: Figure, own: xr.Dataset, earlier: int
) -> FigureBlock:
    """A figure under a name of its own; those of further planets behind a click."""
    suffix = f"_{position + 1}" if position else ""
    words = name.replace("_", " ")
    collapsed = f"Planet {_name(own)}: {words}" if earlier else ""
    return FigureBlock(f"{name}{suffix}", caption, figure, collapsed)
