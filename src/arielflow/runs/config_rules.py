"""What a schema cannot say about a configuration: entries that must fit one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from arielflow.core.readers import shown

# Rows beside the models' own, a way to start, and what else lies beside models in a run's folder.
_TAKEN = {
    "prior": "a reference row",
    "ceiling": "a reference row",
    "flow_variational": "the row of the variational fits",
    "laplace": "a way to start the variational fits",
    **dict.fromkeys(
        ("chemistry", "importance", "nested", "prior_planets", "representation", "surrogate"),
        "a folder of the run",
    ),
    "tuning": "a folder of the run",
}
_ENDS = ("_importance", "_importance_fallback")
_N_BINS = {
    "adc2022": 52,
    "adc2023": 52,
    "wfc3": 13,
}
# Snakemake plans some hundred a second.
_MOST_JOBS = 10_000


def cross_faults(config: Mapping[str, Any], families: list[str]) -> Iterator[str]:
    """Faults of a configuration that its schema allows, one line each.

    Parameters
    ----------
    config
        It.
    families
        Names of the families of models.
    """
    yield from _model_faults(config, families)
    yield from _row_faults(config)
    yield from _training_faults(config)
    yield from _data_faults(config)
    first, last = (config["chemistry"]["times"].get(key) for key in ("first_yr", "last_yr"))
    if first is not None and last is not None and first >= last:
        yield f"config: chemistry.times: first_yr {first} is not before last_yr {last}"


def _model_faults(config: Mapping[str, Any], families: list[str]) -> Iterator[str]:
    """Models of unknown families, and names that stand for something else."""
    models, settings = config["models"], config["model_settings"]
    for name in models:
        family = settings.get(name, {}).get("family", name)
        if family not in families:
            yield (
                f"config: models: {name!r} is of the unknown family {shown(repr(family))}; choose "
                f"{', '.join(families)}"
            )
        owner = next((m for m in models for end in _ENDS if name == m + end), None)
        taken = _TAKEN.get(name) or (owner and f"a row of the model {owner!r}")
        if taken is None and name.startswith("representation_"):
            taken = "how files of the autoencoders begin"
        if taken:
            yield f"config: models: {name!r} is the name of {taken}; choose another"
    for name, spec in settings.items():
        if name not in models and name not in families and "family" not in spec:
            close = get_close_matches(str(name)[:80], [*models, *families], 1)
            meant = f"did you mean {close[0]}" if close else "name its family, or take it out"
            yield f"config: model_settings: {shown(repr(name))} is no model of the run; {meant}"


def _row_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Rows made from models that do not exist, and more jobs than can be planned."""
    models, chosen = config["models"], config["submission"]["model"]
    weighted, start = config["importance"]["models"], config["variational"]["start"]
    for name in weighted:
        if name not in models:
            yield (
                f"config: importance.models: {shown(repr(name))} is none of the run's models; "
                f"choose {', '.join(models)}"
            )
    rows = [*models, *(name + end for name in weighted for end in _ENDS)]
    if start is not None:
        rows.append("flow_variational")
        if start not in ("laplace", *models):
            yield (
                f"config: variational.start: {shown(repr(start))} is no way to start; choose "
                f"laplace, {', '.join(models)}"
            )
    if chosen not in rows:
        yield (
            f"config: submission.model: {shown(repr(chosen))} is none of the run's rows; choose "
            f"{', '.join(rows)}"
        )
    members = sum(config["model_settings"].get(name, {}).get("members", 1) for name in models)
    chunks = config["posterior"]["chunks"] * (len(weighted) + (start is not None))
    if members + chunks > _MOST_JOBS:
        yield (
            f"config: posterior.chunks: {chunks} jobs for chunks and {members} for members, "
            f"expected at most {_MOST_JOBS} together; choose fewer chunks, members or models"
        )


def _training_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """What does not fit together in how the models are trained."""
    specs = {name: config["model_settings"].get(name, {}) for name in config["models"]}
    for name, spec in specs.items():
        where = f"config: model_settings.{name}"
        owner, count, folds = spec.get("members_of"), spec.get("members", 1), spec.get("folds")
        if owner and (owner not in specs or specs[owner].get("members_of")):
            yield (
                f"{where}.members_of: {shown(repr(owner))} is no model of the run with its own "
                "members"
            )
        elif owner and count > specs[owner].get("members", 1):
            yield f"{where}.members: {count}, but {owner} has fewer"
        if spec.get("planets") == "prior" and not config["simulation"]["n_prior"]:
            yield f"{where}.planets: prior needs simulation.n_prior above 0"
        processes, nodes = spec.get("processes", 1), spec.get("nodes", 1)
        if processes % nodes:
            yield f"{where}.nodes: {processes} processes do not spread evenly over {nodes} nodes"
        if folds and count < 2:
            yield f"{where}.folds: needs members above 1, one per fold"
        if folds and spec.get("mixing") == "stacking":
            yield f"{where}.mixing: stacking needs planets that no member saw; with folds none is"


def _data_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Where the data come from, and what asks for more planets or bins than there are."""
    dataset, edition = config["dataset"], config["edition"]
    if dataset["sources"] and dataset["path"] is None:
        yield "config: dataset.sources: needs dataset.path, the folder that the files go to"
    if edition == "wfc3" and dataset["path"] is None:
        yield "config: dataset.path: edition wfc3 is not simulated; give the folder of its files"
    if edition == "wfc3" and dataset["test_path"] is not None:
        yield (
            "config: dataset.test_path: edition wfc3 has its test planets in dataset.path; write "
            "null"
        )
    for name, (low, high) in dataset["limits"].items():
        if low >= high:
            yield f"config: dataset.limits.{name}: {low} is not below {high}; swap them"
    explore, n_bins = config["explore"], _N_BINS[edition]
    for where, number in (
        ("explore.n_components", explore["n_components"]),
        ("representation.dimensions", max(config["representation"]["dimensions"])),
        ("disentangle.n_latent", config["disentangle"]["n_latent"]),
    ):
        if number > n_bins:
            yield f"config: {where}: {number}, expected at most {n_bins}, the bins of {edition}"
    smallest, largest = explore["clusters"]
    if smallest > largest:
        yield f"config: explore.clusters: {smallest} is above {largest}; write the smaller first"
    if dataset["path"] is None:
        n_train = config["simulation"]["n_train"]
        for where, number in (
            ("clusters", largest),
            ("n_components", explore["n_components"]),
        ):
            if number >= n_train:
                yield (
                    f"config: explore.{where}: {number}, expected fewer than the {n_train} "
                    "training planets (simulation.n_train)"
                )
