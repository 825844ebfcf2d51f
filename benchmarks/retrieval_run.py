"""A finished run's files, posteriors from outside the workflow, and what each row cost."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from retrieval_evidence import library_evidence

from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_table
from arielflow.core.schema import open_dataset
from arielflow.editions import Edition, get_edition
from arielflow.evaluation.rows import score_posterior
from arielflow.physics.forward import PhysicsSettings
from arielflow.report.content import benchmark_table

SBI = "sbi_npe"
EXTRA_ROWS = (SBI, "flow_variational")
"""Rows whose posteriors, results/<run>/extra/<row>.nc, the workflow does not make itself."""

_PEER = Path(__file__).with_name("sbi_peer.py")
_SOURCE = Path(__file__).parents[1] / "src"


@dataclass(frozen=True)
class FinishedRun:
    """A run of the workflow.

    Attributes
    ----------
    folder : Path
        ``results/<run>``, below the folder that the workflow was called in.
    config : Mapping[str, Any]
        The run's full configuration.
    """

    folder: Path
    config: Mapping[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> FinishedRun:
        """The run in a folder, its configuration out of its manifest.

        Raises
        ------
        ArielflowError
            The run is not finished.
        """
        manifest = Path(folder) / "manifest.json"
        if not manifest.is_file():
            raise ArielflowError(
                f"{manifest}: no such file; finish the run first, and call this from the folder "
                "that holds results/"
            )
        return cls(Path(folder), json.loads(manifest.read_text())["config"])

    @property
    def edition(self) -> Edition:
        """The run's edition."""
        return get_edition(self.config["edition"])

    @property
    def physics(self) -> PhysicsSettings:
        """The forward model that the workflow scored with."""
        physics = self.config["physics"]
        own = physics["opacities"] == "builtin"
        return PhysicsSettings(
            opacities=str(self.folder / "opacities") if own else physics["opacities"],
            nodes=str(self.folder / "nodes.npz") if physics["mode"] == "fast" else None,
            cia=physics["cia"],
        )

    @cached_property
    def planets(self) -> xr.Dataset:
        """The test planets."""
        return open_dataset(self.folder / "ingested/test.nc")

    @cached_property
    def job_seconds(self) -> pd.Series:
        """Wall-clock seconds of the workflow's jobs, by the job's name."""
        return benchmark_table(self.folder / "benchmarks").set_index("job")["seconds"]

    @property
    def library_paths(self) -> list[str]:
        """Files of the nested-sampling truth that the run's test planets may be in."""
        return self.config["simulation"]["truth_library"]

    def base_model(self, row: str) -> str:
        """The trained model behind a row of the leaderboard."""
        if row in self.config["models"]:
            return row
        return row.removesuffix("_fallback").removesuffix("_importance")

    def score_tables(self) -> dict[str, pd.DataFrame]:
        """Scores a planet, by row of the run's leaderboard, the best row first."""
        rows = _table(self.folder / "scores/leaderboard.csv")["model"]
        return {row: _table(self.folder / f"scores/planets/{row}.csv") for row in rows}

    def calibration_tables(self) -> dict[str, pd.DataFrame]:
        """What the workflow measured, by model."""
        return {
            model: _table(self.folder / f"scores/calibration/{model}.csv")
            for model in self.config["models"]
        }

    def retrieval(self, row: str) -> pd.DataFrame:
        """What a retrieval found and took, one row per planet, without its samples."""
        with xr.open_dataset(self._posterior(row), engine="h5netcdf") as posterior:
            names = [name for name in posterior.data_vars if posterior[name].dims == ("planet",)]
            columns = {name: posterior[name].values for name in names}
            return pd.DataFrame(columns, index=posterior["planet"].values.astype(str))

    def _posterior(self, row: str) -> Path:
        path = self.folder / f"posteriors/test/{row}.nc"
        if not path.is_file():
            raise ArielflowError(f"{path}: no such file; let the workflow finish the run")
        return path


def _table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ArielflowError(f"{path}: no such file; let the workflow finish the run")
    return pd.read_csv(path, dtype={"planet_ID": str})


def extra_rows(run: FinishedRun) -> list[str]:
    """Rows from outside the workflow that the run has posteriors of."""
    return [row for row in EXTRA_ROWS if _extra(run, row).is_file()]


def _extra(run: FinishedRun, row: str) -> Path:
    return run.folder / f"extra/{row}.nc"


def extra_scores(run: FinishedRun, row: str) -> pd.DataFrame:
    """Scores per planet of a row from outside; kept beside the posterior, remade if it is newer.

    Raises
    ------
    ArielflowError
        The posterior lacks some of the run's test planets.
    """
    path = _extra(run, row)
    kept = path.with_suffix(".csv")
    if not kept.is_file() or kept.stat().st_mtime < path.stat().st_mtime:
        posterior = open_dataset(path)
        missing = set(run.planets["planet"].values) - set(posterior["planet"].values)
        if missing:
            raise ArielflowError(
                f"{path}: {len(missing)} of the run's {run.planets.sizes['planet']} test planets "
                "are not in it; make it for all of them"
            )
        table = score_posterior(
            run.edition,
            posterior,
            run.planets,
            open_dataset(run.folder / "truth/truth.nc"),
            seed=run.config["seed"],
            physics=run.physics,
        )
        write_table(table, kept)
    return _table(kept)


def train_sbi(run: FinishedRun, python: str | Path) -> None:
    """Train sbi's NPE for as long as the flow's first member took, and sample the test planets.

    An existing posterior that is newer than the planets is kept.

    Parameters
    ----------
    python
        Interpreter of an environment that has sbi and what arielflow needs.

    Raises
    ------
    ArielflowError
        The run has no flow, or sbi failed.
    """
    flow = run.config["model_settings"].get("flow", {})
    name = "prior" if flow.get("planets") == "prior" else "train"
    ingested, output = run.folder / "ingested", _extra(run, SBI)
    sources = [ingested / f"{name}.nc", ingested / "test.nc"]
    newest = max(path.stat().st_mtime for path in sources)
    if output.is_file() and output.stat().st_mtime > newest:
        return
    budget = run.job_seconds.get("train_flow_0")
    if budget is None:
        raise ArielflowError("sbi: the run has no flow whose training time could be its budget")
    options = {
        "train": sources[0],
        "split": ingested / f"{name}_split.csv",
        "test": sources[1],
        "output": output,
        "seconds": budget,
        "samples": run.config["posterior"]["n_samples"],
        "seed": run.config["seed"],
    }
    command = [python, _PEER, *(word for key in options for word in (f"--{key}", options[key]))]
    output.parent.mkdir(exist_ok=True)
    # One thread, as the workflow's jobs have.
    environment = os.environ | {"PYTHONPATH": str(_SOURCE), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(word) for word in command], env=environment)
    if done.returncode:
        raise ArielflowError(f"sbi: {_PEER.name} failed under {python}; its words are above")


def row_cost(run: FinishedRun, row: str) -> dict[str, float]:
    """What a row took, NaN where it is not on record.

    Returns
    -------
    dict
        ``forward_calls``: median over the planets, 0 for an amortised row; ``seconds_a_planet``:
        mean time of sampling; ``training_seconds``: of all members, one after the other.
    """
    n_planets, jobs = run.planets.sizes["planet"], run.job_seconds
    if row == "ceiling":
        nested = library_evidence(run.library_paths, run.planets, "rerun")
        return _cost(nested["likelihood_calls"].median(), nested["seconds"].mean(), 0.0)
    if row == "prior":
        return _cost(0, jobs.get("sample_prior", np.nan) / n_planets, 0.0)
    if row in EXTRA_ROWS and _extra(run, row).is_file():
        return _extra_cost(open_dataset(_extra(run, row)))
    training = _training_seconds(run, run.base_model(row))
    if row in run.config["models"]:
        return _cost(0, jobs.get(f"sample_test_{row}", np.nan) / n_planets, training)
    calls, seconds = _importance_cost(run, row)
    return _cost(calls, seconds, training)


def _cost(forward_calls: float, seconds: float, training_seconds: float) -> dict[str, float]:
    return {
        "forward_calls": float(forward_calls),
        "seconds_a_planet": float(seconds),
        "training_seconds": float(training_seconds),
    }


def _training_seconds(run: FinishedRun, model: str) -> float:
    spec = run.config["model_settings"].get(model, {})
    owner = spec.get("members_of") or model
    names = [f"train_{owner}_{member}" for member in range(spec.get("members", 1))]
    return float(run.job_seconds.reindex(names).sum(skipna=False))


def _importance_cost(run: FinishedRun, row: str) -> tuple[float, float]:
    """Median calls and mean seconds; a fall-back's come on top of those it was found out by."""
    model = run.base_model(row)
    weighted, final = (run.retrieval(f"{model}_importance{end}") for end in ("", "_fallback"))
    calls, nested = weighted["likelihood_calls"], final[final["fallen_back"] == 1]
    chunks = range(run.config["posterior"]["chunks"])
    names = [f"sample_importance_{model}_{chunk}" for chunk in chunks]
    seconds = run.job_seconds.reindex(names).sum(skipna=False)
    if row.endswith("_fallback"):
        calls = calls.add(nested["likelihood_calls"], fill_value=0)
    else:
        # The jobs make both rows at once.
        seconds -= nested["seconds"].sum()
    return float(calls.median()), seconds / len(weighted)


def _extra_cost(posterior: xr.Dataset) -> dict[str, float]:
    training = posterior.attrs.get("training_seconds", 0.0)
    if "likelihood_calls" in posterior:
        calls, seconds = posterior["likelihood_calls"].values, posterior["seconds"].values
        return _cost(np.median(calls), seconds.mean(), training)
    sampling = posterior.attrs.get("sampling_seconds", np.nan)
    return _cost(0, sampling / posterior.sizes["planet"], training)
