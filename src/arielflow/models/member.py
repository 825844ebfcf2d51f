"""One member of a model's ensemble, trained from the files of a run, by one process or several.

``python -m arielflow.models.member FILE`` is one of several.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from arielflow.core.errors import DivergedError
from arielflow.core.files import write_json, write_table
from arielflow.core.schema import open_dataset
from arielflow.data.splits import annotated_planets, fold, read_split, subset
from arielflow.models import FAILED, make_estimator
from arielflow.models.base import PosteriorEstimator
from arielflow.models.distributed import Processes, launch
from arielflow.runs.job import job

log = logging.getLogger(__name__)


Parts = tuple[xr.Dataset, xr.Dataset, xr.Dataset | None]
"""Planets to train on and to validate on, and annotated ones for models that learn from traces."""


def write_member(
    folder: str | Path,
    history_file: str | Path,
    spec: Mapping[str, Any],
    member: int,
    planets_file: str | Path,
    split_file: str | Path,
    annotated_files: Sequence[str | Path] = (),
    **training: Any,
) -> None:
    """Train a member and write its folder and its history; of several processes, the first does.

    Parameters
    ----------
    folder, history_file
        What is written.
    spec, member, planets_file, split_file, annotated_files, training
        See :func:`train_member`.

    Raises
    ------
    DivergedError
        The training diverged and the model has no other member.
    """
    parts = training_parts(spec, member, planets_file, split_file, annotated_files)
    write_trained(folder, history_file, spec, parts, **training)


def write_trained(
    folder: str | Path,
    history_file: str | Path,
    spec: Mapping[str, Any],
    parts: Parts,
    **training: Any,
) -> None:
    """Train a member on planets in memory and write it, see :func:`write_member`.

    A training that diverges does not stop an ensemble: the folder then holds the record of the
    failure, which the ensemble leaves out (:func:`arielflow.models.load_members`).

    Parameters
    ----------
    folder, history_file, spec
        As there.
    parts
        As :func:`training_parts` gives them.
    training
        ``seed``, ``device`` and ``state_dir``.
    """
    failure = None
    try:
        estimator, history = _trained(spec, parts, **training)
    except DivergedError as error:
        if spec["members"] == 1:
            raise
        log.error("%s; the ensemble goes on without this member", error)
        failure, history = str(error), pd.DataFrame(columns=["epoch", "train_loss", "valid_loss"])
    if Processes.found().rank:
        return
    if failure is None:
        estimator.save(folder)
    else:
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_json({"error": failure}, Path(folder) / FAILED)
    write_table(history, history_file)


def train_member(
    spec: Mapping[str, Any],
    member: int,
    planets_file: str | Path,
    split_file: str | Path,
    annotated_files: Sequence[str | Path] = (),
    *,
    seed: int,
    device: str = "auto",
    state_dir: str | Path | None = None,
) -> tuple[PosteriorEstimator, pd.DataFrame]:
    """Train a member and return it with its history.

    Parameters
    ----------
    spec
        The model's entry in the configuration, complete: ``family``, ``settings``, ``members`` and
        ``folds`` (with folds, member k is validated on the k-th of ``members`` parts).
    member
        Its number.
    planets_file, split_file
        Planets dataset and which of its planets are for training and for validation.
    annotated_files
        Planets dataset, split and traces of the annotated planets, for models that learn from
        traces; only planets of the training part are used.
    seed, device, state_dir
        What the training takes, see :meth:`PosteriorEstimator.fit`.
    """
    parts = training_parts(spec, member, planets_file, split_file, annotated_files)
    return _trained(spec, parts, seed=seed, device=device, state_dir=state_dir)


def _trained(
    spec: Mapping[str, Any],
    parts: Parts,
    *,
    seed: int,
    device: str = "auto",
    state_dir: str | Path | None = None,
) -> tuple[PosteriorEstimator, pd.DataFrame]:
    train, valid, annotated = parts
    estimator = make_estimator(spec["family"], spec["settings"])
    history = estimator.fit(
        train,
        valid,
        seed=seed,
        device=device,
        state_dir=None if state_dir is None else Path(state_dir),
        annotated=annotated,
    )
    return estimator, history


def training_parts(
    spec: Mapping[str, Any],
    member: int,
    planets_file: str | Path,
    split_file: str | Path,
    annotated_files: Sequence[str | Path] = (),
) -> Parts:
    """Planets that a member is trained on and validated on, and the annotated ones if asked for.

    Parameters are those of :func:`train_member`.
    """
    planets, split = open_dataset(planets_file), read_split(split_file)
    if spec["folds"]:
        split = fold(split, member, spec["members"])
    annotated = None
    if annotated_files:
        named_file, named_split, traces_file = annotated_files
        named = subset(open_dataset(named_file), read_split(named_split), "train")
        annotated = annotated_planets(named, open_dataset(traces_file))
    return subset(planets, split, "train"), subset(planets, split, "valid"), annotated


def train_in_processes(log_file: str | Path, **member: Any) -> None:
    """Train and write a member in as many processes as its ``spec`` says.

    Parameters
    ----------
    log_file
        The job's log; where several processes train, the first one's, with the others' beside it.
    member
        Arguments of :func:`write_member`.
    """
    spec = member["spec"]
    if spec["processes"] == 1:
        write_member(**member)
        return
    file = Path(member["state_dir"]) / "arguments.json"
    write_json({"log_file": str(log_file), "member": member}, file)
    launch("arielflow.models.member", file, processes=spec["processes"], nodes=spec["nodes"])


def main() -> None:
    """Run one of several processes."""
    arguments = json.loads(Path(sys.argv[1]).read_text())
    rank = Processes.found().rank
    with job(f"{arguments['log_file']}.{rank}" if rank else arguments["log_file"]):
        write_member(**arguments["member"])


if __name__ == "__main__":
    main()
