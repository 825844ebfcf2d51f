"""Commands for detector frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from arielflow.cli.common import Json, app, say
from arielflow.core.errors import ArielflowError
from arielflow.editions import FRAME_NAMES, get_frame_edition
from arielflow.editions.frames import planet_name

_EditionName = Annotated[str, typer.Option("--edition", help=f"One of {', '.join(FRAME_NAMES)}.")]


@app.command()
def calibrate(
    folder: Annotated[Path, typer.Argument(help="Data set: holds train/ or test/, and tables.")],
    edition: _EditionName,
    planet: Annotated[str, typer.Option(help="Number of the planet.")],
    output: Annotated[Path, typer.Option(help="NetCDF file to write.")],
    adc: Annotated[
        Literal["divide", "multiply"], typer.Option(help="Counts / gain + offset, or x gain.")
    ] = "divide",
    hot: Annotated[bool, typer.Option(help="Leave out hot pixels too.")] = False,
    linearity: Annotated[bool, typer.Option(help="Apply the linearity polynomial.")] = True,
    cosmic_rays: Annotated[bool, typer.Option(help="Search pixels for cosmic rays.")] = False,
    background: Annotated[bool, typer.Option(help="Subtract what rows without light show.")] = True,
    extraction: Annotated[
        Literal["optimal", "aperture"], typer.Option(help="Weights of a channel's pixels.")
    ] = "optimal",
    jitter: Annotated[bool, typer.Option(help="Take out what follows the image's shifts.")] = True,
    clip_sigma: Annotated[
        float, typer.Option(help="Pairs this far from the running median are left out; 0: none.")
    ] = 5.0,
    pairs_per_bin: Annotated[
        int | None, typer.Option(help="AIRS-CH0 pairs of a time bin.", show_default="30")
    ] = None,
    binning: Annotated[
        Literal["sum", "mean"], typer.Option(help="Electrons of a bin's pairs.")
    ] = "sum",
    frames: Annotated[
        Literal["bins", "pairs"] | None,
        typer.Option(help="Also write calibrated frames: averages over time bins, or every pair."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Raw detector frames of a planet into calibrated light curves with variances."""
    from arielflow.core.config import strict_settings
    from arielflow.core.files import write_dataset
    from arielflow.frames.chunk import quality_row
    from arielflow.frames.folder import FrameFolder
    from arielflow.frames.planet import planet_light_curves
    from arielflow.settings.frames import CalibrationSettings, LightCurveSettings

    calibration = CalibrationSettings(
        adc=adc, hot=hot, linearity=linearity, cosmic_rays=cosmic_rays
    )
    settings = strict_settings(
        LightCurveSettings,
        {
            "background": background,
            "extraction": extraction,
            "jitter": jitter,
            "clip_sigma": clip_sigma or None,
            "pairs_per_bin": pairs_per_bin,
            "binning": binning,
        },
        "calibrate",
    )
    data = FrameFolder(folder, get_frame_edition(edition))
    data.check_axis()
    curves = planet_light_curves(data, planet_name(planet), calibration, settings, frames)
    if not curves["flux"].notnull().any():
        raise ArielflowError(f"planet {planet}: no light curve; {quality_row(curves)['notes']}")
    write_dataset(curves, output)
    facts = light_curve_facts(curves)
    say(as_json, facts, *_lines(facts), f"{output}: written")


def light_curve_facts(curves: Any) -> dict[str, Any]:
    """A planet's light curves in a few facts."""
    from arielflow.frames.chunk import quality_row

    row = quality_row(curves)
    sensors = {}
    for name in curves["sensor"].values:
        chosen = curves.isel(channel=curves["channel_sensor"].values == name)
        ratio = chosen["scatter_ratio"].median(skipna=True)
        sensors[str(name)] = {
            "channels": chosen.sizes["channel"],
            "electrons": float(chosen["flux"].median(skipna=True)),
            "scatter_ratio": float(ratio),
            "clipped": int(curves["clipped"].sel(sensor=name).sum()),
            "cosmic_rays": int(curves["cosmic_rays"].sel(sensor=name).sum()),
        }
    return {
        "planet_id": row["planet_id"],
        "visits": row["visits"],
        "time_bins": curves.sizes["time"],
        "sensors": sensors,
        "flags": str(row["flags"]).split(),
        "notes": curves.attrs["notes"].splitlines(),
    }


def _lines(facts: dict[str, Any]) -> list[str]:
    lines = [f"planet {facts['planet_id']}: {facts['visits']} visits, {facts['time_bins']} bins"]
    for name, seen in facts["sensors"].items():
        lines.append(
            f"{name}: {seen['channels']} channels, median flux {seen['electrons']:.4g} electrons, "
            f"scatter {seen['scatter_ratio']:.2f} times that of photons and reads"
        )
    return [*lines, *(f"note: {note}" for note in facts["notes"])]
