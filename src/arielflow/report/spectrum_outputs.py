"""Everything that is written of one spectrum's retrieval."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path, write_json, write_table, write_tree
from arielflow.core.readers import printable, shown
from arielflow.plotting.spectra import corner_figure, profile_figure, spectrum_figure
from arielflow.report.blocks import FigureBlock
from arielflow.report.spectrum_findings import Findings
from arielflow.report.spectrum_page import warnings, write_spectrum_page
from arielflow.retrieval.spectra.methods import SpectrumResult
from arielflow.retrieval.spectra.names import label
from arielflow.retrieval.spectra.outputs import all_notes, posterior_tree
from arielflow.runs.manifest import package_versions

_DPI = 150


def write_outputs(
    result: SpectrumResult,
    directory: str | Path,
    *,
    seed: int,
    planet_file: Path | None = None,
) -> dict[str, Path]:
    """Write posterior, tables, figures, report and summary of one spectrum's retrieval.

    Every file is written under a temporary name and renamed; others in the folder stay.

    Parameters
    ----------
    result
        The posterior.
    directory
        Folder to write to, made if it is missing.
    seed
        That the posterior was made with.
    planet_file
        Whose content the report repeats.

    Returns
    -------
    dict[str, pathlib.Path]
        By name: ``posterior.nc``, ``parameters.csv``, ``instruments.csv``, ``spectrum.csv``,
        ``spectrum.png``, ``corner.png``, ``profile.png`` (unless isothermal), ``summary.json``,
        ``report.html``.

    Raises
    ------
    ArielflowError
        The folder's path is that of a file.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise ArielflowError(f"{shown(directory, 400)}: is a file, expected a folder; name another")
    found = Findings.of(result, seed)
    paths: dict[str, Path] = {}

    def path(name: str) -> Path:
        paths[name] = directory / name
        return paths[name]

    tree = posterior_tree(result, seed=seed, predictions=found.predictions)
    write_tree(tree, path("posterior.nc"))
    write_table(found.parameters, path("parameters.csv"))
    write_table(found.instruments, path("instruments.csv"))
    write_table(found.points, path("spectrum.csv"))
    figures = _figures(found)
    for name, block in figures.items():
        content = BytesIO()
        block.figure.savefig(content, format="png", dpi=_DPI)
        with atomic_path(path(f"{name}.png")) as temporary:
            temporary.write_bytes(content.getbuffer())
    names = [*paths, "summary.json", "report.html"]
    write_json(_summary(found, planet_file, names), path("summary.json"))
    write_spectrum_page(
        found, figures, path("report.html"), planet_file=planet_file, files=list(paths)
    )
    return paths


def _figures(found: Findings) -> dict[str, FigureBlock]:
    """The figures by the name of their file."""
    free = found.result.model.description.free
    figures = {
        "spectrum": FigureBlock(
            "spectrum",
            "Observed transit depths with their errors and bin widths, and the model's median and "
            "central 68 and 95 %; below, data less the model in error bars, at the panel's edge "
            "where beyond 8.",
            spectrum_figure(found.points, found.curve),
        ),
        "corner": FigureBlock(
            "corner",
            "Marginal posteriors of all parameters and of all pairs of them (39 and 86 % "
            "contours); above, each one's median and central 68 %.",
            corner_figure(found.result.samples, [label(parameter) for parameter in free]),
        ),
    }
    if found.profile is not None:
        caption = "Temperature over pressure: median and central 68 and 95 %."
        figures["profile"] = FigureBlock("profile", caption, profile_figure(found.profile))
    return figures


def _summary(found: Findings, planet_file: Path | None, files: list[str]) -> dict[str, Any]:
    """What a program wants to know; what is no number is null."""
    result = found.result
    whole = found.instruments.iloc[-1]
    return {
        "planet": printable(result.model.description.name),
        "method": result.method,
        "log_evidence": _number(result.log_evidence),
        "log_evidence_error": _number(result.log_evidence_error),
        "effective_samples": _number(result.effective_samples),
        "sampling_efficiency": _number(result.sampling_efficiency),
        "pareto_shape": _number(result.pareto_shape),
        "spectra": int(result.spectra),
        "seconds": _number(result.seconds),
        "seed": found.seed,
        "points": int(whole["points"]),
        "free_parameters": result.model.dimension,
        "chi2": _number(whole["chi2"]),
        "chi2_reduced": _number(whole["chi2_reduced"]),
        "parameters": _by_name(found.parameters, "parameter"),
        "instruments": _by_name(found.instruments.iloc[:-1], "instrument"),
        "warnings": [text for _, text in warnings(found)],
        "notes": all_notes(result),
        "spectrum_files": [printable(file) for file in result.model.spectrum.files],
        "planet_file": planet_file and printable(str(planet_file)),
        "opacities": printable(result.model.description.opacities),
        "gases": list(result.model.description.gases),
        "versions": package_versions(),
        "files": files,
    }


def _by_name(table: pd.DataFrame, name: str) -> dict[str, dict[str, Any]]:
    """Rows of a table by one column, their numbers as JSON has them."""
    return {
        str(row[name]): {
            key: value if isinstance(value, str) else _number(value)
            for key, value in row.items()
            if key != name
        }
        for row in table.to_dict("records")
    }


def _number(value: float) -> float | int | None:
    """A number of JSON, which has no NaN."""
    if not np.isfinite(value):
        return None
    return int(value) if isinstance(value, (int, np.integer)) else float(value)
