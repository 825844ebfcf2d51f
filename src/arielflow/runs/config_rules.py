"""What no single setting can say: entries of a configuration that must fit one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from arielflow.core.readers import listed, shown
from arielflow.settings.editions import FACTS
from arielflow.settings.families import FAMILIES
from arielflow.settings.run import RECALIBRATED, model_spec, run_parts

# Rows beside the models' own, a way to start, and what else lies beside models in a run's folder.
_TAKEN = {
    "prior": "a reference row",
    "ceiling": "a reference row",
    "flow_variational": "the row of the variational fits",
    "laplace": "a way to start the variational fits",
    **dict.fromkeys(
        (
            "calibration_planets",
            "chemistry",
            "importance",
            "nested",
            "prior_planets",
            "representation",
            "surrogate",
            "trust",
        ),
        "a folder of the run",
    ),
    "tuning": "a folder of the run",
}
_IMPORTANCE_ENDS = ("_importance", "_importance_fallback")
_ENDS = (*_IMPORTANCE_ENDS, RECALIBRATED)
_FEWEST_SUBMITTED = 1001
# Snakemake plans some hundred a second.
_MOST_JOBS = 10_000


def cross_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Faults of a configuration that its settings' own ranges allow, one line each."""
    yield from _model_faults(config)
    yield from _row_faults(config)
    yield from _training_faults(config)
    yield from _data_faults(config)
    yield from _prior_faults(config)


def misfits(config: Mapping[str, Any]) -> Iterator[str]:
    """Settings of the run's models that do not go with the edition's data."""
    facts = FACTS[config["edition"]]
    for part in run_parts(config):
        if part.trained:
            model = part.kind.model_validate(part.settings)
            if fault := model.misfit(facts.targets, facts.auxiliaries):
                yield f"{part.place}.{fault}"


def _model_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Models of unknown families, and names that stand for something else."""
    models, settings = config["models"], config["model_settings"]
    for name in models:
        family = settings.get(name, {}).get("family", name)
        if family not in FAMILIES:
            yield (
                f"models: {name!r} is of the unknown family {shown(repr(family))}; choose "
                f"{', '.join(FAMILIES)}"
            )
        owner = next((m for m in models for end in _ENDS if name == m + end), None)
        taken = _TAKEN.get(name) or (owner and f"a row of the model {owner!r}")
        if taken is None and name.startswith("representation_"):
            taken = "how files of the autoencoders begin"
        if taken:
            yield f"models: {name!r} is the name of {taken}; choose another"
    for name, spec in settings.items():
        if name not in models and name not in FAMILIES and "family" not in spec:
            close = get_close_matches(str(name)[:80], [*models, *FAMILIES], 1)
            meant = f"did you mean {close[0]}" if close else "name its family, or take it out"
            yield f"model_settings: {shown(repr(name))} is no model of the run; {meant}"


def _row_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Rows made from models that do not exist, and more jobs than can be planned."""
    models, chosen = config["models"], config["submission"]["model"]
    weighted, start = config["importance"]["models"], config["variational"]["start"]
    for name in weighted:
        if name not in models:
            yield (
                f"importance.models: {shown(repr(name))} is none of the run's models; "
                f"choose {', '.join(models)}"
            )
    yield from _certificate_faults(config)
    yield from _recalibration_faults(config)
    rows = [*models, *(name + end for name in weighted for end in _IMPORTANCE_ENDS)]
    rows += [name + RECALIBRATED for name in config["calibration"]["recalibrated"]]
    if start is not None:
        rows.append("flow_variational")
        if start not in ("laplace", *models):
            yield (
                f"variational.start: {shown(repr(start))} is no way to start; choose "
                f"laplace, {', '.join(models)}"
            )
    if chosen not in rows:
        yield (
            f"submission.model: {shown(repr(chosen))} is none of the run's rows; choose "
            f"{', '.join(rows)}"
        )
    members = sum(model_spec(config, name)["members"] for name in models)
    chunks = config["posterior"]["chunks"] * (len(weighted) + (start is not None))
    if members + chunks > _MOST_JOBS:
        yield (
            f"posterior.chunks: {chunks} jobs for chunks and {members} for members, "
            f"expected at most {_MOST_JOBS} together; choose fewer chunks, members or models"
        )


def _certificate_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Certificates of models that do not exist, or without a forward model."""
    chosen = config["trust"]["models"]
    if chosen != "auto":
        yield from _simulated_faults(config, "trust.models", chosen, "certify with", "auto, ")


def _recalibration_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Recalibration of models that do not exist, or without a forward model."""
    where, chosen = "calibration.recalibrated", config["calibration"]["recalibrated"]
    yield from _simulated_faults(config, where, chosen, "simulate planets with")


def _simulated_faults(
    config: Mapping[str, Any], where: str, chosen: Sequence[str], purpose: str, others: str = ""
) -> Iterator[str]:
    """Chosen models that do not exist, or that no planets can be simulated for."""
    for name in chosen:
        if name not in config["models"]:
            yield (
                f"{where}: {shown(repr(name))} is none of the run's models; choose {others}"
                f"{', '.join(config['models'])}"
            )
    if chosen and not FACTS[config["edition"]].auxiliaries:
        yield (f"{where}: edition {config['edition']} has no forward model to {purpose}; write []")


def _training_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """What does not fit together in how the models are trained."""
    specs = {name: model_spec(config, name) for name in config["models"]}
    for name, spec in specs.items():
        where = f"model_settings.{name}"
        owner, count = spec["members_of"], spec["members"]
        if owner and (owner not in specs or specs[owner]["members_of"]):
            yield (
                f"{where}.members_of: {shown(repr(owner))} is no model of the run with its own "
                "members"
            )
        elif owner and count > specs[owner]["members"]:
            yield f"{where}.members: {count}, but {owner} has fewer"
        if spec["planets"] == "prior" and not config["simulation"]["n_prior"]:
            yield f"{where}.planets: prior needs simulation.n_prior above 0"
        if spec["processes"] % spec["nodes"]:
            yield (
                f"{where}.nodes: {spec['processes']} processes do not spread evenly over "
                f"{spec['nodes']} nodes"
            )
        if spec["folds"] and count < 2:
            yield f"{where}.folds: needs members above 1, one a fold"
        if spec["folds"] and spec["mixing"] == "stacking":
            yield f"{where}.mixing: stacking needs planets that no member saw; with folds none is"


def _data_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Where the data come from, and what asks for more planets or bins than there are."""
    dataset, edition = config["dataset"], config["edition"]
    if dataset["sources"] and dataset["path"] is None:
        yield "dataset.sources: needs dataset.path, the folder that the files go to"
    if edition == "wfc3" and dataset["path"] is None:
        yield "dataset.path: edition wfc3 is not simulated; give the folder of its files"
    if edition == "wfc3" and dataset["test_path"] is not None:
        yield ("dataset.test_path: edition wfc3 has its test planets in dataset.path; write null")
    for name, (low, high) in dataset["limits"].items():
        if low >= high:
            yield f"dataset.limits.{name}: {low} is not below {high}; swap them"
    explore, n_bins = config["explore"], FACTS[edition].n_bins
    for where, number in (
        ("explore.n_components", explore["n_components"]),
        ("representation.dimensions", max(config["representation"]["dimensions"])),
        ("disentangle.n_latent", config["disentangle"]["n_latent"]),
    ):
        if number > n_bins:
            yield f"{where}: {number}, expected at most {n_bins}, the bins of {edition}"
    smallest, largest = explore["clusters"]
    if smallest > largest:
        yield f"explore.clusters: {smallest} is above {largest}; write the smaller first"
    if dataset["path"] is None:
        n_train = config["simulation"]["n_train"]
        for where, number in (
            ("clusters", largest),
            ("n_components", explore["n_components"]),
        ):
            if number >= n_train:
                yield (
                    f"explore.{where}: {number}, expected fewer than the {n_train} "
                    "training planets (simulation.n_train)"
                )
    n_samples = config["posterior"]["n_samples"]
    if FACTS[edition].submitted and n_samples < _FEWEST_SUBMITTED:
        yield (
            f"posterior.n_samples: found {n_samples}, expected at least {_FEWEST_SUBMITTED} "
            "(fewest in a submission)"
        )


def _prior_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Priors that the edition does not have."""
    edition = config["edition"]
    known = FACTS[edition].priors
    chosen = {"dataset.prior": config["dataset"]["prior"]}
    if config["dataset"]["path"] is None:
        chosen["simulation.population"] = config["simulation"]["population"]
    for where, name in chosen.items():
        if name not in known:
            yield f"{where}: edition {edition} has no prior {name!r}; choose {listed(known)}"
