"""The report's sections on learned representations of the spectra."""

from __future__ import annotations

import numpy as np
import xarray as xr

from arielflow import plotting
from arielflow.report import formatting
from arielflow.report.blocks import FigureBlock, Section, TableBlock
from arielflow.report.content import ReportContent

_TITLE = "Learned representations"


def representation_section(content: ReportContent) -> Section:
    """Autoencoders beside principal components."""
    found = content.representation
    if found is None:
        return Section(
            "representation",
            _TITLE,
            absent="No autoencoder was asked for (representation.models in the configuration).",
        )
    best, dimension = found.attrs["best"], int(found.attrs["dimension"])
    intro = (
        "Autoencoders of the scaled spectra of the exploration, trained on the training planets "
        "without their parameters; principal components are fitted to the same spectra. The "
        f"dimension is the one with the least validation error relative to the components: {best} "
        f"with {dimension} latent variables."
    )
    latent, probed = (best.replace("_", " "), f"{dimension} latent variables")
    blocks: list = [
        _error_table(found),
        FigureBlock(
            "representation_error",
            "Error of the reconstruction against the number of latent variables; the chosen number "
            "of each autoencoder is marked.",
            plotting.representation_error(found),
        ),
    ]
    if np.isfinite(found["theta"].values).any():
        blocks += [
            _probe_table(found, probed),
            FigureBlock(
                "latent_by_target",
                f"Validation planets in the plane of the two latent variables of the {latent} that "
                "vary most, coloured by each target.",
                plotting.latent_by_target(found),
            ),
        ]
    blocks.append(
        FigureBlock(
            "latent_by_cluster",
            "The same plane, coloured by the clusters of the exploration.",
            plotting.latent_by_cluster(found),
        )
    )
    return Section("representation", _TITLE, intro, blocks)


def _error_table(found: xr.Dataset) -> TableBlock:
    pca = found.sel(model="pca")
    rows = []
    for name in found["model"].values:
        model = found.sel(model=name)
        for n in found["dimension"].values:
            valid, test = (float(model[f"rms_{k}"].sel(dimension=n)) for k in ("valid", "test"))
            against = test / float(pca["rms_test"].sel(dimension=n)) - 1
            change = "" if name == "pca" else formatting.number(100 * against, 0)
            rows.append([name, str(n), f"{valid:.4f}", f"{test:.4f}", change])
    counts = f"{found.attrs['n_valid']:,} validation and {found.attrs['n_test']:,} test planets"
    return TableBlock(
        ["representation", "dimension", "rms, validation", "rms, test", "against PCA, test [%]"],
        rows,
        title="Reconstruction error of scaled spectra",
        numeric_from=1,
        note=f"Over all bins of {counts}; a scaled spectrum has unit scatter where each is reduced "
        "to its shape.",
    )


def _probe_table(found: xr.Dataset, probed: str) -> TableBlock:
    symbols = [formatting.latex_to_html(str(text)) for text in found["target_latex"].values]
    rows = [
        [name, *(formatting.number(float(value), 2) for value in found["probe_r2"].sel(model=name))]
        for name in found["model"].values
    ]
    return TableBlock(
        ["representation", *symbols],
        rows,
        title="Linear probes: R² of each target",
        numeric_from=1,
        note=f"Cross-validated over the validation planets, from {probed} of each representation.",
    )


def disentangled_section(content: ReportContent) -> Section:
    """Latent variables without nuisance factors, before and after."""
    found, title = content.disentangled, "Disentangled representations"
    if found is None:
        return Section(
            "disentangled",
            title,
            absent="None was asked for (disentangle.methods in the configuration).",
        )
    factors = [str(name) for name in found["factor"].values]
    molecules = [str(name) for name in found["molecule"].values]
    rows = []
    for name in found["model"].values:
        model = found.sel(model=name)
        r2 = [*model["factor_r2"].values, *model["abundance_r2"].values]
        pairs = [float(model["twin_ratio"]), float(model["nearer_share"])]
        rows.append([str(name), *(formatting.number(float(v), 2) for v in [*r2, *pairs])])
    intro = (
        "Latent variables of the scaled spectra, before (the first row) and after nuisance factors "
        f"({', '.join(factors)}) are taken out, after de Mijolla et al. 2021. Chemical twins are "
        "pairs with the same abundances in different systems, made with the forward model."
    )
    table = TableBlock(
        ["representation", *factors, *molecules, "twin distance", "twin is nearer"],
        rows,
        numeric_from=1,
        note="Factors and molecules: cross-validated R² of a linear map from the latent variables. "
        "Twin distance: median distance of twins over that of random pairs; twin is nearer: share "
        "of planets whose twin is nearer than a random planet, 0.5 where chemistry plays no part.",
    )
    figure = FigureBlock(
        "twin_distances",
        "Distances in the latent variables of chemical twins and of random pairs.",
        plotting.twin_distances(found),
    )
    return Section("disentangled", title, intro, [table, figure])
