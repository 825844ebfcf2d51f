"""Section of extracted spectra: those of a few planets, and the errors over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from arielflow import plotting
from arielflow.core.readers import listed, shown
from arielflow.core.schema import REFERENCE_ROWS
from arielflow.editions import FrameEdition
from arielflow.plotting.style import PPM, spread_sample
from arielflow.report.blocks import FigureBlock, Section, TableBlock
from arielflow.report.formatting import number
from arielflow.report.score_tables import with_detail

_PLANETS_SHOWN = 4
_ROWS_SHOWN = 3


def spectra_section(
    edition: FrameEdition,
    spectra: Mapping[str, xr.Dataset],
    truth: xr.DataArray | None,
    chosen: str | None,
    leaderboard: pd.DataFrame | None,
) -> Section:
    """Extracted spectra of a few labelled planets beside the truth, and errors over all."""
    title = "Extracted spectra"
    rows = _rows_to_show(spectra, chosen, leaderboard)
    if not rows:
        reason = "No row but the floor, which answers every planet alike."
        return Section("spectra", title, absent=reason)
    first = spectra[rows[0]]
    names = first["planet"].values
    if truth is not None:
        truth = truth.reindex(planet=names)
    picked, titles = _picked_planets(first, truth)
    figure = plotting.extracted_spectra(
        edition.wavelength_um,
        {row: spectra[row]["depth"].reindex(planet=picked).values for row in rows},
        {row: spectra[row]["sigma"].reindex(planet=picked).values for row in rows},
        None if truth is None else truth.sel(planet=picked).values,
        titles,
    )
    caption = (
        "Transit depth with one standard deviation (bands, bars), and the true spectrum where it "
        "is known; channels far off the others lie beyond the panel."
    )
    if truth is not None:
        caption += (
            f" From the planet that {rows[0]} does best to the one that it does worst, by the root "
            "mean square of the errors in standard deviations, which is 1 where these are right."
        )
    blocks: list[FigureBlock | TableBlock] = [FigureBlock("extracted_spectra", caption, figure)]
    left_out = [row for row in spectra if row not in rows and row not in REFERENCE_ROWS]
    if truth is not None:
        blocks.insert(0, _error_table(edition, spectra, truth, rows + left_out))
    intro = (
        f"{len(picked)} of {len(names):,} labelled planets that no row learnt from. The first "
        "channel is FGS1's, the others are AIRS-CH0's."
    )
    if left_out:
        intro += f" Drawn are {len(rows)} rows of {len(rows) + len(left_out)}; without "
        intro += f"{listed(left_out, 10)}."
    return Section("spectra", title, intro, blocks)


def _rows_to_show(
    spectra: Mapping[str, xr.Dataset], chosen: str | None, leaderboard: pd.DataFrame | None
) -> list[str]:
    """Rows but the floor's: the submitted one, then by score; as many as a panel bears."""
    names = [row for row in spectra if row not in REFERENCE_ROWS and spectra[row].sizes["planet"]]
    if leaderboard is not None and "score" in leaderboard:
        score = leaderboard.set_index("model")["score"].to_dict()
        names.sort(key=lambda row: -np.nan_to_num(score.get(row, -np.inf), nan=-np.inf))
    return sorted(names, key=lambda row: row != chosen)[:_ROWS_SHOWN]


def _picked_planets(found: xr.Dataset, truth: xr.DataArray | None) -> tuple[list[str], list[str]]:
    """A few planets from the best to the worst, and their panels' titles."""
    own = found["fallback"].values == 0
    names = found["planet"].values[own] if own.any() else found["planet"].values
    found = found.sel(planet=names)
    titles = {str(name): f"planet {shown(name, 40)}" for name in names}
    if truth is not None:
        errors = (found["depth"] - truth.sel(planet=names).values) / found["sigma"]
        rms = np.sqrt((errors**2).mean("channel")).values
        order = np.argsort(np.where(np.isfinite(rms), rms, np.inf), kind="stable")
        names = names[order]
        for name, value in zip(names, rms[order], strict=True):
            titles[str(name)] += f" · {value:.2f} σ"
    picked = spread_sample(len(names), _PLANETS_SHOWN)
    chosen = [str(names[position]) for position in picked]
    return chosen, [titles[name] for name in chosen]


def _error_table(
    edition: FrameEdition,
    spectra: Mapping[str, xr.Dataset],
    truth: xr.DataArray,
    rows: Sequence[str],
) -> TableBlock:
    """How far rows are from the truth, and from what they say of themselves; by sensor."""
    cells, ends = [], np.cumsum([sensor.n_channels for sensor in edition.sensors])
    parts = {
        sensor.name: slice(end - sensor.n_channels, end)
        for sensor, end in zip(edition.sensors, ends, strict=True)
    }
    for row in rows:
        found = spectra[row]
        error = found["depth"].values - truth.reindex(planet=found["planet"].values).values
        sigma = found["sigma"].values
        for name, part in parts.items():
            off, said = error[:, part], sigma[:, part]
            cells.append(
                [
                    with_detail(shown(row, 60), name),
                    number(float(PPM * np.nanmean(off)), 0),
                    number(float(PPM * np.sqrt(np.nanmean(off**2))), 0),
                    number(float(PPM * np.nanmedian(said)), 0),
                    number(float(np.sqrt(np.nanmean((off / said) ** 2))), 2),
                    f"{int(found['fallback'].sum()):,}",
                ]
            )
    header = ["model", "mean error [ppm]", "rms error [ppm]", "median σ [ppm]",
              "rms error [σ]", "left to the floor"]  # fmt: skip
    note = (
        "Over all labelled planets scored on and the sensor's channels. The rms error in standard "
        "deviations is 1 where these are right, above where they are too small."
    )
    return TableBlock(header, cells, numeric_from=1, note=note)
