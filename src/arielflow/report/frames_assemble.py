"""The report of a run with detector frames, made from the workflow's files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.files import as_list
from arielflow.core.netcdf import read_netcdf
from arielflow.core.readers import listed, read_json
from arielflow.core.tables import read_results
from arielflow.editions import get_frame_edition
from arielflow.evaluation.frames.tables import Labels, read_labels
from arielflow.report.content import benchmark_table
from arielflow.report.frames_page import FrameReportInputs, write_frame_report

_FILES = {
    "quality": "light_curves/*/quality.csv",
    "leaderboard": "scores/leaderboard.csv",
    "planets": "scores/planets.csv",
    "validation": "labels/validation.csv",
    "spectra": "spectra/validation/*.nc",
    "submission": "submission/*.csv",
    "check": "submission_check.json",
    "manifest": "manifest.json",
}
_NEEDED = ("leaderboard", "planets", "validation", "manifest")


def assemble_frame_report(
    inputs: Mapping[str, Any],
    config: Mapping[str, Any],
    curves: str,
    benchmarks: str,
    page: str,
    figures: str,
) -> None:
    """Write the page and its figures.

    Parameters
    ----------
    inputs
        The workflow's files by name, one path or a list; empty where the run has none.
    config
        The run's configuration.
    curves
        Folder of the light curves, with a folder per split.
    benchmarks
        Folder of the jobs' benchmark files.
    page, figures
        HTML file and folder to write.
    """
    edition = get_frame_edition(config["edition"])
    labels = read_labels(as_list(inputs["validation"])[0], edition)
    scores = read_results(as_list(inputs["planets"])[0])
    submission, check = as_list(inputs["submission"]), as_list(inputs["check"])
    content = FrameReportInputs(
        config=config,
        edition=edition,
        quality={Path(path).parent.name: read_results(path) for path in as_list(inputs["quality"])},
        curves=list(
            _shown(Path(curves, "train", "planets"), scores, config["frames"]["submitted"])
        ),
        leaderboard=read_results(as_list(inputs["leaderboard"])[0]),
        spectra={Path(path).stem: read_netcdf(path) for path in as_list(inputs["spectra"])},
        truth=_truth(labels),
        submission=Path(submission[0]) if submission else None,
        check=read_json(check[0]) if check else None,
        jobs=benchmark_table(benchmarks),
        manifest=read_json(as_list(inputs["manifest"])[0]),
    )
    write_frame_report(content, Path(page), Path(figures))


def report_frame_run(run: Path, config: Mapping[str, Any], page: Path) -> Path:
    """The same from the results folder of a finished run.

    Parameters
    ----------
    run
        Results folder.
    config
        The run's configuration, as its manifest has it.
    page
        HTML file to write, beside its figures.

    Raises
    ------
    ArielflowError
        A file is missing or damaged.
    """
    files = {name: sorted(map(str, run.glob(pattern))) for name, pattern in _FILES.items()}
    if lacks := [
        pattern for name, pattern in _FILES.items() if name in _NEEDED and not files[name]
    ]:
        raise ArielflowError(f"{run}: holds no {listed(lacks)}; run the workflow to its end")
    assemble_frame_report(
        files,
        config,
        f"{run}/light_curves",
        f"{run}/benchmarks",
        str(page),
        str(page.parent / "figures"),
    )
    return page


def _shown(folder: Path, scores: pd.DataFrame, row: str) -> Iterator[xr.Dataset]:
    """Light curves of the planets that the submitted row does best, typically and worst."""
    ordered = scores.sort_values(row, ascending=False, kind="stable")["planet_id"].tolist()
    chosen = [ordered[0], ordered[len(ordered) // 2], ordered[-1]] if ordered else []
    for planet in dict.fromkeys(chosen):
        yield read_netcdf(folder / f"{planet}.nc")


def _truth(labels: Labels) -> xr.DataArray:
    return xr.DataArray(
        labels.spectrum, dims=("planet", "channel"), coords={"planet": labels.planet_ids}
    )
