"""The page of a compressed reaction network: trajectories, errors, speed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from arielflow import plotting
from arielflow.chemistry.compressed import CompressedNetwork
from arielflow.chemistry.run import network_of
from arielflow.core.schema import open_dataset
from arielflow.report import formatting
from arielflow.report.blocks import FigureBlock, Section, TableBlock
from arielflow.report.build import Tile, write_report
from arielflow.report.content import ReportContent

_SHOWN_SPECIES = ("C+", "CO", "H2O", "HCO+", "H3+", "e-")


def write_chemistry_page(
    run: str,
    settings: Mapping[str, Any],
    model: str,
    history: str,
    evaluation: str,
    page: str,
    figures: str,
) -> None:
    """Write the page and its figures.

    Parameters
    ----------
    run, settings
        Name of the run, and the configuration's section ``chemistry``.
    model, history, evaluation
        What the run's earlier steps wrote.
    page, figures
        HTML file and folder to write.
    """
    compressed, found = CompressedNetwork.load(model), open_dataset(evaluation)
    title = "Compressed dynamics of a reaction network"
    content = ReportContent(title, run, "after Grassi et al. 2022, A&A 668, A139", config=settings)
    shown = [
        _network_section(settings, found),
        _accuracy_section(found),
        _latent_section(compressed, found),
        _training_section(pd.read_csv(history)),
    ]
    Path(page).parent.mkdir(parents=True, exist_ok=True)
    write_report(content, _tiles(found), shown, Path(page), Path(figures))


def _tiles(found: xr.Dataset) -> list[Tile]:
    facts = found.attrs
    clouds = f"{found.sizes['cloud']} held-out clouds"
    return [
        Tile("median relative error", f"{100 * facts['median_error']:.1f} %", clouds, main=True),
        Tile("times as fast, alone", f"{facts['full_seconds'] / facts['alone_seconds']:,.0f}"),
        Tile(
            "times as fast, in a batch",
            f"{facts['full_seconds'] / facts['batch_seconds']:,.0f}",
            f"{facts['batch']:,} clouds",
        ),
        Tile("species", f"{found.sizes['species']} → {found.sizes['latent']}"),
    ]


def _network_section(settings: Mapping[str, Any], found: xr.Dataset) -> Section:
    network = network_of(settings)
    sources = pd.Series([reaction.source for reaction in network.reactions]).value_counts()
    rows = [
        ["species", str(len(network.species))],
        *([f"reactions of {name}", str(number)] for name, number in sources.items()),
        *formatting.flatten(dict(settings)),
    ]
    names = ", ".join(network.species)
    intro = (
        "Gas-phase chemistry shielded from starlight, driven by cosmic rays, from diffuse clouds "
        "with random abundances of oxygen, of carbon and of its share in CO, and of atomic "
        f"hydrogen. Species: {names}."
    )
    return Section("network", "Reaction network", intro, [TableBlock([], rows)])


def _accuracy_section(found: xr.Dataset) -> Section:
    facts, species = found.attrs, [n for n in _SHOWN_SPECIES if n in found["species"].values]
    percent = {
        "median relative error": facts["median_error"],
        "mean relative error": facts["mean_error"],
        "90th percentile": facts["percentile_90"],
        "median error of encoder and decoder alone": facts["median_reconstruction_error"],
    }
    errors = [[name, f"{100 * value:.2f} %"] for name, value in percent.items()]
    full = facts["full_seconds"]
    kinds = {
        "full solver (BDF)": full,
        "compressed, one cloud": facts["alone_seconds"],
        f"compressed, batch of {facts['batch']:,}": facts["batch_seconds"],
    }
    speeds = [[k, f"{1e3 * s:.3g}", f"{full / s:,.0f}"] for k, s in kinds.items()]
    blocks: list = [
        TableBlock([], errors),
        TableBlock(
            ["", "processor time per cloud [ms]", "times as fast"],
            speeds,
            numeric_from=1,
            note=f"Medians; threads: {facts['threads']}. The full solver's time is that of the "
            "run's own trajectories, one after the other.",
        ),
        FigureBlock(
            "abundance_trajectories",
            "Abundances in three held-out clouds: full solver (lines) and compressed (dots).",
            plotting.abundance_trajectories(found, species),
        ),
        FigureBlock(
            "abundance_errors",
            "Relative error of the compressed network's abundances over time (left) and by species "
            "(right).",
            plotting.abundance_errors(found),
        ),
    ]
    intro = (
        f"Over {found.sizes['cloud']} clouds that took no part in the training, all species and "
        f"{found.sizes['time']} times; the compressed network is given the abundances at the "
        "first time alone."
    )
    return Section("accuracy", "Accuracy and speed", intro, blocks)


def _latent_section(compressed: CompressedNetwork, found: xr.Dataset) -> Section:
    table = compressed.reactions()
    rows = [[row.reaction, f"{row.rate:.3g}"] for row in table.itertuples()]
    intro = (
        "The latent species react by mass action; a rate refers to the logarithm of time, which "
        "runs from 0 to 1 over the recorded times."
    )
    blocks: list = [
        FigureBlock(
            "latent_trajectories",
            "Latent abundances of three held-out clouds.",
            plotting.latent_trajectories(found),
        ),
        TableBlock(["reaction", "rate [1]"], rows, numeric_from=1, collapsed="Latent reactions"),
    ]
    return Section("latent", "Latent network", intro, blocks)


def _training_section(history: pd.DataFrame) -> Section:
    figure = plotting.training_curves({"compressed/0": history})
    caption = "Loss over epochs; the dot marks the best validation epoch, whose weights are used."
    return Section("training", "Training", blocks=[FigureBlock("training_curves", caption, figure)])
