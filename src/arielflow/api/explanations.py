"""Explanations of a model as a folder of tables, figures and rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from arielflow import plotting
from arielflow.api.model import Model
from arielflow.api.physics import forward_model
from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path, write_json, write_table
from arielflow.core.readers import shown
from arielflow.evaluation.explain.bands import BANDS
from arielflow.evaluation.explain.explanation import Explanation, attribution_rows, explain
from arielflow.physics.forward import PhysicsSettings
from arielflow.retrieval.planets import choose_planets


def explain_model(
    model: Model,
    planets: xr.Dataset,
    output: str | Path,
    *,
    reference: xr.Dataset | None = None,
    exploration: xr.Dataset | None = None,
    physics: PhysicsSettings | None = None,
    identifiers: Sequence[str] = (),
    n_paths: int = 3,
    seed: int = 2026,
) -> dict[str, Any]:
    """Explain a model's answers for planets and write tables, figures and rules to a folder.

    Parameters
    ----------
    model
        A loaded model of any family.
    planets
        Planets dataset.
    output
        Folder; receives ``*.csv``, ``rules/*.txt``, ``figures/*.png`` and ``explanation.json``.
    reference
        Planets that permutation, rules, probes and neighbours are of, such as the training
        planets; ``planets`` themselves if left out.
    exploration
        What :func:`arielflow.exploration.components.explore` made of the reference planets, whose
        clusters the importances are also given by.
    physics
        Opacities and mode of the forward model that answers are held against; None for none.
    identifiers
        Planets to explain; all if empty.
    n_paths
        For how many planets the costly methods and the figures are made.
    seed
        Of all that is drawn.

    Returns
    -------
    dict
        What ``explanation.json`` holds: ``model``, ``planets``, ``files``, ``skipped`` (parts
        that could not be had, and why) and ``agreement`` with physics by target, of the gradient.

    Raises
    ------
    ArielflowError
        A planet is not in the data set, none is usable, the clusters are of other planets, or the
        model is on a GPU, or ``output`` is a file.
    """
    if model.ensemble.device != "cpu":
        raise ArielflowError(
            f"explain: the model is on {model.ensemble.device}; load it with device cpu"
        )
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise ArielflowError(f"{shown(output)}: is no folder; name one for the explanations")
    if identifiers:
        planets = choose_planets(planets, identifiers)
    clusters = None
    if exploration is not None:
        reference = planets if reference is None else reference
        clusters = _clusters(exploration, reference)
    found = explain(
        model.ensemble,
        planets,
        reference=reference,
        clusters=clusters,
        forward=None if physics is None else lambda part: forward_model(part, physics),
        n_paths=n_paths,
        seed=seed,
    )
    files = [*_write_tables(found, output), *_write_figures(found, output)]
    content = {
        "model": model.name,
        "planets": found.planets["planet"].values.astype(str).tolist(),
        "files": sorted(str(path.relative_to(output)) for path in files),
        "skipped": found.skipped,
        "agreement": _agreement(found),
    }
    write_json(content, output / "explanation.json")
    return content


def _clusters(exploration: xr.Dataset, planets: xr.Dataset) -> np.ndarray:
    """Cluster of every planet (planet,)."""
    if not {"split", "cluster_label"} <= set(map(str, exploration.variables)):
        raise ArielflowError(
            "exploration: holds no clusters, expected the variables split and cluster_label; give "
            "the exploration.nc of a run"
        )
    split = str(planets.attrs.get("split", "train"))
    own = exploration.isel(planet=exploration["split"].values == split)
    labels = pd.Series(own["cluster_label"].values, own["planet"].values.astype(str))
    names = planets["planet"].values.astype(str)
    missing = ~np.isin(names, labels.index)
    if missing.all():
        raise ArielflowError(
            f"exploration: has no cluster of any of {len(names)} planets of the split {split}; "
            "give that of the same data set"
        )
    # A planet that the exploration left out is in no cluster.
    return labels.reindex(names).fillna(0).to_numpy(dtype=int)


def _write_tables(found: Explanation, output: Path) -> list[Path]:
    tables = dict(found.tables)
    rows = attribution_rows(found)
    if len(rows):
        tables["attributions"] = rows
    written = []
    for name, table in tables.items():
        written.append(output / f"{name}.csv")
        write_table(table, written[-1])
    for target, text in found.rules.items():
        written.append(output / "rules" / f"{target}.txt")
        with atomic_path(written[-1]) as part:
            part.write_text(text)
    return written


def _write_figures(found: Explanation, output: Path) -> list[Path]:
    figures = {}
    mean = {name: v for name, v in found.attributions.items() if name.startswith("mean, ")}
    method = next(iter(mean), None)
    shown = 0 if found.change is None else len(found.change)
    for row in range(shown or min(1, found.planets.sizes["planet"])):
        planet = found.planets.isel(planet=row)
        # A planet's name may hold what a file's may not.
        own = f"{row + 1}"
        if method is not None:
            drawn = {method.removeprefix("mean, "): mean[method][row]}
            if found.gain is not None:
                drawn["gain of the forward model"] = found.gain.gain[row]
            figures[f"bands_{own}"] = plotting.attribution_bands(planet, drawn, BANDS)
        if found.change is not None:
            figures[f"counterfactual_{own}"] = plotting.counterfactual_spectra(
                planet, found.change[row], BANDS
            )
    if "agreement" in found.tables:
        figures["agreement"] = plotting.agreement_chart(found.tables["agreement"])
    if "permutation" in found.tables:
        figures["permutation"] = plotting.band_importance(found.tables["permutation"])
    written = []
    for name, figure in figures.items():
        written.append(output / "figures" / f"{name}.png")
        with atomic_path(written[-1]) as part:
            figure.savefig(part, format="png")
    return written


def _agreement(found: Explanation) -> dict[str, float | None]:
    table = found.tables.get("agreement")
    if table is None or not len(table):
        return {}
    first = table[table["method"] == table["method"].iloc[0]]
    values = zip(first["target"], first["median_rho"], strict=True)
    return {target: round(float(rho), 3) if np.isfinite(rho) else None for target, rho in values}
