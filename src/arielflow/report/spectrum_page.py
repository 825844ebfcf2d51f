"""The page of one spectrum's retrieval."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup
from scipy.stats import chi2 as chi2_distribution

from arielflow.core.readers import listed, printable, read_yaml, shown
from arielflow.data.description.parameters import Parameter
from arielflow.report import formatting
from arielflow.report.blocks import FigureBlock, Section, TableBlock
from arielflow.report.build import Tile, write_report
from arielflow.report.content import ReportContent
from arielflow.report.spectrum_findings import Findings
from arielflow.retrieval.spectra.predictions import beyond_tables
from arielflow.runs.manifest import package_versions

_FEW_EFFECTIVE = 400
_PARETO_LIMIT = 0.7
_IMPROBABLE = 1e-3
_EDGE_WORDS = {
    "upper limit": "an upper limit: 95 % of the samples lie below",
    "lower limit": "a lower limit: 95 % of the samples lie above",
    "unconstrained": "not constrained between its prior's edges",
    "as the prior": "as its prior: the spectrum says nothing of it",
}
_ONE_SIDED = {"upper limit": 0.95, "lower limit": 0.05}
_DESCRIBED = {
    "posterior.nc": "samples, predictions and likelihoods, as ArviZ reads them",
    "parameters.csv": "the table of the parameters",
    "instruments.csv": "the table of the instruments",
    "spectrum.csv": "data, model and residuals by point",
    "spectrum.png": "the figure of the spectrum",
    "corner.png": "the figure of the joint posterior",
    "profile.png": "the figure of the temperature",
    "summary.json": "the results for programs",
}


def write_spectrum_page(
    found: Findings,
    figures: Mapping[str, FigureBlock],
    page: Path,
    *,
    planet_file: Path | None,
    files: list[str],
) -> None:
    """Write the page.

    Parameters
    ----------
    found
        What it shows.
    figures
        Its figures: ``spectrum``, ``corner`` and, if there is one, ``profile``.
    page
        HTML file to write.
    planet_file
        Whose content it repeats.
    files
        Names of the files beside it, to link to.
    """
    model = found.result.model
    names = [Path(file).name for file in model.spectrum.files]
    content = ReportContent(
        title=shown(model.description.name, 200),
        run=listed(names, 3) or "given as arrays",
        edition_title="Retrieval of a transmission spectrum",
    )
    warned = warnings(found)
    sections = [
        _warning_section(warned),
        Section(
            "spectrum",
            "Spectrum and fit",
            "Offsets between instruments are taken out of the data; residuals are in the errors "
            "that the files state.",
            [figures["spectrum"], _instruments(found)],
        ),
        Section("parameters", "Parameters", blocks=_parameters(found)),
        _edge_section(found),
        Section("corner", "Joint posterior", blocks=[figures["corner"]]),
        *([_profile_section(figures["profile"])] if "profile" in figures else []),
        _note_section(found),
        _made_section(found, planet_file, files),
    ]
    tiles = _tiles(found, warned)
    write_report(content, tiles, sections, page, template="spectrum.html.j2")


def warnings(found: Findings) -> list[tuple[str, str]]:
    """What makes the result less than it seems: topics and words."""
    result = found.result
    # Why nested sampling took over is no fault of its result.
    notes = result.notes if result.method != "nested" else ()
    lines = [("sampling", printable(note)) for note in notes]
    if result.effective_samples < _FEW_EFFECTIVE:
        text = f"only {result.effective_samples:.0f} effective samples: intervals are rough"
        lines.append(("sampling", f"{text}; try nested sampling"))
    if result.pareto_shape > _PARETO_LIMIT and not notes:
        text = f"the importance weights' Pareto shape is {result.pareto_shape:.2f}"
        text += f", above {_PARETO_LIMIT}: a few samples carry most of the weight"
        lines.append(("sampling", text))
    whole = found.instruments.iloc[-1]
    freedom = int(whole["points"]) - result.model.dimension
    if freedom <= 0:
        text = f"{whole['points']} points for {result.model.dimension} parameters"
        lines.append(("fit", f"{text}: no degree of freedom is left to judge the fit by"))
    elif (by_chance := chi2_distribution.sf(whole["chi2"], freedom)) < _IMPROBABLE:
        text = f"χ² of the best sample is {whole['chi2']:.1f} with {freedom} degrees of freedom"
        text += f" (by chance: {by_chance:.1g}): the model misses something"
        lines.append(("fit", f"{text}, or the errors are too small"))
    if (share := beyond_tables(result)) > 0.01:
        cold, hot = result.model.physics.transmission.temperature_range_k
        text = f"{100 * share:.0f} % of the samples reach temperatures outside the opacities' "
        text += f"{cold:.0f} to {hot:.0f} K, where those at the edge were used"
        lines.append(("temperature", text))
    return lines


def _warning_section(warned: list[tuple[str, str]]) -> Section:
    if not warned:
        return Section("warnings", "Warnings", absent="None.")
    return Section("warnings", "Warnings", blocks=[TableBlock([], warned)])


def _tiles(found: Findings, warned: list[tuple[str, str]]) -> list[Tile]:
    result, whole = found.result, found.instruments.iloc[-1]
    evidence = formatting.number(result.log_evidence, 2)
    first = [Tile("warnings", str(len(warned)), "listed below", main=True)] if warned else []
    return [
        *first,
        Tile(
            "log-evidence",
            f"{evidence} ± {formatting.number(result.log_evidence_error, 2)}",
            "natural logarithm",
            main=not warned,
        ),
        Tile(
            "χ² of the best sample",
            formatting.number(whole["chi2"]),
            f"{whole['points']} points, {result.model.dimension} parameters",
        ),
        Tile(
            "method",
            result.method,
            f"{result.spectra:,} spectra, {formatting.duration(result.seconds)}",
        ),
        Tile("effective samples", f"{result.effective_samples:,.0f}"),
    ]


def _instruments(found: Findings) -> TableBlock:
    rows = []
    for row in found.instruments.itertuples():
        offset = ""
        if row.offset_low_68_ppm != row.offset_high_68_ppm and not np.isnan(row.offset_ppm):
            ends = row.offset_low_68_ppm, row.offset_high_68_ppm
            offset = f"{formatting.number(row.offset_ppm)} ({_span(*ends)})"
        elif row.offset_ppm:
            offset = formatting.number(row.offset_ppm)
        rows.append(
            [
                shown(row.instrument, 60),
                str(row.points),
                formatting.number(row.chi2),
                formatting.number(row.chi2_median),
                formatting.number(row.chi2_reduced, 2),
                formatting.number(row.rms_sigma, 2),
                offset,
                formatting.number(row.error_inflation, 2),
            ]
        )
    header = ["instrument", "points", "χ², best", "χ², median", "χ², reduced", "rms [σ]",
              "offset [ppm]", "errors ×"]  # fmt: skip
    note = (
        "χ² of the sample with the highest likelihood, and the median over the samples, with the "
        "errors that the likelihood used; reduced: over the points, in the last row over the "
        "degrees of freedom. Rms: data less the median model in stated errors. Errors ×: used over "
        "stated errors."
    )
    return TableBlock(header, rows, numeric_from=1, note=note)


def _parameters(found: Findings) -> list[FigureBlock | TableBlock]:
    table = found.parameters
    sampled, derived = table[table["prior"] != ""], table[table["prior"] == ""]
    header = ["parameter", "median", "68 %", "95 %"]
    note = (
        "Limits of the central 68 and 95 %; of a name that begins with log_, logarithms to base 10 "
        "of the quantity in its unit."
    )
    return [
        TableBlock(
            [*header, "at the prior's edge"],
            [[*_cells(row), row["edge"]] for _, row in sampled.iterrows()],
            numeric_from=1,
            note=note,
        ),
        TableBlock(
            header, [_cells(row) for _, row in derived.iterrows()], "Derived", numeric_from=1
        ),
    ]


def _cells(row: pd.Series) -> list[str]:
    """Name with unit, words and prior; median; limits."""
    unit = re.sub(r"^log10\(?(.*?)\)?$", r"\1", row["unit"])
    name = Markup("<code>{}</code>{}").format(
        shown(row["parameter"], 60), f" [{unit}]" if unit else ""
    )
    for words in filter(None, (_words(row), row["prior"])):
        name += Markup('<span class="interval">{}</span>').format(words)
    digits = _digits(row["high_68"] - row["low_68"], row["median"])
    limits = [_span(row[f"low_{part}"], row[f"high_{part}"], digits) for part in (68, 95)]
    return [name, formatting.number(row["median"], digits), *limits]


def _words(row: pd.Series) -> str:
    """What a parameter is, without its logarithm."""
    return str(row["long_name"]).removeprefix("log10 of the ")


def _span(low: float, high: float, digits: int = 1) -> str:
    return f"{formatting.number(low, digits)} to {formatting.number(high, digits)}"


def _digits(width: float, value: float) -> int:
    """Decimals that give a width two digits, a value at most five."""
    most = 4 - np.floor(np.log10(abs(value))) if value else 4
    wanted = 1 - np.floor(np.log10(width)) if width > 0 else most
    return int(np.clip(min(wanted, most), 0, 8))


def _edge_section(found: Findings) -> Section:
    result, rows = found.result, []
    # The sampled parameters come first in the table.
    for parameter, samples, (_, row) in zip(
        result.model.description.free, result.samples.T, found.parameters.iterrows(), strict=False
    ):
        if row["edge"]:
            words = _EDGE_WORDS[row["edge"]]
            if row["edge"] in _ONE_SIDED:
                words += f" {_user(parameter, np.quantile(samples, _ONE_SIDED[row['edge']]))}"
            rows.append([_words(row), f"{words} (prior: {row['prior']})"])
    title = "At the priors' edges"
    if not rows:
        return Section("edges", title, absent="No posterior reaches an edge of its prior.")
    intro = (
        "These posteriors reach an edge of their priors, so that the prior sets part of their "
        "limits; a limit on one side holds for this prior."
    )
    return Section("edges", title, intro, [TableBlock([], rows)])


def _user(parameter: Parameter, sampled: float) -> str:
    """A sampled value in the user's unit, its logarithm undone."""
    value = 10.0**sampled if parameter.prior == "log_uniform" else sampled
    return f"{value:.3g} {parameter.unit}".strip()


def _profile_section(figure: FigureBlock) -> Section:
    return Section("profile", "Temperature profile", blocks=[figure])


def _note_section(found: Findings) -> Section:
    model = found.result.model
    sources = {
        "read": model.spectrum.notes,
        "filled in": model.description.notes,
        "found": found.result.notes,
    }
    rows = [[name, printable(note)] for name, notes in sources.items() for note in notes]
    intro = "What was understood of the files, averaged, left out and taken for granted."
    if not rows:
        return Section("notes", "Notes", absent="None.")
    return Section("notes", "Notes", intro, [TableBlock([], rows)])


def _made_section(found: Findings, planet_file: Path | None, files: list[str]) -> Section:
    result, model = found.result, found.result.model
    description = model.description
    share = result.sampling_efficiency, result.pareto_shape
    names = ["sampling efficiency", "Pareto shape of the weights"]
    facts = [
        ["method", result.method],
        ["seed", str(found.seed)],
        ["spectra computed", f"{result.spectra:,}"],
        ["time", formatting.duration(result.seconds)],
        ["samples", f"{len(result.samples):,}"],
        *([n, formatting.number(v, 3)] for n, v in zip(names, share, strict=True) if v == v),
        ["opacities", printable(description.opacities)],
        ["gases", ", ".join(description.gases)],
        ["temperature profile", description.profile],
        ["layers", str(description.pressures.n_layers)],
        *(["spectrum", printable(file)] for file in model.spectrum.files),
    ]
    links = [
        [Markup('<a href="{0}">{0}</a>').format(name), _DESCRIBED[name]]
        for name in files
        if name in _DESCRIBED
    ]
    versions = [[name, version] for name, version in package_versions().items()]
    blocks: list[FigureBlock | TableBlock] = [
        TableBlock([], facts),
        TableBlock([], links, "Files"),
        TableBlock([], versions, collapsed="Versions"),
    ]
    if planet_file is not None:
        rows = [list(map(printable, row)) for row in formatting.flatten(read_yaml(planet_file))]
        title = f"Planet file {shown(planet_file.name)}"
        blocks.append(TableBlock([], rows, collapsed=title))
    return Section("made", "How it was made", blocks=blocks)
